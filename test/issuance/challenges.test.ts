/** The queue of validations: what clients hasten (RFC 8555 §8.2), and what a process that died has left. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createValidationQueue } from '../../src/issuance/validation-queue.js'
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

/** Names that answer when they are told to, and how many are asked at a time. */
const slow = () => {
  const waiting: (() => void)[] = []
  let released = false
  const seen = { running: 0, most: 0, looks: 0 }
  return {
    seen,
    played: async () => {
      seen.looks++
      seen.most = Math.max(seen.most, ++seen.running)
      if (!released) await new Promise<void>((resolve) => waiting.push(resolve))
      seen.running--
      return { ok: true as const, evidence: {} }
    },
    release() {
      released = true
      for (const go of waiting) go()
    },
  }
}

/** Has every name of an order validated, and gives the ids of the challenges. */
const respondToAll = async (names: string[]): Promise<string[]> => {
  const order = await orderFor(client, names.map(dnsId))
  const urls: string[] = []
  for (const authorization of order.json.authorizations) {
    const { url } = challengeOf(await client.post(authorization), 'dns-01')
    await client.post(url, {})
    urls.push(url)
  }
  return urls
}

test('names that do not answer keep other accounts from nothing, and what waited too long for its turn has lost no attempt', async () => {
  const silentNames = slow()
  const names = Array.from({ length: 40 }, (_, i) => `n${i}.silent.example.com`)
  for (const name of names) app.played.set(name, silentNames.played)
  const urls = await respondToAll(names)
  const other = await createAcmeClient(app.directory)
  await other.register()
  app.played.set('quick.example.com', proven)
  const order = await orderFor(other, [dnsId('quick.example.com')])
  const { url } = challengeOf(await other.post(order.json.authorizations[0]), 'dns-01')
  await other.post(url, {})
  await poll(other, url, ({ status }) => status === 'valid')
  assert.deepEqual([silentNames.seen.running, silentNames.seen.most], [16, 16])
  app.clock.skew += 6_000
  silentNames.release()
  for (const one of urls) {
    await poll(client, one, ({ status }) => status === 'valid')
    assert.equal((await app.store.challengeById(one.slice(one.lastIndexOf('/') + 1)))?.challenge.attempts, 1)
  }
  assert.deepEqual([silentNames.seen.looks, silentNames.seen.most], [40, 16])
})

test('RFC 8555 §8.2: who responds again gets no more validations at a time than everybody', async () => {
  const silentNames = slow()
  let attempts = 0
  app.played.set('again.example.com', () => {
    attempts++
    return attempts === 1 ? { ok: false, code: 'dns', detail: 'not there yet', retryable: true, evidence: {} } : { ok: true, evidence: {} }
  })
  const [again] = await respondToAll(['again.example.com'])
  await poll(client, again as string, ({ error }) => error !== undefined)
  const names = Array.from({ length: 16 }, (_, i) => `n${i}.busy.example.com`)
  for (const name of names) app.played.set(name, silentNames.played)
  const urls = await respondToAll(names)
  assert.equal(silentNames.seen.running, 16)
  app.clock.skew += 10_000
  await client.post(again as string, {})
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.equal(attempts, 1)
  silentNames.release()
  for (const one of [again as string, ...urls]) await poll(client, one, ({ status }) => status === 'valid')
  assert.equal(attempts, 2)
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
