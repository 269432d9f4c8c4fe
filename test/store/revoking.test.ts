/** Revoking one, all with one key, and many (store/revoking.ts), and lists that come from elsewhere (store/revocations.ts), on each engine. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { CertificateReservation, Revocation } from '../../src/model.js'
import type { RevocationCandidate, Store } from '../../src/store/store.js'
import { auditEntry, day, hex, issuerId, makeReservation, now, onEachEngine } from './fixtures.js'

const revocation: Revocation = { revokedAt: now, reason: 'keyCompromise' }

onEachEngine('revoking', (_, store) => {
  const certificate = async (more: Partial<CertificateReservation> = {}): Promise<string> => {
    const reservation = makeReservation({ accountId: null, orderId: null, ...more })
    await store().reserveCertificate(reservation)
    await store().storeCertificate(reservation.serial, Buffer.from(reservation.serial, 'hex'), auditEntry())
    return reservation.serial
  }
  const rowsOf = async (subject: string): Promise<number> => (await store().auditLog({ subject, limit: 50 })).length
  const auditOf = (action: string) => (c: RevocationCandidate) => [
    auditEntry(action, `certificate:${c.serial}`),
    auditEntry('notice.due', `x:${c.serial}`),
  ]
  const byKey = (keyId: string, first: string | null, limit = 200): ReturnType<Store['revokeKey']> =>
    store().revokeKey(keyId, revocation, { first, now, limit }, auditOf('certificate.revoked'))

  it('a batch is one transaction: those that were revoked before are left alone, and one mistake undoes all', async () => {
    const [a, b, c] = [await certificate(), await certificate(), await certificate()]
    const of = (serial: string) => ({ serial, revocation, blockKey: false, audit: [auditEntry('certificate.revoked', `certificate:${serial}`)] })
    assert.deepEqual(await store().recordRevocations([of(a)]), [a])
    assert.deepEqual(await store().recordRevocations([of(a), of(b)]), [b])
    assert.deepEqual([await rowsOf(`certificate:${a}`), await rowsOf(`certificate:${b}`)], [1, 1])
    await assert.rejects(store().recordRevocations([of(c), of(hex())]), { code: 'notFound' })
    assert.equal((await store().certificateBySerial(c))?.revocation, null)
    assert.equal(await rowsOf(`certificate:${c}`), 0)
  })

  it('a key falls with all its certificates that are valid, the first one first, in bounded steps', async () => {
    const keyId = hex(32)
    const made = [await certificate({ keyId }), await certificate({ keyId }), await certificate({ keyId })].toSorted()
    const expired = await certificate({ keyId, notAfter: now - day })
    const other = await certificate()
    const first = made[2] as string
    const step = await byKey(keyId, first, 2)
    assert.deepEqual(
      step.map(({ serial }) => serial),
      [first, made[0]],
    )
    assert.ok(await store().isKeyBlocked(keyId))
    assert.deepEqual(
      (await byKey(keyId, first, 2)).map(({ serial }) => serial),
      [made[1]],
    )
    assert.deepEqual(await byKey(keyId, first), [])
    for (const serial of made) {
      assert.deepEqual((await store().certificateBySerial(serial))?.revocation, revocation)
      assert.deepEqual([await rowsOf(`certificate:${serial}`), await rowsOf(`x:${serial}`)], [1, 1])
    }
    for (const serial of [expired, other]) assert.equal((await store().certificateBySerial(serial))?.revocation, null)
    assert.deepEqual(step[0]?.names.length, (await store().certificateBySerial(first))?.names.length)
  })

  it('finds compromised keys that are in use', async () => {
    const keyId = hex(32)
    const serial = await certificate({ keyId })
    assert.ok(!(await store().compromisedKeysInUse(0, now, 100)).includes(keyId))
    // Blocked alone: nothing revokes what it has.
    await store().blockKey(keyId, 'keyCompromise', now, auditEntry())
    assert.ok((await store().compromisedKeysInUse(now, now, 100)).includes(keyId))
    assert.ok(!(await store().compromisedKeysInUse(now + 1, now, 100)).includes(keyId))
    assert.ok(!(await store().compromisedKeysInUse(0, now + 1000 * day, 100)).includes(keyId))
    await byKey(keyId, serial)
    assert.ok(!(await store().compromisedKeysInUse(0, now, 100)).includes(keyId))
  })

  it('selects, and never the CA’s own certificates by a rule', async () => {
    const keyId = hex(32)
    const leaf = await certificate({ keyId, createdAt: now + 1 })
    const later = await certificate({ keyId, createdAt: now + 2, names: [{ form: 'dNSName', value: 'a_b.sub.select.test' }] })
    const own = await certificate({ keyId, kind: 'server' })
    assert.deepEqual(await store().selectCertificates({ keyId }), [leaf, later])
    assert.deepEqual(await store().selectCertificates({ serials: [own, hex(), leaf] }), [own, leaf])
    assert.deepEqual(await store().selectCertificates({ serials: [] }), [])
    assert.deepEqual(await store().selectCertificates({ names: { values: ['nothing'], suffixes: ['.select.test'] } }), [later])
    assert.deepEqual(
      await store().selectCertificates({ names: { values: ['nothing'], suffixes: ['a%b.sub.select.test', 'axb.sub.select.test'] } }),
      [],
    )
    assert.deepEqual((await store().withSameKeys([leaf])).toSorted(), [leaf, later, own].toSorted())
    const many = Array.from({ length: 450 }, () => hex())
    assert.deepEqual(await store().selectCertificates({ serials: [...many, leaf] }), [leaf])
    assert.equal((await store().revocationCandidates([...many, leaf, own])).length, 2)
  })

  it('a list from elsewhere is served, its number is never used again, and what it revokes is revoked', async () => {
    const rootId = hex(8)
    await store().upsertIssuer({ id: rootId, kind: 'root', der: new Uint8Array([1]) })
    const known = await certificate({ issuerId: rootId, kind: 'intermediate' })
    const unknown = hex()
    const row = (number: bigint) => ({
      issuerId: rootId,
      shard: null,
      number,
      thisUpdate: now,
      nextUpdate: now + day,
      octets: 1,
      der: [new Uint8Array([Number(number)])],
    })
    const entries = [known, unknown].map((serial) => ({ serial, revokedAt: now - day, reason: 'cACompromise' as const }))
    const before = await store().lastRevocation()
    assert.equal(await store().importCrl(row(7n), entries, { notAfter: now + 90 * day }, auditEntry('crl.imported')), true)
    assert.equal(await store().importCrl(row(7n), [], { notAfter: now }, auditEntry()), false)
    assert.equal(await store().importCrl(row(6n), [], { notAfter: now }, auditEntry()), false)
    assert.equal((await store().currentCrl(rootId, null))?.number, 7n)
    assert.equal(await store().nextCrlNumber(rootId, null), 8n)
    for (const serial of [known, unknown])
      assert.deepEqual(await store().revocationOf(rootId, serial), { revokedAt: now - day, reason: 'cACompromise' })
    assert.equal((await store().revokedSince(before, 10)).length, 2)
    const listed = []
    for await (const batch of store().revokedEntries(rootId, null, now)) listed.push(...batch)
    assert.deepEqual(listed.map(({ serial }) => serial).toSorted(), [known, unknown].toSorted())
    assert.equal(await store().importCrl(row(9n), entries, { notAfter: now }, auditEntry()), true)
    assert.equal((await store().revokedSince(before, 10)).length, 2)
    // A serial of another issuer is none of this list's business.
    const foreign = await certificate({ issuerId })
    assert.equal(
      await store().importCrl(row(10n), [{ serial: foreign, revokedAt: now, reason: 'superseded' }], { notAfter: now }, auditEntry()),
      true,
    )
    assert.equal(await store().revocationOf(issuerId, foreign), null)
  })
})
