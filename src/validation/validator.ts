import { createHash } from 'node:crypto'
import type { ErrorCode } from '../errors.js'
import type { Identifier } from '../identifier.js'
import type { ChallengeType } from '../model.js'

/** What was seen on the way: look-ups, addresses, redirects, first octets. Bounded and printable, made for the audit log. */
export type Evidence = Record<string, unknown>

/** Why something on the network did not prove anything. `detail` is a sentence for the client; `retryable` says whether a later attempt may end otherwise. */
export type Failure = { ok: false; code: ErrorCode; detail: string; retryable: boolean }

/**
 * `validUntil`: when what was seen says that it must not be relied on any longer, in ms. `once`: it counts in the order at hand alone, because looking again costs
 * nobody anything.
 */
export type ValidationResult = { ok: true; evidence: Evidence; validUntil?: number; once?: boolean } | (Failure & { evidence: Evidence })

export type ValidationInput = {
  /** Without the wildcard label; `wildcard` tells. */
  identifier: Identifier
  wildcard: boolean
  /** base64url (RFC 8555 §8.1). */
  token: string
  /** `<token>.<thumbprint of the account's key>` (RFC 8555 §8.1). Not a secret: it is what the client publishes. */
  keyAuthorization: string
  /** RFC 7638, base64url: the second half of the key authorization. */
  thumbprint: string
  /** Those of the keys that the account had before, the latest first. */
  priorThumbprints: () => Promise<readonly string[]>
  accountUri: string
}

/** One way to prove control of a name, whoever judges it. */
export type Method = {
  type: ChallengeType
  /** Whether this way may prove this name. */
  appliesTo(identifier: Identifier, wildcard: boolean): boolean
}

/** One way to prove control of a name that this CA judges by looking at the network. */
export type Validator = Method & {
  /** The fields of its challenge objects beside those that all have (RFC 8555 §8): the token, unless this says otherwise. */
  challengeFields?: (challenge: { token: string; accountUri: string }) => Record<string, unknown>
  /** What clients must know of it beforehand, in `meta` of the directory. */
  directoryMeta?: Record<string, unknown>
  /**
   * Looks once. Whatever the network does comes back as a result within about ten seconds, nothing is thrown. After `signal` aborts it returns soon, with a
   * retryable failure unless it was done already.
   */
  validate(input: ValidationInput, signal: AbortSignal): Promise<ValidationResult>
}

/** Whether an identifier has a place in the DNS where its owner can put a record. */
export const hasRecords = ({ type }: Identifier): boolean => type === 'dns' || type === 'srv'

export const failure = (code: ErrorCode, detail: string, retryable = true): Failure => ({ ok: false, code, detail, retryable })

/** SHA-256 of the key authorization, as dns-01 and tls-alpn-01 publish it (RFC 8555 §8.4, RFC 8737 §3). */
export const keyAuthorizationDigest = (keyAuthorization: string): Buffer => createHash('sha256').update(keyAuthorization).digest()

/** Octets or Latin-1 text from outside as printable ASCII, escaped as in JavaScript, at most `max` octets of it. */
export const printable = (seen: Buffer | string, max = 128): string => {
  const bytes = typeof seen === 'string' ? Buffer.from(seen, 'latin1') : seen
  const escaped = Array.from(bytes.subarray(0, max), (byte) => {
    if (byte === 0x5c || byte === 0x22) return `\\${String.fromCharCode(byte)}`
    if (byte === 0x0a) return '\\n'
    if (byte === 0x0d) return '\\r'
    return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }).join('')
  return bytes.length > max ? `${escaped}…` : escaped
}
