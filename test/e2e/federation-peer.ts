/** A server-to-server peer with whatever certificate it is told to have. It reports what the other side makes of it, in both directions. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket } from 'node:tls'
import { domainToASCII } from 'node:url'
import {
  attribute,
  conditionOf,
  createStream,
  features,
  header,
  saslFailure,
  saslNamespace,
  starttls,
  streamError,
  streamHeader,
} from './xmpp-stream.js'

/** PEM. */
export type Pair = { cert: string; key: string }

export type Report = {
  /** Whether SASL EXTERNAL succeeded and, where we listen, a stanza arrived. */
  accepted: boolean
  /** How far it came, and what was said there. */
  stage: string
  detail: string
  /** The serial that the other side showed, hex. */
  shown: string | null
}

const shownBy = (socket: TLSSocket): string | null => socket.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? null

const secured = (socket: TLSSocket, event: 'secureConnect' | 'secure'): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once(event, () => resolve())
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed in the TLS handshake')))
  })

/** Calls a server in the name of `from`, and sends `stanza` once it has accepted us. With `dialback` it may offer that, too. */
export const call = async (
  to: { host: string; port: number; domain: string; dialback?: true },
  from: string,
  pair: Pair,
  stanza: string,
): Promise<Report> => {
  const report: Report = { accepted: false, stage: 'connect', detail: '', shown: null }
  const stream = createStream(connect(to.port, to.host))
  try {
    stream.send(header(to.domain, { from }))
    let found = await stream.until({ features, streamError })
    if (!found.match[0].includes('urn:ietf:params:xml:ns:xmpp-tls')) throw new Error(`no STARTTLS: ${conditionOf(found.match[0])}`)
    stream.send(starttls)
    await stream.until({ proceed: /<proceed[^>]*>/ })
    report.stage = 'tls'
    // The roles are reversed here: what is judged is our certificate, so theirs is only looked at.
    const socket = connectTls({ socket: stream.release(), servername: domainToASCII(to.domain), ...pair, rejectUnauthorized: false })
    await secured(socket, 'secureConnect')
    report.shown = shownBy(socket)
    stream.use(socket)
    report.stage = 'features'
    stream.send(header(to.domain, { from }))
    found = await stream.until({ streamError, features })
    if (found.kind === 'streamError') throw new Error(conditionOf(found.match[0]))
    if (!found.match[0].includes('EXTERNAL')) throw new Error('SASL EXTERNAL is not offered')
    if (found.match[0].includes('dialback') && !to.dialback) throw new Error('dialback is offered')
    report.stage = 'auth'
    stream.send(`<auth xmlns='${saslNamespace}' mechanism='EXTERNAL'>${Buffer.from(from).toString('base64')}</auth>`)
    found = await stream.until({ success: /<success[^>]*>/, saslFailure, streamError })
    if (found.kind !== 'success') throw new Error(conditionOf(found.match[0]))
    report.stage = 'authenticated'
    stream.send(header(to.domain, { from }))
    await stream.until({ features })
    stream.send(`${stanza}</stream:stream>`)
    report.accepted = true
    await stream.until({ end: /<\/stream:stream>/ }, 500).catch(() => undefined)
  } catch (error) {
    report.detail = (error as Error).message
  }
  stream.close()
  return report
}

/** One who called: the domain it came from and the one it asked for. */
export type Caller = Report & { from: string; to: string }

const receive = async (socket: Socket, pairOf: (domain: string) => Pair): Promise<Caller> => {
  const caller: Caller = { accepted: false, stage: 'header', detail: '', shown: null, from: '', to: '' }
  const stream = createStream(socket)
  try {
    let found = await stream.until({ header: streamHeader })
    caller.to = attribute(found.match[0], 'to') ?? ''
    caller.from = attribute(found.match[0], 'from') ?? ''
    const answer = (id: string): string => header(caller.from, { from: caller.to, id })
    stream.send(`${answer('a')}<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>`)
    await stream.until({ starttls: /<starttls[^>]*>/ })
    const plain = stream.release()
    plain.write("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    caller.stage = 'tls'
    const options = { isServer: true, requestCert: true, rejectUnauthorized: false }
    const tls = new TLSSocket(plain, { ...options, ...pairOf(domainToASCII(caller.to)) })
    await secured(tls, 'secure')
    caller.shown = shownBy(tls)
    stream.use(tls)
    caller.stage = 'features'
    found = await stream.until({ header: streamHeader, streamError })
    stream.send(`${answer('b')}<stream:features><mechanisms xmlns='${saslNamespace}'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>`)
    found = await stream.until({ auth: /<auth[^>]*mechanism=['"]EXTERNAL['"][^>]*>/, streamError, end: /<\/stream:stream>/, dialback: /<db:/ })
    if (found.kind !== 'auth') throw new Error(found.kind === 'streamError' ? conditionOf(found.match[0]) : found.kind)
    stream.send(`<success xmlns='${saslNamespace}'/>`)
    caller.stage = 'auth'
    await stream.until({ header: streamHeader })
    stream.send(`${answer('c')}<stream:features/>`)
    await stream.until({ stanza: /<message[\s\S]*?<body>[\s\S]*?<\/body>/ })
    caller.stage = 'stanza'
    caller.accepted = true
  } catch (error) {
    caller.detail = (error as Error).message
  }
  stream.close()
  return caller
}

/** Listens for servers that call any domain; `pairOf` gives its certificate (the domain as A-labels). */
export const listen = (host: string, port: number, pairOf: (domain: string) => Pair, onCaller: (caller: Caller) => void): Promise<Server> =>
  new Promise((resolve) => {
    const server = createServer((socket) => void receive(socket, pairOf).then(onCaller))
    server.listen(port, host, () => resolve(server))
  })
