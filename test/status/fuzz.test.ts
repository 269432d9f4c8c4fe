import assert from 'node:assert/strict'
import { it } from 'node:test'
import { explicit, implicit, sequence } from '../../src/pki/der.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest, readOcspRequest } from '../../src/pki/ocsp-request.js'
import { createOcspService } from '../../src/status/ocsp.js'
import { random, start, testClock, testHierarchy, testLog, testResponders, testStore } from './fixture.js'
import { mutate } from './fuzz.js'

it('ten thousand mutated requests: no crash, and never good for what was not issued', async () => {
  const { intermediate } = await testHierarchy()
  const { intermediate: foreign } = await testHierarchy('Foreign')
  const clock = testClock()
  const store = testStore()
  const responders = await testResponders(intermediate, store, clock)
  const service = createOcspService({ clock, log: testLog(), store, issuers: [{ ...intermediate, responders }] })
  const good = [store.issue(intermediate.id), store.issue(intermediate.id)]
  const revoked = store.issue(intermediate.id)
  store.revoke(revoked, { revokedAt: start, reason: 'keyCompromise' })

  const ids = [...good, revoked].map((serial) => encodeCertId(intermediate, 'sha1', serial))
  /** With a requestor that is skipped, so that some changes are without effect. */
  const named = (id: Uint8Array) => sequence(sequence(explicit(1, implicit(2, new Uint8Array(60).fill(0x61))), sequence(sequence(id))))
  const seeds = [
    ...ids.map(named),
    ...ids.map((id) => encodeOcspRequest([id])),
    encodeOcspRequest([encodeCertId(intermediate, 'sha256', good[0] as string)]),
    encodeOcspRequest(ids, new Uint8Array(32)),
    encodeOcspRequest([encodeCertId(foreign, 'sha1', good[0] as string)]),
  ]
  const pick = random(20270304)
  const said: Record<string, number> = {}
  for (let i = 0; i < 10_000; i++) {
    const request = mutate(seeds[pick(seeds.length)] as Uint8Array, pick)
    const { says, body } = await service.answer(request)
    said[says] = (said[says] ?? 0) + 1
    assert.ok(body.length > 0)
    if (says === 'malformedRequest') continue
    // Whatever was understood is checked against the truth.
    const { certIds } = readOcspRequest(request)
    const serials = certIds.map(({ serial }) => serial)
    const isOwn = (hash: 'sha1' | 'sha256') => certIds.every(({ der, serial }) => Buffer.from(encodeCertId(intermediate, hash, serial)).equals(der))
    if (says === 'good') assert.ok(good.includes(serials[0] as string) && (isOwn('sha1') || isOwn('sha256')))
    if (says === 'revoked') assert.deepEqual(serials, [revoked])
    if (says === 'unknown') assert.ok(!store.rows.has(serials[0] as string))
    assert.ok(!['internalError', 'tryLater'].includes(says))
  }
  for (const says of ['good', 'revoked', 'unknown', 'several', 'unauthorized', 'malformedRequest'])
    assert.ok((said[says] ?? 0) > 0, `${says} was never said`)
})
