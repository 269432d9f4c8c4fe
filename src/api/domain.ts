/** What the CA sees of a domain before anybody orders: is it a name, what does the DNS say, is there a certificate, would something refuse one. */
import { z } from 'zod'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import { registrableDomain, toUnicode } from '../identifier.js'
import type { Ica } from '../issuance/ica.js'
import { caaProspect, limitProspect, nameProspect } from '../issuance/prospects.js'
import { forbiddenRange } from '../validation/address.js'
import { withDeadline } from '../validation/deadline.js'
import type { Answer } from '../validation/recursive.js'
import type { Resolver } from '../validation/resolver.js'
import { type CertificateDeps, newestOf, readDomain } from './certificates.js'
import { usualServices } from './facts.js'
import { createMemo } from './memo.js'
import { type Route, route } from './route.js'
import { domain, rfc3339 } from './schemas.js'

export type DomainDeps = Pick<CertificateDeps, 'store'> & {
  clock: Clock
  ica: Pick<Ica, 'store' | 'clock' | 'settings' | 'policies' | 'validators' | 'email' | 'lookUpCaa'>
  resolver: Pick<Resolver, 'srv' | 'mx' | 'addresses'>
  /** Milliseconds for all look-ups together. */
  totalMs?: number
}

type Domain = z.input<typeof domain>
type Look = {
  resolver: DomainDeps['resolver']
  lab: boolean
  signal: AbortSignal
  incomplete: string[]
  /** The addresses of hosts that were asked for, each once. */
  hosts: Map<string, Promise<string[]>>
}

const defaultMs = 4_500
const services = ['_xmpp-client._tcp', '_xmpp-server._tcp', '_xmpps-client._tcp', '_xmpps-server._tcp'] as const
/** Of each list of records; what is beyond nobody needs to see. */
const mostTargets = 10
const mostAddresses = 8
/** Hosts of all services whose addresses are looked up: who writes the records chooses whose name servers are asked. */
const mostHosts = 12
const longestName = 253

/** The records of an answer; of a failure none, and a sentence is noted. */
const recordsOf = <T>({ incomplete }: Look, what: string, answer: Answer<T>): T[] => {
  if (answer.kind === 'failure') incomplete.push(`The look-up of ${what} failed: ${answer.reason}.`)
  return answer.kind === 'records' ? answer.records : []
}

/** Addresses that the public can use. Others are not told: the resolver may know more of its own network than the public does. */
const askAddresses = async (look: Look, host: string): Promise<string[]> => {
  const found = recordsOf(look, `the addresses of ${host}`, await look.resolver.addresses(host, look.signal))
  const hidden = found.map((address) => forbiddenRange(address, look.lab)).find((range) => range !== null)
  if (hidden) look.incomplete.push(`${host} has an address that is not a public one (${hidden}); servers elsewhere cannot reach it.`)
  return found.filter((address) => forbiddenRange(address, look.lab) === null).slice(0, mostAddresses)
}

const lookUpAddresses = (look: Look, host: string): Promise<string[]> => {
  const { hosts, incomplete } = look
  const known = hosts.get(host)
  if (known) return known
  if (hosts.size === mostHosts) incomplete.push(`The services have more than ${mostHosts} hosts; the addresses of the others are left out.`)
  const asked = hosts.size < mostHosts ? askAddresses(look, host) : Promise.resolve([])
  hosts.set(host, asked)
  return asked
}

const lookUpService = async (look: Look, service: (typeof services)[number], base: string): Promise<Domain['srv']> => {
  const name = `${service}.${base}`
  if (name.length > longestName) return []
  const records = recordsOf(look, `the SRV records of ${name}`, await look.resolver.srv(name, look.signal))
  return Promise.all(
    records.slice(0, mostTargets).map(async ({ target, port, priority, weight }) => {
      return { service, target, port, priority, weight, addresses: target === '.' ? [] : await lookUpAddresses(look, target) }
    }),
  )
}

const suggest = async ({ resolver, signal }: Look, base: string, wildcard: boolean): Promise<Domain['suggestions']> => {
  const names = [...usualServices.map((part) => `${part}.${base}`), ...(wildcard ? [] : [`*.${base}`])].filter((name) => name.length <= longestName)
  return Promise.all(
    names.map(async (name) => {
      const { kind } = await resolver.addresses(name, signal)
      return { name, resolves: kind === 'failure' ? null : kind === 'records' }
    }),
  )
}

const lookUpMail = async (look: Look, base: string): Promise<Domain['mx']> => {
  const answer = await look.resolver.mx(base, look.signal)
  const records = recordsOf(look, `the MX records of ${base}`, answer)
  if (answer.kind === 'failure') return null
  const hosts = records.sort((a, b) => a.preference - b.preference).map(({ exchange }) => exchange)
  return {
    null: records.length === 1 && (hosts[0] === '' || hosts[0] === '.'),
    hosts: hosts.filter((host) => host !== '' && host !== '.').slice(0, mostTargets),
  }
}

const nothing: Omit<Domain, 'name' | 'problem'> = {
  ascii: null,
  unicode: null,
  wildcard: false,
  registrable: null,
  srv: [],
  suggestions: [],
  caa: null,
  mx: null,
  certificates: [],
  limits: null,
  incomplete: [],
}

const lookAt = async (deps: DomainDeps, { value, base, wildcard }: ReturnType<typeof readDomain>): Promise<Omit<Domain, 'name'>> => {
  const identifier = { type: 'dns' as const, value }
  const incomplete: string[] = []
  const looked = withDeadline(deps.totalMs ?? defaultMs, new AbortController().signal, async (signal) => {
    const look: Look = { resolver: deps.resolver, lab: deps.ica.settings.lab, signal, incomplete, hosts: new Map() }
    const [srv, suggestions, mx, caa] = await Promise.all([
      Promise.all(services.map((service) => lookUpService(look, service, base))),
      suggest(look, base, wildcard),
      lookUpMail(look, base),
      caaProspect(deps.ica, identifier, signal),
    ])
    return { srv: srv.flat(), suggestions, mx, caa }
  })
  const [{ srv, suggestions, mx, caa }, refusal, limits, certificates] = await Promise.all([
    looked,
    nameProspect(deps.ica, identifier),
    limitProspect(deps.ica, identifier),
    newestOf(deps, base),
  ])
  return {
    ascii: base,
    unicode: toUnicode(base),
    wildcard,
    problem: refusal && { code: refusal.code, detail: refusal.message },
    registrable: registrableDomain(base),
    srv,
    suggestions,
    caa,
    mx,
    certificates,
    limits: limits && { detail: limits.detail, retryAt: rfc3339(limits.retryAt) },
    incomplete,
  }
}

export const domainRoutes = (deps: DomainDeps): Route[] => {
  const memo = createMemo<Omit<Domain, 'name'>>(deps.clock, 5_000, 1_000)
  return [
    route({
      path: '/api/domain',
      summary: 'What this CA sees of a domain',
      description:
        'Whether the name can be certified and if not why, its XMPP services (SRV) and other names that it may want in the certificate, whether CAA lets this CA issue, ' +
        'where its mail goes, its certificates, and the rate limit that a new one would meet. Looked up now, through the resolver that validates, within five seconds.',
      parameters: z.object({
        name: z
          .string()
          .max(1000, 'is longer than a name can be.')
          .meta({ description: 'With A-labels or U-labels, perhaps with a leading `*.`', examples: ['example.org'] }),
      }),
      answer: domain,
      weight: 'heavy',
      maxAge: 0,
      async handle({ name }) {
        try {
          const read = readDomain(name, deps.ica.settings.lab)
          return { name, ...(await memo(read.value, () => lookAt(deps, read))) }
        } catch (error) {
          if (!(error instanceof IcaError) || !['malformed', 'rejectedIdentifier'].includes(error.code)) throw error
          return { name, ...nothing, problem: { code: error.code, detail: error.message } }
        }
      },
    }),
  ]
}
