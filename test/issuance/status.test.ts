import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { authorizationStatus, orderStatus } from '../../src/issuance/status.js'
import type { Authorization, Challenge, Order } from '../../src/model.js'

const NOW = Date.UTC(2026, 10, 21)

const challenge = (status: Challenge['status']): Challenge => ({
  id: 'c',
  authorizationId: 'a',
  type: 'dns-01',
  token: 't',
  status,
  validatedAt: null,
  error: null,
  attempts: 0,
  nextAttemptAt: null,
})

const authorization = (statuses: Challenge['status'][], more: Partial<Authorization> = {}): Authorization => ({
  id: 'a',
  accountId: 'x',
  identifier: { type: 'dns', value: 'example.com' },
  wildcard: false,
  createdAt: NOW,
  expiresAt: NOW + 1,
  deactivatedAt: null,
  challenges: statuses.map(challenge),
  ...more,
})

const order = (authorizations: Authorization[], more: Partial<Order> = {}): Order => ({
  id: 'o',
  accountId: 'x',
  profile: 'xmpp-server',
  identifiers: [],
  notBefore: null,
  notAfter: null,
  createdAt: NOW,
  expiresAt: NOW + 1,
  claimedAt: null,
  csr: null,
  certificateSerial: null,
  error: null,
  replaces: null,
  authorizations,
  ...more,
})

const problem = { type: 'urn:ietf:params:acme:error:serverInternal', detail: '', status: 500 }

for (const [what, a, status] of [
  ['untouched', authorization(['pending', 'pending']), 'pending'],
  ['being validated', authorization(['processing', 'pending']), 'pending'],
  ['validated', authorization(['pending', 'valid']), 'valid'],
  ['failed by one of its challenges', authorization(['pending', 'invalid']), 'invalid'],
  ['validated long ago', authorization(['valid'], { expiresAt: NOW }), 'expired'],
  ['never answered', authorization(['pending'], { expiresAt: NOW }), 'expired'],
  ['validated and given up', authorization(['valid'], { deactivatedAt: NOW - 1 }), 'deactivated'],
] as const) {
  test(`RFC 8555 §7.1.6: an authorization that was ${what} is ${status}`, () => assert.equal(authorizationStatus(a, NOW), status))
}

const valid = authorization(['valid'])
const pending = authorization(['pending'])
for (const [what, o, status] of [
  ['waits for one of its authorizations', order([valid, pending]), 'pending'],
  ['has all of its authorizations', order([valid, valid]), 'ready'],
  ['has a failed authorization', order([valid, authorization(['invalid'])]), 'invalid'],
  ['has an expired authorization', order([authorization(['valid'], { expiresAt: NOW })]), 'invalid'],
  ['has run out of time', order([valid], { expiresAt: NOW }), 'invalid'],
  ['was claimed', order([valid], { claimedAt: NOW - 1 }), 'processing'],
  ['was claimed and ran out of time', order([valid], { claimedAt: NOW - 1, expiresAt: NOW }), 'processing'],
  ['has its certificate', order([valid], { claimedAt: NOW - 1, certificateSerial: '01' }), 'valid'],
  ['has its certificate and is old', order([pending], { claimedAt: 1, certificateSerial: '01', expiresAt: 2 }), 'valid'],
  ['failed', order([valid], { claimedAt: NOW - 1, error: problem }), 'invalid'],
] as const) {
  test(`RFC 8555 §7.1.6: an order that ${what} is ${status}`, () => assert.equal(orderStatus(o, NOW), status))
}

test('an order is ready only while every authorization is valid, whatever the rows', () => {
  const status = fc.constantFrom('pending', 'processing', 'valid', 'invalid')
  const anyAuthorization = fc
    .record({ statuses: fc.array(status, { minLength: 1, maxLength: 3 }), expires: fc.integer({ min: -1, max: 1 }), off: fc.boolean() })
    .map(({ statuses, expires, off }) =>
      authorization(statuses as Challenge['status'][], { expiresAt: NOW + expires, deactivatedAt: off ? NOW : null }),
    )
  fc.assert(
    fc.property(fc.array(anyAuthorization, { minLength: 1, maxLength: 4 }), (all) => {
      const ready = orderStatus(order(all), NOW) === 'ready'
      assert.equal(
        ready,
        all.every((a) => authorizationStatus(a, NOW) === 'valid'),
      )
    }),
  )
})
