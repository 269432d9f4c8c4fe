/** Certificates for the servers of the check's tests: good ones, and each broken in its own way. */
import { createSign, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { CertificateName } from '../../src/model.js'
import { encodeName, encodeTbs, type Issuer, issueLeaf, type LeafFacts, type StatusUrls, signCertificate } from '../../src/pki/certificate.js'
import { nullValue, oid, sequence } from '../../src/pki/der.js'
import { makeIntermediate, makeResponder } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { nodeSigner, type Signer } from '../../src/pki/keys.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspResponse, ocspResponder, type SingleResponse } from '../../src/pki/ocsp-response.js'
import { oids } from '../../src/pki/oids.js'
import { readPeerCertificate } from '../../src/pki/peer-certificate.js'
import { pemEncode } from '../../src/pki/pem.js'
import { caValidity, day, ecKey, leafFacts, makeCa, now, profileNamed, rsaKey, serial } from '../pki/fixtures.js'

export { day, now }

/** What a TLS server is given. */
export type Identity = { key: string; chain: Uint8Array[] }

export const pem = (chain: readonly Uint8Array[]): string => chain.map((der) => pemEncode('CERTIFICATE', der)).join('')
export const keyPem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string

const ca = await makeCa()
export const { root, issuer } = ca
export const [intermediateDer, rootDer] = ca.chain as [Uint8Array, Uint8Array]
export const strange = await makeCa()

/** Pointers to the status server of the tests. */
export const urlsAt = (base: string): StatusUrls => ({ ocsp: `${base}/ocsp`, caIssuers: `${base}/ca.crt`, crl: `${base}/ca.crl`, cps: null })

type Change = Partial<LeafFacts> & { keyObject?: KeyObject; purposes?: ('serverAuth' | 'clientAuth')[]; signedBy?: Issuer }

/** A leaf with its intermediate; `change` says what is special about it. */
export const identity = async (
  domain: string,
  urls: StatusUrls,
  { keyObject = ecKey(), purposes, signedBy = issuer, ...change }: Change = {},
): Promise<Identity> => {
  const facts = leafFacts(signedBy, [domain], { key: keyObject, urls, ...change })
  const profile = purposes ? { ...facts.profile, extendedKeyUsage: purposes } : facts.profile
  return { key: keyPem(keyObject), chain: [await issueLeaf({ ...facts, profile }), intermediateDer] }
}

export const names = (...list: [form: CertificateName['form'], value: string][]): CertificateName[] => list.map(([form, value]) => ({ form, value }))

/** Without pointers to any status. */
export const silent = { profile: { ...profileNamed('xmpp-server'), statusPointers: false } }
export const with3920 = { profile: profileNamed('xmpp-server-3920') }

/** A leaf without subjectAltName. */
export const commonNameOnly = async (domain: string): Promise<Identity> => {
  const key = ecKey()
  const tbs = encodeTbs({
    serial: serial(),
    algorithm: issuer.signer.algorithm,
    issuer: issuer.subject,
    notBefore: now - day,
    notAfter: now + 60 * day,
    subject: encodeName([[oids.commonName, domain]]),
    publicKey: nodeSigner(key).publicKey,
    extensions: [],
  })
  return { key: keyPem(key), chain: [await signCertificate(tbs, issuer.signer), intermediateDer] }
}

/** A certificate that signed itself. */
export const selfSigned = async (domain: string): Promise<Identity> => {
  const key = ecKey()
  const signer = nodeSigner(key)
  const facts = leafFacts(issuer, [domain], { key })
  const itself: Issuer = { ...issuer, subject: encodeName([[oids.commonName, domain]]), ski: signer.publicKey.ski, signer }
  return { key: keyPem(key), chain: [await issueLeaf({ ...facts, issuer: itself })] }
}

/** Signed with SHA-1 by an intermediate that has an RSA key. */
export const sha1 = async (domain: string, urls: StatusUrls): Promise<Identity & { root: Uint8Array }> => {
  const weakCa = await makeCa(ecKey(), rsaKey())
  const key = ecKey()
  const privateKey = rsaKey()
  const rsa = nodeSigner(privateKey)
  const algorithm = sequence(oid('1.2.840.113549.1.1.5'), nullValue())
  const signer: Signer = { publicKey: rsa.publicKey, algorithm, sign: async (tbs) => createSign('sha1').update(tbs).sign(privateKey) }
  const subject = { commonName: 'SHA-1 ICA' }
  const der = await makeIntermediate({ ...caValidity, serial: serial(), subject, publicKey: rsa.publicKey, issuer: weakCa.root, urls })
  const sha1Issuer: Issuer = { ...readIssuer([der, weakCa.root.certificate], rsa, now), signer }
  const leaf = await issueLeaf(leafFacts(sha1Issuer, [domain], { key, urls, ...silent }))
  return { key: keyPem(key), chain: [leaf, der], root: weakCa.root.certificate }
}

export const weakRsa = (): KeyObject => generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey

const responderKey = nodeSigner(ecKey())
const responder = ocspResponder(
  responderKey,
  await makeResponder({ ...caValidity, serial: serial(), publicKey: responderKey.publicKey, issuer, subject: { commonName: 'Responder' } }),
)

/** An OCSP response for a leaf of the test CA. */
export const ocsp = (leaf: Uint8Array, status: SingleResponse['status'], change: Partial<SingleResponse> = {}): Promise<Uint8Array> => {
  const { serial } = readPeerCertificate(leaf)
  const certId = encodeCertId(issuer, 'sha1', serial)
  return encodeOcspResponse(responder, {
    producedAt: now,
    nonce: null,
    answers: [{ certId, status, thisUpdate: now - day / 24, nextUpdate: now + day, ...change }],
  })
}

export const good: SingleResponse['status'] = { status: 'good' }
export const revoked: SingleResponse['status'] = { status: 'revoked', revocation: { revokedAt: now - day, reason: 'superseded' } }
