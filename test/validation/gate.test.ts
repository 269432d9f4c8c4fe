import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atMost } from '../../src/validation/gate.js'
import type { Answer } from '../../src/validation/recursive.js'

const answer: Answer<string> = { kind: 'records', records: ['x'] }

test('no more than so many look-ups are under way; all are made in the end, and a failure frees its place', async () => {
  let running = 0
  let most = 0
  const lookUp = atMost<string>(3, async (name) => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, 5))
    running--
    if (name === '4') throw new Error('no')
    return answer
  })
  const { signal } = new AbortController()
  const results = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => lookUp(String(i), signal)))
  assert.deepEqual([most, running, results.filter(({ status }) => status === 'rejected').length], [3, 0, 1])
})

test('who waits does not outlast its own signal, and takes nobody else’s turn with it', async () => {
  const asked: string[] = []
  let finish = (): void => undefined
  const lookUp = atMost<string>(1, (name) => {
    asked.push(name)
    return name === 'slow' ? new Promise((resolve) => (finish = () => resolve(answer))) : Promise.resolve(answer)
  })
  const { signal } = new AbortController()
  const impatient = new AbortController()
  const slow = lookUp('slow', signal)
  const gone = lookUp('gone', impatient.signal)
  const patient = lookUp('patient', signal)
  impatient.abort()
  assert.deepEqual(await gone, { kind: 'failure', reason: 'timeout' })
  finish()
  assert.deepEqual([await slow, await patient, asked], [answer, answer, ['slow', 'patient']])
})

test('a turn that comes as its signal aborts is passed on', async () => {
  const impatient = new AbortController()
  let finish = (): void => undefined
  const lookUp = atMost<string>(1, (name) => (name === 'slow' ? new Promise((resolve) => (finish = () => resolve(answer))) : Promise.resolve(answer)))
  const { signal } = new AbortController()
  const slow = lookUp('slow', signal).then(() => impatient.abort())
  const gone = lookUp('gone', impatient.signal)
  const patient = lookUp('patient', signal)
  finish()
  await slow
  await gone
  assert.deepEqual(await patient, answer)
})
