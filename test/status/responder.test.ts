import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import { createResponders, firstEnd, type ResponderKey } from '../../src/issuance/responder.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { day, hour, second, start, testClock, testHierarchy, testKeys, testLog, testStore } from './fixture.js'

const { root, intermediate } = await testHierarchy()

const setUp = (change: Partial<Parameters<typeof createResponders>[0]> = {}) => {
  const clock = testClock()
  const log = testLog()
  const store = testStore()
  const keys = testKeys()
  const deps = { clock, log, issuer: intermediate, issuing: { issuer: intermediate, store }, keys, ...change }
  return { clock, log, store, keys, deps, responders: createResponders(deps) }
}

describe('OCSP responders', () => {
  it('are made at the start: recorded, kept, for 30 days, and good for nothing else', async () => {
    const { clock, store, keys, responders } = setUp()
    assert.equal(responders.current(clock.now()), null)
    await responders.maintain()
    const responder = responders.current(clock.now())
    assert.ok(responder)
    assert.equal(responder.notAfter, Math.floor(start / 1000) * 1000 + 30 * day)
    assert.ok(responder.notBefore >= start - hour - 1000 && responder.notBefore < start)

    assert.equal(keys.kept.length, 1)
    const info = readCertificate(keys.kept[0]?.certificate as Uint8Array)
    assert.deepEqual(info.extendedKeyUsage, ['1.3.6.1.5.5.7.3.9'])
    assert.deepEqual(info.keyUsage, [0])
    assert.ok(info.extensions.has('1.3.6.1.5.5.7.48.1.5'))
    assert.equal(info.names.length, 0)
    assert.ok(new X509Certificate(info.der).verify(new X509Certificate(intermediate.certificate).publicKey))
    assert.deepEqual(await store.certificateStatuses([{ issuerId: intermediate.id, serial: info.serial }]), [
      { status: 'good', notAfter: info.notAfter },
    ])
    assert.deepEqual(
      store.audits.map(({ action, subject, actor }) => [action, subject, actor]),
      [['certificate.issued', `certificate:${info.serial}`, 'system']],
    )
  })

  it('are found again at the next start', async () => {
    const { deps, keys, clock } = setUp()
    await createResponders(deps).maintain()
    const again = createResponders(deps)
    await again.maintain()
    assert.equal(keys.kept.length, 1)
    assert.ok(again.current(clock.now()))
  })

  it('are replaced halfway, and the old one stays valid until it is forgotten', async () => {
    const { clock, keys, responders } = setUp()
    await responders.maintain()
    const first = responders.current(clock.now())
    clock.pass(14 * day)
    await responders.maintain()
    assert.equal(responders.current(clock.now()), first)
    clock.pass(day + hour)
    await responders.maintain()
    const second = responders.current(clock.now())
    assert.notEqual(second, first)
    assert.equal(keys.kept.length, 2)
    assert.ok((first?.notAfter ?? 0) > clock.now() + 14 * day)
    clock.pass(15 * day)
    await responders.maintain()
    assert.equal(keys.kept.length, 2, 'the first is gone and a third is there')
    assert.ok(!keys.kept.some(({ certificate }) => readCertificate(certificate).notAfter < clock.now()))
  })

  it('never sign when expired', async () => {
    const { clock, store, log, responders } = setUp()
    await responders.maintain()
    const end = responders.current(clock.now())?.notAfter ?? 0
    store.state.fail = true
    clock.set(end)
    await responders.maintain()
    assert.ok(responders.current(clock.now()))
    clock.pass(1)
    await responders.maintain()
    assert.equal(responders.current(clock.now()), null)
    assert.ok(log.errors.some((message) => /no valid OCSP responder/.test(message)))
    store.state.fail = false
    await responders.maintain()
    assert.ok(responders.current(clock.now()))
  })

  it('go on with the last generation while a new one can’t be made', async () => {
    const { clock, store, log, responders } = setUp()
    await responders.maintain()
    const first = responders.current(clock.now())
    clock.pass(20 * day)
    store.state.fail = true
    await responders.maintain()
    assert.equal(responders.current(clock.now()), first)
    assert.equal(log.errors.length, 1)
  })

  it('are used although they could not be kept, and kept as soon as that is possible', async () => {
    const keys = testKeys()
    let full = true
    const save = async (generation: ResponderKey) => {
      if (full) throw new Error('ENOSPC')
      await keys.save(generation)
    }
    const { clock, store, log, responders } = setUp({ keys: { ...keys, save } })
    await responders.maintain()
    assert.ok(responders.current(clock.now()))
    assert.equal(log.errors.length, 1)
    full = false
    await responders.maintain()
    assert.equal(keys.kept.length, 1)
    assert.equal(store.audits.length, 1, 'no second one was issued')
  })

  it('end with their issuer, and are not replaced by one that ends no later', async () => {
    const issuer = { ...intermediate, notAfter: Math.floor(start / 1000) * 1000 + 10 * day }
    const store = testStore()
    const { clock, keys, responders } = setUp({ issuer, issuing: { issuer, store } })
    await responders.maintain()
    assert.equal(responders.current(clock.now())?.notAfter, issuer.notAfter)
    clock.pass(9 * day)
    await responders.maintain()
    assert.equal(keys.kept.length, 1)
  })

  it('are only loaded where the CA’s key is away, also what another process makes later', async () => {
    const { clock, keys, log, responders, deps } = setUp({ issuing: null })
    await responders.maintain()
    assert.equal(responders.current(clock.now()), null)
    assert.equal(log.errors.length, 1)
    const store = testStore()
    const issuing = createResponders({ ...deps, issuing: { issuer: intermediate, store } })
    await issuing.maintain()
    await responders.maintain()
    const first = responders.current(clock.now())
    assert.ok(first)
    clock.pass(16 * day)
    await issuing.maintain()
    await responders.maintain()
    assert.ok((responders.current(clock.now())?.notAfter ?? 0) > first.notAfter)
    clock.pass(20 * day)
    await responders.maintain()
    assert.equal(keys.kept.length, 2, 'forgetting is left to the process that issues')
  })

  it('of another CA, with another key or another purpose are left alone', async () => {
    const other = await testHierarchy('Other')
    const foreign = setUp({ issuer: other.intermediate, issuing: { issuer: other.intermediate, store: testStore() } })
    const own = setUp()
    await foreign.responders.maintain()
    await own.responders.maintain()
    const [{ key, certificate }] = foreign.keys.kept as [ResponderKey]
    const [mine] = own.keys.kept as [ResponderKey]
    const wrong = [
      { key, certificate },
      { key, certificate: mine.certificate },
      { key: mine.key, certificate: root.certificate },
    ]
    for (const kept of wrong) {
      const keys = testKeys()
      keys.kept.push(kept)
      const { clock, responders } = setUp({ keys, issuing: null })
      await responders.maintain()
      assert.equal(responders.current(clock.now()), null)
    }
  })

  it('are maintained once at a time', async () => {
    const { keys, responders } = setUp()
    await Promise.all([responders.maintain(), responders.maintain(), responders.maintain()])
    assert.equal(keys.kept.length, 1)
  })

  it('are rotated by hand, in another process, and the one that signs takes the new one and drops what it holds', async () => {
    let replaced = 0
    const { clock, keys, store, deps, responders } = setUp({ onReplaced: () => void replaced++ })
    await responders.maintain()
    const first = responders.current(clock.now())
    clock.pass(second)
    const elsewhere = createResponders(deps)
    const certificate = await elsewhere.rotate()
    assert.equal(keys.kept.length, 2)
    assert.equal(responders.current(clock.now()), first)
    assert.equal(replaced, 0)
    await responders.maintain()
    const now = responders.current(clock.now())
    assert.notEqual(now, first)
    assert.equal(replaced, 1)
    assert.equal(now?.notAfter, readCertificate(certificate).notAfter)
    assert.equal(store.audits.length, 2)
    await responders.maintain()
    assert.equal(replaced, 1)
    // By themselves they go on from there, and the old one is forgotten when it ends.
    clock.pass(14 * day)
    await responders.maintain()
    assert.equal(responders.current(clock.now()), now)
    clock.pass(16 * day)
    await responders.maintain()
    assert.ok(!keys.kept.some(({ certificate: kept }) => readCertificate(kept).notAfter < clock.now()))
    await assert.rejects(createResponders({ ...deps, issuing: null }).rotate(), /key of the CA is not here/)
  })

  it('rotated at the end of their issuer, where all end together: the last one signs', async () => {
    const issuer = { ...intermediate, notAfter: Math.floor(start / 1000) * 1000 + 10 * day }
    const { clock, responders } = setUp({ issuer, issuing: { issuer, store: testStore() } })
    await responders.maintain()
    const first = responders.current(clock.now())
    clock.pass(hour)
    await responders.rotate()
    assert.notEqual(responders.current(clock.now()), first)
    assert.equal(responders.current(clock.now())?.notAfter, first?.notAfter)
  })

  it('are missing where one of several issuers has none', async () => {
    const [one, other] = [setUp(), setUp()]
    await one.responders.maintain()
    one.clock.pass(day)
    assert.equal(firstEnd([one.responders, other.responders], one.clock.now()), 0)
    other.clock.pass(day)
    await other.responders.maintain()
    assert.equal(firstEnd([other.responders, one.responders], one.clock.now()), Math.floor(start / 1000) * 1000 + 30 * day)
  })
})
