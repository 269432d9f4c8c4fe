/** Public keys as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), and signing and verifying with them through node:crypto. */
import { createPublicKey, createSign, hash, type KeyObject, sign, verify } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { IcaError } from '../errors.js'
import { curves, isOnCurve, isOnEd25519 } from './curves.js'
import { nullValue, oid, sequence, tags } from './der.js'
import { type Element, fieldsOf, malformedAs, readBitString, readOid, readUnsigned, readWhole } from './der-read.js'
import { oids } from './oids.js'

export type KeyKind = 'P-256' | 'P-384' | 'P-521' | 'RSA' | 'Ed25519'

export const keyKinds: readonly KeyKind[] = ['P-256', 'P-384', 'P-521', 'RSA', 'Ed25519']

export type PublicKeyInfo = {
  /** DER SubjectPublicKeyInfo. */
  spki: Uint8Array
  kind: KeyKind
  /** Size of the modulus or of the curve's field. */
  bits: number
  /** Lower-case hex of the SHA-256 of `spki`: what this program knows a key by. */
  keyId: string
  /** The subject key identifier: 20 octets, the left part of the SHA-256 of the key's BIT STRING (RFC 7093 §2 method 1). */
  ski: Uint8Array
}

/** An RSA key of 16,384 bits takes 2,086 octets; nothing larger is worth a look. */
const maxSpki = 2200

const badKey = (detail: string): IcaError => new IcaError('badPublicKey', detail)

/**
 * Reads a SubjectPublicKeyInfo of a kind that this program knows: RSA (RFC 3279 §2.3.1), EC with a named curve and an uncompressed point that lies on it
 * (RFC 5480 §2), Ed25519 (RFC 8410 §4). Throws badPublicKey that names what is wrong. Whether a subscriber may use the key is another question: see
 * {@link checkSubscriberKey} in weak-keys.ts.
 */
export const readPublicKey = (spki: Uint8Array): PublicKeyInfo =>
  malformedAs('badPublicKey', 'The public key can’t be read.', () => {
    const fields = fieldsOf(readWhole(spki, maxSpki, tags.sequence))
    const algorithm = fieldsOf(fields.take(tags.sequence, 'the key algorithm'))
    const name = readOid(algorithm.any('the key algorithm'))
    const key = readBitString(fields.any('the key'), 'the key')
    fields.end('the public key')
    const { kind, bits } = readKey(name, algorithm, key)
    // Copies, and no Buffers: Buffer's slice() shares memory, and mixing the two types slows the encoder down.
    return { spki: new Uint8Array(spki), kind, bits, keyId: hash('sha256', spki), ski: new Uint8Array(hash('sha256', key, 'buffer').subarray(0, 20)) }
  })

const readKey = (algorithm: string, parameters: ReturnType<typeof fieldsOf>, key: Uint8Array): { kind: KeyKind; bits: number } => {
  if (algorithm === oids.rsaEncryption) {
    parameters.take(tags.null, 'the parameters of an RSA key')
    parameters.end('the key algorithm')
    return { kind: 'RSA', bits: bitLength(readRsaNumbers(key).modulus) }
  }
  if (algorithm === oids.idEd25519) {
    parameters.end('the key algorithm')
    if (key.length !== 32 || !isOnEd25519(key)) throw badKey('The public key is not a point of Ed25519.')
    return { kind: 'Ed25519', bits: 255 }
  }
  if (algorithm !== oids.idEcPublicKey) throw badKey(`Keys of the algorithm ${algorithm} are not supported; use RSA, ECDSA or Ed25519.`)
  const curve = parameters.any('the curve')
  parameters.end('the key algorithm')
  if (curve.tag !== tags.oid) throw badKey('The public key describes its curve by parameters; only named curves are accepted (RFC 5480 §2.1.1).')
  const named = curves.find((c) => c.oid === readOid(curve))
  if (!named) throw badKey(`The curve ${readOid(curve)} is not supported; use P-256 or P-384.`)
  if (key[0] === 2 || key[0] === 3) throw badKey('The public key is a compressed point; only uncompressed points are accepted.')
  if (!isOnCurve(named, key)) throw badKey(`The public key is not a point of ${named.kind}.`)
  return { kind: named.kind, bits: named.bits }
}

const bitLength = (magnitude: Uint8Array): number => 8 * magnitude.length - Math.clz32(magnitude[0] ?? 0) + 24

/** Modulus and exponent of an RSAPublicKey (RFC 8017 §A.1.1), unsigned big-endian. */
export const readRsaNumbers = (key: Uint8Array): { modulus: Uint8Array; exponent: Uint8Array } => {
  const fields = fieldsOf(readWhole(key, maxSpki, tags.sequence))
  const modulus = readUnsigned(fields.any('the modulus'), 'the modulus')
  const exponent = readUnsigned(fields.any('the exponent'), 'the exponent')
  fields.end('the RSA key')
  return { modulus, exponent }
}

/** The contents of the BIT STRING of a SubjectPublicKeyInfo that was read before: what OCSP and key identifiers hash. */
export const keyBits = (spki: Uint8Array): Uint8Array => {
  const fields = fieldsOf(readWhole(spki, maxSpki, tags.sequence))
  fields.any('the key algorithm')
  return readBitString(fields.any('the key'), 'the key')
}

/** The node:crypto key of a public key. Costs more than verifying with it: keep the result where a key is used again. */
export const importPublicKey = (key: PublicKeyInfo): KeyObject => {
  try {
    return key.kind.startsWith('P-') ? importEcKey(key) : createPublicKey({ key: Buffer.from(key.spki), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new IcaError('badPublicKey', `The ${key.kind} public key is refused by OpenSSL.`, { cause })
  }
}

/** As a JWK, which takes 66 µs; OpenSSL's decoder of SubjectPublicKeyInfo takes 99. */
const importEcKey = ({ kind, spki }: PublicKeyInfo): KeyObject => {
  const point = Buffer.from(keyBits(spki))
  const middle = (point.length + 1) / 2
  const jwk = { kty: 'EC', crv: kind, x: point.toString('base64url', 1, middle), y: point.toString('base64url', middle) }
  return createPublicKey({ key: jwk, format: 'jwk' })
}

/** What a private key of this CA can do. Where the key lives is the business of keystore/. */
export type Signer = {
  publicKey: PublicKeyInfo
  /** DER AlgorithmIdentifier of the signatures. */
  algorithm: Uint8Array
  /** The signature over `tbs` as it goes into the BIT STRING (ECDSA: DER Ecdsa-Sig-Value, RFC 3279 §2.2.3). */
  sign(tbs: Uint8Array): Promise<Uint8Array>
  /** The same in parts, so that what is long is not copied for another thread (a CRL of a million entries: 50 MB). Absent where a key can't do that. */
  begin?(): SigningInParts
  /** The same on the spot. Present only where it takes well below a millisecond: for many short things, going to another thread costs more than signing. */
  signNow?(tbs: Uint8Array): Uint8Array
}

export type SigningInParts = { update(part: Uint8Array): void; sign(): Promise<Uint8Array> }

type SignatureAlgorithm = { oid: string; digest: string | null; keys: readonly KeyKind[]; parameters: 'null' | 'absent' }

/** The signatures that are made and accepted (RFC 5758 §3.2, RFC 4055 §5, RFC 8410 §3). The first that serves a kind of key is the one to sign with. */
const signatureAlgorithms: readonly SignatureAlgorithm[] = [
  { oid: oids.ecdsaWithSHA256, digest: 'sha256', keys: ['P-256', 'P-384', 'P-521'], parameters: 'absent' },
  { oid: oids.ecdsaWithSHA384, digest: 'sha384', keys: ['P-256', 'P-384', 'P-521'], parameters: 'absent' },
  { oid: oids.ecdsaWithSHA512, digest: 'sha512', keys: ['P-256', 'P-384', 'P-521'], parameters: 'absent' },
  { oid: oids.sha256WithRSAEncryption, digest: 'sha256', keys: ['RSA'], parameters: 'null' },
  { oid: oids.sha384WithRSAEncryption, digest: 'sha384', keys: ['RSA'], parameters: 'null' },
  { oid: oids.sha512WithRSAEncryption, digest: 'sha512', keys: ['RSA'], parameters: 'null' },
  { oid: oids.idEd25519, digest: null, keys: ['Ed25519'], parameters: 'absent' },
]

/** The digest goes with the size of the key (NIST SP 800-57 part 1 §5.6.1). */
const signingAlgorithms: Record<KeyKind, string> = {
  'P-256': oids.ecdsaWithSHA256,
  'P-384': oids.ecdsaWithSHA384,
  'P-521': oids.ecdsaWithSHA512,
  RSA: oids.sha256WithRSAEncryption,
  Ed25519: oids.idEd25519,
}

const byOid = new Map(signatureAlgorithms.map((a) => [a.oid, a]))

/** OpenSSL has assembly for this curve alone: 22 µs a signature, where P-384 takes 500 and RSA more. */
const isQuick = (kind: KeyKind): boolean => kind === 'P-256'

/** Hashes as it goes; only the signature itself stops the event loop, for a few milliseconds with RSA. */
const signInParts = (digest: string, key: KeyObject): SigningInParts => {
  const signing = createSign(digest)
  return {
    update: (part) => void signing.update(part),
    sign: async () => signing.sign(key),
  }
}

/**
 * Signs with a private key in this process, in libuv's pool, so that the event loop goes on meanwhile: P-256/SHA-256, P-384/SHA-384, P-521/SHA-512,
 * RSA PKCS #1 v1.5/SHA-256, Ed25519. Throws badPublicKey for a key of another kind.
 */
export const nodeSigner = (key: KeyObject): Signer => {
  const publicKey = readPublicKey(createPublicKey(key).export({ type: 'spki', format: 'der' }))
  const algorithm = byOid.get(signingAlgorithms[publicKey.kind]) as SignatureAlgorithm
  const { digest } = algorithm
  return {
    publicKey,
    algorithm: sequence(oid(algorithm.oid), ...(algorithm.parameters === 'null' ? [nullValue()] : [])),
    sign: (tbs) =>
      new Promise((resolve, reject) => {
        sign(digest, tbs, key, (error, signature) => (error ? reject(error) : resolve(signature)))
      }),
    // Ed25519 hashes twice (RFC 8032 §5.1.6), so it needs everything at once.
    ...(digest !== null && { begin: () => signInParts(digest, key) }),
    ...(isQuick(publicKey.kind) && { signNow: (tbs) => sign(digest, tbs, key) }),
  }
}

/**
 * Whether `signature` over `data` is right, where `algorithm` is the AlgorithmIdentifier that came with it. Rejects with badSignatureAlgorithm for what is not
 * accepted (SHA-1, RSASSA-PSS, ...) or does not go with the key.
 */
export const verifySignature = async (publicKey: PublicKeyInfo, algorithm: Element, data: Uint8Array, signature: Uint8Array): Promise<boolean> => {
  const fields = fieldsOf(algorithm)
  const name = readOid(fields.any('the signature algorithm'))
  const known = byOid.get(name)
  if (!known?.keys.includes(publicKey.kind)) {
    throw new IcaError('badSignatureAlgorithm', `The signature algorithm ${name} is not accepted with a key of the kind ${publicKey.kind}.`)
  }
  // RFC 4055 §5 wants NULL for RSA, but to be accepted when absent; the others have no parameters.
  if (known.parameters === 'null') fields.optional(tags.null)
  fields.end('the signature algorithm')
  return verifyBytes(known.digest, data, importPublicKey(publicKey), signature)
}

/** With one core there is nobody to hand work to: the threads of the pool would only take turns with this one, which costs as much again. */
const inPlace = availableParallelism() === 1

/** Whether a signature is right, one that OpenSSL can't read at all being wrong. The work is done in libuv's pool where there are cores for it. */
export const verifyBytes = (digest: string | null, data: Uint8Array, key: KeyObject, signature: Uint8Array): Promise<boolean> | boolean => {
  if (!inPlace) return new Promise((resolve) => verify(digest, data, key, signature, (error, right) => resolve(error === null && right)))
  try {
    return verify(digest, data, key, signature)
  } catch {
    return false
  }
}
