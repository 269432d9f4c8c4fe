import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Charge, LimitExceeded, levelAt } from '../../src/store/store.js'
import { addAccount, addOrder, auditEntry, day, id, makeAccount, makeAuthorization, makeOrder, now, onEachEngine } from './fixtures.js'

const hour = 3_600_000
const charge = (key: string, count: number, more: Partial<Charge> = {}): Charge => ({ key, count, windowMs: hour, cost: 1, keepMs: 0, ...more })

onEachEngine('limits', (database, store) => {
  const order = async (charges: Charge[], at = now): Promise<'stored' | 'refused'> => {
    const account = await addAccount(store())
    const made = makeOrder(account.id, [makeAuthorization(account.id, 'example.com')], { createdAt: at })
    try {
      await store().createOrder(made, [], auditEntry(), { charges })
      return 'stored'
    } catch (error) {
      assert.ok(error instanceof LimitExceeded, String(error))
      assert.equal(await store().orderById(made.id), null)
      return 'refused'
    }
  }

  test('as many as the limit says, then one for each part of the time', async () => {
    const key = id()
    for (let i = 0; i < 4; i++) assert.equal(await order([charge(key, 4)]), 'stored')
    assert.equal(await order([charge(key, 4)]), 'refused')
    assert.equal(await order([charge(key, 4)], now + hour / 4 - 1000), 'refused')
    assert.equal(await order([charge(key, 4)], now + hour / 4), 'stored')
    assert.equal(await order([charge(key, 4)], now + hour / 4), 'refused')
    for (let i = 0; i < 4; i++) assert.equal(await order([charge(key, 4)], now + day), 'stored')
    assert.equal(await order([charge(key, 4)], now + day), 'refused')
  })

  test('a limit that is changed means what it says at once', async () => {
    const key = id()
    for (let i = 0; i < 2; i++) await order([charge(key, 2)])
    for (let i = 0; i < 3; i++) assert.equal(await order([charge(key, 5)]), 'stored')
    assert.equal(await order([charge(key, 5)]), 'refused')
    assert.equal(await order([charge(key, 3)], now + hour / 2), 'refused')
  })

  test('all limits of an act or none', async () => {
    const [full, free] = [id(), id()]
    await order([charge(full, 1)])
    assert.equal(await order([charge(free, 9), charge(full, 1)]), 'refused')
    assert.deepEqual([...(await store().limitStates([free, full, id()])).keys()], [full])
    const many = Array.from({ length: 30 }, (_, i) => charge(`${free}${i}`, 2 + (i % 3)))
    assert.equal(await order(many), 'stored')
    assert.equal((await store().limitStates(many.map(({ key }) => key))).size, 30)
  })

  test('of many at once as many get through as there is room for, also through two connections', async () => {
    const key = id()
    const other = await database.open()
    const account = await addAccount(store())
    const results = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) =>
        (i % 2 ? store() : other).createOrder(makeOrder(account.id, [makeAuthorization(account.id, 'example.com')]), [], auditEntry(), {
          charges: [charge(key, 7), charge(`${key}-other`, 100)],
        }),
      ),
    )
    await other.close()
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 7)
    const states = await store().limitStates([key, `${key}-other`])
    assert.deepEqual(
      [...states.values()].map((state) => Math.round(levelAt(state, now, { count: 7, windowMs: hour }))),
      [7, 7],
    )
  })

  test('clocks that differ between nodes, and one that is set back, lose nothing', async () => {
    const key = id()
    for (const skew of [0, 500, -500, 250]) assert.equal(await order([charge(key, 4)], now + skew), 'stored')
    assert.equal(await order([charge(key, 4)], now - 60_000), 'refused')
    assert.equal(await order([charge(key, 4)], now + 1000), 'refused')
  })

  test('a trace uses nothing up', async () => {
    const key = id()
    for (let i = 0; i < 3; i++) assert.equal(await order([charge(key, 1, { cost: 0, keepMs: 400 * day })]), 'stored')
    assert.equal(await order([charge(key, 1)]), 'stored')
    assert.equal(await order([charge(key, 1)]), 'refused')
  })

  test('accounts count, those that exist do not; certificates count where they are claimed', async () => {
    const key = id()
    const account = makeAccount()
    await store().createAccount(account, auditEntry(), [charge(key, 1)])
    assert.equal((await store().createAccount(account, auditEntry(), [charge(key, 1)])).created, false)
    await assert.rejects(store().createAccount(makeAccount(), auditEntry(), [charge(key, 1)]), LimitExceeded)
    const [one, two] = [(await addOrder(store())).order, (await addOrder(store())).order]
    const claim = (orderId: string) => store().claimOrder(orderId, now, new Uint8Array(1), auditEntry(), undefined, [charge(`${key}-c`, 1)])
    assert.equal(await claim(one.id), true)
    assert.equal(await claim(one.id), false)
    await assert.rejects(claim(two.id), LimitExceeded)
    assert.equal((await store().orderById(two.id))?.claimedAt, null)
  })

  test('a failure is recorded whether there is room or not', async () => {
    const key = id()
    for (let i = 0; i < 3; i++) {
      const { challenge } = await addOrder(store())
      await store().startChallenge(challenge.id, now, auditEntry())
      const failed = { status: 'invalid' as const, error: { type: 'x', detail: 'x', status: 403 } }
      assert.equal(await store().completeChallenge(challenge.id, failed, auditEntry(), [charge(key, 2)]), true)
    }
    const state = (await store().limitStates([key])).get(key)
    assert.ok(state && Math.abs(state.level - 2) < 0.001)
  })

  test('one order replaces a certificate, of many at once', async () => {
    const account = await addAccount(store())
    const replaces = id()
    const make = () => makeOrder(account.id, [makeAuthorization(account.id, 'example.com')], { replaces })
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => store().createOrder(make(), [], auditEntry(), { isTaken: () => true })))
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    for (const result of results) if (result.status === 'rejected') assert.equal(result.reason.code, 'alreadyReplaced')
    await store().createOrder(make(), [], auditEntry(), { isTaken: () => false })
    assert.equal((await store().orderById((await addOrder(store())).order.id))?.replaces, null)
  })
})
