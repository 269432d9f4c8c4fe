import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as pkijs from 'pkijs'
import { createCrlWatch } from '../../src/issuance/crl-watch.js'
import { createCrlPublisher } from '../../src/issuance/crls.js'
import { concat } from '../../src/pki/der.js'
import type { CrlFacts, RevokedEntry } from '../../src/store/store.js'
import { saveCrl } from '../store/fixtures.js'
import { day, hour, start, testClock, testHierarchy, testLog, testStore } from './fixture.js'

const { root, intermediate } = await testHierarchy()

const setUp = (change: Partial<Parameters<typeof createCrlPublisher>[0]> = {}, store = testStore()) => {
  const clock = testClock()
  const log = testLog()
  const published: string[] = []
  const sources = [
    { issuer: root, shards: [], shardUrls: () => assert.fail('the root has no shards') },
    { issuer: intermediate, shards: [0, 1], shardUrls: (shard: number) => [`http://status.test/crl/${intermediate.id}/${shard}.crl`] },
  ]
  const onPublished = ({ issuerId, shard, number }: CrlFacts) => void published.push(`${issuerId === root.id ? 'root' : (shard ?? 'all')} ${number}`)
  const publisher = createCrlPublisher({ clock, log, store, sources, onPublished, settings: { gatherMs: 5 }, ...change })
  return { clock, log, store, published, publisher, sources }
}

/** The serials on the current list. */
const listed = async (store: ReturnType<typeof testStore>, shard: number | null = null): Promise<string[]> => {
  const row = await store.currentCrl(intermediate.id, shard)
  assert.ok(row)
  const { revokedCertificates = [] } = pkijs.CertificateRevocationList.fromBER(concat(...row.der).slice().buffer)
  return revokedCertificates.map(({ userCertificate }) => Buffer.from(userCertificate.valueBlock.valueHexView).toString('hex').replace(/^00/, ''))
}

/** Waits for what a timer began. */
const until = async (condition: () => boolean): Promise<void> => {
  for (let i = 0; i < 4000 && !condition(); i++) await sleep(5)
  assert.ok(condition())
}

const revocation = { revokedAt: start, reason: 'superseded' } as const

describe('the CRL publisher', () => {
  it('publishes every list at the start, then daily', async () => {
    const { clock, store, published, publisher } = setUp()
    await publisher.publishDue()
    assert.deepEqual(published, ['root 1', 'all 1', '0 1', '1 1'])
    const row = await store.currentCrl(intermediate.id, 1)
    const at = Math.floor(start / 1000) * 1000
    assert.deepEqual([row?.number, row?.thisUpdate, row?.nextUpdate], [1n, at, at + 7 * day])
    clock.pass(23 * hour)
    await publisher.publishDue()
    assert.equal(published.length, 4)
    clock.pass(hour)
    await publisher.publishDue()
    assert.deepEqual(published.slice(4), ['root 2', 'all 2', '0 2', '1 2'])
    assert.deepEqual(
      store.audits.slice(0, 3).map(({ action, subject, detail }) => [action, subject, detail.number, detail.entries]),
      [
        ['crl.published', `crl:${root.id}`, '1', 0],
        ['crl.published', `crl:${intermediate.id}`, '1', 0],
        ['crl.published', `crl:${intermediate.id}/0`, '1', 0],
      ],
    )
  })

  it('points a shard to its own URI and the complete list to none', async () => {
    const { store, publisher } = setUp()
    await publisher.publishDue()
    const text = async (shard: number | null) => Buffer.concat((await store.currentCrl(intermediate.id, shard))?.der ?? []).toString('latin1')
    assert.ok((await text(1)).includes(`http://status.test/crl/${intermediate.id}/1.crl`))
    assert.ok(!(await text(null)).includes('http://'))
  })

  it('says how far it is when it publishes on command, and only then', async () => {
    const seen: string[] = []
    const { store, publisher } = setUp({ onProgress: ({ list, lists, entries }) => void seen.push(`${list}/${lists}: ${entries}`) })
    for (const shard of [0, 0, 1]) store.revoke(store.issue(intermediate.id, { shard }), revocation)
    await publisher.publishDue()
    assert.deepEqual(seen, [])
    await publisher.publishAll()
    assert.deepEqual(seen, ['1/4: 0', '2/4: 0', '2/4: 1', '2/4: 2', '2/4: 3', '3/4: 0', '3/4: 1', '3/4: 2', '4/4: 0', '4/4: 1'])
  })

  it('publishes shard and complete list soon after a revocation, once for several', async () => {
    const { store, published, publisher } = setUp()
    await publisher.publishDue()
    const serials = [1, 1, 0].map((shard) => store.issue(intermediate.id, { shard }))
    for (const [i, serial] of serials.entries()) {
      store.revoke(serial, revocation)
      if (i < 2) publisher.publishAfterRevocation(intermediate.id, 1)
    }
    await until(() => published.length === 6)
    assert.deepEqual(published.slice(4), ['all 2', '1 2'])
    assert.deepEqual(await listed(store, 1), serials.slice(0, 2))
    assert.deepEqual(await listed(store), serials)
    assert.deepEqual(await listed(store, 0), [])
    await publisher.stop()
  })

  it('publishes once more for what is revoked while a list is made', async () => {
    const store = testStore()
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let reads = 0
    const revokedEntries: typeof store.revokedEntries = async function* (...list) {
      const all: RevokedEntry[][] = []
      for await (const batch of store.revokedEntries(...list)) all.push(batch)
      if (list[1] === 1 && ++reads === 2) await held
      yield* all
    }
    const { published, publisher } = setUp({ store: { ...store, revokedEntries } }, store)
    await publisher.publishDue()
    const [first, second] = [store.issue(intermediate.id, { shard: 1 }), store.issue(intermediate.id, { shard: 1 })]
    store.revoke(first, revocation)
    publisher.publishAfterRevocation(intermediate.id, 1)
    await until(() => reads === 2)
    store.revoke(second, revocation)
    publisher.publishAfterRevocation(intermediate.id, 1)
    release()
    await until(() => published.includes('1 3'))
    assert.deepEqual(await listed(store, 1), [first, second])
    await publisher.stop()
  })

  it('keeps an expired certificate for one further issue', async () => {
    const { clock, store, publisher } = setUp()
    const serial = store.issue(intermediate.id, { notAfter: start + 30 * hour })
    store.revoke(serial, revocation)
    const days: number[] = []
    for (let passed = 0; passed < 6; passed++) {
      await publisher.publishDue()
      days.push((await listed(store)).length)
      clock.pass(day)
    }
    // It expires after the second; the third is the first issued beyond its validity.
    assert.deepEqual(days, [1, 1, 1, 1, 0, 0])
  })

  it('tries again what failed, goes on with the others, and says so', async () => {
    const store = testStore()
    let broken = true
    const revokedEntries: typeof store.revokedEntries = async function* (...list) {
      if (broken && list[0] === intermediate.id && list[1] === null) throw new Error('disk')
      yield* store.revokedEntries(...list)
    }
    const { log, published, publisher } = setUp({ store: { ...store, revokedEntries } }, store)
    await publisher.publishDue()
    await publisher.publishDue()
    assert.deepEqual(published, ['root 1', '0 1', '1 1'])
    assert.equal(log.errors.length, 2)
    assert.deepEqual(
      publisher.states().map(({ shard, failures, number }) => [shard, failures, number]),
      [
        [null, 0, 1n],
        [null, 2, null],
        [0, 0, 1n],
        [1, 0, 1n],
      ],
    )
    await assert.rejects(publisher.publishAll(), /disk/)
    broken = false
    await publisher.publishDue()
    assert.ok(published.includes('all 4'), 'numbers that failed are not used again')
    assert.equal(publisher.states()[1]?.failures, 0)
  })

  it('survives a lost database', async () => {
    const { store, published, publisher, log } = setUp()
    store.state.fail = true
    await publisher.publishDue()
    assert.equal(log.errors.length, 1)
    store.state.fail = false
    await publisher.publishDue()
    assert.equal(published.length, 4)
  })

  it('leaves a list alone that another node has published meanwhile', async () => {
    const { clock, store, published, publisher } = setUp()
    await publisher.publishDue()
    clock.pass(day)
    const row = await store.currentCrl(root.id, null)
    assert.ok(row)
    await saveCrl(store, { ...row, number: 9n, thisUpdate: clock.now(), nextUpdate: clock.now() + day })
    await publisher.publishDue()
    assert.deepEqual(published.slice(4), ['all 2', '0 2', '1 2'])
    assert.equal(publisher.states()[0]?.number, 9n)
  })

  it('goes on with higher numbers, and is at rest, where an older database was restored', async () => {
    const store = testStore()
    const asked: (bigint | undefined)[] = []
    const nextCrlNumber: typeof store.nextCrlNumber = (issuerId, shard, atLeast) => {
      asked.push(atLeast)
      return store.nextCrlNumber(issuerId, shard)
    }
    const { clock, published, publisher } = setUp({ store: { ...store, nextCrlNumber } }, store)
    const revoke = (): void => store.revoke(store.issue(intermediate.id), revocation)
    revoke()
    revoke()
    await publisher.publishDue()
    assert.deepEqual(asked, Array(4).fill(BigInt(Math.floor(start / 1000))))
    publisher.publishAfterRevocation(intermediate.id, 0, 2)
    store.forgetRevocations(1)
    clock.pass(day)
    await publisher.publishDue()
    assert.equal(asked.at(-1), BigInt(Math.floor((start + day) / 1000)))
    const made = published.length
    await publisher.publishDue()
    assert.equal(published.length, made)
    await publisher.stop()
  })

  it('waits for its turn again where it lost it to another node, also on command', async () => {
    const store = testStore()
    let asked = 0
    const acquireLease: typeof store.acquireLease = async (...lease) => ++asked !== 3 && store.acquireLease(...lease)
    const { published, publisher } = setUp({ store: { ...store, acquireLease } }, store)
    await publisher.publishAll()
    assert.deepEqual([published.length, asked], [4, 6])
    await publisher.stop()
  })

  it('publishes what was revoked once, whichever of two nodes hears of it first', async () => {
    const { store, published, publisher, ...rest } = setUp()
    const other = createCrlPublisher({
      ...rest,
      store,
      onPublished: ({ number }) => void published.push(`other ${number}`),
      settings: { gatherMs: 5 },
    })
    await Promise.all([publisher.publishDue(), other.publishDue()])
    assert.equal(published.length, 4)
    await other.publishDue()
    for (const shard of [0, 1, 1]) {
      store.revoke(store.issue(intermediate.id, { shard }), revocation)
      const { seq } = (await store.revokedSince(0, 9)).at(-1) ?? assert.fail()
      for (const node of [other, publisher]) node.publishAfterRevocation(intermediate.id, shard, seq)
      await sleep(30)
      await Promise.all([publisher.publishDue(), other.publishDue()])
    }
    assert.equal(published.length, 4 + 3 * 2)
    await Promise.all([publisher.stop(), other.stop()])
  })

  it('takes over from a node that died while it published', async () => {
    const { clock, store, published, publisher } = setUp()
    assert.ok(await store.acquireLease('crl', 'dead', clock.now(), hour / 30))
    await publisher.publishDue()
    assert.deepEqual(published, [])
    clock.pass(hour / 30)
    await publisher.publishDue()
    assert.equal(published.length, 4)
    await publisher.stop()
  })

  it('after a restart publishes what was revoked meanwhile, and nothing else', async () => {
    const { store, publisher, published, ...rest } = setUp()
    await publisher.publishDue()
    const restart = () => createCrlPublisher({ ...rest, store, onPublished: ({ number }) => void published.push(`again ${number}`) })
    await restart().publishDue()
    assert.equal(published.length, 4)
    store.revoke(store.issue(intermediate.id), revocation)
    await restart().publishDue()
    assert.equal((await listed(store)).length, 1)
    await restart().publishDue()
    assert.equal(published.length, 8)
  })

  it('begins nothing after stop', async () => {
    const { published, publisher } = setUp()
    await publisher.stop()
    publisher.publishAfterRevocation(intermediate.id, 0)
    await publisher.publishDue()
    await sleep(20)
    assert.deepEqual(published, [])
  })
})

describe('the CRL watch', () => {
  const expected = [
    { issuerId: intermediate.id, shard: null, republishMs: day },
    { issuerId: root.id, shard: null, republishMs: null },
  ]
  const states = (watch: ReturnType<typeof createCrlWatch>) => watch.standings().map(({ state }) => state)

  it('says what is missing, late and out of date, once and now and then', async () => {
    const { clock, log, store, publisher } = setUp()
    const watch = createCrlWatch({ clock, log, store, expected })
    await watch.look()
    await watch.look()
    assert.deepEqual(
      [states(watch), log.errors],
      [
        ['out', 'out'],
        ['a CRL is missing', 'a CRL is missing'],
      ],
    )
    await publisher.publishDue()
    await watch.look()
    assert.deepEqual(states(watch), ['current', 'current'])
    clock.pass(35 * hour)
    assert.deepEqual(states(watch), ['current', 'current'])
    clock.pass(37 * hour)
    await watch.look()
    await watch.look()
    assert.deepEqual([states(watch), log.errors.slice(2)], [['late', 'current'], ['a CRL is overdue']])
    clock.pass(3 * day)
    assert.deepEqual(states(watch), ['late', 'late'])
    clock.pass(2 * day)
    store.state.fail = true
    await watch.look()
    assert.deepEqual([states(watch), log.errors.length], [['out', 'out'], 5])
  })
})
