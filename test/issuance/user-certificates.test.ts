/** Certificates of users beside a CA that issues to servers: what is refused, what is left in the database, and that ACME never gets there. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { issueUserCertificate, keyOfUserRequest, type UserCaDeps } from '../../src/issuance/user-certificates.js'
import { parseBareJid } from '../../src/jid.js'
import type { Issuer } from '../../src/pki/certificate.js'
import { readCertificateRequest } from '../../src/pki/csr.js'
import { makeIntermediate, makeRoot } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { day, ecKey, rsaKey, serial, urls } from '../pki/fixtures.js'
import { createAcmeClient, isProblem, newKey } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { csrFor, dnsId, finalize, leafOf, orderFor, poll, proveAll } from '../support/flow.js'
import { newPublicKey } from '../support/issuing.js'

const juliet = parseBareJid('juliet@example.org')
const who = { actor: 'operator:test' }

let app: TestApp
let issuer: Issuer
let deps: UserCaDeps
before(async () => {
  app = await createTestApp()
  const now = app.ica.clock.now()
  const validity = { notBefore: now - day, notAfter: now + 100 * day }
  const rootSigner = nodeSigner(ecKey())
  const rootDer = await makeRoot({ ...validity, serial: serial(), subject: { commonName: 'User Root' }, signer: rootSigner })
  const signer = nodeSigner(ecKey())
  const facts = {
    ...validity,
    serial: serial(),
    subject: { commonName: 'User Intermediate' },
    publicKey: signer.publicKey,
    urls,
    clientele: 'users' as const,
  }
  const der = await makeIntermediate({ ...facts, issuer: readIssuer([rootDer], rootSigner, now, 'users') })
  issuer = readIssuer([der, rootDer], signer, now, 'users')
  await app.ica.store.upsertIssuer({ id: issuer.id, kind: 'user-intermediate', der })
  const { clock, store, log } = app.ica
  deps = { clock, store, log, isOwnKey: (id) => id === signer.publicKey.keyId, issuer, crlShards: 16, statusUrls: () => urls }
})
after(() => app.close())

test('is reserved, signed by the user CA, stored with an audit row, and known to OCSP under that issuer alone', async () => {
  const made = await issueUserCertificate(deps, juliet, { publicKey: newPublicKey(), validityMs: 30 * day }, who)
  const stored = await app.ica.store.certificateBySerial(made.serial)
  assert.deepEqual(
    [stored?.kind, stored?.issuerId, stored?.accountId, stored?.names],
    ['user', issuer.id, null, [{ form: 'XmppAddr', value: juliet.jid }]],
  )
  assert.deepEqual(stored?.der, made.chain[0])
  assert.equal(made.chain.length, 2)
  const asked = [issuer.id, app.ica.issuer.id].map((issuerId) => ({ issuerId, serial: made.serial }))
  assert.deepEqual(
    (await app.ica.store.certificateStatuses(asked)).map(({ status }) => status),
    ['good', 'unknown'],
  )
  const [row] = await app.ica.store.auditLog({ subject: `certificate:${made.serial}`, limit: 2 })
  assert.deepEqual([row?.action, row?.actor, row?.detail.kind], ['certificate.issued', 'operator:test', 'user'])
})

test('ends with its issuer at the latest, and its name is cut nowhere', async () => {
  const long = parseBareJid(`${'a'.repeat(80)}@example.org`)
  const { chain, notAfter } = await issueUserCertificate(deps, long, { publicKey: newPublicKey() }, who)
  assert.equal(notAfter, issuer.notAfter)
  const { commonName, names } = readCertificate(chain[0] as Uint8Array)
  assert.deepEqual([commonName, names[0]?.value], ['XMPP user', long.jid])
})

test('refuses keys and times that it must not certify, and leaves nothing behind', async () => {
  const blocked = newPublicKey()
  await app.ica.store.blockKey(blocked.keyId, 'keyCompromise', app.ica.clock.now(), {
    at: 0,
    actor: 'test',
    action: 'key.blocked',
    subject: '',
    detail: {},
  })
  const before = (await app.ica.store.listCertificates({ kind: 'user', limit: 50 })).length
  for (const [wish, code] of [
    [{ publicKey: blocked }, /blocked because it was compromised/],
    [{ publicKey: issuer.publicKey }, /one of this CA/],
    [{ publicKey: nodeSigner(rsaKey(1024)).publicKey }, /2048/],
    [{ publicKey: newPublicKey(), validityMs: 826 * day }, /at most 825 days/],
    [{ publicKey: newPublicKey(), validityMs: 0 }, /at most 825 days/],
  ] as const) {
    await assert.rejects(issueUserCertificate(deps, juliet, wish, who), code)
  }
  assert.equal((await app.ica.store.listCertificates({ kind: 'user', limit: 50 })).length, before)
})

test('a CSR gives its key, and may name nobody else', async () => {
  const key = newKey().privateKey
  const read = async (wish: Parameters<typeof csrFor>[0]) => readCertificateRequest(Buffer.from(await csrFor({ key, ...wish }), 'base64url'))
  const { keyId } = nodeSigner(key).publicKey
  assert.equal(keyOfUserRequest(juliet, await read({ xmpp: ['juliet@example.org'], commonName: 'somebody' })).keyId, keyId)
  for (const [wish, stranger] of [
    [{ xmpp: ['juliet@example.org', 'romeo@example.org'] }, 'romeo@example.org'],
    [{ dns: ['example.org'] }, 'example.org'],
    [{ srv: ['_xmpp-server.example.org'] }, '_xmpp-server.example.org'],
    [{ xmpp: ['example.org'] }, 'example.org'],
  ] as const) {
    const csr = await read({
      xmpp: [],
      ...('dns' in wish && { dns: [...wish.dns] }),
      ...('srv' in wish && { srv: [...wish.srv] }),
      ...('xmpp' in wish && { xmpp: [...wish.xmpp] }),
    })
    assert.throws(() => keyOfUserRequest(juliet, csr), new RegExp(`asks for "${stranger}"`))
  }
})

test('ACME knows no such profile, never signs with the user CA, and revokes no user by an account', async () => {
  app.played.set('*', proven)
  const client = await createAcmeClient(app.directory)
  await client.register()
  isProblem(await orderFor(client, [dnsId('example.test')], { profile: 'xmpp-user' }), 400, 'invalidProfile')
  const order = await orderFor(client, [dnsId('example.test')])
  await proveAll(client, order)
  await finalize(client, order, { dns: ['example.test'] })
  const done = await poll(client, order.headers.get('location') as string, (json) => json.status !== 'processing')
  const leaf = await leafOf(client, done)
  assert.deepEqual(leaf.issuer, readCertificate(app.ica.issuer.certificate).subject)

  const { chain, serial: number } = await issueUserCertificate(deps, parseBareJid('juliet@example.test'), { publicKey: newPublicKey() }, who)
  const certificate = Buffer.from(chain[0] as Uint8Array).toString('base64url')
  isProblem(await client.post(client.directory.revokeCert, { certificate }), 403, 'unauthorized')
  assert.equal((await app.ica.store.certificateBySerial(number))?.revocation, null)
})
