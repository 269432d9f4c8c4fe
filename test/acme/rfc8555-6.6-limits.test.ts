/** RFC 8555 §6.6: rate limits, through the whole program. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { defaultLimits, type LimitName, type Limits, noLimits, parseRate } from '../../src/issuance/limits.js'
import { markForRenewal, setLimit, unsetLimit } from '../../src/issuance/operator.js'
import { certificateIdOf } from '../../src/issuance/renewal.js'
import { type AcmeClient, createAcmeClient, isProblem, type Reply } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { finalize, leafOf, prove, proveAll } from '../support/flow.js'
import { saysLimit } from '../support/limits.js'

const MINUTE = 60_000
const DAY = 1440 * MINUTE
const who = { actor: 'operator:test' }

const apps: TestApp[] = []
after(() => Promise.all(apps.map((app) => app.close())))

let app: TestApp
/** The program with these limits, and no others. */
const limited = async (limits: Partial<Limits>, more: object = {}): Promise<void> => {
  app = await createTestApp({ settings: { limits: { ...noLimits, ...limits } }, ...more })
  app.played.set('*', proven)
  apps.push(app)
}

const registered = async (): Promise<AcmeClient> => {
  const client = await createAcmeClient(app.directory)
  assert.equal((await client.register()).status, 201)
  return client
}

const issue = async (client: AcmeClient, names: string[], more: object = {}): Promise<Reply> => {
  const order = await client.newOrder(names, more)
  if (order.status !== 201) return order
  await proveAll(client, order)
  return finalize(client, order, { dns: names })
}

const isLimited = (reply: Reply, limit: LimitName, detail: RegExp, atMostS: number): void =>
  saysLimit(reply, { limit, rate: app.ica.settings.limits[limit], detail, now: app.clock.now(), atMostS })

beforeEach(() => {
  app = undefined as never
})

test('RFC 8555 §6.6: new accounts per address; one that exists is found all the same, and time brings room', async () => {
  await limited({ newAccountsPerAddress: parseRate('2/1h') })
  const first = await registered()
  await registered()
  const third = await createAcmeClient(app.directory)
  isLimited(
    await third.register(),
    'newAccountsPerAddress',
    /^Too many new accounts from the address 127\.0\.0\.1: the limit is 2 in 60 minutes/,
    1800,
  )
  assert.equal((await first.register()).status, 200)
  app.clock.skew += 31 * MINUTE
  assert.equal((await third.register()).status, 201)
  isLimited(await (await createAcmeClient(app.directory)).register(), 'newAccountsPerAddress', /./, 1800)
})

test('RFC 8555 §6.6: of IPv6 addresses the /64 counts; the operator can lift the limit for it', async () => {
  await limited({ newAccountsPerAddress: parseRate('1/1h') }, { trustProxy: true })
  const from = async (address: string): Promise<Reply> => {
    const client = await createAcmeClient(app.directory)
    const header = { kid: undefined, jwk: client.key.jwk }
    return client.post(client.directory.newAccount, { termsOfServiceAgreed: true }, { header, headers: { 'x-forwarded-for': address } })
  }
  assert.equal((await from('2001:db8:1:2::1')).status, 201)
  isLimited(await from('2001:db8:1:2:ffff::9'), 'newAccountsPerAddress', /2001:db8:1:2::\/64/, 3600)
  assert.equal((await from('2001:db8:1:3::1')).status, 201)
  assert.equal((await from('::ffff:192.0.2.1')).status, 201)
  isLimited(await from('192.0.2.1'), 'newAccountsPerAddress', /192\.0\.2\.1/, 3600)
  await setLimit(app.ica, 'newAccountsPerAddress', '2001:db8:1:2::/64', null, who)
  app.clock.skew += 1100
  assert.equal((await from('2001:db8:1:2::2')).status, 201)
})

test('RFC 8555 §6.6: orders per account, with a limit of its own for one of them', async () => {
  await limited({ ordersPerAccount: parseRate('2/1h') })
  const [one, two] = [await registered(), await registered()]
  for (const name of ['a.example.com', 'b.example.com']) assert.equal((await one.newOrder([name])).status, 201)
  const refused = await one.newOrder(['c.example.com'])
  isLimited(refused, 'ordersPerAccount', /^Too many orders of this account/, 1800)
  // Nothing of it was stored.
  assert.equal((await one.post((await one.post(one.kid as string)).json.orders)).json.orders.length, 2)
  assert.equal((await two.newOrder(['c.example.com'])).status, 201)
  const id = (one.kid as string).split('/').at(-1) as string
  await setLimit(app.ica, 'ordersPerAccount', id, parseRate('10/1h'), who)
  app.clock.skew += 1100
  assert.equal((await one.newOrder(['c.example.com'])).status, 201)
  await unsetLimit(app.ica, 'ordersPerAccount', id, who)
  app.clock.skew += 1100
  isLimited(await one.newOrder(['d.example.com']), 'ordersPerAccount', /./, 3600)
})

test('RFC 8555 §6.6: of orders that come at once no more get through than the limit says', async () => {
  await limited({ ordersPerAccount: parseRate('5/1h') })
  const client = await registered()
  const clients = await Promise.all(
    Array.from({ length: 12 }, async () => Object.assign(await createAcmeClient(app.directory, client.key), { kid: client.kid })),
  )
  const replies = await Promise.all(clients.map((c, i) => c.newOrder([`n${i}.example.com`])))
  assert.deepEqual(replies.map(({ status }) => status).sort(), [...Array(5).fill(201), ...Array(7).fill(429)])
})

test('RFC 8555 §6.6: new certificates per registered domain; a renewal of the same names does not count', async () => {
  await limited({ certificatesPerDomain: parseRate('2/1d') })
  const client = await registered()
  for (const name of ['a.example.com', 'b.example.com']) assert.equal((await issue(client, [name])).json.status, 'valid')
  isLimited(
    await client.newOrder(['c.example.com']),
    'certificatesPerDomain',
    /registered domain example\.com: the limit is 2 in 24 hours/,
    DAY / 2000,
  )
  // Suffixes of the public list are no registered domains: these are two others.
  for (const name of ['example.co.uk', 'example.org.uk']) assert.equal((await issue(client, [name])).json.status, 'valid')
  assert.equal((await issue(client, ['a.example.com'])).json.status, 'valid')
  await setLimit(app.ica, 'certificatesPerDomain', 'example.com', parseRate('50/1d'), who)
  app.clock.skew += 1100
  assert.equal((await issue(client, ['c.example.com'])).json.status, 'valid')
})

test('RFC 8555 §6.6: finalize counts the certificate, refuses what is too many, and the order stays ready', async () => {
  await limited({ certificatesPerDomain: parseRate('1/1h') })
  const client = await registered()
  const orders = [await client.newOrder(['a.example.com']), await client.newOrder(['b.example.com'])]
  for (const order of orders) await proveAll(client, order)
  const [first, second] = orders as [Reply, Reply]
  assert.equal((await finalize(client, first, { dns: ['a.example.com'] })).json.status, 'valid')
  isLimited(await finalize(client, second, { dns: ['b.example.com'] }), 'certificatesPerDomain', /./, 3600)
  const url = second.headers.get('location') as string
  assert.equal((await client.post(url)).json.status, 'ready')
  app.clock.skew += 61 * MINUTE
  assert.equal((await finalize(client, second, { dns: ['b.example.com'] })).json.status, 'valid')
})

test('RFC 8555 §6.6: certificates for an exact set of names, whatever their order', async () => {
  await limited({ certificatesPerExactSet: parseRate('2/7d') })
  const client = await registered()
  assert.equal((await issue(client, ['a.example.com', 'b.example.com'])).json.status, 'valid')
  assert.equal((await issue(client, ['b.example.com', 'a.example.com'])).json.status, 'valid')
  isLimited(await client.newOrder(['a.example.com', 'b.example.com']), 'certificatesPerExactSet', /exactly these names/, (7 * DAY) / 2000)
  assert.equal((await issue(client, ['a.example.com'])).json.status, 'valid')
})

test('RFC 8555 §6.6, RFC 9773 §5: who replaces a certificate in its window is exempt; before it, and after having revoked it, nobody is', async () => {
  const one = parseRate('1/300d')
  await limited({ ordersPerAccount: one, certificatesPerDomain: one, certificatesPerExactSet: one })
  const client = await registered()
  const leaf = await leafOf(client, await issue(client, ['a.example.com']))
  const replaces = certificateIdOf(leaf.der)
  isLimited(await client.newOrder(['a.example.com'], { replaces }), 'certificatesPerExactSet', /./, (300 * DAY) / 1000)
  const certificate = Buffer.from(leaf.der).toString('base64url')
  assert.equal((await client.post(client.directory.revokeCert, { certificate })).status, 200)
  isLimited(await client.newOrder(['a.example.com'], { replaces }), 'certificatesPerExactSet', /./, (300 * DAY) / 1000)
  await markForRenewal(app.ica, { serial: leaf.serial }, { reason: 'test', explanationUrl: null, spreadMs: 0 }, who)
  app.clock.skew += 1100
  // Two names: neither the set nor its size has anything to do with it.
  const renewed = await leafOf(client, await issue(client, ['a.example.com', 'b.example.com'], { replaces }))
  // It used nothing up; the set is known now, so its next certificate is a renewal.
  assert.equal((await client.newOrder(['a.example.com', 'b.example.com'])).status, 201)
  isProblem(await client.newOrder(['a.example.com'], { replaces }), 409, 'alreadyReplaced')
  isLimited(await client.newOrder(['a.example.com'], { replaces: certificateIdOf(renewed.der) }), 'certificatesPerExactSet', /./, (300 * DAY) / 1000)
})

test('RFC 8555 §6.6: orders for the names of a certificate of the same account are spared, of another account not, and not without an end', async () => {
  await limited({ ordersPerAccount: parseRate('2/1h') })
  const [owner, stranger] = [await registered(), await registered()]
  const names = ['a.example.com']
  assert.equal((await issue(owner, names)).json.status, 'valid')
  for (let i = 0; i < 2; i++) assert.equal((await stranger.newOrder(names)).status, 201)
  isLimited(await stranger.newOrder(names), 'ordersPerAccount', /that renew a certificate of this account/, 1800)
  // One was counted for the certificate; five renewals are spared, one more counts as any order does.
  for (let i = 0; i < 6; i++) assert.equal((await owner.newOrder(names)).status, 201, String(i))
  isLimited(await owner.newOrder(names), 'ordersPerAccount', /./, 1800)
  app.clock.skew += 2 * DAY
  await owner.post(owner.directory.newOrder) // for a nonce of that time
  for (let i = 0; i < 3; i++) assert.equal((await owner.newOrder(names)).status, 201, String(i))
  isLimited(await owner.newOrder(names), 'ordersPerAccount', /./, 1800)
})

test('RFC 9773 §5: who gives up the order that replaces a certificate, again and again, orders like everybody in the end', async () => {
  await limited({ ordersPerAccount: parseRate('2/1h') })
  const client = await registered()
  const leaf = await leafOf(client, await issue(client, ['a.example.com']))
  await markForRenewal(app.ica, { serial: leaf.serial }, { reason: 'test', explanationUrl: null, spreadMs: 0 }, who)
  app.clock.skew += 1100
  const replaceAndGiveUp = async (): Promise<Reply> => {
    const order = await client.newOrder(['a.example.com', 'b.example.com'], { replaces: certificateIdOf(leaf.der) })
    for (const url of order.json.authorizations ?? []) await client.post(url, { status: 'deactivated' })
    return order
  }
  for (let i = 0; i < 6; i++) assert.equal((await replaceAndGiveUp()).status, 201, String(i))
  isLimited(await replaceAndGiveUp(), 'ordersPerAccount', /./, 1800)
})

test('RFC 8555 §6.6: failed validations, by name and account', async () => {
  await limited({ failedValidations: parseRate('2/1h') })
  const [client, other] = [await registered(), await registered()]
  app.played.set('bad.example.com', () => ({ ok: false, code: 'unauthorized', detail: 'no', retryable: false, evidence: {} }))
  const fail = async (): Promise<void> => {
    const order = await client.newOrder(['bad.example.com', 'good.example.com'])
    const states = await Promise.all(order.json.authorizations.map(async (url: string) => (await prove(client, url, 'dns-01')).json.status))
    assert.ok(states.includes('invalid'))
  }
  await fail()
  await fail()
  isLimited(
    await client.newOrder(['bad.example.com']),
    'failedValidations',
    /failed validations of "bad\.example\.com" by this account.*last attempt/,
    1800,
  )
  isLimited(await client.newOrder(['*.bad.example.com']), 'failedValidations', /./, 1800)
  const newAuthz = { identifier: { type: 'dns', value: 'bad.example.com' } }
  isLimited(await client.post((client.directory as never as { newAuthz: string }).newAuthz, newAuthz), 'failedValidations', /./, 1800)
  assert.equal((await client.newOrder(['good.example.com'])).status, 201)
  assert.equal((await other.newOrder(['bad.example.com'])).status, 201)
  app.clock.skew += 31 * MINUTE
  assert.equal((await client.newOrder(['bad.example.com'])).status, 201)
})

test('RFC 8555 §6.6: what is refused counts against nothing', async () => {
  await limited({ ...defaultLimits, ordersPerAccount: parseRate('2/1h') })
  const client = await registered()
  for (let i = 0; i < 5; i++) isProblem(await client.newOrder(['localhost']), 400, 'rejectedIdentifier')
  for (let i = 0; i < 5; i++) isProblem(await client.newOrder(['a.example.com'], { profile: 'none' }), 400, 'invalidProfile')
  assert.equal((await client.newOrder(['a.example.com'])).status, 201)
  assert.equal((await client.newOrder(['b.example.com'])).status, 201)
  for (let i = 0; i < 5; i++) isLimited(await client.newOrder(['c.example.com']), 'ordersPerAccount', /./, 1800)
  app.clock.skew += 30 * MINUTE
  assert.equal((await client.newOrder(['c.example.com'])).status, 201)
})

test('RFC 8555 §6.6: a finalize that CAA refuses is a failed validation of its name; after too many nobody is asked again', async () => {
  let lookUps = 0
  const lookUpCaa = async (name: string) => {
    lookUps++
    return name === 'caa.example.com'
      ? { kind: 'records' as const, records: [{ critical: false, tag: 'issue', value: ';' }] }
      : { kind: 'none' as const, reason: 'NODATA' as const }
  }
  await limited({ failedValidations: parseRate('2/1h') }, { lookUpCaa })
  const client = await registered()
  const names = ['*.caa.example.com', 'good.example.com']
  const order = await client.newOrder(names)
  await proveAll(client, order)
  for (let i = 0; i < 2; i++) isProblem(await finalize(client, order, { dns: names }), 403, 'caa')
  const before = lookUps
  isLimited(await finalize(client, order, { dns: names }), 'failedValidations', /"caa\.example\.com" by this account/, 1800)
  assert.equal(lookUps, before)
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'ready')
  assert.equal((await issue(client, ['good.example.com'])).json.status, 'valid', 'its other names are none the worse for it')
  app.clock.skew += 31 * MINUTE
  isProblem(await finalize(client, order, { dns: names }), 403, 'caa')
})
