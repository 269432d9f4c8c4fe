/**
 * A million mutated OCSP requests: nothing may crash, and nothing may be good that was not issued. What was understood is checked against the truth.
 *
 *   npm run bench:ocsp-fuzz -- [--requests 1000000] [--seed 1]
 */
import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'
import { encodeCertId } from '../src/pki/ocsp-certid.js'
import { encodeOcspRequest, readOcspRequest } from '../src/pki/ocsp-request.js'
import { createOcspService } from '../src/status/ocsp.js'
import { random, start, testClock, testHierarchy, testLog, testResponders, testStore } from '../test/status/fixture.js'
import { mutate } from '../test/status/fuzz.js'

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '1000000' }, seed: { type: 'string', default: String(Date.now() % 0x7fffffff) } },
})
const requests = Number(values.requests)
console.log(`seed ${values.seed}`)
const pick = random(Number(values.seed) || 1)

const { intermediate } = await testHierarchy()
const { intermediate: foreign } = await testHierarchy('Foreign')
const clock = testClock()
const store = testStore()
const responders = await testResponders(intermediate, store, clock)
const service = createOcspService({ clock, log: testLog(), store, issuers: [{ ...intermediate, responders }] })
const good = Array.from({ length: 4 }, () => store.issue(intermediate.id))
const revoked = Array.from({ length: 4 }, () => store.issue(intermediate.id))
for (const serial of revoked) store.revoke(serial, { revokedAt: start, reason: 'keyCompromise' })
const all = [...good, ...revoked]
const seeds = [
  ...all.flatMap((serial) =>
    (['sha1', 'sha256'] as const).flatMap((hash) =>
      (['null', 'absent'] as const).map((form) => encodeOcspRequest([encodeCertId(intermediate, hash, serial, form)])),
    ),
  ),
  ...all.map((serial) => encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)], new Uint8Array(32))),
  encodeOcspRequest(all.map((serial) => encodeCertId(intermediate, 'sha1', serial))),
  encodeOcspRequest([encodeCertId(foreign, 'sha1', good[0] as string)]),
]
const said: Record<string, number> = {}
const began = performance.now()
for (let i = 1; i <= requests; i++) {
  const request = mutate(seeds[pick(seeds.length)] as Uint8Array, pick)
  const { says, body } = await service.answer(request)
  said[says] = (said[says] ?? 0) + 1
  assert.ok(body.length > 0 && says !== 'internalError' && says !== 'tryLater')
  if (says === 'malformedRequest') continue
  const serials = readOcspRequest(request).certIds.map(({ serial }) => serial)
  if (says === 'good') assert.ok(serials.length === 1 && good.includes(serials[0] as string), Buffer.from(request).toString('hex'))
  if (says === 'revoked') assert.ok(serials.length === 1 && revoked.includes(serials[0] as string), Buffer.from(request).toString('hex'))
  if (says === 'unknown') assert.ok(!store.rows.has(serials[0] as string), Buffer.from(request).toString('hex'))
  if (i % 100_000 === 0) process.stderr.write(`${i} …\n`)
}
console.log(`${requests} requests in ${((performance.now() - began) / 1000).toFixed(1)} s, answers held: ${service.size()}`)
console.table(said)
