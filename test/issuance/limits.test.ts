import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { counted } from '../../src/issuance/counting.js'
import {
  addressKey,
  defaultLimits,
  exactSetKey,
  limitNames,
  noLimits,
  parseDuration,
  parseLimits,
  parseRate,
  showLimits,
  showRate,
} from '../../src/issuance/limits.js'
import { LimitExceeded } from '../../src/store/store.js'

test('rates are read and shown alike', () => {
  for (const text of ['50/7d', '300/3h', '5/90s', '1/15m', 'off']) assert.equal(showRate(parseRate(text)), text)
  assert.equal(showRate(parseRate('24/24h')), '24/1d')
  assert.deepEqual(parseRate('2/1h'), { count: 2, windowMs: 3_600_000 })
  for (const bad of ['', '0/1h', '5', '5/h', '5/1w', '-1/1h', '5/0h', '1e3/1h', '5/400d', '2000/1s', 'OFF', '5/1h '])
    assert.throws(() => parseRate(bad), /"/, bad)
  assert.equal(parseDuration('366d'), 366 * 86_400_000)
})

test('ICA_LIMITS: what it leaves out is as by default; every mistake is told', () => {
  assert.deepEqual(parseLimits('off'), noLimits)
  assert.deepEqual(parseLimits(''), defaultLimits)
  assert.deepEqual(parseLimits('ordersPerAccount=1000/3h, failedValidations=off'), {
    ...defaultLimits,
    ordersPerAccount: { count: 1000, windowMs: 10_800_000 },
    failedValidations: null,
  })
  assert.deepEqual(parseLimits(showLimits(defaultLimits)), defaultLimits)
  assert.throws(() => parseLimits('orders=1/1h'), /no limit "orders"; there are newAccountsPerAddress/)
  assert.throws(() => parseLimits('ordersPerAccount'), /examples/)
  assert.equal(Object.keys(defaultLimits).join(), limitNames.join())
})

test('addresses: IPv4 whole, also where it is mapped; IPv6 by its /64', () => {
  assert.equal(addressKey('192.0.2.1'), '192.0.2.1')
  assert.equal(addressKey('::ffff:192.0.2.1'), '192.0.2.1')
  assert.equal(addressKey('2001:db8:0:1:ffff::1'), '2001:db8:0:1::/64')
  assert.equal(addressKey('2001:0DB8::1'), addressKey('2001:db8:0:0:1:2:3:4'))
})

test('a set of names is the same in every order, and no other', () => {
  const names = fc.uniqueArray(fc.domain(), { minLength: 1, maxLength: 8 })
  const ids = (values: string[]) => values.map((value) => ({ type: 'dns' as const, value }))
  fc.assert(fc.property(names, (values) => exactSetKey(ids(values)) === exactSetKey(ids([...values].reverse()))))
  assert.notEqual(exactSetKey(ids(['a.example'])), exactSetKey([{ type: 'srv', value: 'a.example' }]))
  assert.notEqual(exactSetKey(ids(['a.example', 'b.example'])), exactSetKey(ids(['a.example'])))
})

test('where others take the last place again and again, the client hears of which limits, and when to try again', async () => {
  const now = Date.parse('2026-11-25T23:59:58Z')
  const deps = { store: { limitStates: async () => new Map() }, clock: { now: () => now } }
  const counters = [
    { limit: 'ordersPerAccount', rate: parseRate('300/3h'), key: 'a', what: 'orders' },
    { limit: 'failedValidations', rate: parseRate('5/1h'), key: 'b', what: 'failures', later: true },
    { limit: 'certificatesPerDomain', rate: null, key: 'c', what: 'certificates' },
  ] as const
  let tries = 0
  const busy = counted(deps, counters, () => {
    tries++
    throw new LimitExceeded()
  })
  await assert.rejects(busy, {
    code: 'rateLimited',
    retryAfter: 5,
    message:
      'Too many requests at once count against the same limit: ordersPerAccount (300 in 3 hours). Try again at 2026-11-26 00:00:03 UTC, in 5 seconds.',
  })
  assert.equal(tries, 4)
})
