/** Revocations, in a sequence that other processes can follow, and the CRLs made of them. */
import { IcaError } from '../errors.js'
import { type AuditEntry, type Revocation, type RevocationReason, revocationReasons } from '../model.js'
import { type Blob, bytes, record, toReason } from './rows.js'
import { change, lock, type Runner, row, rows } from './sql.js'

/** A CRL as it is served; `shard` null is the complete one. */
export type CrlRow = { issuerId: string; shard: number | null; number: bigint; thisUpdate: number; nextUpdate: number; der: Uint8Array }
export type RevokedEntry = { serial: string; revokedAt: number; reason: RevocationReason }
/** A revocation in the sequence of all of them. */
export type RevocationEvent = RevokedEntry & { seq: number; issuerId: string; crlShard: number }

/** How the complete CRL is called in the database, where a key can't be null. */
const shardKey = (shard: number | null): number => shard ?? -1

/** PostgreSQL's advisory lock of everybody who revokes. Any number will do that nobody else uses. */
const revocationLock = 0x1ca0001

const entriesPerBatch = 2000

type EntryRow = { serial: string; revoked_at: number; reason: number }
const toEntry = (r: EntryRow): RevokedEntry => ({ serial: r.serial, revokedAt: r.revoked_at, reason: toReason(r.reason) })

export const revocationStore = ({ read, write, writeOne }: Runner) => ({
  /**
   * Revokes a certificate, and with `blockKey` blocks its key in the same transaction. False where it was revoked before; rejects with notFound for a serial that has no certificate.
   *
   * `seq` grows in the order in which revocations become visible: SQLite has one writer at a time, and on PostgreSQL, where a number could be drawn first and committed last,
   * they take turns on a lock that is held until after the COMMIT. So whoever has seen `seq` n will never find a new row at or below n.
   */
  recordRevocation: (serial: string, revocation: Revocation, blockKey: boolean, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      yield* lock('SELECT pg_advisory_xact_lock(?)', revocationLock)
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
      if (blockKey) {
        yield* change(
          'INSERT INTO blocked_key (key_id, reason, blocked_at) VALUES (?, ?, ?) ON CONFLICT (key_id) DO NOTHING',
          certificate.key_id,
          revocation.reason,
          revocation.revokedAt,
        )
      }
      yield* record(audit)
      return true
    }),

  /** The `seq` of the last revocation; 0 where there is none. */
  lastRevocation: (): Promise<number> =>
    read(function* () {
      return ((yield* row<{ seq: number | null }>('SELECT MAX(seq) AS seq FROM revocation')) as { seq: number | null }).seq ?? 0
    }),

  /** Revocations after the one with number `seq` (0: from the beginning), in their sequence. For processes that keep answers: remember the last `seq` and ask again. */
  revokedSince: (seq: number, limit: number): Promise<RevocationEvent[]> =>
    read(function* () {
      const found = yield* rows<EntryRow & { seq: number; issuer_id: string; crl_shard: number }>(
        'SELECT seq, issuer_id, crl_shard, serial, revoked_at, reason FROM revocation WHERE seq > ? ORDER BY seq LIMIT ?',
        seq,
        limit,
      )
      return found.map((r) => ({ seq: r.seq, issuerId: r.issuer_id, crlShard: r.crl_shard, ...toEntry(r) }))
    }),

  /**
   * Streams the revoked certificates of an issuer's CRL (shard null: all of them) that expire after `notAfterFrom`, ordered by serial, in batches, so that memory stays flat
   * and nobody waits long. What is revoked while it runs may or may not be among them.
   */
  async *revokedEntries(issuerId: string, shard: number | null, notAfterFrom: number): AsyncIterable<RevokedEntry[]> {
    const [ofShard, values] = shard === null ? ['', [issuerId]] : ['AND crl_shard = ?', [issuerId, shard]]
    const sql = `SELECT serial, revoked_at, reason FROM revocation WHERE issuer_id = ? ${ofShard} AND serial > ? AND not_after > ? ORDER BY serial LIMIT ?`
    for (let after = ''; ; ) {
      const batch = await read(() => rows<EntryRow>(sql, ...values, after, notAfterFrom, entriesPerBatch))
      const last = batch.at(-1)
      if (!last) return
      yield batch.map(toEntry)
      if (batch.length < entriesPerBatch) return
      after = last.serial
      // SQLite answers at once: let others have their turn.
      await new Promise((resolve) => setImmediate(resolve))
    }
  },

  /** A number greater than every one handed out before for this CRL, stored before it is returned (RFC 5280 §5.2.3). */
  nextCrlNumber: (issuerId: string, shard: number | null): Promise<bigint> =>
    writeOne(function* () {
      const next = yield* row<{ number: number }>(
        `INSERT INTO crl_number (issuer_id, shard, number) VALUES (?, ?, 1)
         ON CONFLICT (issuer_id, shard) DO UPDATE SET number = crl_number.number + 1 RETURNING number`,
        issuerId,
        shardKey(shard),
      )
      return BigInt((next as { number: number }).number)
    }),

  /** Replaces the CRL that is served, only by one with a higher number; false otherwise. */
  saveCrl: (crl: CrlRow, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      const saved = yield* row(
        `INSERT INTO crl (issuer_id, shard, number, this_update, next_update, der) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (issuer_id, shard) DO UPDATE SET number = excluded.number, this_update = excluded.this_update, next_update = excluded.next_update, der = excluded.der
           WHERE excluded.number > crl.number
         RETURNING number`,
        crl.issuerId,
        shardKey(crl.shard),
        crl.number,
        crl.thisUpdate,
        crl.nextUpdate,
        crl.der,
      )
      if (!saved) return false
      yield* record(audit)
      return true
    }),

  currentCrl: (issuerId: string, shard: number | null): Promise<CrlRow | null> =>
    read(function* () {
      const found = yield* row<{ number: number; this_update: number; next_update: number; der: Blob }>(
        'SELECT number, this_update, next_update, der FROM crl WHERE issuer_id = ? AND shard = ?',
        issuerId,
        shardKey(shard),
      )
      return found
        ? { issuerId, shard, number: BigInt(found.number), thisUpdate: found.this_update, nextUpdate: found.next_update, der: bytes(found.der) }
        : null
    }),
})
