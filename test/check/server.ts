/** An XMPP server that does what a test says, right or wrong, on 127.0.0.1 and a free port. */
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { type Identity, pem } from './pki.js'

export type Behaviour = {
  identity?: Identity
  /** TLS from the first octet. */
  direct?: boolean
  /** With `direct`: what does not begin as TLS does is cut off without an alert. */
  abrupt?: boolean
  /** Stream features before TLS and after, as XML. */
  before?: string
  after?: string
  tls?: TlsOptions
  staple?: Uint8Array
  /** Instead of anything else, what is done with a new connection. */
  instead?: (socket: Socket) => void
  /** What follows <starttls/> instead of <proceed/>. */
  refuseTls?: string
  /** What is said after TLS instead of features. */
  insteadOfFeatures?: string
  /** The only domain that is served, as streams name it. */
  serves?: string
}

export const required = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
export const optional = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
export const mechanisms = (...list: string[]): string =>
  `<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${list.map((name) => `<mechanism>${name}</mechanism>`).join('')}</mechanisms>`

export const header =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>"

export const hostUnknown = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"

/** Answers a stream header with `features`, and gives STARTTLS to `upgrade`. */
const speak = (socket: Socket, features: string, behaviour: Behaviour, upgrade: () => void): void => {
  let heard = ''
  let greeted = false
  const onData = (chunk: Buffer) => {
    heard += chunk.toString('utf8')
    if (!greeted && /<stream:stream[^>]*>/.test(heard)) {
      greeted = true
      const unknown = behaviour.serves !== undefined && !heard.includes(` to='${behaviour.serves}'`)
      socket.write(header + (unknown ? hostUnknown : features))
    }
    if (!heard.includes('<starttls')) return
    socket.off('data', onData)
    if (behaviour.refuseTls) return void socket.write(behaviour.refuseTls)
    socket.write("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    upgrade()
  }
  socket.on('data', onData)
}

export type TestServer = { port: number; close(): Promise<void> }

export const startServer = async (behaviour: Behaviour): Promise<TestServer> => {
  const { identity, direct, staple, instead } = behaviour
  const before = `<stream:features>${behaviour.before ?? required}</stream:features>`
  const after = behaviour.insteadOfFeatures ?? `<stream:features>${behaviour.after ?? mechanisms('EXTERNAL')}</stream:features>`
  const open = new Set<Socket>()
  const secure = createTlsServer({
    ...(identity && { key: identity.key, cert: pem(identity.chain) }),
    ciphers: 'DEFAULT@SECLEVEL=0',
    ...behaviour.tls,
  })
  secure.on('OCSPRequest', (_certificate, _issuer, callback) => callback(null, staple ? Buffer.from(staple) : (null as unknown as Buffer)))
  secure.on('secureConnection', (socket) => {
    socket.on('error', () => {})
    speak(socket, after, behaviour, () => {})
  })
  secure.on('tlsClientError', () => {})
  const server: Server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
    if (instead) instead(socket)
    else if (direct && behaviour.abrupt) {
      socket.once('data', (chunk) => {
        socket.pause()
        if (chunk[0] !== 0x16) return void socket.resetAndDestroy()
        socket.unshift(chunk)
        secure.emit('connection', socket)
      })
    } else if (direct) secure.emit('connection', socket)
    else speak(socket, before, behaviour, () => secure.emit('connection', socket))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    port: (server.address() as { port: number }).port,
    close: async () => {
      for (const socket of open) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}
