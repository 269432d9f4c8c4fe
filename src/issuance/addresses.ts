/** The addresses that answer for domains, looked up when somebody wants to know and kept for a few minutes. */
import type { Clock } from '../clock.js'
import { withDeadline } from '../validation/deadline.js'
import { type Addresses, constructedAddresses, findAddresses, type Reach, reachOf } from '../validation/mail-addresses.js'
import type { Resolver } from '../validation/resolver.js'

export type AddressBook = {
  /** What is known without asking anybody: the constructed addresses, or what was found lately. */
  known(domain: string): Addresses
  /** Asks the DNS, unless that was done lately. Takes at most some seconds; a look-up that fails is told among the problems. */
  find(domain: string): Promise<Addresses>
  /** Whether mail can reach the domain of an address, asked now. */
  reach(address: string): Promise<Reach>
  /** Domains that are kept. */
  size(): number
}

type Entry = { until: number; asked: Promise<Addresses>; found: Addresses | null }

const KEPT_MS = 2 * 60_000
const LOOK_UP_MS = 8_000
const MAX_DOMAINS = 10_000

export const createAddressBook = (resolver: Pick<Resolver, 'mx' | 'addresses' | 'caa' | 'txt'>, clock: Clock): AddressBook => {
  const kept = new Map<string, Entry>()
  const { signal } = new AbortController()

  /** The oldest first, as long as they are out of date: in a map of domains that strangers fill nothing stays for nothing. */
  const forget = (now: number): void => {
    for (const [domain, { until }] of kept) {
      if (until > now && kept.size < MAX_DOMAINS) return
      kept.delete(domain)
    }
  }

  const ask = (domain: string): Promise<Addresses> => {
    const now = clock.now()
    const asked = withDeadline(LOOK_UP_MS, signal, (deadline) => findAddresses(domain, resolver, deadline))
    const entry: Entry = { until: now + KEPT_MS, asked, found: null }
    kept.delete(domain)
    forget(now)
    kept.set(domain, entry)
    asked.then(
      (found) => {
        entry.found = found
      },
      () => kept.delete(domain),
    )
    return asked
  }
  const fresh = (domain: string) => {
    const entry = kept.get(domain)
    return entry && entry.until > clock.now() ? entry : null
  }

  return {
    size: () => kept.size,
    known: (domain) => fresh(domain)?.found ?? { addresses: constructedAddresses(domain), problems: [] },
    find: (domain) => fresh(domain)?.asked ?? ask(domain),
    reach: (address) => withDeadline(LOOK_UP_MS, signal, (deadline) => reachOf(address.slice(address.lastIndexOf('@') + 1), resolver, deadline)),
  }
}
