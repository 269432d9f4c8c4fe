/** Looking at what an XMPP server shows on one port, after STARTTLS (RFC 6120 §5.4) or by direct TLS (XEP-0368): the certificate alone, whoever signed it. */
import { createHash } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import type { Fault } from '../check/conversation.js'
import { probe } from '../check/probe.js'
import { OperatorError } from '../open.js'
import { withDeadline } from '../validation/deadline.js'
import type { Seen } from './served.js'

export type Place = { host: string; port: number }

const connectMs = 3_000
const totalMs = 5_000
/** Addresses of one host that are looked at. */
const maxAddresses = 8

/** `host:port` or `[IPv6]:port`. @throws OperatorError */
export const readPlace = (value: string): Place => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(value)
  const port = Number(match?.[3])
  if (!match || port < 1 || port > 65_535) throw new OperatorError(`"${value}" is not host:port; examples: xmpp.example.org:5269, [::1]:5222`)
  return { host: (match[1] ?? match[2]) as string, port }
}

/** Upper-case hex in pairs with colons, as browsers and openssl show it. */
const fingerprint = (der: Uint8Array): string => (createHash('sha256').update(der).digest('hex').toUpperCase().match(/../g) ?? []).join(':')

/** By custom; behind every other port STARTTLS is expected. */
const directPorts = new Set([443, 5223, 5270])

/** What of a fault can be said of the place. */
const kindOf = (fault: Fault | null): 'absent' | 'stranger' | 'bare' => {
  if (fault?.condition === 'host-unknown') return 'stranger'
  return fault && ['refused', 'unreachable', 'no-route', 'timeout'].includes(fault.kind) ? 'absent' : 'bare'
}

/** Ports above or at 5269 are those of servers by custom; a server that minds says so by a stream error. */
const lookAtAddress = async ({ host, port }: Place, address: string, place: string, domain: string, deadline: AbortSignal): Promise<Seen> => {
  const endpoint = { role: port >= 5269 ? 's2s' : 'c2s', direct: directPorts.has(port), host, port, address } as const
  const { tls, fault } = await probe(endpoint, { domain, connectMs, totalMs, handshakeAlone: true }, deadline)
  const leaf = tls?.chain[0]
  if (leaf) return { place, sha256: fingerprint(leaf) }
  const problem = fault ? `${fault.kind === 'starttls-refused' ? 'STARTTLS is ' : ''}${fault.message}` : 'it shows no certificate'
  return { place, kind: kindOf(fault), problem }
}

/** The addresses of a host. The system's look-up can't be stopped, but need not be waited for. */
const addressesOf = async (host: string, deadline: AbortSignal): Promise<string[]> => {
  const late = new Promise<never>((_, reject) => {
    deadline.addEventListener('abort', () => reject(new Error(`the addresses of ${host} do not come in time`)), { once: true })
  })
  const found = await Promise.race([lookup(host, { all: true }), late])
  return [...new Set(found.map(({ address }) => address))].slice(0, maxAddresses)
}

/** At every address of the host; those where nothing listens are left out where something listens at another. */
const lookAtOne = (place: Place, domain: string): Promise<Seen[]> =>
  withDeadline(totalMs, new AbortController().signal, async (deadline) => {
    const { host, port } = place
    const name = `${host.includes(':') ? `[${host}]` : host}:${port}`
    try {
      const addresses = await addressesOf(host, deadline)
      const all = await Promise.all(
        addresses.map(async (address) => ({ address, seen: await lookAtAddress(place, address, name, domain, deadline) })),
      )
      const there = all.filter(({ seen }) => !('kind' in seen) || seen.kind !== 'absent')
      if (there.length === 0) return all.slice(0, 1).map(({ seen }) => seen)
      return there.map(({ address, seen }) => (there.length > 1 ? { ...seen, place: `${name} (${address})` } : seen))
    } catch (error) {
      return [{ place: name, kind: 'absent', problem: (error as Error).message }]
    }
  })

/** The SHA-256 of the leaf (upper-case hex in pairs with colons) that each place shows for a domain (A-labels), or why it shows none; within six seconds. */
export const lookAt = async (places: readonly Place[], domain: string): Promise<Seen[]> =>
  (await Promise.all(places.map((place) => lookAtOne(place, domain)))).flat()

const usualPorts = [5222, 5269]

/** Looks where servers listen by custom: on this machine, or, where nothing listens here, at the address of the domain. */
export const lookAround = async (domain: string, ports: readonly number[] = usualPorts): Promise<Seen[]> => {
  const at = (host: string): Promise<Seen[]> =>
    lookAt(
      ports.map((port) => ({ host, port })),
      domain,
    )
  const here = await at('localhost')
  return here.every((one) => 'kind' in one && one.kind === 'absent') ? [...here, ...(await at(domain))] : here
}
