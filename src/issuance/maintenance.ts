/** Clean-up of what nobody needs any more. Certificates, revocations, accounts and the audit log stay for ever. */
import { setTimeout } from 'node:timers/promises'
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

/** Rows that are judged at once: on SQLite everything else waits, up to twenty milliseconds where they are not in memory. */
const BATCH = 100
/** Batches of a table in one round that find nothing; the next round goes on from there. As long as there is something to prune, a round goes on. */
const IDLE_BATCHES = 500
/** Between two batches: what else the program has to do comes first. */
const REST_MS = 5

type PruningStore = Pick<Store, 'pruneNonces' | 'pruneOrders' | 'pruneAuthorizations' | 'pruneLimits' | 'pruneMails'>

/**
 * A walk through the tables, some batches each time that it is called, or as many as there is something to prune; at the end of a table it begins again. Gives what was
 * pruned in this round, which ends early where `stopping` aborts. Others have their turn between two batches.
 */
export const createMaintenance = (store: PruningStore, log: Log, retention = defaultRetention) => {
  const cursors = { orders: '', authorizations: '', limits: '', mails: '' }

  const walk = async (table: keyof typeof cursors, prune: (after: string) => Promise<Pruned>, stopping?: AbortSignal): Promise<number> => {
    let pruned = 0
    for (let idle = 0; idle < IDLE_BATCHES && !stopping?.aborted; ) {
      const result = await prune(cursors[table])
      pruned += result.pruned
      cursors[table] = result.next ?? ''
      if (result.next === null) break
      idle = result.pruned === 0 ? idle + 1 : 0
      await setTimeout(REST_MS)
    }
    return pruned
  }

  return async (now: number, stopping?: AbortSignal): Promise<Record<'nonces' | keyof typeof cursors, number>> => {
    const before: PruneBefore = {
      orderExpiry: now - retention.ordersMs,
      certificateExpiry: now - retention.fulfilledOrdersMs,
      authorizationExpiry: now - retention.authorizationsMs,
    }
    const pruned = {
      nonces: await store.pruneNonces(now),
      orders: await walk('orders', (after) => store.pruneOrders(after, BATCH, before), stopping),
      authorizations: await walk('authorizations', (after) => store.pruneAuthorizations(after, BATCH, before), stopping),
      limits: await walk('limits', (after) => store.pruneLimits(after, BATCH, now), stopping),
      mails: await walk('mails', (after) => store.pruneMails(after, BATCH, now - retention.mailsMs), stopping),
    }
    if (pruned.orders + pruned.authorizations > 0) log.info(pruned, 'old orders and authorizations were pruned')
    return pruned
  }
}
