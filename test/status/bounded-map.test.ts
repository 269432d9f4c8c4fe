import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { createBoundedMap } from '../../src/status/bounded-map.js'

it('never holds more than its limit, and never forgets what was set or asked for within the last half of it', () => {
  const action = fc.record({ key: fc.integer({ min: 0, max: 60 }).map(String), kind: fc.constantFrom('set', 'get', 'delete') })
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 20 }), fc.array(action, { maxLength: 400 }), (limit, actions) => {
      const map = createBoundedMap<number>(limit)
      /** Keys by use, the latest last. */
      let used: string[] = []
      const truth = new Map<string, number>()
      actions.forEach(({ key, kind }, i) => {
        if (kind === 'set') {
          map.set(key, i)
          truth.set(key, i)
        } else if (kind === 'delete') {
          map.delete(key)
          truth.delete(key)
        }
        const value = map.get(key)
        assert.ok(value === undefined || value === truth.get(key))
        used = used.filter((k) => k !== key)
        if (value !== undefined) used.push(key)
        assert.ok(map.size() <= limit)
        for (const recent of used.slice(-Math.floor(limit / 2))) assert.equal(map.get(recent), truth.get(recent))
      })
    }),
  )
})

it('is empty after clear', () => {
  const map = createBoundedMap<number>(4)
  for (let i = 0; i < 4; i++) map.set(String(i), i)
  map.clear()
  assert.equal(map.size(), 0)
  assert.equal(map.get('3'), undefined)
})
