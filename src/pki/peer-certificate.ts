/**
 * A certificate that a server presents, whoever made it: read leniently where the strict reader of this program (read-certificate.ts) would refuse the whole for a
 * weak key or a strange name. What the outside of it says comes from OpenSSL through node:crypto, the names from its DER.
 */
import { hash, type KeyObject, X509Certificate } from 'node:crypto'
import { equalBytes } from './bytes.js'
import { contextTag, tags } from './der.js'
import {
  children,
  contents,
  type Element,
  encoded,
  fieldsOf,
  onlyChild,
  readAscii,
  readHexInteger,
  readOid,
  readTime,
  readUtf8,
  readWhole,
} from './der-read.js'
import { oids } from './oids.js'
import type { LeafFacts } from './verifiers.js'

export type PeerCertificate = {
  der: Uint8Array
  x509: X509Certificate
  /** For people: the common name, or the whole name in one line. */
  subject: string
  issuer: string
  /** DER Name. */
  subjectName: Uint8Array
  /** DER SubjectPublicKeyInfo. */
  spki: Uint8Array
  /** Lower-case hex without sign octet. */
  serial: string
  /** SHA-256 of the DER, lower-case hex. */
  fingerprint: string
  isCa: boolean
  selfSigned: boolean
  leaf: LeafFacts
  key: { kind: string; bits: number; weak: boolean }
  signature: { name: string; weak: boolean }
  ocspUrls: string[]
  caIssuersUrls: string[]
  crlUrls: string[]
  mustStaple: boolean
}

/** More than any certificate of a server needs. */
const maxCertificate = 128 * 1024
const ecdsa = '1.2.840.10045.4.3.'
const rsa = '1.2.840.113549.1.1.'

/** Signature algorithms by their names (RFC 3279, RFC 4055, RFC 5758, RFC 8410); weak are those whose digest is broken. */
const signatures: Record<string, { name: string; weak?: true }> = {
  [`${rsa}2`]: { name: 'RSA with MD2', weak: true },
  [`${rsa}4`]: { name: 'RSA with MD5', weak: true },
  [`${rsa}5`]: { name: 'RSA with SHA-1', weak: true },
  [`${rsa}10`]: { name: 'RSASSA-PSS' },
  [`${rsa}11`]: { name: 'RSA with SHA-256' },
  [`${rsa}12`]: { name: 'RSA with SHA-384' },
  [`${rsa}13`]: { name: 'RSA with SHA-512' },
  '1.2.840.10045.4.1': { name: 'ECDSA with SHA-1', weak: true },
  [`${ecdsa}2`]: { name: 'ECDSA with SHA-256' },
  [`${ecdsa}3`]: { name: 'ECDSA with SHA-384' },
  [`${ecdsa}4`]: { name: 'ECDSA with SHA-512' },
  [oids.idEd25519]: { name: 'Ed25519' },
}

const curveNames: Record<string, string> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }
const curveBits: Record<string, number> = { 'P-256': 256, 'P-384': 384, 'P-521': 521 }

const keyOf = (key: KeyObject): PeerCertificate['key'] => {
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {}
  const type = key.asymmetricKeyType ?? 'unknown'
  if (type === 'ec') {
    const kind = curveNames[namedCurve] ?? namedCurve
    return { kind, bits: curveBits[kind] ?? 0, weak: !(kind in curveBits) }
  }
  if (type === 'ed25519') return { kind: 'Ed25519', bits: 255, weak: false }
  const isRsa = type === 'rsa' || type === 'rsa-pss'
  return { kind: isRsa ? 'RSA' : type, bits: modulusLength, weak: isRsa ? modulusLength < 2048 : type === 'dsa' }
}

/** RSA keys with which one signature costs as much as hundreds of usual ones (RFC 8017 allows any exponent): a stranger would have us verify dozens. */
const refuseCostly = (key: KeyObject): void => {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength > 8192 || publicExponent > 0xffff_ffffn) throw new Error('the key is too costly to verify with')
}

type Names = Pick<LeafFacts, 'dnsNames' | 'srvNames' | 'xmppAddrs'>

/** Whatever kind of string an otherName has, its text counts: what a verifier does with a wrong kind is not foreseen here. */
const readOtherName = (element: Element, names: Names): void => {
  const fields = fieldsOf(element)
  const type = readOid(fields.any('the type of an otherName'))
  const value = children(fields.take(contextTag(0, true), 'the value of an otherName'), 4)[0]
  if (!value) return
  if (type === oids.idOnDnsSrv) names.srvNames.push(readUtf8(value, 'an SRVName'))
  if (type === oids.idOnXmppAddr) names.xmppAddrs.push(readUtf8(value, 'an XmppAddr'))
}

const readNames = (san: Element | undefined): Names => {
  const names: Names = { dnsNames: [], srvNames: [], xmppAddrs: [] }
  for (const name of san ? children(onlyChild(san, tags.sequence, 'subjectAltName'), 2000) : []) {
    if (name.tag === contextTag(2, false)) names.dnsNames.push(Buffer.from(contents(name)).toString('latin1'))
    if (name.tag === contextTag(0, true)) readOtherName(name, names)
  }
  return names
}

/** Longer than any domain; a report has each name several times. */
const longestName = 256

/** The last common name of a Name, whatever kind of string it is; cut where it is longer than any domain. */
const commonNameOf = (name: Element): string | null => {
  let found: string | null = null
  for (const attribute of children(name, 64).flatMap((rdn) => children(rdn, 16))) {
    const [type, value] = children(attribute, 4)
    if (type && value && readOid(type) === oids.commonName) found = Buffer.from(contents(value)).toString('utf8').slice(0, longestName)
  }
  return found
}

/** http and https URLs, and no others, inside of an extension: those with the context tag [6] below the given depth. */
const urlsIn = (element: Element, depth = 6): string[] => {
  if (element.tag === contextTag(6, false)) {
    const url = readAscii(element, 'a URL')
    return /^https?:\/\//i.test(url) && URL.canParse(url) ? [url] : []
  }
  return (element.tag & 0x20) !== 0 && depth > 0 ? children(element, 64).flatMap((child) => urlsIn(child, depth - 1)) : []
}

const readAccess = (value: Element | undefined, method: string): string[] =>
  (value ? children(onlyChild(value, tags.sequence, 'authorityInfoAccess'), 32) : []).flatMap((description) => {
    const [type, location] = children(description, 4)
    return type && location && readOid(type) === method ? urlsIn(location) : []
  })

/** The extensions' values by OID, the first of each. */
const readExtensions = (tagged: Element | null): Map<string, Element> => {
  const found = new Map<string, Element>()
  for (const extension of tagged ? children(onlyChild(tagged, tags.sequence, 'the extensions'), 64) : []) {
    const fields = children(extension, 4)
    const [id, value] = [fields[0], fields.at(-1)]
    if (id && value?.tag === tags.octetString && !found.has(readOid(id))) found.set(readOid(id), value)
  }
  return found
}

const readPurposes = (value: Element | undefined): string[] | null =>
  value ? children(onlyChild(value, tags.sequence, 'extKeyUsage'), 64).map((purpose) => readOid(purpose)) : null

/** status_request (5) in the TLS feature extension (RFC 7633 §4.1). */
const staples = (value: Element | undefined): boolean =>
  value !== undefined && children(onlyChild(value, tags.sequence, 'tlsFeature'), 16).some((feature) => contents(feature).at(-1) === 5)

/** The fields of the TBSCertificate (RFC 5280 §4.1) that matter here. */
const readTbs = (der: Uint8Array) => {
  const outer = fieldsOf(readWhole(der, maxCertificate, tags.sequence))
  const tbs = fieldsOf(outer.take(tags.sequence, 'the TBSCertificate'))
  tbs.optional(contextTag(0, true))
  const serial = readHexInteger(tbs.any('the serial'), 'the serial')
  const algorithm = readOid(fieldsOf(tbs.take(tags.sequence, 'the signature algorithm')).any('the signature algorithm'))
  const issuer = tbs.take(tags.sequence, 'the issuer')
  const [from, to] = children(tbs.take(tags.sequence, 'the validity'), 2)
  const subject = tbs.take(tags.sequence, 'the subject')
  const spki = encoded(tbs.take(tags.sequence, 'the public key'))
  tbs.optional(contextTag(1, false))
  tbs.optional(contextTag(2, false))
  const notBefore = readTime(from as Element, 'notBefore')
  const notAfter = readTime(to as Element, 'notAfter')
  return { serial, algorithm, issuer, subject, spki, notBefore, notAfter, extensions: readExtensions(tbs.optional(contextTag(3, true))) }
}

const oneLine = (name: string): string => name.replace(/\n/g, ', ').slice(0, 200) || '(no name)'

/** Reads a DER certificate. Throws, with any message, what neither OpenSSL nor the DER reader understands. */
export const readPeerCertificate = (der: Uint8Array): PeerCertificate => {
  const x509 = new X509Certificate(der)
  refuseCostly(x509.publicKey)
  const { serial, algorithm, issuer, subject, spki, notBefore, notAfter, extensions } = readTbs(der)
  const purposes = readPurposes(extensions.get(oids.extKeyUsage))
  const has = (purpose: string): boolean => purposes === null || purposes.includes(purpose)
  const commonName = commonNameOf(subject)
  const key = keyOf(x509.publicKey)
  const signature = signatures[algorithm] ?? { name: algorithm }
  return {
    der,
    x509,
    subject: commonName ?? oneLine(x509.subject ?? ''),
    issuer: commonNameOf(issuer) ?? oneLine(x509.issuer ?? ''),
    subjectName: encoded(subject),
    spki,
    serial,
    fingerprint: hash('sha256', der),
    isCa: x509.ca,
    // Not by checkIssued: a certificate without keyCertSign may not issue anything, and yet have signed itself.
    selfSigned: equalBytes(encoded(subject), encoded(issuer)) && x509.verify(x509.publicKey),
    leaf: {
      ...readNames(extensions.get(oids.subjectAltName)),
      commonName,
      serverAuth: has(oids.serverAuth),
      clientAuth: has(oids.clientAuth),
      notBefore,
      notAfter,
      keyKind: key.kind,
    },
    key,
    signature: { name: signature.name, weak: signature.weak === true },
    ocspUrls: readAccess(extensions.get(oids.authorityInfoAccess), oids.idAdOcsp),
    caIssuersUrls: readAccess(extensions.get(oids.authorityInfoAccess), oids.idAdCaIssuers),
    crlUrls: extensions.has(oids.cRLDistributionPoints)
      ? children(extensions.get(oids.cRLDistributionPoints) as Element, 4).flatMap((list) => urlsIn(list))
      : [],
    mustStaple: staples(extensions.get(oids.tlsFeature)),
  }
}
