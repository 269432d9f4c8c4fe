/**
 * The JSON Web Signatures that ACME allows: flattened JSON (RFC 7515 §7.2.2) with the header of RFC 8555 §6.2, and nothing else. Verified by node:crypto with
 * kept keys: jose (which the tests check this against) takes three times the event loop's time for one.
 */
import { IcaError } from '../errors.js'
import { integer, sequence } from '../pki/der.js'
import { type KeyKind, verifyBytes } from '../pki/keys.js'
import type { VerifyKey } from './account-key.js'
import { decodeBase64url, decodeJsonObject, isJsonObject, type JsonObject, readBase64url } from './decode.js'

type Algorithm = {
  kind: KeyKind
  digest: string | null
  /** Octets of r and of s in an ECDSA signature (RFC 7518 §3.4). */
  half?: number
}

/** No `none` and no MAC (RFC 8555 §6.2), and nothing that a public key could be mistaken for a secret of. */
const algorithms: ReadonlyMap<string, Algorithm> = new Map([
  ['ES256', { kind: 'P-256', digest: 'sha256', half: 32 }],
  ['ES384', { kind: 'P-384', digest: 'sha384', half: 48 }],
  ['ES512', { kind: 'P-521', digest: 'sha512', half: 66 }],
  ['RS256', { kind: 'RSA', digest: 'sha256' }],
  ['EdDSA', { kind: 'Ed25519', digest: null }],
])

export const supportedAlgorithms: readonly string[] = [...algorithms.keys()]

/** A JWS as it was sent. Nothing in it can be trusted before {@link verifyJws}. */
export type Jws = {
  alg: string
  url: string
  /** Canonical base64url, or undefined where there is none. */
  nonce: string | undefined
  /** Exactly one of these is there. */
  kid: string | undefined
  jwk: JsonObject | undefined
  payload: Buffer
  /** What is signed: RFC 7515 §5.1 step 5. */
  signingInput: Buffer
  signature: Buffer
}

const malformed = (detail: string) => new IcaError('malformed', detail)

const badAlgorithm = (detail: string, allowed: readonly string[]) => new IcaError('badSignatureAlgorithm', detail, { algorithms: [...allowed] })

const members = ['protected', 'payload', 'signature']

/** A string that the header must have. */
const readString = (header: JsonObject, name: string): string => {
  const value = header[name]
  if (typeof value !== 'string') throw malformed(`The protected header must have the string "${name}".`)
  return value
}

/** RFC 8555 §6.5.2: what is not base64url is malformed, not a bad nonce. */
const readNonce = (value: unknown): string | undefined => {
  if (value === undefined) return undefined
  if (typeof value !== 'string' || decodeBase64url(value) === null) throw malformed('The "nonce" of the protected header is not base64url.')
  return value
}

const readHeader = (header: JsonObject): Pick<Jws, 'alg' | 'url' | 'nonce' | 'kid' | 'jwk'> => {
  const alg = readString(header, 'alg')
  if (!algorithms.has(alg)) throw badAlgorithm(`The signature algorithm ${JSON.stringify(alg.slice(0, 20))} is not supported.`, supportedAlgorithms)
  if (header.crit !== undefined) throw malformed('The protected header has "crit"; no extension is known here that it could name.')
  // RFC 7797 changes what is signed, and RFC 8555 knows nothing of it.
  if (header.b64 !== undefined) throw malformed('The protected header has "b64", which ACME does not allow.')
  const { kid, jwk } = header
  if ((kid === undefined) === (jwk === undefined)) throw malformed('The protected header must have one of "kid" and "jwk", not both (RFC 8555 §6.2).')
  if (kid !== undefined && typeof kid !== 'string') throw malformed('The "kid" of the protected header must be a string.')
  if (jwk !== undefined && !isJsonObject(jwk)) throw malformed('The "jwk" of the protected header must be an object.')
  return { alg, url: readString(header, 'url'), nonce: readNonce(header.nonce), kid, jwk }
}

/**
 * Takes a JWS apart without verifying it.
 * @param json the object of {@link decodeJsonObject}, from a body or from the payload of another JWS (RFC 8555 §7.3.5)
 * @throws IcaError malformed and badSignatureAlgorithm
 */
export const decodeJws = (json: JsonObject): Jws => {
  const stranger = Object.keys(json).find((name) => !members.includes(name))
  if (stranger !== undefined) {
    throw malformed(`The JWS has the member ${JSON.stringify(stranger.slice(0, 40))}; only "protected", "payload" and "signature" are allowed.`)
  }
  const header = readHeader(decodeJsonObject(readBase64url(json.protected, 'The "protected" of the JWS'), 'The protected header'))
  const payload = readBase64url(json.payload, 'The "payload" of the JWS')
  const signature = readBase64url(json.signature, 'The "signature" of the JWS')
  return { ...header, payload, signature, signingInput: Buffer.from(`${json.protected}.${json.payload}`, 'latin1') }
}

/** r‖s (RFC 7518 §3.4) as an Ecdsa-Sig-Value: Node converts by itself only after an import of the key each time. */
const toDer = (signature: Buffer, half: number): Uint8Array => sequence(integer(signature.subarray(0, half)), integer(signature.subarray(half)))

/**
 * Verifies a JWS, in libuv's pool where there are cores for it. Throws badSignatureAlgorithm where `alg` does not go with the key (RFC 8555 §6.2), unauthorized where the signature is wrong.
 */
export const verifyJws = async (jws: Jws, { kind, key }: VerifyKey): Promise<void> => {
  const algorithm = algorithms.get(jws.alg)
  if (algorithm?.kind !== kind) {
    const right = [...algorithms].filter(([, a]) => a.kind === kind).map(([name]) => name)
    throw badAlgorithm(`A key of the kind ${kind} can't make a signature of the algorithm ${jws.alg}.`, right)
  }
  const { digest, half } = algorithm
  const rightLength = half === undefined || jws.signature.length === 2 * half
  if (!rightLength || !(await verifyBytes(digest, jws.signingInput, key, half === undefined ? jws.signature : toDer(jws.signature, half)))) {
    throw new IcaError('unauthorized', 'The signature of the request is wrong, or was made with another key.')
  }
}
