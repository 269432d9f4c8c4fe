/** The X.509 extensions of this CA's certificates, each as one finished Extension (RFC 5280 §4.2). */
import type { CertificateName } from '../model.js'
import {
  ascii,
  bitString,
  boolean,
  explicit,
  ia5String,
  implicit,
  implicitConstructed,
  integer,
  namedBits,
  nullValue,
  octetString,
  oid,
  sequence,
  utf8String,
} from './der.js'
import { oids } from './oids.js'

const critical = boolean(true)

/** Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } */
export const extension = (id: string, isCritical: boolean, value: Uint8Array): Uint8Array =>
  isCritical ? sequence(oid(id), critical, octetString(value)) : sequence(oid(id), octetString(value))

/** §4.2.1.1, with the key identifier alone. */
export const authorityKeyIdentifier = (ski: Uint8Array): Uint8Array => extension(oids.authorityKeyIdentifier, false, sequence(implicit(0, ski)))

/** §4.2.1.2 */
export const subjectKeyIdentifier = (ski: Uint8Array): Uint8Array => extension(oids.subjectKeyIdentifier, false, octetString(ski))

const keyUsageBits = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const

/** §4.2.1.3, critical. */
export const keyUsage = (...usages: (keyof typeof keyUsageBits)[]): Uint8Array =>
  extension(oids.keyUsage, true, namedBits(...usages.map((usage) => keyUsageBits[usage])))

/** §4.2.1.4 with the URI of the practice statement as qualifier where there is one. */
export const certificatePolicies = (policy: string, cps: string | null): Uint8Array => {
  const qualifiers = cps === null ? [] : [sequence(sequence(oid(oids.idQtCps), ia5String(cps)))]
  return extension(oids.certificatePolicies, false, sequence(sequence(oid(policy), ...qualifiers)))
}

/** §4.2.1.6; a subject that is empty makes it critical. */
export const subjectAltName = (generalNames: Uint8Array[], isCritical: boolean): Uint8Array =>
  extension(oids.subjectAltName, isCritical, sequence(...generalNames))

const otherName = (type: string, value: Uint8Array): Uint8Array => implicitConstructed(0, oid(type), explicit(0, value))

/** GeneralName of a name: dNSName [2] IA5String, SRVName (RFC 4985 §2) and XmppAddr (RFC 6120 §13.7.1.4) as otherName [0]. */
export const generalName = ({ form, value }: CertificateName): Uint8Array => {
  if (form === 'dNSName') return implicit(2, ascii(value))
  return form === 'SRVName' ? otherName(oids.idOnDnsSrv, ia5String(value)) : otherName(oids.idOnXmppAddr, utf8String(value))
}

/** GeneralName iPAddress [7] of 4 or 16 octets. */
export const ipAddressName = (address: Uint8Array): Uint8Array => implicit(7, address)

/** §4.2.1.9, critical; `pathLength` null for no limit. */
export const basicConstraintsCa = (pathLength: number | null): Uint8Array =>
  extension(oids.basicConstraints, true, sequence(boolean(true), ...(pathLength === null ? [] : [integer(pathLength)])))

/** §4.2.1.12 */
export const extendedKeyUsage = (purposes: readonly ('serverAuth' | 'clientAuth' | 'ocspSigning')[]): Uint8Array =>
  extension(oids.extKeyUsage, false, sequence(...purposes.map((purpose) => oid(oids[purpose]))))

/** §4.2.1.13: one DistributionPoint with the one URI. */
export const crlDistributionPoint = (uri: string): Uint8Array =>
  extension(oids.cRLDistributionPoints, false, sequence(sequence(implicitConstructed(0, implicitConstructed(0, implicit(6, ascii(uri)))))))

/** §4.2.2.1: where OCSP answers, and where the issuer's certificate is. */
export const authorityInfoAccess = (urls: { ocsp: string | null; caIssuers: string | null }): Uint8Array => {
  const access = (method: string, uri: string | null) => (uri === null ? [] : [sequence(oid(method), implicit(6, ascii(uri)))])
  return extension(oids.authorityInfoAccess, false, sequence(...access(oids.idAdOcsp, urls.ocsp), ...access(oids.idAdCaIssuers, urls.caIssuers)))
}

/** TLS Feature status_request (5): must-staple (RFC 7633 §6). */
export const tlsFeatureStatusRequest = (): Uint8Array => extension(oids.tlsFeature, false, sequence(integer(5)))

/** RFC 6960 §4.2.2.2.1: nobody needs to ask for the status of an OCSP responder's certificate. */
export const ocspNocheck = (): Uint8Array => extension(oids.idPkixOcspNocheck, false, nullValue())

/** [3] EXPLICIT Extensions of a TBSCertificate. */
export const extensions = (...list: Uint8Array[]): Uint8Array => explicit(3, sequence(...list))

/** Signed data of X.509 and PKCS #10: SEQUENCE { toBeSigned, algorithm, signature BIT STRING }. */
export const signedSequence = (tbs: Uint8Array, algorithm: Uint8Array, signature: Uint8Array): Uint8Array =>
  sequence(tbs, algorithm, bitString(signature))
