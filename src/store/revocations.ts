/** Revocations, in a sequence that other processes can follow, and the CRLs made of them. Revoking itself is revoking.ts. */
import { type AuditEntry, type Revocation, type RevocationReason, revocationReasons } from '../model.js'
import { takeRevocationTurn } from './revoking.js'
import { type Blob, bytes, record, toReason } from './rows.js'
import { change, type Runner, row, rows, type Steps } from './sql.js'

/** A CRL as it is served; `shard` null is the complete one. */
export type CrlRow = {
  issuerId: string
  shard: number | null
  number: bigint
  thisUpdate: number
  nextUpdate: number
  der: Uint8Array
  /** It has every revocation up to this `seq`; unknown for a list that was made elsewhere. */
  revocationSeq?: number
}
/** What is known of a CRL without reading it. */
export type CrlFacts = Required<Omit<CrlRow, 'der'>>
export type RevokedEntry = { serial: string; revokedAt: number; reason: RevocationReason }
/** A revocation in the sequence of all of them. */
export type RevocationEvent = RevokedEntry & { seq: number; issuerId: string; crlShard: number }

/** How the complete CRL is called in the database, where a key can't be null. */
const shardKey = (shard: number | null): number => shard ?? -1

const entriesPerBatch = 1000

type EntryRow = { serial: string; revoked_at: number; reason: number }
const toEntry = (r: EntryRow): RevokedEntry => ({ serial: r.serial, revokedAt: r.revoked_at, reason: toReason(r.reason) })

function* putCrl(crl: CrlRow): Steps<boolean> {
  const saved = yield* row(
    `INSERT INTO crl (issuer_id, shard, number, this_update, next_update, der, revocation_seq) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (issuer_id, shard) DO UPDATE SET number = excluded.number, this_update = excluded.this_update, next_update = excluded.next_update, der = excluded.der,
       revocation_seq = excluded.revocation_seq
       WHERE excluded.number > crl.number
     RETURNING number`,
    crl.issuerId,
    shardKey(crl.shard),
    crl.number,
    crl.thisUpdate,
    crl.nextUpdate,
    crl.der,
    crl.revocationSeq ?? 0,
  )
  return saved !== undefined
}

/** A revocation that an imported list has. The issuer of those is a root: their kind is known. */
function* putRevocation(issuerId: string, { serial, revokedAt, reason }: RevokedEntry, notAfter: number, createdAt: number): Steps<void> {
  yield* change(
    `INSERT INTO certificate (serial, issuer_id, kind, profile, key_id, crl_shard, not_before, not_after, created_at)
     VALUES (?, ?, 'intermediate', 'intermediate', '', 0, ?, ?, ?) ON CONFLICT (serial) DO NOTHING`,
    serial,
    issuerId,
    createdAt,
    notAfter,
    createdAt,
  )
  yield* change(
    `INSERT INTO revocation (serial, issuer_id, crl_shard, not_after, revoked_at, reason)
     SELECT serial, issuer_id, crl_shard, not_after, CAST(? AS BIGINT), CAST(? AS INTEGER) FROM certificate WHERE serial = ? AND issuer_id = ? ON CONFLICT (serial) DO NOTHING`,
    revokedAt,
    revocationReasons[reason],
    serial,
    issuerId,
  )
}

export const revocationStore = ({ read, write, writeOne }: Runner) => ({
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
    }),

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
    }),

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
      if (!(yield* putCrl(crl))) return false
      yield* record(audit)
      return true
    }),

  /**
   * Serves a CRL that was made elsewhere, with the rules of {@link saveCrl}; numbers drawn here later are higher. What it says is revoked is revoked
   * here, too: a serial that is not known here is reserved for it, with `notAfter`, so that the lists made here go on saying so.
   */
  importCrl: (crl: CrlRow, entries: readonly RevokedEntry[], unknown: { notAfter: number }, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      yield* takeRevocationTurn()
      if (!(yield* putCrl(crl))) return false
      yield* change(
        `INSERT INTO crl_number (issuer_id, shard, number) VALUES (?, ?, ?)
         ON CONFLICT (issuer_id, shard) DO UPDATE SET number = excluded.number WHERE excluded.number > crl_number.number`,
        crl.issuerId,
        shardKey(crl.shard),
        crl.number,
      )
      for (const entry of entries) yield* putRevocation(crl.issuerId, entry, unknown.notAfter, crl.thisUpdate)
      yield* record(audit)
      return true
    }),

  /** The CRL that is to be served; null where there is none, or with `above` none that has a higher number. */
  currentCrl: (issuerId: string, shard: number | null, above = 0n): Promise<CrlRow | null> =>
    read(function* () {
      const found = yield* row<{ number: number; this_update: number; next_update: number; der: Blob }>(
        'SELECT number, this_update, next_update, der FROM crl WHERE issuer_id = ? AND shard = ? AND number > ?',
        issuerId,
        shardKey(shard),
        above,
      )
      return found
        ? { issuerId, shard, number: BigInt(found.number), thisUpdate: found.this_update, nextUpdate: found.next_update, der: bytes(found.der) }
        : null
    }),

  /** What is known of every CRL. */
  crlFacts: (): Promise<CrlFacts[]> =>
    read(function* () {
      const found = yield* rows<{
        issuer_id: string
        shard: number
        number: number
        this_update: number
        next_update: number
        revocation_seq: number
      }>('SELECT issuer_id, shard, number, this_update, next_update, revocation_seq FROM crl')
      return found.map((r) => ({
        issuerId: r.issuer_id,
        shard: r.shard < 0 ? null : r.shard,
        number: BigInt(r.number),
        thisUpdate: r.this_update,
        nextUpdate: r.next_update,
        revocationSeq: r.revocation_seq,
      }))
    }),

  /** Takes a lease until `until`, or prolongs one's own; false where somebody else has it at `now`. */
  acquireLease: (name: string, holder: string, now: number, until: number): Promise<boolean> =>
    writeOne(function* () {
      return (
        (yield* change(
          `INSERT INTO lease (name, holder, expires_at) VALUES (?, ?, ?)
           ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at WHERE lease.holder = excluded.holder OR lease.expires_at <= ?`,
          name,
          holder,
          until,
          now,
        )) === 1
      )
    }),

  /** Gives a lease back, where it is (still) one's own. */
  releaseLease: (name: string, holder: string): Promise<void> =>
    writeOne(function* () {
      yield* change('DELETE FROM lease WHERE name = ? AND holder = ?', name, holder)
    }),
})
