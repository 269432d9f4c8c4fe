/**
 * OCSP requests (RFC 6960 §4.1), read strictly and without copying: what comes back are windows into the octets that were given.
 * Bounds: 8 KiB, 32 certificates, 16 extensions a list. What is not such a request throws IcaError('malformed').
 */
import { IcaError } from '../errors.js'
import { equalBytes } from './bytes.js'
import { contextTag, explicit, octetString, oid, sequence, tags } from './der.js'
import {
  contents,
  type Element,
  encoded,
  type Fields,
  fieldsOf,
  onlyChild,
  readBoolean,
  readElement,
  readOid,
  readSmallInteger,
  readWhole,
} from './der-read.js'
import { extension } from './extensions.js'
import { type CertId, readCertId } from './ocsp-certid.js'
import { oids } from './oids.js'

/** The largest request that is read, in octets. */
export const maxOcspRequest = 8192

const maxCertificates = 32
const maxExtensions = 16

export type OcspRequest = {
  /** At least one. */
  certIds: CertId[]
  /** 1 to 128 octets (RFC 9654 §2.1), to be echoed. */
  nonce: Uint8Array | null
}

const refuse = (detail: string): IcaError => new IcaError('malformed', detail)

const nonceOid = oid(oids.idPkixOcspNonce)

/**
 * Decodes an OCSPRequest. A signature around it is skipped: this CA answers everybody alike.
 * @param bytes one DER OCSPRequest and nothing behind it
 * @throws IcaError('malformed') for anything else, for a critical extension that is not known here (RFC 6960 §4.4), for a nonce of a wrong length (RFC 9654 §2.1)
 */
export const readOcspRequest = (bytes: Uint8Array): OcspRequest => {
  const request = fieldsOf(readWhole(bytes, maxOcspRequest, tags.sequence))
  const tbs = fieldsOf(request.take(tags.sequence, 'tbsRequest'))
  request.optional(contextTag(0, true))
  request.end('OCSPRequest')

  readVersion(tbs)
  const requestor = tbs.optional(contextTag(1, true))
  if (requestor) readElement(bytes, requestor.body, requestor.end)
  const certIds = readRequestList(tbs.take(tags.sequence, 'requestList'))
  const extensions = tbs.optional(contextTag(2, true))
  tbs.end('TBSRequest')
  return { certIds, nonce: extensions ? readExtensions(extensions, 'requestExtensions', true) : null }
}

/** DER leaves the default out; a client that writes v1 all the same means no harm. */
const readVersion = (tbs: Fields): void => {
  const version = tbs.optional(contextTag(0, true))
  if (version) readSmallInteger(onlyChild(version, tags.integer, 'version'), 0, 'version')
}

const readRequestList = (list: Element): CertId[] => {
  const certIds: CertId[] = []
  for (const requests = fieldsOf(list); !requests.atEnd(); ) {
    if (certIds.length === maxCertificates) throw refuse(`The request asks for more than ${maxCertificates} certificates.`)
    const single = fieldsOf(requests.take(tags.sequence, 'Request'))
    certIds.push(readCertId(single.take(tags.sequence, 'reqCert')))
    const extensions = single.optional(contextTag(0, true))
    if (extensions) readExtensions(extensions, 'singleRequestExtensions', false)
    single.end('Request')
  }
  if (certIds.length === 0) throw refuse('The request asks for no certificate.')
  return certIds
}

/** Walks Extensions inside their explicit tag; returns the nonce where one may be and is there. */
const readExtensions = (tagged: Element, what: string, mayHaveNonce: boolean): Uint8Array | null => {
  let nonce: Uint8Array | null = null
  const list = fieldsOf(onlyChild(tagged, tags.sequence, what))
  if (list.atEnd()) throw refuse(`${what} is empty.`)
  for (let count = 0; !list.atEnd(); count++) {
    if (count === maxExtensions) throw refuse(`${what} has more than ${maxExtensions} extensions.`)
    const { id, critical, value } = readExtension(list.take(tags.sequence, 'Extension'))
    if (mayHaveNonce && equalBytes(encoded(id), nonceOid)) {
      if (nonce) throw refuse('The request has two nonces.')
      nonce = readNonce(value)
    } else {
      const name = readOid(id, 'extnID')
      if (critical) throw refuse(`The critical extension ${name} is not known.`)
    }
  }
  return nonce
}

/** Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } (RFC 5280 §4.1). */
const readExtension = (element: Element): { id: Element; critical: boolean; value: Element } => {
  const fields = fieldsOf(element)
  const id = fields.take(tags.oid, 'extnID')
  const critical = fields.optional(tags.boolean)
  const value = fields.take(tags.octetString, 'extnValue')
  fields.end('Extension')
  return { id, critical: critical !== null && readBoolean(critical, 'critical'), value }
}

/** Nonce ::= OCTET STRING (SIZE(1..128)); any other length must be refused (RFC 9654 §2.1). */
const readNonce = (value: Element): Uint8Array => {
  const nonce = contents(onlyChild(value, tags.octetString, 'the nonce'))
  if (nonce.length < 1 || nonce.length > 128) throw refuse(`The nonce has ${nonce.length} octets; 1 to 128 are allowed (RFC 9654).`)
  return nonce
}

/** The nonce extension, the same in requests and responses (RFC 9654 §2.1). */
export const nonceExtension = (nonce: Uint8Array): Uint8Array => extension(oids.idPkixOcspNonce, false, octetString(nonce))

/** A DER OCSPRequest for DER CertIDs, unsigned, as RFC 5019 §2.1 describes it: for `doctor`, benches and tests. */
export const encodeOcspRequest = (certIds: readonly Uint8Array[], nonce: Uint8Array | null = null): Uint8Array => {
  const list = sequence(...certIds.map((certId) => sequence(certId)))
  return sequence(sequence(list, ...(nonce ? [explicit(2, sequence(nonceExtension(nonce)))] : [])))
}
