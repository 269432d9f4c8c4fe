/** What of a look at a server keeps a deployment from being well. */

/**
 * One look at one place: the SHA-256 of the leaf, as `leaf.sha256` of a described certificate has it, or why none was seen. `kind`: nothing listens there (`absent`), the server
 * knows no such domain there (`stranger`, as of a component at the port of clients), or it listens and shows none (`bare`).
 */
export type Seen = { place: string; sha256: string } | { place: string; kind: 'absent' | 'stranger' | 'bare'; problem: string }

/** By domain. */
export type Looks = { domain: string; seen: Seen[] }[]

const shows = (one: Seen): one is Extract<Seen, { sha256: string }> => 'sha256' in one

/** Whether a place without a certificate for a domain is as it should be, where the domain is shown somewhere. */
const isExcused = (one: Exclude<Seen, { sha256: string }>, looks: Looks, everywhere: boolean): boolean => {
  if (one.kind === 'bare') return false
  if (!everywhere) return true
  // It was asked for; so it must serve one of the domains at least.
  return one.kind === 'stranger' && looks.some(({ seen }) => seen.some((other) => other.place === one.place && shows(other)))
}

/**
 * What keeps what was seen from being all well, or null.
 * @param everywhere the places were asked for: each must show the certificate. Else it is enough that whatever listens does.
 */
export const faultOf = (looks: Looks, sha256: string, everywhere: boolean): string | null => {
  const of = (domain: string): string => (looks.length > 1 ? ` for ${domain}` : '')
  for (const { domain, seen } of looks) {
    const others = seen.flatMap((one) => (shows(one) && one.sha256 !== sha256 ? [one.place] : []))
    if (others.length > 0) return `the server still shows another certificate at ${others.join(' and ')}${of(domain)}`
    const isSeen = seen.some(shows)
    const without = seen.flatMap((one) => (shows(one) || (isSeen && isExcused(one, looks, everywhere)) ? [] : [`${one.place}: ${one.problem}`]))
    if (!isSeen || without.length > 0) return `the server shows no certificate${of(domain)}: ${without.join('; ')}`
  }
  return null
}
