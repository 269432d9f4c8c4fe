/** The certificates above and beside the leaves: root, intermediate, OCSP responder, the CA's own HTTPS (PKI.md "Hierarchy"). */
import { encodeName, encodeTbs, type Issuer, type StatusUrls, signCertificate, type Validity } from './certificate.js'
import { ascii, implicit, implicitConstructed, integer, oid, sequence, setOf } from './der.js'
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraintsCa,
  certificatePolicies,
  crlDistributionPoint,
  extendedKeyUsage,
  ipAddressName,
  keyUsage,
  ocspNocheck,
  signedSequence,
  subjectAltName,
  subjectKeyIdentifier,
} from './extensions.js'
import type { PublicKeyInfo, Signer } from './keys.js'
import { oids } from './oids.js'

/** The name of a CA or of one of its servants. */
export type Subject = { commonName: string; organization?: string | undefined }

/** DER Name: organizationName, commonName; each of 1 to 64 characters (RFC 5280 appendix A). */
export const subjectName = ({ commonName, organization }: Subject): Uint8Array => {
  for (const value of [commonName, organization ?? commonName]) {
    if (value.length === 0 || [...value].length > 64) throw new RangeError(`a name of a CA has 1 to 64 characters: ${JSON.stringify(value)}`)
  }
  return encodeName([
    ...(organization === undefined ? [] : [[oids.organizationName, organization] as [string, string]]),
    [oids.commonName, commonName],
  ])
}

/** Whom a CA certifies: servers, or users, whose root is another one (docs/users.md says why). */
export type Clientele = 'servers' | 'users'

/** The key purposes that bind what is below an intermediate (BR 7.1.2.10.6). */
export const purposesFor = { servers: ['serverAuth', 'clientAuth'], users: ['clientAuth'] } as const satisfies Record<Clientele, readonly string[]>

const caKeyUsage = keyUsage('keyCertSign', 'cRLSign')

/** A self-signed root. `serial` is hex. */
export const makeRoot = (facts: Validity & { serial: string; subject: Subject; signer: Signer }): Promise<Uint8Array> => {
  const { signer } = facts
  const name = subjectName(facts.subject)
  const tbs = encodeTbs({
    serial: facts.serial,
    algorithm: signer.algorithm,
    issuer: name,
    notBefore: facts.notBefore,
    notAfter: facts.notAfter,
    subject: name,
    publicKey: signer.publicKey,
    extensions: [basicConstraintsCa(null), caKeyUsage, subjectKeyIdentifier(signer.publicKey.ski), authorityKeyIdentifier(signer.publicKey.ski)],
  })
  return signCertificate(tbs, signer)
}

/** What the certificates that an issuer signs for this CA have in common. `urls` are those of the issuer. */
export type IssuedFacts = Validity & { serial: string; publicKey: PublicKeyInfo; issuer: Issuer; urls: StatusUrls }

const issue = (facts: Omit<IssuedFacts, 'urls'>, subject: Uint8Array, extensions: Uint8Array[]): Promise<Uint8Array> => {
  const { publicKey, issuer } = facts
  const tbs = encodeTbs({
    serial: facts.serial,
    algorithm: issuer.signer.algorithm,
    issuer: issuer.subject,
    notBefore: facts.notBefore,
    notAfter: facts.notAfter,
    subject,
    publicKey,
    extensions: [authorityKeyIdentifier(issuer.ski), subjectKeyIdentifier(publicKey.ski), ...extensions],
  })
  return signCertificate(tbs, issuer.signer)
}

/**
 * An intermediate that signs leaves and OCSP responders only. Its key purposes bind what is below it (BR 7.1.2.10.6); the responder's OCSPSigning is not among
 * them, because verifiers look for that purpose in the responder's own certificate. A root signs no OCSP answers, so there is no OCSP pointer.
 */
export const makeIntermediate = (facts: IssuedFacts & { subject: Subject; clientele?: Clientele }): Promise<Uint8Array> =>
  issue(facts, subjectName(facts.subject), [
    basicConstraintsCa(0),
    caKeyUsage,
    certificatePolicies(oids.anyPolicy, facts.urls.cps),
    extendedKeyUsage(purposesFor[facts.clientele ?? 'servers']),
    crlDistributionPoint(facts.urls.crl),
    authorityInfoAccess({ ocsp: null, caIssuers: facts.urls.caIssuers }),
  ])

/** A delegated OCSP responder (RFC 6960 §4.2.2.2). Nobody asks for its status (nocheck), so it is short-lived and has no pointers. */
export const makeResponder = (facts: Omit<IssuedFacts, 'urls'> & { subject: Subject }): Promise<Uint8Array> =>
  issue(facts, subjectName(facts.subject), [keyUsage('digitalSignature'), extendedKeyUsage(['ocspSigning']), ocspNocheck()])

/** The certificate of the CA's own HTTPS. `hosts` are A-label names or addresses of 4 or 16 octets. It has no subject, as such names may be longer than a CN. */
export const makeServerCertificate = (facts: IssuedFacts & { hosts: (string | Uint8Array)[] }): Promise<Uint8Array> =>
  issue(facts, encodeName([]), [
    facts.publicKey.kind === 'RSA' ? keyUsage('digitalSignature', 'keyEncipherment') : keyUsage('digitalSignature'),
    certificatePolicies(oids.anyPolicy, facts.urls.cps),
    subjectAltName(
      facts.hosts.map((host) => (typeof host === 'string' ? implicit(2, ascii(host)) : ipAddressName(host))),
      true,
    ),
    extendedKeyUsage(['serverAuth']),
    crlDistributionPoint(facts.urls.crl),
    authorityInfoAccess(facts.urls),
  ])

/** A PKCS #10 request (RFC 2986) for an intermediate, with the extensions that it needs as extensionRequest (RFC 2985 §5.4.2), for somebody else's root to sign. */
export const intermediateRequest = async (subject: Subject, signer: Signer): Promise<Uint8Array> => {
  const requested = sequence(
    basicConstraintsCa(0),
    caKeyUsage,
    extendedKeyUsage(['serverAuth', 'clientAuth']),
    subjectKeyIdentifier(signer.publicKey.ski),
  )
  const attributes = implicitConstructed(0, sequence(oid(oids.extensionRequest), setOf(requested)))
  const info = sequence(integer(0), subjectName(subject), signer.publicKey.spki, attributes)
  return signedSequence(info, signer.algorithm, await signer.sign(info)).slice()
}
