/** What long commands say while they work. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createProgress } from '../../src/cli/progress.js'

/** Work of ten thousand steps of `stepMs`, as it is seen at a terminal or elsewhere. */
const seen = (isTTY: boolean, stepMs: number): string[] => {
  const written: string[] = []
  let now = 5000
  const progress = createProgress({ isTTY, write: (text: string) => written.push(text) }, () => now)
  for (let step = 1; step <= 10_000; step++) {
    now += stepMs
    progress.show(() => `step ${step}`)
  }
  progress.end()
  return written
}

test('at a terminal one line is written over every second, and wiped in the end', () => {
  assert.deepEqual(seen(true, 0.35), ['\r\x1b[Kstep 2858', '\r\x1b[Kstep 5716', '\r\x1b[Kstep 8574', '\r\x1b[K'])
})

test('elsewhere a line is written every ten seconds', () => {
  assert.deepEqual(seen(false, 2.5), ['step 4000\n', 'step 8000\n'])
})

test('what does not take long says nothing', () => {
  assert.deepEqual(seen(true, 0.09), [])
  assert.deepEqual(seen(false, 0.9), [])
})
