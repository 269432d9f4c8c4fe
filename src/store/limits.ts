/**
 * Rate limits as GCRA keeps them (the virtual scheduling of ITU-T I.371 Annex A.1, a leaky bucket in one number): for each thing that is counted one row with the theoretical
 * arrival time, changed by one conditional upsert within the transaction of the act that it counts. So a crash loses nothing and counts nothing twice, and all nodes
 * see the same. What the numbers mean to people is in issuance/limits.ts.
 */
import { change, type Runner, rows, type Steps } from './sql.js'

/** One act that counts against a limit of `burstMs / emissionMs` acts in `burstMs`. */
export type Charge = {
  /** The limit and what it counts by, e.g. `ordersPerAccount:<id>`. */
  key: string
  /** What one act costs, in milliseconds of waiting; whole, so that sums stay exact. */
  emissionMs: number
  burstMs: number
}

/** A limit was reached by another request in between. */
export class LimitExceeded extends Error {
  constructor() {
    super('a rate limit was reached meanwhile')
  }
}

/** Counts the acts; gives how many rows had room for theirs. Charges of equal rates share a statement. */
function* upsert(charges: readonly Charge[], now: number): Steps<number> {
  const rates = new Map<string, [Charge, ...Charge[]]>()
  // In one order everywhere, so that two transactions can't wait for each other.
  for (const charge of [...charges].sort((a, b) => (a.key < b.key ? -1 : 1))) {
    const rate = `${charge.emissionMs}/${charge.burstMs}`
    const same = rates.get(rate)
    if (same) same.push(charge)
    else rates.set(rate, [charge])
  }
  let counted = 0
  for (const same of rates.values()) {
    const [{ emissionMs, burstMs }] = same
    counted += yield* change(
      `INSERT INTO rate_limit (key, tat) VALUES ${same.map(() => '(?, ?)').join(', ')}
       ON CONFLICT (key) DO UPDATE SET tat = CASE WHEN rate_limit.tat > ? THEN rate_limit.tat + ? ELSE excluded.tat END WHERE rate_limit.tat <= ?`,
      ...same.flatMap(({ key }) => [key, now + emissionMs]),
      now,
      emissionMs,
      now + burstMs - emissionMs,
    )
  }
  return counted
}

/** Counts acts that may be refused, all or none. Throws {@link LimitExceeded}, which undoes the transaction. Best at its end: on PostgreSQL it locks what others may wait for. */
export function* spend(charges: readonly Charge[], now: number): Steps<void> {
  if (charges.length > 0 && (yield* upsert(charges, now)) < charges.length) throw new LimitExceeded()
}

/** Counts what has happened and can't be refused any more; at the most up to the limit. */
export function* note(charges: readonly Charge[], now: number): Steps<void> {
  if (charges.length > 0) yield* upsert(charges, now)
}

export const limitStore = ({ read, writeOne }: Runner) => ({
  /** The theoretical arrival times of those keys that have one. */
  limitStates: (keys: readonly string[]): Promise<Map<string, number>> =>
    read(function* () {
      if (keys.length === 0) return new Map()
      const found = yield* rows<{ key: string; tat: number }>(`SELECT key, tat FROM rate_limit WHERE key IN (${keys.map(() => '?').join(', ')})`, ...keys)
      return new Map(found.map(({ key, tat }) => [key, tat]))
    }),

  /** Forgets what was counted under a key. False where nothing was. */
  resetLimit: (key: string): Promise<boolean> =>
    writeOne(function* () {
      return (yield* change('DELETE FROM rate_limit WHERE key = ?', key)) === 1
    }),
})
