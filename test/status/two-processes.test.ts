/** Status over the real database, with a second connection to it in the part of another process that issues and revokes. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, it } from 'node:test'
import * as pkijs from 'pkijs'
import { createCrlPublisher } from '../../src/issuance/crls.js'
import { createResponders } from '../../src/issuance/responder.js'
import { newSerial } from '../../src/pki/certificate.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../../src/pki/ocsp-request.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { createCrlShelf } from '../../src/status/crl-shelf.js'
import { wholeBody } from '../../src/status/http.js'
import { createOcspService } from '../../src/status/ocsp.js'
import { createRevocationFeed } from '../../src/status/revocation-feed.js'
import { openStore } from '../../src/store/store.js'
import { day, second, start, testClock, testHierarchy, testKeys, testLog } from './fixture.js'

const folder = mkdtempSync(join(tmpdir(), 'ica-status-'))
const url = `file:${join(folder, 'ica.db')}`
const log = testLog()
const here = await openStore({ url, log })
const there = await openStore({ url, log })
after(async () => {
  await here.close()
  await there.close()
  rmSync(folder, { recursive: true })
})

const { root, intermediate } = await testHierarchy()
for (const [issuer, kind] of [
  [root, 'root'],
  [intermediate, 'intermediate'],
] as const)
  await here.upsertIssuer({ id: issuer.id, kind, der: issuer.certificate })

const clock = testClock()
const keys = testKeys()
const responders = createResponders({ clock, log, issuer: intermediate, issuing: { issuer: intermediate, store: here }, keys })
await responders.maintain()
const ocsp = createOcspService({ clock, log, store: here, issuers: [{ ...intermediate, responders }] })
const shelf = createCrlShelf({ clock, log, store: here })
const shardUrls = (shard: number): string[] => [`http://status.test/crl/${intermediate.id}/${shard}.crl`]
const settings = { gatherMs: 5 }
const publisher = createCrlPublisher({
  clock,
  log,
  store: here,
  sources: [{ issuer: intermediate, shards: [0, 1], shardUrls }],
  onPublished: shelf.put,
  settings,
})
const feed = createRevocationFeed({
  log,
  store: here,
  onBegin: ocsp.clear,
  onRevoked: ({ issuerId, serial, crlShard }) => {
    ocsp.invalidate(issuerId, serial)
    publisher.publishAfterRevocation(issuerId, crlShard)
  },
})

const audit = (action: string, subject: string) => ({ at: clock.now(), actor: 'operator:test', action, subject, detail: {} })

const issueThere = async (crlShard: number): Promise<string> => {
  const serial = newSerial(randomBytes)
  const row = {
    serial,
    issuerId: intermediate.id,
    kind: 'leaf',
    profile: 'xmpp-server',
    accountId: null,
    orderId: null,
    keyId: '00',
    crlShard,
  } as const
  await there.reserveCertificate({ ...row, notBefore: start, notAfter: start + 90 * day, names: [], createdAt: start })
  await there.storeCertificate(serial, randomBytes(50), audit('certificate.issued', `certificate:${serial}`))
  return serial
}

const says = async (serial: string): Promise<string> => (await ocsp.answer(encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)]))).says

const listed = async (shard: number | null): Promise<string[]> => {
  const crl = await shelf.get(intermediate.id, shard)
  assert.ok(crl)
  const { revokedCertificates = [] } = pkijs.CertificateRevocationList.fromBER((await wholeBody(crl)).slice().buffer)
  return revokedCertificates.map(({ userCertificate }) => Buffer.from(userCertificate.valueBlock.valueHexView).toString('hex').replace(/^00/, ''))
}

it('a revocation by another process reaches OCSP at the next poll, and the CRLs soon after', async () => {
  await feed.poll()
  await publisher.publishDue()
  const [kept, revoked] = [await issueThere(0), await issueThere(1)]
  assert.deepEqual([await says(kept), await says(revoked)], ['good', 'good'])

  await there.recordRevocation(revoked, { revokedAt: start, reason: 'keyCompromise' }, false, audit('certificate.revoked', `certificate:${revoked}`))
  await feed.poll()
  assert.deepEqual([await says(kept), await says(revoked)], ['good', 'revoked'])
  for (let i = 0; i < 200 && (await listed(1)).length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.deepEqual([await listed(null), await listed(0), await listed(1)], [[revoked], [], [revoked]])
  await publisher.stop()
})

it('a serial is unknown while it is only reserved', async () => {
  const serial = newSerial(randomBytes)
  const row = {
    serial,
    issuerId: intermediate.id,
    kind: 'leaf',
    profile: 'xmpp-server',
    accountId: null,
    orderId: null,
    keyId: '00',
    crlShard: 0,
  } as const
  await there.reserveCertificate({ ...row, notBefore: start, notAfter: start + day, names: [], createdAt: start })
  assert.equal(await says(serial), 'unknown')
})

it('the responder itself is a recorded certificate', async () => {
  const { serial } = readCertificate(keys.kept[0]?.certificate as Uint8Array)
  assert.equal(await says(serial), 'good')
  assert.equal((await there.certificateBySerial(serial))?.kind, 'responder')
})

it('a CRL that another process published is served within seconds, and its number is higher', async () => {
  const before = await shelf.get(intermediate.id, 0)
  const numbers = ({ states }: typeof publisher): number[] => states().map(({ number }) => Number(number))
  const other = createCrlPublisher({ clock, log, store: there, sources: [{ issuer: intermediate, shards: [0, 1], shardUrls }] })
  await other.publishAll()
  clock.pass(6 * second)
  const after = await shelf.get(intermediate.id, 0)
  assert.notEqual(after?.etag, before?.etag)
  const later = numbers(other)
  assert.ok(numbers(publisher).every((number, i) => number < (later[i] as number)))
})
