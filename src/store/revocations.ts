/** Revocations, in a sequence that other processes can follow, and leases. Revoking itself is revoking.ts; the CRLs made of them are in crls.ts. */
import type { Revocation, RevocationReason } from '../model.js'
import { toReason } from './rows.js'
import { change, type Runner, row, rows } from './sql.js'

export type RevokedEntry = { serial: string; revokedAt: number; reason: RevocationReason }
/** A revocation in the sequence of all of them. */
export type RevocationEvent = RevokedEntry & { seq: number; issuerId: string; crlShard: number }

const entriesPerBatch = 1000
/** What has to be known within 5 s. */
const followWithinMs = 2500

/** Milliseconds since the epoch by PostgreSQL's clock. */
const databaseTime = `CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)`

type EntryRow = { serial: string; revoked_at: number; reason: number }
const toEntry = (r: EntryRow): RevokedEntry => ({ serial: r.serial, revokedAt: r.revoked_at, reason: toReason(r.reason) })

export const revocationStore = ({ engine, read, writeOne }: Runner) => ({
  /** Whether a serial of an issuer is revoked; also one that is known only from an imported CRL. */
  revocationOf: (issuerId: string, serial: string): Promise<Revocation | null> =>
    read(function* () {
      const found = yield* row<{ revoked_at: number; reason: number }>(
        'SELECT revoked_at, reason FROM revocation WHERE serial = ? AND issuer_id = ?',
        serial,
        issuerId,
      )
      return found ? { revokedAt: found.revoked_at, reason: toReason(found.reason) } : null
    }),

  /** The `seq` of the last revocation; 0 where there is none. */
  lastRevocation: (): Promise<number> =>
    read(function* () {
      return ((yield* row<{ seq: number | null }>('SELECT MAX(seq) AS seq FROM revocation')) as { seq: number | null }).seq ?? 0
    }, followWithinMs),

  /**
   * Revocations after the one with number `seq` (0: from the beginning), in their sequence. For processes that keep answers: remember the last `seq`
   * and ask again.
   */
  revokedSince: (seq: number, limit: number): Promise<RevocationEvent[]> =>
    read(function* () {
      const found = yield* rows<EntryRow & { seq: number; issuer_id: string; crl_shard: number }>(
        'SELECT seq, issuer_id, crl_shard, serial, revoked_at, reason FROM revocation WHERE seq > ? ORDER BY seq LIMIT ?',
        seq,
        limit,
      )
      return found.map((r) => ({ seq: r.seq, issuerId: r.issuer_id, crlShard: r.crl_shard, ...toEntry(r) }))
    }, followWithinMs),

  /**
   * Streams the revoked certificates of an issuer's CRL (shard null: all of them) that expire after `notAfterFrom`, ordered by serial, in batches, so
   * that memory stays flat and nobody waits long. What is revoked while it runs may or may not be among them.
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

  /**
   * Takes a lease for `forMs`, or prolongs one's own; false where somebody else has it. The time is the database's where nodes share one, because their clocks differ; `now`
   * counts on SQLite, which is of one machine.
   */
  acquireLease: (name: string, holder: string, now: number, forMs: number): Promise<boolean> =>
    writeOne(function* () {
      const [time, values] = engine === 'postgresql' ? [databaseTime, []] : ['?', [now]]
      return (
        (yield* change(
          `INSERT INTO lease (name, holder, expires_at) VALUES (?, ?, ${time} + ?)
           ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
             WHERE lease.holder = excluded.holder OR lease.expires_at <= ${time}`,
          name,
          holder,
          ...values,
          forMs,
          ...values,
        )) === 1
      )
    }),

  /** Gives a lease back, where it is (still) one's own. */
  releaseLease: (name: string, holder: string): Promise<void> =>
    writeOne(function* () {
      yield* change('DELETE FROM lease WHERE name = ? AND holder = ?', name, holder)
    }),
})
