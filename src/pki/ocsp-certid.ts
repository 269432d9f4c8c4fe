/** How OCSP names a certificate: by hashes of its issuer's name and key, and by its serial (CertID, RFC 6960 §4.1.1). */
import { hash as digest } from 'node:crypto'
import { IcaError } from '../errors.js'
import { equalBytes } from './bytes.js'
import { integer, nullValue, octetString, oid, sequence, tags } from './der.js'
import { contents, type Element, encoded, expectTag, fieldsOf, readHexInteger, readOctetString, readOid } from './der-read.js'
import { keyBits } from './keys.js'
import { oids } from './oids.js'

/** The hashes that clients use: SHA-1 as RFC 5019 §2.1.1 wants it, SHA-256 as newer ones can. Nothing is trusted because of them; they only say which issuer is meant. */
export type CertIdHash = 'sha1' | 'sha256'

export const certIdHashes: readonly CertIdHash[] = ['sha1', 'sha256']

export type CertId = {
  /** The whole CertID as it came, to be echoed: clients compare it octet by octet, down to the NULL of the algorithm. */
  der: Uint8Array
  /** The hash that both issuer hashes were made with; null for one that this program doesn't make. */
  hash: CertIdHash | null
  issuerNameHash: Uint8Array
  issuerKeyHash: Uint8Array
  /** Lower-case hex, an even number of digits. */
  serial: string
}

const algorithms: Record<CertIdHash, { oid: Uint8Array; size: number }> = {
  sha1: { oid: oid(oids.sha1), size: 20 },
  sha256: { oid: oid(oids.sha256), size: 32 },
}

/** Reads a CertID of a request. Throws IcaError('malformed'). */
export const readCertId = (element: Element): CertId => {
  const certId = fieldsOf(element)
  const hash = readHashAlgorithm(certId.take(tags.sequence, 'hashAlgorithm'))
  const issuerNameHash = readOctetString(certId.any('issuerNameHash'), 'issuerNameHash')
  const issuerKeyHash = readOctetString(certId.any('issuerKeyHash'), 'issuerKeyHash')
  if (hash && (issuerNameHash.length !== algorithms[hash].size || issuerKeyHash.length !== algorithms[hash].size)) {
    throw new IcaError('malformed', `A ${hash} hash in a CertID is not ${algorithms[hash].size} octets long.`)
  }
  const serial = readHexInteger(certId.any('serialNumber'), 'serialNumber')
  certId.end('CertID')
  return { der: encoded(element), hash, issuerNameHash, issuerKeyHash, serial }
}

const readHashAlgorithm = (element: Element): CertIdHash | null => {
  const algorithm = fieldsOf(element)
  const identifier = algorithm.take(tags.oid, 'hashAlgorithm')
  const parameters = algorithm.atEnd() ? null : algorithm.any('parameters')
  algorithm.end('hashAlgorithm')
  const hash = certIdHashes.find((name) => equalBytes(algorithms[name].oid, encoded(identifier)))
  if (!hash) {
    readOid(identifier, 'hashAlgorithm')
    return null
  }
  // RFC 5754 §2: the parameters of a SHA are absent or NULL, and both must be accepted.
  if (parameters) {
    expectTag(parameters, tags.null, 'parameters')
    if (contents(parameters).length > 0) throw new IcaError('malformed', 'The NULL of a hash algorithm has contents.')
  }
  return hash
}

/** What identifies an issuer in OCSP: its DER Name and its SubjectPublicKeyInfo. */
export type CertIdIssuer = { subject: Uint8Array; publicKey: { spki: Uint8Array } }

/** issuerNameHash and issuerKeyHash: the latter over the key's BIT STRING without tag, length and unused bits. */
export const hashIssuer = (issuer: CertIdIssuer, hash: CertIdHash): { nameHash: Uint8Array; keyHash: Uint8Array } => ({
  nameHash: digest(hash, issuer.subject, 'buffer'),
  keyHash: digest(hash, keyBits(issuer.publicKey.spki), 'buffer'),
})

/** DER CertID as clients write it, with the parameters NULL unless told otherwise. */
export const encodeCertId = (issuer: CertIdIssuer, hash: CertIdHash, serial: string, parameters: 'null' | 'absent' = 'null'): Uint8Array => {
  const { nameHash, keyHash } = hashIssuer(issuer, hash)
  const algorithm = sequence(algorithms[hash].oid, ...(parameters === 'null' ? [nullValue()] : []))
  return sequence(algorithm, octetString(nameHash), octetString(keyHash), integer(serial))
}
