/**
 * Reading certification requests (PKCS #10, RFC 2986), the one structure that strangers send to be judged. Nothing of it but the public key ever gets into a
 * certificate; the names are read to be compared with the order.
 */
import { domainToASCII, domainToUnicode } from 'node:url'
import { IcaError } from '../errors.js'
import { bytesToHex } from './bytes.js'
import { contextTag, tags } from './der.js'
import {
  children,
  contents,
  type Element,
  encoded,
  expectTag,
  fieldsOf,
  malformedAs,
  onlyChild,
  readAscii,
  readBitString,
  readBoolean,
  readOid,
  readSmallInteger,
  readUtf8,
  readWhole,
} from './der-read.js'
import { type PublicKeyInfo, readPublicKey, verifySignature } from './keys.js'
import { oids } from './oids.js'

export type CertificateRequest = {
  der: Uint8Array
  publicKey: PublicKeyInfo
  /** Lower case, as all names here. */
  commonName: string | null
  dNSNames: string[]
  sRVNames: string[]
  /** Domains in the U-label form. */
  xmppAddrs: string[]
  /** Whether TLS Feature status_request (RFC 7633) is asked for. */
  mustStaple: boolean
}

type Requested = Pick<CertificateRequest, 'dNSNames' | 'sRVNames' | 'xmppAddrs' | 'mustStaple'>

/** A request with an RSA key of 4096 bits and 100 names takes 4 KiB. */
const maxRequest = 16 * 1024
const maxNames = 500

const badCsr = (detail: string, cause?: unknown): IcaError => new IcaError('badCSR', detail, { cause })

/**
 * Reads a DER CertificationRequest and verifies its signature. Extensions that mean no harm (key usage, CA:FALSE, ...) are ignored, as stock clients send them.
 * Throws badCSR, naming the culprit, for anything that is not DER, a key that can't be read, a signature that is wrong or of an algorithm that is not accepted, a
 * subject attribute other than one common name, a name in subjectAltName that is no dNSName, SRVName or XmppAddr, and a request for a CA certificate.
 */
export const readCertificateRequest = async (der: Uint8Array): Promise<CertificateRequest> => {
  const { request, info, algorithm, signature } = malformedAs('badCSR', 'The CSR can’t be read.', () => readRequest(der))
  const right = await verifySignature(request.publicKey, algorithm, encoded(info), signature).catch((error: unknown) => {
    throw error instanceof IcaError ? badCsr(error.message, error) : badCsr('The signature of the CSR can’t be verified.', error)
  })
  if (!right) throw badCsr('The signature of the CSR is wrong: it was not made with the key that belongs to it.')
  return request
}

const readRequest = (der: Uint8Array): { request: CertificateRequest; info: Element; algorithm: Element; signature: Uint8Array } => {
  const fields = fieldsOf(readWhole(der, maxRequest, tags.sequence))
  const info = fields.take(tags.sequence, 'the request info')
  const algorithm = fields.take(tags.sequence, 'the signature algorithm')
  const signature = readBitString(fields.any('the signature'), 'the signature')
  fields.end('the request')

  const inside = fieldsOf(info)
  readSmallInteger(inside.any('the version'), 0, 'the version')
  const commonName = readSubject(inside.take(tags.sequence, 'the subject'))
  const publicKey = readKey(inside.take(tags.sequence, 'the public key'))
  // RFC 2986 §4.1 makes the attributes mandatory; some clients leave the empty set out.
  const attributes = inside.optional(contextTag(0, true))
  inside.end('the request info')
  const requested = readAttributes(attributes)
  return { request: { der, publicKey, commonName, ...requested }, info, algorithm, signature }
}

const readKey = (element: Element): PublicKeyInfo => {
  try {
    return readPublicKey(encoded(element))
  } catch (error) {
    throw error instanceof IcaError ? badCsr(error.message, error) : error
  }
}

const readSubject = (subject: Element): string | null => {
  let commonName: string | null = null
  for (const rdn of children(subject, 16)) {
    expectTag(rdn, tags.set, 'a part of the subject')
    for (const attribute of children(rdn, 16)) {
      expectTag(attribute, tags.sequence, 'an attribute of the subject')
      const fields = fieldsOf(attribute)
      const type = readOid(fields.any('the type of an attribute'))
      const value = fields.any('the value of an attribute')
      fields.end('an attribute of the subject')
      if (type !== oids.commonName)
        throw badCsr(`The subject of the CSR has the attribute ${type}; only one common name (${oids.commonName}) is accepted.`)
      if (commonName !== null) throw badCsr('The subject of the CSR has more than one common name.')
      commonName = readDirectoryString(value).toLowerCase()
    }
  }
  return commonName
}

const asciiStrings: readonly number[] = [tags.printableString, tags.ia5String, tags.teletexString]

const readDirectoryString = (value: Element): string => {
  if (value.end - value.body > 256) throw badCsr('The common name of the CSR is longer than 256 octets.')
  if (value.tag === tags.utf8String) return readUtf8(value, 'the common name')
  if (asciiStrings.includes(value.tag)) return readAscii(value, 'the common name')
  throw badCsr('The common name of the CSR is neither a UTF8String nor a PrintableString.')
}

const readAttributes = (attributes: Element | null): Requested => {
  let requested: Requested | null = null
  for (const attribute of attributes === null ? [] : children(attributes, 32)) {
    expectTag(attribute, tags.sequence, 'an attribute')
    const fields = fieldsOf(attribute)
    const type = readOid(fields.any('the type of an attribute'))
    const values = fields.take(tags.set, 'the values of an attribute')
    fields.end('an attribute')
    if (type !== oids.extensionRequest) continue
    if (requested !== null) throw badCsr('The CSR has more than one extensionRequest attribute.')
    requested = readExtensions(onlyChild(values, tags.sequence, 'the extensionRequest attribute'))
  }
  return requested ?? { dNSNames: [], sRVNames: [], xmppAddrs: [], mustStaple: false }
}

const readExtensions = (list: Element): Requested => {
  const requested: Requested = { dNSNames: [], sRVNames: [], xmppAddrs: [], mustStaple: false }
  const seen = new Set<string>()
  for (const extension of children(list, 64)) {
    expectTag(extension, tags.sequence, 'an extension')
    const fields = fieldsOf(extension)
    const id = readOid(fields.any('the identifier of an extension'))
    const critical = fields.optional(tags.boolean)
    if (critical) readBoolean(critical, 'the criticality of an extension')
    const value = fields.take(tags.octetString, 'the value of an extension')
    fields.end('an extension')
    if (seen.has(id)) throw badCsr(`The CSR has the extension ${id} more than once.`)
    seen.add(id)
    if (id === oids.subjectAltName) readNames(onlyChild(value, tags.sequence, 'subjectAltName'), requested)
    if (id === oids.basicConstraints) refuseCa(onlyChild(value, tags.sequence, 'basicConstraints'))
    if (id === oids.tlsFeature) requested.mustStaple = readTlsFeatures(onlyChild(value, tags.sequence, 'the TLS features'))
  }
  return requested
}

const refuseCa = (constraints: Element): void => {
  const ca = fieldsOf(constraints).optional(tags.boolean)
  if (ca && readBoolean(ca, 'basicConstraints')) throw badCsr('The CSR asks for the certificate of a CA (basicConstraints CA:TRUE).')
}

/** RFC 7633 §4.1: a list of TLS extension numbers, of which this CA knows status_request (5). */
const readTlsFeatures = (list: Element): boolean => {
  const features = children(list, 16).map((feature) => readSmallInteger(feature, 65535, 'a TLS feature'))
  const unknown = features.find((feature) => feature !== 5)
  if (unknown !== undefined) throw badCsr(`The CSR asks for the TLS feature ${unknown}; only status_request (5) is supported.`)
  return features.length > 0
}

/** GeneralName choices that are refused, by identifier octet (RFC 5280 §4.2.1.6). */
const refusedNames: Record<number, string> = {
  [contextTag(1, false)]: 'the e-mail address',
  [contextTag(3, true)]: 'an X.400 address',
  [contextTag(4, true)]: 'a directory name',
  [contextTag(5, true)]: 'an EDI party name',
  [contextTag(6, false)]: 'the URI',
  [contextTag(7, false)]: 'the IP address',
  [contextTag(8, false)]: 'a registered identifier',
}

const readNames = (generalNames: Element, into: Requested): void => {
  for (const name of children(generalNames, maxNames)) {
    if (name.tag === contextTag(2, false)) into.dNSNames.push(readDnsName(name, 'dNSName'))
    else if (name.tag === contextTag(0, true)) readOtherName(name, into)
    else
      throw badCsr(
        `The CSR asks for ${refusedNames[name.tag] ?? 'a name of an unknown form'}${shown(name)}; this CA certifies dNSName, SRVName and XmppAddr.`,
      )
  }
}

/** The value of a refused name, where it has one that fits into a sentence. */
const shown = (name: Element): string => {
  const value = contents(name)
  if ((name.tag & 0x20) !== 0 || value.length > 200) return ''
  if (name.tag === contextTag(7, false)) return ` ${value.length === 4 ? value.join('.') : bytesToHex(value)}`
  return ` ${JSON.stringify(String.fromCharCode(...value).replace(/[^ -~]/g, '?'))}`
}

/** LDH labels and underscores, as DNS names on the wire have them; whether the name is any good was decided when it was ordered. */
const readDnsName = (name: Element, form: string): string => {
  const value = readAscii(name, `a ${form}`)
  if (!/^(\*\.)?[A-Za-z0-9_.-]{1,253}$/.test(value))
    throw badCsr(`The CSR has the ${form} ${JSON.stringify(value.slice(0, 300))}, which is not a domain name.`)
  return value.toLowerCase()
}

const readOtherName = (name: Element, into: Requested): void => {
  const fields = fieldsOf(name)
  const type = readOid(fields.any('the type of an otherName'))
  const wrapped = fields.take(contextTag(0, true), 'the value of an otherName')
  fields.end('an otherName')
  if (type === oids.idOnDnsSrv) into.sRVNames.push(readDnsName(onlyChild(wrapped, tags.ia5String, 'an SRVName'), 'SRVName'))
  else if (type === oids.idOnXmppAddr) into.xmppAddrs.push(readXmppAddr(onlyChild(wrapped, tags.utf8String, 'an XmppAddr')))
  else
    throw badCsr(
      `The CSR asks for an otherName of the type ${type}; only SRVName (${oids.idOnDnsSrv}) and XmppAddr (${oids.idOnXmppAddr}) are supported.`,
    )
}

/** A domain in one form, so that it can be compared; what is not a domain stays as it is and will match no order. */
const readXmppAddr = (value: Element): string => {
  if (value.end - value.body > 3071) throw badCsr('The CSR has an XmppAddr of more than 3071 octets (RFC 7622 §3.1).')
  const address = readUtf8(value, 'an XmppAddr')
  const domain = address.includes('@') || address.includes('/') ? '' : domainToASCII(address)
  return domain === '' ? address : domainToUnicode(domain)
}
