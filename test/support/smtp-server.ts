/** A real SMTP server on loopback that keeps what it takes, parsed, and refuses what a test says. */
import type { AddressInfo } from 'node:net'
import { type ParsedMail, simpleParser } from 'mailparser'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'

export type Received = { from: string; to: string[]; raw: string; mail: ParsedMail }

/** `[code, text]` for a refusal; null to take it. */
export type Verdict = [code: number, text: string] | null

export type MailServer = {
  url: string
  received: Received[]
  /** Asked at RCPT and at the end of DATA; takes everything unless a test replaces them. */
  rules: { recipient(address: string): Verdict; data(received: Received): Verdict | Promise<Verdict> }
  /** The next mail to this address that has not been handed out, within five seconds. */
  next(to: string): Promise<Received>
  close(): Promise<void>
}

const refusal = ([code, text]: [number, string]): Error => Object.assign(new Error(text), { responseCode: code })

export const startMailServer = async (options: SMTPServerOptions = {}, port = 0): Promise<MailServer> => {
  const received: Received[] = []
  const handed = new Set<Received>()
  const rules: MailServer['rules'] = { recipient: () => null, data: () => null }
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    logger: false,
    ...options,
    onRcptTo({ address }, _, done) {
      const verdict = rules.recipient(address)
      done(verdict ? refusal(verdict) : null)
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', async () => {
        const octets = Buffer.concat(chunks)
        const { mailFrom, rcptTo } = session.envelope
        const one = {
          from: mailFrom ? mailFrom.address : '',
          to: rcptTo.map(({ address }) => address),
          raw: octets.toString(),
          mail: await simpleParser(octets),
        }
        const verdict = await rules.data(one)
        if (!verdict) received.push(one)
        done(verdict ? refusal(verdict) : null)
      })
    },
  })
  // A client that goes away in the middle is part of some tests.
  server.on('error', () => undefined)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    url: `smtp://127.0.0.1:${(server.server.address() as AddressInfo).port}`,
    received,
    rules,
    async next(to) {
      for (let tries = 0; tries < 250; tries++) {
        const found = received.find((one) => !handed.has(one) && one.to.includes(to))
        if (found) {
          handed.add(found)
          return found
        }
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      throw new Error(`no mail to ${to}; there are ${received.map((one) => `${one.to}: ${one.mail.subject}`).join(', ') || 'none'}`)
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

/** The link of this kind in a mail. */
export const linkIn = ({ mail }: Received, kind: 'confirm' | 'unsubscribe'): string => {
  const [link] = new RegExp(`https?://\\S+/${kind}/\\S+`).exec(mail.text ?? '') ?? []
  if (!link) throw new Error(`no ${kind} link in ${mail.text}`)
  return link
}
