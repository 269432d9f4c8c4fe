/** How far a round of the clean-up goes; what it may delete is tried on databases in test/store/pruning.test.ts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMaintenance } from '../../src/issuance/maintenance.js'
import type { Pruned } from '../../src/store/store.js'
import { silent } from '../store/fixtures.js'

/** Tables that are empty but for the orders: `fruitful` batches with something to prune, then `barren` ones. */
const tables = (fruitful: number, barren: number) => {
  const empty = async (): Promise<Pruned> => ({ next: null, pruned: 0 })
  const seen = { batches: 0, others: 0 }
  return {
    seen,
    pruneNonces: async () => 0,
    pruneOrders: async (after: string): Promise<Pruned> => {
      const at = Number(after)
      seen.batches++
      setImmediate(() => seen.others++)
      return { next: at + 1 < fruitful + barren ? String(at + 1) : null, pruned: at < fruitful ? 500 : 0 }
    },
    pruneAuthorizations: empty,
    pruneLimits: empty,
    pruneMails: empty,
  }
}

test('a backlog is pruned in one round, with a turn for others after each batch', async () => {
  const store = tables(150, 0)
  assert.equal((await createMaintenance(store, silent)(0)).orders, 75_000)
  assert.deepEqual([store.seen.batches, store.seen.others >= 149], [150, true])
})

test('a round ends where it finds nothing for long, and the next one goes on from there', async () => {
  const store = tables(1, 550)
  const maintain = createMaintenance(store, silent)
  assert.equal((await maintain(0)).orders, 500)
  assert.equal(store.seen.batches, 501)
  assert.equal((await maintain(0)).orders, 0)
  assert.equal(store.seen.batches, 551)
  assert.equal((await maintain(0)).orders, 500, 'from the beginning again')
})

test('a round ends soon when the program stops', async () => {
  const store = tables(10_000, 0)
  const stopping = new AbortController()
  const round = createMaintenance(store, silent)(0, stopping.signal)
  setTimeout(() => stopping.abort(), 30)
  assert.ok((await round).orders > 0)
  assert.ok(store.seen.batches < 100)
})
