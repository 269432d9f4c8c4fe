/**
 * Connections to hosts that somebody else names. The host is resolved once, the addresses are judged, and the socket goes to the very address that was judged:
 * between the check and the connection no second look-up can put another one (DNS rebinding).
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { familyOf, forbiddenRange } from './address.js'
import { withDeadline } from './deadline.js'
import type { Resolver } from './resolver.js'
import { type Failure, failure } from './validator.js'

/** What was seen of a host: the addresses that it has, and what became of those that were tried. */
export type Contact = { host: string; port: number; addresses: string[]; tried: { address: string; outcome: string }[] }

export type Dialled<S> = { contact: Contact } & ({ ok: true; socket: S } | Failure)

/** Nothing about the certificate is checked here; `alpn` are the protocols to offer. */
export type TlsWish = { alpn?: string[] }

export type Dial = {
  /** A TCP connection to `host`. */
  tcp(host: string, port: number, signal: AbortSignal): Promise<Dialled<Socket>>
  /** A TCP connection to `host` and a TLS handshake (1.2 or later) with it as server name. */
  tls(host: string, port: number, wish: TlsWish, signal: AbortSignal): Promise<Dialled<TLSSocket>>
}

/** Evidence shows no more of a host's addresses than this. */
const SHOWN_ADDRESSES = 10

const networkErrors: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'timeout',
  EPIPE: 'connection closed',
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 'the server knows none of the protocols offered (ALPN)',
}

/** A network error in words that say nothing of this machine. */
export const describeError = (error: unknown): string => {
  const { code, message } = error as { code?: unknown; message?: unknown }
  return networkErrors[String(code)] ?? String(code ?? message).slice(0, 100)
}

/** Waits for `event` on a socket; destroys it and rejects on an error, or when the deadline comes first. */
const until = (socket: Socket, event: 'connect' | 'secureConnect', deadline: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      socket.destroy()
      reject(error)
    }
    const onAbort = () => fail({ code: 'ETIMEDOUT' })
    if (deadline.aborted) return onAbort()
    deadline.addEventListener('abort', onAbort, { once: true })
    // Stays for the life of the socket: an error without a listener would end the process. The user of the socket has its own.
    socket.on('error', fail)
    socket.once('close', () => fail({ code: 'ECONNRESET' }))
    socket.once(event, () => {
      deadline.removeEventListener('abort', onAbort)
      resolve()
    })
  })

/**
 * Makes connections, each at most `connectMs` in the making. As Boulder does it: the first IPv6 address, then, if nobody answers there, the first IPv4 one.
 * Forbidden addresses are passed over; with nothing else, `rejectedIdentifier` says so for good.
 */
export const createDial = ({ resolver, lab, connectMs }: { resolver: Resolver; lab: boolean; connectMs: number }): Dial => {
  const candidates = async (contact: Contact, signal: AbortSignal): Promise<string[] | Failure> => {
    const { host } = contact
    const answer = await resolver.addresses(host, signal)
    if (answer.kind === 'failure') return failure('dns', `The look-up of the addresses of ${host} failed: ${answer.reason}.`)
    if (answer.kind === 'none') return failure('dns', `${host} has neither AAAA nor A records (${answer.reason}).`)
    contact.addresses = answer.records.slice(0, SHOWN_ADDRESSES)
    const allowed = answer.records.filter((address) => forbiddenRange(address, lab) === null)
    const first = answer.records[0] as string
    if (allowed.length === 0) {
      const others = answer.records.length > 1 ? ' Its other addresses are no better.' : ''
      const what = `${host} has the address ${first}, which is not a public one (${forbiddenRange(first, lab)}); this CA does not connect to it.`
      return failure('rejectedIdentifier', what + others, false)
    }
    const ofFamily = (family: 4 | 6) => allowed.find((address) => familyOf(address) === family)
    return [ofFamily(6), ofFamily(4)].filter((address) => address !== undefined)
  }

  const tcp = async (host: string, port: number, signal: AbortSignal): Promise<Dialled<Socket>> => {
    const contact: Contact = { host, port, addresses: [], tried: [] }
    const addresses = await candidates(contact, signal)
    if (!Array.isArray(addresses)) return { ...addresses, contact }
    for (const address of addresses) {
      const socket = connect({ host: address, port })
      try {
        await withDeadline(connectMs, signal, (deadline) => until(socket, 'connect', deadline))
        contact.tried.push({ address, outcome: 'connected' })
        return { ok: true, socket, contact }
      } catch (error) {
        contact.tried.push({ address, outcome: describeError(error) })
        if (signal.aborted) break
      }
    }
    const tried = contact.tried.map(({ address, outcome }) => `${address}: ${outcome}`).join('; ')
    return { ...failure('connection', `No connection to ${host} port ${port} (${tried}).`), contact }
  }

  const tls = async (host: string, port: number, { alpn }: TlsWish, signal: AbortSignal): Promise<Dialled<TLSSocket>> => {
    const dialled = await tcp(host, port, signal)
    if (!dialled.ok) return dialled
    const { socket: raw, contact } = dialled
    const options = { socket: raw, servername: host, rejectUnauthorized: false, minVersion: 'TLSv1.2' } as const
    const socket = connectTls({ ...options, ...(alpn && { ALPNProtocols: alpn }) })
    try {
      await withDeadline(connectMs, signal, (deadline) => until(socket, 'secureConnect', deadline))
      return { ok: true, socket, contact }
    } catch (error) {
      raw.destroy()
      const [last] = contact.tried.splice(-1)
      const address = last?.address ?? host
      contact.tried.push({ address, outcome: `TLS: ${describeError(error)}` })
      return { ...failure('tls', `The TLS handshake with ${host} port ${port} (${address}) failed: ${describeError(error)}.`), contact }
    }
  }

  return { tcp, tls }
}
