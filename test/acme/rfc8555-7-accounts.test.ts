/** RFC 8555 §7.1.1 to §7.3, directory, nonces and accounts, through the whole program. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, test } from 'node:test'
import { type AcmeClient, createAcmeClient, isFresh, isProblem, newKey, type Reply, request } from '../support/acme.js'
import { createTestApp, type TestApp } from '../support/app.js'
import { rollOver } from '../support/flow.js'

let app: TestApp
before(async () => {
  app = await createTestApp()
})
after(() => app.close())

const registered = async (key = newKey()): Promise<AcmeClient> => {
  const client = await createAcmeClient(app.directory, key)
  assert.equal((await client.register()).status, 201)
  return client
}

test('RFC 8555 §7.1.1: the directory', async () => {
  const reply = await request('GET', app.directory)
  assert.equal(reply.status, 200)
  // ejabberd's client takes nothing but this, letter by letter.
  assert.equal(reply.headers.get('content-type'), 'application/json')
  assert.equal(reply.links.index, undefined)
  for (const name of ['newNonce', 'newAccount', 'newOrder', 'revokeCert', 'keyChange'])
    assert.ok(reply.json[name].startsWith(`${app.base}/acme/`), name)
  const { meta } = reply.json
  assert.ok(new URL(meta.termsOfService).host)
  assert.ok(new URL(meta.website).host)
  assert.deepEqual(meta.caaIdentities, ['ca.test'])
  assert.equal(meta.externalAccountRequired, undefined)
  assert.equal((await request('HEAD', app.directory)).status, 200)
})

test('draft-ietf-acme-profiles §3: the directory describes every profile', async () => {
  const { meta } = (await request('GET', app.directory)).json
  assert.deepEqual(Object.keys(meta.profiles), [...app.ica.profiles.keys()])
  for (const description of Object.values(meta.profiles)) assert.ok(typeof description === 'string' && description.length > 20)
})

test('RFC 8555 §7.2: a new nonce by HEAD with 200, by GET with 204, never cached', async () => {
  const { newNonce } = (await request('GET', app.directory)).json
  for (const [method, status] of [
    ['HEAD', 200],
    ['GET', 204],
  ] as const) {
    const reply = await request(method, newNonce)
    assert.deepEqual([reply.status, reply.text, reply.headers.get('cache-control')], [status, '', 'no-store'])
    isFresh(reply)
    assert.deepEqual(reply.links.index, [app.directory])
  }
})

test('RFC 8555 §7.3: a new account is 201 with its URL, and reflects what was understood', async () => {
  const client = await createAcmeClient(app.directory)
  const contact = ['mailto:admin@example.com']
  const reply = await client.register({ termsOfServiceAgreed: true, contact, orders: 'https://evil.example', status: 'revoked', unknown: 1 })
  assert.equal(reply.status, 201)
  assert.equal(reply.headers.get('content-type'), 'application/json')
  assert.equal(reply.headers.get('location'), client.kid)
  assert.deepEqual(reply.json, { status: 'valid', contact, termsOfServiceAgreed: true, orders: `${client.kid}/orders` })
})

test('RFC 8555 §7.3, §7.3.3: terms must be agreed to, and the error links to them', async () => {
  for (const payload of [{}, { termsOfServiceAgreed: false }, { termsOfServiceAgreed: 'true' }, { termsOfServiceAgreed: 1 }]) {
    const client = await createAcmeClient(app.directory)
    const reply = await client.register(payload)
    isProblem(reply, 403, 'userActionRequired', /terms/)
    assert.equal(reply.json.instance, reply.links['terms-of-service']?.[0])
    assert.deepEqual(reply.links['terms-of-service'], [client.directory.meta.termsOfService])
    assert.deepEqual(reply.links.index, [app.directory])
  }
})

test('RFC 8555 §7.3: contacts that are not supported or not valid', async () => {
  const client = await createAcmeClient(app.directory)
  const agreed = { termsOfServiceAgreed: true }
  isProblem(await client.register({ ...agreed, contact: ['tel:+12025551212'] }), 400, 'unsupportedContact', /tel:/)
  isProblem(await client.register({ ...agreed, contact: ['mailto:a@example.com,b@example.com'] }), 400, 'invalidContact')
  isProblem(await client.register({ ...agreed, contact: ['mailto:a@example.com?subject=x'] }), 400, 'invalidContact')
  isProblem(await client.register({ ...agreed, contact: ['mailto:\0@example.com'] }), 400, 'invalidContact')
  isProblem(await client.register({ ...agreed, contact: ['mailto:a..b@example.com'] }), 400, 'invalidContact')
  isProblem(await client.register({ ...agreed, contact: 'mailto:a@example.com' }), 400, 'malformed')
})

test('RFC 8555 §6.2, §7.3: newAccount is signed by the key itself, and nothing else but revokeCert', async () => {
  const client = await registered()
  isProblem(await client.post(client.directory.newAccount, { termsOfServiceAgreed: true }), 400, 'malformed', /"jwk"/)
  isProblem(await client.postByKey(client.directory.newOrder, {}), 400, 'malformed', /"kid"/)
})

test('RFC 8555 §6.2, §6.7: keys that no account may have are badPublicKey', async () => {
  const client = await createAcmeClient(app.directory)
  const weak = newKey('RS256', generateKeyPairSync('rsa', { modulusLength: 1024 }))
  isProblem(await client.postByKey(client.directory.newAccount, { termsOfServiceAgreed: true }, weak), 400, 'badPublicKey', /1024/)
  const key = newKey()
  const withPrivate = { ...key, jwk: { ...key.jwk, d: key.privateKey.export({ format: 'jwk' }).d } as never }
  isProblem(await client.postByKey(client.directory.newAccount, { termsOfServiceAgreed: true }, withPrivate), 400, 'badPublicKey', /private/)
  const offCurve = { ...key, jwk: { ...key.jwk, y: key.jwk.x } as never }
  isProblem(await client.postByKey(client.directory.newAccount, { termsOfServiceAgreed: true }, offCurve), 400, 'badPublicKey', /curve/)
})

test('RFC 8555 §7.3.1: the account of a key is found, by the same request or by onlyReturnExisting', async () => {
  const client = await registered()
  for (const payload of [{ termsOfServiceAgreed: true }, { onlyReturnExisting: true }, {}]) {
    const reply = await client.postByKey(client.directory.newAccount, payload)
    assert.deepEqual([reply.status, reply.headers.get('location'), reply.json.status], [200, client.kid, 'valid'])
  }
  const stranger = await createAcmeClient(app.directory)
  isProblem(await stranger.register({ onlyReturnExisting: true, termsOfServiceAgreed: true }), 400, 'accountDoesNotExist')
})

test('RFC 8555 §7.3.2: contact can be changed, other fields can’t', async () => {
  const client = await registered()
  const url = client.kid as string
  const contact = ['mailto:new@example.com']
  const changed = await client.post(url, { contact, orders: 'x', status: 'valid', key: {}, unknown: 1 })
  assert.deepEqual([changed.status, changed.json], [200, { status: 'valid', contact, termsOfServiceAgreed: true, orders: `${url}/orders` }])
  assert.deepEqual((await client.post(url, {})).json.contact, contact)
  assert.deepEqual((await client.post(url)).json.contact, contact)
  assert.deepEqual((await client.post(url, { contact: [] })).json.contact, [])
})

test('RFC 8555 §7.3.2, §7.3.6: an account is nobody else’s to read, change or deactivate', async () => {
  const [mine, other] = [await registered(), await registered()]
  isProblem(await other.post(mine.kid as string), 403, 'unauthorized')
  isProblem(await other.post(mine.kid as string, { contact: [] }), 403, 'unauthorized')
  isProblem(await other.post(mine.kid as string, { status: 'deactivated' }), 403, 'unauthorized')
  isProblem(await other.post(`${mine.kid}/orders`), 403, 'unauthorized')
  isProblem(await other.post(`${app.base}/acme/account/unknown`), 403, 'unauthorized')
})

test('RFC 8555 §7.3.4: what is asked of an external account binding is ignored and not reflected', async () => {
  const client = await createAcmeClient(app.directory)
  const reply = await client.register({ termsOfServiceAgreed: true, externalAccountBinding: { protected: '', payload: '', signature: '' } })
  assert.deepEqual([reply.status, reply.json.externalAccountBinding], [201, undefined])
})

test('RFC 8555 §7.3.5: key roll-over, to each kind of key', async () => {
  const client = await registered()
  const order = (await client.newOrder(['rollover.example'])).headers.get('location') as string
  for (const alg of ['RS256', 'ES384', 'EdDSA', 'ES256'] as const) {
    const old = client.key
    const next = newKey(alg)
    const reply = await rollOver(client, next)
    assert.deepEqual([reply.status, reply.json.status], [200, 'valid'], reply.text)
    assert.equal((await client.post(client.kid as string, undefined, { key: old })).status >= 400, true)
    client.key = next
    assert.equal((await client.post(client.kid as string)).status, 200)
    isProblem(await client.postByKey(client.directory.newAccount, { onlyReturnExisting: true }, old), 400, 'accountDoesNotExist')
    assert.equal((await client.postByKey(client.directory.newAccount, { onlyReturnExisting: true })).headers.get('location'), client.kid)
  }
  assert.equal((await client.post(order)).json.status, 'pending')
})

test('RFC 8555 §7.3.5: each check of the inner JWS', async () => {
  const client = await registered()
  const other = await registered()
  const next = newKey()
  isProblem(await rollOver(client, next, { signer: newKey() }), 403, 'unauthorized', /signature/)
  isProblem(await rollOver(client, next, { header: { jwk: undefined } }), 400, 'malformed', /one of/)
  isProblem(await rollOver(client, next, { header: { jwk: undefined, kid: client.kid } }), 400, 'malformed', /new key/)
  isProblem(await rollOver(client, next, { header: { url: client.directory.newAccount } }), 403, 'unauthorized', /signed for/)
  isProblem(await rollOver(client, next, { header: { url: undefined } }), 400, 'malformed', /url/)
  isProblem(await rollOver(client, next, { header: { nonce: await client.freshNonce() } }), 400, 'malformed', /nonce/)
  isProblem(await rollOver(client, next, { header: { alg: 'none' } }), 400, 'badSignatureAlgorithm')
  isProblem(await rollOver(client, next, { payload: { account: other.kid } }), 400, 'malformed', /account/)
  isProblem(await rollOver(client, next, { payload: { account: undefined } }), 400, 'malformed', /account/)
  isProblem(await rollOver(client, next, { payload: { oldKey: other.key.jwk } }), 400, 'malformed', /oldKey/)
  isProblem(await rollOver(client, next, { payload: { oldKey: undefined } }), 400, 'malformed')
  isProblem(await client.post(client.directory.keyChange, {}), 400, 'malformed', /"protected"/)
  isProblem(await client.post(client.directory.keyChange), 400, 'malformed')
  isProblem(await client.postByKey(client.directory.keyChange, {}), 400, 'malformed', /"kid"/)
  assert.equal((await client.post(client.kid as string)).status, 200)
})

test('RFC 8555 §7.3.5: a key that another account has is 409 with that account’s URL', async () => {
  const [client, other] = [await registered(), await registered()]
  const reply = await rollOver(client, other.key)
  isProblem(reply, 409, 'malformed', /another account/i)
  assert.equal(reply.headers.get('location'), other.kid)
  isFresh(reply)
})

test('RFC 8555 §7.3.6: a deactivated account can do nothing more', async () => {
  const client = await registered()
  const order = (await client.newOrder(['deactivated.example'])).headers.get('location') as string
  const reply = await client.post(client.kid as string, { status: 'deactivated' })
  assert.deepEqual([reply.status, reply.json.status], [200, 'deactivated'])
  for (const url of [client.kid as string, order, client.directory.newOrder, `${client.kid}/orders`])
    isProblem(await client.post(url), 401, 'unauthorized', /deactivated/)
  isProblem(await client.postByKey(client.directory.newAccount, { termsOfServiceAgreed: true }), 401, 'unauthorized', /deactivated/)
  isProblem(await rollOver(client, newKey()), 401, 'unauthorized', /deactivated/)
})

test('RFC 8555 §7.1.2.1: the list of orders comes in pages', async () => {
  const client = await registered()
  const made: string[] = []
  for (let i = 0; i < 53; i++) made.push((await client.newOrder([`page-${i}.example`])).headers.get('location') as string)
  const seen: string[] = []
  let pages = 0
  for (let url: string | undefined = `${client.kid}/orders`; url; pages++) {
    const reply: Reply = await client.post(url)
    assert.equal(reply.status, 200, reply.text)
    seen.push(...reply.json.orders)
    url = reply.links.next?.[0]
  }
  assert.deepEqual(seen.sort(), made.sort())
  assert.equal(pages, 2)
  isProblem(await client.post(`${client.kid}/orders?cursor=%00`), 400, 'malformed', /cursor/)
  assert.deepEqual((await client.post(`${client.kid}/orders?cursor=unknown`)).json.orders, [])
})
