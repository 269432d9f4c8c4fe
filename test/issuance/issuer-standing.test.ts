/** An intermediate that is revoked or at its end signs nothing. Through the whole program. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { issuerTrouble } from '../../src/issuance/issuer-standing.js'
import { issuerId, readCertificate } from '../../src/pki/read-certificate.js'
import { type AcmeClient, createAcmeClient, isProblem, newKey } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { finalize, proveAll } from '../support/flow.js'

const day = 86_400_000

let app: TestApp
let client: AcmeClient
const key = newKey()
beforeEach(async () => {
  app = await createTestApp()
  app.played.set('*', proven)
  client = await createAcmeClient(app.directory, key)
  await client.register()
})
afterEach(() => app.close())

/** The root says that the intermediate is revoked, by a CRL that was made elsewhere. */
const revokeIntermediate = async (): Promise<void> => {
  const root = readCertificate(app.roots[0] as Uint8Array)
  const rootId = issuerId(root.ski as Uint8Array)
  await app.store.upsertIssuer({ id: rootId, kind: 'root', der: root.der })
  const now = app.clock.now()
  const crl = { issuerId: rootId, shard: null, number: 1n, thisUpdate: now, nextUpdate: now + day, octets: 1, der: [new Uint8Array(1)] }
  const { serial } = readCertificate(app.ica.issuer.certificate)
  const audit = { at: now, actor: 'operator:test', action: 'crl.imported', subject: `crl:${rootId}`, detail: {} }
  await app.store.importCrl(crl, [{ serial, revokedAt: now, reason: 'cACompromise' }], { notAfter: root.notAfter }, audit)
}

const said = (): number => app.log.filter(({ level, message }) => level === 'error' && message === 'nothing can be issued').length

test('a revoked intermediate: 503 for new orders and for those that are ready, which stay so', async () => {
  const order = await client.newOrder(['a.example.org'])
  await proveAll(client, order)
  assert.equal(await issuerTrouble(app.ica, app.clock.now() + day), null)
  await revokeIntermediate()
  isProblem(await client.newOrder(['b.example.org']), 503, 'serverInternal', /was revoked on .* \(cACompromise\).*--new-intermediate/)
  isProblem(await finalize(client, order, { dns: ['a.example.org'] }), 503, 'serverInternal', /was revoked/)
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'ready')
  assert.equal(said(), 1, 'once a minute')
  app.clock.skew += 61_000
  isProblem(await client.newOrder(['b.example.org']), 503, 'serverInternal')
  assert.equal(said(), 2)
})

test('an intermediate that ends before the certificate would, and then has ended', async () => {
  const left = app.ica.issuer.notAfter - app.clock.now()
  // Takes a fresh nonce.
  const ordered = async (name: string) => {
    client = await createAcmeClient(app.directory, key)
    await client.register()
    return client.newOrder([name])
  }
  app.clock.skew += left - 30 * day
  isProblem(await ordered('a.example.org'), 503, 'serverInternal', /ends on .*, before what it would sign/)
  const notAfter = new Date(app.clock.now() + 10 * day).toISOString()
  assert.equal((await client.post(client.directory.newOrder, { identifiers: [{ type: 'dns', value: 'a.example.org' }], notAfter })).status, 201)
  app.clock.skew += 31 * day
  isProblem(await ordered('a.example.org'), 503, 'serverInternal', /expired on/)
})
