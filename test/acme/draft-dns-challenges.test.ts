/** dns-account-01 and dns-persist-01 through the whole program, against a real DNS server. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { dns01 } from '../../src/validation/dns-01.js'
import { accountLabel, dnsAccount01 } from '../../src/validation/dns-account-01.js'
import { dnsPersist01 } from '../../src/validation/dns-persist-01.js'
import { createPorts } from '../../src/validation/net.js'
import { hashedAccountUri } from '../../src/validation/persist-record.js'
import { keyAuthorizationDigest } from '../../src/validation/validator.js'
import { type AcmeClient, createAcmeClient, newKey } from '../support/acme.js'
import { createTestApp, type TestApp } from '../support/app.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { challengeOf, finalize, leafOf, orderFor, prove, rollOver, srvId } from '../support/flow.js'

let app: TestApp
let dns: DnsServer
let client: AcmeClient
before(async () => {
  dns = await startDnsServer(['test'])
  const ports = createPorts({ servers: [dns.address], lab: true })
  app = await createTestApp({
    validators: (base, clock) => [
      dns01(ports),
      dnsAccount01(ports),
      dnsPersist01({ ...ports, clock, issuerDomainNames: ['ca.test'], accountHashPrefix: `${base}/acme/account-hash/` }),
    ],
  })
  client = await createAcmeClient(app.directory)
  await client.register()
})
after(async () => {
  await app.close()
  await dns.close()
})
beforeEach(() => dns.clear())

let count = 0
const newName = (): string => `n${++count}.dns.test`
const status = async (url: string, type: string, by = client) => (await prove(by, url, type)).json.status
const authorizationOf = async (name: string): Promise<string> => (await client.newOrder([name])).json.authorizations[0]
const tokenOf = async (url: string, type: string): Promise<string> => challengeOf(await client.post(url), type).token
const mine = () => `ca.test; accounturi=${client.kid}`

test('draft-ietf-acme-dns-account-label §3.2: the record stands below the label of the account, and counts for wildcards', async () => {
  const name = newName()
  const order = await client.newOrder([`*.${name}`])
  const [url] = order.json.authorizations
  const expected = keyAuthorizationDigest(`${await tokenOf(url, 'dns-account-01')}.${client.key.thumbprint}`).toString('base64url')
  dns.set(`${accountLabel(client.kid as string)}._acme-challenge.${name}`, 'TXT', expected)
  assert.equal(await status(url, 'dns-account-01'), 'valid')
  await leafOf(client, await finalize(client, order, { dns: [`*.${name}`] }))
})

test('draft-ietf-acme-dns-account-label §3.2: the record of dns-01 does not prove it', async () => {
  const name = newName()
  const url = await authorizationOf(name)
  const digest = keyAuthorizationDigest(`${await tokenOf(url, 'dns-account-01')}.${client.key.thumbprint}`).toString('base64url')
  dns.set(`_acme-challenge.${name}`, 'TXT', digest)
  assert.equal(await status(url, 'dns-account-01'), 'invalid')
})

test('draft-ietf-acme-dns-persist §3.1: the challenge has the account, the names of the issuer and no token', async () => {
  const challenge = challengeOf(await client.post(await authorizationOf(newName())), 'dns-persist-01')
  const { url, ...rest } = challenge
  assert.ok(url)
  const names = { 'issuer-domain-names': ['ca.test'], issuerDomainNames: ['ca.test'] }
  assert.deepEqual(rest, { type: 'dns-persist-01', status: 'pending', accounturi: client.kid, ...names })
  const reply = await client.post(url)
  assert.deepEqual(reply.json, challenge)
})

test('draft-ietf-acme-dns-persist §3.2: the directory has what it takes to publish a record beforehand', async () => {
  const { meta } = client.directory
  assert.deepEqual([meta.issuerDomainNames, meta.accountHashPrefix], [['ca.test'], `${app.base}/acme/account-hash/`])
  for (const name of meta.issuerDomainNames as string[]) assert.ok((meta.caaIdentities as string[]).includes(name))
})

test('draft-ietf-acme-dns-persist §4: one record proves order after order of the account, and of no other', async () => {
  const name = newName()
  dns.set(`_validation-persist.${name}`, 'TXT', 'other.test; accounturi=x', mine())
  const order = await client.newOrder([name])
  assert.equal(await status(order.json.authorizations[0], 'dns-persist-01'), 'valid')
  await leafOf(client, await finalize(client, order, { dns: [name] }))
  assert.equal(await status(await authorizationOf(name), 'dns-persist-01'), 'valid')

  const other = await createAcmeClient(app.directory)
  await other.register()
  const foreign = await other.newOrder([name])
  const refused = await prove(other, foreign.json.authorizations[0], 'dns-persist-01')
  assert.equal(refused.json.status, 'invalid')
  assert.match(refused.json.challenges[0].error.detail, /another account/)
})

test('draft-ietf-acme-dns-persist §4.1 (revision 02): the hashed URI of the account, for this name or for any', async () => {
  const account = { thumbprint: client.key.thumbprint, accountUri: client.kid as string }
  const hashed = (domain: string) => hashedAccountUri(client.directory.meta.accountHashPrefix as string, domain, account)
  const [first, second, third] = [newName(), newName(), newName()]
  dns.set(`_validation-persist.${first}`, 'TXT', `ca.test; accounturi=${hashed(first)}`)
  dns.set(`_validation-persist.${second}`, 'TXT', `ca.test; accounturi=${hashed('*')}`)
  dns.set(`_validation-persist.${third}`, 'TXT', `ca.test; accounturi=${hashed(first)}`)
  const results = []
  for (const name of [first, second, third]) results.push(await status(await authorizationOf(name), 'dns-persist-01'))
  assert.deepEqual(results, ['valid', 'valid', 'invalid'])
})

test('draft-ietf-acme-dns-persist §5: a wildcard needs policy=wildcard', async () => {
  const name = newName()
  dns.set(`_validation-persist.${name}`, 'TXT', mine())
  assert.equal(await status(await authorizationOf(`*.${name}`), 'dns-persist-01'), 'invalid')
  dns.set(`_validation-persist.${name}`, 'TXT', `${mine()}; policy=WildCard`)
  assert.equal(await status(await authorizationOf(`*.${name}`), 'dns-persist-01'), 'valid')
})

test('draft-ietf-acme-dns-persist §4.1: the authorization expires with persistUntil, and nothing is issued on it after', async () => {
  const name = newName()
  const until = Math.floor(app.clock.now() / 1000) + 3 * 3_600
  dns.set(`_validation-persist.${name}`, 'TXT', `${mine()}; persistUntil=${until}`)
  const order = await client.newOrder([name])
  const authorization = await prove(client, order.json.authorizations[0], 'dns-persist-01')
  assert.deepEqual([authorization.json.status, Date.parse(authorization.json.expires)], ['valid', until * 1000])
  app.clock.skew = 4 * 3_600_000
  await client.post(client.directory.newOrder) // for a nonce of that time
  try {
    assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'invalid')
    assert.equal((await finalize(client, order, { dns: [name] })).status, 403)
    assert.equal(await status(await authorizationOf(name), 'dns-persist-01'), 'invalid')
  } finally {
    app.clock.skew = 0
    await client.post(client.directory.newOrder)
  }
})

test('draft-ietf-acme-dns-persist §4.2: a record that was published for an earlier key of the account proves after a key roll-over, another account’s does not', async () => {
  const account = await createAcmeClient(app.directory)
  await account.register()
  const prefix = account.directory.meta.accountHashPrefix as string
  const name = newName()
  const published = { thumbprint: account.key.thumbprint, accountUri: account.kid as string }
  dns.set(`_validation-persist.${name}`, 'TXT', `ca.test; accounturi=${hashedAccountUri(prefix, name, published)}`)
  for (const next of [newKey(), newKey('ES384')]) {
    assert.equal((await rollOver(account, next)).status, 200)
    account.key = next
  }
  const first = await account.newOrder([name])
  assert.equal(await status(first.json.authorizations[0], 'dns-persist-01', account), 'valid')
  await leafOf(account, await finalize(account, first, { dns: [name] }))
  assert.equal(await status(await authorizationOf(name), 'dns-persist-01'), 'invalid')
})

test('draft-ietf-acme-dns-persist §7.9: a proof counts in the order at hand and in no other, whatever the TTL', async () => {
  const name = newName()
  dns.set(`_validation-persist.${name}`, 'TXT', mine())
  const order = await client.newOrder([name])
  const { json } = await prove(client, order.json.authorizations[0], 'dns-persist-01')
  assert.deepEqual([json.status, Math.round((Date.parse(json.expires) - app.clock.now()) / 3_600_000)], ['valid', 8])
  assert.notEqual((await client.newOrder([name])).json.authorizations[0], order.json.authorizations[0])
  await leafOf(client, await finalize(client, order, { dns: [name] }))
  dns.clear()
  assert.equal(await status(await authorizationOf(name), 'dns-persist-01'), 'invalid')
})

test('draft-ietf-acme-dns-persist §4, draft-ietf-acme-dns-account-label §3.2: services are proven too, each below the service', async () => {
  const service = `_xmpp-server.${newName()}`
  dns.set(`_validation-persist.${service}`, 'TXT', mine())
  const order = await orderFor(client, [srvId(service)])
  assert.equal(await status(order.json.authorizations[0], 'dns-persist-01'), 'valid')
  await leafOf(client, await finalize(client, order, { srv: [service] }))
})
