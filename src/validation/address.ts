import ipaddr from 'ipaddr.js'

/** IPv6 addresses that IANA gives out for the Internet (RFC 4291 §2.4, RFC 3587). */
const globalUnicast: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3]

/** Ranges that a laboratory may have its servers in. Multicast, broadcast and 0.0.0.0 are nobody's, even there. */
const labRanges = new Set(['loopback', 'private', 'uniqueLocal', 'linkLocal', 'carrierGradeNat', 'reserved', 'benchmarking'])

/**
 * Why validation must not connect to an address, as the name of its range; null where it may. Only public unicast is allowed: what IANA's special-purpose
 * registries list (RFC 6890), down to IPv4 wrapped in IPv6 (mapped, NAT64, 6to4, Teredo), could reach the CA's own network.
 */
export const forbiddenRange = (address: string, lab: boolean): string | null => {
  if (!ipaddr.isValid(address)) return 'not an address'
  const parsed = ipaddr.parse(address)
  const range = parsed.range()
  if (lab && labRanges.has(range)) return null
  if (range !== 'unicast') return range
  return parsed.kind() === 'ipv6' && !parsed.match(globalUnicast) ? 'reserved' : null
}

/** 6 or 4. */
export const familyOf = (address: string): 4 | 6 => (ipaddr.parse(address).kind() === 'ipv6' ? 6 : 4)
