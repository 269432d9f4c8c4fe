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
  /** While the operator keeps it from ordering: since when, and why. */
  paused: { at: number; reason: string } | null
  /** The external account that it was bound to when it was made, with the binding as it was sent (RFC 8555 §7.3.4). */
  externalAccount: { keyId: string; binding: object } | null
}

/** Every way of validation that this program knows; which of them a CA offers is decided by its validators and profiles. */
export const challengeTypes = ['http-01', 'dns-01', 'tls-alpn-01', 'dns-account-01', 'dns-persist-01', 'email-link-01'] as const
export type ChallengeType = (typeof challengeTypes)[number]

/**
 * The order in which challenges are shown: the types of RFCs before those of drafts, and this CA's own last. uacme gives up at a challenge that it cannot read, so it must meet one that it
 * can solve before.
 */
export const byChallengeType = (a: { type: ChallengeType }, b: { type: ChallengeType }): number =>
  challengeTypes.indexOf(a.type) - challengeTypes.indexOf(b.type)

export type Challenge = {
  id: string
  authorizationId: string
  type: ChallengeType
  /** base64url of at least 128 random bits (RFC 8555 §8.1). Made for every challenge; a type that has no use for one does not show it. */
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
  /** The ARI identifier (RFC 9773 §4.1) of the certificate that this order replaces. */
  replaces: string | null
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

export type CertificateKind = 'leaf' | 'responder' | 'server' | 'intermediate' | 'user'

/** The CA certificates: root and intermediates of servers, and those of users (docs/users.md), which never sign for servers. */
export type IssuerKind = 'root' | 'intermediate' | 'user-root' | 'user-intermediate'

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

/** A MAC key for external account bindings as an operator sees it. Times in milliseconds. */
export type ExternalAccountKey = {
  id: string
  note: string
  /** How many accounts can still be made with it. */
  usesLeft: number
  createdAt: number
  expiresAt: number | null
  revokedAt: number | null
}

/** The operator's lists of names: `deny` refuses, `high-risk` refuses until the operator has approved, `allow` approves. */
export const nameLists = ['deny', 'allow', 'high-risk'] as const
export type NameList = (typeof nameLists)[number]
/** `name`: a domain; with a dot in front that domain and everything below it; a dot alone is every name. */
export type NameRule = { list: NameList; name: string; reason: string; createdAt: number }

/** A rate limit of its own for one account, registered domain or address; `count` null: no limit. */
export type LimitOverride = { limit: string; subject: string; count: number | null; windowMs: number }

/** Which certificates a mark means: those that meet every condition. */
export type RenewalSelector = { serial?: string; keyId?: string; domain?: string; issuedFrom?: number; issuedUntil: number }
/** The operator's wish that certificates be renewed early (RFC 9773). */
export type RenewalMark = {
  id: string
  selector: RenewalSelector
  reason: string
  explanationUrl: string | null
  /** The renewals are spread over so many milliseconds after `markedAt`; 0: all at once. */
  spreadMs: number
  markedAt: number
}

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

/** Keeps what of a CRL in the making there is no room for in memory. */
export type CrlBody = {
  /** Keeps a piece behind those before it. Its memory is written again once this resolves. */
  put(piece: Uint8Array): Promise<void>
  /** What was put, in this order, each until the next is asked for. */
  pieces(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

/** What of a CRL stands before and behind the pieces that were put, and the octets of all three. */
export type CrlEnds = { head: Uint8Array; tail: Uint8Array; octets: number }
