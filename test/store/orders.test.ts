import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Authorization, Challenge } from '../../src/model.js'
import type { Store } from '../../src/store/store.js'
import { addAccount, addOrder, auditEntry, day, id, makeAuthorization, makeOrder, makeReservation, now, onEachEngine } from './fixtures.js'

const problem = { type: 'urn:ietf:params:acme:error:connection', detail: 'No answer from romeo.example.', status: 400 }

/** Validates an authorization through its first challenge. */
const validate = async (store: Store, authorization: Authorization, expiresAt: number) => {
  const { id: challengeId } = authorization.challenges[0] as Challenge
  await store.startChallenge(challengeId, now, auditEntry())
  await store.completeChallenge(challengeId, { status: 'valid', validatedAt: now, authorizationExpiresAt: expiresAt }, auditEntry())
}

onEachEngine('orders', (_, store) => {
  test('an order comes back as it was stored, names in their order', async () => {
    const account = await addAccount(store())
    const authorizations = ['zeta.example', 'alpha.example', 'alpha.example'].map((value, n) =>
      makeAuthorization(account.id, value, { wildcard: n === 2 }),
    )
    const order = makeOrder(account.id, authorizations, { notBefore: now, notAfter: now + day })
    await store().createOrder(order, [], auditEntry())
    assert.deepEqual(await store().orderById(order.id), order)
    assert.deepEqual(await store().authorizationById(authorizations[1]?.id as string), authorizations[1])
    assert.equal(await store().orderById(id()), null)
    assert.equal(await store().authorizationById(id()), null)
  })

  test('an order of a hundred names', async () => {
    const account = await addAccount(store())
    const order = makeOrder(
      account.id,
      Array.from({ length: 100 }, (_unused, n) => makeAuthorization(account.id, `n${n}.example`)),
    )
    await store().createOrder(order, [], auditEntry())
    assert.deepEqual(await store().orderById(order.id), order)
  })

  test('an order shares reused authorizations', async () => {
    const { account, authorization } = await addOrder(store())
    const fresh = makeAuthorization(account.id, 'fresh.example')
    const order = makeOrder(account.id, [authorization, fresh])
    await store().createOrder(order, [authorization.id], auditEntry())
    assert.deepEqual(await store().orderById(order.id), order)
  })

  test('only validated, living authorizations of the account are reusable, the longest-lived one', async () => {
    const account = await addAccount(store())
    const make = async (expiresAt: number, wildcard = false) => {
      const authorization = makeAuthorization(account.id, 'reuse.example', { wildcard })
      await store().createOrder(makeOrder(account.id, [authorization]), [], auditEntry())
      await validate(store(), authorization, expiresAt)
      return authorization.id
    }
    const wanted = [{ identifier: { type: 'dns', value: 'reuse.example' } as const, wildcard: false }]
    const reusable = async (accountId = account.id) => (await store().reusableAuthorizations(accountId, wanted, now)).map((a) => a.id)
    await make(now)
    await make(now + day, true)
    assert.deepEqual(await reusable(), [])
    const short = await make(now + day)
    assert.deepEqual(await reusable(), [short])
    const long = await make(now + 2 * day)
    assert.deepEqual(await reusable(), [long])
    assert.deepEqual(await reusable(id()), [])
    assert.equal(await store().deactivateAuthorization(long, now, auditEntry()), true)
    assert.equal(await store().deactivateAuthorization(long, now, auditEntry()), false)
    assert.deepEqual(await reusable(), [short])
  })

  test('pages of orders, newest first', async () => {
    const account = await addAccount(store())
    const ids: string[] = []
    for (let n = 0; n < 5; n++) {
      const order = makeOrder(account.id, [], { createdAt: now + Math.floor(n / 2) })
      await store().createOrder(order, [], auditEntry())
      ids.push(order.id)
    }
    const paged: string[] = []
    for (let next: string | null = null; ; ) {
      const page = await store().ordersOfAccount(account.id, next, 2)
      paged.push(...page.ids)
      next = page.next
      if (next === null) break
    }
    assert.equal(paged[0], ids[4])
    assert.deepEqual([...paged].sort(), [...ids].sort())
  })

  test('an order is claimed once, with its reservation', async () => {
    const { order } = await addOrder(store())
    const csr = new Uint8Array([1, 2, 3])
    const claims = await Promise.all(
      Array.from({ length: 8 }, () => store().claimOrder(order.id, now + 5, csr, auditEntry(), makeReservation({ orderId: order.id }))),
    )
    assert.equal(claims.filter(Boolean).length, 1)
    assert.deepEqual(await store().orderById(order.id), { ...order, claimedAt: now + 5, csr })
  })

  test('a claim whose serial is taken leaves nothing', async () => {
    const { order } = await addOrder(store())
    const reservation = makeReservation()
    await store().reserveCertificate(reservation)
    await assert.rejects(store().claimOrder(order.id, now, new Uint8Array(1), auditEntry(), reservation), { code: 'serverInternal' })
    assert.deepEqual(await store().orderById(order.id), order)
  })

  test('a stalled order is found and taken over by one', async () => {
    const { order } = await addOrder(store())
    await store().claimOrder(order.id, now - 100_000, new Uint8Array(1), auditEntry())
    const stalled = await store().stalledOrders(now - 50_000, 10)
    assert.deepEqual(
      stalled.map((o) => o.id),
      [order.id],
    )
    assert.deepEqual(stalled[0]?.authorizations, order.authorizations)
    const takeovers = await Promise.all(Array.from({ length: 4 }, () => store().reclaimOrder(order.id, now - 100_000, now)))
    assert.equal(takeovers.filter(Boolean).length, 1)
    assert.deepEqual(await store().stalledOrders(now - 50_000, 10), [])
    assert.equal(await store().failOrder(order.id, problem, auditEntry()), true)
    assert.ok(!(await store().stalledOrders(now + day, 10)).some((o) => o.id === order.id))
  })

  test('a failed order keeps its first error and can be neither claimed nor given a certificate', async () => {
    const { account, order } = await addOrder(store())
    const reservation = makeReservation({ orderId: order.id, accountId: account.id })
    await store().reserveCertificate(reservation)
    assert.equal(await store().failOrder(order.id, problem, auditEntry()), true)
    assert.equal(await store().failOrder(order.id, { ...problem, detail: 'another' }, auditEntry()), false)
    assert.equal(await store().claimOrder(order.id, now, new Uint8Array(1), auditEntry()), false)
    assert.equal(await store().storeCertificate(reservation.serial, new Uint8Array(9), auditEntry()), false)
    assert.equal(await store().certificateBySerial(reservation.serial), null)
    assert.deepEqual((await store().orderById(order.id))?.error, problem)
  })
})

onEachEngine('challenges', (_, store) => {
  test('start: counts and leases the first attempt, once, and only one of the authorization', async () => {
    const { authorization, account, challenge } = await addOrder(store())
    const [first, second] = authorization.challenges.map((c) => c.id) as [string, string]
    const started = await Promise.all([first, second, first, second].map((c) => store().startChallenge(c, now + 30, auditEntry())))
    assert.equal(started.filter(Boolean).length, 1)
    assert.deepEqual(await store().challengeById(id()), null)
    const found = await store().challengeById(started.indexOf(true) % 2 === 0 ? first : second)
    assert.equal(found?.challenge.type, started.indexOf(true) % 2 === 0 ? challenge.type : 'http-01')
    assert.deepEqual([found?.challenge.status, found?.challenge.attempts, found?.challenge.nextAttemptAt], ['processing', 1, now + 30])
    assert.deepEqual(found?.account, account)
    assert.deepEqual(found?.authorization.challenges.length, 2)
  })

  test('lease: only when due, to one worker; who gives it back gives the attempt back, too', async () => {
    const { challenge, account } = await addOrder(store())
    await store().startChallenge(challenge.id, now + 30, auditEntry())
    assert.equal(await store().leaseChallenge(challenge.id, now + 29, now + 60), null)
    const leases = await Promise.all(Array.from({ length: 4 }, () => store().leaseChallenge(challenge.id, now + 30, now + 60)))
    assert.equal(leases.filter(Boolean).length, 1)
    assert.equal(leases.find(Boolean)?.challenge.attempts, 2)
    const isDue = async (at: number, except?: string[]) => (await store().dueChallenges(at, 100, except)).some(({ id }) => id === challenge.id)
    assert.equal(await isDue(now + 59), false)
    assert.equal(await store().returnChallenge(challenge.id, now + 30, now + 40), false, 'a lease that has ended')
    assert.equal(await store().returnChallenge(challenge.id, now + 60, now + 40), true)
    assert.deepEqual([await isDue(now + 40), await isDue(now + 40, [account.id]), await isDue(now + 40, [id()])], [true, false, true])
    assert.equal((await store().challengeById(challenge.id))?.challenge.attempts, 1)
  })

  test('due challenges come oldest first', async () => {
    const made = await Promise.all(Array.from({ length: 3 }, () => addOrder(store())))
    for (const [n, { challenge }] of made.entries()) await store().startChallenge(challenge.id, now - 10 - n, auditEntry())
    const due = await store().dueChallenges(now - 10, 2)
    assert.deepEqual(
      due,
      [made[2], made[1]].map((one) => ({ id: one?.challenge.id, accountId: one?.account.id })),
    )
  })

  test('retry keeps it processing and shows the error', async () => {
    const { challenge } = await addOrder(store())
    assert.equal(await store().retryChallenge(challenge.id, now + 90, problem, auditEntry()), false)
    await store().startChallenge(challenge.id, now + 30, auditEntry())
    assert.equal(await store().retryChallenge(challenge.id, now + 90, problem, auditEntry()), true)
    const found = await store().challengeById(challenge.id)
    assert.deepEqual([found?.challenge.status, found?.challenge.error, found?.challenge.nextAttemptAt], ['processing', problem, now + 90])
  })

  test('valid sets the authorization’s life; a result is final', async () => {
    const { challenge, authorization } = await addOrder(store())
    const valid = { status: 'valid', validatedAt: now + 1, authorizationExpiresAt: now + 9 * day } as const
    assert.equal(await store().completeChallenge(challenge.id, valid, auditEntry()), false)
    await store().startChallenge(challenge.id, now + 30, auditEntry())
    assert.equal(await store().completeChallenge(challenge.id, valid, auditEntry()), true)
    assert.equal(await store().completeChallenge(challenge.id, { status: 'invalid', error: problem }, auditEntry()), false)
    const found = await store().authorizationById(authorization.id)
    assert.equal(found?.expiresAt, now + 9 * day)
    assert.deepEqual(found?.challenges[0], { ...challenge, status: 'valid', attempts: 1, validatedAt: now + 1 })
  })

  test('invalid keeps the error', async () => {
    const { challenge } = await addOrder(store())
    await store().startChallenge(challenge.id, now + 30, auditEntry())
    assert.equal(await store().completeChallenge(challenge.id, { status: 'invalid', error: problem }, auditEntry()), true)
    const found = await store().challengeById(challenge.id)
    assert.deepEqual([found?.challenge.status, found?.challenge.error, found?.challenge.nextAttemptAt], ['invalid', problem, null])
  })
})
