/** The CA's certificates as they are served: DER for software that follows caIssuers (RFC 5280 §4.2.2.1), PEM for people. */
import { hash } from 'node:crypto'
import { pemEncode } from '../pki/pem.js'
import type { Resource } from './http.js'

export type ServedCertificate = {
  /** The issuer's id: `/ca/<id>.cer` and `/ca/<id>.pem`. */
  id: string
  /** A second name, for people: `/ca/root.pem`. Only the current certificate of each role has one. */
  role?: 'root' | 'intermediate' | 'user-root' | 'user-intermediate'
  der: Uint8Array
  /** Milliseconds since the epoch. */
  notBefore: number
}

/** A day, in seconds: an id never gets another certificate but for a renewal with the same key. */
const maxAge = 86_400

/** Every path with what it serves. */
export const caResources = (certificates: readonly ServedCertificate[]): Map<string, Resource> => {
  const resources = new Map<string, Resource>()
  for (const { id, role, der, notBefore } of certificates) {
    const cer = resource(der, 'application/pkix-cert', notBefore)
    const pem = resource(Buffer.from(pemEncode('CERTIFICATE', der)), 'application/x-pem-file', notBefore)
    for (const name of role ? [id, role] : [id]) resources.set(`/ca/${name}.cer`, cer).set(`/ca/${name}.pem`, pem)
  }
  return resources
}

const resource = (body: Uint8Array, contentType: string, lastModified: number): Resource => ({
  body: [body],
  octets: body.length,
  contentType,
  etag: `"${hash('sha256', body).slice(0, 32)}"`,
  lastModified,
  expires: null,
  maxAge,
})
