/**
 * A million mutated OCSP requests, and mutated paths of GETs and bodies of POSTs over HTTP: nothing may crash, and nothing may be good that was not issued. Every word
 * of every answer is read by a library and checked against the truth.
 *
 *   npm run bench:ocsp-fuzz -- [--requests 1000000] [--http 100000] [--seed 1]
 */
import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'
import { random } from '../test/status/fixture.js'
import { everyWord } from '../test/status/fuzz.js'
import { openFuzz } from '../test/status/fuzz-service.js'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    http: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 0x7fffffff) },
  },
})
console.log(`seed ${values.seed}`)
const fuzz = await openFuzz(random(Number(values.seed) || 1))
for (const [way, count, once] of [
  ['service', Number(values.requests), fuzz.service],
  ['http', Number(values.http), fuzz.http],
] as const) {
  const began = performance.now()
  for (let i = 1; i <= count; i++) {
    await once()
    if (i % 100_000 === 0) process.stderr.write(`${way}: ${i} …\n`)
  }
  console.log(`${way}: ${count} requests in ${((performance.now() - began) / 1000).toFixed(1)} s, answers held: ${fuzz.held()}`)
  console.table(fuzz.said[way])
  for (const word of everyWord) assert.ok(count < 10_000 || (fuzz.said[way][word] ?? 0) > 0, `${way}: ${word} was never said`)
}
await fuzz.close()
