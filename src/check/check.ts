/** A look at a domain's XMPP servers from outside, as clients and peers take it, with a report that says what is wrong and what to do. Nothing is thrown for what the network does. */
import { toUnicode } from '../idna.js'
import { withDeadline } from '../validation/deadline.js'
import { type Anchors, type Chain, describeChain, judgeChain, readAnchors, readChain } from './certificate.js'
import { describeEndpoint, isServing, judgeEndpoint, nameEndpoint } from './endpoint.js'
import { type CheckPorts, fetchOnce } from './ports.js'
import { type ProbeOptions, probe, type Seen } from './probe.js'
import { judgeCaa, judgePosh, judgeTlsa } from './publications.js'
import { type Finding, finding, gather, type Report, verdictOf } from './report.js'
import { askStatus, fetchIssuers, judgeStaple } from './status.js'
import { findTargets, type Targets } from './targets.js'

export type CheckOptions = {
  only?: 'c2s' | 's2s' | undefined
  /** DER: the root of this CA, or others that are to be trusted beside the public ones. */
  roots: readonly Uint8Array[]
  /** The CA's names in CAA records; none to leave CAA alone. */
  caaIdentities?: readonly string[] | undefined
  /** What this program presents to servers. */
  identity?: ProbeOptions['identity']
  /** Milliseconds for everything; 14,000. */
  totalMs?: number | undefined
  /** Ports of the fallback, in tests. */
  fallbackPorts?: { c2s: number; s2s: number } | undefined
}

/** Endpoints beyond are left out: two connections are made to each. */
const maxEndpoints = 16

/** Chains beyond are judged without asking anybody: a server may show another one at each endpoint, and each may point to a large CRL. */
const maxAsked = 4

type Role = 'c2s' | 's2s'

/** A chain that was seen, with everything that it was seen at. */
type Served = { chain: Chain; seen: Seen[]; roles: Set<Role> }

/** The distinct chains of what was seen; one that can't be read is a finding. */
const collectChains = (all: readonly Seen[], anchors: Anchors, now: number): { served: Served[]; findings: Finding[] } => {
  const byContent = new Map<string, Served>()
  const findings: Finding[] = []
  for (const seen of all) {
    if (!seen.tls || seen.tls.chain.length === 0) continue
    const key = Buffer.concat(seen.tls.chain).toString('base64')
    const chain = byContent.get(key)?.chain ?? readChain(seen.tls.chain, anchors, now)
    if (!chain) {
      findings.push(finding('certificate-unreadable', nameEndpoint(seen.endpoint), 'It is not valid DER, or has a key of an unknown kind.'))
      continue
    }
    const served = byContent.get(key) ?? { chain, seen: [], roles: new Set<Role>() }
    served.seen.push(seen)
    served.roles.add(seen.endpoint.role)
    byContent.set(key, served)
  }
  return { served: [...byContent.values()], findings }
}

/** Everything about one chain, with what has to be asked for it. */
const judgeServed = async (
  served: Served,
  domain: string,
  anchors: Anchors,
  targets: Targets,
  ports: CheckPorts,
  signal: AbortSignal,
): Promise<Finding[]> => {
  const { seen, roles } = served
  const more = await fetchIssuers(served.chain, ports, signal)
  if (more.length > 0) served.chain = readChain(seen[0]?.tls?.chain ?? [], anchors, ports.now(), more) ?? served.chain
  const { chain } = served
  const where = seen.map(({ endpoint }) => nameEndpoint(endpoint)).join(', ')
  const hosts = new Map(seen.map(({ endpoint: { host, port } }) => [`${host}:${port}`, { host, port }]))
  const asked = await Promise.all([
    askStatus(chain, ports, where, signal),
    ...[...hosts.values()].map(({ host, port }) => judgeTlsa(host, port, chain, targets.authentic.get(host) ?? false, ports, signal)),
  ])
  const stapled = seen.flatMap(({ tls, endpoint }) => judgeStaple(tls?.staple ?? null, chain, nameEndpoint(endpoint), ports.now()))
  return [...judgeChain(chain, domain, roles, anchors, where, ports.now()), ...stapled, ...asked.flat()]
}

const isServed = (all: readonly Seen[], role: Role): boolean => all.some((seen) => seen.endpoint.role === role && isServing(seen))

/**
 * Checks a domain.
 * @param domain A-labels in lower case
 * @returns within `totalMs` and a moment, whatever the servers do
 */
export const checkDomain = async (domain: string, ports: CheckPorts, options: CheckOptions): Promise<Report> => {
  const anchors = readAnchors(options.roots)
  const totalMs = options.totalMs ?? 14_000
  const started = ports.now()
  const endless = new AbortController().signal
  const { only, fallbackPorts, identity } = options
  const part = <T>(share: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> => withDeadline(totalMs * share, endless, work)

  const targets = await part(0.3, (signal) => findTargets(domain, ports.dns, { only, fallbackPorts, lab: ports.lab }, signal))
  const findings = [...targets.findings]
  const endpoints = targets.endpoints.slice(0, maxEndpoints)
  if (endpoints.length < targets.endpoints.length) {
    findings.push(finding('srv-many', domain, `There are ${targets.endpoints.length} addresses and ports; the first ${maxEndpoints} are looked at.`))
  }
  const probing = { domain, identity, connectMs: totalMs * 0.3, totalMs: totalMs * 0.45 }
  const seen = await part(0.45, (signal) => Promise.all(endpoints.map((endpoint) => probe(endpoint, probing, signal))))
  const chains = collectChains(seen, anchors, ports.now())
  findings.push(...seen.flatMap((one) => judgeEndpoint(one, isServed(seen, one.endpoint.role))), ...chains.findings)
  for (const { chain, roles, seen: at } of chains.served.slice(maxAsked)) {
    const where = at.map(({ endpoint }) => nameEndpoint(endpoint)).join(', ')
    findings.push(...judgeChain(chain, domain, roles, anchors, where, ports.now()))
    findings.push(finding('status-many', where, `The status of ${maxAsked} certificates is asked; this is one more.`))
  }
  const once = fetchOnce(ports)
  const roles = (only ? [only] : (['c2s', 's2s'] as const)).filter((role) => chains.served.some((served) => served.roles.has(role)))
  const asked = await part(0.25, (signal) =>
    Promise.all([
      ...chains.served.slice(0, maxAsked).map((served) => judgeServed(served, domain, anchors, targets, once, signal)),
      judgeCaa(domain, options.caaIdentities ?? [], ports, signal),
      ...roles.map((role) => judgePosh(domain, role, chainsOf(chains.served, role), once, signal)),
    ]),
  )
  const all = gather([...findings, ...asked.flat()])
  const fingerprint = (one: Seen) => chains.served.find((served) => served.seen.includes(one))?.chain.leaf.fingerprint ?? null
  return {
    domain,
    unicode: toUnicode(domain),
    checkedAt: new Date(started).toISOString(),
    verdict: verdictOf(all),
    services: targets.services,
    endpoints: seen.map((one) => describeEndpoint(one, fingerprint(one))),
    certificates: chains.served.map(({ chain, roles }) => describeChain(chain, domain, roles, ports.now())),
    findings: all,
  }
}

const chainsOf = (served: readonly Served[], role: Role): Chain[] => served.filter(({ roles }) => roles.has(role)).map(({ chain }) => chain)

/** Judges a chain that is not served yet, without any network. `keyMatches` is null where the private key is not known. Throws nothing. */
export const checkChain = (
  der: readonly Uint8Array[],
  domain: string,
  roots: readonly Uint8Array[],
  keyMatches: boolean | null,
  where: string,
  now: number,
): Report => {
  const anchors = readAnchors(roots)
  const chain = readChain(der, anchors, now)
  const roles = new Set<Role>(['c2s', 's2s'])
  const findings = chain
    ? judgeChain(chain, domain, roles, anchors, where, now)
    : [finding('certificate-unreadable', where, 'It is not valid DER, or has a key of an unknown kind.')]
  if (keyMatches === false) findings.push(finding('key-mismatch', where, 'Its public key is another.'))
  const all = gather(findings)
  return {
    domain,
    unicode: toUnicode(domain),
    checkedAt: new Date(now).toISOString(),
    verdict: verdictOf(all),
    services: [],
    endpoints: [],
    certificates: chain ? [describeChain(chain, domain, roles, now)] : [],
    findings: all,
  }
}
