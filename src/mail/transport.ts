/** The ways out: SMTP, or a function that keeps the message. The only place that knows nodemailer. */
import { createTransport } from 'nodemailer'
import { compose, type Envelope, type Message } from './message.js'

export type Dkim = { domainName: string; keySelector: string; privateKey: string }

/** What came of one attempt. `detail` is a sentence; `permanent`: no further attempt makes sense. */
export type Attempt = { ok: true; detail: string } | { ok: false; permanent: boolean; detail: string }

export type Transport = {
  /** Tries once. Never rejects. */
  send(message: Message): Promise<Attempt>
  /** Ends idle connections. */
  close(): void
}

const seconds = 1000
/** Silence of the server, in every phase. RFC 5321 §4.5.3.2 would wait longer; a claim is extended meanwhile. */
const times = { connectionTimeout: 15 * seconds, greetingTimeout: 15 * seconds, socketTimeout: 120 * seconds, dnsTimeout: 10 * seconds }
const CONNECTIONS = 4

/** What a server said, as it may be shown: one line, printable, bounded. */
const said = (text: unknown): string =>
  String(text ?? '')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .replace(/[<>]/g, '')
    .trim()
    .slice(0, 200)

type SmtpError = Error & { code?: string; command?: string; responseCode?: number; response?: string }

/**
 * 4xx and everything about the connection passes by itself; 5xx about this recipient or this message does not (RFC 5321 §4.2.1). A 5xx to anything else is the
 * operator's to mend: the mails wait for that.
 */
const judge = (error: SmtpError, server: string): Attempt => {
  const { responseCode = 0, command = '', response } = error
  const permanent = responseCode >= 500 && /^(RCPT|DATA)/.test(command)
  if (response === undefined) return { ok: false, permanent: false, detail: `The mail server ${server} could not be reached: ${said(error.message)}` }
  return { ok: false, permanent, detail: `The mail server ${server} ${permanent ? 'refused it' : 'would not take it now'}: ${said(response)}` }
}

export type SmtpOptions = { url: string; envelope: Envelope; dkim: Dkim | null /** Of this machine, for EHLO. */; hostname: string }

/**
 * Sends by SMTP with a few connections that are kept. `smtps:` begins with TLS; `smtp:` must change to it (STARTTLS), but for a server on this machine.
 * `isLocal` says whether the URL's host is this machine.
 */
export const createSmtpTransport = ({ url, envelope, dkim, hostname }: SmtpOptions, isLocal: (host: string) => boolean): Transport => {
  const { protocol, hostname: host, port, username, password } = new URL(url)
  const secure = protocol === 'smtps:'
  const local = isLocal(host)
  const server = `${host}:${port || (secure ? 465 : 25)}`
  const smtp = createTransport({
    pool: true,
    maxConnections: CONNECTIONS,
    maxMessages: 100,
    host: host.replace(/^\[|\]$/g, ''),
    port: Number(port) || (secure ? 465 : 25),
    secure,
    requireTLS: !secure && !local,
    tls: { rejectUnauthorized: !local, minVersion: 'TLSv1.2' },
    name: hostname,
    ...(username !== '' && { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    ...(dkim && { dkim }),
    ...times,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return {
    async send(message) {
      let mail: ReturnType<typeof compose>
      try {
        mail = compose(message, envelope)
      } catch (error) {
        return { ok: false, permanent: true, detail: `It could not be written: ${said((error as Error).message)}` }
      }
      try {
        const { response } = await smtp.sendMail(mail)
        return { ok: true, detail: `The mail server ${server} took it: ${said(response)}` }
      } catch (error) {
        return judge(error as SmtpError, server)
      }
    },
    close: () => smtp.close(),
  }
}

/** Hands each message as it would be sent (RFC 5322) to `keep`: for trying out. */
export const createKeepingTransport = (
  envelope: Envelope,
  dkim: Dkim | null,
  keep: (message: Message, raw: Buffer) => Promise<string>,
): Transport => {
  const stream = createTransport({ streamTransport: true, buffer: true, newline: 'windows', ...(dkim && { dkim }) })
  return {
    async send(message) {
      try {
        const { message: raw } = await stream.sendMail(compose(message, envelope))
        return { ok: true, detail: await keep(message, raw as Buffer) }
      } catch (error) {
        return { ok: false, permanent: false, detail: `It could not be kept: ${said((error as Error).message)}` }
      }
    },
    close: () => undefined,
  }
}
