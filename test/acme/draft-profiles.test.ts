/** Profiles, validity, must-staple, XMPP names in CSRs and pre-authorization, through the whole program. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { builtinProfiles, type Profile } from '../../src/pki/profile.js'
import { type AcmeClient, createAcmeClient, isProblem, newKey } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { csrFor, dnsId, finalize, leafOf, namesOf, orderFor, prove, proveAll, srvId } from '../support/flow.js'

const DAY = 86_400_000
const server = builtinProfiles[0] as Profile
const profiles: Profile[] = [
  { ...server, name: 'dns-only', challengeTypes: ['dns-01'] },
  { ...server, name: 'web-only', challengeTypes: ['http-01'] },
  { ...server, name: 'stapled', mustStaple: 'always' },
  { ...server, name: 'strong', keyKinds: ['P-521'] },
  { ...server, name: 'plain', requestableNameForms: [], mustStaple: 'never', keyKinds: ['P-384'] },
]

let app: TestApp
let client: AcmeClient
before(async () => {
  app = await createTestApp({ profiles })
  app.played.set('*', proven)
  client = await createAcmeClient(app.directory)
  await client.register()
})
after(() => app.close())

let count = 0
const newName = (): string => `n${++count}.profiles.example`

/** An order that is ready. */
const ready = async (names: string[], more: object = {}, type = 'dns-01') => {
  const order = await client.newOrder(names, more)
  assert.equal(order.status, 201, order.text)
  await proveAll(client, order, type)
  return order
}

test('draft-ietf-acme-profiles §3: the directory has each profile with a sentence for people', () => {
  const listed = client.directory.meta.profiles as Record<string, string>
  for (const { name, description } of [...builtinProfiles, ...profiles])
    assert.equal(listed[name], `${description} ${app.ica.settings.website}/profiles/${name}`)
})

test('draft-ietf-acme-profiles §4: xmpp-server-short is for at most seven days, and nowhere to look up its status', async () => {
  const name = newName()
  const leaf = await leafOf(client, await finalize(client, await ready([name], { profile: 'xmpp-server-short' }), { dns: [name] }))
  assert.ok(leaf.notAfter - leaf.notBefore <= 7 * DAY)
  assert.equal(leaf.extensions.has('2.5.29.31'), false)
  assert.equal(Buffer.from(leaf.der).includes('/ocsp'), false)
  const order = await ready([newName()], { profile: 'xmpp-server-short' })
  const [{ value }] = order.json.identifiers
  isProblem(await finalize(client, order, { dns: [value], mustStaple: true }), 400, 'badCSR', /must-staple/)
})

test('draft-ietf-acme-profiles §4: the challenges of a profile are offered, and no others', async () => {
  const offered = async (profile: string) => {
    const [url] = (await client.newOrder([newName()], { profile })).json.authorizations
    return (await client.post(url)).json.challenges.map((c: { type: string }) => c.type).sort()
  }
  assert.deepEqual(
    [await offered('dns-only'), await offered('web-only'), await offered('xmpp-server')],
    [['dns-01'], ['http-01'], ['dns-01', 'http-01']],
  )
})

test('draft-ietf-acme-profiles §4: an authorization is reused where the profile accepts what proved it', async () => {
  const name = newName()
  const first = await ready([name], {}, 'http-01')
  assert.deepEqual((await client.newOrder([name], { profile: 'web-only' })).json.authorizations, first.json.authorizations)
  const strict = await client.newOrder([name], { profile: 'dns-only' })
  assert.equal(strict.json.status, 'pending')
  assert.notDeepEqual(strict.json.authorizations, first.json.authorizations)
  // Now there are two; each profile finds the one that it accepts.
  await proveAll(client, strict)
  assert.deepEqual((await client.newOrder([name], { profile: 'dns-only' })).json.authorizations, strict.json.authorizations)
  assert.deepEqual((await client.newOrder([name], { profile: 'web-only' })).json.authorizations, first.json.authorizations)
})

test('draft-ietf-acme-profiles §4: what no challenge of the profile can prove is refused at once, name by name', async () => {
  const name = newName()
  const reply = await client.newOrder([name, `*.${name}`], { profile: 'web-only' })
  isProblem(reply, 400, 'rejectedIdentifier', /http-01/)
  assert.deepEqual(
    reply.json.subproblems.map((s: { identifier: unknown }) => s.identifier),
    [dnsId(`*.${name}`)],
  )
})

test('draft-ietf-acme-profiles §4: an order of a profile that the CA has given up can’t be finalized (invalidProfile), and stays as it is', async () => {
  const name = newName()
  const order = await ready([name], { profile: 'plain' })
  const before = app.ica.profiles
  Object.assign(app.ica, { profiles: new Map([...before].filter(([profile]) => profile !== 'plain')) })
  try {
    isProblem(await finalize(client, order, { dns: [name] }), 400, 'invalidProfile', /"plain".*there are .*xmpp-server/)
  } finally {
    Object.assign(app.ica, { profiles: before })
  }
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'ready')
})

test('draft-ietf-acme-profiles §4: a profile that stops to accept a challenge stops orders that were proven by it', async () => {
  const name = newName()
  const order = await ready([name], {}, 'http-01')
  const before = app.ica.profiles
  Object.assign(app.ica, { profiles: new Map([...before, ['xmpp-server', { ...server, challengeTypes: ['dns-01'] }]]) })
  try {
    isProblem(await finalize(client, order, { dns: [name] }), 403, 'unauthorized', /http-01/)
  } finally {
    Object.assign(app.ica, { profiles: before })
  }
  await leafOf(client, await finalize(client, order, { dns: [name] }))
})

test('RFC 8555 §7.6: a certificate of every kind of key can be revoked by its key, P-521 by ES512', async () => {
  const name = newName()
  const key = newKey('ES512')
  const order = await finalize(client, await ready([name], { profile: 'strong' }), { dns: [name], key: key.privateKey })
  const certificate = Buffer.from((await leafOf(client, order)).der).toString('base64url')
  assert.equal((await client.postByKey(client.directory.revokeCert, { certificate }, key)).status, 200)
  assert.ok((await app.store.certificateBySerial((await leafOf(client, order)).serial))?.revocation)
})

test('draft-ietf-acme-profiles §4: the key must be of a kind that the profile has', async () => {
  const name = newName()
  const order = await ready([name], { profile: 'plain' })
  isProblem(await finalize(client, order, { dns: [name] }), 400, 'badCSR', /P-256/)
})

const hasStaple = (leaf: { extensions: ReadonlyMap<string, unknown> }) => leaf.extensions.has('1.3.6.1.5.5.7.1.24')

test('RFC 7633 §4.1: TLS Feature status_request is there where the CSR asks for it or the profile always has it', async () => {
  const issue = async (wish: object, more: object = {}) => {
    const name = newName()
    return leafOf(client, await finalize(client, await ready([name], more), { dns: [name], ...wish }))
  }
  assert.equal(hasStaple(await issue({})), false)
  assert.equal(hasStaple(await issue({ mustStaple: true })), true)
  assert.equal(hasStaple(await issue({}, { profile: 'stapled' })), true)
})

test('RFC 8555 §7.4: notBefore and notAfter of the order are those of the certificate', async () => {
  const name = newName()
  const seconds = (ms: number) => Math.floor((app.clock.now() + ms) / 1000) * 1000
  const [notBefore, notAfter] = [seconds(-1_800_000), seconds(10 * DAY)]
  const text = (ms: number) => new Date(ms).toISOString()
  const order = await ready([name], { notBefore: text(notBefore), notAfter: text(notAfter) })
  const leaf = await leafOf(client, await finalize(client, order, { dns: [name] }))
  assert.deepEqual([leaf.notBefore, leaf.notAfter], [notBefore, notAfter])
})

test('RFC 8555 §7.4: a validity beyond the profile is refused when it is ordered', async () => {
  const at = (ms: number) => new Date(app.clock.now() + ms).toISOString()
  const wrong: [more: object, says: RegExp][] = [
    [{ notAfter: at(201 * DAY) }, /at most 200 days/],
    [{ notAfter: at(7 * DAY), profile: 'xmpp-server-short' }, /at most 167 hours/],
    [{ notBefore: at(-2 * 3_600_000) }, /hour back/],
    [{ notBefore: at(8 * DAY) }, /too far ahead: at most 7 days/],
    // Counted from now, not from notBefore: else what is proven today would hold for 400 days, and what has no revocation for two weeks.
    [{ notBefore: at(2 * DAY), notAfter: at(201 * DAY) }, /at most 200 days of validity from now/],
    [{ notBefore: at(6.97 * DAY), profile: 'xmpp-server-short' }, /lies behind that/],
    [{ notBefore: at(2 * DAY), notAfter: at(DAY) }, /after the beginning/],
    [{ notBefore: at(-3_000_000), notAfter: at(-1_000_000) }, /has passed/],
    [{ notAfter: 1_900_000_000 }, /RFC 3339/],
  ]
  for (const [more, says] of wrong) isProblem(await client.newOrder([newName()], more), 400, 'malformed', says)
})

test('RFC 8555 §7.4: a postponed certificate without notAfter ends within the profile, counted from now', async () => {
  const name = newName()
  const notBefore = new Date(app.clock.now() + 3 * DAY).toISOString()
  const ordered = app.clock.now()
  const leaf = await leafOf(client, await finalize(client, await ready([name], { notBefore, profile: 'xmpp-server-short' }), { dns: [name] }))
  assert.equal(leaf.notBefore, Math.floor(Date.parse(notBefore) / 1000) * 1000)
  assert.ok(leaf.notAfter > ordered + 6.9 * DAY && leaf.notAfter <= app.clock.now() + 7 * DAY - 3_600_000)
})

test('RFC 8555 §7.4: a validity that was good when it was ordered is judged again when the order is finalized', async () => {
  const text = (ms: number) => new Date(app.clock.now() + ms).toISOString()
  const passed: [more: object, says: RegExp][] = [
    [{ notAfter: text(DAY) }, /notAfter.* has passed/],
    [{ notBefore: text(0), notAfter: text(10 * DAY) }, /notBefore.* more than an hour back/],
  ]
  for (const [more, says] of passed) {
    const name = newName()
    const order = await ready([name], more)
    app.clock.skew = 2 * DAY
    await client.post(client.directory.newOrder) // for a nonce of that time
    try {
      isProblem(await finalize(client, order, { dns: [name] }), 400, 'malformed', says)
      // The names stay proven: another order is ready at once.
      assert.equal((await client.newOrder([name])).json.status, 'ready')
    } finally {
      app.clock.skew = 0
      await client.post(client.directory.newOrder)
    }
  }
})

test('draft-ietf-acme-profiles §4: a CSR may carry the SRVNames and the XmppAddr of its domains, the latter as U-label', async () => {
  const name = `xn--bcher-kva.n${++count}.profiles.example`
  const order = await ready([name])
  const wish = { dns: [name], srv: [`_xmpp-server.${name}`], xmpp: [name.replace('xn--bcher-kva', 'bücher')] }
  assert.deepEqual(namesOf(await leafOf(client, await finalize(client, order, wish))), [
    `dNSName ${name}`,
    `SRVName _xmpp-client.${name}`,
    `SRVName _xmpp-server.${name}`,
    `XmppAddr ${wish.xmpp[0]}`,
  ])
})

test('RFC 8555 §7.4: XMPP names of domains that were not ordered, of wildcards, or in forms that the profile lacks are badCSR', async () => {
  const name = newName()
  const order = await ready([name, `*.${name}`])
  const dns = [name, `*.${name}`]
  const wrong: [wish: object, says: RegExp][] = [
    [{ dns, srv: ['_xmpp-server.other.example'] }, /_xmpp-server\.other\.example/],
    [{ dns, srv: [`_xmpp-server.sub.${name}`] }, /sub/],
    [{ dns, srv: [`_sip.${name}`] }, /_sip/],
    [{ dns, xmpp: ['other.example'] }, /other\.example/],
    [{ dns, xmpp: [`user@${name}`] }, /user@/],
  ]
  for (const [wish, says] of wrong) isProblem(await finalize(client, order, wish), 400, 'badCSR', says)
  await leafOf(client, await finalize(client, order, { dns }))
  const plain = await ready([name], { profile: 'plain' })
  isProblem(await finalize(client, plain, { dns: [name], xmpp: [name], key: newKey('ES384').privateKey }), 400, 'badCSR', /no names of this form/)
})

test('RFC 8555 §7.4.1: newAuthz gives a pending authorization with its URL', async () => {
  const name = newName()
  const reply = await client.post(client.directory.newAuthz, { identifier: dnsId(name) })
  assert.equal(reply.status, 201, reply.text)
  const { status, identifier, challenges, wildcard } = reply.json
  assert.deepEqual([status, identifier, wildcard], ['pending', dnsId(name), undefined])
  assert.deepEqual(challenges.map((c: { type: string }) => c.type).sort(), ['dns-01', 'http-01'])
  const url = reply.headers.get('location') as string
  assert.deepEqual((await client.post(url)).json, reply.json)
})

test('RFC 8555 §7.4.1: an order finds its names authorized beforehand', async () => {
  const [name, other] = [newName(), newName()]
  const urls = []
  for (const identifier of [dnsId(name), srvId(`_xmpp-server.${other}`)]) {
    const url = (await client.post(client.directory.newAuthz, { identifier })).headers.get('location') as string
    assert.equal((await prove(client, url, 'dns-01')).json.status, 'valid')
    urls.push(url)
  }
  const order = await client.newOrder([name])
  assert.deepEqual([order.json.status, order.json.authorizations], ['ready', [urls[0]]])
  const hosted = await orderFor(client, [srvId(`_xmpp-server.${other}`)])
  assert.deepEqual([hosted.json.status, hosted.json.authorizations], ['ready', [urls[1]]])
})

test('RFC 8555 §7.4.1: wildcards can’t be authorized beforehand; identifiers are judged as in an order', async () => {
  const url = client.directory.newAuthz
  isProblem(await client.post(url, { identifier: dnsId(`*.${newName()}`) }), 400, 'malformed', /wildcard/)
  isProblem(await client.post(url, { identifier: { type: 'ip', value: '192.0.2.1' } }), 400, 'unsupportedIdentifier')
  isProblem(await client.post(url, { identifier: dnsId('a..example') }), 400, 'malformed', /empty label/)
  isProblem(await client.post(url, { identifier: dnsId('localhost') }), 400, 'rejectedIdentifier')
  isProblem(await client.post(url, { identifiers: [dnsId('a.example.com')] }), 400, 'unsupportedIdentifier')
  isProblem(await client.post(url), 400, 'malformed')
})

test('RFC 8555 §7.4: finalize sent again gives the same certificate', async () => {
  const name = newName()
  const order = await ready([name])
  const csr = await csrFor({ dns: [name] })
  const [first, second] = [await client.post(order.json.finalize, { csr }), await client.post(order.json.finalize, { csr })]
  assert.equal(second.json.certificate, first.json.certificate)
})
