/**
 * The nouns of RFC 8555 and RFC 5280 as this program keeps them. Times are milliseconds since the epoch, serials and key ids are lower-case hex,
 * certificates are DER. What can be derived (the status of an order or an authorization) is not here: see issuance/status.ts.
 */
import type { Problem } from './errors.js'
import type { Identifier } from './identifier.js'

/** A public key as a JWK with its members reduced to the required ones (RFC 7638 §3.2). */
export type PublicJwk = { kty: string; crv?: string; x?: string; y?: string; n?: string; e?: string }

export type Account = {
  id: string
  jwk: PublicJwk
  /** base64url SHA-256 thumbprint of `jwk` (RFC 7638); unique. */
  thumbprint: string
  status: 'valid' | 'deactivated' | 'revoked'
  contact: string[]
  termsAgreedAt: number | null
  createdAt: number
}

export type ChallengeType = 'http-01' | 'dns-01' | 'tls-alpn-01'

export type Challenge = {
  id: string
  authorizationId: string
  type: ChallengeType
  /** base64url of at least 128 random bits (RFC 8555 §8.1). */
  token: string
  status: 'pending' | 'processing' | 'valid' | 'invalid'
  validatedAt: number | null
  error: Problem | null
  /** Validation attempts made so far. */
  attempts: number
  /** While processing: when the next attempt is due. */
  nextAttemptAt: number | null
}

export type Authorization = {
  id: string
  accountId: string
  /** Without the wildcard label; `wildcard` tells. */
  identifier: Identifier
  wildcard: boolean
  createdAt: number
  expiresAt: number
  deactivatedAt: number | null
  challenges: Challenge[]
}

export type Order = {
  id: string
  accountId: string
  profile: string
  identifiers: Identifier[]
  notBefore: number | null
  notAfter: number | null
  createdAt: number
  expiresAt: number
  /** Set by the claim in finalize together with `csr`; an order that was claimed and has neither certificate nor error is resumed. */
  claimedAt: number | null
  csr: Uint8Array | null
  certificateSerial: string | null
  error: Problem | null
  authorizations: Authorization[]
}

/** CRL reasons that this CA uses (RFC 5280 §5.3.1). */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
} as const
export type RevocationReason = keyof typeof revocationReasons

export type Revocation = { revokedAt: number; reason: RevocationReason }

export type CertificateKind = 'leaf' | 'responder' | 'server' | 'intermediate'

/** A name in an issued certificate, for look-ups. */
export type CertificateName = { form: 'dNSName' | 'SRVName' | 'XmppAddr'; value: string }

/** What is known of a certificate before it is signed: reserved with its serial, so that no serial is ever used twice. */
export type CertificateReservation = {
  serial: string
  issuerId: string
  kind: CertificateKind
  profile: string
  accountId: string | null
  orderId: string | null
  /** SHA-256 of the SubjectPublicKeyInfo. */
  keyId: string
  crlShard: number
  notBefore: number
  notAfter: number
  names: CertificateName[]
  createdAt: number
}

export type Certificate = CertificateReservation & { der: Uint8Array; revocation: Revocation | null }

/** One row of the append-only audit log: who did what, when, with what was seen. `detail` must be free of secrets. */
export type AuditEntry = {
  at: number
  /** `account:<id>`, `operator:<login>`, `system`, or `anonymous`. */
  actor: string
  /** `noun.verb`, e.g. `order.created`, `challenge.validated`, `certificate.issued`, `certificate.revoked`, `crl.published`, `key.used`. */
  action: string
  /** What it was done to, e.g. `order:<id>`, `certificate:<serial>`. */
  subject: string
  detail: Record<string, unknown>
  address?: string | undefined
  requestId?: string | undefined
}
