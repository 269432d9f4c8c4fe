import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMaintenance } from '../../src/issuance/maintenance.js'
import type { Order } from '../../src/model.js'
import { addAccount, auditEntry, day, id, makeAuthorization, makeOrder, makeReservation, now, onEachEngine, silent } from './fixtures.js'

onEachEngine('pruning', (_, store) => {
  /** An order that expired so many days ago. */
  const expired = async (daysAgo: number, more: Partial<Order> = {}): Promise<Order> => {
    const account = await addAccount(store())
    const expiresAt = now - daysAgo * day
    const order = makeOrder(account.id, [makeAuthorization(account.id, 'example.com', { expiresAt })], { expiresAt, ...more })
    await store().createOrder(order, [], auditEntry())
    return order
  }
  const fulfilled = async (certificateExpiredDaysAgo: number): Promise<Order> => {
    const order = await expired(200)
    const reservation = makeReservation({ orderId: order.id, accountId: order.accountId, notAfter: now - certificateExpiredDaysAgo * day })
    await store().claimOrder(order.id, now, new Uint8Array(1), auditEntry(), reservation)
    await store().storeCertificate(reservation.serial, Buffer.from(reservation.serial), auditEntry())
    return { ...order, certificateSerial: reservation.serial }
  }
  const isThere = async ({ id: orderId }: Order): Promise<boolean> => (await store().orderById(orderId)) !== null
  const authorizationOf = (order: Order) => store().authorizationById(order.authorizations[0]?.id as string)

  test('old orders and their authorizations go; recent ones, unfinished ones, those with a living certificate, and every certificate stay', async () => {
    const old = await expired(31)
    const recent = await expired(29)
    const failed = await expired(31)
    await store().claimOrder(failed.id, now, new Uint8Array(1), auditEntry())
    await store().failOrder(failed.id, { type: 'x', detail: 'x', status: 400 }, auditEntry())
    const stalled = await expired(300)
    await store().claimOrder(stalled.id, now, new Uint8Array(1), auditEntry())
    const living = await fulfilled(-10)
    const justExpired = await fulfilled(89)
    const longExpired = await fulfilled(91)
    const audits = (await store().auditLog({ limit: 1000 })).length

    const maintain = createMaintenance(store(), silent)
    const pruned = await maintain(now)
    assert.deepEqual(pruned, { nonces: 0, orders: 3, authorizations: 3, limits: 0, mails: 0 })
    for (const order of [old, failed, longExpired]) assert.deepEqual([await isThere(order), await authorizationOf(order)], [false, null])
    for (const order of [recent, stalled, living, justExpired])
      assert.deepEqual([await isThere(order), (await authorizationOf(order)) !== null], [true, true])
    assert.ok(await store().certificateBySerial(longExpired.certificateSerial as string))
    assert.equal((await store().auditLog({ limit: 1000 })).length, audits)
    assert.deepEqual(await maintain(now), { nonces: 0, orders: 0, authorizations: 0, limits: 0, mails: 0 })
  })

  test('an authorization stays while an order shows it or it can be used', async () => {
    const account = await addAccount(store())
    const shared = makeAuthorization(account.id, 'shared.example.com', { expiresAt: now - 40 * day })
    const old = makeOrder(account.id, [shared], { expiresAt: now - 40 * day })
    const fresh = makeOrder(account.id, [shared], { expiresAt: now + day })
    const usable = makeAuthorization(account.id, 'usable.example.com', { expiresAt: now + day })
    await store().createOrder(old, [], auditEntry())
    await store().createOrder(fresh, [shared.id], auditEntry())
    await store().createAuthorization(usable, auditEntry())
    await createMaintenance(store(), silent)(now)
    assert.equal(await isThere(old), false)
    assert.deepEqual((await store().orderById(fresh.id))?.authorizations.length, 1)
    assert.ok(await store().authorizationById(usable.id))
  })

  test('a walk goes through the table in batches and begins again', async () => {
    const orders: Order[] = []
    for (let i = 0; i < 25; i++) orders.push(await expired(i % 2 ? 31 : 1))
    const before = { orderExpiry: now - 30 * day, certificateExpiry: 0, authorizationExpiry: 0 }
    let pruned = 0
    let batches = 0
    for (let after: string | null = ''; after !== null; batches++) {
      const result: { next: string | null; pruned: number } = await store().pruneOrders(after, 10, before)
      pruned += result.pruned
      after = result.next
    }
    assert.equal(pruned, 12)
    assert.ok(batches >= 3)
    assert.equal((await Promise.all(orders.map(isThere))).filter(Boolean).length, 13)
  })

  test('limits go when they say nothing any more', async () => {
    const [done, running] = [id(), id()]
    const account = await addAccount(store())
    const charge = { count: 1, windowMs: 1000, cost: 1 as const, keepMs: 0 }
    const order = makeOrder(account.id, [makeAuthorization(account.id, 'example.com')])
    await store().createOrder(order, [], auditEntry(), {
      charges: [
        { ...charge, key: done },
        { ...charge, key: running, keepMs: day },
      ],
    })
    assert.equal((await createMaintenance(store(), silent)(now + 2000)).limits, 1)
    assert.deepEqual([...(await store().limitStates([done, running])).keys()], [running])
  })
})
