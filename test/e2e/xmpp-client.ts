/** An XMPP client: STARTTLS, then SASL PLAIN or EXTERNAL (XEP-0178), then a resource. */
import { connect } from 'node:net'
import { checkServerIdentity, connect as connectTls, type PeerCertificate } from 'node:tls'
import { domainToASCII } from 'node:url'
import type { Pair } from './federation-peer.js'
import { conditionOf, createStream, features, header, saslFailure, saslNamespace, starttls, streamError, type XmppStream } from './xmpp-stream.js'

export type Login = {
  host: string
  port: number
  domain: string
  /** PEM of the only root that the server may have its certificate from. */
  ca: string
} & (
  | { mechanism: 'PLAIN'; user: string; password: string }
  /** `authzid`: the bare JID, or empty. Without `pair` no certificate is shown. */
  | { mechanism: 'EXTERNAL'; authzid: string; pair: Pair | null }
)

export type Client = { jid: string; stream: XmppStream }

const initialResponse = (login: Login): string => {
  if (login.mechanism === 'PLAIN') return Buffer.from(`\0${login.user}\0${login.password}`).toString('base64')
  return login.authzid === '' ? '=' : Buffer.from(login.authzid).toString('base64')
}

const offered = async (stream: XmppStream): Promise<string> => {
  const { kind, match } = await stream.until({ features, streamError })
  if (kind === 'streamError') throw new Error(conditionOf(match[0]))
  return match[0]
}

/** RFC 6120 §13.7.2.1: a client takes the SRVName of its service too, which Node knows nothing of. */
const checkIdentity = (host: string, certificate: PeerCertificate): Error | undefined =>
  certificate.subjectaltname?.split(', ').includes(`othername:SRVName:_xmpp-client.${host}`) ? undefined : checkServerIdentity(host, certificate)

/** Rejects with what the server said. */
export const logIn = async (login: Login): Promise<Client> => {
  const { domain, mechanism } = login
  const stream = createStream(connect(login.port, login.host))
  try {
    const open = (): void => stream.send(header(domain, { namespace: 'client' }))
    open()
    await offered(stream)
    stream.send(starttls)
    await stream.until({ proceed: /<proceed[^>]*>/ })
    const pair = login.mechanism === 'EXTERNAL' ? login.pair : null
    const socket = connectTls({
      socket: stream.release(),
      servername: domainToASCII(domain),
      ca: login.ca,
      checkServerIdentity: checkIdentity,
      ...pair,
    })
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve)
      socket.once('error', reject)
    })
    stream.use(socket)
    open()
    if (!(await offered(stream)).includes(`<mechanism>${mechanism}<`)) throw new Error(`${mechanism} is not offered`)
    stream.send(`<auth xmlns='${saslNamespace}' mechanism='${mechanism}'>${initialResponse(login)}</auth>`)
    // mod_auth_ccert has no word for an expired certificate, and says `false`.
    const { kind, match } = await stream.until({ success: /<success[^>]*>/, saslFailure, streamError, broken: /<false [^>]*>/ })
    if (kind !== 'success') throw new Error(conditionOf(match[0]))
    open()
    await offered(stream)
    stream.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>test</resource></bind></iq>")
    const bound = await stream.until({ jid: /<jid>([^<]*)<\/jid>/, error: /<iq[^>]*type=['"]error['"][\s\S]*?<\/iq>/ })
    if (bound.kind !== 'jid') throw new Error(bound.match[0])
    stream.send('<presence/>')
    return { jid: bound.match[1] as string, stream }
  } catch (error) {
    stream.close()
    throw error
  }
}
