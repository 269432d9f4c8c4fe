/**
 * Reading a leaf certificate back before it leaves the CA. Two readers that share nothing with the encoder: OpenSSL (through node:crypto) for names, purposes,
 * pointers, times and signature as most of the world will see them, and the strict reader for all that node does not show. OIDs and tags are written out
 * once more, so that a slip in oids.ts can't agree with itself. The schema libraries (pkijs, @peculiar) would take three times as long; they read the same
 * certificates in the tests.
 */
import { type KeyObject, X509Certificate } from 'node:crypto'
import { IcaError } from '../errors.js'
import type { CertificateName } from '../model.js'
import { bytesToHex, equalBytes } from './bytes.js'
import type { Issuer, LeafFacts } from './certificate.js'
import {
  checkDer,
  children,
  contents,
  type Element,
  fieldsOf,
  onlyChild,
  readAscii,
  readOid,
  readSmallInteger,
  readUtf8,
  readWhole,
} from './der-read.js'
import { importPublicKey } from './keys.js'
import type { Profile } from './profile.js'
import { type CertificateInfo, type Extension, readCertificate } from './read-certificate.js'

/**
 * Everything in which the certificate differs from what its profile promises for these facts, one sentence each. An empty list releases it.
 * @param now the time of its signature
 */
export const lintLeaf = (der: Uint8Array, expected: LeafFacts, now: number): string[] => {
  try {
    checkDer(der, 64 * 1024)
    return [...lintFacts(expected, now), ...lintStructure(readCertificate(der), expected), ...lintByOpenssl(der, expected)]
  } catch (error) {
    if (error instanceof IcaError) return [error.message]
    return [`OpenSSL can't read the certificate: ${error instanceof Error ? error.message : error}`]
  }
}

type Demand = (fine: boolean, problem: string) => void

const collect = (judge: (demand: Demand) => void): string[] => {
  const problems: string[] = []
  judge((fine, problem) => {
    if (!fine) problems.push(problem)
  })
  return problems
}

const seconds = (ms: number): number => Math.floor(ms / 1000)

/** How far back a certificate may begin, from when it was planned; its signature comes soon after. */
const longestBackdate = 3_600_000
const planned = 5 * 60_000

/** Whether the facts themselves are what the profile allows: the last place to notice a mistake in the pipeline. */
const lintFacts = ({ profile, names, publicKey, serial, notBefore, notAfter, issuer, urls, mustStaple }: LeafFacts, now: number): string[] =>
  collect((demand) => {
    demand(/^[89a-f][0-9a-f]{31}$/.test(serial), `the serial ${serial} is not one of 127 random bits below 2^128`)
    demand(names.length > 0, 'there is no name')
    demand(profile.keyKinds.includes(publicKey.kind), `the profile does not allow keys of the kind ${publicKey.kind}`)
    demand(publicKey.keyId !== issuer.publicKey.keyId, 'the key is the CA’s own')
    demand(
      notBefore < notAfter && notAfter - notBefore <= profile.maxValidityMs + profile.backdateMs,
      'the validity is longer than the profile allows',
    )
    demand(notBefore >= now - longestBackdate - planned, 'it begins more than an hour back')
    demand(notAfter <= now + profile.maxValidityMs, 'it ends later than the profile allows from now on')
    demand(notBefore >= issuer.notBefore && notAfter <= issuer.notAfter, 'the validity is not within the issuer’s')
    demand(profile.mustStaple !== (mustStaple ? 'never' : 'always'), 'must-staple is not as the profile has it')
    demand(
      Object.values(urls).every((url) => url === null || /^https?:\/\/[!-~]+$/.test(url)),
      'a URL is not one',
    )
    const dnsNames = new Set(names.filter((name) => name.form === 'dNSName').map((name) => name.value))
    for (const name of names) demand(fitsProfile(name, dnsNames, profile), `the ${name.form} "${name.value}" is not as the profile has it`)
  })

const dnsName = /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

const fitsProfile = ({ form, value }: CertificateName, dnsNames: Set<string>, profile: Profile): boolean => {
  if (!profile.nameForms.includes(form) && !profile.requestableNameForms.includes(form)) return false
  if (form === 'dNSName') return value.length <= 253 && dnsName.test(value)
  if (form === 'XmppAddr') return isAddress(value, profile)
  const domain = /^_xmpp-(?:client|server)\.(.+)$/.exec(value)?.[1] ?? ''
  const alone = profile.identifierTypes.includes('srv') || !profile.nameForms.includes('dNSName')
  return !domain.startsWith('*') && dnsName.test(domain) && (alone || dnsNames.has(domain))
}

/** A server has its domain, a user the bare JID; neither may ever be taken for the other. */
const isAddress = (value: string, { extendedKeyUsage }: Profile): boolean => {
  const address = extendedKeyUsage.includes('serverAuth') ? /^[^*@/\s]+$/ : /^[^@/\s"&':<>]+@[^*@/\s]+$/
  return value === value.toLowerCase() && address.test(value)
}

// What OpenSSL sees ------------------------------------------------------------------------------------------------------------------------------------

type IssuerView = { key: KeyObject; subject: string; ski: Uint8Array }

const issuerViews = new WeakMap<Issuer, IssuerView>()

/** The issuer as its certificate shows it, kept because importing a key takes longer than verifying with it. */
const viewOf = (issuer: Issuer): IssuerView => {
  let view = issuerViews.get(issuer)
  if (!view) {
    view = {
      key: importPublicKey(issuer.publicKey),
      subject: new X509Certificate(issuer.certificate).subject,
      ski: readCertificate(issuer.certificate).ski ?? issuer.publicKey.ski,
    }
    issuerViews.set(issuer, view)
  }
  return view
}

const purposeOids = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const

const hasPurposes = (found: readonly string[], { profile }: LeafFacts): boolean =>
  sameMembers(
    found,
    profile.extendedKeyUsage.map((purpose) => purposeOids[purpose]),
  )

/** Names as node prints them: RFC 4985's and RFC 6120's otherNames by their names. */
const printedForms = { dNSName: 'DNS:', SRVName: 'othername:SRVName:', XmppAddr: 'othername:XmppAddr:' } as const

/** Node quotes an otherName that could be misread, commas as escapes. */
const printed = ({ form, value }: CertificateName): string => {
  const text = printedForms[form] + value
  if (!/[",'\\]/.test(value)) return text
  const [kind = '', ...rest] = text.split(':')
  return `${kind}:${JSON.stringify(rest.join(':')).replaceAll(',', '\\u002c')}`
}

const lintByOpenssl = (der: Uint8Array, expected: LeafFacts): string[] =>
  collect((demand) => {
    const { names, serial, notBefore, notAfter, urls, profile } = expected
    const seen = new X509Certificate(der)
    const above = viewOf(expected.issuer)
    const commonName = names.find((name) => name.form === 'dNSName' && name.value.length <= 64)?.value
    const access = [...(profile.statusPointers ? [`OCSP - URI:${urls.ocsp}`] : []), `CA Issuers - URI:${urls.caIssuers}`]
    demand(seen.verify(above.key), 'the signature does not verify with the issuer’s key')
    demand(seen.issuer === above.subject, 'the issuer is not the issuer’s subject')
    // A user's is compared by the strict reader: here it would be escaped.
    demand(
      expected.commonName !== undefined || (seen.subject ?? '') === (commonName === undefined ? '' : `CN=${commonName}`),
      `the subject is "${seen.subject}"`,
    )
    demand(seen.serialNumber.toLowerCase() === serial, `the serial is ${seen.serialNumber}`)
    demand(Date.parse(seen.validFrom) === seconds(notBefore) * 1000, `notBefore is ${seen.validFrom}`)
    demand(Date.parse(seen.validTo) === seconds(notAfter) * 1000, `notAfter is ${seen.validTo}`)
    demand(hasPurposes(seen.keyUsage ?? [], expected), `the key purposes are ${seen.keyUsage}`)
    demand(sameMembers((seen.infoAccess ?? '').trim().split('\n'), access), `the authority information access is ${seen.infoAccess}`)
    demand(sameMembers((seen.subjectAltName ?? '').split(', '), names.map(printed)), `the names are ${seen.subjectAltName}`)
  })

const sameMembers = (found: readonly string[], wanted: readonly string[]): boolean =>
  found.length === wanted.length && new Set(found).size === found.length && wanted.every((value) => found.includes(value))

// What the strict reader sees ---------------------------------------------------------------------------------------------------------------------------

/** An extension of a leaf: whether these facts call for it, whether it is critical, and what is wrong with its value. */
type Rule = {
  name: string
  due: (e: LeafFacts) => boolean
  critical: (e: LeafFacts) => boolean
  right: (value: Element, e: LeafFacts, c: CertificateInfo) => boolean
}

const always = () => true
const never = () => false

/** The URI in a GeneralName [6]. */
const isUri = (element: Element, uri: string | null): boolean => element.tag === 0x86 && readAscii(element, 'a URI') === uri

const rules: Record<string, Rule> = {
  '2.5.29.35': {
    name: 'authorityKeyIdentifier',
    due: always,
    critical: never,
    right: (value, { issuer }) =>
      equalBytes(contents(onlyChild(onlyChild(value, 0x30, 'the authority key identifier'), 0x80, 'the key identifier')), viewOf(issuer).ski),
  },
  '2.5.29.14': {
    name: 'subjectKeyIdentifier',
    due: always,
    critical: never,
    right: (_, { publicKey }, { ski }) => ski !== null && equalBytes(ski, publicKey.ski),
  },
  '2.5.29.15': {
    name: 'keyUsage',
    due: always,
    critical: always,
    // As octets: X.690 §11.2.2 leaves one way to write named bits.
    right: (value, { publicKey }) => bytesToHex(contents(value)) === (publicKey.kind === 'RSA' ? '030205a0' : '03020780'),
  },
  '2.5.29.32': {
    name: 'certificatePolicies',
    due: always,
    critical: never,
    right: (value, { profile, urls }) => {
      const [policy, ...more] = children(onlyChild(value, 0x30, 'the policies'))
      return policy !== undefined && more.length === 0 && isPolicy(policy, profile.policy, urls.cps)
    },
  },
  '2.5.29.17': {
    name: 'subjectAltName',
    due: always,
    critical: (e) => e.commonName === undefined && !e.names.some((name) => name.form === 'dNSName' && name.value.length <= 64),
    right: (_, e, { names, otherNames }) => otherNames === 0 && sameMembers(names.map(nameKey), e.names.map(nameKey)),
  },
  '2.5.29.37': {
    name: 'extKeyUsage',
    due: always,
    critical: never,
    right: (_, e, { extendedKeyUsage }) => hasPurposes(extendedKeyUsage ?? [], e),
  },
  '2.5.29.31': {
    name: 'cRLDistributionPoints',
    due: (e) => e.profile.statusPointers,
    critical: never,
    right: (value, { urls }) =>
      isUri(
        [0x30, 0x30, 0xa0, 0xa0, 0x86].reduce((at, tag) => onlyChild(at, tag, 'the CRL distribution point'), value),
        urls.crl,
      ),
  },
  '1.3.6.1.5.5.7.1.1': {
    name: 'authorityInfoAccess',
    due: always,
    critical: never,
    right: (value, { urls, profile }) => {
      const found = children(onlyChild(value, 0x30, 'the authority information access')).map((access) => {
        const [method, location, ...more] = children(access)
        return method && location?.tag === 0x86 && more.length === 0 ? `${readOid(method)} ${readAscii(location, 'a URI')}` : 'broken'
      })
      const wanted = [...(profile.statusPointers ? [`1.3.6.1.5.5.7.48.1 ${urls.ocsp}`] : []), `1.3.6.1.5.5.7.48.2 ${urls.caIssuers}`]
      return sameMembers(found, wanted)
    },
  },
  '1.3.6.1.5.5.7.1.24': {
    name: 'tlsFeature',
    due: (e) => e.mustStaple,
    critical: never,
    right: (value) => {
      const features = children(onlyChild(value, 0x30, 'the TLS features'))
      return features.length === 1 && features.every((feature) => readSmallInteger(feature, 65535, 'a TLS feature') === 5)
    },
  },
}

const nameKey = ({ form, value }: CertificateName): string => `${form}:${value}`

/** PolicyInformation with the one OID and, where there is a practice statement, the one qualifier id-qt-cps (RFC 5280 §4.2.1.4). */
const isPolicy = (element: Element, policy: string, cps: string | null): boolean => {
  const fields = fieldsOf(element)
  if (readOid(fields.any('the policy')) !== policy || fields.atEnd() !== (cps === null)) return false
  if (cps === null) return true
  const qualifier = fieldsOf(onlyChild(fields.take(0x30, 'the policy qualifiers'), 0x30, 'the policy qualifier'))
  fields.end('the policy')
  if (readOid(qualifier.any('the policy qualifier')) !== '1.3.6.1.5.5.7.2.1') return false
  const uri = readAscii(qualifier.take(0x16, 'the CPS URI'), 'the CPS URI')
  qualifier.end('the policy qualifier')
  return uri === cps
}

/** The subject is one common name (2.5.4.3) as UTF8String and nothing else. */
const isNamed = ({ subject }: CertificateInfo, commonName: string): boolean => {
  const attribute = [0x31, 0x30].reduce((at, tag) => onlyChild(at, tag, 'the subject'), readWhole(subject, 1024, 0x30))
  const fields = fieldsOf(attribute)
  if (readOid(fields.any('the type')) !== '2.5.4.3') return false
  return readUtf8(fields.take(0x0c, 'the common name'), 'the common name') === commonName
}

const lintStructure = (certificate: CertificateInfo, expected: LeafFacts): string[] =>
  collect((demand) => {
    demand(certificate.serial === expected.serial, 'the serial is another one')
    demand(!certificate.isCa, 'it is a CA certificate')
    demand(expected.commonName === undefined || isNamed(certificate, expected.commonName), 'the subject is not the common name alone')
    demand(equalBytes(certificate.issuer, expected.issuer.subject), 'the issuer is not octet for octet the issuer’s subject')
    demand(equalBytes(certificate.publicKey.spki, expected.publicKey.spki), 'the public key is another one')
    demand(equalBytes(certificate.signatureAlgorithm, expected.issuer.signer.algorithm), 'the signature algorithm is not the issuer’s')
    for (const [id, rule] of Object.entries(rules)) {
      const extension = certificate.extensions.get(id)
      demand((extension !== undefined) === rule.due(expected), `${rule.name} is ${extension ? 'there, but not due' : 'missing'}`)
      if (extension) lintExtension(extension, rule, certificate, expected, demand)
    }
    for (const id of certificate.extensions.keys()) demand(Object.hasOwn(rules, id), `the extension ${id} is not one of the profile`)
  })

const lintExtension = (extension: Extension, rule: Rule, certificate: CertificateInfo, expected: LeafFacts, demand: Demand): void => {
  demand(extension.critical === rule.critical(expected), `${rule.name} is ${extension.critical ? '' : 'not '}critical`)
  demand(rule.right(extension.value, expected, certificate), `${rule.name} is wrong`)
}
