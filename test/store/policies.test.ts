import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { ExternalAccountKey, NameRule } from '../../src/model.js'
import { addAccount, auditEntry, day, hex, id, makeAccount, now, onEachEngine } from './fixtures.js'

onEachEngine('policies', (database, store) => {
  test('rules, overrides and marks are kept, and every change has a version of its own', async () => {
    let version = await store().policyVersion()
    const grows = async () => {
      const next = await store().policyVersion()
      assert.ok(next > version)
      version = next
    }
    const rule: NameRule = { list: 'deny', name: '.example.com', reason: 'ü', createdAt: now }
    await store().putNameRule(rule, auditEntry())
    await grows()
    await store().putNameRule({ ...rule, reason: 'another' }, auditEntry())
    await grows()
    const override = { limit: 'ordersPerAccount', subject: 'x', count: 5, windowMs: day }
    await store().putLimitOverride(override, auditEntry())
    await store().putLimitOverride({ ...override, subject: 'y', count: null }, auditEntry())
    await grows()
    const mark = {
      id: id(),
      selector: { serial: '01', issuedUntil: now },
      reason: 'r',
      explanationUrl: 'https://ca.test',
      spreadMs: day,
      markedAt: now,
    }
    await store().addRenewalMark(mark, auditEntry())
    await grows()
    const other = await database.open()
    assert.deepEqual(await other.policies(), {
      version,
      rules: [{ ...rule, reason: 'another' }],
      overrides: [override, { ...override, subject: 'y', count: null }],
      marks: [mark],
    })
    await other.close()
    assert.equal(await store().removeNameRule('allow', rule.name, auditEntry()), false)
    assert.equal(await store().removeNameRule('deny', rule.name, auditEntry()), true)
    assert.equal(await store().removeLimitOverride('ordersPerAccount', 'x', auditEntry()), true)
    assert.equal(await store().removeLimitOverride('ordersPerAccount', 'y', auditEntry()), true)
    assert.equal(await store().removeRenewalMark(mark.id, auditEntry()), true)
    assert.equal(await store().removeRenewalMark(mark.id, auditEntry()), false)
    await grows()
    assert.deepEqual(await store().policies(), { version, rules: [], overrides: [], marks: [] })
  })

  test('changes at once each have their version', async () => {
    const before = await store().policyVersion()
    const names = Array.from({ length: 20 }, () => `${hex(4)}.example.com`)
    await Promise.all(names.map((name) => store().putNameRule({ list: 'allow', name, reason: '', createdAt: now }, auditEntry())))
    assert.equal(await store().policyVersion(), before + 20)
  })

  test('accounts are paused, resumed and closed', async () => {
    const { id: accountId } = await addAccount(store())
    assert.equal(await store().pauseAccount(accountId, null, auditEntry()), false)
    assert.equal(await store().pauseAccount(accountId, { at: now, reason: 'why' }, auditEntry()), true)
    assert.equal(await store().pauseAccount(accountId, { at: now, reason: 'why' }, auditEntry()), false)
    assert.deepEqual((await store().accountById(accountId))?.paused, { at: now, reason: 'why' })
    assert.equal(await store().pauseAccount(accountId, null, auditEntry()), true)
    assert.equal((await store().accountById(accountId))?.paused, null)
    assert.equal(await store().revokeAccount(accountId, auditEntry()), true)
    assert.equal(await store().revokeAccount(accountId, auditEntry()), false)
    assert.equal(await store().pauseAccount(accountId, { at: now, reason: '' }, auditEntry()), false)
    assert.equal((await store().accountById(accountId))?.status, 'revoked')
  })

  test('blocked keys are listed in pages and unblocked', async () => {
    const keys = Array.from({ length: 5 }, () => hex(32)).sort()
    for (const key of keys) await store().blockKey(key, 'test', now, auditEntry())
    const first = await store().blockedKeys('', 3)
    const second = await store().blockedKeys(first.at(-1)?.keyId as string, 3)
    assert.deepEqual(
      [...first, ...second].map(({ keyId }) => keyId),
      keys,
    )
    assert.equal(await store().unblockKey(keys[0] as string, auditEntry()), true)
    assert.equal(await store().unblockKey(keys[0] as string, auditEntry()), false)
    assert.equal(await store().isKeyBlocked(keys[0] as string), false)
  })

  test('an external account key makes as many accounts as it may, also through two connections at once', async () => {
    const key: ExternalAccountKey = { id: id(), note: 'ü', usesLeft: 3, createdAt: now, expiresAt: now + day, revokedAt: null }
    const sealed = randomBytes(93)
    await store().addExternalAccountKey(key, sealed, auditEntry())
    const found = await store().externalAccountKey(key.id)
    assert.deepEqual({ ...found, sealedKey: Buffer.from(found?.sealedKey ?? []) }, { ...key, sealedKey: sealed })
    const other = await database.open()
    const make = (more = {}) => makeAccount({ externalAccount: { keyId: key.id, binding: { payload: 'x' } }, ...more })
    const accounts = Array.from({ length: 8 }, () => make())
    const results = await Promise.allSettled(accounts.map((account, i) => (i % 2 ? store() : other).createAccount(account, auditEntry())))
    await other.close()
    const made = accounts.filter((_, i) => results[i]?.status === 'fulfilled')
    assert.equal(made.length, 3)
    assert.deepEqual(await store().accountById(made[0]?.id as string), made[0])
    const [listed] = (await store().externalAccountKeys()).filter((k) => k.id === key.id)
    assert.deepEqual(listed, { ...key, usesLeft: 0, accounts: made.map((account) => account.id).sort() })
    const spare = { ...key, id: id() }
    await store().addExternalAccountKey(spare, sealed, auditEntry())
    const late = make({ externalAccount: { keyId: spare.id, binding: {} }, createdAt: now + day })
    await assert.rejects(store().createAccount(late, auditEntry()), { code: 'unauthorized' })
    assert.equal(await store().revokeExternalAccountKey(spare.id, now, auditEntry()), true)
    assert.equal(await store().revokeExternalAccountKey(spare.id, now, auditEntry()), false)
    await assert.rejects(store().createAccount({ ...late, createdAt: now }, auditEntry()), { code: 'unauthorized' })
    assert.equal(await store().accountById(late.id), null)
  })
})
