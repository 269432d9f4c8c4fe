/** Looking at what an XMPP server shows on one port, after STARTTLS (RFC 6120 §5.4) or by direct TLS (XEP-0368): the certificate alone, whoever signed it. */
import { createHash } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { probe } from '../check/probe.js'
import { OperatorError } from '../open.js'
import type { Seen } from './deploy.js'

export type Place = { host: string; port: number }

const connectMs = 3_000
const totalMs = 5_000

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

/** Ports above or at 5269 are those of servers by custom; a server that minds says so by a stream error. */
const lookAtOne = async ({ host, port }: Place, domain: string): Promise<Seen> => {
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`
  try {
    const { address } = await lookup(host)
    const endpoint = { role: port >= 5269 ? 's2s' : 'c2s', direct: directPorts.has(port), host, port, address } as const
    const { tls, fault } = await probe(endpoint, { domain, connectMs, totalMs }, AbortSignal.timeout(totalMs))
    const leaf = tls?.chain[0]
    if (leaf) return { place, sha256: fingerprint(leaf) }
    return { place, problem: fault ? `${fault.kind === 'starttls-refused' ? 'STARTTLS is ' : ''}${fault.message}` : 'it shows no certificate' }
  } catch (error) {
    return { place, problem: (error as Error).message }
  }
}

/** The SHA-256 of the leaf (upper-case hex in pairs with colons) that each place shows for a domain (A-labels), or why it shows none; within six seconds. */
export const lookAt = (places: readonly Place[], domain: string): Promise<Seen[]> => Promise.all(places.map((place) => lookAtOne(place, domain)))

const usualPorts = [5222, 5269]

/** Looks where servers listen by custom: on this machine, or, where nothing listens here, at the address of the domain. */
export const lookAround = async (domain: string): Promise<Seen[]> => {
  const here = await lookAt(
    usualPorts.map((port) => ({ host: 'localhost', port })),
    domain,
  )
  if (here.some((one) => 'sha256' in one)) return here
  const there = await lookAt(
    usualPorts.map((port) => ({ host: domain, port })),
    domain,
  )
  return [...here, ...there]
}
