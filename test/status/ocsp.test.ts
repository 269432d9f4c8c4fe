import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as pkijs from 'pkijs'
import { IcaError } from '../../src/errors.js'
import { createResponders } from '../../src/issuance/responder.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../../src/pki/ocsp-request.js'
import { createOcspService, type OcspDeps } from '../../src/status/ocsp.js'
import { day, hour, second, start, testClock, testHierarchy, testKeys, testLog, testResponders, testStore } from './fixture.js'

const { root, intermediate } = await testHierarchy()
const foreign = await testHierarchy('Foreign')

const setUp = async (change: Partial<OcspDeps> = {}) => {
  const clock = testClock()
  const log = testLog()
  const store = testStore()
  const responders = await testResponders(intermediate, store, clock)
  const issuers = [{ ...intermediate, responders }]
  const service = createOcspService({ clock, log, store, issuers, ...change })
  return { clock, log, store, service, responders }
}

const requestFor = (serial: string, hash: 'sha1' | 'sha256' = 'sha1', issuer = intermediate): Uint8Array =>
  encodeOcspRequest([encodeCertId(issuer, hash, serial)])

/** What an answer says, read by pkijs. */
const read = (body: Uint8Array) => {
  const response = pkijs.OCSPResponse.fromBER(body.slice().buffer)
  const octets = response.responseBytes?.response.valueBlock.valueHexView.slice().buffer
  const data = octets && pkijs.BasicOCSPResponse.fromBER(octets).tbsResponseData
  return { status: response.responseStatus.valueBlock.valueDec, data }
}

describe('the OCSP service', () => {
  it('says once where it meets a revocation that nobody told it of', async () => {
    let met = 0
    const { service, store, clock } = await setUp({ onMet: () => void met++ })
    const serial = store.issue(intermediate.id)
    await service.answer(requestFor(serial))
    store.revoke(serial, { revokedAt: start, reason: 'superseded' })
    clock.pass(second)
    assert.equal((await service.answer(requestFor(serial, 'sha256'))).says, 'revoked')
    assert.equal((await service.answer(requestFor(serial))).says, 'revoked')
    assert.equal(met, 1)
  })

  it('makes only so many answers at once; the others are to try later, and what is held is given', async () => {
    const { service, store, log, clock } = await setUp({ settings: { maxInMaking: 10 } })
    const serial = store.issue(intermediate.id)
    await service.answer(requestFor(serial))
    // Past half of its life it has to be made anew.
    clock.pass(13 * hour)
    const asked = Array.from({ length: 30 }, () => encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)], new Uint8Array(16)))
    const answers = asked.map((request) => service.answer(request))
    assert.equal((await service.answer(requestFor(serial))).says, 'good')
    const said = (await Promise.all(answers)).map(({ says }) => says)
    assert.deepEqual([said.filter((says) => says === 'good').length, said.filter((says) => says === 'tryLater').length], [10, 20])
    assert.deepEqual([service.counts.refused, service.counts.failures, log.errors.length], [21, 0, 0])
    assert.equal((await service.answer(asked[0] as Uint8Array)).says, 'good')
  })

  it('signs once and then answers from memory, at once', async () => {
    const { service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    const first = service.answer(requestFor(serial))
    assert.ok(first instanceof Promise)
    const { body, says, shared } = await first
    assert.equal(says, 'good')
    assert.equal(shared?.nextUpdate, Math.floor(start / 1000) * 1000 + day)
    const second = service.answer(requestFor(serial))
    assert.ok(!(second instanceof Promise))
    assert.equal(second.body, body)
    assert.deepEqual([service.counts.signed, service.counts.hits, service.counts.good, store.calls.certificateStatuses], [1, 1, 2, 1])
  })

  it('echoes the CertID as it was asked for', async () => {
    const { service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    for (const hash of ['sha1', 'sha256'] as const) {
      for (const parameters of ['null', 'absent'] as const) {
        const certId = encodeCertId(intermediate, hash, serial, parameters)
        const { body } = await service.answer(encodeOcspRequest([certId]))
        const [single] = read(body).data?.responses ?? []
        assert.ok(single)
        assert.equal(Buffer.from(single.certID.toSchema().toBER()).compare(certId), 0)
      }
    }
    assert.equal(service.size(), 4)
  })

  it('says revoked, with time and reason', async () => {
    const { service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    store.revoke(serial, { revokedAt: start - hour, reason: 'keyCompromise' })
    const { says, shared } = await service.answer(requestFor(serial))
    assert.equal(says, 'revoked')
    assert.ok(shared)
  })

  it('says unknown of a serial that was never issued, and does not hold it', async () => {
    const { service, store } = await setUp()
    const serial = '4a00000000000000000000000000abcd'
    const { says, shared, body } = await service.answer(requestFor(serial))
    assert.deepEqual([says, shared], ['unknown', null])
    const [single] = read(body).data?.responses ?? []
    assert.ok((single?.nextUpdate?.getTime() ?? 0) < start + hour)
    store.issue(intermediate.id, { serial })
    assert.equal((await service.answer(requestFor(serial))).says, 'good')
    assert.equal((await service.answer(requestFor(`4a${'00'.repeat(24)}`))).says, 'unknown')
  })

  it('is not authorised for other issuers, also not for the root without a responder, nor for a mix', async () => {
    const { service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    const own = encodeCertId(intermediate, 'sha1', serial)
    const other = encodeCertId(foreign.intermediate, 'sha1', serial)
    const sameKeyOtherName = encodeCertId({ ...intermediate, subject: foreign.root.subject }, 'sha1', serial)
    for (const certIds of [[other], [encodeCertId(root, 'sha256', serial)], [own, other], [sameKeyOtherName]]) {
      const { says, shared, body } = await service.answer(encodeOcspRequest(certIds))
      assert.deepEqual([says, shared, Buffer.from(body).toString('hex')], ['unauthorized', null, '30030a0106'])
    }
  })

  it('refuses what is no request', async () => {
    const { service } = await setUp()
    for (const bytes of [new Uint8Array(), new Uint8Array(100), new Uint8Array(9000), requestFor('05').subarray(0, 50)]) {
      const answer = service.answer(bytes)
      assert.ok(!(answer instanceof Promise))
      assert.equal(answer.says, 'malformedRequest')
    }
    assert.equal(service.counts.malformedRequest, 4)
  })

  it('signs for one request what has a nonce or asks for several', async () => {
    const { service, store } = await setUp()
    const [a, b] = [store.issue(intermediate.id), store.issue(intermediate.id)]
    const ids = [a, b].map((serial) => encodeCertId(intermediate, 'sha1', serial))
    const nonce = new Uint8Array(32).fill(5)
    const single = await service.answer(encodeOcspRequest(ids.slice(0, 1), nonce))
    assert.deepEqual([single.says, single.shared], ['good', null])
    assert.equal(read(single.body).data?.responseExtensions?.length, 1)
    store.revoke(b, { revokedAt: start, reason: 'superseded' })
    const several = await service.answer(encodeOcspRequest([...ids, encodeCertId(intermediate, 'sha1', '07')]))
    assert.deepEqual([several.says, several.shared], ['several', null])
    assert.deepEqual(
      read(several.body).data?.responses.map(({ certStatus }) => certStatus.idBlock.tagNumber),
      [0, 1, 2],
    )
    assert.equal(service.size(), 0)
  })

  it('answers an unusual form of the usual question from the same memory', async () => {
    const { service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    const plain = requestFor(serial)
    const held = await service.answer(plain)
    // A requestorName makes it another request with the same meaning.
    const named = Buffer.from(plain)
    const requestor = Buffer.from('a106820461626364', 'hex')
    named[1] = (named[1] as number) + requestor.length
    named[3] = (named[3] as number) + requestor.length
    const answer = service.answer(Buffer.concat([named.subarray(0, 4), requestor, named.subarray(4)]))
    assert.equal(answer, held)
    assert.equal(service.size(), 1)
  })

  it('lets those who ask at once wait for one signature', async () => {
    const { service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    const answers = await Promise.all(Array.from({ length: 50 }, () => service.answer(requestFor(serial))))
    assert.equal(new Set(answers.map(({ body }) => body)).size, 1)
    assert.equal(service.counts.signed, 1)
  })

  it('drops an answer at once when its certificate is revoked, in all its forms', async () => {
    const { service, store } = await setUp()
    const [serial, other] = [store.issue(intermediate.id), store.issue(intermediate.id)]
    const requests = (['sha1', 'sha256'] as const).map((hash) => requestFor(serial, hash))
    for (const request of [...requests, requestFor(other)]) await service.answer(request)
    store.revoke(serial, { revokedAt: start, reason: 'superseded' })
    service.invalidate(intermediate.id, serial)
    assert.equal(service.size(), 1)
    for (const request of requests) assert.equal((await service.answer(request)).says, 'revoked')
    service.clear()
    assert.equal(service.size(), 0)
  })

  it('never holds good from a look-up that a revocation overtook', async () => {
    const { service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    let release: () => void = () => undefined
    store.holdLookUps(
      new Promise((resolve) => {
        release = resolve
      }),
    )
    const answer = service.answer(requestFor(serial))
    await new Promise(setImmediate)
    store.revoke(serial, { revokedAt: start, reason: 'superseded' })
    service.invalidate(intermediate.id, serial)
    release()
    assert.equal((await answer).says, 'revoked')
    assert.equal((await service.answer(requestFor(serial))).says, 'revoked')
  })

  it('never falls back on good that was revoked while its replacement failed', async () => {
    const { clock, service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    await service.answer(requestFor(serial))
    clock.pass(14 * hour)
    let fail: (error: Error) => void = () => undefined
    store.holdLookUps(
      new Promise((_, reject) => {
        fail = reject
      }),
    )
    const answer = service.answer(requestFor(serial))
    await new Promise(setImmediate)
    store.revoke(serial, { revokedAt: start, reason: 'superseded' })
    service.invalidate(intermediate.id, serial)
    fail(new IcaError('unavailable', 'the database is away'))
    assert.equal((await answer).says, 'tryLater')
  })

  it('replaces an answer in the background before half of its life', async () => {
    const { clock, service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    const request = requestFor(serial)
    const first = await service.answer(request)
    clock.pass(8 * hour)
    assert.equal(service.answer(request), first)
    clock.pass(2 * hour)
    assert.equal(service.answer(request), first, 'the old one, while the new one is made')
    await new Promise((resolve) => setTimeout(resolve, 50))
    const next = service.answer(request)
    assert.ok(!(next instanceof Promise))
    assert.ok((next.shared?.thisUpdate ?? 0) >= start + 10 * hour - second)
    clock.pass(13 * hour)
    assert.notEqual(await service.answer(request), next, 'past half of its life nobody gets it')
  })

  it('gives what it holds while it is valid when the database is away, and then tryLater', async () => {
    const { clock, service, store, log } = await setUp()
    const serial = store.issue(intermediate.id)
    const request = requestFor(serial)
    const first = await service.answer(request)
    store.state.fail = true
    assert.equal((await service.answer(requestFor(store.issue(intermediate.id)))).says, 'tryLater')
    for (const passed of [10, 12, 23]) {
      clock.set(start + passed * hour)
      assert.equal(await service.answer(request), first)
      assert.equal(await service.answer(request), first)
    }
    assert.ok(service.counts.overdue > 0)
    clock.set(start + day + second)
    assert.equal((await service.answer(request)).says, 'tryLater')
    assert.equal(log.errors.length, 1, 'the first of the row is logged')
    store.state.fail = false
    assert.equal((await service.answer(request)).says, 'good')
  })

  it('does not ask a lost database at every hit', async () => {
    const { clock, service, store } = await setUp()
    const request = requestFor(store.issue(intermediate.id))
    await service.answer(request)
    store.state.fail = true
    clock.pass(14 * hour)
    for (let i = 0; i < 10; i++) await service.answer(request)
    assert.equal(store.calls.certificateStatuses, 2)
    clock.pass(6 * second)
    await service.answer(request)
    assert.equal(store.calls.certificateStatuses, 3)
  })

  it('says tryLater without a valid responder, and promises nothing beyond its end', async () => {
    const store = testStore()
    const clock = testClock()
    const issuer = { ...intermediate, notAfter: Math.floor(start / 1000) * 1000 + 3 * hour }
    const responders = createResponders({ clock, log: testLog(), issuer, issuing: { issuer, store }, keys: testKeys() })
    const service = createOcspService({ clock, log: testLog(), store, issuers: [{ ...intermediate, responders }] })
    const request = requestFor(store.issue(intermediate.id))
    assert.equal((await service.answer(request)).says, 'tryLater')
    await responders.maintain()
    assert.equal((await service.answer(request)).shared?.nextUpdate, issuer.notAfter)
    clock.pass(4 * hour)
    assert.equal((await service.answer(request)).says, 'tryLater')
  })

  it('never says good after it has said revoked, in whatever form it is asked, also before the feed tells of it', async () => {
    const { service, store, clock } = await setUp()
    const serial = store.issue(intermediate.id)
    const forms = (['sha1', 'sha256'] as const).flatMap((hash) =>
      (['null', 'absent'] as const).map((parameters) => encodeOcspRequest([encodeCertId(intermediate, hash, serial, parameters)])),
    )
    const ask = async () => (await Promise.all(forms.map((form) => service.answer(form)))).map(({ says }) => says)
    assert.deepEqual(new Set(await ask()), new Set(['good']))
    store.revoke(serial, { revokedAt: start, reason: 'superseded' })
    assert.deepEqual(new Set(await ask()), new Set(['good']), 'held')
    const nonce = encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)], new Uint8Array(16))
    clock.pass(second)
    assert.equal((await service.answer(nonce)).says, 'revoked')
    assert.deepEqual(new Set(await ask()), new Set(['revoked']))
  })

  it('reads a status once a second, and again at once where it is told of a revocation', async () => {
    const { service, store, clock } = await setUp()
    const serial = store.issue(intermediate.id)
    const nonce = encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)], new Uint8Array(16))
    const ask = async () => [(await service.answer(nonce)).says, store.calls.certificateStatuses]
    assert.deepEqual([await ask(), await ask()], Array(2).fill(['good', 1]))
    clock.pass(second)
    assert.deepEqual(await ask(), ['good', 2])
    store.revoke(serial, { revokedAt: start, reason: 'superseded' })
    service.invalidate(intermediate.id, serial)
    assert.deepEqual(await ask(), ['revoked', 3])
  })

  it('finds what was issued in the second in which it was still unknown', async () => {
    const { service, store } = await setUp()
    const serial = 'ab'.repeat(16)
    const nonce = encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)], new Uint8Array(16))
    assert.equal((await service.answer(nonce)).says, 'unknown')
    store.issue(intermediate.id, { serial })
    assert.equal((await service.answer(nonce)).says, 'good')
  })

  it('says internalError where signing fails for another reason', async () => {
    const clock = testClock()
    const store = testStore()
    const responders = await testResponders(intermediate, store, clock)
    const current = (now: number) => {
      const responder = responders.current(now)
      return responder && { ...responder, signer: { ...responder.signer, signNow: () => assert.fail('token removed') } }
    }
    const service = createOcspService({ clock, log: testLog(), store, issuers: [{ ...intermediate, responders: { current } }] })
    assert.equal((await service.answer(requestFor(store.issue(intermediate.id)))).says, 'internalError')
    assert.equal(service.counts.failures, 1)
  })

  it('makes what it holds anew where there is another responder, and gives it on while that fails', async () => {
    const { service, store, clock, log } = await setUp()
    const [kept, gone] = [store.issue(intermediate.id), store.issue(intermediate.id)]
    const first = await service.answer(requestFor(kept))
    await service.answer(requestFor(gone))
    clock.pass(second)
    service.outdate()
    store.state.fail = true
    assert.equal((await service.answer(requestFor(kept))).body, first.body)
    assert.equal(service.answer(requestFor(kept)), first, 'from memory for a moment')
    assert.deepEqual([service.counts.failures, log.errors.length, service.counts.overdue], [1, 1, 1])
    // What is revoked is not given on.
    service.invalidate(intermediate.id, gone)
    assert.equal((await service.answer(requestFor(gone))).says, 'tryLater')
    store.state.fail = false
    clock.pass(6 * second)
    const next = await service.answer(requestFor(kept))
    assert.notEqual(next.body, first.body)
    assert.equal(service.answer(requestFor(kept)), next)
  })

  it('signs again what was being signed when the responder was replaced', async () => {
    const { service, store } = await setUp()
    const serial = store.issue(intermediate.id)
    let open = (): void => undefined
    store.holdLookUps(
      new Promise((resolve) => {
        open = resolve
      }),
    )
    const answer = service.answer(requestFor(serial))
    await new Promise((resolve) => setImmediate(resolve))
    service.outdate()
    open()
    assert.equal((await answer).says, 'good')
    assert.equal(service.counts.signed, 2)
  })

  it('holds no more than it is allowed to', async () => {
    const { service, store } = await setUp({ settings: { cacheSize: 10 } })
    for (let i = 0; i < 40; i++) await service.answer(requestFor(store.issue(intermediate.id)))
    assert.ok(service.size() <= 10)
  })
})
