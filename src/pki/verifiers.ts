/**
 * What the XMPP software out there makes of a certificate: whether it accepts it for a domain, by which name, and why. Pure and free of Node, so that the web
 * form, the ACME side and `check` share one judge. What is said here was read in the verifiers' own source and, for Prosody 0.12.3 and ejabberd 23.01, observed.
 * Trust is not judged, only the leaf: whether the root is known is another question.
 */
import { toAscii } from '../idna.js'

/** The facts of a certificate that verifiers look at. Times are milliseconds since the epoch; both purposes are true where there is no extKeyUsage. */
export type LeafFacts = {
  dnsNames: string[]
  srvNames: string[]
  xmppAddrs: string[]
  commonName: string | null
  serverAuth: boolean
  clientAuth: boolean
  notBefore: number
  notAfter: number
  keyKind: string
}

export type VerifierName = 'prosody' | 'ejabberd' | 'openfire' | 'conversations' | 'dino' | 'gajim'

export type NameForm = 'dNSName' | 'SRVName' | 'XmppAddr' | 'CN'

export type Judgement = {
  verifier: VerifierName
  /** The verifier's name as its makers write it. */
  label: string
  /** `s2s`: a server, judging the certificate of its peer, whichever of the two dials. `c2s`: a client, judging that of its server. */
  role: 's2s' | 'c2s'
  accepted: boolean
  /** The form of the name that was found; also where something else than the name refuses it. */
  by: NameForm | null
  /** A sentence. */
  why: string
}

/** How one verifier reads names. */
type Verifier = {
  name: VerifierName
  label: string
  role: 's2s' | 'c2s'
  /** Whether a dNSName in capitals is found; how many labels a wildcard stands for. */
  dns: { anyCase: boolean; depth: 'one' | 'any' }
  /** The services of the SRVNames that it reads. */
  srv: readonly string[]
  /** Whether the label behind the service may be a wildcard. */
  srvWildcard?: true
  xmppAddr: boolean
  /** When it reads the CN: never, where no other name form is present, or always. */
  commonName: 'never' | 'alone' | 'always'
  /** Something else than names for which it refuses a certificate, in words that go behind its label. */
  refuses: (leaf: LeafFacts) => string | null
}

const needsServerAuth = ({ serverAuth }: LeafFacts): string | null =>
  serverAuth ? null : 'takes no certificate as that of a server whose extended key usage is without serverAuth.'

const client = { role: 'c2s', commonName: 'never', refuses: needsServerAuth } as const
const library = { ...client, dns: { anyCase: true, depth: 'one' }, srv: [], xmppAddr: false } as const

const verifiers: readonly Verifier[] = [
  {
    name: 'prosody',
    label: 'Prosody',
    role: 's2s',
    dns: { anyCase: true, depth: 'one' },
    srv: ['_xmpp-server'],
    srvWildcard: true,
    // There is code for it, but it is never reached with what the TLS library gives.
    xmppAddr: false,
    commonName: 'alone',
    refuses: ({ serverAuth }) =>
      serverAuth
        ? null
        : 'checks peers as servers in both directions, so it does not trust a certificate whose extended key usage is without serverAuth.',
  },
  {
    name: 'ejabberd',
    label: 'ejabberd',
    role: 's2s',
    dns: { anyCase: false, depth: 'one' },
    srv: [],
    xmppAddr: false,
    commonName: 'always',
    refuses: ({ xmppAddrs, serverAuth, clientAuth }) => {
      const trap = xmppAddrs.find((address) => !address.includes('@'))
      if (trap !== undefined) return `crashes in its server-to-server check over the XmppAddr "${trap}" and closes the stream, in both directions.`
      if (!serverAuth) return 'does not accept a certificate without serverAuth in its extended key usage where it dials.'
      if (clientAuth) return null
      return 'before 25.08 refuses it ("unsupported certificate purpose") where your server dials: its extended key usage is without clientAuth. Newer ones accept it.'
    },
  },
  {
    name: 'openfire',
    label: 'Openfire',
    role: 's2s',
    dns: { anyCase: false, depth: 'any' },
    srv: ['_xmpp-server', '_xmpp-client'],
    xmppAddr: true,
    commonName: 'alone',
    refuses: () => null,
  },
  { ...client, name: 'conversations', label: 'Conversations', dns: { anyCase: true, depth: 'any' }, srv: ['_xmpp-client'], xmppAddr: true },
  { ...library, name: 'dino', label: 'Dino' },
  { ...library, name: 'gajim', label: 'Gajim' },
]

/** Whether a dNSName is the domain, or a wildcard that stands for it. */
const matches = (presented: string, domain: string, { anyCase, depth }: Verifier['dns']): boolean => {
  const name = anyCase ? presented.toLowerCase() : presented
  if (name === domain) return true
  if (!name.startsWith('*.')) return false
  const base = name.slice(1)
  const label = domain.endsWith(base) ? domain.slice(0, -base.length) : ''
  return label !== '' && (depth === 'any' || !label.includes('.'))
}

/** The name by which a verifier takes a certificate as the domain's; null where it finds none. */
const findName = (verifier: Verifier, leaf: LeafFacts, domain: string): { by: NameForm; value: string } | null => {
  const { dns, srv, srvWildcard, xmppAddr, commonName } = verifier
  const ofDns = leaf.dnsNames.find((name) => matches(name, domain, dns))
  if (ofDns !== undefined) return { by: 'dNSName', value: ofDns }
  const ofSrv = leaf.srvNames.find((name) => {
    const dot = name.indexOf('.')
    const rest = name.slice(dot + 1)
    // The service is compared as it stands, capitals and all; what follows is a domain name.
    return srv.includes(name.slice(0, dot)) && (srvWildcard ? matches(rest, domain, dns) : rest.toLowerCase() === domain)
  })
  if (ofSrv !== undefined) return { by: 'SRVName', value: ofSrv }
  const ofXmpp = xmppAddr ? leaf.xmppAddrs.find((address) => toAscii(address) === domain) : undefined
  if (ofXmpp !== undefined) return { by: 'XmppAddr', value: ofXmpp }
  const alone = leaf.dnsNames.length + leaf.srvNames.length + leaf.xmppAddrs.length === 0
  const reads = commonName === 'always' || (commonName === 'alone' && alone)
  return reads && leaf.commonName !== null && matches(leaf.commonName, domain, dns) ? { by: 'CN', value: leaf.commonName } : null
}

/** What a verifier would have taken, and what stands there that it does not take. */
const missing = (verifier: Verifier, leaf: LeafFacts, domain: string): string => {
  const { label, dns, srv, xmppAddr } = verifier
  const forms = [`dNSName ${domain}`, ...srv.map((service) => `SRVName ${service}.${domain}`), ...(xmppAddr ? [`XmppAddr ${domain}`] : [])]
  const head = `${label} finds no name for ${domain}: it looks for ${forms.join(' or ')}`
  const of = (presented: string) => presented.toLowerCase() === domain
  const capitals = leaf.dnsNames.find((name) => of(name))
  if (capitals !== undefined && !dns.anyCase) return `${head}, and compares case; the certificate has ${capitals}.`
  const deep = dns.depth === 'one' && leaf.dnsNames.find((name) => matches(name, domain, { anyCase: true, depth: 'any' }))
  if (deep) return `${head}; the wildcard ${deep} stands for one label only.`
  if (leaf.srvNames.some((name) => of(name.slice(name.indexOf('.') + 1)))) {
    return srv.length === 0 ? `${head}, and does not read SRVName.` : `${head}; the SRVName that is there is for another service.`
  }
  if (leaf.xmppAddrs.some((address) => toAscii(address) === domain)) return `${head}, and does not read XmppAddr.`
  if (leaf.commonName !== null && of(leaf.commonName)) {
    return `${head}, and ${verifier.commonName === 'never' ? 'does not read the CN' : 'reads the CN only where there are no other names'}.`
  }
  return `${head}.`
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

const judgeBy = (verifier: Verifier, leaf: LeafFacts, domain: string, now: number): Judgement => {
  const { name, label, role } = verifier
  const found = findName(verifier, leaf, domain)
  const verdict = (accepted: boolean, why: string): Judgement => ({ verifier: name, label, role, accepted, by: found?.by ?? null, why })
  if (now > leaf.notAfter) return verdict(false, `${label} refuses it: it expired on ${day(leaf.notAfter)}.`)
  if (now < leaf.notBefore) return verdict(false, `${label} refuses it: it is not valid before ${day(leaf.notBefore)}.`)
  const refused = verifier.refuses(leaf)
  if (refused !== null) return verdict(false, `${label} ${refused}`)
  if (!found) return verdict(false, missing(verifier, leaf, domain))
  const wildcard = found.value.includes('*') ? ', a wildcard' : ''
  return verdict(true, `${label} accepts it by the ${found.by} ${found.value}${wildcard}.`)
}

/**
 * What each verifier makes of a certificate for a domain.
 * @param domain the XMPP domain, as A-labels or U-labels
 * @param now milliseconds since the epoch
 */
export const judge = (leaf: LeafFacts, domain: string, now: number): Judgement[] => {
  const ascii = toAscii(domain) ?? domain.toLowerCase()
  return verifiers.map((verifier) => judgeBy(verifier, leaf, ascii, now))
}
