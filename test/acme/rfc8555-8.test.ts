/** RFC 8555 §8: http-01 and dns-01 through the whole program, against a real web server and a real DNS server. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { after, before, beforeEach, test } from 'node:test'
import { calculateJwkThumbprint } from 'jose'
import { dns01 } from '../../src/validation/dns-01.js'
import { http01 } from '../../src/validation/http-01.js'
import { createPorts } from '../../src/validation/net.js'
import { type AcmeClient, type Alg, createAcmeClient, newKey } from '../support/acme.js'
import { createTestApp, type TestApp } from '../support/app.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { challengeOf, finalize, leafOf, prove } from '../support/flow.js'
import { startHttpTarget, type Target } from '../support/http-target.js'

let app: TestApp
let dns: DnsServer
let web: Target
let client: AcmeClient
/** The page that the web server has for every path; what it was asked. */
let page: string
const asked: Pick<IncomingMessage, 'method' | 'url' | 'headers'>[] = []
before(async () => {
  dns = await startDnsServer(['test'])
  web = await startHttpTarget(({ method, url, headers }, response) => {
    asked.push({ method, url, headers })
    response.end(page)
  })
  const ports = createPorts({ servers: [dns.address], lab: true, http01Port: web.port })
  app = await createTestApp({ validators: () => [http01(ports), dns01(ports)] })
  client = await registered()
})
after(async () => {
  await app.close()
  await web.close()
  await dns.close()
})
beforeEach(() => {
  dns.clear()
  asked.length = 0
})

const registered = async (alg: Alg = 'ES256'): Promise<AcmeClient> => {
  const made = await createAcmeClient(app.directory, newKey(alg))
  await made.register()
  return made
}

let count = 0
/** A new name that leads to the web server, its order, and the token of its challenge. */
const begin = async (type: string, by = client) => {
  const name = `n${++count}.eight.test`
  dns.set(name, 'A', '127.0.0.1')
  const order = await by.newOrder([name])
  const [url] = order.json.authorizations
  const { token } = challengeOf(await by.post(url), type)
  return { name, order, url, token }
}
const statusAfter = async (url: string, type: string, by = client): Promise<string> => (await prove(by, url, type)).json.status
const digestOf = (text: string): string => createHash('sha256').update(text).digest('base64url')

test('RFC 8555 §8.3, §8.4: tokens have 128 bits of entropy, in the alphabet of base64url without padding', async () => {
  const tokens = new Set<string>()
  for (const type of ['http-01', 'dns-01']) for (let i = 0; i < 20; i++) tokens.add((await begin(type)).token)
  assert.equal(tokens.size, 40)
  for (const token of tokens) assert.match(token, /^[A-Za-z0-9_-]{22,}$/)
})

test('RFC 8555 §8.1: the key authorization is the token, a dot, and the thumbprint (RFC 7638, SHA-256) of the key of the account', async () => {
  for (const alg of ['ES256', 'ES384', 'RS256', 'EdDSA'] as const) {
    const other = await registered(alg)
    const { url, token, name, order } = await begin('http-01', other)
    page = `${token}.${await calculateJwkThumbprint(other.key.jwk, 'sha256')}`
    assert.equal(await statusAfter(url, 'http-01', other), 'valid', alg)
    await leafOf(other, await finalize(other, order, { dns: [name] }))
  }
})

test('RFC 8555 §8.1: neither another account, another token, another digest nor the token alone is the key authorization', async () => {
  const other = await registered()
  const foreign = (await begin('http-01')).token
  const thumbprint = await calculateJwkThumbprint(client.key.jwk, 'sha256')
  const wrong: ((token: string) => string | Promise<string>)[] = [
    (token) => `${token}.${other.key.thumbprint}`,
    () => `${foreign}.${thumbprint}`,
    async (token) => `${token}.${await calculateJwkThumbprint(client.key.jwk, 'sha384')}`,
    (token) => token,
    (token) => `${token}.${thumbprint}=`,
    (token) => `${token}.${thumbprint}.`,
    (token) => ` ${token}.${thumbprint}`,
  ]
  for (const make of wrong) {
    const { url, token } = await begin('http-01')
    page = await make(token)
    assert.equal(await statusAfter(url, 'http-01'), 'invalid', page)
  }
})

test('RFC 8555 §8.3: http-01 is a GET of the well-known path at the name; whitespace at the end of the page is ignored', async () => {
  const { url, token, name } = await begin('http-01')
  page = `${token}.${client.key.thumbprint}\r\n \t`
  assert.equal(await statusAfter(url, 'http-01'), 'valid')
  assert.deepEqual(
    asked.map(({ method, url, headers }) => [method, url, headers.host?.replace(/:\d+$/, '')]),
    [['GET', `/.well-known/acme-challenge/${token}`, name]],
  )
})

test('RFC 8555 §8.4: dns-01 is the digest of the key authorization, in one of the TXT records below _acme-challenge', async () => {
  const { url, token, name, order } = await begin('dns-01')
  dns.set(`_acme-challenge.${name}`, 'TXT', 'something else', digestOf(`${token}.${client.key.thumbprint}`))
  assert.equal(await statusAfter(url, 'dns-01'), 'valid')
  await leafOf(client, await finalize(client, order, { dns: [name] }))
})

test('RFC 8555 §8.4: neither the key authorization itself, its digest in another form, nor a record at the name proves it', async () => {
  for (const make of [
    (right: string) => right,
    (right: string) => createHash('sha256').update(right).digest('hex'),
    (right: string) => `${digestOf(right)}=`,
    (right: string) => digestOf(`${right} `),
  ]) {
    const { url, token, name } = await begin('dns-01')
    dns.set(`_acme-challenge.${name}`, 'TXT', make(`${token}.${client.key.thumbprint}`))
    assert.equal(await statusAfter(url, 'dns-01'), 'invalid')
  }
  const { url, token, name } = await begin('dns-01')
  dns.set(name, 'TXT', digestOf(`${token}.${client.key.thumbprint}`))
  assert.equal(await statusAfter(url, 'dns-01'), 'invalid')
})

test('RFC 8555 §8: a valid challenge says when it was validated; one with an error is processing or invalid', async () => {
  const good = await begin('http-01')
  page = `${good.token}.${client.key.thumbprint}`
  const proven = challengeOf(await prove(client, good.url, 'http-01'), 'http-01')
  assert.match(proven.validated, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  assert.equal(proven.error, undefined)
  const bad = await begin('http-01')
  page = 'nothing'
  const failed = challengeOf(await prove(client, bad.url, 'http-01'), 'http-01')
  assert.deepEqual([failed.status, failed.validated], ['invalid', undefined])
  assert.match(failed.error.detail, /"nothing"/)
})
