import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RevokedEntry } from '../../src/store/store.js'
import { addAccount, addCertificate, addOrder, auditEntry, day, hex, issuerId, makeReservation, now, onEachEngine, saveCrl } from './fixtures.js'

onEachEngine('certificates', (_, store) => {
  const statusOf = async (issuer: string, serial: string) => (await store().certificateStatuses([{ issuerId: issuer, serial }]))[0]

  test('a stored certificate is found by serial, bytes, name and key', async () => {
    const account = await addAccount(store())
    const names = [{ form: 'XmppAddr', value: `${hex(4)}.example` } as const, { form: 'dNSName', value: `${hex(4)}.example` } as const]
    const certificate = { ...(await addCertificate(store(), { names, accountId: account.id, crlShard: 7 })), revocation: null }
    assert.deepEqual(await store().certificateBySerial(certificate.serial), certificate)
    assert.deepEqual(await store().certificateByDer(certificate.der), certificate)
    assert.deepEqual(await store().certificatesByName(names[0]?.value as string, 5), [certificate])
    assert.deepEqual(await store().certificatesByKey(certificate.keyId), [certificate])
    assert.equal(await store().certificateByDer(new Uint8Array(3)), null)
  })

  test('a serial is never reserved twice', async () => {
    const reservation = makeReservation()
    await store().reserveCertificate(reservation)
    await assert.rejects(store().reserveCertificate(reservation), { code: 'serverInternal' })
  })

  test('what is only reserved is not a certificate', async () => {
    const reservation = makeReservation()
    await store().reserveCertificate(reservation)
    assert.equal(await store().certificateBySerial(reservation.serial), null)
    assert.deepEqual(await statusOf(issuerId, reservation.serial), { status: 'unknown' })
    assert.deepEqual(await store().certificatesByKey(reservation.keyId), [])
    await assert.rejects(store().recordRevocation(reservation.serial, { revokedAt: now, reason: 'superseded' }, false, auditEntry()), {
      code: 'notFound',
    })
  })

  test('certificate and order become one in one transaction, once', async () => {
    const { account, order } = await addOrder(store())
    const of = { orderId: order.id, accountId: account.id }
    const [first, second] = [makeReservation(of), makeReservation(of)]
    await store().reserveCertificate(first)
    await store().reserveCertificate(second)
    const stored = await Promise.all([first, second].map((r, n) => store().storeCertificate(r.serial, new Uint8Array([n]), auditEntry())))
    assert.deepEqual([...stored].sort(), [false, true])
    const winner = stored[0] ? first : second
    assert.equal((await store().orderById(order.id))?.certificateSerial, winner.serial)
    assert.equal(await store().certificateBySerial((stored[0] ? second : first).serial), null)
    assert.equal(await store().storeCertificate(winner.serial, new Uint8Array([5]), auditEntry()), false)
  })

  test('status: good, revoked, unknown; of this issuer only', async () => {
    const { serial, notAfter, keyId } = await addCertificate(store())
    assert.deepEqual(await statusOf(issuerId, serial), { status: 'good', notAfter })
    assert.deepEqual(await statusOf('fedcba9876543210', serial), { status: 'unknown' })
    assert.deepEqual(await statusOf(issuerId, hex()), { status: 'unknown' })
    const revocation = { revokedAt: now + 7, reason: 'keyCompromise' } as const
    assert.equal(await store().recordRevocation(serial, revocation, true, auditEntry()), true)
    assert.equal(await store().recordRevocation(serial, { revokedAt: now + 8, reason: 'superseded' }, false, auditEntry()), false)
    assert.deepEqual(await statusOf(issuerId, serial), { status: 'revoked', notAfter, revocation })
    assert.deepEqual((await store().certificateBySerial(serial))?.revocation, revocation)
    assert.equal(await store().isKeyBlocked(keyId), true)
  })

  test('statuses of many come in the order in which they are asked for, however many there are', async () => {
    const certificates = []
    for (let i = 0; i < 5; i++) certificates.push(await addCertificate(store()))
    const revocation = { revokedAt: now, reason: 'superseded' } as const
    await store().recordRevocation(certificates[2]?.serial as string, revocation, false, auditEntry())
    const known = certificates.map(({ serial, notAfter }, i) => ({
      asked: { issuerId, serial },
      status: i === 2 ? { status: 'revoked', notAfter, revocation } : { status: 'good', notAfter },
    }))
    const unknown = { asked: { issuerId, serial: hex() }, status: { status: 'unknown' } }
    const ofAnother = { asked: { issuerId: 'fedcba9876543210', serial: certificates[0]?.serial as string }, status: { status: 'unknown' } }
    const all = [unknown, ...known, ofAnother]
    for (const size of [0, 1, 3, 7, 32, 33, 70]) {
      const some = Array.from({ length: size }, (_, i) => all[(i * 3) % all.length] as (typeof all)[number])
      assert.deepEqual(
        await store().certificateStatuses(some.map(({ asked }) => asked)),
        some.map(({ status }) => status),
      )
    }
  })

  test('a key that is blocked between the reservation and the signature gets no certificate', async () => {
    const reservation = makeReservation()
    await store().reserveCertificate(reservation)
    await store().blockKey(reservation.keyId, 'keyCompromise', now, auditEntry())
    await assert.rejects(store().storeCertificate(reservation.serial, Buffer.from(reservation.serial), auditEntry()), { code: 'badCSR' })
    assert.equal(await store().certificateBySerial(reservation.serial), null)
  })

  test('keys are blocked once, and not by every revocation', async () => {
    const { serial, keyId } = await addCertificate(store())
    await store().recordRevocation(serial, { revokedAt: now, reason: 'unspecified' }, false, auditEntry())
    assert.equal(await store().isKeyBlocked(keyId), false)
    await store().blockKey(keyId, 'found in a repository', now, auditEntry())
    await store().blockKey(keyId, 'again', now, auditEntry())
    assert.equal(await store().isKeyBlocked(keyId), true)
  })

  test('lists: newest first, paged, by revocation and expiry', async () => {
    const made: { serial: string }[] = []
    for (let n = 0; n < 3; n++) made.push(await addCertificate(store(), { createdAt: now + day + n, notAfter: now + (10 + n) * day }))
    await store().recordRevocation(made[1]?.serial as string, { revokedAt: now, reason: 'superseded' }, false, auditEntry())
    const serials = async (filter: Omit<Parameters<ReturnType<typeof store>['listCertificates']>[0], 'limit'>) =>
      (await store().listCertificates({ ...filter, limit: 2 })).map((c) => made.findIndex(({ serial }) => serial === c.serial))
    assert.deepEqual(await serials({}), [2, 1])
    assert.deepEqual((await serials({ before: made[1]?.serial as string }))[0], 0)
    assert.deepEqual((await serials({ revoked: true }))[0], 1)
    assert.deepEqual(await serials({ revoked: false }), [2, 0])
    assert.deepEqual((await serials({ expired: { at: now + 12 * day, is: true } })).slice(0, 2), [1, 0])
    assert.deepEqual((await serials({ expired: { at: now + 12 * day, is: false } }))[0], 2)
  })
})

onEachEngine('CRLs', (_, store) => {
  const collect = async (shard: number | null, notAfterFrom: number) => {
    const entries: RevokedEntry[] = []
    for await (const batch of store().revokedEntries(issuerId, shard, notAfterFrom)) entries.push(...batch)
    return entries
  }

  test('entries of a shard, of all, without the expired, in order of serial and across batches', async () => {
    const certificates: { serial: string }[] = []
    while (certificates.length < 1100) {
      const some = Array.from({ length: 100 }, (_unused, k) => certificates.length + k)
      const add = async (n: number) => {
        const certificate = await addCertificate(store(), { crlShard: n % 10 === 0 ? 1 : 0, notAfter: now + (n < 50 ? 1 : 2) * day, names: [] })
        await store().recordRevocation(certificate.serial, { revokedAt: now, reason: 'superseded' }, false, auditEntry())
        return certificate
      }
      certificates.push(...(await Promise.all(some.map(add))))
    }
    const expected = (pick: (n: number) => boolean) =>
      certificates
        .filter((_unused, n) => pick(n))
        .map((c) => c.serial)
        .sort()
    const serials = async (shard: number | null, from: number) => (await collect(shard, from)).map((e) => e.serial)
    assert.deepEqual(
      await serials(null, now),
      expected(() => true),
    )
    assert.deepEqual(
      await serials(1, now),
      expected((n) => n % 10 === 0),
    )
    assert.deepEqual(
      await serials(0, now + day),
      expected((n) => n % 10 !== 0 && n >= 50),
    )
    assert.deepEqual((await collect(1, now))[0], { serial: expected((n) => n % 10 === 0)[0], revokedAt: now, reason: 'superseded' })
  })

  test('numbers only grow, each CRL for itself', async () => {
    const numbers = await Promise.all(Array.from({ length: 20 }, () => store().nextCrlNumber(issuerId, null)))
    assert.deepEqual(
      numbers.sort((a, b) => Number(a - b)),
      Array.from({ length: 20 }, (_unused, n) => BigInt(n + 1)),
    )
    assert.equal(await store().nextCrlNumber(issuerId, 3), 1n)
    assert.deepEqual(
      [await store().nextCrlNumber(issuerId, 3, 100n), await store().nextCrlNumber(issuerId, 3, 100n), await store().nextCrlNumber(issuerId, 3, 50n)],
      [100n, 101n, 102n],
    )
    assert.equal(await store().nextCrlNumber(issuerId, 6, 4_000_000_000n), 4_000_000_000n)
  })

  test('a lease is of one holder until its time is up, on PostgreSQL by the clock of the database', async () => {
    const day = 86_400_000
    assert.equal(await store().acquireLease('here', 'a', now, 60_000), true)
    assert.equal(await store().acquireLease('here', 'b', now, 60_000), false)
    assert.equal(await store().acquireLease('here', 'a', now, 60_000), true)
    // Of a node whose clock is ahead.
    assert.equal(await store().acquireLease('here', 'b', now + day, 60_000), store().engine === 'sqlite')
    assert.equal(await store().acquireLease('short', 'a', now, 0), true)
    assert.equal(await store().acquireLease('short', 'b', now + 1, 60_000), true)
    await store().releaseLease('short', 'a')
    assert.equal(await store().acquireLease('short', 'a', now, 60_000), false)
    await store().releaseLease('short', 'b')
    assert.equal(await store().acquireLease('short', 'a', now, 60_000), true)
  })

  test('a CRL gives way only to a higher number', async () => {
    const crl = (number: bigint) => ({
      issuerId,
      shard: 4,
      number,
      thisUpdate: now,
      nextUpdate: now + day,
      octets: 1,
      der: [new Uint8Array([Number(number)])],
    })
    assert.equal(await store().currentCrl(issuerId, 4), null)
    assert.equal(await saveCrl(store(), crl(5n), auditEntry()), true)
    assert.equal(await saveCrl(store(), crl(4n), auditEntry()), false)
    assert.equal(await saveCrl(store(), crl(5n), auditEntry()), false)
    assert.deepEqual(await store().currentCrl(issuerId, 4), crl(5n))
    assert.equal(await saveCrl(store(), crl(6n), auditEntry()), true)
    assert.deepEqual(await store().currentCrl(issuerId, 4), crl(6n))
  })
})
