/** RFC 9773: ACME Renewal Information, through the whole program. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { markForRenewal, unmarkForRenewal } from '../../src/issuance/operator.js'
import { certificateIdOf } from '../../src/issuance/renewal.js'
import type { CertificateInfo } from '../../src/pki/read-certificate.js'
import { type AcmeClient, createAcmeClient, isProblem, type Reply, request } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { finalize, leafOf, proveAll } from '../support/flow.js'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const who = { actor: 'operator:test' }

let app: TestApp
let client: AcmeClient
before(async () => {
  app = await createTestApp()
  app.played.set('*', proven)
  client = await createAcmeClient(app.directory)
  await client.register()
})
after(() => app.close())

let count = 0
const newName = (): string => `n${++count}.example.com`

const issue = async (names: string[], more: object = {}): Promise<{ order: Reply; leaf: CertificateInfo; id: string }> => {
  const order = await client.newOrder(names, more)
  assert.equal(order.status, 201, order.text)
  await proveAll(client, order)
  const leaf = await leafOf(client, await finalize(client, order, { dns: names }))
  return { order, leaf, id: certificateIdOf(leaf.der) }
}

const infoOf = async (id: string): Promise<Reply & { start: number; end: number }> => {
  const reply = await request('GET', `${app.local}/acme/renewal-info/${id}`)
  const { start, end } = reply.json.suggestedWindow ?? {}
  return { ...reply, start: Date.parse(start), end: Date.parse(end) }
}

/** Marks certificates for as long as `use` runs. */
const whileMarked = async (
  selector: Parameters<typeof markForRenewal>[1],
  more: Partial<Parameters<typeof markForRenewal>[2]>,
  use: () => Promise<void>,
): Promise<void> => {
  const mark = await markForRenewal(app.ica, selector, { reason: 'test', explanationUrl: null, spreadMs: 0, ...more }, who)
  app.clock.skew += 1100
  await use()
  await unmarkForRenewal(app.ica, mark.id, who)
  app.clock.skew += 1100
}

test('RFC 9773 §3: the directory has renewalInfo', async () => {
  assert.equal((await request('GET', app.directory)).json.renewalInfo, `${app.base}/acme/renewal-info`)
})

test('RFC 9773 §4.1: the identifier is made of the key identifier and the serial, with its sign octet', async () => {
  const { leaf, id } = await issue([newName()])
  const [aki = '', serial = ''] = id.split('.')
  assert.deepEqual(Buffer.from(aki, 'base64url'), Buffer.from(leaf.aki ?? []))
  assert.equal(BigInt(`0x${Buffer.from(serial, 'base64url').toString('hex')}`), BigInt(`0x${leaf.serial}`))
})

test('RFC 9773 §4.1: what is not such an identifier, letter by letter, is malformed or not found', async () => {
  const { id } = await issue([newName()])
  const [aki = '', serial = ''] = id.split('.')
  const octets = Buffer.from(serial, 'base64url')
  const encode = (...bytes: number[]) => Buffer.from(bytes).toString('base64url')
  const negative = Buffer.from(octets)
  negative[0] = 0x80 | (octets[0] ?? 0)
  for (const bad of [
    'x',
    aki,
    `${aki}.`,
    `.${serial}`,
    `${id}.x`,
    `${id}==`,
    `${aki}=.${serial}`,
    `${aki}.${encode(0, ...octets)}`,
    `${aki}.${encode(0)}`,
    `${aki}.${negative.toString('base64url')}`,
    `${aki}.${encode(...Array(21).fill(1))}`,
    `${aki.slice(0, -1)}!.${serial}`,
    `${aki}.${'A'.repeat(300)}`,
  ]) {
    isProblem(await infoOf(bad), 400, 'malformed', /RFC 9773/)
  }
  const otherAki = Buffer.from(aki, 'base64url')
  otherAki[0] = (otherAki[0] ?? 0) ^ 1
  isProblem(await infoOf(`${otherAki.toString('base64url')}.${serial}`), 404, 'malformed')
  isProblem(await infoOf(`${aki}.${encode(1, 2, 3)}`), 404, 'malformed')
  isProblem(await infoOf(`${aki}.${encode(0, 0x87, 0x65)}`), 404, 'malformed')
})

test('RFC 9773 §4.2, §4.3, §6: a window around two thirds of the life, without an account, with Retry-After', async () => {
  const { leaf, id } = await issue([newName()])
  const reply = await infoOf(id)
  assert.equal(reply.status, 200)
  assert.equal(reply.headers.get('content-type'), 'application/json')
  assert.equal(reply.headers.get('retry-after'), '21600')
  assert.equal(reply.headers.get('replay-nonce'), null)
  assert.equal(reply.json.explanationURL, undefined)
  for (const time of Object.values(reply.json.suggestedWindow)) assert.match(time as string, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  const centre = leaf.notBefore + ((leaf.notAfter - leaf.notBefore) * 2) / 3
  assert.ok(reply.end > reply.start)
  assert.ok(Math.abs(reply.end - reply.start - 2 * DAY) <= 1000)
  assert.ok(Math.abs((reply.start + reply.end) / 2 - centre) <= DAY)
  assert.deepEqual((await infoOf(id)).json, reply.json)
  assert.equal((await request('HEAD', `${app.local}/acme/renewal-info/${id}`)).status, 200)
  isProblem(await client.post(`${app.base}/acme/renewal-info/${id}`), 405, 'malformed')
})

test('RFC 9773 §4.3: every answer says when to ask again, sooner where a certificate has to be replaced now', async () => {
  const { leaf, id } = await issue([newName()])
  const wait = async () => Number((await infoOf(id)).headers.get('retry-after'))
  const usual = await wait()
  assert.ok(usual > 60 && usual <= 86_400)
  await whileMarked({ serial: leaf.serial }, {}, async () => {
    const { start, end, headers } = await infoOf(id)
    assert.ok(start < end)
    assert.ok(Number(headers.get('retry-after')) >= 60)
  })
  assert.equal(await wait(), usual)
})

test('RFC 9773 §4.2: certificates that were issued together are not renewed together', async () => {
  const made = []
  for (let i = 0; i < 6; i++) made.push(await issue([newName()]))
  const starts = await Promise.all(made.map(async ({ id }) => (await infoOf(id)).start))
  assert.equal(new Set(starts).size, 6)
  assert.ok(Math.max(...starts) - Math.min(...starts) > HOUR)
})

test('RFC 9773 §4.2: a window in the past for a certificate that is revoked', async () => {
  const { leaf, id } = await issue([newName()])
  const before = await infoOf(id)
  await client.post(client.directory.revokeCert, { certificate: Buffer.from(leaf.der).toString('base64url') })
  const revoked = await infoOf(id)
  assert.ok(before.start > app.clock.now() && revoked.end <= app.clock.now())
  assert.ok(revoked.start < revoked.end)
})

test('RFC 9773 §4.2: the operator marks certificates, says why, and spreads the renewals', async () => {
  const name = newName()
  const { leaf, id } = await issue([name, `chat.${name}`])
  const other = await issue([newName()])
  const usual = await infoOf(id)
  const explanationUrl = 'https://ca.test/incident'
  const cases: Parameters<typeof markForRenewal>[1][] = [
    { serial: leaf.serial },
    { keyId: leaf.publicKey.keyId },
    { domain: name },
    { domain: `chat.${name}` },
    { issuedFrom: app.clock.now() - HOUR, domain: name },
  ]
  for (const selector of cases) {
    await whileMarked(selector, { explanationUrl }, async () => {
      const marked = await infoOf(id)
      assert.ok(marked.end <= app.clock.now(), JSON.stringify(selector))
      assert.equal(marked.json.explanationURL, explanationUrl)
      assert.ok((await infoOf(other.id)).start > app.clock.now())
    })
    assert.deepEqual((await infoOf(id)).json, usual.json)
  }
  await whileMarked({ issuedUntil: app.clock.now() - HOUR }, {}, async () => assert.deepEqual((await infoOf(id)).json, usual.json))
  await whileMarked({}, { spreadMs: DAY }, async () => {
    const { start, end } = await infoOf(other.id)
    assert.ok(start <= app.clock.now() && end - start === DAY)
    // What is issued after the mark is the renewal.
    assert.ok((await infoOf((await issue([newName()])).id)).start > app.clock.now())
  })
  const actions = (await app.store.auditLog({ limit: 30 })).map(({ action }) => action)
  assert.ok(actions.includes('renewal.marked') && actions.includes('renewal.unmarked'))
})

test('RFC 9773 §5: "replaces" is kept and shown, and a certificate is replaced once', async () => {
  const name = newName()
  const { id } = await issue([name])
  const order = await client.newOrder([name], { replaces: id })
  assert.deepEqual([order.status, order.json.replaces], [201, id])
  assert.equal((await client.post(order.headers.get('location') as string)).json.replaces, id)
  const again = await client.newOrder([name], { replaces: id })
  isProblem(again, 409, 'alreadyReplaced')
  await proveAll(client, order)
  const done = await finalize(client, order, { dns: [name] })
  assert.deepEqual([done.json.status, done.json.replaces], ['valid', id])
  isProblem(await client.newOrder([name], { replaces: id }), 409, 'alreadyReplaced')
  assert.equal((await client.newOrder([name])).json.replaces, undefined)
})

test('RFC 9773 §5: an order that came to nothing replaces nothing', async () => {
  const name = newName()
  const { id } = await issue([name])
  const failing = newName()
  app.played.set(failing, () => undefined as never)
  const order = await client.newOrder([name, failing], { replaces: id })
  const pending = order.json.authorizations as string[]
  for (const url of pending) await client.post(url, { status: 'deactivated' })
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'invalid')
  assert.equal((await client.newOrder([name], { replaces: id })).status, 201)
})

test('RFC 9773 §5: of many orders at once one replaces', async () => {
  const name = newName()
  const { id } = await issue([name])
  const clients = await Promise.all(
    Array.from({ length: 6 }, async () => Object.assign(await createAcmeClient(app.directory, client.key), { kid: client.kid })),
  )
  const replies = await Promise.all(clients.map((c) => c.newOrder([name], { replaces: id })))
  assert.deepEqual(replies.map(({ status }) => status).sort(), [201, 409, 409, 409, 409, 409])
})

test('RFC 9773 §5: "replaces" must name a certificate of this account with an identifier of the order', async () => {
  const name = newName()
  const { id } = await issue([name])
  const stranger = await createAcmeClient(app.directory)
  await stranger.register()
  isProblem(await stranger.newOrder([name], { replaces: id }), 403, 'unauthorized', /another account/)
  isProblem(await client.newOrder([newName()], { replaces: id }), 400, 'malformed', /none of the identifiers/)
  isProblem(await client.newOrder([name], { replaces: `${id.split('.')[0]}.AQID` }), 404, 'malformed', /not issued by this CA/)
  for (const bad of ['x', 7, null, {}, [], `${id}=`]) isProblem(await client.newOrder([name], { replaces: bad }), 400, 'malformed', /RFC 9773/)
  assert.equal((await client.newOrder([name, newName()], { replaces: id })).status, 201)
})
