/** What the operator decides while the CA runs: names, accounts, keys. Through the whole program. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as operator from '../../src/issuance/operator.js'
import { createPolicies } from '../../src/issuance/policies.js'
import { readPublicKey } from '../../src/pki/keys.js'
import { type AcmeClient, createAcmeClient, isProblem, newKey } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { challengeOf, finalize, leafOf, orderFor, proveAll, srvId } from '../support/flow.js'

const who = { actor: 'operator:test' }

let app: TestApp
before(async () => {
  app = await createTestApp()
  app.played.set('*', proven)
})
after(() => app.close())

const registered = async (key = newKey()): Promise<AcmeClient> => {
  const client = await createAcmeClient(app.directory, key)
  assert.equal((await client.register()).status, 201)
  return client
}

const idOf = (client: AcmeClient): string => (client.kid as string).split('/').at(-1) as string

/** The time after which every process knows. */
const settle = (): void => {
  app.clock.skew += 1100
}

test('names that are denied, need an approval, or have one; without a restart, and in subproblems', async () => {
  const client = await registered()
  assert.equal((await client.newOrder(['a.denied.example.org'])).status, 201)
  await operator.addNameRule(app.ica, 'deny', '.denied.example.org', 'a test', who)
  await operator.addNameRule(app.ica, 'high-risk', '.bank.example.org', '', who)
  settle()
  const reply = await client.newOrder(['fine.example.org', 'a.denied.example.org', 'www.bank.example.org'])
  isProblem(
    reply,
    400,
    'rejectedIdentifier',
    /does not certify "a\.denied\.example\.org" \(a test\).*"www\.bank\.example\.org" needs the approval of the operator/,
  )
  assert.deepEqual(
    reply.json.subproblems.map((s: { identifier: { value: string } }) => s.identifier.value),
    ['a.denied.example.org', 'www.bank.example.org'],
  )
  isProblem(await orderFor(client, [srvId('_xmpp-server.denied.example.org')]), 400, 'rejectedIdentifier')
  const newAuthz = (client.directory as never as { newAuthz: string }).newAuthz
  isProblem(await client.post(newAuthz, { identifier: { type: 'dns', value: 'denied.example.org' } }), 400, 'rejectedIdentifier')
  await operator.addNameRule(app.ica, 'allow', 'www.bank.example.org', 'asked by phone', who)
  settle()
  assert.equal((await client.newOrder(['www.bank.example.org'])).status, 201)
  await operator.removeNameRule(app.ica, 'deny', '.denied.example.org', who)
  settle()
  assert.equal((await client.newOrder(['a.denied.example.org'])).status, 201)
  await assert.rejects(operator.removeNameRule(app.ica, 'deny', '.denied.example.org', who), /not on the list/)
})

test('a name that is denied after it was ordered is not certified; the order stays ready', async () => {
  const client = await registered()
  const order = await client.newOrder(['late.example.net'])
  await proveAll(client, order)
  await operator.addNameRule(app.ica, 'deny', 'late.example.net', 'a test', who)
  settle()
  isProblem(await finalize(client, order, { dns: ['late.example.net'] }), 400, 'rejectedIdentifier')
  await operator.removeNameRule(app.ica, 'deny', 'late.example.net', who)
  settle()
  assert.equal((await finalize(client, order, { dns: ['late.example.net'] })).json.status, 'valid')
})

test('a paused account can read and revoke, but neither order nor prove nor finalize, and is told why', async () => {
  const client = await registered()
  const names = ['paused.example.net']
  const order = await client.newOrder(names)
  await proveAll(client, order)
  const done = await finalize(client, order, { dns: names })
  const leaf = await leafOf(client, done)
  const ready = await client.newOrder(names)
  const pending = await client.newOrder(['new.example.net'])
  await operator.pauseAccount(app.ica, idOf(client), 'its renewals fail.', who)
  const paused = /has paused this account: its renewals fail\. It can read/
  isProblem(await client.newOrder(names), 403, 'unauthorized', paused)
  isProblem(await finalize(client, ready, { dns: names }), 403, 'unauthorized', paused)
  const authorization = await client.post(pending.json.authorizations[0])
  isProblem(await client.post(challengeOf(authorization, 'dns-01').url, {}), 403, 'unauthorized', paused)
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'valid')
  assert.equal((await client.post(done.json.certificate)).status, 200)
  assert.equal((await client.post(client.directory.revokeCert, { certificate: Buffer.from(leaf.der).toString('base64url') })).status, 200)
  await assert.rejects(operator.pauseAccount(app.ica, idOf(client), 'again', who), /could be paused/)
  await operator.resumeAccount(app.ica, idOf(client), who)
  assert.equal((await finalize(client, ready, { dns: names })).json.status, 'valid')
  await assert.rejects(operator.resumeAccount(app.ica, idOf(client), who), /is paused/)
})

test('RFC 8555 §7.1.6: an account that the operator closes is revoked, and can do nothing', async () => {
  const client = await registered()
  await operator.revokeAccount(app.ica, idOf(client), 'a test', who)
  isProblem(await client.newOrder(['a.example.net']), 401, 'unauthorized', /closed by the operator/)
  isProblem(await client.register(), 401, 'unauthorized', /closed by the operator/)
  assert.equal((await app.store.accountById(idOf(client)))?.status, 'revoked')
})

test('a blocked key gets neither certificate nor account, until it is unblocked', async () => {
  const key = newKey()
  const { keyId } = readPublicKey(key.publicKey.export({ type: 'spki', format: 'der' }))
  await operator.blockKey(app.ica, keyId, 'a test', who)
  const client = await registered()
  const order = await client.newOrder(['key.example.net'])
  await proveAll(client, order)
  isProblem(await finalize(client, order, { dns: ['key.example.net'], key: key.privateKey }), 400, 'badCSR', /blocked/)
  isProblem(await (await createAcmeClient(app.directory, key)).register(), 400, 'badPublicKey', /blocked/)
  assert.deepEqual(
    (await app.store.blockedKeys('', 10)).map((k) => k.keyId),
    [keyId],
  )
  await operator.unblockKey(app.ica, keyId, who)
  assert.equal((await finalize(client, order, { dns: ['key.example.net'], key: key.privateKey })).json.status, 'valid')
})

test('everything that the operator does is in the audit log', async () => {
  const actions = new Set((await app.store.auditLog({ limit: 500 })).filter(({ actor }) => actor === who.actor).map(({ action }) => action))
  for (const action of [
    'nameRule.added',
    'nameRule.removed',
    'account.paused',
    'account.resumed',
    'account.revoked',
    'key.blocked',
    'key.unblocked',
  ]) {
    assert.ok(actions.has(action), action)
  }
})

test('another process knows within a second, and asks for no more than a version until then', async () => {
  let versions = 0
  let reads = 0
  const store = {
    policyVersion: () => {
      versions++
      return app.store.policyVersion()
    },
    policies: () => {
      reads++
      return app.store.policies()
    },
  }
  const clock = { time: 0, now: () => clock.time }
  const policies = createPolicies(store, clock)
  const refuses = async () => (await policies.current()).names.refusing({ type: 'dns', value: 'other.example.net' }) !== null
  await Promise.all(Array.from({ length: 10 }, refuses))
  await operator.addNameRule(app.ica, 'deny', 'other.example.net', '', who)
  assert.deepEqual([await refuses(), versions, reads], [false, 0, 1])
  clock.time += 1000
  assert.deepEqual([await refuses(), versions, reads], [true, 1, 2])
  clock.time += 1000
  assert.deepEqual([await refuses(), versions, reads], [true, 2, 2])
})

test('a key that is blocked while its order is finalized gets no certificate, and the order says why', async () => {
  const client = await registered()
  const key = newKey()
  const keyId = readPublicKey(key.publicKey.export({ type: 'spki', format: 'der' })).keyId
  const { lookUpCaa } = app.ica
  // CAA is asked for after the CSR was judged.
  app.ica.lookUpCaa = async (name, signal) => {
    await operator.blockKey(app.ica, keyId, 'a test', who)
    return lookUpCaa(name, signal)
  }
  try {
    const order = await client.newOrder(['race.example.net'])
    await proveAll(client, order)
    const finalized = await finalize(client, order, { dns: ['race.example.net'], key: key.privateKey })
    assert.deepEqual([finalized.json.status, finalized.json.error.type], ['invalid', 'urn:ietf:params:acme:error:badCSR'])
    assert.match(finalized.json.error.detail, /blocked meanwhile/)
    assert.deepEqual(await app.store.certificatesByKey(keyId), [])
  } finally {
    app.ica.lookUpCaa = lookUpCaa
  }
})
