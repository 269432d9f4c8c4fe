/** Reading certificates (RFC 5280 §4.1): our own back, an imported chain, one that somebody wants revoked. */
import type { CertificateName } from '../model.js'
import { bytesToHex, equalBytes } from './bytes.js'
import { contextTag, tags } from './der.js'
import {
  children,
  contents,
  type Element,
  encoded,
  expectTag,
  fieldsOf,
  malformed,
  onlyChild,
  readAscii,
  readBitString,
  readBits,
  readBoolean,
  readHexInteger,
  readOctetString,
  readOid,
  readSmallInteger,
  readTime,
  readUtf8,
  readWhole,
} from './der-read.js'
import { type PublicKeyInfo, readPublicKey } from './keys.js'
import { oids } from './oids.js'

export type Extension = { critical: boolean; value: Element }

export type CertificateInfo = {
  der: Uint8Array
  /** Hex without sign octet. */
  serial: string
  /** DER Names. */
  issuer: Uint8Array
  subject: Uint8Array
  /** The last common name of the subject, null where it has none. */
  commonName: string | null
  notBefore: number
  notAfter: number
  publicKey: PublicKeyInfo
  /** The names of subjectAltName that this program knows, in their order. */
  names: CertificateName[]
  /** The number of names of other forms in subjectAltName. */
  otherNames: number
  ski: Uint8Array | null
  /** The keyIdentifier of authorityKeyIdentifier. */
  aki: Uint8Array | null
  isCa: boolean
  /** Null for no limit. */
  pathLength: number | null
  /** The numbers of the bits that are set in keyUsage, ascending; null without that extension. */
  keyUsage: number[] | null
  /** OIDs; null without that extension. */
  extendedKeyUsage: string[] | null
  /** By OID, in their order. */
  extensions: ReadonlyMap<string, Extension>
  /** DER AlgorithmIdentifier, the same inside and outside of what is signed. */
  signatureAlgorithm: Uint8Array
}

/** 100 names in three forms and an RSA key of 16,384 bits stay well below. */
const maxCertificate = 64 * 1024

/**
 * Reads a DER certificate of version 3. Throws malformed for anything that is not one, badPublicKey for a key that {@link readPublicKey} refuses. Does not judge:
 * signature, times and purposes are for the caller.
 */
export const readCertificate = (der: Uint8Array): CertificateInfo => {
  const outer = fieldsOf(readWhole(der, maxCertificate, tags.sequence))
  const tbs = fieldsOf(outer.take(tags.sequence, 'the TBSCertificate'))
  const outerAlgorithm = encoded(outer.take(tags.sequence, 'the signature algorithm'))
  readBitString(outer.any('the signature'), 'the signature')
  outer.end('the certificate')

  const version = tbs.take(contextTag(0, true), 'the version')
  if (readSmallInteger(onlyChild(version, tags.integer, 'the version'), 127, 'the version') !== 2)
    throw malformed(version.start, 'not a certificate of version 3')
  const serial = readHexInteger(tbs.any('the serial'), 'the serial')
  const algorithm = tbs.take(tags.sequence, 'the signature algorithm')
  if (!equalBytes(encoded(algorithm), outerAlgorithm)) throw malformed(algorithm.start, 'two different signature algorithms')
  const issuer = tbs.take(tags.sequence, 'the issuer')
  const validity = fieldsOf(tbs.take(tags.sequence, 'the validity'))
  const notBefore = readTime(validity.any('notBefore'), 'notBefore')
  const notAfter = readTime(validity.any('notAfter'), 'notAfter')
  validity.end('the validity')
  const subject = tbs.take(tags.sequence, 'the subject')
  const publicKey = readPublicKey(encoded(tbs.take(tags.sequence, 'the public key')))
  const list = tbs.optional(contextTag(3, true))
  tbs.end('the TBSCertificate')
  const extensions = readExtensionList(list)
  return {
    der,
    serial,
    issuer: encoded(issuer),
    subject: encoded(subject),
    commonName: readCommonName(subject),
    notBefore,
    notAfter,
    publicKey,
    ...readNames(extensions),
    ...readIdentifiers(extensions),
    ...readConstraints(extensions),
    ...readUsages(extensions),
    extensions,
    signatureAlgorithm: outerAlgorithm,
  }
}

const readExtensionList = (list: Element | null): Map<string, Extension> => {
  const found = new Map<string, Extension>()
  for (const element of list === null ? [] : children(onlyChild(list, tags.sequence, 'the extensions'), 64)) {
    expectTag(element, tags.sequence, 'an extension')
    const fields = fieldsOf(element)
    const id = readOid(fields.any('the identifier of an extension'))
    const critical = fields.optional(tags.boolean)
    if (critical && !readBoolean(critical, 'the criticality of an extension')) throw malformed(critical.start, 'a default value that is encoded')
    const value = fields.take(tags.octetString, 'the value of an extension')
    fields.end('an extension')
    if (found.has(id)) throw malformed(element.start, `the extension ${id} a second time`)
    found.set(id, { critical: critical !== null, value })
  }
  return found
}

const readCommonName = (subject: Element): string | null => {
  let commonName: string | null = null
  for (const rdn of children(subject, 32)) {
    for (const attribute of children(rdn, 8)) {
      const fields = fieldsOf(attribute)
      if (readOid(fields.any('the type of an attribute')) === oids.commonName) commonName = readUtf8(fields.any('the common name'), 'the common name')
    }
  }
  return commonName
}

type Extensions = ReadonlyMap<string, Extension>

/** The value of an extension that is a SEQUENCE; null without the extension. */
const sequenceIn = (extensions: Extensions, id: string): Element | null => {
  const extension = extensions.get(id)
  return extension ? onlyChild(extension.value, tags.sequence, `the extension ${id}`) : null
}

const readNames = (extensions: Extensions): Pick<CertificateInfo, 'names' | 'otherNames'> => {
  const list = sequenceIn(extensions, oids.subjectAltName)
  const all = list === null ? [] : children(list, 2000).map(readGeneralName)
  const names = all.filter((name) => name !== null)
  return { names, otherNames: all.length - names.length }
}

const readGeneralName = (element: Element): CertificateName | null => {
  if (element.tag === contextTag(2, false)) return { form: 'dNSName', value: readAscii(element, 'a dNSName') }
  if (element.tag !== contextTag(0, true)) return null
  const fields = fieldsOf(element)
  const type = readOid(fields.any('the type of an otherName'))
  const wrapped = fields.take(contextTag(0, true), 'the value of an otherName')
  fields.end('an otherName')
  if (type === oids.idOnDnsSrv) return { form: 'SRVName', value: readAscii(onlyChild(wrapped, tags.ia5String, 'an SRVName'), 'an SRVName') }
  if (type === oids.idOnXmppAddr) return { form: 'XmppAddr', value: readUtf8(onlyChild(wrapped, tags.utf8String, 'an XmppAddr'), 'an XmppAddr') }
  return null
}

const readIdentifiers = (extensions: Extensions): Pick<CertificateInfo, 'ski' | 'aki'> => {
  const subject = extensions.get(oids.subjectKeyIdentifier)
  const authority = sequenceIn(extensions, oids.authorityKeyIdentifier)
  const keyIdentifier = authority && fieldsOf(authority).optional(contextTag(0, false))
  return {
    ski: subject ? readOctetString(onlyChild(subject.value, tags.octetString, 'the subject key identifier'), 'the subject key identifier') : null,
    aki: keyIdentifier && contents(keyIdentifier),
  }
}

const readConstraints = (extensions: Extensions): Pick<CertificateInfo, 'isCa' | 'pathLength'> => {
  const constraints = sequenceIn(extensions, oids.basicConstraints)
  if (!constraints) return { isCa: false, pathLength: null }
  const fields = fieldsOf(constraints)
  const ca = fields.optional(tags.boolean)
  const pathLength = fields.optional(tags.integer)
  fields.end('basicConstraints')
  return { isCa: ca !== null && readBoolean(ca, 'basicConstraints'), pathLength: pathLength && readSmallInteger(pathLength, 1000, 'the path length') }
}

const readUsages = (extensions: Extensions): Pick<CertificateInfo, 'keyUsage' | 'extendedKeyUsage'> => {
  const usage = extensions.get(oids.keyUsage)
  const purposes = sequenceIn(extensions, oids.extKeyUsage)
  return {
    keyUsage: usage ? readNamedBits(onlyChild(usage.value, tags.bitString, 'the key usage')) : null,
    extendedKeyUsage: purposes && children(purposes, 64).map((purpose) => readOid(purpose, 'a key purpose')),
  }
}

const readNamedBits = (element: Element): number[] => {
  const { octets } = readBits(element, 'the key usage')
  return Array.from({ length: 8 * octets.length }, (_, bit) => bit).filter((bit) => ((octets[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0)
}

/** First 16 hex digits of a subject key identifier: what this program calls an issuer. */
export const issuerId = (ski: Uint8Array): string => bytesToHex(ski.subarray(0, 8))
