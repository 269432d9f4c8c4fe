/** What is right and wrong with a chain of certificates, wherever it comes from: a server, or a file before it is installed. No network. */
import { rootCertificates } from 'node:tls'
import { toAscii } from '../idna.js'
import { type PeerCertificate, readPeerCertificate } from '../pki/peer-certificate.js'
import { buildPath, type Path } from '../pki/peer-path.js'
import { pemDecode } from '../pki/pem.js'
import { type Judgement, judge, type LeafFacts } from '../pki/verifiers.js'
import { type CertificateReport, type ChainMember, type Finding, finding } from './report.js'
import type { FindingId } from './words.js'

/** Trust anchors: `own` of this CA or given by the operator, `public` what systems trust. */
export type Anchors = { own: PeerCertificate[]; public: PeerCertificate[] }

export type Chain = {
  leaf: PeerCertificate
  /** As presented. */
  presented: PeerCertificate[]
  /** Which of those that were presented (the leaf is 1) can't be read. */
  unreadable: number[]
  path: Path
  trust: CertificateReport['trust']
}

const day = 86_400_000
/** BR 6.3.2 lets certificates of servers live for 200 days; before 2026-03-15 it was 398. */
const longest = 398 * day
const maxChain = 6
/** Chains beyond are cut: each certificate costs time. */
const maxRead = 30

let systemRoots: PeerCertificate[] | null = null

/** Anchors of DER roots and the public roots that come with the runtime. What can't be read is left out of the latter, and thrown for the former. */
export const readAnchors = (own: readonly Uint8Array[]): Anchors => {
  systemRoots ??= rootCertificates.flatMap((pem) => {
    try {
      return pemDecode('CERTIFICATE', pem).map(readPeerCertificate)
    } catch {
      return []
    }
  })
  return { own: own.map((der) => readPeerCertificate(der)), public: systemRoots }
}

/** A chain with the way up from its leaf; null where the first certificate can't be read, which is the leaf. `more` are certificates that were found elsewhere. */
export const readChain = (der: readonly Uint8Array[], anchors: Anchors, now: number, more: readonly PeerCertificate[] = []): Chain | null => {
  const unreadable: number[] = []
  const presented = der.slice(0, maxRead).flatMap((one, index) => {
    try {
      return [readPeerCertificate(one)]
    } catch {
      unreadable.push(index + 1)
      return []
    }
  })
  if (unreadable.includes(1)) return null
  // A file may have the leaf anywhere; a server has it first, or its handshake fails.
  const leaf = presented.find(({ isCa }) => !isCa) ?? presented[0]
  if (!leaf) return null
  const candidates = [leaf, ...presented.filter((one) => one !== leaf), ...more]
  const own = buildPath(candidates, anchors.own, now)
  const path = own.anchor ? own : buildPath(candidates, anchors.public, now)
  return { leaf, presented, unreadable, path, trust: own.anchor ? 'own' : path.anchor ? 'public' : 'none' }
}

const date = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ')
const days = (ms: number): string => (Math.floor(ms / day) === 1 ? 'a day' : `${Math.floor(ms / day)} days`)

type Note = (id: FindingId, detail: string) => void

const judgeTimes = ({ leaf: { leaf }, path }: Chain, now: number, note: Note): void => {
  const life = leaf.notAfter - leaf.notBefore
  if (now > leaf.notAfter) note('expired', `It expired on ${date(leaf.notAfter)} UTC, ${days(now - leaf.notAfter)} ago.`)
  else if (now < leaf.notBefore) note('not-yet-valid', `It is valid from ${date(leaf.notBefore)} UTC.`)
  else if (leaf.notAfter - now < Math.min(14 * day, life / 6))
    note('expires-soon', `It expires on ${date(leaf.notAfter)} UTC, in ${days(leaf.notAfter - now)}.`)
  if (life > longest) note('validity-long', `It is valid for ${days(life)}.`)
  for (const above of path.certificates.slice(1)) {
    if (now > above.leaf.notAfter) note('ca-expired', `"${above.subject}" expired on ${date(above.leaf.notAfter)} UTC.`)
  }
}

const judgeKeys = ({ leaf, path, presented }: Chain, note: Note): void => {
  for (const one of path.certificates) {
    const whose = one === leaf ? 'It has' : `"${one.subject}" has`
    if (one.key.weak) note('key-weak', `${whose} a key of the kind ${one.key.kind} with ${one.key.bits} bits.`)
    // What a root says of itself is not relied on, only its key is.
    if (one.signature.weak && (!one.selfSigned || one === leaf)) note('signature-weak', `${whose} the signature ${one.signature.name}.`)
  }
  if (leaf.isCa && presented.length > 1) note('leaf-is-ca', `"${leaf.subject}" has basicConstraints CA:TRUE.`)
}

/** The judgements that are about names: whatever the time and the purposes are, which have findings of their own. */
const judgeNames = ({ leaf: { leaf } }: Chain, domain: string, roles: ReadonlySet<string>, note: Note): void => {
  const timeless: LeafFacts = { ...leaf, serverAuth: true, clientAuth: true }
  const judged = judge(timeless, domain, leaf.notAfter).filter(({ role }) => roles.has(role))
  const refused = judged.filter(({ accepted }) => !accepted)
  if (refused.length === judged.length) note('names-refused', `${namesText(leaf)} ${refused[0]?.why ?? ''}`)
  else if (refused.length > 0) note('names-partly', refused.map(({ why }) => why).join(' '))
  else note('names-accepted', judged.map(({ label }) => label).join(', '))

  const names = leaf.dnsNames.length + leaf.srvNames.length + leaf.xmppAddrs.length
  const of = (name: string) => name.slice(name.indexOf('.') + 1).toLowerCase() === domain
  if (names === 0 && leaf.commonName?.toLowerCase() === domain) note('only-cn', `It has the common name ${leaf.commonName} and no subjectAltName.`)
  if (leaf.dnsNames.length === 0 && leaf.srvNames.some(of)) note('only-srvname', `It has ${leaf.srvNames.slice(0, 8).join(', ')} and no dNSName.`)
  const address = leaf.xmppAddrs.find((one) => !one.includes('@'))
  if (address !== undefined) note('xmppaddr-present', `It has the XmppAddr ${address}${toAscii(address) === domain ? '' : ', of another domain'}.`)
  const deep = leaf.dnsNames.find(
    (name) => name.startsWith('*.') && domain.endsWith(name.slice(1)) && domain.slice(0, -name.slice(1).length).includes('.'),
  )
  if (deep && !leaf.dnsNames.includes(domain)) note('wildcard-depth', `${deep} does not stand for ${domain}.`)
}

const namesText = ({ dnsNames, srvNames, xmppAddrs, commonName }: LeafFacts): string => {
  const all = [...dnsNames, ...srvNames, ...xmppAddrs].slice(0, 8)
  if (all.length > 0) return `It is for ${all.join(', ')}.`
  return commonName ? `It has no subjectAltName, and the common name ${commonName}.` : 'It has no names at all.'
}

const judgePurposes = ({ leaf: { leaf } }: Chain, roles: ReadonlySet<string>, note: Note): void => {
  if (!leaf.serverAuth) note('no-server-auth', 'Its extended key usage is without serverAuth.')
  if (!leaf.clientAuth && roles.has('s2s')) note('no-client-auth', 'Its extended key usage is without clientAuth.')
}

/** Order and completeness of what was presented. */
const judgeOrder = ({ leaf, presented, path }: Chain, note: Note): void => {
  const root = presented.find(
    (one) => one.selfSigned && one !== leaf && (one.fingerprint === path.anchor?.fingerprint || path.certificates.includes(one)),
  )
  const wayUp = [...path.certificates, ...(root && !path.certificates.includes(root) ? [root] : [])]
  const positions = wayUp.map((one) => presented.indexOf(one)).filter((at) => at >= 0)
  if (positions.some((at, index) => at < (positions[index - 1] ?? 0))) {
    note('chain-order', `The order is: ${presented.map(({ subject }) => `"${subject}"`).join(', ')}.`)
  }
  if (root) note('chain-root', `"${root.subject}" is sent along.`)
  const extra = presented.filter((one) => one !== root && !path.certificates.includes(one))
  if (extra.length > 0)
    note(
      'chain-extra',
      `Superfluous: ${extra
        .slice(0, 5)
        .map(({ subject }) => `"${subject}"`)
        .join(', ')}${extra.length > 5 ? ` and ${extra.length - 5} more` : ''}.`,
    )
  if (presented.length > maxChain) note('chain-long', `${presented.length} certificates are sent.`)
}

/** Where the path ends, and what that means. */
const judgeTrust = ({ leaf, presented, path, trust }: Chain, anchors: Anchors, note: Note): void => {
  const { certificates, anchor } = path
  const top = certificates.at(-1) as PeerCertificate
  const found = certificates.find((one) => !presented.includes(one))
  if (found) note('chain-incomplete', `"${found.subject}" is missing; the certificate says where it is, but hardly any server fetches it.`)
  if (anchor) note(trust === 'own' ? 'trust-own' : 'trust-public', `It leads to "${anchor.subject}".`)
  else if (top === leaf && leaf.selfSigned) note('self-signed', `"${leaf.subject}" has signed itself.`)
  else if (top === leaf) note('chain-incomplete', `Nothing above it is sent: its issuer is "${leaf.issuer}".`)
  else {
    const known = anchors.own.length > 0 ? 'neither the root of this CA nor one that systems trust' : 'not one that systems trust; no other was given'
    note('root-unknown', `The chain ends at "${top.selfSigned ? top.subject : top.issuer}", which is ${known}.`)
  }
}

/** The findings about a chain for a domain (A-labels). `roles` are those that it serves, `where` is what the findings say of the place. */
export const judgeChain = (
  chain: Chain,
  domain: string,
  roles: ReadonlySet<'c2s' | 's2s'>,
  anchors: Anchors,
  where: string,
  now: number,
): Finding[] => {
  const findings: Finding[] = []
  const note: Note = (id, detail) => void findings.push(finding(id, where, detail))
  judgeTimes(chain, now, note)
  judgeNames(chain, domain, roles, note)
  judgePurposes(chain, roles, note)
  judgeKeys(chain, note)
  judgeOrder(chain, note)
  judgeTrust(chain, anchors, note)
  for (const index of chain.unreadable) {
    const detail = `Number ${index} of the chain is not valid DER, or has a key of an unknown kind; the others are judged without it.`
    findings.push(finding('certificate-unreadable', where, detail, 'warning'))
  }
  return findings
}

const member = ({ subject, issuer, serial, leaf, key, signature, fingerprint }: PeerCertificate): ChainMember => ({
  subject,
  issuer,
  serial,
  notBefore: new Date(leaf.notBefore).toISOString(),
  notAfter: new Date(leaf.notAfter).toISOString(),
  key: key.kind === 'RSA' ? `RSA ${key.bits}` : key.kind,
  signature: signature.name,
  fingerprint,
})

/** A chain for the report. */
export const describeChain = (
  { leaf, presented, trust }: Chain,
  domain: string,
  roles: ReadonlySet<'c2s' | 's2s'>,
  now: number,
): CertificateReport => {
  const { dnsNames, srvNames, xmppAddrs, commonName } = leaf.leaf
  const forms: [string, string[]][] = [
    ['dNSName', dnsNames],
    ['SRVName', srvNames],
    ['XmppAddr', xmppAddrs],
    ['CN', commonName === null ? [] : [commonName]],
  ]
  const judgements: Judgement[] = judge(leaf.leaf, domain, now).filter(({ role }) => roles.has(role))
  return {
    fingerprint: leaf.fingerprint,
    chain: presented.map(member),
    trust,
    names: forms.flatMap(([form, values]) => values.slice(0, 100).map((value) => ({ form, value }))),
    judgements,
  }
}
