/**
 * Clean-up. Tables are walked by their primary key, a batch at a time, from wherever the last walk ended: no index is needed that every order would pay for, no batch holds
 * up anybody for long, and a walk that is cut off is simply begun again. Certificates, revocations, accounts and the audit log are never pruned.
 */
import { change, type Runner, row, type Steps } from './sql.js'

/** What of an order or authorization may go. All in milliseconds since the epoch. */
export type PruneBefore = {
  /** Orders without a certificate that expired before. */
  orderExpiry: number
  /** Orders whose certificate expired before. */
  certificateExpiry: number
  /** Authorizations that expired before and belong to no order. */
  authorizationExpiry: number
}

/** `next`: where to go on; null at the end of the table. */
export type Pruned = { next: string | null; pruned: number }

/** Deletes from the `batch` rows after `after` those that `condition` (about columns of the table itself) is true of. */
export function* pruneBatch(table: string, key: string, after: string, batch: number, condition: string, values: number[]): Steps<Pruned> {
  const end = yield* row<{ last: string | null; seen: number }>(
    `SELECT MAX(${key}) AS last, COUNT(*) AS seen FROM (SELECT ${key} FROM "${table}" WHERE ${key} > ? ORDER BY ${key} LIMIT ?) AS batch`,
    after,
    batch,
  )
  if (!end || end.last === null) return { next: null, pruned: 0 }
  const pruned = yield* change(`DELETE FROM "${table}" WHERE ${key} > ? AND ${key} <= ? AND (${condition})`, after, end.last, ...values)
  return { next: end.seen < batch ? null : end.last, pruned }
}

/** An order that was claimed and came to nothing yet is work to be resumed, however old. */
const orderIsOver = `(certificate_serial IS NULL AND (claimed_at IS NULL OR error IS NOT NULL) AND expires_at < ?)
  OR (certificate_serial IS NOT NULL AND (SELECT c.not_after FROM certificate c WHERE c.serial = certificate_serial) < ?)`

const authorizationIsOver = `expires_at < ? AND NOT EXISTS (SELECT 1 FROM order_authorization l WHERE l.authorization_id = "authorization".id)`

export const pruningStore = ({ writeOne, write }: Runner) => ({
  /** Prunes among the `batch` orders after the id `after` ('' to begin with). */
  pruneOrders: (after: string, batch: number, before: PruneBefore): Promise<Pruned> =>
    write(() => pruneBatch('order', 'id', after, batch, orderIsOver, [before.orderExpiry, before.certificateExpiry])),

  /** The same for authorizations, with their challenges. */
  pruneAuthorizations: (after: string, batch: number, before: PruneBefore): Promise<Pruned> =>
    write(() => pruneBatch('authorization', 'id', after, batch, authorizationIsOver, [before.authorizationExpiry])),

  /** Forgets what was counted against rate limits and says nothing any more at `now`. */
  pruneLimits: (after: string, batch: number, now: number): Promise<Pruned> =>
    writeOne(() => pruneBatch('rate_limit', 'key', after, batch, 'expires_at < ?', [now])),
})
