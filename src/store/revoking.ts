/** Revoking: one certificate, all with one key, or thousands; and choosing which. What is made of revocations afterwards is in revocations.ts. */
import { IcaError } from '../errors.js'
import { type AuditEntry, type CertificateKind, type CertificateName, type Revocation, type RevocationReason, revocationReasons } from '../model.js'
import { putBlockedKey } from './certificates.js'
import { type NoticeOptions, recordAndTell } from './notices.js'
import { toReason } from './rows.js'
import { change, lock, type Runner, row, rows, type Steps, type Value } from './sql.js'

/** Which certificates are meant: those that meet every condition that is given. */
export type CertificateSelector = {
  serials?: readonly string[]
  /** Hex SHA-256 of the SubjectPublicKeyInfo. */
  keyId?: string
  accountId?: string
  issuerId?: string
  /** Has one of these names in any form, or a name that ends with one of these suffixes. */
  names?: { values: readonly string[]; suffixes: readonly string[] }
  /** Milliseconds; `issuedUntil` is the first moment that is not meant any more. */
  issuedFrom?: number
  issuedUntil?: number
}

/** What has to be known of a certificate to revoke it. */
export type RevocationCandidate = {
  serial: string
  issuerId: string
  kind: CertificateKind
  profile: string
  accountId: string | null
  keyId: string
  notAfter: number
  names: CertificateName[]
  revocation: Revocation | null
}

export type RevocationRequest = { serial: string; revocation: Revocation; blockKey: boolean; audit: readonly AuditEntry[] }

/** PostgreSQL's advisory lock of everybody who revokes. Any number will do that nobody else uses. */
const revocationLock = 0x1ca0001

/** SQLite's limit on parameters is far above, and a list of this length is prepared once. */
const listLength = 200

const chunks = <T>(list: readonly T[], length = listLength): T[][] =>
  Array.from({ length: Math.ceil(list.length / length) }, (_, i) => list.slice(i * length, (i + 1) * length))

const marks = (list: readonly unknown[]): string => list.map(() => '?').join(', ')

/** Takes turns with everybody else who revokes: see {@link revokeOne}. */
export function* takeRevocationTurn(): Steps<void> {
  yield* lock('SELECT pg_advisory_xact_lock(?)', revocationLock)
}

/**
 * False where it was revoked before. After {@link takeRevocationTurn}, in the same transaction.
 *
 * `seq` grows in the order in which revocations become visible: SQLite has one writer at a time, and on PostgreSQL, where a number could be drawn first and committed last,
 * they take turns on a lock that is held until after the COMMIT. So whoever has seen `seq` n will never find a new row at or below n.
 */
export function* revokeOne(serial: string, revocation: Revocation, blockKey: boolean): Steps<boolean> {
  const certificate = yield* row<{ issuer_id: string; crl_shard: number; not_after: number; key_id: string }>(
    'SELECT issuer_id, crl_shard, not_after, key_id FROM certificate WHERE serial = ? AND fingerprint IS NOT NULL',
    serial,
  )
  if (!certificate) throw new IcaError('notFound', `There is no certificate with the serial ${serial}.`)
  const revoked = yield* change(
    `INSERT INTO revocation (serial, issuer_id, crl_shard, not_after, revoked_at, reason) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (serial) DO NOTHING`,
    serial,
    certificate.issuer_id,
    certificate.crl_shard,
    certificate.not_after,
    revocation.revokedAt,
    revocationReasons[revocation.reason],
  )
  if (revoked === 0) return false
  if (blockKey) yield* putBlockedKey(certificate.key_id, revocation.reason, revocation.revokedAt)
  return true
}

type CandidateRow = {
  serial: string
  issuer_id: string
  kind: CertificateKind
  profile: string
  account_id: string | null
  key_id: string
  not_after: number
  form: CertificateName['form'] | null
  value: string | null
  revoked_at: number | null
  reason: number | null
}

const selectCandidate = `SELECT c.serial, c.issuer_id, c.kind, c.profile, c.account_id, c.key_id, c.not_after, n.form, n.value, r.revoked_at, r.reason
  FROM certificate c LEFT JOIN certificate_name n ON n.serial = c.serial LEFT JOIN revocation r ON r.serial = c.serial WHERE c.fingerprint IS NOT NULL`

const toCandidates = (found: readonly CandidateRow[]): RevocationCandidate[] => {
  const bySerial = new Map<string, RevocationCandidate>()
  for (const r of found) {
    const known = bySerial.get(r.serial)
    const names = r.form === null || r.value === null ? [] : [{ form: r.form, value: r.value }]
    if (known) known.names.push(...names)
    else {
      bySerial.set(r.serial, {
        serial: r.serial,
        issuerId: r.issuer_id,
        kind: r.kind,
        profile: r.profile,
        accountId: r.account_id,
        keyId: r.key_id,
        notAfter: r.not_after,
        names,
        revocation: r.revoked_at === null || r.reason === null ? null : { revokedAt: r.revoked_at, reason: toReason(r.reason) },
      })
    }
  }
  return [...bySerial.values()]
}

/** `%` and `_` are no wildcards in a domain. */
const likeSuffix = (suffix: string): string => `%${suffix.replace(/[\\%_]/g, '\\$&')}`

const conditionsOf = (selector: CertificateSelector): { sql: string; values: Value[] } => {
  const parts: string[] = []
  const values: Value[] = []
  const add = (sql: string, ...more: Value[]): void => {
    parts.push(` AND ${sql}`)
    values.push(...more)
  }
  if (selector.keyId !== undefined) add('c.key_id = ?', selector.keyId)
  if (selector.accountId !== undefined) add('c.account_id = ?', selector.accountId)
  if (selector.issuerId !== undefined) add('c.issuer_id = ?', selector.issuerId)
  if (selector.issuedFrom !== undefined) add('c.created_at >= ?', selector.issuedFrom)
  if (selector.issuedUntil !== undefined) add('c.created_at < ?', selector.issuedUntil)
  if (selector.names) {
    const { values: exact, suffixes } = selector.names
    const either = [`value IN (${marks(exact)})`, ...suffixes.map(() => `value LIKE ? ESCAPE '\\'`)]
    add(`c.serial IN (SELECT serial FROM certificate_name WHERE ${either.join(' OR ')})`, ...exact, ...suffixes.map(likeSuffix))
  }
  // What was not named by its serial is a subscriber's: the CA's own certificates are replaced, not revoked by the way. Those of users fall with their issuer or their key.
  const withUsers = selector.issuerId !== undefined || selector.keyId !== undefined
  if (selector.serials === undefined) add(withUsers ? `c.kind IN ('leaf', 'user')` : `c.kind = 'leaf'`)
  return { sql: parts.join(''), values }
}

export const revokingStore = ({ read, write }: Runner, notices: NoticeOptions | null) => ({
  /**
   * Revokes a certificate, and with `blockKey` blocks its key in the same transaction. False where it was revoked before; rejects with notFound for a serial that has no certificate.
   */
  recordRevocation: (serial: string, revocation: Revocation, blockKey: boolean, ...audit: AuditEntry[]): Promise<boolean> =>
    write(function* () {
      yield* takeRevocationTurn()
      if (!(yield* revokeOne(serial, revocation, blockKey))) return false
      yield* recordAndTell(audit, notices)
      return true
    }),

  /** Revokes certificates in one transaction, so keep them to some hundred. Gives the serials of those that were not revoked before. */
  recordRevocations: (requests: readonly RevocationRequest[]): Promise<string[]> =>
    write(function* () {
      yield* takeRevocationTurn()
      const revoked: string[] = []
      for (const { serial, revocation, blockKey, audit } of requests) {
        if (!(yield* revokeOne(serial, revocation, blockKey))) continue
        yield* recordAndTell(audit, notices)
        revoked.push(serial)
      }
      return revoked
    }),

  /**
   * Blocks a key for good and revokes in the same transaction up to `limit` of the certificates that have it and are valid beyond `now`; `first` is among them. `audit` says
   * what is recorded of each, and may be called more than once. Gives those revoked: where they are fewer than `limit`, there are no more.
   */
  revokeKey: (
    keyId: string,
    revocation: Revocation,
    { first, now, limit }: { first: string | null; now: number; limit: number },
    audit: (certificate: RevocationCandidate) => readonly AuditEntry[],
  ): Promise<RevocationCandidate[]> =>
    write(function* () {
      yield* takeRevocationTurn()
      yield* putBlockedKey(keyId, revocation.reason, revocation.revokedAt)
      const serials = yield* rows<{ serial: string }>(
        `SELECT c.serial FROM certificate c WHERE c.key_id = ? AND c.fingerprint IS NOT NULL AND c.not_after > ?
           AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.serial = c.serial)
         ORDER BY CASE WHEN c.serial = ? THEN 0 ELSE 1 END, c.serial LIMIT ?`,
        keyId,
        now,
        first ?? '',
        limit,
      )
      const found = new Map<string, RevocationCandidate>()
      for (const part of chunks(serials.map(({ serial }) => serial))) {
        const rowsOfPart = yield* rows<CandidateRow>(`${selectCandidate} AND c.serial IN (${marks(part)})`, ...part)
        for (const candidate of toCandidates(rowsOfPart)) found.set(candidate.serial, candidate)
      }
      const revoked = serials.flatMap(({ serial }) => found.get(serial) ?? [])
      for (const certificate of revoked) {
        yield* revokeOne(certificate.serial, revocation, false)
        yield* recordAndTell(audit(certificate), notices)
      }
      return revoked
    }),

  /** Keys that were blocked at or after `since` because they are compromised, and have a certificate all the same that is valid beyond `now` and not revoked. */
  compromisedKeysInUse: (since: number, now: number, limit: number): Promise<string[]> =>
    read(function* () {
      const reason: RevocationReason = 'keyCompromise'
      const found = yield* rows<{ key_id: string }>(
        `SELECT b.key_id FROM blocked_key b WHERE b.reason = ? AND b.blocked_at >= ? AND EXISTS (
           SELECT 1 FROM certificate c WHERE c.key_id = b.key_id AND c.fingerprint IS NOT NULL AND c.not_after > ?
             AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.serial = c.serial))
         LIMIT ?`,
        reason,
        since,
        now,
        limit,
      )
      return found.map((r) => r.key_id)
    }),

  /** The serials that a selector means, oldest certificate first; revoked and expired ones are among them. */
  selectCertificates: async (selector: CertificateSelector): Promise<string[]> => {
    const { sql, values } = conditionsOf(selector)
    const select = (more: string, list: readonly string[]) =>
      read(() =>
        rows<{ serial: string }>(
          `SELECT c.serial FROM certificate c WHERE c.fingerprint IS NOT NULL${sql}${more} ORDER BY c.created_at, c.serial`,
          ...values,
          ...list,
        ),
      )
    const found: { serial: string }[] = []
    if (selector.serials === undefined) found.push(...(await select('', [])))
    else for (const part of chunks(selector.serials)) found.push(...(await select(` AND c.serial IN (${marks(part)})`, part)))
    return found.map(({ serial }) => serial)
  },

  /** Those serials and those of every other certificate that has the same key as one of them. */
  withSameKeys: async (serials: readonly string[]): Promise<string[]> => {
    const all = new Set(serials)
    for (const part of chunks(serials)) {
      const found = await read(() =>
        rows<{ serial: string }>(
          `SELECT serial FROM certificate WHERE fingerprint IS NOT NULL AND key_id IN (SELECT key_id FROM certificate WHERE serial IN (${marks(part)}))
           ORDER BY created_at, serial`,
          ...part,
        ),
      )
      for (const { serial } of found) all.add(serial)
    }
    return [...all]
  },

  /** What is known of at most some hundred serials, in no order; those that have no certificate are left out. */
  revocationCandidates: (serials: readonly string[]): Promise<RevocationCandidate[]> =>
    read(function* () {
      const found: CandidateRow[] = []
      for (const part of chunks(serials)) found.push(...(yield* rows<CandidateRow>(`${selectCandidate} AND c.serial IN (${marks(part)})`, ...part)))
      return toCandidates(found)
    }),
})
