/**
 * The CRLs as they are served. One may have 50 MB, and SQLite works on the thread that serves; so a list lies in parts of a size that is written and read
 * within milliseconds, and others get their turn between two of them. Parts are written under the number of their list, which was reserved before and is
 * never used twice; one transaction then puts the whole list in the place of the one before. Parts of a number that is neither the current one nor higher
 * belong to nobody any more: to a list that was replaced, or that was given up half-way.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { IcaError } from '../errors.js'
import { type AuditEntry, type CrlBody, type CrlEnds, revocationReasons } from '../model.js'
import type { RevokedEntry } from './revocations.js'
import { takeRevocationTurn } from './revoking.js'
import { type Blob, bytes, record } from './rows.js'
import { change, lock, type Runner, row, rows, type Steps } from './sql.js'

/** A CRL as it is served; `shard` null is the complete one. */
export type CrlRow = {
  issuerId: string
  shard: number | null
  number: bigint
  thisUpdate: number
  nextUpdate: number
  octets: number
  /** In pieces, so that nobody needs room for all of it in one place. */
  der: readonly Uint8Array[]
  /** It has every revocation up to this `seq`; unknown for a list that was made elsewhere. */
  revocationSeq?: number
}
/** What is known of a CRL without reading it. */
export type CrlFacts = Required<Omit<CrlRow, 'der'>>

/** A CRL to be stored, of which nobody knows the octets yet. */
export type NewCrl = Omit<CrlFacts, 'octets'>

type List = Pick<CrlRow, 'issuerId' | 'shard'>

/** A part has at most so many octets. */
const partSize = 512 * 1024
/** Parts of a list without use that one transaction deletes. */
const sweptAtOnce = 4

/** How a list is called in the database, where a key can't be null. */
const keyOf = ({ issuerId, shard }: List): [string, number] => [issuerId, shard ?? -1]

/** Waits until nobody else changes what is the current list, or deletes parts, until the end of the transaction. Its number has been reserved before. */
const takeTurn = (list: List): Steps<void> => lock('SELECT number FROM crl_number WHERE issuer_id = ? AND shard = ? FOR UPDATE', ...keyOf(list))

type Numbered = List & Pick<CrlRow, 'number'>

const putPart = (crl: Numbered, part: number, der: Uint8Array): Steps<number> =>
  change('INSERT INTO crl_part (issuer_id, shard, number, part, der) VALUES (?, ?, ?, ?, ?)', ...keyOf(crl), crl.number, part, der)

/** The octets as they are stored: mostly as they were made. */
function* partsOf({ der }: Pick<CrlRow, 'der'>): Generator<[part: number, octets: Uint8Array]> {
  let part = 0
  for (const piece of der) for (let from = 0; from < piece.length; from += partSize) yield [part++, piece.subarray(from, from + partSize)]
}

/** Not to be told from a list that was replaced meanwhile, but by looking again. */
class PartMissing extends Error {}

/** Makes a list the current one; false where one with the same number or a higher one is. */
function* putCrl(crl: Omit<CrlRow, 'der'>): Steps<boolean> {
  const saved = yield* row(
    `INSERT INTO crl (issuer_id, shard, number, this_update, next_update, octets, revocation_seq) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (issuer_id, shard) DO UPDATE SET number = excluded.number, this_update = excluded.this_update, next_update = excluded.next_update, octets = excluded.octets,
       revocation_seq = excluded.revocation_seq
       WHERE excluded.number > crl.number
     RETURNING number`,
    ...keyOf(crl),
    crl.number,
    crl.thisUpdate,
    crl.nextUpdate,
    crl.octets,
    crl.revocationSeq ?? 0,
  )
  return saved !== undefined
}

/** Another process that has begun a later list has taken the parts of this one for given up. */
const givenUp = ({ number }: Numbered): IcaError =>
  new IcaError('conflict', `Another process publishes the same CRL: number ${number} is given up for a later one.`)

/** Throws unless the parts of a list are all there. */
function* checkParts(crl: Numbered & { octets: number }): Steps<void> {
  const found = yield* row<{ octets: number | null }>(
    'SELECT SUM(length(der)) AS octets FROM crl_part WHERE issuer_id = ? AND shard = ? AND number = ?',
    ...keyOf(crl),
    crl.number,
  )
  if (Number(found?.octets ?? 0) !== crl.octets) throw givenUp(crl)
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

type FactsRow = { issuer_id: string; shard: number; number: number; this_update: number; next_update: number; octets: number; revocation_seq: number }
const selectFacts = 'SELECT issuer_id, shard, number, this_update, next_update, octets, revocation_seq FROM crl'

const toFacts = (r: FactsRow): CrlFacts => ({
  issuerId: r.issuer_id,
  shard: r.shard < 0 ? null : r.shard,
  number: BigInt(r.number),
  thisUpdate: r.this_update,
  nextUpdate: r.next_update,
  octets: r.octets,
  revocationSeq: r.revocation_seq,
})

export const crlStore = ({ read, write, writeOne }: Runner) => {
  /** Deletes parts that belong to nobody any more, up to those of number `upTo`. */
  const sweep = async (list: List, upTo: bigint): Promise<void> => {
    const key = keyOf(list)
    const some = function* (): Steps<number> {
      yield* takeTurn(list)
      return yield* change(
        `DELETE FROM crl_part WHERE issuer_id = ? AND shard = ? AND (number, part) IN (
           SELECT number, part FROM crl_part WHERE issuer_id = ? AND shard = ? AND number <= ?
             AND number NOT IN (SELECT number FROM crl WHERE issuer_id = ? AND shard = ?) ORDER BY number, part LIMIT ?)`,
        ...key,
        ...key,
        upTo,
        ...key,
        sweptAtOnce,
      )
    }
    while ((await write(some)) === sweptAtOnce) await nextTurn()
  }

  /** For when the list itself is safe: what stays is found again when the next one is made. */
  const sweepOrLeave = (list: List, upTo: bigint): Promise<void> => sweep(list, upTo).catch(() => undefined)

  const readCurrent = (list: List, above: bigint): Promise<FactsRow | undefined> =>
    read(() => row<FactsRow>(`${selectFacts} WHERE issuer_id = ? AND shard = ? AND number > ?`, ...keyOf(list), above))

  const readPart = async (list: List, number: number | bigint, part: number): Promise<Uint8Array | null> => {
    const found = await read(() =>
      row<{ der: Blob }>('SELECT der FROM crl_part WHERE issuer_id = ? AND shard = ? AND number = ? AND part = ?', ...keyOf(list), number, part),
    )
    return found ? bytes(found.der) : null
  }

  /** The octets of a list, part by part; throws {@link PartMissing}. */
  async function* partsIn(crl: Numbered & { octets: number }): AsyncIterable<Uint8Array> {
    let [left, part] = [crl.octets, 0]
    while (left > 0) {
      const octets = await readPart(crl, crl.number, part++)
      if (!octets?.length || octets.length > left) throw new PartMissing()
      left -= octets.length
      yield octets
      await nextTurn()
    }
  }

  const readCrl = async <T>(
    issuerId: string,
    shard: number | null,
    above: bigint,
    take: (crl: CrlFacts, parts: AsyncIterable<Uint8Array>) => Promise<T>,
  ): Promise<T | null> => {
    for (let missed = -1; ; ) {
      const found = await readCurrent({ issuerId, shard }, above)
      if (!found) return null
      const crl = toFacts(found)
      try {
        return await take(crl, partsIn(crl))
      } catch (error) {
        if (!(error instanceof PartMissing)) throw error
        // It was replaced while it was read: once more, with what took its place.
        if (found.number === missed)
          throw new IcaError('serverInternal', `Parts of the CRL number ${crl.number} of ${issuerId} are missing in the database.`)
        missed = found.number
      }
    }
  }

  /** Keeps the body of a list in its parts from the second on; the first is for its head. */
  const bodyOf = (crl: NewCrl) => {
    let parts = 0
    const put = async (piece: Uint8Array): Promise<void> => {
      const part = ++parts
      await write(() => putPart(crl, part, piece))
      await nextTurn()
    }
    async function* pieces(): AsyncIterable<Uint8Array> {
      for (let part = 1; part <= parts; part++) {
        const piece = await readPart(crl, crl.number, part)
        if (!piece) throw givenUp(crl)
        yield piece
      }
    }
    return { put, pieces, parts: () => parts }
  }

  return {
    /** A number greater than every one handed out before for this CRL, and no less than `atLeast`, stored before it is returned (RFC 5280 §5.2.3). */
    nextCrlNumber: (issuerId: string, shard: number | null, atLeast = 1n): Promise<bigint> =>
      writeOne(function* () {
        const next = yield* row<{ number: number }>(
          `INSERT INTO crl_number (issuer_id, shard, number) VALUES (?, ?, ?)
           ON CONFLICT (issuer_id, shard) DO UPDATE
             SET number = CASE WHEN crl_number.number >= excluded.number THEN crl_number.number + 1 ELSE excluded.number END RETURNING number`,
          ...keyOf({ issuerId, shard }),
          atLeast,
        )
        return BigInt((next as { number: number }).number)
      }),

    /**
     * Replaces the CRL that is served, only by one with a higher number; false otherwise. All at once for who reads, but in many small transactions: when it
     * fails half-way, what was served still is. Throws conflict where another process has begun a later one meanwhile.
     * @param make gives what it has no room for to `body`, and then the rest
     */
    saveCrl: async (crl: NewCrl, make: (body: CrlBody) => Promise<CrlEnds & { audit: AuditEntry }>): Promise<boolean> => {
      // Before there is more: a disk may be full of what was given up.
      await sweep(crl, crl.number)
      const body = bodyOf(crl)
      try {
        const { head, tail, octets, audit } = await make(body)
        const parts = body.parts()
        return await write(function* () {
          yield* takeTurn(crl)
          if (!(yield* putCrl({ ...crl, octets }))) return false
          if (parts === 0) yield* putPart(crl, 0, Buffer.concat([head, tail]))
          else {
            yield* putPart(crl, 0, head)
            yield* putPart(crl, parts + 1, tail)
          }
          yield* checkParts({ ...crl, octets })
          yield* record(audit)
          return true
        })
      } finally {
        await sweepOrLeave(crl, crl.number)
      }
    },

    /**
     * Serves a CRL that was made elsewhere, with the rules of {@link saveCrl}; numbers drawn here later are higher. What it says is revoked is revoked
     * here, too: a serial that is not known here is reserved for it, with `notAfter`, so that the lists made here go on saying so. One transaction: those lists
     * are short.
     */
    importCrl: async (crl: CrlRow, entries: readonly RevokedEntry[], unknown: { notAfter: number }, audit: AuditEntry): Promise<boolean> => {
      const saved = await write(function* () {
        yield* takeRevocationTurn()
        yield* change(
          `INSERT INTO crl_number (issuer_id, shard, number) VALUES (?, ?, ?)
           ON CONFLICT (issuer_id, shard) DO UPDATE SET number = excluded.number WHERE excluded.number > crl_number.number`,
          ...keyOf(crl),
          crl.number,
        )
        if (!(yield* putCrl(crl))) return false
        yield* change('DELETE FROM crl_part WHERE issuer_id = ? AND shard = ? AND number = ?', ...keyOf(crl), crl.number)
        for (const [part, octets] of partsOf(crl)) yield* putPart(crl, part, octets)
        for (const entry of entries) yield* putRevocation(crl.issuerId, entry, unknown.notAfter, crl.thisUpdate)
        yield* record(audit)
        return true
      })
      if (saved) await sweepOrLeave(crl, crl.number)
      return saved
    },

    /**
     * Reads the CRL that is to be served part by part; null where there is none, or none that has a number higher than `above`.
     * @param take is called again, with what took its place, where the list was replaced while it was read
     */
    readCrl,

    /** The CRL that is to be served, in memory; null as for {@link readCrl}. */
    currentCrl: (issuerId: string, shard: number | null, above = 0n): Promise<CrlRow | null> =>
      readCrl(issuerId, shard, above, async ({ revocationSeq: _, ...crl }, parts) => {
        const der: Uint8Array[] = []
        for await (const part of parts) der.push(part)
        return { ...crl, der }
      }),

    /** What is known of every CRL. */
    crlFacts: (): Promise<CrlFacts[]> =>
      read(function* () {
        return (yield* rows<FactsRow>(selectFacts)).map(toFacts)
      }),
  }
}
