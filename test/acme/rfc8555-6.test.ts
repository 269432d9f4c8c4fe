/** RFC 8555 §6, message transport, through the whole program. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { NONCE_LIFETIME_MS } from '../../src/acme/nonce.js'
import { type AcmeClient, type Alg, b64, createAcmeClient, isFresh, isProblem, newKey, request, signJws, type Wrong } from '../support/acme.js'
import { createTestApp, type TestApp } from '../support/app.js'

let app: TestApp
let client: AcmeClient
let orderUrl: string
before(async () => {
  app = await createTestApp()
  client = await createAcmeClient(app.directory)
  await client.register()
  orderUrl = (await client.newOrder(['rfc8555-6.example'])).headers.get('location') as string
})
after(() => app.close())

test('RFC 8555 §6.1: answers may be read by pages of any origin, headers included, and preflights are answered', async () => {
  for (const reply of [await request('GET', app.directory), await client.post(orderUrl), await client.post(`${app.local}/acme/order/none`)]) {
    assert.equal(reply.headers.get('access-control-allow-origin'), '*')
    for (const name of ['Link', 'Location', 'Replay-Nonce', 'Retry-After']) {
      assert.ok(reply.headers.get('access-control-expose-headers')?.split(', ').includes(name))
    }
  }
  const preflight = await request('OPTIONS', orderUrl)
  assert.deepEqual([preflight.status, preflight.headers.get('access-control-allow-headers')], [204, 'Content-Type'])
  assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /POST/)
})

test('RFC 8555 §6.1: binary fields are base64url without padding', async () => {
  const { finalize } = (await client.post(orderUrl)).json
  for (const csr of ['AA==', 'A+/A', 'AA AA', 'A', 1, null, undefined, ['AAAA']])
    isProblem(await client.post(finalize, { csr }), 400, 'malformed', /base64url/)
  isProblem(await client.post(finalize, { csr: '-----BEGIN CERTIFICATE REQUEST-----' }), 400, 'badCSR', /PEM/)
})

test('RFC 8555 §6.2: every supported algorithm', async () => {
  for (const alg of ['ES256', 'ES384', 'ES512', 'RS256', 'EdDSA'] as Alg[]) {
    const other = await createAcmeClient(app.directory, newKey(alg))
    assert.equal((await other.register()).status, 201)
    assert.equal((await other.post(other.kid as string)).status, 200)
  }
})

test('RFC 8555 §6.2: alg none, MACs and others are badSignatureAlgorithm, with the algorithms that are', async () => {
  for (const alg of ['none', 'HS256', 'HS384', 'ES256K', 'PS256', 'RS384']) {
    const reply = await client.post(orderUrl, undefined, { header: { alg } })
    isProblem(reply, 400, 'badSignatureAlgorithm')
    assert.deepEqual(reply.json.algorithms, ['ES256', 'ES384', 'ES512', 'RS256', 'EdDSA'])
    isFresh(reply)
  }
  const mismatch = await client.post(orderUrl, undefined, { header: { alg: 'RS256' } })
  isProblem(mismatch, 400, 'badSignatureAlgorithm')
  assert.deepEqual(mismatch.json.algorithms, ['ES256'])
})

test('RFC 8555 §6.2: requests that are malformed: kid and jwk, serializations, unprotected headers, what is no JSON', async () => {
  const oversized = { payload: b64({ a: 'x'.repeat(60_000) }) }
  const table: [string, Wrong, string, RegExp?][] = [
    ['both kid and jwk', { header: { jwk: client.key.jwk } }, 'malformed', /not both/],
    ['neither', { header: { kid: undefined } }, 'malformed', /one of/],
    ['jwk where kid belongs', { header: { kid: undefined, jwk: client.key.jwk } }, 'malformed', /"kid"/],
    ['crit', { header: { crit: ['url'] } }, 'malformed', /crit/],
    ['unencoded payload', { header: { b64: false, crit: ['b64'] } }, 'malformed', /crit/],
    ['detached payload', { jws: ({ payload: _, ...rest }) => rest }, 'malformed', /"payload"/],
    ['no url', { header: { url: undefined } }, 'malformed', /url/],
    ['unprotected header', { jws: (jws) => ({ ...jws, header: { kid: client.kid } }) }, 'malformed', /"header"/],
    ['general serialization', { jws: ({ payload, ...rest }) => ({ payload, signatures: [rest] }) }, 'malformed', /"signatures"/],
    ['compact serialization', { jws: (jws) => Object.values(jws).join('.') }, 'malformed', /not a JSON object/],
    ['array', { jws: (jws) => [jws] }, 'malformed', /not a JSON object/],
    ['duplicate member', { body: (text) => text.replace('{', '{"payload":"",') }, 'malformed', /twice/],
    ['broken base64url', { jws: (jws) => ({ ...jws, protected: `${jws.protected}=` }) }, 'malformed', /base64url/],
    ['not JSON', { body: (text) => text.slice(1) }, 'malformed', /not JSON/],
    ['empty', { body: () => '' }, 'malformed', /not JSON/],
    ['not UTF-8', { body: (text) => Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from([0xff])]) }, 'malformed', /UTF-8/],
    ['no signature', { jws: ({ signature: _, ...rest }) => rest }, 'malformed', /"signature"/],
    ['deep', { body: () => '['.repeat(60_000) }, 'malformed', /not JSON/],
  ]
  for (const [name, wrong, type, detail] of table) {
    const reply = await client.post(orderUrl, undefined, wrong)
    assert.equal(reply.status, 400, name)
    isProblem(reply, 400, type, detail)
    isFresh(reply)
  }
  isProblem(await client.post(orderUrl, undefined, { jws: (jws) => ({ ...jws, ...oversized }) }), 413, 'malformed', /65536/)
  isProblem(await client.post(client.directory.newOrder, b64('[]')), 400, 'malformed', /payload is not a JSON object/i)
  isProblem(await client.post(client.directory.newOrder, b64('{"identifiers":[],"identifiers":[]}')), 400, 'malformed', /twice/)
  isProblem(await client.post(client.directory.newOrder, b64('null')), 400, 'malformed')
  isProblem(await client.post(client.directory.newOrder), 400, 'malformed', /must be a JSON object/)
})

test('RFC 8555 §6.2: the signature must be that of the account', async () => {
  isProblem(await client.post(orderUrl, undefined, { key: newKey() }), 403, 'unauthorized', /signature/)
  isProblem(await client.post(orderUrl, undefined, { jws: (jws) => ({ ...jws, signature: '' }) }), 403, 'unauthorized', /signature/)
  isProblem(
    await client.post(client.directory.newOrder, { a: 1 }, { jws: (jws) => ({ ...jws, payload: b64({ a: 2 }) }) }),
    403,
    'unauthorized',
    /signature/,
  )
  const other = await createAcmeClient(app.directory)
  await other.register()
  isProblem(await other.post(orderUrl, undefined, { header: { kid: client.kid } }), 403, 'unauthorized', /signature/)
})

test('RFC 8555 §6.2: kid must be an account URL of this CA', async () => {
  const id = client.kid?.split('/').at(-1)
  for (const kid of [
    `${client.kid}x`,
    id,
    '',
    `https://other.example/acme/account/${id}`,
    `${client.kid}/`,
    `${app.base}/acme/account/%00`,
    `${client.kid}?a`,
  ]) {
    isProblem(await client.post(orderUrl, undefined, { header: { kid } }), 400, 'accountDoesNotExist')
  }
})

test('RFC 8555 §6.2: only application/jose+json is taken', async () => {
  for (const contentType of ['application/json', 'text/plain', 'application/jose', 'application/x-www-form-urlencoded']) {
    const reply = await client.post(orderUrl, undefined, { contentType })
    isProblem(reply, 415, 'malformed', /application\/jose\+json/)
    isFresh(reply)
  }
  isProblem(await client.post(orderUrl, undefined, { headers: { 'content-encoding': 'gzip' } }), 415, 'malformed', /Content-Encoding/)
  assert.equal((await client.post(orderUrl, undefined, { contentType: 'Application/JOSE+json; charset=utf-8' })).status, 200)
})

test('RFC 8555 §6.2: a body without end is cut off', async () => {
  const { port } = new URL(app.local)
  const answer = await new Promise<string>((resolve) => {
    let seen = ''
    let written = 0
    const socket = connect(Number(port), '127.0.0.1', () => {
      socket.write('POST /acme/new-order HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\nTransfer-Encoding: chunked\r\n\r\n')
      const more = () => {
        if (socket.destroyed || written > 50_000_000) return
        written += 16_384
        socket.write(`4000\r\n${'x'.repeat(16_384)}\r\n`, () => setImmediate(more))
      }
      more()
    })
    socket.on('data', (data) => {
      seen += data
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(`${written < 50_000_000} ${seen}`))
  })
  assert.match(answer, /^true HTTP\/1\.1 413 /)
})

test('RFC 8555 §6.3: GET is for directory and newNonce; everything else is read by POST-as-GET', async () => {
  const order = (await client.post(orderUrl)).json
  const authorization = (await client.post(order.authorizations[0])).json
  for (const url of [orderUrl, order.authorizations[0], authorization.challenges[0].url, client.kid as string, `${client.kid}/orders`]) {
    const get = await request('GET', url)
    isProblem(get, 405, 'malformed', /POST-as-GET/)
    assert.equal(get.headers.get('allow'), 'POST, OPTIONS')
    assert.equal((await client.post(url)).status, 200, url)
  }
  for (const method of ['PUT', 'DELETE', 'PATCH']) isProblem(await request(method, orderUrl), 405, 'malformed')
  isProblem(await request('PUT', app.directory), 405, 'malformed')
  assert.deepEqual((await client.post(app.directory)).json, client.directory)
  const nonce = await client.post(client.directory.newNonce)
  assert.equal(nonce.status, 204)
  isFresh(nonce)
})

test('RFC 8555 §6.3: a payload that is not empty is no POST-as-GET', async () => {
  isProblem(await client.post(orderUrl, {}), 400, 'malformed', /POST-as-GET/)
  isProblem(await client.post(`${client.kid}/orders`, {}), 400, 'malformed', /POST-as-GET/)
})

test('RFC 8555 §6.4: the signed url must be the one that was asked, letter by letter', async () => {
  const urls = [
    client.directory.newOrder,
    `${orderUrl}/`,
    `${orderUrl}?`,
    orderUrl.replace('http:', 'https:'),
    orderUrl.replace('127.0.0.1', 'localhost'),
    orderUrl.toUpperCase(),
    new URL(orderUrl).pathname,
    '',
  ]
  for (const url of urls) isProblem(await client.post(orderUrl, undefined, { header: { url } }), 403, 'unauthorized', /signed for/)
  // What the Host header says is nobody's proof of where the client meant to go.
  const host = await client.post(orderUrl, undefined, {
    header: { url: orderUrl.replace('127.0.0.1', 'evil.example') },
    headers: { 'x-forwarded-host': 'evil.example' },
  })
  isProblem(host, 403, 'unauthorized')
})

test('RFC 8555 §6.5: a nonce serves once', async () => {
  const nonce = await client.freshNonce()
  assert.equal((await client.post(orderUrl, undefined, { header: { nonce } })).status, 200)
  const replay = await client.post(orderUrl, undefined, { header: { nonce } })
  isProblem(replay, 400, 'badNonce', /used/)
  isFresh(replay)
  assert.equal((await client.post(orderUrl)).status, 200)
})

test('RFC 8555 §6.5: of a request that is sent many times at once, one is served', async () => {
  const header = { alg: client.key.alg, kid: client.kid, url: client.directory.newOrder, nonce: await client.freshNonce() }
  const body = JSON.stringify(signJws(client.key, header, { identifiers: [{ type: 'dns', value: 'replay.example' }] }))
  const send = () => request('POST', header.url, { headers: { 'content-type': 'application/jose+json' }, body })
  const replies = await Promise.all(Array.from({ length: 10 }, send))
  assert.deepEqual(replies.map((r) => r.status).sort(), [201, ...Array.from({ length: 9 }, () => 400)])
})

test('RFC 8555 §6.5, §6.5.2: missing, foreign and expired nonces are badNonce; what is not base64url is malformed', async () => {
  for (const nonce of [undefined, '', 'AAAA', Buffer.alloc(32, 7).toString('base64url')]) {
    const reply = await client.post(orderUrl, undefined, { header: { nonce } })
    isProblem(reply, 400, 'badNonce')
    isFresh(reply)
  }
  for (const nonce of ['AA==', 'a b', 1, null, ['AAAA']])
    isProblem(await client.post(orderUrl, undefined, { header: { nonce } }), 400, 'malformed', /base64url/)
  const nonce = await client.freshNonce()
  app.clock.skew += NONCE_LIFETIME_MS + 1
  isProblem(await client.post(orderUrl, undefined, { header: { nonce } }), 400, 'badNonce', /expired/)
  app.clock.skew = 0
})

test('RFC 8555 §6.5: who can’t sign uses up no nonce', async () => {
  const nonce = await client.freshNonce()
  isProblem(await client.post(orderUrl, undefined, { header: { nonce }, key: newKey() }), 403, 'unauthorized')
  assert.equal((await client.post(orderUrl, undefined, { header: { nonce } })).status, 200)
})

test('RFC 8555 §6.5: every answer to a POST has a nonce of its own', async () => {
  const seen = new Set<string>()
  for (const reply of [
    await client.post(orderUrl),
    await client.post(`${orderUrl}x`),
    await client.post(client.directory.newOrder, {}),
    await request('POST', orderUrl),
  ]) {
    isFresh(reply)
    seen.add(reply.headers.get('replay-nonce') as string)
  }
  assert.equal(seen.size, 4)
})

test('RFC 8555 §6.7: every error is a problem document with the request’s id, and nothing leaks', async () => {
  const replies = [
    await request('GET', `${app.local}/acme`),
    await request('GET', `${app.local}/acme/nothing`),
    await request('GET', `${app.local}/acme/order/%zz`),
    await request('POST', `${app.local}/acme/order/%zz`, { headers: { 'content-type': 'application/jose+json' }, body: '{}' }),
    await client.post(`${app.local}/acme/order/%00`),
    await client.post(`${app.local}/acme/order/${'a'.repeat(100)}`),
    await client.post(`${app.local}/acme/order/unknown`),
    await client.post(`${app.local}/acme/DIRECTORY`),
    await client.post(`${app.local}/acme/new-order/`),
  ]
  for (const reply of replies) {
    assert.ok([400, 404].includes(reply.status), `${reply.status} ${reply.text}`)
    isProblem(reply, reply.status, 'malformed')
    assert.match(reply.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/)
  }
})

test('RFC 8555 §6.7: an error that nobody foresaw is serverInternal, says nothing, and is logged with its request', async () => {
  const { orderById } = app.store
  app.store.orderById = () => Promise.reject(new Error('secret detail'))
  const reply = await client.post(orderUrl)
  app.store.orderById = orderById
  isProblem(reply, 500, 'serverInternal', /try again/i)
  assert.doesNotMatch(reply.text, /secret/)
  const line = app.log.findLast((l) => l.level === 'error')
  assert.equal(line?.err instanceof Error && line.err.message, 'secret detail')
  assert.equal(line?.requestId, reply.headers.get('x-request-id'))
  assert.equal((await client.post(orderUrl)).status, 200)
})

test('RFC 8555 §6.7: a database that is away is 503 with Retry-After, and loses nothing', async () => {
  const { unavailable } = await import('../../src/store/unavailable.js')
  // SQLite reads the account, PostgreSQL takes the nonce in the same statement.
  const { accountById, authenticate } = app.store
  const gone = () => Promise.reject(unavailable(new Error('gone')))
  Object.assign(app.store, { accountById: gone, authenticate: gone })
  const reply = await client.post(orderUrl)
  Object.assign(app.store, { accountById, authenticate })
  isProblem(reply, 503, 'serverInternal')
  assert.ok(Number(reply.headers.get('retry-after')) > 0)
  isFresh(reply)
  assert.equal((await client.post(orderUrl)).status, 200)
})

test('RFC 8555 §7.1: every answer but the directory links to it as index, and nothing may be cached', async () => {
  for (const reply of [await request('HEAD', client.directory.newNonce), await client.post(orderUrl), await client.post(`${orderUrl}x`)]) {
    assert.deepEqual(reply.links.index, [app.directory])
    assert.equal(reply.headers.get('cache-control'), 'no-store')
    assert.equal(reply.headers.get('x-content-type-options'), 'nosniff')
  }
})

test('the log and the audit know the request by its id, and neither holds a signature', async () => {
  const reply = await client.newOrder(['audit.example'])
  const [entry] = await app.store.auditLog({ limit: 1 })
  assert.equal(entry?.requestId, reply.headers.get('x-request-id'))
  assert.equal(entry?.actor, `account:${client.kid?.split('/').at(-1)}`)
  assert.equal(entry?.address, '127.0.0.1')
  assert.doesNotMatch(JSON.stringify(app.log), /"signature":/)
})

test('RFC 8555 §6.2: after another node changed the key of an account, the old one is refused and the new one taken', async () => {
  const mine = await createAcmeClient(app.directory)
  await mine.register()
  assert.equal((await mine.post(mine.kid as string)).status, 200)
  const old = mine.key
  const next = newKey('EdDSA')
  // The router has the old key in its cache; the change goes past it, as another node's would.
  const id = mine.kid?.split('/').at(-1) as string
  const audit = { at: 0, actor: 'system', action: 'test', subject: 'test', detail: {} }
  assert.equal((await app.store.changeAccountKey(id, old.thumbprint, next.jwk, next.thumbprint, audit)).result, 'changed')
  isProblem(await mine.post(mine.kid as string), 403, 'unauthorized', /another key/)
  mine.key = next
  assert.equal((await mine.post(mine.kid as string)).status, 200)
  mine.key = old
  isProblem(await mine.post(mine.kid as string), 400, 'badSignatureAlgorithm')
})
