/** Building certificates (RFC 5280 §4.1): what every kind has in common, and the leaf. The hierarchy above the leaf is in hierarchy.ts. */
import type { CertificateName } from '../model.js'
import { bytesToHex } from './bytes.js'
import { explicit, integer, oid, sequence, setOf, time, utf8String } from './der.js'
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  certificatePolicies,
  crlDistributionPoint,
  extendedKeyUsage,
  extensions,
  generalName,
  keyUsage,
  signedSequence,
  subjectAltName,
  subjectKeyIdentifier,
  tlsFeatureStatusRequest,
} from './extensions.js'
import type { PublicKeyInfo, Signer } from './keys.js'
import { oids } from './oids.js'
import type { Profile } from './profile.js'

/** A CA certificate with the key that belongs to it. */
export type Issuer = {
  /** First 16 hex digits of its subject key identifier. */
  id: string
  /** DER. */
  certificate: Uint8Array
  /** DER Name, octet for octet what its certificate has. */
  subject: Uint8Array
  publicKey: PublicKeyInfo
  /** The subject key identifier in its certificate. Somebody else may have made that certificate, so it need not be `publicKey.ski`. */
  ski: Uint8Array
  notBefore: number
  notAfter: number
  signer: Signer
  /** DER certificates from this one up to the root, which is left out. */
  chain: Uint8Array[]
}

/** Where certificates of an issuer point to. All are http URIs, in ASCII. */
export type StatusUrls = {
  ocsp: string
  caIssuers: string
  /** The CRL, or the shard of it, that will list the certificate. */
  crl: string
  /** The certification practice statement. */
  cps: string | null
}

/** Milliseconds since the epoch; certificates keep whole seconds. notAfter is the last second of the validity (RFC 5280 §4.1.2.5: inclusive). */
export type Validity = { notBefore: number; notAfter: number }

/**
 * A new serial: 127 random bits (BR 7.1 asks for 64) below a bit that is always set, so that each has 32 hex digits and there is one way to write it. `random`
 * gives n octets from a CSPRNG. Positive and 17 octets long in DER; RFC 5280 §4.1.2.2 allows 20.
 */
export const newSerial = (random: (n: number) => Uint8Array): string => {
  const octets = Uint8Array.from(random(16))
  octets[0] = (octets[0] ?? 0) | 0x80
  return bytesToHex(octets)
}

/** Name with one attribute per RDN; `[]` is the empty name. UTF8String as RFC 5280 §4.1.2.4 asks. */
export const encodeName = (attributes: readonly [type: string, value: string][]): Uint8Array =>
  sequence(...attributes.map(([type, value]) => setOf(sequence(oid(type), utf8String(value)))))

export type TbsCertificate = Validity & {
  serial: string
  /** The issuer's DER Name and its signer's AlgorithmIdentifier. */
  issuer: Uint8Array
  algorithm: Uint8Array
  /** DER Name. */
  subject: Uint8Array
  publicKey: PublicKeyInfo
  extensions: Uint8Array[]
}

const version3 = explicit(0, integer(2))

/** TBSCertificate, version 3. */
export const encodeTbs = (tbs: TbsCertificate): Uint8Array =>
  sequence(
    version3,
    integer(tbs.serial),
    tbs.algorithm,
    tbs.issuer,
    sequence(time(tbs.notBefore), time(tbs.notAfter)),
    tbs.subject,
    tbs.publicKey.spki,
    extensions(...tbs.extensions),
  )

/** The certificate: `tbs` with the signer's signature. */
export const signCertificate = async (tbs: Uint8Array, signer: Signer): Promise<Uint8Array> =>
  signedSequence(tbs, signer.algorithm, signer.signNow?.(tbs) ?? (await signer.sign(tbs))).slice()

/** Everything that a leaf certificate is made of. All of it was decided before: nothing here comes from a CSR but the key. */
export type LeafFacts = Validity & {
  profile: Profile
  /** From `namesFor(profile, …)`. */
  names: readonly CertificateName[]
  publicKey: PublicKeyInfo
  /** Hex, from {@link newSerial}. */
  serial: string
  issuer: Issuer
  urls: StatusUrls
  /** From `mustStapleFor(profile, …)`. */
  mustStaple: boolean
  /** Of a user; servers have theirs from {@link commonNameFor}. */
  commonName?: string
}

/** The common name (RFC 5280 appendix A, ub-common-name 64): the first dNSName that fits; null where none does. */
export const commonNameFor = (names: readonly CertificateName[]): string | null =>
  names.find(({ form, value }) => form === 'dNSName' && value.length <= 64)?.value ?? null

/** The TBSCertificate of a leaf, as PKI.md "Leaf profile" describes it. */
export const encodeTbsLeaf = (facts: LeafFacts): Uint8Array => {
  const { profile, publicKey, issuer, urls } = facts
  const commonName = facts.commonName ?? commonNameFor(facts.names)
  const pointers = profile.statusPointers
  return encodeTbs({
    serial: facts.serial,
    algorithm: issuer.signer.algorithm,
    issuer: issuer.subject,
    notBefore: facts.notBefore,
    notAfter: facts.notAfter,
    subject: encodeName(commonName === null ? [] : [[oids.commonName, commonName]]),
    publicKey,
    extensions: [
      authorityKeyIdentifier(issuer.ski),
      subjectKeyIdentifier(publicKey.ski),
      publicKey.kind === 'RSA' ? keyUsage('digitalSignature', 'keyEncipherment') : keyUsage('digitalSignature'),
      certificatePolicies(profile.policy, urls.cps),
      subjectAltName(facts.names.map(generalName), commonName === null),
      extendedKeyUsage(profile.extendedKeyUsage),
      ...(pointers ? [crlDistributionPoint(urls.crl)] : []),
      authorityInfoAccess({ ocsp: pointers ? urls.ocsp : null, caIssuers: urls.caIssuers }),
      ...(facts.mustStaple ? [tlsFeatureStatusRequest()] : []),
    ],
  })
}

/** Encodes and signs a leaf certificate. Check the result with `lintLeaf` before it leaves the CA. */
export const issueLeaf = (facts: LeafFacts): Promise<Uint8Array> => signCertificate(encodeTbsLeaf(facts), facts.issuer.signer)
