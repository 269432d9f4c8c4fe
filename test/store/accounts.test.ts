import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { addAccount, auditEntry, id, makeAccount, now, onEachEngine } from './fixtures.js'

onEachEngine('nonces and accounts', (database, store) => {
  test('a nonce can be used once', async () => {
    const nonce = randomBytes(16)
    assert.equal(await store().useNonce(nonce, now + 1000), true)
    assert.equal(await store().useNonce(nonce, now + 1000), false)
    const results = await Promise.all(Array.from({ length: 8 }, () => store().useNonce(Buffer.from('the same'), now)))
    assert.equal(results.filter(Boolean).length, 1)
  })

  test('authenticate uses the nonce and reads the account', async () => {
    const account = await addAccount(store())
    const nonce = randomBytes(16)
    assert.deepEqual(await store().authenticate(nonce, now, account.id), { fresh: true, account })
    assert.deepEqual(await store().authenticate(nonce, now, id()), { fresh: false, account: null })
  })

  test('only expired nonces are pruned, however many', async () => {
    const nonces = Array.from({ length: 2100 }, (_unused, n) => ({ id: randomBytes(16), expiresAt: now - 2500 + n }))
    await Promise.all(nonces.map((nonce) => store().useNonce(nonce.id, nonce.expiresAt)))
    const kept = randomBytes(16)
    await store().useNonce(kept, now + 10_000)
    assert.equal(await store().pruneNonces(now - 400), 2100)
    assert.equal(await store().useNonce(kept, now), false)
  })

  test('an account is found by id and by key', async () => {
    const account = makeAccount({ termsAgreedAt: null, contact: [] })
    assert.deepEqual(await store().createAccount(account, auditEntry()), { account, created: true })
    assert.deepEqual(await store().accountById(account.id), account)
    assert.deepEqual(await store().accountByThumbprint(account.thumbprint), account)
    assert.equal(await store().accountById(id()), null)
  })

  test('an account is as it is now, whichever process changed it, and however often it was asked for', async () => {
    const account = await addAccount(store())
    const other = await database.open()
    try {
      for (let round = 0; round < 3; round++) {
        const own = [`mailto:own${round}@example.com`]
        assert.equal(await store().updateAccount(account.id, { contact: own }, auditEntry()), true)
        for (const one of [store(), store(), other]) assert.deepEqual((await one.accountById(account.id))?.contact, own)
        assert.equal(await other.pauseAccount(account.id, { at: now, reason: `${round}` }, auditEntry()), true)
        for (const one of [store(), store(), other]) assert.deepEqual((await one.accountById(account.id))?.paused, { at: now, reason: `${round}` })
        assert.equal(await store().pauseAccount(account.id, null, auditEntry()), true)
        for (const one of [other, store()]) assert.equal((await one.accountById(account.id))?.paused, null)
      }
    } finally {
      await other.close()
    }
  })

  test('a key has one account: creating it again gives the first and writes nothing', async () => {
    const account = await addAccount(store())
    const audit = auditEntry()
    const again = await store().createAccount(makeAccount({ thumbprint: account.thumbprint }), audit)
    assert.deepEqual(again, { account, created: false })
    assert.deepEqual(await store().auditLog({ subject: audit.subject, limit: 10 }), [])
    const thumbprint = id()
    const created = await Promise.all(Array.from({ length: 8 }, () => store().createAccount(makeAccount({ thumbprint }), auditEntry())))
    assert.equal(created.filter((c) => c.created).length, 1)
    assert.equal(new Set(created.map((c) => c.account.id)).size, 1)
  })

  test('an update changes only what is given', async () => {
    const account = await addAccount(store())
    assert.equal(await store().updateAccount(account.id, { contact: ['mailto:nurse@example.com'] }, auditEntry()), true)
    assert.deepEqual(await store().accountById(account.id), { ...account, contact: ['mailto:nurse@example.com'] })
    await store().updateAccount(account.id, { termsAgreedAt: now + 1 }, auditEntry())
    assert.deepEqual(await store().accountById(account.id), { ...account, contact: ['mailto:nurse@example.com'], termsAgreedAt: now + 1 })
  })

  test('a deactivated account stays so', async () => {
    const account = await addAccount(store())
    assert.equal(await store().deactivateAccount(account.id, now, auditEntry()), true)
    assert.equal(await store().deactivateAccount(account.id, now, auditEntry()), false)
    assert.equal(await store().updateAccount(account.id, { contact: [] }, auditEntry()), false)
    assert.deepEqual(await store().changeAccountKey(account.id, account.thumbprint, account.jwk, id(), auditEntry()), { result: 'stale' })
    assert.equal((await store().accountById(account.id))?.status, 'deactivated')
  })

  test('a key roll-over needs the old key and a free new one', async () => {
    const [account, other] = [await addAccount(store()), await addAccount(store())]
    const change = (from: string, to: string) => store().changeAccountKey(account.id, from, { kty: 'OKP' }, to, auditEntry())
    assert.deepEqual(await change(account.thumbprint, other.thumbprint), { result: 'conflict', accountId: other.id })
    assert.deepEqual(await change(id(), id()), { result: 'stale' })
    const next = id()
    assert.deepEqual(await change(account.thumbprint, next), { result: 'changed' })
    assert.deepEqual(await store().accountByThumbprint(next), { ...account, jwk: { kty: 'OKP' }, thumbprint: next })
    assert.equal(await store().accountByThumbprint(account.thumbprint), null)
  })

  test('the keys that an account had are known, the latest first', async () => {
    const [account, other] = [await addAccount(store()), await addAccount(store())]
    assert.deepEqual(await store().priorThumbprints(account.id), [])
    const keys = [account.thumbprint, id(), id(), account.thumbprint]
    for (const [n, to] of keys.slice(1).entries()) {
      const from = keys[n] as string
      const audit = { ...auditEntry(), action: 'account.keyChanged', subject: `account:${account.id}`, detail: { from, to } }
      assert.equal((await store().changeAccountKey(account.id, from, { kty: 'OKP' }, to, audit)).result, 'changed')
    }
    assert.deepEqual(await store().priorThumbprints(account.id), [keys[2], keys[1], keys[0]])
    assert.deepEqual(await store().priorThumbprints(other.id), [])
  })

  test('two accounts that change to the same key at once: one gets it, the other learns whose it is', async () => {
    const accounts = [await addAccount(store()), await addAccount(store())] as const
    const thumbprint = id()
    const results = await Promise.all(accounts.map((a) => store().changeAccountKey(a.id, a.thumbprint, a.jwk, thumbprint, auditEntry())))
    assert.deepEqual(results.map(({ result }) => result).sort(), ['changed', 'conflict'])
  })

  test('a setting is made once', async () => {
    const made = await Promise.all(Array.from({ length: 8 }, (_unused, n) => store().settingOnce('the-key', () => `value ${n}`)))
    assert.equal(new Set(made).size, 1)
    assert.equal(await store().settingOnce('the-key', () => 'another'), made[0])
  })

  test('ping writes', async () => {
    await store().ping()
    await store().ping()
  })
})
