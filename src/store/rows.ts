/** Rows as SQL gives them, and the model's nouns made of them. */
import { createHash } from 'node:crypto'
import type { Problem } from '../errors.js'
import type { Identifier } from '../identifier.js'
import type {
  Account,
  AuditEntry,
  Authorization,
  Certificate,
  CertificateKind,
  CertificateName,
  Challenge,
  ChallengeType,
  Order,
  RevocationReason,
} from '../model.js'
import { revocationReasons } from '../model.js'
import { put, type Steps } from './sql.js'

/** Columns of a blob: libsql gives an ArrayBuffer or a Buffer, pg a Buffer. */
export type Blob = ArrayBuffer | Uint8Array

export const bytes = (blob: Blob): Uint8Array =>
  blob instanceof ArrayBuffer ? new Uint8Array(blob) : new Uint8Array(blob.buffer, blob.byteOffset, blob.byteLength)

const json = <T>(text: string): T => JSON.parse(text) as T
const jsonOrNull = <T>(text: string | null): T | null => (text === null ? null : json<T>(text))

/** `a.id AS a_id, a.jwk AS a_jwk, …`: so that one statement, which sees one state, can bring several tables' rows side by side. */
const selected = (alias: string, columns: readonly string[]) => columns.map((column) => `${alias}.${column} AS ${alias}_${column}`).join(', ')

export const accountColumns = [
  'id',
  'jwk',
  'thumbprint',
  'status',
  'contact',
  'terms_agreed_at',
  'created_at',
  'paused_at',
  'paused_reason',
  'external_account_key_id',
  'external_account_binding',
] as const
export const orderColumns = [
  'id',
  'account_id',
  'profile',
  'identifiers',
  'not_before',
  'not_after',
  'created_at',
  'expires_at',
  'claimed_at',
  'csr',
  'certificate_serial',
  'error',
  'replaces',
] as const
export const authorizationColumns = [
  'id',
  'account_id',
  'identifier_type',
  'identifier_value',
  'wildcard',
  'created_at',
  'expires_at',
  'deactivated_at',
] as const
export const challengeColumns = ['id', 'authorization_id', 'type', 'token', 'status', 'validated_at', 'error', 'attempts', 'next_attempt_at'] as const

export const selectAccount = `SELECT ${selected('a', accountColumns)} FROM account a`
/** Authorizations `z` with their challenges `c`, a row for each challenge. */
export const authorizationAndChallenges = `${selected('z', authorizationColumns)}, ${selected('c', challengeColumns)}`
export const selectAuthorization = `SELECT ${authorizationAndChallenges} FROM "authorization" z JOIN challenge c ON c.authorization_id = z.id`
/** The same with the account `a`. */
export const selectAuthorizationAndAccount = `SELECT ${authorizationAndChallenges}, ${selected('a', accountColumns)} FROM "authorization" z
   JOIN challenge c ON c.authorization_id = z.id JOIN account a ON a.id = z.account_id`
/** Orders `o` with their authorizations and those's challenges, a row for each challenge; an order without any has one row of nulls. */
export const selectOrder = `SELECT ${selected('o', orderColumns)}, ${authorizationAndChallenges} FROM "order" o
   LEFT JOIN order_authorization l ON l.order_id = o.id LEFT JOIN "authorization" z ON z.id = l.authorization_id LEFT JOIN challenge c ON c.authorization_id = z.id`
/** Goes with {@link selectOrder} and the others: the order in which the model shows things. */
export const inOrder = { orders: 'ORDER BY o.created_at, o.id, l.position, c.type', authorizations: 'ORDER BY z.id, c.type' }

export type AccountRow = {
  a_id: string
  a_jwk: string
  a_thumbprint: string
  a_status: Account['status']
  a_contact: string
  a_terms_agreed_at: number | null
  a_created_at: number
  a_paused_at: number | null
  a_paused_reason: string | null
  a_external_account_key_id: string | null
  a_external_account_binding: string | null
}
export type ChallengeRow = {
  c_id: string
  c_authorization_id: string
  c_type: ChallengeType
  c_token: string
  c_status: Challenge['status']
  c_validated_at: number | null
  c_error: string | null
  c_attempts: number
  c_next_attempt_at: number | null
}
export type AuthorizationRow = ChallengeRow & {
  z_id: string
  z_account_id: string
  z_identifier_type: Identifier['type']
  z_identifier_value: string
  z_wildcard: boolean | 0 | 1
  z_created_at: number
  z_expires_at: number
  z_deactivated_at: number | null
}
type OrderOnlyRow = {
  o_id: string
  o_account_id: string
  o_profile: string
  o_identifiers: string
  o_not_before: number | null
  o_not_after: number | null
  o_created_at: number
  o_expires_at: number
  o_claimed_at: number | null
  o_csr: Blob | null
  o_certificate_serial: string | null
  o_error: string | null
  o_replaces: string | null
}
export type OrderRow = OrderOnlyRow & (AuthorizationRow | { [K in keyof AuthorizationRow]: null })

export const toAccount = (r: AccountRow): Account => ({
  id: r.a_id,
  jwk: json(r.a_jwk),
  thumbprint: r.a_thumbprint,
  status: r.a_status,
  contact: json(r.a_contact),
  termsAgreedAt: r.a_terms_agreed_at,
  createdAt: r.a_created_at,
  paused: r.a_paused_at === null ? null : { at: r.a_paused_at, reason: r.a_paused_reason ?? '' },
  externalAccount:
    r.a_external_account_key_id === null ? null : { keyId: r.a_external_account_key_id, binding: jsonOrNull(r.a_external_account_binding) ?? {} },
})

const toChallenge = (r: ChallengeRow): Challenge => ({
  id: r.c_id,
  authorizationId: r.c_authorization_id,
  type: r.c_type,
  token: r.c_token,
  status: r.c_status,
  validatedAt: r.c_validated_at,
  error: jsonOrNull<Problem>(r.c_error),
  attempts: r.c_attempts,
  nextAttemptAt: r.c_next_attempt_at,
})

/** The rows in groups of one key each, groups and rows in the order in which they came. */
const groupBy = <Row>(rows: readonly Row[], key: (row: Row) => string): [Row, ...Row[]][] => {
  const groups = new Map<string, [Row, ...Row[]]>()
  for (const row of rows) {
    const group = groups.get(key(row))
    if (group) group.push(row)
    else groups.set(key(row), [row])
  }
  return [...groups.values()]
}

/** The authorizations of rows of {@link selectAuthorization}. */
export const toAuthorizations = (rows: readonly AuthorizationRow[]): Authorization[] =>
  groupBy(rows, (r) => r.z_id).map((group) => {
    const [r] = group
    return {
      id: r.z_id,
      accountId: r.z_account_id,
      identifier: { type: r.z_identifier_type, value: r.z_identifier_value },
      wildcard: Boolean(r.z_wildcard),
      createdAt: r.z_created_at,
      expiresAt: r.z_expires_at,
      deactivatedAt: r.z_deactivated_at,
      challenges: group.map(toChallenge),
    }
  })

/** The orders of rows of {@link selectOrder}. */
export const toOrders = (rows: readonly OrderRow[]): Order[] =>
  groupBy(rows, (r) => r.o_id).map((group) => {
    const [r] = group
    return {
      id: r.o_id,
      accountId: r.o_account_id,
      profile: r.o_profile,
      identifiers: json<Identifier[]>(r.o_identifiers),
      notBefore: r.o_not_before,
      notAfter: r.o_not_after,
      createdAt: r.o_created_at,
      expiresAt: r.o_expires_at,
      claimedAt: r.o_claimed_at,
      csr: r.o_csr && bytes(r.o_csr),
      certificateSerial: r.o_certificate_serial,
      error: jsonOrNull<Problem>(r.o_error),
      replaces: r.o_replaces,
      authorizations: toAuthorizations(group.filter((g): g is OrderOnlyRow & AuthorizationRow => g.c_id !== null)),
    }
  })

/** Adds a row to the append-only audit log, within the caller's transaction. */
export function* record(entry: AuditEntry): Steps<void> {
  yield* put(
    'INSERT INTO audit (at, actor, action, subject, detail, address, request_id) VALUES (?, ?, ?, ?, ?, ?, ?)',
    entry.at,
    entry.actor,
    entry.action,
    entry.subject,
    JSON.stringify(entry.detail),
    entry.address ?? null,
    entry.requestId ?? null,
  )
}

const reasonsByCode = new Map(Object.entries(revocationReasons).map(([name, code]) => [code as number, name as RevocationReason]))

export const toReason = (code: number): RevocationReason => reasonsByCode.get(code) ?? 'unspecified'

export const fingerprintOf = (der: Uint8Array): string => createHash('sha256').update(der).digest('hex')

export type CertificateRow = {
  serial: string
  issuer_id: string
  kind: CertificateKind
  profile: string
  account_id: string | null
  order_id: string | null
  key_id: string
  crl_shard: number
  not_before: number
  not_after: number
  created_at: number
  der: Blob
  form: CertificateName['form'] | null
  value: string | null
  revoked_at: number | null
  reason: number | null
}
/** Signed certificates with their names, a row for each name. More conditions follow with AND. */
export const selectCertificate = `SELECT c.serial, c.issuer_id, c.kind, c.profile, c.account_id, c.order_id, c.key_id, c.crl_shard, c.not_before, c.not_after, c.created_at, c.der,
   n.form, n.value, r.revoked_at, r.reason
   FROM certificate c LEFT JOIN certificate_name n ON n.serial = c.serial LEFT JOIN revocation r ON r.serial = c.serial WHERE c.der IS NOT NULL`

/** The certificates of rows of {@link selectCertificate}. */
export const toCertificates = (rows: readonly CertificateRow[]): Certificate[] =>
  groupBy(rows, (r) => r.serial).map((group) => {
    const [r] = group
    return {
      serial: r.serial,
      issuerId: r.issuer_id,
      kind: r.kind,
      profile: r.profile,
      accountId: r.account_id,
      orderId: r.order_id,
      keyId: r.key_id,
      crlShard: r.crl_shard,
      notBefore: r.not_before,
      notAfter: r.not_after,
      createdAt: r.created_at,
      der: bytes(r.der),
      names: group.flatMap(({ form, value }) => (form === null || value === null ? [] : [{ form, value }])),
      revocation: r.revoked_at === null || r.reason === null ? null : { revokedAt: r.revoked_at, reason: toReason(r.reason) },
    }
  })
