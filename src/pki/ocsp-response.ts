/** OCSP responses (RFC 6960 §4.2), BasicOCSPResponse only, signed by a delegated responder that goes along with every answer. */
import { hash } from 'node:crypto'
import { type Revocation, revocationReasons } from '../model.js'
import {
  contextTag,
  enumerated,
  explicit,
  generalizedTime,
  implicit,
  implicitConstructed,
  octetString,
  oid,
  sequence,
  tags,
  tlvSize,
  writeHeader,
} from './der.js'
import { keyBits, type Signer } from './keys.js'
import { nonceExtension } from './ocsp-request.js'
import { oids } from './oids.js'
import { rememberFew } from './remember-few.js'

/** The key that signs answers, with everything about it that is the same in each. */
export type OcspResponder = {
  signer: Signer
  /** DER ResponderID. */
  id: Uint8Array
  /** DER certs field of BasicOCSPResponse. */
  certs: Uint8Array
}

/**
 * A responder from its signer and its DER certificate. The id is the SHA-1 of the responder's key, which is all that RFC 6960 §4.2.1 knows (KeyHash);
 * a name would be longer and may be shared by two generations.
 */
export const ocspResponder = (signer: Signer, certificate: Uint8Array): OcspResponder => ({
  signer,
  id: explicit(2, octetString(hash('sha1', keyBits(signer.publicKey.spki), 'buffer'))),
  certs: explicit(0, sequence(certificate)),
})

/** What is said of one certificate. Times are milliseconds since the epoch and are written in whole seconds, without a fraction (RFC 5280 §4.1.2.5.2). */
export type SingleResponse = {
  /** DER CertID, as it stood in the request. */
  certId: Uint8Array
  status: { status: 'good' } | { status: 'revoked'; revocation: Revocation } | { status: 'unknown' }
  thisUpdate: number
  nextUpdate: number
}

export type ResponseData = {
  producedAt: number
  answers: readonly SingleResponse[]
  /** Echoed from the request (RFC 9654 §2.1). */
  nonce: Uint8Array | null
}

const good = implicit(0, new Uint8Array())
const unknown = implicit(2, new Uint8Array())

/** CertStatus. The reason belongs in RevokedInfo, not in an extension, and is left out where it is unspecified (RFC 5280 §5.3.1). */
const encodeStatus = (status: SingleResponse['status']): Uint8Array => {
  if (status.status === 'good') return good
  if (status.status === 'unknown') return unknown
  const { revokedAt, reason } = status.revocation
  const time = generalizedTime(revokedAt)
  return reason === 'unspecified' ? implicitConstructed(1, time) : implicitConstructed(1, time, explicit(0, enumerated(revocationReasons[reason])))
}

const timeOf = rememberFew(generalizedTime)

const encodeSingle = ({ certId, status, thisUpdate, nextUpdate }: SingleResponse): Uint8Array =>
  sequence(certId, encodeStatus(status), timeOf(thisUpdate), explicit(0, timeOf(nextUpdate)))

/** DER ResponseData: what is signed. Version 1 is the default and is left out. */
export const encodeResponseData = (responder: OcspResponder, { producedAt, answers, nonce }: ResponseData): Uint8Array =>
  sequence(responder.id, timeOf(producedAt), sequence(...answers.map(encodeSingle)), ...(nonce ? [explicit(1, sequence(nonceExtension(nonce)))] : []))

const responseStatus = { successful: 0, malformedRequest: 1, internalError: 2, tryLater: 3, unauthorized: 6 } as const

const successful = enumerated(responseStatus.successful)
const basicType = oid(oids.idPkixOcspBasic)

/**
 * DER OCSPResponse of encoded ResponseData and its signature. Written in one go: with the functions that nest, the certificate would be copied five times for
 * each answer. `allocate` gives the memory, whose contents may be anything.
 */
export const assembleOcspResponse = (
  responder: OcspResponder,
  data: Uint8Array,
  signature: Uint8Array,
  allocate = (size: number): Uint8Array => new Uint8Array(size),
): Uint8Array => {
  const { certs } = responder
  const { algorithm } = responder.signer
  const bits = 1 + signature.length
  const basic = data.length + algorithm.length + tlvSize(bits) + certs.length
  const octets = tlvSize(basic)
  const bytes = basicType.length + tlvSize(octets)
  const tagged = tlvSize(bytes)
  const whole = successful.length + tlvSize(tagged)

  const out = allocate(tlvSize(whole))
  let at = writeHeader(out, 0, tags.sequence, whole)
  const put = (part: Uint8Array): void => {
    out.set(part, at)
    at += part.length
  }
  put(successful)
  at = writeHeader(out, at, contextTag(0, true), tagged)
  at = writeHeader(out, at, tags.sequence, bytes)
  put(basicType)
  at = writeHeader(out, at, tags.octetString, octets)
  at = writeHeader(out, at, tags.sequence, basic)
  put(data)
  put(algorithm)
  at = writeHeader(out, at, tags.bitString, bits)
  // No unused bits.
  out[at++] = 0
  put(signature)
  put(certs)
  return out
}

/** Encodes and signs a successful OCSPResponse. */
export const encodeOcspResponse = async (responder: OcspResponder, data: ResponseData): Promise<Uint8Array> => {
  const encoded = encodeResponseData(responder, data)
  return assembleOcspResponse(responder, encoded, await responder.signer.sign(encoded))
}

/** The answers that carry no response (RFC 6960 §2.3); they are not signed. */
export type OcspError = Exclude<keyof typeof responseStatus, 'successful'>

/** DER OCSPResponse of an error. */
export const encodeOcspError = (error: OcspError): Uint8Array => sequence(enumerated(responseStatus[error]))
