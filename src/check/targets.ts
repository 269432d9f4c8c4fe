/** Where the services of a domain are: SRV records (RFC 6120 §3.2.1, XEP-0368), the fallback to the domain's own addresses, and what is wrong with them. */
import { forbiddenRange } from '../validation/address.js'
import type { DnsClient, SrvRecord } from './dns-query.js'
import type { Endpoint } from './probe.js'
import { type Finding, finding, type ServiceReport } from './report.js'

type Service = { label: string; role: Endpoint['role']; direct: boolean; fallbackPort: number | null }

const services: readonly Service[] = [
  { label: '_xmpp-client._tcp', role: 'c2s', direct: false, fallbackPort: 5222 },
  { label: '_xmpps-client._tcp', role: 'c2s', direct: true, fallbackPort: null },
  { label: '_xmpp-server._tcp', role: 's2s', direct: false, fallbackPort: 5269 },
  { label: '_xmpps-server._tcp', role: 's2s', direct: true, fallbackPort: null },
]

/** Of each service, by priority; of each target and family. */
const maxTargets = 4
const maxAddresses = 2

export type TargetOptions = {
  only?: Endpoint['role'] | undefined
  /** Whether private addresses and the ports of other protocols may be connected to. */
  lab: boolean
  /** Ports of the fallback; 5222 and 5269 but in tests. */
  fallbackPorts?: { c2s: number; s2s: number } | undefined
}

export type Targets = {
  services: ServiceReport[]
  endpoints: Endpoint[]
  findings: Finding[]
  /** By host: whether the answers on the way to it were authenticated by DNSSEC, as far as the resolver says. */
  authentic: Map<string, boolean>
}

type Host = { host: string; port: number; priority: number; weight: number }

const isHostName = (name: string): boolean =>
  /^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/.test(name) && !/(^|\.)\d+$/.test(name)

/** The work of one check of the DNS. */
const createFinder = (domain: string, dns: DnsClient, options: TargetOptions, signal: AbortSignal) => {
  const out: Targets = { services: [], endpoints: [], findings: [], authentic: new Map() }
  const note = (...args: Parameters<typeof finding>): void => void out.findings.push(finding(...args))

  /** The addresses of a host that may be tried, IPv6 first; what is wrong with it is noted. */
  const addressesOf = async (host: string): Promise<string[]> => {
    const answers = await Promise.all([dns.query(host, 'AAAA', signal), dns.query(host, 'A', signal)])
    const addresses = answers.flatMap((answer) => (answer.kind === 'records' ? answer.records.slice(0, maxAddresses) : []))
    const failed = answers.find((answer) => answer.kind === 'failure')
    if (failed?.kind === 'failure')
      note('dns-failed', host, `The look-up of the addresses of ${host} failed: ${failed.reason}.`, addresses.length > 0 ? 'warning' : 'failing')
    else if (addresses.length === 0 && host !== domain) note('srv-target-missing', host, `${host} has neither A nor AAAA records.`)
    const alias = answers.find((answer) => answer.kind !== 'failure' && answer.aliases.length > 0)
    if (alias && alias.kind !== 'failure' && host !== domain) note('srv-alias', host, `${host} is an alias (CNAME) of ${alias.aliases[0]}.`)
    return addresses.filter((address) => {
      const range = forbiddenRange(address, options.lab)
      if (range) note('address-private', host, `${host} has the address ${address} (${range}); this check does not connect to it.`)
      return range === null
    })
  }
  const known = new Map<string, Promise<string[]>>()
  const lookUp = (host: string): Promise<string[]> => {
    const before = known.get(host) ?? addressesOf(host)
    known.set(host, before)
    return before
  }

  const take = async ({ role, direct }: Service, hosts: Host[]): Promise<void> => {
    const found = await Promise.all(
      hosts.map(async ({ host, port }) => (await lookUp(host)).map((address): Endpoint => ({ role, direct, host, port, address }))),
    )
    out.endpoints.push(...found.flat())
  }

  const fallBack = async (service: Service, name: string, authentic: boolean): Promise<ServiceReport['state']> => {
    const { role, fallbackPort } = service
    if (fallbackPort === null) return 'not published'
    const port = options.fallbackPorts?.[role] ?? fallbackPort
    const addresses = await lookUp(domain)
    if (addresses.length > 0) note('srv-missing', name, `${name} has no SRV record, so peers go to ${domain}, port ${port}.`)
    // That there are no records is signed, too.
    out.authentic.set(domain, authentic && (out.authentic.get(domain) ?? true))
    await take(service, [{ host: domain, port, priority: 0, weight: 0 }])
    return 'not published'
  }

  /** Sorts out the records of a service that lead nowhere. */
  const usable = (name: string, records: SrvRecord[]): Host[] =>
    records
      .filter(({ target }) => target !== '')
      .filter(({ target, port }) => {
        const isKnown = options.lab || port >= 1024 || port === 80 || port === 443
        if (isHostName(target) && port > 0 && isKnown) return true
        if (isHostName(target) && port > 0) note('port-refused', name, `${name} has the port ${port}, which belongs to another protocol.`)
        else note('srv-target-invalid', name, `${name} has the target ${JSON.stringify(target)}, port ${port}.`)
        return false
      })
      .map(({ target, ...rest }) => ({ host: target, ...rest }))
      .sort((a, b) => a.priority - b.priority || b.weight - a.weight)

  const find = async (service: Service): Promise<void> => {
    const name = `${service.label}.${domain}`
    const answer = await dns.query(name, 'SRV', signal)
    const report: ServiceReport = { service: service.label, state: 'unknown', records: [] }
    out.services.push(report)
    if (answer.kind === 'failure') return note('dns-failed', name, `The look-up of ${name} failed: ${answer.reason}.`)
    if (answer.kind === 'none') {
      report.state = await fallBack(service, name, answer.authentic)
      return
    }
    report.records = answer.records.slice(0, 20).map(({ target, port, priority, weight }) => ({ target: target || '.', port, priority, weight }))
    const hosts = usable(name, answer.records)
    const declines = answer.records.some(({ target }) => target === '')
    report.state = declines && hosts.length === 0 ? 'not offered' : 'offered'
    if (declines && answer.records.length > 1) note('srv-dot-mixed', name, `${name} has the target "." and ${answer.records.length - 1} more.`)
    else if (declines)
      note('srv-not-offered', name, `${name} has the target ".": ${service.role} ${service.direct ? 'by direct TLS ' : ''}is not offered.`)
    if (hosts.length > maxTargets) note('srv-many', name, `${name} has ${hosts.length} targets; the first ${maxTargets} are looked at.`)
    for (const { host } of hosts) out.authentic.set(host, answer.authentic)
    await take(service, hosts.slice(0, maxTargets))
  }

  return { out, find, note }
}

/** Looks the services of a domain up (A-labels). Whatever the DNS does becomes a finding. */
export const findTargets = async (domain: string, dns: DnsClient, options: TargetOptions, signal: AbortSignal): Promise<Targets> => {
  const { out, find, note } = createFinder(domain, dns, options, signal)
  const wanted = services.filter(({ role }) => options.only === undefined || options.only === role)
  await Promise.all(wanted.map(find))
  const order = (report: ServiceReport) => services.findIndex(({ label }) => label === report.service)
  out.services.sort((a, b) => order(a) - order(b))
  const nothing = out.endpoints.length === 0 && !out.services.some(({ state }) => state === 'offered')
  const declined = out.services.some(({ state }) => state === 'not offered')
  if (nothing && !declined && out.findings.every(({ level }) => level !== 'failing')) {
    note('no-service', domain, `${domain} has no SRV records for XMPP and no addresses of its own.`)
  }
  if (out.endpoints.length > 0 && !out.endpoints.some(({ address }) => address.includes(':'))) {
    note('ipv6-missing', domain, 'None of the targets has an IPv6 address.')
  }
  return out
}
