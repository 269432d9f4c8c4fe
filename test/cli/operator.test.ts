/** The commands by which an operator decides: limits, names, accounts, keys, external accounts, early renewal. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openStore, type Store } from '../../src/store/store.js'
import { auditEntry, hex, makeAccount, silent } from '../store/fixtures.js'
import { newFolder, run } from '../support/program.js'

describe('commands of the operator', () => {
  const { folder, remove } = newFolder()
  const account = makeAccount({ id: hex(), thumbprint: hex(32) })
  let store: Store
  before(async () => {
    store = await openStore({ url: `file:${path.join(folder, 'data/ica.db')}`, log: silent })
    await store.createAccount(account, auditEntry())
  })
  after(async () => {
    await store.close()
    remove()
  })

  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(folder, args)
    assert.equal(code, 0, stderr)
    return stdout
  }
  const json = async (...args: string[]) => JSON.parse(await ok(...args, '--json'))
  const refused = async (message: RegExp, ...args: string[]): Promise<void> => {
    const { code, stderr } = await run(folder, args)
    assert.equal(code, 1, stderr)
    assert.match(stderr, message)
  }

  it('limit: list, set, unset', async () => {
    await ok('limit', 'set', 'certificatesPerDomain', 'Example.org', '500/7d')
    await ok('limit', 'set', 'newAccountsPerAddress', '2001:db8:1:2::1', 'off')
    await ok('limit', 'set', 'ordersPerAccount', account.id, '5000/3h')
    const { limits, overrides } = await json('limit', 'list')
    assert.equal(limits.ordersPerAccount, '300/3h')
    assert.deepEqual(
      overrides.map((o: Record<string, string>) => `${o.limit} ${o.subject} ${o.rate}`),
      ['certificatesPerDomain example.org 500/7d', 'newAccountsPerAddress 2001:db8:1:2::/64 off', `ordersPerAccount ${account.id} 5000/3h`],
    )
    await refused(/not a registered domain; is example\.org meant/, 'limit', 'set', 'certificatesPerDomain', 'www.example.org', '5/7d')
    await refused(/no account nobody/, 'limit', 'set', 'ordersPerAccount', 'nobody', '5/7d')
    await refused(/examples: 50\/7d/, 'limit', 'set', 'ordersPerAccount', account.id, 'many')
    await ok('limit', 'unset', 'ordersPerAccount', account.id)
    await refused(/no ordersPerAccount of its own/, 'limit', 'unset', 'ordersPerAccount', account.id)
  })

  it('policy: add, list, remove', async () => {
    await ok('policy', 'high-risk', 'add', '.Bank.example', '--reason', 'a bank')
    await ok('policy', 'allow', 'add', 'chat.bank.example')
    assert.deepEqual(
      (await json('policy', 'list')).map((rule: Record<string, string>) => [rule.list, rule.name, rule.reason]),
      [
        ['allow', 'chat.bank.example', ''],
        ['high-risk', '.bank.example', 'a bank'],
      ],
    )
    assert.equal((await json('policy', 'allow', 'list')).length, 1)
    await refused(/write "\.example\.com"/, 'policy', 'deny', 'add', '*.example.com')
    await ok('policy', 'allow', 'remove', 'chat.bank.example')
    await refused(/not on the list allow/, 'policy', 'allow', 'remove', 'chat.bank.example')
  })

  it('account: show, pause, resume, deactivate', async () => {
    assert.equal((await json('account', 'show', account.thumbprint)).id, account.id)
    await ok('account', 'pause', account.id, '--reason', 'a test')
    assert.match(await ok('account', 'show', account.id), /status +paused since .*: a test/)
    await refused(/could be paused/, 'account', 'pause', account.id, '--reason', 'again')
    await ok('account', 'resume', account.id)
    await ok('account', 'deactivate', account.id)
    assert.equal((await json('account', 'show', `http://localhost:8080/acme/account/${account.id}`)).status, 'revoked')
    await refused(/no account "nobody"/, 'account', 'show', 'nobody')
  })

  it('key: block a file, list, unblock', async () => {
    const file = path.join(folder, 'leaked.pem')
    writeFileSync(file, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await ok('key', 'block', file, '--reason', 'a test')
    const [{ keyId, reason }] = await json('key', 'list')
    assert.equal(reason, 'a test')
    await ok('key', 'unblock', keyId)
    assert.deepEqual(await json('key', 'list'), [])
    await refused(/is not blocked/, 'key', 'unblock', keyId)
    await refused(/neither a file, nor/, 'key', 'block', 'nonsense')
  })

  it('renewal: mark, list, unmark', async () => {
    const id = (await ok('renewal', 'mark', '--domain', 'example.org', '--issued-from', '2026-01-01', '--reason', 'a test', '--spread', '24h')).trim()
    const [mark] = await json('renewal', 'list')
    assert.deepEqual([mark.id, mark.reason, mark.spreadSeconds, mark.selector.domain], [id, 'a test', 86_400, 'example.org'])
    await ok('renewal', 'unmark', id)
    const unicode = (await ok('renewal', 'mark', '--domain', 'Bücher.Example', '--reason', 'a test')).trim()
    assert.equal((await json('renewal', 'list'))[0].selector.domain, 'xn--bcher-kva.example')
    await ok('renewal', 'unmark', unicode)
    assert.deepEqual(await json('renewal', 'list'), [])
    await refused(/Which certificates\?/, 'renewal', 'mark', '--reason', 'x')
    await refused(/no other condition/, 'renewal', 'mark', '--all', '--domain', 'example.org', '--reason', 'x')
    await refused(/no certificate with the serial/, 'renewal', 'show', '01')
  })

  it('eab: create, list, revoke; the secret is shown once', async () => {
    await ok('init')
    const { kid, hmacKey } = await json('eab', 'create', '--note', 'Jane', '--expires', '14d')
    assert.equal(Buffer.from(hmacKey, 'base64url').length, 64)
    const list = await ok('eab', 'list')
    assert.match(list, new RegExp(`${kid} +usable +1 `))
    assert.ok(!list.includes(hmacKey))
    await ok('eab', 'revoke', kid)
    assert.equal((await json('eab', 'list'))[0].state, 'revoked')
    await refused(/no external account key/, 'eab', 'revoke', kid)
  })

  it('everything is in the audit log, with who did it', async () => {
    const rows = (await store.auditLog({ limit: 200 })).filter(({ actor }) => actor.startsWith('operator:'))
    const wanted = ['limit.set', 'limit.unset', 'nameRule.added', 'nameRule.removed', 'account.paused', 'account.resumed', 'account.revoked']
    const more = ['key.blocked', 'key.unblocked', 'renewal.marked', 'renewal.unmarked', 'externalAccountKey.created', 'externalAccountKey.revoked']
    for (const action of [...wanted, ...more])
      assert.ok(
        rows.some((row) => row.action === action),
        action,
      )
  })
})
