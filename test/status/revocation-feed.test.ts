import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createRevocationFeed, type RevocationEvent } from '../../src/status/revocation-feed.js'
import { start, testLog, testStore } from './fixture.js'

const issuerId = '0123456789abcdef'
const revocation = { revokedAt: start, reason: 'superseded' } as const

const setUp = () => {
  const store = testStore()
  const log = testLog()
  const told: RevocationEvent[] = []
  let begun = 0
  const feed = createRevocationFeed({ log, store, onRevoked: (event) => void told.push(event), onBegin: () => void begun++ })
  const revoke = (shard = 0): string => {
    const serial = store.issue(issuerId, { shard })
    store.revoke(serial, revocation)
    return serial
  }
  return { store, log, feed, told, revoke, begun: () => begun }
}

describe('the revocation feed', () => {
  it('begins behind what was revoked before, and says so', async () => {
    const { feed, revoke, told, begun } = setUp()
    revoke()
    assert.equal(feed.position(), null)
    await feed.poll()
    assert.deepEqual([told.length, begun(), feed.position()], [0, 1, 1])
  })

  it('tells of each revocation once, in their sequence', async () => {
    const { feed, revoke, told } = setUp()
    await feed.poll()
    const serials = [revoke(3), revoke(4)]
    await feed.poll()
    await feed.poll()
    assert.deepEqual(
      told.map(({ issuerId, serial, crlShard }) => [issuerId, serial, crlShard]),
      serials.map((serial, i) => [issuerId, serial, 3 + i]),
    )
  })

  it('misses none while the database is away, and complains once', async () => {
    const { feed, revoke, told, store, log } = setUp()
    await feed.poll()
    revoke()
    store.state.fail = true
    await feed.poll()
    await feed.poll()
    assert.deepEqual([told.length, log.errors.length], [0, 1])
    revoke()
    store.state.fail = false
    await feed.poll()
    assert.equal(told.length, 2)
  })

  it('begins when the database comes, where it was away at the start', async () => {
    const { feed, revoke, told, store, begun } = setUp()
    store.state.fail = true
    await feed.poll()
    assert.deepEqual([begun(), feed.position()], [0, null])
    revoke()
    store.state.fail = false
    await feed.poll()
    revoke()
    await feed.poll()
    assert.deepEqual([begun(), told.length], [1, 1])
  })

  it('begins anew where the database has forgotten revocations, also where it has others since', async () => {
    const { feed, revoke, told, begun, store } = setUp()
    revoke()
    revoke()
    await feed.poll()
    revoke()
    await feed.poll()
    assert.deepEqual([told.length, begun(), feed.position()], [1, 1, 3])
    store.forgetRevocations(1)
    await feed.poll()
    assert.deepEqual([told.length, begun(), feed.position()], [1, 2, 1])
    revoke()
    await feed.poll()
    assert.deepEqual([told.length, begun(), feed.position()], [2, 2, 2])
    store.forgetRevocations(1)
    for (let i = 0; i < 3; i++) revoke()
    await feed.poll()
    assert.deepEqual([begun(), feed.position()], [3, 4])
    store.forgetRevocations(0)
    await feed.poll()
    assert.deepEqual([begun(), feed.position()], [4, 0])
    revoke()
    await feed.poll()
    assert.deepEqual([told.length, feed.position(), feed.isFollowing()], [3, 1, true])
  })

  it('looks again where a revocation comes while it looks', async () => {
    const { feed, revoke, told, store } = setUp()
    await feed.poll()
    const read = store.revokedSince
    let late = ''
    // Read, and then revoked before it is told.
    store.revokedSince = async (...args) => {
      const events = await read(...args)
      store.revokedSince = read
      late = revoke()
      return events
    }
    await Promise.all([feed.poll(), feed.poll()])
    assert.deepEqual(
      told.map(({ serial }) => serial),
      [late],
    )
  })

  it('takes thousands at once', async () => {
    const { feed, revoke, told } = setUp()
    await feed.poll()
    for (let i = 0; i < 2500; i++) revoke()
    await Promise.all([feed.poll(), feed.poll()])
    assert.deepEqual([told.length, feed.position()], [2500, 2500])
  })
})
