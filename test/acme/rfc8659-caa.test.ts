/** CAA (RFC 8659, RFC 8657) at issuance, through the whole program, asked of a real DNS server. The record language itself: test/validation/caa.test.ts. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { resumeOrders } from '../../src/issuance/orders.js'
import { createResolver } from '../../src/validation/resolver.js'
import { type AcmeClient, createAcmeClient, isProblem, type Reply } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { csrFor, dnsId, finalize, leafOf, orderFor, poll, proveAll, srvId } from '../support/flow.js'

let app: TestApp
let dns: DnsServer
let client: AcmeClient
before(async () => {
  dns = await startDnsServer(['test'])
  const { caa } = createResolver([dns.address], { firstTryMs: 200, tries: 1, totalMs: 400 })
  app = await createTestApp({ lookUpCaa: caa })
  app.played.set('*', proven)
  client = await createAcmeClient(app.directory)
  await client.register()
})
after(async () => {
  await app.close()
  await dns.close()
})
beforeEach(() => dns.clear())

let count = 0
const newName = (): string => `n${++count}.caa.test`

/** An order for `names` that is ready. */
const ready = async (names: string[], type = 'dns-01'): Promise<Reply> => {
  const order = await client.newOrder(names)
  await proveAll(client, order, type)
  return order
}

const issue = (...records: { flags?: number; tag: string; value: string }[]) => records
const mine = { tag: 'issue', value: 'ca.test' }
const others = { tag: 'issue', value: 'other.test' }

const auditOf = async (subject: string, action: string) => (await app.store.auditLog({ subject, limit: 20 })).filter((row) => row.action === action)

test('RFC 8659 §3: without any CAA record the CA may issue; the parents are asked up to the top', async () => {
  const name = newName()
  await leafOf(client, await finalize(client, await ready([name]), { dns: [name] }))
  assert.deepEqual(dns.queries.map((query) => `${query.type} ${query.name}`).sort(), [`CAA ${name}`, 'CAA caa.test', 'CAA test'].sort())
})

test('RFC 8659 §3: the records nearest to the name decide, through an alias too', async () => {
  const name = newName()
  dns.set('caa.test', 'CAA', ...issue(others))
  const order = await ready([name])
  isProblem(await finalize(client, order, { dns: [name] }), 403, 'caa', /caa\.test/)
  dns.set('elsewhere.test', 'CAA', ...issue(mine))
  dns.set(name, 'CNAME', 'elsewhere.test')
  await leafOf(client, await finalize(client, order, { dns: [name] }))
})

test('RFC 8659 §4.2: one record of several that names this CA is enough; none of them, and it must not issue', async () => {
  const name = newName()
  const order = await ready([name])
  dns.set(name, 'CAA', ...issue(others, { tag: 'issue', value: ';' }))
  isProblem(await finalize(client, order, { dns: [name] }), 403, 'caa', /other\.test/)
  dns.set(name, 'CAA', ...issue(others, mine))
  await leafOf(client, await finalize(client, order, { dns: [name] }))
})

test('RFC 8659 §4.2: a value that is empty, or blank, lets nobody issue', async () => {
  for (const value of ['', ' \t ']) {
    const name = newName()
    dns.set(name, 'CAA', ...issue({ tag: 'issue', value }))
    const order = await ready([name])
    isProblem(await finalize(client, order, { dns: [name] }), 403, 'caa', /lets nobody issue/)
    dns.set(name, 'CAA', ...issue({ tag: 'issue', value }, mine))
    await leafOf(client, await finalize(client, order, { dns: [name] }))
  }
})

test('RFC 8659 §4.2: what is not of the grammar counts as empty, and forbids', async () => {
  for (const value of ['ca.test; %%%', 'ca.test accounturi=x', 'ca.test; validationmethods', 'ca..test']) {
    const name = newName()
    dns.set(name, 'CAA', ...issue({ tag: 'issue', value }))
    isProblem(await finalize(client, await ready([name]), { dns: [name] }), 403, 'caa')
  }
})

test('RFC 8659 §4.1: tags are compared without regard to case', async () => {
  const name = newName()
  dns.set(name, 'CAA', ...issue({ tag: 'IsSuE', value: 'other.test' }))
  const order = await ready([name])
  isProblem(await finalize(client, order, { dns: [name] }), 403, 'caa')
  dns.set(name, 'CAA', ...issue({ tag: 'ISSUE', value: 'ca.test' }))
  await leafOf(client, await finalize(client, order, { dns: [name] }))
})

test('RFC 8659 §4.1: a critical property that is not understood forbids', async () => {
  const name = newName()
  dns.set(name, 'CAA', ...issue(mine, { flags: 128, tag: 'tbs', value: 'unknown' }))
  isProblem(await finalize(client, await ready([name]), { dns: [name] }), 403, 'caa', /critical/)
})

test('RFC 8659 §4.3: issuewild decides on wildcards alone', async () => {
  const name = newName()
  dns.set(name, 'CAA', ...issue(mine, { tag: 'issuewild', value: ';' }))
  const both = await ready([name, `*.${name}`])
  const reply = await finalize(client, both, { dns: [name, `*.${name}`] })
  isProblem(reply, 403, 'caa')
  assert.deepEqual(
    reply.json.subproblems.map((s: { identifier: unknown }) => s.identifier),
    [dnsId(`*.${name}`)],
  )
  await leafOf(client, await finalize(client, await ready([name]), { dns: [name] }))
})

test('RFC 8657 §3: accounturi binds to one account; named twice it binds to none', async () => {
  const name = newName()
  const order = await ready([name])
  dns.set(name, 'CAA', ...issue({ tag: 'issue', value: `ca.test; accounturi=${client.kid}x` }))
  isProblem(await finalize(client, order, { dns: [name] }), 403, 'caa', /another account/)
  dns.set(name, 'CAA', ...issue({ tag: 'issue', value: `ca.test; accounturi=${client.kid}; accounturi=${client.kid}` }))
  isProblem(await finalize(client, order, { dns: [name] }), 403, 'caa')
  dns.set(name, 'CAA', ...issue({ tag: 'issue', value: `ca.test; accounturi=${client.kid}` }))
  await leafOf(client, await finalize(client, order, { dns: [name] }))
})

test('RFC 8657 §4: validationmethods is compared with what proved the name', async () => {
  const name = newName()
  const order = await ready([name], 'http-01')
  dns.set(name, 'CAA', ...issue({ tag: 'issue', value: 'ca.test; validationmethods=dns-01' }))
  isProblem(await finalize(client, order, { dns: [name] }), 403, 'caa', /http-01/)
  dns.set(name, 'CAA', ...issue({ tag: 'issue', value: 'ca.test; validationmethods=dns-01,http-01' }))
  await leafOf(client, await finalize(client, order, { dns: [name] }))
})

test('RFC 8659 §5.5: a look-up that fails is no permission', async () => {
  const name = newName()
  const order = await ready([name])
  for (const how of ['SERVFAIL', 'REFUSED', 'silence', 'garbage'] as const) {
    dns.misbehave(name, how, 'CAA')
    isProblem(await finalize(client, order, { dns: [name] }), 400, 'dns', new RegExp(name))
  }
  dns.misbehave(name, null, 'CAA')
  await leafOf(client, await finalize(client, order, { dns: [name] }))
})

test('RFC 8555 §7.4, §6.7.1: a refusal names each name in a subproblem, and the order stays ready', async () => {
  const [good, bad, broken] = [newName(), newName(), newName()]
  dns.set(bad, 'CAA', ...issue(others))
  dns.misbehave(broken, 'SERVFAIL', 'CAA')
  const order = await ready([good, bad, broken])
  const reply = await finalize(client, order, { dns: [good, bad, broken] })
  isProblem(reply, 403, 'caa')
  const subproblems = reply.json.subproblems.map(({ type, identifier }: { type: string; identifier: { value: string } }) => [
    type.split(':').at(-1),
    identifier.value,
  ])
  assert.deepEqual(subproblems, [
    ['caa', bad],
    ['dns', broken],
  ])
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'ready')
})

test('draft-lebihan: CAA for a service is that of its domain', async () => {
  const name = newName()
  dns.set(name, 'CAA', ...issue(others))
  const order = await orderFor(client, [srvId(`_xmpp-server.${name}`)])
  await proveAll(client, order)
  isProblem(await finalize(client, order, { srv: [`_xmpp-server.${name}`] }), 403, 'caa', new RegExp(name))
})

test('RFC 8659 §3: each name of a large order is asked once, and parents are shared', async () => {
  const names = Array.from({ length: 20 }, newName)
  await leafOf(client, await finalize(client, await ready(names), { dns: names }))
  assert.equal(dns.queries.length, names.length + 2)
})

test('RFC 8659 §3: what was seen is in the audit log, of issuance and of refusal', async () => {
  const name = newName()
  dns.set(name, 'CAA', ...issue(others))
  const order = await ready([name])
  await finalize(client, order, { dns: [name] })
  const [refused] = await auditOf(`order:${(order.headers.get('location') as string).split('/').at(-1)}`, 'caa.refused')
  assert.match(JSON.stringify(refused?.detail), /0 issue \\+"other\.test/)
  dns.set(name, 'CAA', ...issue(mine))
  const { serial } = await leafOf(client, await finalize(client, order, { dns: [name] }))
  const [issued] = await auditOf(`certificate:${serial}`, 'certificate.issued')
  assert.match(JSON.stringify(issued?.detail), new RegExp(`"name":"${name}".*"method":"dns-01".*"at":"${name}"`))
})

test('RFC 8659 §3: an order that a crash interrupted is checked again before it is resumed', async () => {
  const [name, forbidden] = [newName(), newName()]
  const orders = [await ready([name]), await ready([forbidden])]
  for (const [i, order] of orders.entries()) {
    const id = (order.headers.get('location') as string).split('/').at(-1) as string
    const csr = Buffer.from(await csrFor({ dns: [i === 0 ? name : forbidden] }), 'base64url')
    const audit = { at: app.clock.now(), actor: 'system', action: 'order.claimed', subject: `order:${id}`, detail: {} }
    assert.ok(await app.store.claimOrder(id, app.clock.now(), csr, audit))
  }
  dns.set(forbidden, 'CAA', ...issue(others))
  assert.equal(await resumeOrders(app.ica, app.clock.now() + 1), 2)
  const [good, bad] = await Promise.all(
    orders.map((order) => poll(client, order.headers.get('location') as string, (json) => json.status !== 'processing')),
  )
  assert.equal(good?.json.status, 'valid')
  assert.deepEqual([bad?.json.status, bad?.json.error.type], ['invalid', 'urn:ietf:params:acme:error:caa'])
})
