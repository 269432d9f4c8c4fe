/** Addresses and who they belong to. */
import { isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Network } from './config-values.js'

/** Whether an address (textual; IPv4 mapped into IPv6 counts as IPv4) lies in one of the networks. False for what is no address. */
export const isWithin = (networks: readonly Network[], address: string | undefined): boolean => {
  if (!address || !ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  return networks.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits))
}

/**
 * The client's address: the peer's, or where the peer is a trusted proxy, the last address in `X-Forwarded-For` that is not a trusted proxy itself.
 * What stands before that was written by the client and proves nothing.
 */
export const clientAddress = (
  trusted: readonly Network[],
  peer: string | undefined,
  forwarded: string | string[] | undefined,
): string | undefined => {
  // As it is with nearly every request; reading it would change nothing.
  if (trusted.length === 0 && peer !== undefined && isIPv4(peer)) return peer
  let address = peer
  const hops = [forwarded ?? []]
    .flat()
    .join(',')
    .split(',')
    .map((hop) => hop.trim())
    .filter((hop) => hop !== '')
  while (isWithin(trusted, address)) {
    const next = hops.pop()
    if (next === undefined || !ipaddr.isValid(next)) break
    address = next
  }
  return address && ipaddr.isValid(address) ? ipaddr.process(address).toString() : address
}
