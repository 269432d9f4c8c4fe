/** Certificates: a serial is reserved before anything is signed with it, and the signed certificate is stored once. */
import { IcaError } from '../errors.js'
import type { AuditEntry, Certificate, CertificateReservation, IssuerKind, Revocation } from '../model.js'
import { putDomains } from './lookups.js'
import { type NoticeOptions, noticeTimes, queueNotice, recordAndTell } from './notices.js'
import { type Blob, bytes, type CertificateRow, fingerprintOf, record, selectCertificate, toCertificates, toReason } from './rows.js'
import { change, ifDone, insert, lock, must, notDone, type Runner, row, rows, type Steps } from './sql.js'

/** What OCSP says of a serial. */
export type CertificateStatus =
  | { status: 'good'; notAfter: number }
  | { status: 'revoked'; notAfter: number; revocation: Revocation }
  | { status: 'unknown' }

/** A serial and the issuer whose it is said to be. */
export type IssuedSerial = { issuerId: string; serial: string }

type StatusRow = { serial: string; issuer_id: string; not_after: number; revoked_at: number | null; reason: number | null }

const statusColumns = 'c.serial, c.issuer_id, c.not_after, r.revoked_at, r.reason'
const selectStatus = (which: string): string =>
  `SELECT ${statusColumns} FROM certificate c LEFT JOIN revocation r ON r.serial = c.serial WHERE c.serial ${which} AND c.fingerprint IS NOT NULL`
const selectOneStatus = selectStatus('= ?')
/** One statement for each of a few lengths of the list, so that all are prepared; a shorter list is filled up with its last serial. */
const selectStatuses = [4, 8, 16, 32].map((size) => ({ size, sql: selectStatus(`IN (${Array(size).fill('?').join(', ')})`) }))
const longest = selectStatuses[selectStatuses.length - 1] as (typeof selectStatuses)[number]
/** For SQLite, of a list of any length, as JSON in and out: parameters and rows one by one take libsql twice as long. */
const selectStatusesAsJson = `SELECT json_group_array(json_array(${statusColumns})) AS found FROM json_each(?) asked
   CROSS JOIN certificate c ON c.serial = asked.value LEFT JOIN revocation r ON r.serial = c.serial WHERE c.fingerprint IS NOT NULL`

const toStatus = (found: StatusRow | undefined, issuerId: string): CertificateStatus => {
  if (found?.issuer_id !== issuerId) return { status: 'unknown' }
  const { not_after: notAfter, revoked_at: revokedAt, reason } = found
  if (revokedAt === null || reason === null) return { status: 'good', notAfter }
  return { status: 'revoked', notAfter, revocation: { revokedAt, reason: toReason(reason) } }
}

function* foundAsRows(asked: readonly string[]): Steps<StatusRow[]> {
  const found: StatusRow[] = []
  for (let from = 0; from < asked.length; from += longest.size) {
    const serials = asked.slice(from, from + longest.size)
    const { size, sql } = selectStatuses.find((one) => one.size >= serials.length) ?? longest
    const last = serials[serials.length - 1] as string
    while (serials.length < size) serials.push(last)
    found.push(...(yield* rows<StatusRow>(sql, ...serials)))
  }
  return found
}

type JsonRow = [serial: string, issuerId: string, notAfter: number, revokedAt: number | null, reason: number | null]

function* foundAsJson(asked: readonly string[]): Steps<StatusRow[]> {
  const { found } = (yield* row<{ found: string }>(selectStatusesAsJson, JSON.stringify(asked))) as { found: string }
  return (JSON.parse(found) as JsonRow[]).map(([serial, issuer_id, not_after, revoked_at, reason]) => ({
    serial,
    issuer_id,
    not_after,
    revoked_at,
    reason,
  }))
}

/** In the order of `asked`. A single statement costs as much as finding ten certificates with it. */
function* statusesOf(engine: Runner['engine'], asked: readonly IssuedSerial[]): Steps<CertificateStatus[]> {
  const [first] = asked
  if (first && asked.length === 1) return [toStatus(yield* row<StatusRow>(selectOneStatus, first.serial), first.issuerId)]
  const serials = asked.map(({ serial }) => serial)
  const found = new Map<string, StatusRow>()
  for (const one of yield* engine === 'sqlite' ? foundAsJson(serials) : foundAsRows(serials)) found.set(one.serial, one)
  return asked.map(({ issuerId, serial }) => toStatus(found.get(serial), issuerId))
}

/** Stores a serial with what will be signed under it; throws where the serial was used before. */
export function* reserve(r: CertificateReservation): Steps<void> {
  yield* must(
    () => new IcaError('serverInternal', `The serial ${r.serial} was used before.`),
    `INSERT INTO certificate (serial, issuer_id, kind, profile, account_id, order_id, key_id, crl_shard, not_before, not_after, created_at, notice_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (serial) DO NOTHING`,
    r.serial,
    r.issuerId,
    r.kind,
    r.profile,
    r.accountId,
    r.orderId,
    r.keyId,
    r.crlShard,
    r.notBefore,
    r.notAfter,
    r.createdAt,
    r.kind === 'leaf' && r.accountId !== null ? noticeTimes(r).quarter : null,
  )
  yield* insert(
    'certificate_name',
    ['serial', 'form', 'value'],
    r.names.map(({ form, value }) => [r.serial, form, value]),
  )
  yield* putDomains(r)
}

const selectBy = {
  serial: `${selectCertificate} AND c.serial = ? ORDER BY n.form, n.value`,
  fingerprint: `${selectCertificate} AND c.fingerprint = ? ORDER BY n.form, n.value`,
}

function* findCertificate(column: keyof typeof selectBy, value: string): Steps<Certificate | null> {
  return toCertificates(yield* rows<CertificateRow>(selectBy[column], value))[0] ?? null
}

/** Between a certificate and the block of its key there is an order: one of the two sees the other. `key`: an expression in SQL. */
const lockOfKey = (key: string): string => `pg_advisory_xact_lock(hashtextextended(${key}, 1))`

function* isBlocked(keyId: string): Steps<boolean> {
  return (yield* row('SELECT 1 AS blocked FROM blocked_key WHERE key_id = ?', keyId)) !== undefined
}

/** Blocks a key for good; false where it was before. What is read after it has every certificate that got ahead of it. */
export function* putBlockedKey(keyId: string, reason: string, at: number): Steps<boolean> {
  yield* lock(`SELECT ${lockOfKey('?')}`, keyId)
  return (
    (yield* change('INSERT INTO blocked_key (key_id, reason, blocked_at) VALUES (?, ?, ?) ON CONFLICT (key_id) DO NOTHING', keyId, reason, at)) === 1
  )
}

export const certificateStore = ({ engine, read, write }: Runner, notices: NoticeOptions | null) => ({
  /** Stores the serial with what will be signed. Rejects where the serial exists. */
  reserveCertificate: (reservation: CertificateReservation): Promise<void> => write(() => reserve(reservation)),

  /**
   * Stores the signed certificate of a reserved serial, and where the reservation names an order, the order's certificate with it. False, with
   * nothing stored, where the order has a certificate or an error, or the serial is not waiting for one. Its account is told. Rejects with badCSR where
   * the key was blocked meanwhile: who blocks it revokes the certificates that there are, and this would be one more.
   */
  storeCertificate: (serial: string, der: Uint8Array, audit: AuditEntry): Promise<boolean> =>
    ifDone(
      write(function* () {
        yield* lock(`SELECT ${lockOfKey('key_id')} FROM certificate WHERE serial = ?`, serial)
        const reserved = yield* row<{ order_id: string | null; account_id: string | null; blocked_at: number | null; contact: string | null }>(
          `SELECT c.order_id, c.account_id, b.blocked_at, a.contact FROM certificate c LEFT JOIN blocked_key b ON b.key_id = c.key_id
           LEFT JOIN account a ON a.id = c.account_id WHERE c.serial = ? AND c.der IS NULL`,
          serial,
        )
        if (!reserved) throw notDone()
        if (reserved.blocked_at !== null)
          throw new IcaError('badCSR', 'The key of the CSR was blocked meanwhile because it was compromised. Make a new key.')
        const { order_id: orderId, account_id: accountId } = reserved
        if (orderId !== null) {
          const fulfil = 'UPDATE "order" SET certificate_serial = ? WHERE id = ? AND certificate_serial IS NULL AND error IS NULL'
          yield* must(notDone, fulfil, serial, orderId)
        }
        yield* must(
          () => new IcaError('conflict', `A certificate with the serial ${serial} was stored at the same time.`),
          'UPDATE certificate SET der = ?, fingerprint = ? WHERE serial = ? AND der IS NULL',
          der,
          fingerprintOf(der),
          serial,
        )
        yield* record(audit)
        if (notices && accountId !== null && reserved.contact !== '[]') {
          yield* queueNotice({ kind: 'certificate.issued', accountId, about: serial, data: { certificate: serial }, at: audit.at }, notices)
        }
      }),
    ),

  certificateBySerial: (serial: string): Promise<Certificate | null> => read(() => findCertificate('serial', serial)),

  /** The certificate with exactly these bytes. */
  certificateByDer: (der: Uint8Array): Promise<Certificate | null> => read(() => findCertificate('fingerprint', fingerprintOf(der))),

  /** Every certificate with this key (hex SHA-256 of its SubjectPublicKeyInfo), newest first. */
  certificatesByKey: (keyId: string): Promise<Certificate[]> =>
    read(function* () {
      return toCertificates(
        yield* rows<CertificateRow>(`${selectCertificate} AND c.key_id = ? ORDER BY c.created_at + 0 DESC, c.serial DESC, n.form, n.value`, keyId),
      )
    }),

  /** Certificates with a name of this value in any form (A-label, U-label or `_service.` name as it stands in the certificate), newest first. */
  certificatesByName: (value: string, limit: number): Promise<Certificate[]> =>
    read(function* () {
      // By the name first, then by age: `+ 0` keeps the engines from walking all certificates by age until enough of them have the name.
      const ofName = `SELECT e.serial FROM certificate e JOIN certificate_name m ON m.serial = e.serial WHERE m.value = ? AND e.der IS NOT NULL
        GROUP BY e.serial, e.created_at ORDER BY e.created_at + 0 DESC, e.serial DESC LIMIT ?`
      return toCertificates(
        yield* rows<CertificateRow>(
          `${selectCertificate} AND c.serial IN (${ofName}) ORDER BY c.created_at + 0 DESC, c.serial DESC, n.form, n.value`,
          value,
          limit,
        ),
      )
    }),

  /** What OCSP needs, of many certificates at once; hot. Unknown for a serial that its issuer never used, or only reserved. */
  certificateStatuses: (asked: readonly IssuedSerial[]): Promise<CertificateStatus[]> => read(() => statusesOf(engine, asked)),

  /** Whether a subscriber's key (hex SHA-256 of its SubjectPublicKeyInfo) may not be certified any more. */
  isKeyBlocked: (keyId: string): Promise<boolean> => read(() => isBlocked(keyId)),

  /** Whether this program has the key itself: it signs OCSP answers, serves the web side or is an intermediate's that the root signed here. */
  isServiceKey: (keyId: string): Promise<boolean> =>
    read(function* () {
      return (
        (yield* row(`SELECT 1 AS own FROM certificate WHERE key_id = ? AND kind IN ('responder', 'server', 'intermediate') LIMIT 1`, keyId)) !==
        undefined
      )
    }),

  /** Blocks a key for good. Accounts with a valid certificate that has it are told. */
  blockKey: (keyId: string, reason: string, at: number, audit: AuditEntry): Promise<void> =>
    write(function* () {
      if (!(yield* putBlockedKey(keyId, reason, at))) return
      const owners = yield* rows<{ account_id: string }>(
        'SELECT DISTINCT account_id FROM certificate WHERE key_id = ? AND fingerprint IS NOT NULL AND not_after > ? AND account_id IS NOT NULL',
        keyId,
        at,
      )
      const due = owners.map(({ account_id: id }): AuditEntry => {
        return { ...audit, action: 'notice.due', subject: `account:${id}`, detail: { about: 'key.blocked', keyId, reason } }
      })
      yield* recordAndTell([audit, ...due], notices)
    }),

  /** The CA certificates that are registered. */
  issuers: (): Promise<{ id: string; kind: IssuerKind; der: Uint8Array }[]> =>
    read(function* () {
      const found = yield* rows<{ id: string; kind: IssuerKind; der: Blob }>('SELECT id, kind, der FROM issuer ORDER BY id')
      return found.map(({ der, ...issuer }) => ({ ...issuer, der: bytes(der) }))
    }),

  /** Registers a CA certificate under which certificates and CRLs are issued; what is there already is replaced. */
  upsertIssuer: (issuer: { id: string; kind: IssuerKind; der: Uint8Array }): Promise<void> =>
    write(function* () {
      const known = yield* row<{ kind: string; der: ArrayBuffer | Uint8Array }>('SELECT kind, der FROM issuer WHERE id = ?', issuer.id)
      if (known && known.kind === issuer.kind && Buffer.compare(bytes(known.der), issuer.der) === 0) return
      yield* change(
        'INSERT INTO issuer (id, kind, der) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, der = excluded.der',
        issuer.id,
        issuer.kind,
        issuer.der,
      )
    }),
})
