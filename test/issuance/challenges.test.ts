/** The queue of validations: what clients hasten (RFC 8555 §8.2), and what a process that died has left. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createValidationQueue } from '../../src/issuance/challenges.js'
import { type AcmeClient, createAcmeClient } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { challengeOf, dnsId, orderFor, poll } from '../support/flow.js'

const minute = 60_000
let app: TestApp
let client: AcmeClient
before(async () => {
  app = await createTestApp({ settings: { validationDelaysMs: [10 * minute, 10 * minute] } })
  client = await createAcmeClient(app.directory)
  await client.register()
})
after(() => app.close())

const challengeFor = async (name: string): Promise<string> => {
  const order = await orderFor(client, [dnsId(name)])
  return challengeOf(await client.post(order.json.authorizations[0]), 'dns-01').url
}

test('RFC 8555 §8.2: a client that responds again gets an attempt before its time, but not one after the other', async () => {
  let attempts = 0
  app.played.set('hurry.example.com', () =>
    ++attempts === 1 ? { ok: false, code: 'dns', detail: 'not there yet', retryable: true, evidence: {} } : { ok: true, evidence: {} },
  )
  const url = await challengeFor('hurry.example.com')
  await client.post(url, {})
  const waiting = await poll(client, url, ({ error }) => error !== undefined)
  assert.equal(waiting.json.status, 'processing')
  for (let i = 0; i < 3; i++) assert.equal((await client.post(url, {})).json.status, 'processing')
  assert.equal(attempts, 1, 'too early')
  app.clock.skew += 10_000
  await client.post(url, {})
  await poll(client, url, ({ status }) => status === 'valid')
  assert.equal(attempts, 2)
  await client.post(url, {})
  assert.equal(attempts, 2, 'what is decided stays so')
})

test('what a process held when it died is due when the next one starts', async () => {
  app.played.set('left.example.com', proven)
  const url = await challengeFor('left.example.com')
  const id = url.slice(url.lastIndexOf('/') + 1)
  const now = app.clock.now()
  assert.ok(
    await app.store.startChallenge(id, now + 10 * minute, {
      at: now,
      actor: 'system',
      action: 'challenge.accepted',
      subject: `challenge:${id}`,
      detail: {},
    }),
  )
  assert.equal((await client.post(url)).json.status, 'processing')
  const next = createValidationQueue(app.ica)
  next.start()
  try {
    await poll(client, url, ({ status }) => status === 'valid')
  } finally {
    await next.stop()
  }
})
