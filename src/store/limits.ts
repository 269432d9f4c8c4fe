/**
 * Rate limits as leaky buckets: for each thing that is counted one row with its level, which is worked off at the limit's rate and changed by one conditional upsert within
 * the transaction of the act that it counts. So a crash loses nothing and counts nothing twice, all nodes see the same, and a limit that is changed means what it says at
 * once. What the numbers mean to people is in issuance/limits.ts.
 */
import { type Runner, rows, type Statement, type Steps } from './sql.js'

/** One act that counts against a limit of `count` acts in `windowMs`. */
export type Charge = {
  /** The limit and what it counts by, e.g. `ordersPerAccount:<id>`. */
  key: string
  count: number
  windowMs: number
  /** 1, or 0 for what leaves a trace but uses nothing up. */
  cost: 0 | 1
  /** How long the row is kept, at least until it is worked off. */
  keepMs: number
}

export type LimitState = { level: number; at: number }

/** A limit was reached by another request in between. */
export class LimitExceeded extends Error {
  constructor() {
    super('a rate limit was reached meanwhile')
  }
}

/** What is left of a level at a time. The same arithmetic as {@link upsert}'s, but for the last bits. */
export const levelAt = ({ level, at }: LimitState, now: number, { count, windowMs }: Pick<Charge, 'count' | 'windowMs'>): number =>
  Math.max(0, level - ((now - at) * count) / windowMs)

/** Sums of fractions come out a little off. */
export const tolerance = 1e-6

/** Greater than every level. */
const unlimited = 1e15

/** Statements that count the acts; they change the rows that have room for theirs, of `rows`. Charges of equal rates share a statement. */
const upserts = (charges: readonly Charge[], now: number): (Pick<Statement, 'sql' | 'values'> & { rows: number })[] => {
  const rates = new Map<string, [Charge, ...Charge[]]>()
  // In one order everywhere, so that two transactions can't wait for each other.
  for (const charge of [...charges].sort((a, b) => (a.key < b.key ? -1 : 1))) {
    const rate = [charge.count, charge.windowMs, charge.cost, charge.keepMs].join()
    const same = rates.get(rate)
    if (same) same.push(charge)
    else rates.set(rate, [charge])
  }
  // Neither engine's way to say "at least 0" is the other's: (x + |x|) / 2 is both's.
  const left = '(rate_limit.level - (excluded.at - rate_limit.at) * CAST(? AS DOUBLE PRECISION))'
  return [...rates.values()].map((same) => {
    const [{ count, windowMs, cost, keepMs }] = same
    const rate = count / windowMs
    const room = cost === 0 ? unlimited : count - cost + tolerance
    const sql = `INSERT INTO rate_limit (key, level, at, expires_at) VALUES ${same.map(() => '(?, ?, ?, ?)').join(', ')}
       ON CONFLICT (key) DO UPDATE SET level = (${left} + ABS(${left})) / 2 + excluded.level, at = excluded.at, expires_at = excluded.expires_at
       WHERE ${left} <= CAST(? AS DOUBLE PRECISION)`
    const counts = same.flatMap(({ key }) => [key, cost, now, now + Math.max(windowMs, keepMs)])
    return { sql, values: [...counts, rate, rate, rate, room], rows: same.length }
  })
}

/** Counts acts that may be refused, all or none. Throws {@link LimitExceeded}, which undoes the transaction. Best at its end: on PostgreSQL it locks what others may wait for. */
export function* spend(charges: readonly Charge[], now: number): Steps<void> {
  for (const { rows: change, ...statement } of upserts(charges, now))
    yield { ...statement, want: 'nothing', must: { change, error: () => new LimitExceeded() } }
}

/** Counts what has happened and can't be refused any more; at the most up to the limit. */
export function* note(charges: readonly Charge[], now: number): Steps<void> {
  for (const { sql, values } of upserts(charges, now)) yield { sql, values, want: 'nothing' }
}

/** Counts what can be left undone; false where there is no room, and nothing is counted. One charge, so that there is no half of it. */
export function* spendIfRoom(charge: Charge, now: number): Steps<boolean> {
  let counted = 0
  for (const { sql, values } of upserts([charge], now)) counted += (yield { sql, values, want: 'changes' }).changes
  return counted === 1
}

export const limitStore = ({ read }: Runner) => ({
  /** What was counted under those of the keys that have a row. */
  limitStates: (keys: readonly string[]): Promise<Map<string, LimitState>> =>
    read(function* () {
      if (keys.length === 0) return new Map()
      const found = yield* rows<{ key: string; level: number; at: number }>(
        `SELECT key, level, at FROM rate_limit WHERE key IN (${keys.map(() => '?').join(', ')})`,
        ...keys,
      )
      return new Map(found.map(({ key, level, at }) => [key, { level, at }]))
    }),
})
