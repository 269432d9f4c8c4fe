import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createNonces, NONCE_LIFETIME_MS } from '../../src/acme/nonce.js'
import { IcaError } from '../../src/errors.js'

/** The functions of the store, on a Map that plays the database which nodes share (PostgreSQL) and which outlives them. */
const memory = (engine: 'sqlite' | 'postgresql' = 'postgresql') => {
  const settings = new Map<string, string>()
  const used = new Map<string, number>()
  const useNonce = async (id: Uint8Array, expiresAt: number) => {
    const name = Buffer.from(id).toString('hex')
    if (used.has(name)) return false
    used.set(name, expiresAt)
    return true
  }
  return {
    engine,
    used,
    accountById: async () => null,
    settingOnce: async (name: string, make: () => string) => {
      if (!settings.has(name)) settings.set(name, make())
      return settings.get(name) as string
    },
    useNonce,
    authenticate: async (id: Uint8Array, expiresAt: number, _accountId: string) => ({ fresh: await useNonce(id, expiresAt), account: null }),
  }
}

const clockAt = (now: number) => {
  const clock = { at: now, now: () => clock.at }
  return clock
}
const bad = (detail: RegExp) => (error: unknown) => error instanceof IcaError && error.code === 'badNonce' && detail.test(error.message)
const start = Date.UTC(2026, 0, 1)

test('RFC 8555 §6.5: a nonce serves once, on any node, also after a restart', async () => {
  const store = memory()
  const clock = clockAt(start)
  const [one, other] = [await createNonces(store, clock), await createNonces(store, clock)]
  const nonce = one.issue()
  await other.use(nonce)
  await assert.rejects(one.use(nonce), bad(/used before/))
  await assert.rejects(other.use(nonce), bad(/used before/))
  const later = await createNonces(store, clock)
  await assert.rejects(later.use(nonce), bad(/used before/))
  await assert.rejects(later.useFor('1', nonce), bad(/used before/))
  const forAccount = later.issue()
  assert.equal(await later.useFor('1', forAccount), null)
  await assert.rejects(later.use(forAccount), bad(/used before/))
  await later.use(one.issue())
})

test('RFC 8555 §6.5: one process that serves a database alone writes nothing, takes a nonce once, and none from before a restart', async () => {
  const store = memory('sqlite')
  const clock = clockAt(start)
  const nonces = await createNonces(store, clock)
  const [first, forAccount, unused] = [nonces.issue(), nonces.issue(), nonces.issue()]
  await nonces.use(first)
  await assert.rejects(nonces.use(first), bad(/used before/))
  assert.equal(await nonces.useFor('1', forAccount), null)
  await assert.rejects(nonces.useFor('1', forAccount), bad(/used before/))
  const later = await createNonces(store, clock)
  for (const nonce of [first, forAccount, unused]) await assert.rejects(later.use(nonce), bad(/before a restart/))
  await later.use(later.issue())
  await nonces.use(unused)
  assert.equal(store.used.size, 0)
})

test('a nonce of one process serves once in whatever order nonces come back, over many pages of memory', async () => {
  const nonces = await createNonces(memory('sqlite'), clockAt(start))
  const many = Array.from({ length: 140_000 }, () => nonces.issue())
  const sample = many.filter((_, index) => index % 997 === 0 || Math.abs(index - 65_536) < 20).sort()
  for (const nonce of sample) await nonces.use(nonce)
  for (const nonce of sample) await assert.rejects(nonces.use(nonce), bad(/used before/))
  await nonces.use(many[1] as string)
})

test('a nonce that one process has forgotten stays expired, also after the clock was set back', async () => {
  const clock = clockAt(start)
  const nonces = await createNonces(memory('sqlite'), clock)
  const [spent, unspent] = [nonces.issue(), nonces.issue()]
  await nonces.use(spent)
  for (let i = 0; i < 65_536; i++) nonces.issue()
  clock.at += 2 * NONCE_LIFETIME_MS
  for (let i = 0; i < 65_536; i++) nonces.issue()
  clock.at = start
  for (const nonce of [spent, unspent]) await assert.rejects(nonces.use(nonce), bad(/expired/))
  await nonces.use(nonces.issue())
})

for (const engine of ['postgresql', 'sqlite'] as const)
  test(`RFC 8555 §6.5: of many uses at once one succeeds (${engine})`, async () => {
    const nonces = await createNonces(memory(engine), clockAt(start))
    const nonce = nonces.issue()
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => nonces.use(nonce)))
    assert.equal(results.filter((r) => r.status === 'fulfilled').length, 1)
  })

for (const engine of ['postgresql', 'sqlite'] as const)
  test(`RFC 8555 §6.5: a nonce of another CA, a missing one and an expired one are refused (${engine})`, async () => {
    const store = memory(engine)
    const clock = clockAt(start)
    const nonces = await createNonces(store, clock)
    await assert.rejects(nonces.use(undefined), bad(/no nonce/))
    await assert.rejects(nonces.use((await createNonces(memory(engine), clock)).issue()), bad(/not from this CA/))
    for (const text of ['', 'AAAA', Buffer.alloc(32).toString('base64url'), 'not base64url!'])
      await assert.rejects(nonces.use(text), bad(/not from this CA/))
    const [early, late] = [nonces.issue(), nonces.issue()]
    clock.at += NONCE_LIFETIME_MS
    await nonces.use(early)
    clock.at += 1
    await assert.rejects(nonces.use(late), bad(/expired/))
  })

test('a used nonce is remembered until well after it has expired', async () => {
  const store = memory()
  const nonces = await createNonces(store, clockAt(start))
  await nonces.use(nonces.issue())
  assert.ok([...store.used.values()].every((expiresAt) => expiresAt >= start + NONCE_LIFETIME_MS + 3_600_000))
})

test('a nonce of a node whose clock runs ahead is taken', async () => {
  const store = memory()
  const ahead = await createNonces(store, clockAt(start + 60_000))
  await (await createNonces(store, clockAt(start))).use(ahead.issue())
})

for (const engine of ['postgresql', 'sqlite'] as const)
  test(`RFC 8555 §6.5.1: nonces are base64url and differ (${engine})`, async () => {
    const nonces = await createNonces(memory(engine), clockAt(start))
    const many = Array.from({ length: 1000 }, () => nonces.issue())
    assert.equal(new Set(many).size, 1000)
    for (const nonce of many) assert.match(nonce, /^[A-Za-z0-9_-]{43}$/)
  })

for (const engine of ['postgresql', 'sqlite'] as const)
  test(`no bit of a nonce can be changed, and no text is a nonce (${engine})`, async () => {
    const nonces = await createNonces(memory(engine), clockAt(start))
    const bytes = Buffer.from(nonces.issue(), 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      await assert.rejects(nonces.use(changed.toString('base64url')), bad(/not from this CA/))
    }
    await fc.assert(fc.asyncProperty(fc.oneof(fc.string(), fc.base64String()), (text) => assert.rejects(nonces.use(text), bad(/./))))
  })
