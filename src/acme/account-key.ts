/** Account keys as JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2). */
import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import { IcaError } from '../errors.js'
import type { Account, PublicJwk } from '../model.js'
import { type KeyKind, readPublicKey } from '../pki/keys.js'
import { weaknessOf } from '../pki/weak-keys.js'
import { decodeBase64url, isJsonObject, type JsonObject } from './decode.js'

/** What it takes to verify. */
export type VerifyKey = { kind: KeyKind; key: KeyObject }

/** A public key that signs requests. */
export type AccountKey = VerifyKey & {
  jwk: PublicJwk
  /** RFC 7638, SHA-256, base64url. */
  thumbprint: string
  /** Hex SHA-256 of the SubjectPublicKeyInfo, as certificates' keys are known by. */
  keyId: string
}

/** Every member that only a private or a symmetric key has (RFC 7518 §6.2.2, §6.3.2, §6.4; RFC 8037 §2). */
const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/** RFC 7518 §6.2.1.2: coordinates have the full length of the field. RFC 8037 §2: the public key has 32 octets. */
const coordinateLength: Record<string, number> = { 'P-256': 32, 'P-384': 48, 'P-521': 66, Ed25519: 32 }

const badKey = (detail: string, cause?: unknown) => new IcaError('badPublicKey', detail, { cause })

const readMember = (jwk: JsonObject, name: string, length?: number): string => {
  const value = jwk[name]
  const bytes = typeof value === 'string' ? decodeBase64url(value) : null
  if (!bytes || bytes.length === 0) throw badKey(`The member "${name}" of the JWK must be a string of base64url without padding.`)
  if (length !== undefined && bytes.length !== length)
    throw badKey(`The member "${name}" of the JWK must have ${length} octets; it has ${bytes.length}.`)
  // RFC 7518 §2: an integer is written in as few octets as it takes. Else one key would have many thumbprints.
  if (length === undefined && bytes[0] === 0) throw badKey(`The member "${name}" of the JWK begins with a zero octet.`)
  return value as string
}

/** The required members alone, in the order in which RFC 7638 §3.3 hashes them. */
const reduce = (jwk: JsonObject): PublicJwk => {
  const { kty } = jwk
  const crv = typeof jwk.crv === 'string' ? jwk.crv : ''
  const length = coordinateLength[crv]
  if (kty === 'EC' && length && crv !== 'Ed25519') return { crv, kty, x: readMember(jwk, 'x', length), y: readMember(jwk, 'y', length) }
  if (kty === 'OKP' && length && crv === 'Ed25519') return { crv, kty, x: readMember(jwk, 'x', length) }
  if (kty === 'RSA') return { e: readMember(jwk, 'e'), kty, n: readMember(jwk, 'n') }
  throw badKey('The JWK must be EC with P-256, P-384 or P-521, RSA with 2048 to 4096 bits, or OKP with Ed25519.')
}

const importJwk = (jwk: PublicJwk): VerifyKey => ({
  kind: jwk.kty === 'RSA' ? 'RSA' : (jwk.crv as KeyKind),
  key: createPublicKey({ key: jwk, format: 'jwk' }),
})

/**
 * The `jwk` of a protected header. Throws badPublicKey for what is no key, a private one, one off its curve, or one too weak to be trusted; malformed for what
 * is no JWK at all.
 */
export const readJwk = (value: unknown): AccountKey => {
  if (!isJsonObject(value)) throw new IcaError('malformed', 'The "jwk" must be a JSON object.')
  const secret = secretMembers.find((name) => Object.hasOwn(value, name))
  if (secret)
    throw badKey(`The JWK has the member "${secret}" of a private key. That key is compromised now: make another, and send its public part.`)
  const jwk = reduce(value)
  let imported: VerifyKey
  try {
    imported = importJwk(jwk)
  } catch (error) {
    throw badKey('The JWK is not a valid public key; perhaps its point is not on the curve.', error)
  }
  const info = readPublicKey(imported.key.export({ type: 'spki', format: 'der' }))
  const weakness = weaknessOf(info)
  if (weakness !== null) throw badKey(weakness)
  return { ...imported, jwk, thumbprint: hash('sha256', JSON.stringify(jwk), 'base64url'), keyId: info.keyId }
}

/** Keys kept: an import costs as much as a verification. About 3 KB each. */
const KEPT = 4096

/** The key of an account as it was when it was last looked up. */
export type KnownKey = VerifyKey & { thumbprint: string }

export type KeyCache = {
  get(accountId: string): KnownKey | undefined
  /** Imports the key of an account, which was judged when it came, and keeps it. */
  put(account: Pick<Account, 'id' | 'jwk' | 'thumbprint'>): KnownKey
}

/** The imported keys of the accounts seen last. One may be out of date: whoever uses it compares its thumbprint with the account's. */
export const createKeyCache = (kept = KEPT): KeyCache => {
  const keys = new Map<string, KnownKey>()
  const keep = (id: string, key: KnownKey): KnownKey => {
    // A Map remembers the order of insertion; the first is the one that was not used for longest.
    keys.delete(id)
    keys.set(id, key)
    if (keys.size > kept) keys.delete(keys.keys().next().value as string)
    return key
  }
  return {
    get(accountId) {
      const key = keys.get(accountId)
      return key && keep(accountId, key)
    },
    put: ({ id, jwk, thumbprint }) => keep(id, { ...importJwk(jwk), thumbprint }),
  }
}
