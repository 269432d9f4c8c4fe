/** A look at one address and port of a server, as a client or a peer would take it: what is seen, without judging it. Nothing is thrown. */
import { connect as connectTcp, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { toUnicode } from '../idna.js'
import { withDeadline } from '../validation/deadline.js'
import { describeError } from '../validation/dial.js'
import { converse, Fault, saslNamespace, tlsNamespace } from './conversation.js'
import { presentedChain } from './presented-chain.js'
import { streamNamespace, type XmlElement } from './xml-stream.js'

/** c2s is what clients connect to, s2s what servers do (RFC 6120 §3.2); `direct` is TLS from the first octet (XEP-0368). */
export type Endpoint = { role: 'c2s' | 's2s'; direct: boolean; host: string; port: number; address: string }

/** `alone`: nothing else is offered, so that it is required without saying so (RFC 6120 §5.3.1). */
export type Features = { starttls: boolean; required: boolean; alone: boolean; mechanisms: string[] }

export type TlsFacts = {
  protocol: string
  /** The IANA name of the suite. */
  cipher: string
  alpn: string | null
  /** DER, as presented. */
  chain: Uint8Array[]
  /** The stapled OCSP response, null without one. */
  staple: Uint8Array | null
}

export type Seen = {
  endpoint: Endpoint
  /** Where the look ended; `done` is the end. */
  stage: 'connect' | 'stream' | 'starttls' | 'tls' | 'features' | 'done'
  fault: Fault | null
  /** Features before TLS, and after. */
  before: Features | null
  tls: TlsFacts | null
  after: Features | null
  /** The newest of TLS 1.0 and 1.1 that it takes; null for neither. */
  old: string | null
}

export type ProbeOptions = {
  /** A-labels. */
  domain: string
  /** How this program calls itself as a peer (`from`), and its certificate, if it has one. */
  identity?: { domain: string; key: string; cert: string } | undefined
  connectMs: number
  totalMs: number
  /** The look ends with the TLS handshake, and older versions of it are not tried. */
  handshakeAlone?: boolean
}

/** Handshake and features of a well-meaning server take a tenth of this. */
const maxOctets = 512 * 1024

const escapeXml = (text: string): string => text.replace(/[&<>'"]/g, (c) => `&#${c.charCodeAt(0)};`)

/** XMPP addresses are U-labels (RFC 7622 §3.2); what is not XMPP (SNI, DNS) gets A-labels. */
const header = ({ role }: Endpoint, { domain, identity }: ProbeOptions): string => {
  const from = role === 's2s' && identity ? ` from='${escapeXml(toUnicode(identity.domain))}'` : ''
  const ns = role === 's2s' ? "jabber:server' xmlns:db='jabber:server:dialback" : 'jabber:client'
  return `<?xml version='1.0'?><stream:stream xmlns='${ns}' xmlns:stream='${streamNamespace}' to='${escapeXml(toUnicode(domain))}'${from} version='1.0' xml:lang='en'>`
}

const connectFault = (error: unknown): Fault => {
  const { code } = error as { code?: string }
  if (code === 'ECONNREFUSED') return new Fault('refused', 'connection refused')
  if (code === 'ENETUNREACH' || code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT') return new Fault('no-route', describeError(error))
  if (code === 'ECONNRESET') return new Fault('closed', describeError(error))
  return new Fault(code === 'ETIMEDOUT' ? 'timeout' : 'unreachable', describeError(error))
}

const connect = ({ address, port }: Endpoint, deadline: AbortSignal): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connectTcp({ host: address, port })
    const fail = (error: unknown): void => {
      socket.destroy()
      reject(connectFault(error))
    }
    const onAbort = () => fail({ code: 'ETIMEDOUT' })
    if (deadline.aborted) return onAbort()
    deadline.addEventListener('abort', onAbort, { once: true })
    // Stays: an error without a listener would end the process.
    socket.on('error', fail)
    socket.once('connect', () => {
      deadline.removeEventListener('abort', onAbort)
      resolve(socket)
    })
  })

/** The socket with a view of what comes in: node:tls would read below a socket that it is given as it is. */
const tap = (socket: Socket, onData: (chunk: Buffer) => void): Duplex => {
  const duplex = new Duplex({
    read: () => void socket.resume(),
    write: (chunk, _encoding, callback) => void socket.write(chunk, () => callback()),
    final: (callback) => void socket.end(() => callback()),
    destroy: (error, callback) => {
      socket.destroy()
      callback(error)
    },
  })
  duplex.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    onData(chunk)
    if (!duplex.destroyed && !duplex.push(chunk)) socket.pause()
  })
  socket.on('close', () => duplex.destroy())
  socket.on('end', () => !duplex.destroyed && duplex.push(null))
  return duplex
}

type Handshake = { socket: TLSSocket; facts: TlsFacts }

/** The error of a handshake in words: OpenSSL's reason, which is a sentence of its own. */
const tlsReason = (error: unknown): string => {
  const { reason, code } = error as { reason?: string; code?: string }
  // Named after the version that had them first, whichever is spoken.
  const [, alert] = /^(?:sslv3|tlsv1\d?) (?:alert )?(.+)$/i.exec(reason ?? '') ?? []
  if (alert) return `the server ends it with the alert “${alert.toLowerCase()}”`
  return (reason ?? (code === 'ECONNRESET' ? 'the server closes the connection' : describeError(error))).toLowerCase()
}

/** The TLS handshake, STARTTLS behind it or not, with whatever certificate. */
const secure = (raw: Socket, endpoint: Endpoint, options: ProbeOptions, versions: ConnectionOptions, deadline: AbortSignal): Promise<Handshake> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let octets = 0
    let secret: Buffer | null = null
    let staple: Uint8Array | null = null
    const duplex = tap(raw, (chunk) => {
      octets += chunk.length
      if (octets > maxOctets) fail(new Fault('stream-endless', `it sends more than ${maxOctets / 1024} KiB`))
      else chunks.push(chunk)
    })
    const { domain, identity } = options
    const socket = connectTls({
      socket: duplex,
      servername: domain,
      rejectUnauthorized: false,
      requestOCSP: true,
      // What is weak is to be seen, not to be refused.
      ciphers: 'DEFAULT@SECLEVEL=0',
      ...versions,
      ...(endpoint.direct && { ALPNProtocols: [endpoint.role === 's2s' ? 'xmpp-server' : 'xmpp-client'] }),
      ...(identity && { key: identity.key, cert: identity.cert }),
    } as ConnectionOptions)
    const fail = (fault: Fault): void => {
      raw.destroy()
      socket.destroy()
      reject(fault)
    }
    const onAbort = () => fail(new Fault('hangs', 'it does not answer in the TLS handshake'))
    if (deadline.aborted) onAbort()
    else deadline.addEventListener('abort', onAbort, { once: true })
    socket.on('keylog', (line: Buffer) => {
      const [label, , value = ''] = line.toString('latin1').trim().split(' ')
      if (label === 'SERVER_HANDSHAKE_TRAFFIC_SECRET') secret = Buffer.from(value, 'hex')
    })
    socket.on('OCSPResponse', (response: Buffer | null) => {
      staple = response && response.length > 0 ? new Uint8Array(response) : null
    })
    socket.on('error', (error) => fail(new Fault('tls-failed', tlsReason(error))))
    socket.once('close', () => fail(new Fault('tls-failed', 'the server closes the connection')))
    socket.once('secureConnect', () => {
      deadline.removeEventListener('abort', onAbort)
      const protocol = socket.getProtocol() ?? 'unknown'
      const suite = socket.getCipher().standardName
      const chain = presentedChain(Buffer.concat(chunks), suite, secret)
      const own = socket.getPeerX509Certificate()?.raw
      const facts = {
        protocol,
        cipher: suite,
        alpn: socket.alpnProtocol || null,
        chain: chain.length > 0 || !own ? chain : [new Uint8Array(own)],
        staple,
      }
      resolve({ socket, facts })
    })
  })

const readFeatures = (element: XmlElement): Features => {
  const starttls = element.children.find(({ name, ns }) => name === 'starttls' && ns === tlsNamespace)
  const mechanisms = element.children.find(({ name, ns }) => name === 'mechanisms' && ns === saslNamespace)?.children ?? []
  return {
    starttls: starttls !== undefined,
    required: starttls?.children.some(({ name }) => name === 'required') ?? false,
    mechanisms: mechanisms.filter(({ name }) => name === 'mechanism').map(({ text }) => text.trim().slice(0, 40)),
    alone: element.children.length === 1,
  }
}

/** Opens a stream and reads the features of the other side. */
const greet = async (socket: Duplex, endpoint: Endpoint, options: ProbeOptions, deadline: AbortSignal) => {
  const stream = converse(socket, deadline)
  stream.send(header(endpoint, options))
  const element = await stream.element()
  if (element.name !== 'features' || element.ns !== streamNamespace)
    throw new Fault('xml-invalid', `it sends <${element.name.slice(0, 40)}> where its features belong`)
  return { stream, features: readFeatures(element) }
}

/** Up to the end of STARTTLS (RFC 6120 §5.4.2). */
const startTls = async (raw: Socket, seen: Seen, options: ProbeOptions, deadline: AbortSignal): Promise<void> => {
  const { stream, features } = await greet(raw, seen.endpoint, options, deadline)
  seen.before = features
  seen.stage = 'starttls'
  // A server may know STARTTLS without saying so, but nobody would ask it.
  if (!features.starttls) throw new Fault('starttls-refused', 'not offered')
  stream.send(`<starttls xmlns='${tlsNamespace}'/>`)
  const answer = await stream.element()
  if (answer.name !== 'proceed') throw new Fault('starttls-refused', `it answers <${answer.name.slice(0, 40)}>`)
  stream.detach()
}

const look = async (seen: Seen, options: ProbeOptions, versions: ConnectionOptions, deadline: AbortSignal): Promise<void> => {
  const { endpoint } = seen
  const raw = await withDeadline(options.connectMs, deadline, (soon) => connect(endpoint, soon))
  try {
    seen.stage = 'stream'
    if (!endpoint.direct) await startTls(raw, seen, options, deadline)
    seen.stage = 'tls'
    const { socket, facts } = await secure(raw, endpoint, options, versions, deadline)
    seen.tls = facts
    if (options.handshakeAlone) {
      seen.stage = 'done'
      return void socket.destroy()
    }
    seen.stage = 'features'
    const { stream, features } = await greet(socket, endpoint, options, deadline)
    seen.after = features
    seen.stage = 'done'
    stream.send('</stream:stream>')
    stream.detach()
    socket.destroy()
  } finally {
    raw.destroy()
  }
}

const attempt = async (endpoint: Endpoint, options: ProbeOptions, versions: ConnectionOptions, deadline: AbortSignal): Promise<Seen> => {
  const seen: Seen = { endpoint, stage: 'connect', fault: null, before: null, tls: null, after: null, old: null }
  try {
    await look(seen, options, versions, deadline)
  } catch (error) {
    seen.fault = error instanceof Fault ? error : new Fault('closed', describeError(error))
  }
  return seen
}

/**
 * Where a stream in clear comes to nothing: does the port speak TLS from the first octet? A server that does answers a stream by an alert, if anything, and the end of the
 * connection often overtakes that.
 */
const mixedUp = async (seen: Seen, options: ProbeOptions, deadline: AbortSignal): Promise<Fault | null> => {
  const { endpoint, stage, fault } = seen
  if (endpoint.direct || stage !== 'stream' || (fault?.kind !== 'closed' && fault?.kind !== 'not-xmpp')) return fault
  const { tls } = await attempt({ ...endpoint, direct: true }, options, {}, deadline)
  return tls ? new Fault('not-xmpp', 'it speaks TLS from the first octet, not STARTTLS') : fault
}

/** Looks at an endpoint: once as everybody would, and once more with TLS 1.0 and 1.1 only, which nobody should take any longer (RFC 8996). */
export const probe = async (endpoint: Endpoint, options: ProbeOptions, signal: AbortSignal): Promise<Seen> =>
  withDeadline(options.totalMs, signal, async (deadline) => {
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' } as const
    const [seen, outdated] = await Promise.all([
      attempt(endpoint, options, { minVersion: 'TLSv1.2' }, deadline),
      options.handshakeAlone ? null : attempt(endpoint, options, old, deadline),
    ])
    return { ...seen, fault: await mixedUp(seen, options, deadline), old: outdated?.tls?.protocol ?? null }
  })
