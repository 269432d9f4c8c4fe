/**
 * To whom a message may go that proves control of a domain: constructed addresses (BR 3.2.2.4.4), and contacts that the domain publishes by CAA (BR 3.2.2.4.13) and by
 * TXT (BR 3.2.2.4.14, appendix A.1). None is ever taken from the client.
 */
import { registrableDomain } from '../identifier.js'
import type { Answer } from './recursive.js'
import type { CaaRecord, Resolver } from './resolver.js'
import { printable } from './validator.js'

export type MailAddress = {
  /** With the domain in lower case. */
  address: string
  source: 'constructed' | 'caa' | 'txt'
  /** The domain whose name or record gives it. */
  at: string
}

/** What was found of a domain. */
export type Addresses = {
  addresses: MailAddress[]
  /** Why some are missing, a sentence each. */
  problems: string[]
}

/** BR 3.2.2.4.4. */
const localParts = ['admin', 'administrator', 'webmaster', 'hostmaster', 'postmaster']
const MAX_CONTACTS = 20
/** Sentences about what is wrong with records: a DNS message has room for thousands of them. */
const MAX_PROBLEMS = 10
const MAX_ADDRESS = 254

/** One plain ASCII address: nothing that a mail program could take for a list, a header, a comment or a route. */
const plain =
  /^[!#$&'*+\-./0-9=?A-Z^_`a-z{|}~]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

/** The address with its domain in lower case; null for what is no plain one. */
export const readMailAddress = (text: string): string | null => {
  if (text.length > MAX_ADDRESS || !plain.test(text) || text.includes('..')) return null
  const at = text.lastIndexOf('@')
  return text.slice(0, at) + text.slice(at).toLowerCase()
}

/** `a.b.example.org` → itself, `b.example.org`, `example.org`: whoever runs one of them answers for the names below (BR: authorization domain names). */
const upToRegistrable = (domain: string): string[] => {
  const top = registrableDomain(domain)
  const levels: string[] = []
  for (let name = domain; name.length >= top.length; name = name.slice(name.indexOf('.') + 1)) {
    levels.push(name)
    if (name === top) break
  }
  return levels
}

/** The addresses that follow from the name alone. */
export const constructedAddresses = (domain: string): MailAddress[] =>
  upToRegistrable(domain).flatMap((at) => localParts.map((part): MailAddress => ({ address: `${part}@${at}`, source: 'constructed', at })))

/** Contacts of the CAA records that count for a domain: those of the nearest one that has any (RFC 8659 §3), but never a registry's. */
const caaContacts = (answers: readonly [string, Answer<CaaRecord>][], problems: string[]): MailAddress[] => {
  for (const [at, answer] of answers) {
    if (answer.kind === 'failure') problems.push(`The CAA records of ${at} could not be looked up: ${answer.reason}.`)
    if (answer.kind === 'failure') return []
    if (answer.kind === 'none') continue
    return answer.records
      .filter(({ tag }) => tag === 'contactemail')
      .flatMap(({ value }): MailAddress[] => {
        const address = readMailAddress(value)
        if (address === null) problems.push(`The CAA contactemail "${printable(value, 80)}" of ${at} is not one plain address.`)
        return address === null ? [] : [{ address, source: 'caa', at }]
      })
  }
  return []
}

const txtContacts = ([at, answer]: [string, Answer<string>], problems: string[]): MailAddress[] => {
  const name = `_validation-contactemail.${at}`
  if (answer.kind === 'failure') problems.push(`The TXT records of ${name} could not be looked up: ${answer.reason}.`)
  if (answer.kind !== 'records') return []
  return answer.records.flatMap((text): MailAddress[] => {
    const address = readMailAddress(text)
    if (address === null) problems.push(`The TXT record "${printable(text, 80)}" of ${name} is not one plain address.`)
    return address === null ? [] : [{ address, source: 'txt', at }]
  })
}

/** Whether mail can reach a domain at all: why not, or null. `failed`: nobody knows. */
export type Reach = { problem: string; failed: boolean } | null

/** Looks for a mail server as a sender would (RFC 5321 §5.1, RFC 7505). */
export const reachOf = async (domain: string, resolver: Pick<Resolver, 'mx' | 'addresses'>, signal: AbortSignal): Promise<Reach> => {
  const mx = await resolver.mx(domain, signal)
  if (mx.kind === 'failure') return { problem: `The mail servers (MX) of ${domain} could not be looked up: ${mx.reason}.`, failed: true }
  if (mx.kind === 'records') {
    if (mx.records.some(({ exchange }) => exchange !== '')) return null
    return { problem: `${domain} takes no mail: its MX is null (RFC 7505).`, failed: false }
  }
  const addresses = await resolver.addresses(domain, signal)
  if (addresses.kind === 'records') return null
  if (addresses.kind === 'failure') return { problem: `The address of ${domain} could not be looked up: ${addresses.reason}.`, failed: true }
  return { problem: `${domain} takes no mail: it has neither an MX nor an address record.`, failed: false }
}

/** Everything that may be offered for a domain: no address whose domain is known to take no mail, each once. */
export const findAddresses = async (
  domain: string,
  resolver: Pick<Resolver, 'mx' | 'addresses' | 'caa' | 'txt'>,
  signal: AbortSignal,
): Promise<Addresses> => {
  const levels = upToRegistrable(domain)
  const problems: string[] = []
  const [caa, txt] = await Promise.all([
    Promise.all(levels.map(async (at): Promise<[string, Answer<CaaRecord>]> => [at, await resolver.caa(at, signal)])),
    Promise.all(levels.map(async (at): Promise<[string, Answer<string>]> => [at, await resolver.txt(`_validation-contactemail.${at}`, signal)])),
  ])
  const contacts = [...caaContacts(caa, problems), ...txt.flatMap((one) => txtContacts(one, problems))].slice(0, MAX_CONTACTS)
  const all = [...new Map([...constructedAddresses(domain), ...contacts].map((found) => [`${found.address} ${found.source}`, found])).values()]
  const domains = [...new Set(all.map(({ address }) => address.slice(address.lastIndexOf('@') + 1)))]
  const reach = new Map(await Promise.all(domains.map(async (one) => [one, await reachOf(one, resolver, signal)] as const)))
  const unreachable = [...reach.values()].flatMap((found) => (found ? [found.problem] : []))
  const reachable = all.filter(({ address }) => reach.get(address.slice(address.lastIndexOf('@') + 1))?.failed !== false)
  return { addresses: reachable, problems: [...unreachable, ...problems].slice(0, MAX_PROBLEMS) }
}
