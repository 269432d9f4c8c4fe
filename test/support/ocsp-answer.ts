/** OCSP answers as asn1js decodes them: nothing here is shared with this program's own reading and writing of DER. */
import { verify, X509Certificate } from 'node:crypto'
import * as asn1js from 'asn1js'

/** What an answer says of one certificate; the CertID and the serial (lower-case hex) as they stand in the answer. */
export type Single = { certId: Buffer; serial: string; status: 'good' | 'revoked' | 'unknown' }

export type Answer = {
  /** OCSPResponseStatus (RFC 6960 §4.2.1): 0 is successful; anything else comes without the rest. */
  status: number
  singles: Single[]
  nonce: Buffer | null
  /** Whether it is signed by an OCSP responder that it brings along and that this issuer signed. */
  isSignedFor(issuer: X509Certificate): boolean
}

const nonceOid = '1.3.6.1.5.5.7.48.1.2'
const signingOid = '1.3.6.1.5.5.7.3.9'

const decode = (bytes: Uint8Array): asn1js.AsnType => {
  const { offset, result } = asn1js.fromBER(bytes)
  if (offset !== bytes.length) throw new Error(`${result.error || 'octets behind the end'}: ${Buffer.from(bytes).toString('hex').slice(0, 80)}`)
  return result
}

type Constructed = { valueBlock: { value: asn1js.AsnType[] } }
const inside = (element: asn1js.AsnType | undefined): asn1js.AsnType[] => {
  const { value } = (element as unknown as Constructed | undefined)?.valueBlock ?? {}
  if (!Array.isArray(value)) throw new Error('an answer in which something is missing')
  return value
}
const octets = (element: asn1js.AsnType | undefined): Buffer =>
  Buffer.from((element as asn1js.OctetString | undefined)?.valueBlock.valueHexView ?? [])
const whole = (element: asn1js.AsnType): Buffer => Buffer.from(element.valueBeforeDecodeView)
const isTagged = ({ idBlock }: asn1js.AsnType, number: number): boolean => idBlock.tagClass === 3 && idBlock.tagNumber === number

/** By the number of the context tag. */
const statuses = ['good', 'revoked', 'unknown'] as const

const readSingle = (element: asn1js.AsnType): Single => {
  const [certId, certStatus] = inside(element)
  const status = certStatus?.idBlock.tagClass === 3 ? statuses[certStatus.idBlock.tagNumber] : undefined
  if (!certId || !status) throw new Error('an answer with another CertStatus')
  return { certId: whole(certId), serial: octets(inside(certId)[3]).toString('hex'), status }
}

/** Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue }, where the value of a nonce is an OCTET STRING. */
const readNonce = (extensions: asn1js.AsnType): Buffer | null => {
  const nonce = inside(inside(extensions)[0])
    .map(inside)
    .find(([id]) => (id as asn1js.ObjectIdentifier).valueBlock.toString() === nonceOid)
  return nonce ? octets(decode(octets(nonce.at(-1)))) : null
}

/** The first element of these octets, and what stands behind it. */
const next = (bytes: Uint8Array): { element: asn1js.AsnType; rest: Uint8Array } => {
  const { offset, result } = asn1js.fromBER(bytes)
  if (offset < 0) throw new Error(result.error)
  return { element: result, rest: bytes.subarray(offset) }
}

/** Responders that were verified, by what an answer says of them and the fingerprint of the issuer. */
const verified = new Map<string, X509Certificate>()

/** `certs` is [0] EXPLICIT SEQUENCE OF Certificate. */
const responderIn = (certs: Uint8Array, issuer: X509Certificate): X509Certificate | null => {
  const name = `${issuer.fingerprint256} ${Buffer.from(certs).toString('latin1')}`
  const known = verified.get(name)
  if (known || certs.length === 0) return known ?? null
  const [first] = inside(inside(decode(certs))[0])
  const responder = first ? new X509Certificate(whole(first)) : null
  if (!responder?.verify(issuer.publicKey) || !responder.keyUsage?.includes(signingOid)) return null
  verified.set(name, responder)
  return responder
}

/** Reads an OCSPResponse. Throws where it is none. */
export const readAnswer = (body: Uint8Array): Answer => {
  const [code, responseBytes] = inside(decode(body))
  const status = (code as asn1js.Enumerated).valueBlock.valueDec
  if (!responseBytes) return { status, singles: [], nonce: null, isSignedFor: () => false }
  const basic = octets(inside(inside(responseBytes)[0])[1])
  // One element after the other, from behind the head of the SEQUENCE: certificates take long, and are the same in most answers.
  const long = (basic[1] ?? 0) & 0x80 ? (basic[1] ?? 0) & 0x7f : 0
  const data = next(basic.subarray(2 + long))
  const algorithm = next(data.rest)
  const signature = next(algorithm.rest)
  // ResponseData without its version, whose default is the only one: responderID, producedAt, responses, extensions.
  const [, , responses, extensions] = inside(data.element)
  return {
    status,
    singles: inside(responses).map(readSingle),
    nonce: extensions && isTagged(extensions, 1) ? readNonce(extensions) : null,
    isSignedFor: (issuer) => {
      const responder = responderIn(signature.rest, issuer)
      return responder !== null && verify('sha256', whole(data.element), responder.publicKey, octets(signature.element))
    },
  }
}
