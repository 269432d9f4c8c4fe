/** `srv` identifiers (draft-lebihan-srv-identifier-validation-extension-00) and the profile xmpp-hosted, through the whole program. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, before, beforeEach, test } from 'node:test'
import { builtinProfiles, type Profile } from '../../src/pki/profile.js'
import { dns01 } from '../../src/validation/dns-01.js'
import { dnsAccount01 } from '../../src/validation/dns-account-01.js'
import { http01 } from '../../src/validation/http-01.js'
import { createPorts } from '../../src/validation/net.js'
import { keyAuthorizationDigest } from '../../src/validation/validator.js'
import { type AcmeClient, createAcmeClient, isProblem } from '../support/acme.js'
import { createTestApp, type TestApp } from '../support/app.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { challengeOf, dnsId, finalize, leafOf, namesOf, orderFor, prove, srvId } from '../support/flow.js'

const mixed: Profile = { ...(builtinProfiles[0] as Profile), name: 'mixed', identifierTypes: ['dns', 'srv'] }

let app: TestApp
let dns: DnsServer
let client: AcmeClient
before(async () => {
  dns = await startDnsServer(['test'])
  const ports = createPorts({ servers: [dns.address], lab: true })
  app = await createTestApp({ profiles: [mixed], validators: () => [http01(ports), dns01(ports), dnsAccount01(ports)] })
  client = await createAcmeClient(app.directory)
  await client.register()
})
after(async () => {
  await app.close()
  await dns.close()
})
beforeEach(() => dns.clear())

let count = 0
const newDomain = (): string => `d${++count}.test`

/** Publishes what dns-01 asks, at `_acme-challenge.` of `at`, and proves the authorization. */
const proveAt = async (at: string, url: string, by = client) => {
  const { token } = challengeOf(await by.post(url), 'dns-01')
  dns.set(`_acme-challenge.${at}`, 'TXT', keyAuthorizationDigest(`${token}.${by.key.thumbprint}`).toString('base64url'))
  return prove(by, url, 'dns-01')
}

test('draft-lebihan: an order of services gets an authorization each, by dns-01 and no other well-known challenge than DNS ones', async () => {
  const service = `_xmpp-server.${newDomain()}`
  const order = await orderFor(client, [srvId(service)])
  assert.equal(order.status, 201, order.text)
  assert.deepEqual([order.json.identifiers, order.json.profile], [[srvId(service)], 'xmpp-hosted'])
  const authorization = await client.post(order.json.authorizations[0])
  assert.deepEqual(authorization.json.identifier, srvId(service))
  assert.deepEqual(authorization.json.challenges.map((c: { type: string }) => c.type).sort(), ['dns-01', 'dns-account-01'])
})

test('draft-lebihan: dns-01 looks at _acme-challenge before the service, not before the domain', async () => {
  const domain = newDomain()
  const service = `_xmpp-server.${domain}`
  const atDomain = await orderFor(client, [srvId(service)])
  assert.equal((await proveAt(domain, atDomain.json.authorizations[0])).json.status, 'invalid')
  dns.clear()
  const atService = await orderFor(client, [srvId(service)])
  assert.equal((await proveAt(service, atService.json.authorizations[0])).json.status, 'valid')
  assert.ok(dns.queries.some(({ name, type }) => name === `_acme-challenge.${service}` && type === 'TXT'))
})

test('draft-lebihan: the certificate has the SRVName alone, in a critical SAN under an empty subject (RFC 5280 §4.1.2.6)', async () => {
  const domain = newDomain()
  const services = [`_xmpp-server.${domain}`, `_xmpp-client.${domain}`]
  const order = await orderFor(client, services.map(srvId))
  assert.equal(order.json.authorizations.length, 2)
  for (const [i, url] of order.json.authorizations.entries()) await proveAt(services[i] as string, url)
  const leaf = await leafOf(client, await finalize(client, order, { srv: services }))
  assert.deepEqual(
    namesOf(leaf),
    services.map((service) => `SRVName ${service}`),
  )
  assert.equal(leaf.commonName, null)
  assert.equal(leaf.extensions.get('2.5.29.17')?.critical, true)
  const seen = new X509Certificate(leaf.der)
  assert.equal(seen.subject ?? '', '')
  assert.equal(seen.checkHost(domain), undefined)
})

const refused: [what: string, value: string, type: string, says: RegExp][] = [
  ['another service', '_sip.example.test', 'rejectedIdentifier', /_xmpp-client/],
  ['no service', 'example.test', 'rejectedIdentifier', /does not begin with a service/],
  ['a protocol', '_xmpp-server._tcp.example.test', 'malformed', /"_xmpp-server\.example\.test"/],
  ['a wildcard domain', '_xmpp-server.*.example.test', 'rejectedIdentifier', /wildcard/],
  ['a wildcard service', '*.example.test', 'rejectedIdentifier', /wildcard/],
  ['a bare service', '_xmpp-server', 'malformed', /empty/],
  ['a broken domain', '_xmpp-server.a..test', 'malformed', /empty label/],
  ['a top-level domain', '_xmpp-server.test', 'rejectedIdentifier', /single label/],
  ['a U-label', '_xmpp-server.bücher.test', 'malformed', /xn--bcher-kva/],
]
for (const [what, value, type, says] of refused) {
  test(`draft-lebihan: a service with ${what} is refused, in a subproblem`, async () => {
    const reply = await orderFor(client, [srvId(value)])
    isProblem(reply, 400, type, says)
    assert.deepEqual(reply.json.subproblems[0].identifier, srvId(value))
  })
}

test('draft-lebihan: case does not matter', async () => {
  const domain = newDomain()
  const order = await orderFor(client, [srvId(`_XMPP-Server.${domain.toUpperCase()}`)])
  assert.deepEqual(order.json.identifiers, [srvId(`_xmpp-server.${domain}`)])
})

test('draft-lebihan: a validated domain covers its services, for the same account alone', async () => {
  const domain = newDomain()
  const [authorization] = (await orderFor(client, [dnsId(domain)])).json.authorizations
  await proveAt(domain, authorization)
  const order = await orderFor(client, [srvId(`_xmpp-server.${domain}`), srvId(`_xmpp-client.${domain}`)])
  assert.deepEqual([order.json.status, order.json.authorizations], ['ready', [authorization]])
  const leaf = await leafOf(client, await finalize(client, order, { srv: [`_xmpp-server.${domain}`, `_xmpp-client.${domain}`] }))
  assert.equal(leaf.names.length, 2)

  const other = await createAcmeClient(app.directory)
  await other.register()
  assert.equal((await orderFor(other, [srvId(`_xmpp-server.${domain}`)])).json.status, 'pending')
  // Neither a domain below it nor a wildcard is that domain.
  assert.equal((await orderFor(client, [srvId(`_xmpp-server.sub.${domain}`)])).json.status, 'pending')
})

test('draft-lebihan: a validated service covers neither its domain nor the other service', async () => {
  const domain = newDomain()
  const order = await orderFor(client, [srvId(`_xmpp-server.${domain}`)])
  await proveAt(`_xmpp-server.${domain}`, order.json.authorizations[0])
  assert.equal((await orderFor(client, [dnsId(domain)])).json.status, 'pending')
  assert.equal((await orderFor(client, [srvId(`_xmpp-client.${domain}`)])).json.status, 'pending')
  assert.equal((await orderFor(client, [srvId(`_xmpp-server.${domain}`)])).json.status, 'ready')
})

test('draft-lebihan, RFC 8555 §7.4: the CSR names the services of the order, all of them and nothing else', async () => {
  const domain = newDomain()
  const services = [`_xmpp-server.${domain}`, `_xmpp-client.${domain}`]
  const order = await orderFor(client, services.map(srvId))
  for (const [i, url] of order.json.authorizations.entries()) await proveAt(services[i] as string, url)
  const wrong: [wish: Parameters<typeof finalize>[2], says: RegExp][] = [
    [{ srv: [services[0] as string] }, /lacks the SRVName _xmpp-client/],
    [{ srv: [...services, '_xmpp-server.other.test'] }, /_xmpp-server\.other\.test/],
    [{ srv: services, dns: [domain] }, new RegExp(domain)],
    [{ srv: services, commonName: domain }, /common name/],
    [{ srv: services, xmpp: [domain] }, /XmppAddr/],
    [{}, /lacks/],
  ]
  for (const [wish, says] of wrong) isProblem(await finalize(client, order, wish), 400, 'badCSR', says)
  await leafOf(client, await finalize(client, order, { srv: services }))
})

test('draft-ietf-acme-profiles §4: services go with the profiles that take them', async () => {
  const domain = newDomain()
  isProblem(await orderFor(client, [srvId(`_xmpp-server.${domain}`)], { profile: 'xmpp-server' }), 400, 'invalidProfile', /xmpp-hosted/)
  isProblem(await orderFor(client, [dnsId(domain)], { profile: 'xmpp-hosted' }), 400, 'invalidProfile', /xmpp-server/)
})

test('domains and services mix where the profile takes both; a domain that is ordered too needs no second proof', async () => {
  const [host, customer] = [newDomain(), newDomain()]
  const identifiers = [srvId(`_xmpp-server.${host}`), dnsId(host), srvId(`_xmpp-server.${customer}`)]
  const order = await orderFor(client, identifiers)
  assert.equal(order.json.profile, 'mixed')
  assert.equal(order.json.authorizations.length, 2)
  const [ofHost, ofCustomer] = order.json.authorizations
  await proveAt(host, ofHost)
  await proveAt(`_xmpp-server.${customer}`, ofCustomer)
  const wish = { dns: [host], srv: [`_xmpp-server.${host}`, `_xmpp-server.${customer}`] }
  isProblem(await finalize(client, order, { ...wish, xmpp: [customer] }), 400, 'badCSR', /XmppAddr/)
  const leaf = await leafOf(client, await finalize(client, order, wish))
  assert.deepEqual(namesOf(leaf), [
    `dNSName ${host}`,
    `SRVName _xmpp-client.${host}`,
    `SRVName _xmpp-server.${host}`,
    `SRVName _xmpp-server.${customer}`,
  ])
})

test('RFC 8555 §7.6: a certificate of services is revoked by who proves them, and by no stranger', async () => {
  const service = `_xmpp-server.${newDomain()}`
  const order = await orderFor(client, [srvId(service)])
  await proveAt(service, order.json.authorizations[0])
  const { der } = await leafOf(client, await finalize(client, order, { srv: [service] }))
  const certificate = Buffer.from(der).toString('base64url')

  const other = await createAcmeClient(app.directory)
  await other.register()
  isProblem(await other.post(other.directory.revokeCert, { certificate }), 403, 'unauthorized')
  const own = await orderFor(other, [srvId(service)])
  await proveAt(service, own.json.authorizations[0], other)
  assert.equal((await other.post(other.directory.revokeCert, { certificate })).status, 200)
})
