/** Reading what others say of a certificate's status: OCSP responses (RFC 6960 §4.2) and CRLs (RFC 5280 §5), with their signatures. */
import { verify, X509Certificate } from 'node:crypto'
import { IcaError } from '../errors.js'
import { equalBytes, hexToBytes } from './bytes.js'
import { contextTag, tags } from './der.js'
import {
  children,
  contents,
  type Element,
  encoded,
  fieldsOf,
  malformed,
  onlyChild,
  readElement,
  readOid,
  readSmallInteger,
  readTime,
  readWhole,
} from './der-read.js'
import { type CertIdIssuer, hashIssuer, readCertId } from './ocsp-certid.js'
import { oids } from './oids.js'
import type { PeerCertificate } from './peer-certificate.js'

/** What was said. `revokedAt` and the times are milliseconds since the epoch; nextUpdate is null where the answer has none. */
export type StatusAnswer = { status: 'good' | 'unknown' | 'revoked'; revokedAt: number | null; thisUpdate: number; nextUpdate: number | null }

/** Octets of an answer for one certificate, its responder's certificates included. */
export const maxOcspResponse = 64 * 1024

const refuse = (detail: string): never => {
  throw new IcaError('malformed', detail)
}

/** Digests by signature algorithm; null for those that hash by themselves. SHA-1 is not believed. */
const digests: Record<string, string | null> = {
  [oids.sha256WithRSAEncryption]: 'sha256',
  [oids.sha384WithRSAEncryption]: 'sha384',
  [oids.sha512WithRSAEncryption]: 'sha512',
  [oids.ecdsaWithSHA256]: 'sha256',
  [oids.ecdsaWithSHA384]: 'sha384',
  [oids.ecdsaWithSHA512]: 'sha512',
  [oids.idEd25519]: null,
}

const isSigned = (algorithm: Element, data: Uint8Array, signature: Uint8Array, key: X509Certificate['publicKey']): boolean => {
  const digest = digests[readOid(fieldsOf(algorithm).any('the signature algorithm'))]
  return digest !== undefined && verify(digest, data, key, signature)
}

const bits = (element: Element): Uint8Array => contents(element).subarray(1)

const errors = ['successful', 'malformedRequest', 'internalError', 'tryLater', 'status 4', 'sigRequired', 'unauthorized']

/** The certificate whose key signs: the issuer's own, or one that it made for this purpose (RFC 6960 §4.2.2.2). */
const signersOf = (list: Element | null, issuer: PeerCertificate, now: number): X509Certificate['publicKey'][] => {
  const delegated = (list ? children(onlyChild(list, tags.sequence, 'certs'), 8) : []).flatMap((element) => {
    const x509 = new X509Certificate(encoded(element))
    const isForIt = x509.keyUsage?.includes(oids.ocspSigning) ?? false
    const isNow = now >= Date.parse(x509.validFrom) && now <= Date.parse(x509.validTo)
    return isForIt && isNow && x509.checkIssued(issuer.x509) && x509.verify(issuer.x509.publicKey) ? [x509.publicKey] : []
  })
  return [issuer.x509.publicKey, ...delegated]
}

const readSingle = (element: Element): StatusAnswer & { certId: ReturnType<typeof readCertId> } => {
  const fields = fieldsOf(element)
  const certId = readCertId(fields.take(tags.sequence, 'certID'))
  const status = fields.any('certStatus')
  const revoked = status.tag === contextTag(1, true)
  const revokedAt = revoked ? readTime(fieldsOf(status).any('revocationTime'), 'revocationTime') : null
  const thisUpdate = readTime(fields.any('thisUpdate'), 'thisUpdate')
  const next = fields.optional(contextTag(0, true))
  const nextUpdate = next && readTime(onlyChild(next, tags.generalizedTime, 'nextUpdate'), 'nextUpdate')
  return { certId, status: revoked ? 'revoked' : status.tag === contextTag(0, false) ? 'good' : 'unknown', revokedAt, thisUpdate, nextUpdate }
}

/**
 * What an OCSP response says of `certificate`. Its signature is verified; whether its times are right is for the caller.
 * @throws IcaError('malformed') in a sentence, for an answer that is none, is for another certificate, or is not signed for `issuer`
 */
export const readOcspResponse = (bytes: Uint8Array, certificate: PeerCertificate, issuer: PeerCertificate, now: number): StatusAnswer => {
  const outer = fieldsOf(readWhole(bytes, maxOcspResponse, tags.sequence))
  const code = readSmallInteger(outer.any('responseStatus'), 255, 'responseStatus', tags.enumerated)
  if (code !== 0) refuse(`The responder answers "${errors[code] ?? code}".`)
  const response = fieldsOf(onlyChild(outer.take(contextTag(0, true), 'responseBytes'), tags.sequence, 'responseBytes'))
  if (readOid(response.any('responseType')) !== oids.idPkixOcspBasic) refuse('The answer is of an unknown type.')
  const basic = fieldsOf(onlyChild(response.take(tags.octetString, 'response'), tags.sequence, 'BasicOCSPResponse'))
  const data = basic.take(tags.sequence, 'tbsResponseData')
  const algorithm = basic.take(tags.sequence, 'signatureAlgorithm')
  const signature = bits(basic.take(tags.bitString, 'signature'))
  const keys = signersOf(basic.optional(contextTag(0, true)), issuer, now)

  const fields = fieldsOf(data)
  fields.optional(contextTag(0, true))
  fields.any('responderID')
  fields.any('producedAt')
  const singles = children(fields.take(tags.sequence, 'responses'), 64).map(readSingle)
  const named: CertIdIssuer = { subject: issuer.subjectName, publicKey: { spki: issuer.spki } }
  const mine = singles.find(({ certId }) => {
    if (certId.hash === null || certId.serial !== certificate.serial) return false
    const { nameHash, keyHash } = hashIssuer(named, certId.hash)
    return equalBytes(nameHash, certId.issuerNameHash) && equalBytes(keyHash, certId.issuerKeyHash)
  })
  if (!mine) return refuse('The answer is about another certificate.')
  if (!keys.some((key) => isSigned(algorithm, encoded(data), signature, key)))
    refuse(`The answer is not signed by "${issuer.subject}" or a responder of it.`)
  const { certId: _, ...answer } = mine
  return answer
}

/**
 * The entry of a serial number in the list of a CRL, null where there is none. Goes by lengths, without an object for each entry: strangers' lists have a million of them.
 * @throws IcaError('malformed') for what is no list of entries up to there
 */
const findEntry = (list: Element, serial: string): Element | null => {
  const { bytes, end } = list
  const magnitude = hexToBytes(serial)
  // Contents octets of the INTEGER (X.690 §8.3): a zero in front where the first bit would be a sign.
  const wanted = (magnitude[0] as number) >= 0x80 ? Uint8Array.of(0, ...magnitude) : magnitude
  for (let at = list.body; at < end; ) {
    const short = end - at > 2 && (bytes[at + 1] as number) < 0x80
    const entry = short ? null : readElement(bytes, at, end)
    const body = entry ? entry.body : at + 2
    const next = entry ? entry.end : body + (bytes[at + 1] as number)
    if (bytes[at] !== tags.sequence || bytes[body] !== tags.integer || next > end || next - body < 3) throw malformed(at, 'no entry of a CRL')
    const isLikely = bytes[body + 1] === wanted.length && bytes[body + 1 + wanted.length] === wanted[wanted.length - 1]
    if (isLikely && equalBytes(bytes.subarray(body + 2, body + 2 + wanted.length), wanted)) return readElement(bytes, at, end)
    at = next
  }
  return null
}

/**
 * What a CRL says of `certificate`: `good` where it is not listed. Whether its times are right is for the caller; that the CRL is the one that the certificate
 * points to makes a shard (issuingDistributionPoint) as good as the complete list.
 * @throws IcaError('malformed') in a sentence, for what is no CRL or is not signed by `issuer`
 */
export const readCrlStatus = (bytes: Uint8Array, certificate: PeerCertificate, issuer: PeerCertificate): StatusAnswer => {
  const outer = fieldsOf(readWhole(bytes, bytes.length, tags.sequence))
  const tbs = outer.take(tags.sequence, 'the TBSCertList')
  const algorithm = outer.take(tags.sequence, 'the signature algorithm')
  if (!isSigned(algorithm, encoded(tbs), bits(outer.take(tags.bitString, 'the signature')), issuer.x509.publicKey)) {
    refuse(`The CRL is not signed by "${issuer.subject}".`)
  }
  const fields = fieldsOf(tbs)
  fields.optional(tags.integer)
  fields.take(tags.sequence, 'the signature algorithm')
  fields.take(tags.sequence, 'the issuer')
  const thisUpdate = readTime(fields.any('thisUpdate'), 'thisUpdate')
  const next = fields.optional(tags.utcTime) ?? fields.optional(tags.generalizedTime)
  const list = fields.optional(tags.sequence)
  const entry = list && findEntry(list, certificate.serial)
  const revokedAt = entry ? readTime(children(entry, 4)[1] as Element, 'a revocation date') : null
  return { status: entry ? 'revoked' : 'good', revokedAt, thisUpdate, nextUpdate: next && readTime(next, 'nextUpdate') }
}
