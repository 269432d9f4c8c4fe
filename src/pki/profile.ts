/** Certificate profiles: what a kind of leaf certificate contains, as data. PKI.md says why each is as it is; certificate.ts builds from it, lint.ts checks against it. */
import { domainToASCII, domainToUnicode } from 'node:url'
import { IcaError } from '../errors.js'
import { type Identifier, identifierTypes } from '../identifier.js'
import { type CertificateName, type ChallengeType, challengeTypes } from '../model.js'
import { srvNamesOf } from './expected-leaf.js'
import { type KeyKind, keyKinds } from './keys.js'
import { oids } from './oids.js'

export type KeyPurpose = 'serverAuth' | 'clientAuth'

export type Profile = {
  /** What an ACME order asks for (draft-ietf-acme-profiles): lower-case letters, digits and hyphens. */
  name: string
  /** One sentence for people who choose, with what the choice costs. Shown in the directory. */
  description: string
  /** The types of ACME identifiers that an order may name. */
  identifierTypes: readonly Identifier['type'][]
  /** The challenges that may prove them. */
  challengeTypes: readonly ChallengeType[]
  /** The forms that each `dns` identifier has in subjectAltName; a `srv` one has its SRVName. */
  nameForms: readonly CertificateName['form'][]
  /** Forms of a `dns` identifier that it has besides where the CSR asks for them. */
  requestableNameForms: readonly CertificateName['form'][]
  keyKinds: readonly KeyKind[]
  extendedKeyUsage: readonly KeyPurpose[]
  /** Validity where the order does not ask for another, and the most that it may ask for. */
  validityMs: number
  maxValidityMs: number
  /** How far before the issuance notBefore may lie, for peers whose clock is slow. */
  backdateMs: number
  /** Whether the certificate points to OCSP and CRL. Only short-lived ones may do without (RFC 9608). */
  statusPointers: boolean
  /** TLS Feature status_request (RFC 7633): never, when the CSR asks for it, or always. */
  mustStaple: 'never' | 'asked' | 'always'
  /**
   * The certificate policy. anyPolicy until an operator sets an OID of an arc of its own: RFC 5280 §4.2.1.4 lets it carry the CPS URI, it says no more than the
   * CPS does, and an invented OID under 2.25 would not fit the 31-bit arcs that Go before 1.22 reads.
   */
  policy: string
}

const hour = 3_600_000
const day = 24 * hour

/** BR 6.3.2 as of 2026-03-15, and BR 1.6.1 "Short-lived Subscriber Certificate". */
const longest = 200 * day
const longestWithoutStatus = 7 * day
const longestBackdate = hour

const xmppServer: Profile = {
  name: 'xmpp-server',
  description: 'For XMPP servers, in both directions and with every known peer: dNSName and SRVName (RFC 6120).',
  identifierTypes: ['dns'],
  challengeTypes,
  nameForms: ['dNSName', 'SRVName'],
  requestableNameForms: ['XmppAddr'],
  keyKinds: ['P-256', 'P-384', 'RSA'],
  extendedKeyUsage: ['serverAuth', 'clientAuth'],
  validityMs: 90 * day,
  maxValidityMs: longest,
  backdateMs: hour,
  statusPointers: true,
  mustStaple: 'asked',
  policy: oids.anyPolicy,
}

/**
 * Certificates of users (XEP-0178), issued by the operator below the user root and by nobody else: no ACME order can name this profile. For clients alone, because a server
 * that takes client certificates asks for no name but the user's.
 */
export const userProfile: Profile = {
  ...xmppServer,
  name: 'xmpp-user',
  description: 'For users who log in with a certificate: XmppAddr with the bare JID.',
  identifierTypes: [],
  challengeTypes: [],
  nameForms: ['XmppAddr'],
  requestableNameForms: [],
  extendedKeyUsage: ['clientAuth'],
  validityMs: 365 * day,
  maxValidityMs: 825 * day,
  mustStaple: 'never',
}

/** The profiles that come with the program; the first is the default. */
export const builtinProfiles: readonly Profile[] = [
  xmppServer,
  {
    ...xmppServer,
    name: 'xmpp-server-3920',
    description:
      'As xmpp-server, with XmppAddr (RFC 3920) for old peers. Its domain form makes the server-to-server check of ejabberd fail: avoid it unless a peer needs it.',
    nameForms: ['dNSName', 'SRVName', 'XmppAddr'],
    requestableNameForms: [],
  },
  {
    ...xmppServer,
    name: 'xmpp-server-short',
    description: 'As xmpp-server, for at most 7 days and without OCSP and CRL: nothing to look up, but renewal must work every few days.',
    validityMs: 6 * day,
    // With the backdating, no longer than BR 1.6.1 allows.
    maxValidityMs: longestWithoutStatus - hour,
    statusPointers: false,
    mustStaple: 'never',
  },
  {
    ...xmppServer,
    name: 'xmpp-hosted',
    description:
      'For hosts that run XMPP for a domain which is not theirs: from srv identifiers, SRVName alone. Prosody, Openfire and Conversations accept it; ejabberd, Dino and Gajim do not.',
    identifierTypes: ['srv'],
    nameForms: ['SRVName'],
    requestableNameForms: [],
  },
]

/** Whether orders of a profile may name this identifier. */
export const takes = (profile: Profile, identifier: Pick<Identifier, 'type'>): boolean => profile.identifierTypes.includes(identifier.type)

const nameForms: readonly CertificateName['form'][] = ['dNSName', 'SRVName', 'XmppAddr']

/** What is wrong with a profile, one sentence each; none for a good one. */
export const checkProfile = (p: Profile): string[] => {
  const problems: string[] = []
  const demand = (fine: boolean, problem: string) => fine || problems.push(`Profile "${p.name}": ${problem}.`)
  const anyOf = <T>(values: readonly T[], known: readonly T[]) => new Set(values).size === values.length && values.every((v) => known.includes(v))
  const someOf = <T>(values: readonly T[], known: readonly T[]) => values.length > 0 && anyOf(values, known)
  demand(/^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/.test(p.name), 'the name must consist of lower-case letters, digits and hyphens')
  demand(p.description !== '', 'the description is empty')
  demand(p.identifierTypes.length > 0, 'no identifier type is allowed')
  demand(anyOf(p.identifierTypes, identifierTypes), `the identifier types must be some of ${identifierTypes.join(', ')}`)
  demand(someOf(p.challengeTypes, challengeTypes), `the challenge types must be some of ${challengeTypes.join(', ')}`)
  demand(someOf(p.nameForms, nameForms), 'the name forms must be some of dNSName, SRVName and XmppAddr')
  demand(anyOf(p.requestableNameForms, nameForms), 'the requestable name forms must be some of dNSName, SRVName and XmppAddr')
  const services = p.identifierTypes.includes('srv')
  demand(!services || p.nameForms.includes('SRVName'), 'srv identifiers need the name form SRVName')
  demand(!services || p.challengeTypes.some((type) => type.startsWith('dns-')), 'srv identifiers need a challenge by DNS')
  demand(someOf(p.keyKinds, keyKinds), `the kinds of keys must be some of ${keyKinds.join(', ')}`)
  demand(someOf(p.extendedKeyUsage, ['serverAuth', 'clientAuth']), 'the key purposes must be serverAuth, clientAuth or both')
  demand(p.validityMs > 0 && p.validityMs <= p.maxValidityMs, 'the validity must be above zero and not above its maximum')
  demand(p.maxValidityMs <= longest, 'the maximum validity is over 200 days')
  demand(
    p.statusPointers || p.maxValidityMs + p.backdateMs <= longestWithoutStatus,
    'without OCSP and CRL the maximum validity is 7 days, backdating included',
  )
  demand(p.statusPointers || p.mustStaple === 'never', 'must-staple needs OCSP')
  demand(p.backdateMs >= 0 && p.backdateMs <= longestBackdate, 'notBefore may lie at most an hour back')
  demand(/^[0-2](\.(0|[1-9]\d*))+$/.test(p.policy), 'the policy is not an object identifier')
  return problems
}

/**
 * The names that a certificate of this profile has for identifiers that were validated, in the order of their forms, each once: dNSName as the A-label;
 * SRVName as {@link srvNamesOf}; XmppAddr as the U-label (RFC 6120 §13.7.1.4). A wildcard is a dNSName and nothing else, a `srv` identifier its SRVName and nothing
 * else. Throws rejectedIdentifier for one that no form can carry.
 */
export const namesFor = (profile: Profile, identifiers: readonly Identifier[]): CertificateName[] => {
  const valuesOf = (type: Identifier['type']) => [...new Set(identifiers.filter((i) => i.type === type).map((i) => i.value))]
  const [values, services] = [valuesOf('dns'), valuesOf('srv')]
  if (services[0] !== undefined && !profile.nameForms.includes('SRVName')) {
    throw new IcaError('rejectedIdentifier', `"${services[0]}" is a service, which the profile "${profile.name}" can't express.`)
  }
  const wildcard = values.find((value) => value.startsWith('*.'))
  if (wildcard !== undefined && !profile.nameForms.includes('dNSName')) {
    throw new IcaError('rejectedIdentifier', `"${wildcard}" is a wildcard, which the profile "${profile.name}" can't express.`)
  }
  const plain = values.filter((value) => !value.startsWith('*.'))
  const named = {
    dNSName: () => values,
    SRVName: () => [...new Set([...plain.flatMap(srvNamesOf), ...services])],
    XmppAddr: () => plain.map(toXmppAddr),
  }
  return profile.nameForms.flatMap((form) => named[form]().map((value) => ({ form, value })))
}

/** The U-label form that a JID has (RFC 7622 §3.2), only where it leads back to the same A-labels. Newer Nodes leave a label that they can't decode as it is. */
const toXmppAddr = (domain: string): string => {
  const unicode = domainToUnicode(domain)
  if (unicode === '' || /(^|\.)xn--/.test(unicode) || domainToASCII(unicode) !== domain) {
    throw new IcaError('rejectedIdentifier', `"${domain}" has no form that an XMPP address could take.`)
  }
  return unicode
}

/** Whether a certificate is to have TLS Feature status_request. Throws badCSR where the CSR asks for it and the profile never has it. */
export const mustStapleFor = (profile: Profile, asked: boolean): boolean => {
  if (asked && profile.mustStaple === 'never') {
    throw new IcaError('badCSR', `The CSR asks for must-staple, which the profile "${profile.name}" never has.`)
  }
  return asked || profile.mustStaple === 'always'
}
