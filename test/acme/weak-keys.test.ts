/** RFC 8555 §6.7: keys that are refused (PKI.md), as a certificate's key (badCSR) and as an account's (badPublicKey). Through the whole program, each with a test vector. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, test } from 'node:test'
import { encodeName } from '../../src/pki/certificate.js'
import { bitString, oid, sequence } from '../../src/pki/der.js'
import { generalName } from '../../src/pki/extensions.js'
import { nodeSigner, readPublicKey, type Signer } from '../../src/pki/keys.js'
import { oids } from '../../src/pki/oids.js'
import { makeRequest } from '../pki/fixtures.js'
import { makeReservation } from '../store/fixtures.js'
import { type AcmeClient, createAcmeClient, isProblem, newKey, type Reply, signJws } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { csrFor, finalize, proveAll } from '../support/flow.js'
import { weakRsaKeys } from '../support/weak-keys.js'

const name = 'keys.example.com'

let app: TestApp
let client: AcmeClient
let order: Reply
/** One that a list names: no key of Debian's broken OpenSSL can sign here, because nobody keeps their private halves. */
const listed = generateKeyPairSync('rsa', { modulusLength: 2048 })
const listedModulus = Buffer.from(listed.publicKey.export({ format: 'jwk' }).n as string, 'base64url')

before(async () => {
  app = await createTestApp({ weakKeys: { has: (modulus) => listedModulus.equals(modulus) } })
  app.played.set('*', proven)
  client = await createAcmeClient(app.directory)
  await client.register()
  order = await client.newOrder([name])
  await proveAll(client, order)
})
after(() => app.close())

const request = async (signer: Signer): Promise<string> =>
  Buffer.from(await makeRequest(signer, encodeName([]), [[oids.subjectAltName, sequence(generalName({ form: 'dNSName', value: name }))]])).toString(
    'base64url',
  )

/** Finalizing with this CSR is refused, and the order stays ready. */
const isRefused = async (csr: string, detail: RegExp): Promise<void> => {
  isProblem(await client.post(order.json.finalize, { csr }), 400, 'badCSR', detail)
  assert.equal((await client.post(order.headers.get('location') as string)).json.status, 'ready')
}

/** newAccount signed as if by this key. The key is judged before its signature. */
const registerWith = async (jwk: object, alg: string): Promise<Reply> => {
  const url = client.directory.newAccount
  const jws = signJws(newKey(), { alg, jwk, url, nonce: await client.freshNonce() }, { termsOfServiceAgreed: true })
  return client.post(url, {}, { jws: () => jws })
}

for (const [what, key, detail] of weakRsaKeys()) {
  test(`RFC 8555 §6.7 badCSR, badPublicKey: RSA with ${what}`, async () => {
    await isRefused(await request(key.signer), detail)
    isProblem(await registerWith(key.jwk, 'RS256'), 400, 'badPublicKey', detail)
  })
}

for (const [curve, coordinate] of [
  ['P-256', 32],
  ['P-384', 48],
] as const) {
  test(`RFC 8555 §6.7 badCSR, badPublicKey: a point that is not on ${curve}`, async () => {
    const signer = nodeSigner(generateKeyPairSync('ec', { namedCurve: curve }).privateKey)
    const at = Buffer.from(signer.publicKey.spki).length - 1
    const spki = Uint8Array.from(signer.publicKey.spki, (octet, i) => (i === at ? octet ^ 1 : octet))
    await isRefused(await request({ ...signer, publicKey: { ...signer.publicKey, spki } }), /not a point of/)
    const point = spki.subarray(-2 * coordinate)
    const [x, y] = [point.subarray(0, coordinate), point.subarray(coordinate)].map((part) => Buffer.from(part).toString('base64url'))
    isProblem(await registerWith({ kty: 'EC', crv: curve, x, y }, curve === 'P-256' ? 'ES256' : 'ES384'), 400, 'badPublicKey', /curve/)
  })
}

test('RFC 8555 §6.7 badCSR, badPublicKey: curves that are not accepted', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  const known = nodeSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
  const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-65)
  const spki = sequence(sequence(oid(oids.idEcPublicKey), oid('1.3.132.0.10')), bitString(point))
  await isRefused(await request({ ...known, publicKey: { ...known.publicKey, spki } }), /curve 1\.3\.132\.0\.10/)
  isProblem(await registerWith(privateKey.export({ format: 'jwk' }), 'ES256'), 400, 'badPublicKey')
})

test('RFC 8555 §11.1: the account’s own key is no certificate’s key', async () => {
  await isRefused(await csrFor({ dns: [name], key: client.key.privateKey }), /key of the ACME account/)
})

test('RFC 8555 §11.1: the keys of the CA’s own services are no keys of certificates and accounts', async () => {
  for (const kind of ['responder', 'server', 'intermediate'] as const) {
    const key = newKey()
    const { keyId } = readPublicKey(key.publicKey.export({ type: 'spki', format: 'der' }))
    await app.store.reserveCertificate(makeReservation({ kind, keyId, issuerId: app.ica.issuer.id, accountId: null, orderId: null }))
    await isRefused(await csrFor({ dns: [name], key: key.privateKey }), /belongs to this CA/)
    isProblem(await (await createAcmeClient(app.directory, key)).register(), 400, 'badPublicKey', /belongs to this CA/)
  }
})

test('a key that was revoked for compromise is refused for ever, for certificates and accounts', async () => {
  const key = newKey()
  const first = await client.newOrder([name])
  const done = await finalize(client, first, { dns: [name], key: key.privateKey })
  const { text } = await client.post(done.json.certificate)
  const certificate = Buffer.from(text.split('-----')[2] as string, 'base64').toString('base64url')
  assert.equal((await client.postByKey(client.directory.revokeCert, { certificate }, key)).status, 200)
  await isRefused(await csrFor({ dns: [name], key: key.privateKey }), /compromised/)
  isProblem(await (await createAcmeClient(app.directory, key)).register(), 400, 'badPublicKey', /compromised/)
})

test('RFC 8555 §6.7 badCSR, badPublicKey: a key that a list of weak keys names', async () => {
  await isRefused(await request(nodeSigner(listed.privateKey)), /CVE-2008-0166/)
  const jwk = listed.publicKey.export({ format: 'jwk' })
  const url = client.directory.newAccount
  const header = { alg: 'RS256', jwk, url, nonce: await client.freshNonce() }
  const jws = signJws({ ...newKey(), alg: 'RS256', privateKey: listed.privateKey }, header, { termsOfServiceAgreed: true })
  isProblem(await client.post(url, {}, { jws: () => jws }), 400, 'badPublicKey', /CVE-2008-0166/)
})

test('the order that survived all of this is finalized', async () => {
  assert.equal((await finalize(client, order, { dns: [name] })).json.status, 'valid')
})
