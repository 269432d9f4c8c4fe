/** Private keys: made by WebCrypto, read from PEM, used to sign. None of this talks to anybody. */

import { integer, nullValue, octetString, oid, sequence, tags } from '../../../src/pki/der.js'
import { encoded, fieldsOf, onlyChild, readOid, readSmallInteger, readWhole } from '../../../src/pki/der-read.js'
import { oids } from '../../../src/pki/oids.js'
import { type PublicJwk, publicJwk, type Signer } from '../acme/jws.js'
import { derFrom, pemBlocks } from './base64.js'
import { KeyProblem } from './key-problem.js'

/** The kinds of keys that the form makes. */
export const keyAlgorithms = ['P-256', 'P-384', 'RSA-3072'] as const
export type KeyAlgorithm = (typeof keyAlgorithms)[number]

type Octets = Uint8Array<ArrayBuffer>

const rsa = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
const ec = (namedCurve: 'P-256' | 'P-384' | 'P-521') => ({ name: 'ECDSA', namedCurve })

const generation = (algorithm: KeyAlgorithm): EcKeyGenParams | RsaHashedKeyGenParams =>
  algorithm === 'RSA-3072' ? { ...rsa, modulusLength: 3072, publicExponent: Uint8Array.of(1, 0, 1) } : ec(algorithm)

/** A new key for a certificate as PKCS #8: its owner will want to take it along. */
export const newCertificateKey = async (algorithm: KeyAlgorithm): Promise<Octets> => {
  const { privateKey } = (await crypto.subtle.generateKey(generation(algorithm), true, ['sign', 'verify'])) as CryptoKeyPair
  return new Uint8Array(await crypto.subtle.exportKey('pkcs8', privateKey))
}

/** A new ES256 account key that can't be taken out of WebCrypto. */
export const newAccountKey = async (): Promise<Signer> => {
  const { privateKey, publicKey } = (await crypto.subtle.generateKey(ec('P-256'), false, ['sign', 'verify'])) as CryptoKeyPair
  return { alg: 'ES256', privateKey, jwk: publicJwk((await crypto.subtle.exportKey('jwk', publicKey)) as JsonWebKey) }
}

const algorithms: Record<string, { alg: Signer['alg']; parameters: EcKeyImportParams | RsaHashedImportParams }> = {
  [oids.secp256r1]: { alg: 'ES256', parameters: ec('P-256') },
  [oids.secp384r1]: { alg: 'ES384', parameters: ec('P-384') },
  [oids.secp521r1]: { alg: 'ES512', parameters: ec('P-521') },
  [oids.rsaEncryption]: { alg: 'RS256', parameters: rsa },
}

/** Longer than an RSA key of 16,384 bits. */
const longest = 16 * 1024

/** The algorithm of a PKCS #8 key (RFC 5958 §2). Throws KeyProblem `kind` for one that the form has no use for. */
const algorithmOf = (pkcs8: Uint8Array) => {
  const key = fieldsOf(readWhole(pkcs8, longest, tags.sequence))
  readSmallInteger(key.any('the version'), 1, 'the version')
  const algorithm = fieldsOf(key.take(tags.sequence, 'the algorithm'))
  const name = readOid(algorithm.any('the algorithm'))
  const known = algorithms[name === oids.idEcPublicKey ? readOid(algorithm.any('the curve')) : name]
  if (!known) throw new KeyProblem('kind')
  return known
}

/** What signs with a PKCS #8 key. The key that WebCrypto holds then can't be taken out again. */
export const signerOf = async (pkcs8: Uint8Array): Promise<Signer> => {
  const { alg, parameters } = algorithmOf(pkcs8)
  const octets = new Uint8Array(pkcs8)
  try {
    const readable = await crypto.subtle.importKey('pkcs8', octets, parameters, true, ['sign'])
    const jwk: PublicJwk = publicJwk((await crypto.subtle.exportKey('jwk', readable)) as JsonWebKey)
    return { alg, privateKey: await crypto.subtle.importKey('pkcs8', octets, parameters, false, ['sign']), jwk }
  } catch (error) {
    throw new KeyProblem('broken', error)
  }
}

/** DER SubjectPublicKeyInfo of the key that belongs to a signer. */
export const spkiOf = async ({ alg, jwk }: Signer): Promise<Octets> => {
  const parameters = Object.values(algorithms).find((known) => known.alg === alg)?.parameters ?? rsa
  return new Uint8Array(await crypto.subtle.exportKey('spki', await crypto.subtle.importKey('jwk', jwk, parameters, true, ['verify'])))
}

const pkcs8Of = (algorithm: Uint8Array, key: Uint8Array): Octets => new Uint8Array(sequence(integer(0), algorithm, octetString(key)))

/** An ECPrivateKey (RFC 5915 §3), whose curve stands beside it in PKCS #8. */
const fromSec1 = (der: Uint8Array): Octets => {
  const key = fieldsOf(readWhole(der, longest, tags.sequence))
  readSmallInteger(key.any('the version'), 1, 'the version')
  key.take(tags.octetString, 'the key')
  const curve = key.optional(0xa0)
  if (!curve) throw new KeyProblem('kind')
  return pkcs8Of(sequence(oid(oids.idEcPublicKey), encoded(onlyChild(curve, tags.oid, 'the curve'))), der)
}

/**
 * The private key in what somebody pasted or dropped, as PKCS #8: PEM of PKCS #8, PKCS #1 (`RSA PRIVATE KEY`) or SEC 1 (`EC PRIVATE KEY`), or DER of PKCS #8.
 * Throws KeyProblem.
 */
export const readPrivateKey = (given: Uint8Array): Octets => {
  const text = new TextDecoder().decode(given.subarray(0, 8 * longest))
  // PKCS #8's own encryption, and the one of OpenSSL that stands in header lines.
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) throw new KeyProblem('encrypted')
  const found = pemBlocks(text).find(({ label }) => /^((RSA|EC) )?PRIVATE KEY$/.test(label))
  const der = found?.der ?? derFrom(given)
  if (!der || (!found && text.includes('-----BEGIN'))) throw new KeyProblem('noKey')
  try {
    if (found?.label === 'RSA PRIVATE KEY') return pkcs8Of(sequence(oid(oids.rsaEncryption), nullValue()), der)
    const pkcs8 = found?.label === 'EC PRIVATE KEY' ? fromSec1(der) : der
    algorithmOf(pkcs8)
    return pkcs8
  } catch (error) {
    throw error instanceof KeyProblem ? error : new KeyProblem('broken', error)
  }
}

/** The PKCS #8 key of a private JWK (RFC 7517), which is how certbot keeps its account key. Throws KeyProblem. */
const fromJwk = async (text: string): Promise<Octets> => {
  let given: JsonWebKey
  try {
    given = JSON.parse(text)
  } catch (error) {
    throw new KeyProblem('noKey', error)
  }
  // What else stands in it, such as a use, is its owner's business.
  const { kty, crv, x, y, n, e, d, p, q, dp, dq, qi } = given
  if (kty === undefined || d === undefined) throw new KeyProblem('noKey')
  const parameters = kty === 'RSA' ? rsa : kty === 'EC' && (crv === 'P-256' || crv === 'P-384' || crv === 'P-521') ? ec(crv) : null
  if (parameters === null) throw new KeyProblem('kind')
  const jwk = kty === 'RSA' ? { kty, n, e, d, p, q, dp, dq, qi } : { kty, crv, x, y, d }
  try {
    const key = await crypto.subtle.importKey('jwk', jwk as JsonWebKey, parameters, true, ['sign'])
    return new Uint8Array(await crypto.subtle.exportKey('pkcs8', key))
  } catch (error) {
    throw new KeyProblem('broken', error)
  }
}

/** The private key of an account in the file of an ACME client, as PKCS #8: a JWK, or what {@link readPrivateKey} reads. Throws KeyProblem. */
export const readAccountKey = async (given: Uint8Array): Promise<Octets> => {
  const text = given[0] === 0x30 ? '' : new TextDecoder().decode(given.subarray(0, 8 * longest)).trim()
  return text.startsWith('{') ? fromJwk(text) : readPrivateKey(given)
}

const ecdsa = {
  ES256: { hash: 'SHA-256', name: oids.ecdsaWithSHA256 },
  ES384: { hash: 'SHA-384', name: oids.ecdsaWithSHA384 },
  ES512: { hash: 'SHA-512', name: oids.ecdsaWithSHA512 },
}

/** A signature as X.509 wants it: WebCrypto gives r and s of ECDSA one behind the other (RFC 3279 §2.2.3 has them as a SEQUENCE). */
export const signX509 = async ({ alg, privateKey }: Signer, data: Uint8Array): Promise<{ algorithm: Uint8Array; signature: Uint8Array }> => {
  const octets = new Uint8Array(data)
  if (alg === 'RS256') {
    const signature = new Uint8Array(await crypto.subtle.sign('RSASSA-PKCS1-v1_5', privateKey, octets))
    return { algorithm: sequence(oid(oids.sha256WithRSAEncryption), nullValue()), signature }
  }
  const { hash, name } = ecdsa[alg]
  const raw = new Uint8Array(await crypto.subtle.sign({ name: 'ECDSA', hash }, privateKey, octets))
  const half = raw.length / 2
  return { algorithm: sequence(oid(name)), signature: sequence(integer(raw.subarray(0, half)), integer(raw.subarray(half))) }
}
