/** Taking a CA certificate and its key into use, our own or one that somebody else's root signed. */
import { X509Certificate } from 'node:crypto'
import { IcaError } from '../errors.js'
import { equalBytes } from './bytes.js'
import type { Issuer } from './certificate.js'
import type { Clientele } from './hierarchy.js'
import type { PublicKeyInfo, Signer } from './keys.js'
import { oids } from './oids.js'
import { type CertificateInfo, issuerId, readCertificate } from './read-certificate.js'

/** keyCertSign and cRLSign (RFC 5280 §4.2.1.3). */
const caUsages = [5, 6]

const fail = (detail: string): never => {
  throw new IcaError('malformed', detail)
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ')

const called = (certificate: CertificateInfo): string => `The CA certificate "${certificate.commonName ?? certificate.serial}"`

const checkTimes = (certificate: CertificateInfo, now: number): void => {
  if (now > certificate.notAfter) fail(`${called(certificate)} expired on ${day(certificate.notAfter)} UTC.`)
  if (now < certificate.notBefore) fail(`${called(certificate)} is not valid before ${day(certificate.notBefore)} UTC; is the clock right?`)
}

/** What every certificate of a CA must have: CA:TRUE, critical, and both usages of a CA. A root is trusted as a key: where it says nothing of usages, it has all of them. */
const checkCa = (certificate: CertificateInfo, isRoot: boolean): void => {
  if (!certificate.isCa) fail(`${called(certificate)} is not a CA certificate (basicConstraints CA:TRUE is missing).`)
  if (isRoot && certificate.keyUsage === null) return
  if (!caUsages.every((usage) => certificate.keyUsage?.includes(usage))) fail(`${called(certificate)} may not sign certificates and CRLs (keyUsage).`)
}

/**
 * Throws malformed, in words for the operator, unless a CA certificate can be used with the key that is there: it is for this key, a CA certificate allowed to
 * sign certificates and CRLs, valid at `now`, and not narrowed to other purposes than those of its clientele. For users it must be narrowed to clients.
 */
export const checkIssuerCertificate = (
  certificate: CertificateInfo,
  publicKey: PublicKeyInfo,
  now: number,
  clientele: Clientele = 'servers',
): void => {
  if (certificate.publicKey.keyId !== publicKey.keyId) fail(`${called(certificate)} does not belong to the private key: the public keys differ.`)
  const isRoot = equalBytes(certificate.issuer, certificate.subject)
  checkCa(certificate, isRoot)
  checkTimes(certificate, now)
  const purposes = certificate.extendedKeyUsage
  if (clientele === 'users' && !isRoot && purposes?.join() !== oids.clientAuth)
    fail(`${called(certificate)} is not for users: it must be allowed to sign for clientAuth and nothing else (extKeyUsage).`)
  if (clientele === 'servers' && purposes !== null && ![oids.serverAuth, oids.clientAuth].every((purpose) => purposes.includes(purpose))) {
    fail(`${called(certificate)} is not allowed to sign for both serverAuth and clientAuth, which XMPP servers need (extKeyUsage).`)
  }
}

/** Throws malformed unless each certificate of `chain` is signed by the next, all are valid CA certificates at `now`, and the last signed itself: the root. */
export const checkChain = (chain: CertificateInfo[], now: number): void => {
  chain.forEach((certificate, position) => {
    checkCa(certificate, position === chain.length - 1)
    checkTimes(certificate, now)
    // The path length counts the intermediates below (RFC 5280 §4.2.1.9), of which `position` are here.
    if (certificate.pathLength !== null && certificate.pathLength < position)
      fail(`${called(certificate)} allows no more than ${certificate.pathLength} CAs below it.`)
    const above = chain[position + 1] ?? certificate
    if (!equalBytes(certificate.issuer, above.subject)) {
      fail(
        above === certificate
          ? `The chain ends with "${certificate.commonName ?? certificate.serial}", which is not self-signed: the root is missing.`
          : `${called(certificate)} was not issued by "${above.commonName ?? above.serial}", which follows it in the chain.`,
      )
    }
    if (!new X509Certificate(certificate.der).verify(new X509Certificate(above.der).publicKey)) {
      fail(`${called(certificate)} has a signature that was not made with the key of "${above.commonName ?? above.serial}".`)
    }
  })
}

/**
 * The issuer made of a private key and its DER chain: the CA's own certificate first, then those above it, the self-signed root last (for a root: alone). Throws
 * malformed, in words for the operator, where {@link checkIssuerCertificate} or the chain finds something wrong at `now`.
 */
export const readIssuer = (chain: Uint8Array[], signer: Signer, now: number, clientele: Clientele = 'servers'): Issuer => {
  const read = chain.map(readCertificate)
  const own = read[0] ?? fail('There is no CA certificate.')
  checkIssuerCertificate(own, signer.publicKey, now, clientele)
  checkChain(read, now)
  const ski = own.ski ?? signer.publicKey.ski
  return {
    id: issuerId(ski),
    certificate: own.der,
    subject: own.subject,
    publicKey: signer.publicKey,
    ski,
    notBefore: own.notBefore,
    notAfter: own.notAfter,
    signer,
    chain: chain.slice(0, -1),
  }
}
