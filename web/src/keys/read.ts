/** Certificates and CSRs for display, from anybody. Reads what can be shown and judges nothing: the CA has its own, stricter readers. */
import type { CertificateName } from '../../../src/model.js'
import { bytesToHex } from '../../../src/pki/bytes.js'
import { contextTag, tags } from '../../../src/pki/der.js'
import {
  children,
  contents,
  type Element,
  encoded,
  fieldsOf,
  onlyChild,
  readAscii,
  readBitString,
  readBoolean,
  readOid,
  readTime,
  readUnsigned,
  readUtf8,
  readWhole,
} from '../../../src/pki/der-read.js'
import { oids } from '../../../src/pki/oids.js'
import { base64url } from './base64.js'

/** A name of any form: those of other CAs have forms that this one does not. */
export type ShownName = { form: CertificateName['form'] | 'other'; value: string }

export type KeyFacts = { kind: 'P-256' | 'P-384' | 'P-521' | 'RSA' | 'Ed25519' | 'other'; bits: number }

export type CertificateFacts = {
  der: Uint8Array
  /** Hex. */
  serial: string
  /** One line of `CN=…, O=…`. */
  subject: string
  issuer: string
  commonName: string | null
  /** Milliseconds since the epoch. */
  notBefore: number
  notAfter: number
  key: KeyFacts
  spki: Uint8Array
  names: ShownName[]
  isCa: boolean
  /** OIDs; null without the extension. */
  extendedKeyUsage: string[] | null
  mustStaple: boolean
  /** The identifier of RFC 9773 §4.1; null where the certificate does not say who signed it. */
  renewalId: string | null
}

export type RequestFacts = { der: Uint8Array; commonName: string | null; key: KeyFacts; names: ShownName[]; mustStaple: boolean }

const longest = 64 * 1024

const curves: Record<string, KeyFacts> = {
  [oids.secp256r1]: { kind: 'P-256', bits: 256 },
  [oids.secp384r1]: { kind: 'P-384', bits: 384 },
  [oids.secp521r1]: { kind: 'P-521', bits: 521 },
}

const readKey = (spki: Element): KeyFacts => {
  const fields = fieldsOf(spki)
  const algorithm = fieldsOf(fields.take(tags.sequence, 'the key algorithm'))
  const name = readOid(algorithm.any('the key algorithm'))
  if (name === oids.idEcPublicKey) return curves[readOid(algorithm.any('the curve'))] ?? { kind: 'other', bits: 0 }
  if (name === oids.idEd25519) return { kind: 'Ed25519', bits: 255 }
  if (name !== oids.rsaEncryption) return { kind: 'other', bits: 0 }
  const numbers = fieldsOf(readWhole(readBitString(fields.any('the key'), 'the key'), longest, tags.sequence))
  const modulus = readUnsigned(numbers.any('the modulus'), 'the modulus')
  return { kind: 'RSA', bits: 8 * modulus.length - Math.clz32(modulus[0] ?? 0) + 24 }
}

const attributes: Record<string, string> = { [oids.commonName]: 'CN', [oids.organizationName]: 'O', [oids.countryName]: 'C' }

/** The text of a string of any kind; what is not UTF-8 is old ISO 8859-1. */
const textOf = (element: Element): string => {
  if (element.tag === tags.bmpString) return new TextDecoder('utf-16be').decode(contents(element))
  try {
    return readUtf8(element, 'a string')
  } catch {
    return new TextDecoder('latin1').decode(contents(element))
  }
}

const readName = (name: Element): { line: string; commonName: string | null } => {
  const parts = children(name, 32).flatMap((rdn) =>
    children(rdn, 8).map((attribute) => {
      const fields = fieldsOf(attribute)
      const type = readOid(fields.any('the type of an attribute'))
      return { type, value: textOf(fields.any('the value of an attribute')) }
    }),
  )
  return {
    line: parts.map(({ type, value }) => `${attributes[type] ?? type}=${value}`).join(', '),
    commonName: parts.findLast(({ type }) => type === oids.commonName)?.value ?? null,
  }
}

const otherForms: Record<string, ShownName['form']> = { [oids.idOnDnsSrv]: 'SRVName', [oids.idOnXmppAddr]: 'XmppAddr' }

const readGeneralName = (element: Element): ShownName => {
  if (element.tag === contextTag(2, false)) return { form: 'dNSName', value: readAscii(element, 'a dNSName') }
  // rfc822Name and URI are text as well.
  if (element.tag === contextTag(1, false) || element.tag === contextTag(6, false)) return { form: 'other', value: textOf(element) }
  if (element.tag === contextTag(7, false)) {
    const octets = contents(element)
    return { form: 'other', value: octets.length === 4 ? octets.join('.') : (bytesToHex(octets).match(/.{4}/g) ?? []).join(':') }
  }
  if (element.tag !== contextTag(0, true)) return { form: 'other', value: bytesToHex(contents(element)) }
  const fields = fieldsOf(element)
  const type = readOid(fields.any('the type of an otherName'))
  const [value] = children(fields.take(contextTag(0, true), 'the value of an otherName'), 1)
  return { form: otherForms[type] ?? 'other', value: value ? textOf(value) : type }
}

type Extensions = Map<string, Element>

const readExtensions = (list: Element): Extensions =>
  new Map(
    children(list, 64).map((extension) => {
      const fields = fieldsOf(extension)
      const id = readOid(fields.any('the identifier of an extension'))
      fields.optional(tags.boolean)
      return [id, fields.take(tags.octetString, 'the value of an extension')]
    }),
  )

const listIn = (extensions: Extensions, id: string): Element[] | null => {
  const value = extensions.get(id)
  return value ? children(onlyChild(value, tags.sequence, `the extension ${id}`), 2000) : null
}

/** RFC 7633: TLS Feature status_request. */
const asksToStaple = (extensions: Extensions): boolean =>
  (listIn(extensions, oids.tlsFeature) ?? []).some((feature) => contents(feature).length === 1 && contents(feature)[0] === 5)

const renewalIdOf = (extensions: Extensions, serial: Element): string | null => {
  const keyIdentifier = (listIn(extensions, oids.authorityKeyIdentifier) ?? []).find(({ tag }) => tag === contextTag(0, false))
  return keyIdentifier ? `${base64url(contents(keyIdentifier))}.${base64url(contents(serial))}` : null
}

/** What a DER certificate says. Throws where it is none. */
export const readCertificate = (der: Uint8Array): CertificateFacts => {
  const tbs = fieldsOf(fieldsOf(readWhole(der, longest, tags.sequence)).take(tags.sequence, 'the certificate'))
  tbs.optional(contextTag(0, true))
  const serial = tbs.take(tags.integer, 'the serial')
  tbs.take(tags.sequence, 'the signature algorithm')
  const issuer = readName(tbs.take(tags.sequence, 'the issuer'))
  const validity = fieldsOf(tbs.take(tags.sequence, 'the validity'))
  const notBefore = readTime(validity.any('notBefore'), 'notBefore')
  const notAfter = readTime(validity.any('notAfter'), 'notAfter')
  const subject = readName(tbs.take(tags.sequence, 'the subject'))
  const spki = tbs.take(tags.sequence, 'the public key')
  tbs.optional(contextTag(1, false))
  tbs.optional(contextTag(2, false))
  const wrapped = tbs.optional(contextTag(3, true))
  const extensions = wrapped ? readExtensions(onlyChild(wrapped, tags.sequence, 'the extensions')) : new Map<string, Element>()
  const [ca] = listIn(extensions, oids.basicConstraints) ?? []
  return {
    der,
    serial: bytesToHex(readUnsigned(serial, 'the serial')),
    subject: subject.line,
    issuer: issuer.line,
    commonName: subject.commonName,
    notBefore,
    notAfter,
    key: readKey(spki),
    spki: encoded(spki),
    names: (listIn(extensions, oids.subjectAltName) ?? []).map(readGeneralName),
    isCa: ca?.tag === tags.boolean && readBoolean(ca, 'basicConstraints'),
    extendedKeyUsage: listIn(extensions, oids.extKeyUsage)?.map((purpose) => readOid(purpose)) ?? null,
    mustStaple: asksToStaple(extensions),
    renewalId: renewalIdOf(extensions, serial),
  }
}

/** What a DER certification request asks for. Throws where it is none. */
export const readRequest = (der: Uint8Array): RequestFacts => {
  const info = fieldsOf(fieldsOf(readWhole(der, longest, tags.sequence)).take(tags.sequence, 'the request'))
  info.take(tags.integer, 'the version')
  const { commonName } = readName(info.take(tags.sequence, 'the subject'))
  const key = readKey(info.take(tags.sequence, 'the public key'))
  const list = info.optional(contextTag(0, true))
  const extensions: Extensions = new Map()
  for (const attribute of list ? children(list, 32) : []) {
    const fields = fieldsOf(attribute)
    if (readOid(fields.any('the type of an attribute')) !== oids.extensionRequest) continue
    const [requested] = children(fields.take(tags.set, 'the values of an attribute'), 1)
    if (requested) for (const [id, value] of readExtensions(requested)) extensions.set(id, value)
  }
  return {
    der,
    commonName,
    key,
    names: (listIn(extensions, oids.subjectAltName) ?? []).map(readGeneralName),
    mustStaple: asksToStaple(extensions),
  }
}

/** SHA-256 in upper-case hex pairs with colons, as browsers and openssl show it. */
export const fingerprint = async (der: Uint8Array): Promise<string> =>
  (
    bytesToHex(new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(der))))
      .toUpperCase()
      .match(/../g) ?? []
  ).join(':')
