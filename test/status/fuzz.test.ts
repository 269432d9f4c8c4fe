import assert from 'node:assert/strict'
import { it } from 'node:test'
import { random } from './fixture.js'
import { everyWord } from './fuzz.js'
import { openFuzz } from './fuzz-service.js'

it('ten thousand mutated requests, and three thousand over HTTP: no crash, and never good for what was not issued', async () => {
  const fuzz = await openFuzz(random(20270304))
  try {
    for (let i = 0; i < 10_000; i++) await fuzz.service()
    for (let i = 0; i < 3000; i++) await fuzz.http()
  } finally {
    await fuzz.close()
  }
  for (const [way, said] of Object.entries(fuzz.said))
    for (const word of everyWord) assert.ok((said[word] ?? 0) > 0, `${way}: ${word} was never said: ${JSON.stringify(said)}`)
})
