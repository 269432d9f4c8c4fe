/** The CRL of a root that is elsewhere (pki/read-crl.ts), and the request of an intermediate (pki/intermediate-request.ts). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeName } from '../../src/pki/certificate.js'
import { intermediateRequest, subjectName } from '../../src/pki/hierarchy.js'
import { readIntermediateRequest } from '../../src/pki/intermediate-request.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { pemEncode } from '../../src/pki/pem.js'
import { readCrl } from '../../src/pki/read-crl.js'
import { day, ecKey, makeCa, makeRequest, now, wholeCrl } from './fixtures.js'

const { root, issuer } = await makeCa()
const entries = [
  { serial: 'ff00112233445566778899aabbccddee', revokedAt: now - day, reason: 'cACompromise' as const },
  { serial: '0a', revokedAt: now - 2 * day, reason: 'unspecified' as const },
]
const facts = { issuer: root, number: 300n, thisUpdate: now, nextUpdate: now + 90 * day, distributionPoints: [], entries: [entries] }
const der = await wholeCrl(facts)

test('a CRL is read back as it was made, from DER and PEM', async () => {
  const read = await readCrl(der, root.certificate, now)
  assert.deepEqual([read.number, read.thisUpdate, read.nextUpdate], [300n, now, now + 90 * day])
  assert.deepEqual(read.entries, entries)
  assert.deepEqual(await readCrl(Buffer.from(pemEncode('X509 CRL', der)), root.certificate, now), read)
  const empty = await wholeCrl({ ...facts, entries: [] })
  assert.deepEqual((await readCrl(empty, root.certificate, now)).entries, [])
})

test('what is not the root’s, not complete, not of now or not intact is refused in words', async () => {
  const refused = (bytes: Uint8Array, what: RegExp, at = now) =>
    assert.rejects(readCrl(bytes, root.certificate, at), { code: 'malformed', message: what })
  await refused(await wholeCrl({ ...facts, issuer }), /issued by "CN=Test ICA"/)
  await refused(await wholeCrl({ ...facts, issuer: { ...issuer, subject: root.subject } }), /signature was not made with the key of "Test Root"/)
  const broken = Uint8Array.from(der)
  broken[60] = (broken[60] as number) ^ 1
  await refused(broken, /./)
  await refused(await wholeCrl({ ...facts, distributionPoints: ['http://x.test/1.crl'] }), /not the complete list.*2\.5\.29\.28/)
  await refused(der, /ran out/, now + 90 * day)
  await refused(der, /from the future/, now - day)
  await refused(new Uint8Array([0x30, 3, 1, 2, 3]), /no CRL/)
  await refused(Buffer.from('hello'), /no CRL/)
})

test('the request of an intermediate gives name and key; others are refused', async () => {
  const signer = nodeSigner(ecKey())
  const request = (bytes: Uint8Array) => readIntermediateRequest(pemEncode('CERTIFICATE REQUEST', bytes))
  const good = await intermediateRequest({ commonName: 'CA Intermediate 2', organization: 'Örg' }, signer)
  const read = await request(good)
  assert.deepEqual(read.subject, { commonName: 'CA Intermediate 2', organization: 'Örg' })
  assert.equal(read.publicKey.keyId, signer.publicKey.keyId)
  const broken = Uint8Array.from(good)
  broken[30] = (broken[30] as number) ^ 1
  await assert.rejects(request(broken), { code: 'badCSR' })
  await assert.rejects(request(await makeRequest(signer, subjectName({ commonName: 'leaf.example' }))), { message: /not ask for a CA/ })
  await assert.rejects(request(await makeRequest(signer, encodeName([]))), { message: /one common name/ })
  await assert.rejects(readIntermediateRequest('nothing'), { code: 'badCSR' })
})
