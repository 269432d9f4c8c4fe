/** RFC 8555 §7.1.3 to §7.6 and §8, from the order to the revoked certificate, through the whole program. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, before, test } from 'node:test'
import { type AcmeClient, createAcmeClient, isFresh, isProblem, newKey, type Reply, request, type SigningKey } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { createCsr } from '../support/lean-acme.js'

const HOUR = 3_600_000
const DAY = 24 * HOUR

let app: TestApp
let client: AcmeClient
before(async () => {
  app = await createTestApp()
  client = await createAcmeClient(app.directory)
  await client.register()
})
after(() => app.close())

let count = 0
/** A name that no other test has, which proves itself if `play` says so. */
const newName = (play = proven): string => {
  const name = `n${++count}.example.com`
  app.played.set(name, play)
  return name
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** Asks until `done`, for at most five seconds. */
const poll = async (url: string, done: (json: Reply['json']) => boolean, by = client): Promise<Reply> => {
  for (let tries = 0; ; tries++) {
    const reply = await by.post(url)
    if (done(reply.json)) return reply
    assert.ok(tries < 250, reply.text)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const challengeOf = (authorization: Reply, type: string) => authorization.json.challenges.find((c: { type: string }) => c.type === type)

/** Answers one challenge of each authorization and waits for what comes of it. */
const authorize = async (order: Reply, type = 'dns-01', by = client): Promise<Reply[]> => {
  const decided: Reply[] = []
  for (const url of order.json.authorizations) {
    const authorization = await by.post(url)
    if (authorization.json.status === 'pending') await by.post(challengeOf(authorization, type).url, {})
    decided.push(await poll(url, (json) => json.status !== 'pending', by))
  }
  return decided
}

const issue = async (
  names: string[],
  by = client,
  key: SigningKey = newKey(),
): Promise<{ order: Reply; url: string; certificate: string; key: SigningKey }> => {
  const made = await by.newOrder(names)
  await authorize(made, 'dns-01', by)
  const order = await by.post(made.json.finalize, { csr: createCsr(names, key) })
  assert.equal(order.json.status, 'valid', order.text)
  return { order, url: made.headers.get('location') as string, certificate: order.json.certificate, key }
}

const derOf = async (url: string, by = client): Promise<string> => {
  const { text } = await by.post(url)
  return new X509Certificate(text).raw.toString('base64url')
}

test('RFC 8555 §7.4: a new order is 201 with its URL, and has the fields of §7.1.3', async () => {
  const name = newName()
  const reply = await client.newOrder([name])
  assert.deepEqual([reply.status, reply.headers.get('content-type')], [201, 'application/json'])
  const url = reply.headers.get('location') as string
  assert.ok(url.startsWith(`${app.base}/acme/order/`))
  const { expires, authorizations, ...rest } = reply.json
  assert.match(expires, rfc3339)
  assert.equal(authorizations.length, 1)
  assert.deepEqual(rest, { status: 'pending', identifiers: [{ type: 'dns', value: name }], profile: 'xmpp-server', finalize: `${url}/finalize` })
  assert.deepEqual((await client.post(url)).json, reply.json)
})

test('RFC 8555 §7.4, §6.7.1: identifiers that are refused, each named in a subproblem and none at the top', async () => {
  const good = newName()
  isProblem(await client.post(client.directory.newOrder, {}), 400, 'malformed')
  isProblem(await client.newOrder([]), 400, 'malformed')
  isProblem(await client.post(client.directory.newOrder, { identifiers: [{ type: 'ip', value: '192.0.2.1' }] }), 400, 'unsupportedIdentifier')
  const reply = await client.newOrder([good, 'bad..example.com', '*.*.example.com'])
  assert.equal(reply.status, 400)
  assert.equal('identifier' in reply.json, false)
  assert.deepEqual(
    reply.json.subproblems.map((s: { identifier: { value: string } }) => s.identifier.value),
    ['bad..example.com', '*.*.example.com'],
  )
  for (const subproblem of reply.json.subproblems) assert.match(subproblem.type, /^urn:ietf:params:acme:error:(malformed|rejectedIdentifier)$/)
})

test('RFC 8555 §7.4: notBefore and notAfter are kept within the profile', async () => {
  const day = (days: number) => new Date(Math.floor((app.clock.now() + days * DAY) / 1000) * 1000).toISOString().replace('.000Z', 'Z')
  const wanted = { notBefore: day(1), notAfter: day(20) }
  const order = await client.newOrder([newName()], wanted)
  assert.deepEqual([order.json.notBefore, order.json.notAfter], [wanted.notBefore, wanted.notAfter])
  isProblem(await client.newOrder([newName()], { notAfter: day(-1) }), 400, 'malformed')
  isProblem(await client.newOrder([newName()], { notAfter: day(1000) }), 400, 'malformed')
  isProblem(await client.newOrder([newName()], { notAfter: 'tomorrow' }), 400, 'malformed')
})

test('draft-ietf-acme-profiles §4: an order names its profile; one that there is not is invalidProfile', async () => {
  assert.equal((await client.newOrder([newName()], { profile: 'xmpp-server-3920' })).json.profile, 'xmpp-server-3920')
  isProblem(await client.newOrder([newName()], { profile: 'none' }), 400, 'invalidProfile', /xmpp-server/)
  isProblem(await client.newOrder([newName()], { profile: 7 }), 400, 'invalidProfile')
})

test('RFC 8555 §7.1.3, §7.1.4: a pending authorization offers its challenges; the name is without the asterisk, wildcard stands only where it is true', async () => {
  const name = newName()
  const order = await client.newOrder([name, `*.${name}`])
  assert.deepEqual(
    order.json.identifiers.map((i: { value: string }) => i.value),
    [name, `*.${name}`],
  )
  const authorizations = await Promise.all(order.json.authorizations.map(async (url: string) => (await client.post(url)).json))
  for (const { identifier, status, expires } of authorizations) {
    assert.deepEqual([identifier, status], [{ type: 'dns', value: name }, 'pending'])
    assert.match(expires, rfc3339)
  }
  const [plain, wildcard] = authorizations.toSorted((a) => (a.wildcard ? 1 : -1))
  assert.equal('wildcard' in plain, false)
  assert.equal(wildcard.wildcard, true)
  assert.deepEqual(plain.challenges.map((c: { type: string }) => c.type).sort(), ['dns-01', 'http-01'])
  assert.deepEqual(
    wildcard.challenges.map((c: { type: string }) => c.type),
    ['dns-01'],
  )
  for (const { url, token, status } of [...plain.challenges, ...wildcard.challenges]) {
    assert.equal(status, 'pending')
    assert.ok(url.startsWith(`${app.base}/acme/chall/`))
    assert.ok(token)
  }
})

test('RFC 8555 §7.5.1: a challenge is answered, validated in the background, and points up to its authorization', async () => {
  let release = (): void => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const name = newName(async () => {
    await held
    return { ok: true, evidence: {} }
  })
  const url = (await client.newOrder([name])).json.authorizations[0]
  const { url: challengeUrl, token } = challengeOf(await client.post(url), 'http-01')
  const seen = await client.post(challengeUrl)
  assert.deepEqual([seen.status, seen.json.status], [200, 'pending'])
  const answered = await client.post(challengeUrl, { keyAuthorization: 'ignored' })
  assert.deepEqual([answered.status, answered.json.status, answered.json.token], [200, 'processing', token])
  assert.deepEqual(answered.links.up, [url])
  assert.equal(answered.headers.get('retry-after'), '1')
  const waiting = await client.post(url)
  assert.deepEqual([waiting.json.status, waiting.headers.get('retry-after')], ['pending', '1'])
  assert.equal((await client.post(challengeUrl, {})).json.status, 'processing')
  release()
  const valid = await poll(url, (json) => json.status !== 'pending')
  assert.deepEqual([valid.json.status, valid.headers.get('retry-after')], ['valid', null])
  // §7.1.4: of a valid authorization, the challenge that proved it.
  assert.equal(valid.json.challenges.length, 1)
  assert.match(valid.json.challenges[0].validated, rfc3339)
  assert.equal(valid.json.challenges[0].url, challengeUrl)
  assert.equal((await client.post(challengeUrl, {})).json.status, 'valid')
})

test('RFC 8555 §7.1.6, §8: a challenge that fails makes authorization and order invalid and says why', async () => {
  const name = newName(() => ({ ok: false, code: 'incorrectResponse', detail: 'seen: nonsense', retryable: false, evidence: {} }))
  const order = await client.newOrder([name, newName()])
  const [failed] = await authorize(order, 'http-01')
  assert.equal(failed?.json.status, 'invalid')
  assert.deepEqual(failed?.json.challenges.length, 1)
  assert.deepEqual(failed?.json.challenges[0].error, { type: 'urn:ietf:params:acme:error:incorrectResponse', detail: 'seen: nonsense', status: 403 })
  const url = order.headers.get('location') as string
  assert.equal((await client.post(url)).json.status, 'invalid')
  isProblem(await client.post(order.json.finalize, { csr: createCsr([name]) }), 403, 'orderNotReady', /invalid/)
  isProblem(await client.post(failed?.json.challenges[0].url.replace(/chall\/.*/, 'chall/none'), {}), 404, 'malformed')
})

test('RFC 8555 §8.2: while it is retried, a challenge is processing and shows the last error', async () => {
  let attempts = 0
  const name = newName(() =>
    ++attempts === 1 ? { ok: false, code: 'dns', detail: 'SERVFAIL', retryable: true, evidence: {} } : { ok: true, evidence: {} },
  )
  const url = (await client.newOrder([name])).json.authorizations[0]
  const challenge = challengeOf(await client.post(url), 'dns-01')
  await client.post(challenge.url, {})
  const between = await poll(challenge.url, (json) => json.error !== undefined || json.status === 'valid')
  assert.deepEqual([between.json.status, between.json.error?.detail], ['processing', 'SERVFAIL'])
  assert.ok(Number(between.headers.get('retry-after')) >= 1)
  const done = await poll(url, (json) => json.status !== 'pending')
  assert.equal(done.json.status, 'valid')
  assert.equal(attempts, 2)
})

test('RFC 8555 §8.2: each failed attempt adds an entry to the error', async () => {
  let attempts = 0
  const name = newName(() => ({ ok: false, code: 'dns', detail: `failure ${++attempts}`, retryable: true, evidence: {} }))
  const url = (await client.newOrder([name])).json.authorizations[0]
  const challenge = challengeOf(await client.post(url), 'dns-01')
  await client.post(challenge.url, {})
  const { json } = await poll(challenge.url, ({ status }) => status === 'invalid')
  assert.equal(json.error.detail, 'failure 2')
  assert.deepEqual(
    json.error.subproblems.map(({ detail, identifier }: { detail: string; identifier: object }) => [detail, identifier]),
    [1, 2].map((n) => [`failure ${n}`, { type: 'dns', value: name }]),
  )
})

test('RFC 8555 §7.5.2: an authorization can be deactivated, and then serves nothing', async () => {
  const name = newName()
  const order = await client.newOrder([name])
  await authorize(order)
  const url = order.json.authorizations[0]
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'ready')
  isProblem(await client.post(url, {}), 400, 'malformed', /deactivated/)
  isProblem(await client.post(url, { status: 'valid' }), 400, 'malformed')
  const reply = await client.post(url, { status: 'deactivated' })
  assert.deepEqual([reply.status, reply.json.status], [200, 'deactivated'])
  isProblem(await client.post(url, { status: 'deactivated' }), 400, 'malformed', /deactivated/)
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'invalid')
  isProblem(await client.post(order.json.finalize, { csr: createCsr([name]) }), 403, 'orderNotReady')
  assert.notEqual((await client.newOrder([name])).json.authorizations[0], url)
})

test('RFC 8555 §7.1.6, §7.5.1: what its client leaves lying expires, and can’t be answered any more', async () => {
  const order = await client.newOrder([newName()])
  const url = order.json.authorizations[0]
  const { challenges } = (await client.post(url)).json
  app.clock.skew = 8 * DAY
  isProblem(await client.post(url), 400, 'badNonce', /expired/)
  assert.equal((await client.post(url)).json.status, 'expired')
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'invalid')
  isProblem(await client.post(challenges[0].url, {}), 400, 'malformed', /expired/)
  app.clock.skew = 0
})

test('RFC 8555 §7.4: an order that is not ready can’t be finalized', async () => {
  const name = newName()
  const order = await client.newOrder([name])
  isProblem(await client.post(order.json.finalize, { csr: createCsr([name]) }), 403, 'orderNotReady', /pending/)
  isProblem(await client.post(order.json.finalize), 400, 'malformed')
})

test('RFC 8555 §7.4: a CSR that does not go with the order is badCSR, and the order stays ready', async () => {
  const name = newName()
  const order = await client.newOrder([name])
  await authorize(order)
  const url = order.headers.get('location') as string
  isProblem(await client.post(order.json.finalize, { csr: createCsr([name, 'more.example']) }), 400, 'badCSR', /more\.example/)
  isProblem(await client.post(order.json.finalize, { csr: createCsr(['other.example']) }), 400, 'badCSR', /other\.example/)
  isProblem(await client.post(order.json.finalize, { csr: 'AAAA' }), 400, 'badCSR')
  isProblem(await client.post(order.json.finalize, { csr: createCsr([name], client.key) }), 400, 'badCSR', /account/)
  assert.equal((await client.post(url)).json.status, 'ready')
  assert.equal((await client.post(order.json.finalize, { csr: createCsr([name]) })).json.status, 'valid')
})

test('RFC 8555 §7.1.3: the identifiers and authorizations of an order never change; expires stands in what is pending or valid', async () => {
  const names = [newName(), newName()]
  const order = await client.newOrder(names)
  const url = order.headers.get('location') as string
  const seen = [order.json, (await client.post(url)).json]
  const authorizations = await authorize(order)
  seen.push((await client.post(url)).json, (await client.post(order.json.finalize, { csr: createCsr(names) })).json, (await client.post(url)).json)
  assert.deepEqual(
    seen.map(({ status }) => status),
    ['pending', 'pending', 'ready', 'valid', 'valid'],
  )
  for (const { identifiers, authorizations, expires } of seen) {
    assert.deepEqual([identifiers, authorizations], [order.json.identifiers, order.json.authorizations])
    assert.match(expires, rfc3339)
  }
  for (const { json } of authorizations) assert.deepEqual([json.status, rfc3339.test(json.expires)], ['valid', true])
})

test('RFC 8555 §7.4: the finalized order is valid and points to its certificate; sent again it is the same', async () => {
  const name = newName()
  const order = await client.newOrder([name])
  await authorize(order)
  const csr = createCsr([name])
  const replies = await Promise.all([
    client.post(order.json.finalize, { csr }),
    poll(order.headers.get('location') as string, (json) => json.status === 'valid'),
  ])
  for (const reply of replies) {
    assert.equal(reply.status, 200)
    assert.equal(reply.headers.get('location'), order.headers.get('location'))
    assert.ok(reply.json.certificate.startsWith(`${app.base}/acme/cert/`))
  }
  assert.deepEqual((await client.post(order.json.finalize, { csr })).json, replies[1]?.json)
  isProblem(await client.post(order.json.finalize, { csr: createCsr([name]) }), 403, 'orderNotReady', /valid/)
})

test('RFC 8555 §7.1.4: a valid authorization is reused by the next order, by the same account alone', async () => {
  const name = newName()
  const { order } = await issue([name])
  const again = await client.newOrder([name])
  assert.deepEqual([again.json.status, again.json.authorizations], ['ready', order.json.authorizations])
  const other = await createAcmeClient(app.directory)
  await other.register()
  assert.equal((await other.newOrder([name])).json.status, 'pending')
})

test('RFC 8555 §7.4.2: the certificate comes as application/pem-certificate-chain, leaf first, without root', async () => {
  const name = newName()
  const { certificate } = await issue([name])
  const reply = await client.post(certificate)
  assert.deepEqual([reply.status, reply.headers.get('content-type')], [200, 'application/pem-certificate-chain'])
  const blocks = reply.text.match(/-----BEGIN CERTIFICATE-----\n[^-]*-----END CERTIFICATE-----\n/g) ?? []
  assert.equal(blocks.join(''), reply.text)
  const [leaf, issuer] = blocks.map((pem) => new X509Certificate(pem))
  assert.equal(blocks.length, 2)
  assert.ok(leaf?.checkHost(name))
  assert.ok(leaf?.verify(issuer?.publicKey as never))
  assert.ok(issuer?.verify(new X509Certificate(app.roots[0] as Uint8Array).publicKey))
})

test('RFC 8555 §7.4.2: other chains of the same certificate are alternates, each linking to the others', async () => {
  const { certificate } = await issue([newName()])
  const main = await client.post(certificate)
  assert.deepEqual(main.links.alternate, [`${certificate}/1`])
  const other = await client.post(`${certificate}/1`)
  assert.deepEqual([other.status, other.links.alternate], [200, [certificate]])
  const issuer = new X509Certificate(other.text.slice(other.text.indexOf('-----END') + 25))
  assert.ok(issuer.verify(new X509Certificate(app.roots[1] as Uint8Array).publicKey))
  assert.equal(new X509Certificate(other.text).fingerprint256, new X509Certificate(main.text).fingerprint256)
  for (const chain of ['0', '2', '01', '1e0', 'x', '-1']) isProblem(await client.post(`${certificate}/${chain}`), 404, 'malformed')
})

test('RFC 8555 §7.4.2: the leaf alone as application/pkix-cert for who prefers that, with its issuer as "up"', async () => {
  const { certificate } = await issue([newName()])
  const { issuer } = app.ica
  // Another intermediate signs by now.
  app.ica.issuer = { ...issuer, id: 'f00f00f00f00f00f' }
  const reply = await client.post(certificate, undefined, { headers: { accept: 'application/pkix-cert' } })
  app.ica.issuer = issuer
  assert.deepEqual(
    [reply.status, reply.headers.get('content-type'), reply.links.up],
    [200, 'application/pkix-cert', [app.ica.issuerUrl(app.ica.issuer.id)]],
  )
  for (const accept of ['*/*', 'application/pem-certificate-chain', 'application/pem-certificate-chain, application/pkix-cert;q=0.5', 'text/html']) {
    const pem = await client.post(certificate, undefined, { headers: { accept } })
    assert.equal(pem.headers.get('content-type'), 'application/pem-certificate-chain', accept)
  }
})

test('RFC 8555 §7.1, §7.5.2: what belongs to one account does not exist for another', async () => {
  const { order, url, certificate } = await issue([newName()])
  const authorization = await client.post(order.json.authorizations[0])
  const other = await createAcmeClient(app.directory)
  await other.register()
  for (const [place, payload] of [
    [url],
    [order.json.finalize, { csr: createCsr(['x.example']) }],
    [order.json.authorizations[0]],
    [order.json.authorizations[0], { status: 'deactivated' }],
    [authorization.json.challenges[0].url],
    [authorization.json.challenges[0].url, {}],
    [certificate],
    [`${certificate}/1`],
  ]) {
    isProblem(await other.post(place, payload), 404, 'malformed')
  }
  isProblem(await request('GET', certificate), 405, 'malformed')
})

test('RFC 8555 §7.6: revoked by the account that ordered: 200 with nothing in it', async () => {
  const { certificate } = await issue([newName()])
  const der = await derOf(certificate)
  const reply = await client.post(client.directory.revokeCert, { certificate: der, reason: 4 })
  assert.deepEqual([reply.status, reply.text, reply.headers.get('content-length'), reply.headers.get('content-type')], [200, '', '0', null])
  isFresh(reply)
  const serial = certificate.split('/').at(-1) as string
  assert.equal(app.revoked.at(-1), serial)
  assert.equal((await app.store.certificateBySerial(serial))?.revocation?.reason, 'superseded')
  isProblem(await client.post(client.directory.revokeCert, { certificate: der }), 400, 'alreadyRevoked')
})

test('RFC 8555 §7.6: revoked by the certificate’s own key, which then is blocked', async () => {
  const name = newName()
  const key = newKey()
  const { certificate } = await issue([name], client, key)
  const der = await derOf(certificate)
  const stranger = await createAcmeClient(app.directory)
  isProblem(await stranger.postByKey(client.directory.revokeCert, { certificate: der }, newKey()), 403, 'unauthorized')
  const reply = await stranger.postByKey(client.directory.revokeCert, { certificate: der }, key)
  assert.equal(reply.status, 200, reply.text)
  assert.equal((await app.store.certificateBySerial(certificate.split('/').at(-1) as string))?.revocation?.reason, 'keyCompromise')
  const again = await client.newOrder([name])
  isProblem(await client.post(again.json.finalize, { csr: createCsr([name], key) }), 400, 'badCSR', /compromised/)
  isProblem(await (await createAcmeClient(app.directory, key)).register(), 400, 'badPublicKey', /compromised/)
})

test('RFC 8555 §7.6: revoked by another account that holds authorizations for all of its names, and by no other', async () => {
  const [first, second] = [newName(), newName()]
  const der = await derOf((await issue([first, second])).certificate)
  const other = await createAcmeClient(app.directory)
  await other.register()
  const revoke = () => other.post(other.directory.revokeCert, { certificate: der })
  isProblem(await revoke(), 403, 'unauthorized')
  await authorize(await other.newOrder([first]), 'dns-01', other)
  isProblem(await revoke(), 403, 'unauthorized')
  await authorize(await other.newOrder([second]), 'dns-01', other)
  assert.equal((await revoke()).status, 200)
})

test('RFC 8555 §7.6: reasons that a subscriber can’t give, and what is not a certificate of this CA', async () => {
  const der = await derOf((await issue([newName()])).certificate)
  const revoke = (payload: object) => client.post(client.directory.revokeCert, payload)
  for (const reason of [2, 6, 7, 8, 10, -1, '1', null, 1.5])
    isProblem(await revoke({ certificate: der, reason }), 400, 'badRevocationReason', /keyCompromise/)
  isProblem(await revoke({ certificate: Buffer.from(app.roots[0] as Uint8Array).toString('base64url') }), 404, 'malformed')
  isProblem(await revoke({ certificate: 'AAAA' }), 404, 'malformed')
  isProblem(await revoke({ certificate: `${der}=` }), 400, 'malformed', /base64url/)
  isProblem(await revoke({}), 400, 'malformed', /base64url/)
  isProblem(await client.post(client.directory.revokeCert), 400, 'malformed')
  assert.equal((await revoke({ certificate: der, reason: 1 })).status, 200)
})

test('RFC 8555 §7.1.2.1: finished orders are on the list of their account', async () => {
  const { url } = await issue([newName()])
  const { json } = await client.post(`${client.kid}/orders`)
  assert.ok(json.orders.includes(url))
})
