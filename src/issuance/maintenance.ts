/** Clean-up of what nobody needs any more. Certificates, revocations, accounts and the audit log stay for ever. */
import type { Log } from '../log.js'
import type { PruneBefore, Pruned, Store } from '../store/store.js'

const DAY_MS = 86_400_000

/** How long things are kept after their end. */
export type Retention = {
  /** Orders that came to nothing, after they expired. */
  ordersMs: number
  /** Orders with a certificate, after that expired. */
  fulfilledOrdersMs: number
  /** Authorizations, after they expired and no order is left that shows them. */
  authorizationsMs: number
  /** Mails, after they were of any use. */
  mailsMs: number
}

export const defaultRetention: Retention = {
  ordersMs: 30 * DAY_MS,
  fulfilledOrdersMs: 90 * DAY_MS,
  authorizationsMs: 30 * DAY_MS,
  mailsMs: 90 * DAY_MS,
}

const BATCH = 500
/** Batches of each table in one round: what a minute's rest between rounds leaves is swept in the next. */
const BATCHES = 20

type PruningStore = Pick<Store, 'pruneNonces' | 'pruneOrders' | 'pruneAuthorizations' | 'pruneLimits' | 'pruneMails'>

/**
 * A walk through the tables, some batches each time that it is called; at the end of a table it begins again. Gives what was pruned in this round.
 * Others have their turn between two batches.
 */
export const createMaintenance = (store: PruningStore, log: Log, retention = defaultRetention) => {
  const cursors = { orders: '', authorizations: '', limits: '', mails: '' }

  const walk = async (table: keyof typeof cursors, prune: (after: string) => Promise<Pruned>): Promise<number> => {
    let pruned = 0
    for (let batch = 0; batch < BATCHES; batch++) {
      const result = await prune(cursors[table])
      pruned += result.pruned
      cursors[table] = result.next ?? ''
      if (result.next === null) break
    }
    return pruned
  }

  return async (now: number): Promise<Record<'nonces' | keyof typeof cursors, number>> => {
    const before: PruneBefore = {
      orderExpiry: now - retention.ordersMs,
      certificateExpiry: now - retention.fulfilledOrdersMs,
      authorizationExpiry: now - retention.authorizationsMs,
    }
    const pruned = {
      nonces: await store.pruneNonces(now),
      orders: await walk('orders', (after) => store.pruneOrders(after, BATCH, before)),
      authorizations: await walk('authorizations', (after) => store.pruneAuthorizations(after, BATCH, before)),
      limits: await walk('limits', (after) => store.pruneLimits(after, BATCH, now)),
      mails: await walk('mails', (after) => store.pruneMails(after, BATCH, now - retention.mailsMs)),
    }
    if (pruned.orders + pruned.authorizations > 0) log.info(pruned, 'old orders and authorizations were pruned')
    return pruned
  }
}
