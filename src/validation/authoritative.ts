/**
 * What each authoritative server of a zone answers now, for somebody who has just put a record there and wonders whether it has arrived.
 *
 * The resolver is never asked for the name itself, nor for an alias's: an answer that there is no such name would stay in its cache, and the validation that comes next
 * would be given it. It is asked for the zone's servers and their addresses only; the servers themselves tell of aliases and of zones further down.
 */
import { registrableDomain } from '../identifier.js'
import { forbiddenRange } from './address.js'
import { withDeadline } from './deadline.js'
import type { AskServer } from './dns-ask.js'
import { aliasesFrom, type DnsAnswer, type DnsRecord, rcodeName, recordTypes } from './dns-message.js'
import type { Answer } from './recursive.js'
import type { Resolver } from './resolver.js'

/** One address of one server. `values`: TXT records as Latin-1; `ttl` in seconds. */
export type ServerLook = {
  server: string
  address: string | null
  answer: { kind: 'records'; values: string[]; ttl: number } | { kind: 'none'; reason: 'NXDOMAIN' | 'NODATA' } | { kind: 'failure'; reason: string }
}

export type AuthoritativeLook = {
  /** Where the chain of aliases from the name leads; null without one. */
  alias: string | null
  /** The zone of the name, or of what it is an alias for; null where none was found, and `problem` says why. */
  zone: string | null
  servers: ServerLook[]
  problem: string | null
}

export type AuthoritativeDeps = { resolver: Pick<Resolver, 'ns' | 'addresses'>; ask: AskServer; lab: boolean; totalMs?: number }

const DEFAULT_MS = 4_500
/** Servers of a zone and addresses of a server that are asked, and how often an alias or a delegation is followed. */
const MAX_SERVERS = 8
const MAX_ADDRESSES = 4
const MAX_STEPS = 5
/** Places at which a zone is looked for: names that can be certified have at most ten labels, but an alias may lead to one with a hundred. */
const MAX_APEXES = 14

type Server = { name: string; addresses: string[] | null }
type Zone = { name: string; servers: Server[] }

/** What a server's answer leads to, beside records or none. */
type Outcome = ServerLook['answer'] | { kind: 'alias'; target: string } | { kind: 'delegation'; zone: Zone }
/** `alias`: where the server's own aliases end, if they lead elsewhere. */
type Asked = Omit<ServerLook, 'answer'> & { outcome: Outcome; alias?: string }

const parentOf = (name: string): string => name.slice(name.indexOf('.') + 1)
const isBelow = (name: string, zone: string): boolean => name === zone || name.endsWith(`.${zone}`)
const textOf = (record: DnsRecord): string => record.data ?? ''

/** The names at which the zone of `name` may begin, nearest first, without `name` itself; none above what somebody can register, but in a laboratory. */
const apexes = (name: string, lab: boolean): string[] => {
  const top = lab ? '' : registrableDomain(name)
  const found: string[] = []
  for (let at = name; at.includes('.') && at !== top; ) {
    at = parentOf(at)
    found.push(at)
  }
  return found
}

/** The end of the aliases that an answer has for a name. */
const followIn = (answers: readonly DnsRecord[], name: string): string => aliasesFrom(answers, name).at(-1)?.data ?? name

const glueOf = (answer: DnsAnswer, server: string): string[] | null => {
  const found = answer.additionals.filter(({ name, type }) => name === server && (type === recordTypes.A || type === recordTypes.AAAA)).map(textOf)
  return found.length > 0 ? found : null
}

/** What a server of `zone` says of the TXT records at `name`. */
const read = (answer: DnsAnswer, name: string, zone: string): Outcome => {
  const { rcode, authoritative, answers, authorities } = answer
  if (rcode !== 0 && rcode !== 3) return { kind: 'failure', reason: rcodeName(rcode) }
  const end = followIn(answers, name)
  const records = answers.filter((record) => record.type === recordTypes.TXT && record.name === end)
  if (!authoritative) {
    const referral = authorities.filter((record) => record.type === recordTypes.NS && record.name !== zone)
    const [first] = referral
    if (answers.length === 0 && first && isBelow(first.name, zone) && isBelow(name, first.name)) {
      const servers = referral.map((record) => ({ name: textOf(record), addresses: glueOf(answer, textOf(record)) }))
      return { kind: 'delegation', zone: { name: first.name, servers } }
    }
    return { kind: 'failure', reason: `it is not authoritative for ${zone}` }
  }
  if (records.length > 0) return { kind: 'records', values: records.map(textOf), ttl: Math.min(...records.map(({ ttl }) => ttl)) }
  if (end !== name) return { kind: 'alias', target: end }
  return { kind: 'none', reason: rcode === 3 ? 'NXDOMAIN' : 'NODATA' }
}

/** The nearest zone above a name, by the resolver; or in a sentence why there is none. */
const findZone = async ({ resolver, lab }: AuthoritativeDeps, name: string, signal: AbortSignal): Promise<Zone | string> => {
  const candidates = apexes(name, lab)
  if (candidates.length > MAX_APEXES) return `${name.slice(0, 80)}… has more labels than this CA looks for zones at.`
  const answers = await Promise.all(candidates.map(async (apex): Promise<[string, Answer<string>]> => [apex, await resolver.ns(apex, signal)]))
  const found = answers.find(([, answer]) => answer.kind === 'records')
  if (found && found[1].kind === 'records') return { name: found[0], servers: found[1].records.map((server) => ({ name: server, addresses: null })) }
  const failed = answers.find(([, answer]) => answer.kind === 'failure')
  if (failed && failed[1].kind === 'failure') return `The look-up of the name servers of ${failed[0]} failed: ${failed[1].reason}.`
  const top = candidates.at(-1) ?? name
  return `No name servers were found for ${top}. Is it registered, and does its registry know its name servers?`
}

const askAddress = async (
  deps: AuthoritativeDeps,
  zone: Zone,
  server: string,
  address: string,
  name: string,
  signal: AbortSignal,
): Promise<Asked> => {
  const range = forbiddenRange(address, deps.lab)
  if (range !== null) {
    // Nor is it told: it may be the answer of a resolver that knows more than the public does.
    return {
      server,
      address: null,
      outcome: { kind: 'failure', reason: `the address is not a public one (${range}); this CA does not connect to it` },
    }
  }
  const asked = await deps.ask(address, name, 'TXT', signal)
  if (!asked.ok) return { server, address, outcome: { kind: 'failure', reason: asked.reason } }
  const alias = followIn(asked.answer.answers, name)
  return { server, address, outcome: read(asked.answer, name, zone.name), ...(alias !== name && { alias }) }
}

const askServer = async (
  deps: AuthoritativeDeps,
  zone: Zone,
  { name: server, addresses }: Server,
  name: string,
  signal: AbortSignal,
): Promise<Asked[]> => {
  const known: Answer<string> = addresses ? { kind: 'records', records: addresses } : await deps.resolver.addresses(server, signal)
  if (known.kind !== 'records') return [{ server, address: null, outcome: { kind: 'failure', reason: `no address: ${known.reason}` } }]
  return Promise.all(known.records.slice(0, MAX_ADDRESSES).map((address) => askAddress(deps, zone, server, address, name, signal)))
}

/** What lies behind one name: where to go on, or the end. */
type Step = { to: { name: string; zone: Zone | null } } | { end: AuthoritativeLook }

const step = async (deps: AuthoritativeDeps, alias: string | null, name: string, given: Zone | null, signal: AbortSignal): Promise<Step> => {
  const zone = given ?? (await findZone(deps, name, signal))
  if (typeof zone === 'string') return { end: { alias, zone: null, servers: [], problem: zone } }
  const servers = [...new Map(zone.servers.map((server) => [server.name, server])).values()].slice(0, MAX_SERVERS)
  const asked = (await Promise.all(servers.map((server) => askServer(deps, zone, server, name, signal)))).flat()
  for (const { outcome } of asked) {
    if (outcome.kind === 'alias') return { to: { name: outcome.target, zone: null } }
    if (outcome.kind === 'delegation') return { to: { name, zone: outcome.zone } }
  }
  const looks = asked.flatMap(({ server, address, outcome }): ServerLook[] =>
    outcome.kind === 'alias' || outcome.kind === 'delegation' ? [] : [{ server, address, answer: outcome }],
  )
  return { end: { alias: asked.find((one) => one.alias !== undefined)?.alias ?? alias, zone: zone.name, servers: looks, problem: null } }
}

/**
 * Looks at the TXT records of a name at each authoritative server. Takes at most `totalMs` (4.5 s); what did not answer until then is a failure. Never rejects.
 * @param name A-labels in lower case, below a registered domain
 */
export const lookAtServers = (deps: AuthoritativeDeps, name: string, signal: AbortSignal): Promise<AuthoritativeLook> =>
  withDeadline(deps.totalMs ?? DEFAULT_MS, signal, async (deadline) => {
    let at: { name: string; zone: Zone | null } = { name, zone: null }
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      const alias = at.name === name ? null : at.name
      const next = await step(deps, alias, at.name, at.zone, deadline)
      if ('end' in next) return next.end
      at = next.to
    }
    return { alias: at.name === name ? null : at.name, zone: null, servers: [], problem: `The aliases and delegations from ${name} do not end.` }
  })
