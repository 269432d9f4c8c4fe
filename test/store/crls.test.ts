/** CRLs that are too long for one row: whatever happens half-way, what is served is one list, whole, and nothing of the others stays. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CrlRow } from '../../src/store/store.js'
import { addIssuer, auditEntry, day, hex, issuerId, meddle, now, onEachEngine, saveCrl } from './fixtures.js'

onEachEngine('long CRLs', (database, store) => {
  /** Of three parts, unless said otherwise; a list of its own for each test. */
  const long = (shard: number | null, number: bigint, octets = 1_300_000, pieceSize = 500_000): CrlRow => ({
    issuerId,
    shard,
    number,
    thisUpdate: now,
    nextUpdate: now + day,
    octets,
    der: Array.from({ length: Math.ceil(octets / pieceSize) }, (_, i) => new Uint8Array(randomBytes(Math.min(pieceSize, octets - i * pieceSize)))),
  })
  const numbersOfParts = async (shard: number | null): Promise<number[]> =>
    ((await meddle(database, `SELECT number FROM crl_part WHERE shard = ${shard ?? -1} ORDER BY number, part`)) as { number: number | string }[]).map(
      ({ number }) => Number(number),
    )
  /** An audit row that can't be written: the last transaction fails. */
  const broken = () => ({
    ...auditEntry(),
    detail: {
      toJSON: () => {
        throw new Error('the last moment')
      },
    },
  })

  test('come back as they were, replaced as a whole, and nothing of the former stays', async () => {
    const [first, second, short] = [long(null, 1n), long(null, 2n, 500_000), long(null, 3n, 10)]
    assert.equal(await saveCrl(store(), first, auditEntry()), true)
    assert.deepEqual(await store().currentCrl(issuerId, null), first)
    assert.deepEqual(await numbersOfParts(null), [1, 1, 1])
    assert.equal(await store().currentCrl(issuerId, null, 1n), null)
    for (const next of [second, short]) {
      assert.equal(await saveCrl(store(), next, auditEntry()), true)
      assert.deepEqual(await store().currentCrl(issuerId, null), next)
      assert.deepEqual(await numbersOfParts(null), [Number(next.number)])
    }
    assert.equal(await saveCrl(store(), first, auditEntry()), false)
    assert.deepEqual(await numbersOfParts(null), [3])
  })

  test('others get their turn between two parts, when they are written, deleted and read', async () => {
    await saveCrl(store(), long(1, 1n, 5_000_000), auditEntry())
    for (const work of [() => saveCrl(store(), long(1, 2n, 5_000_000), auditEntry()), () => store().currentCrl(issuerId, 1)]) {
      let turns = 0
      let running = true
      const count = (): void => {
        turns++
        if (running) setImmediate(count)
      }
      setImmediate(count)
      await work()
      running = false
      assert.ok(turns >= 10, `${turns} turns for ten parts`)
    }
  })

  const begun = (shard: number, number: bigint) => ({ issuerId, shard, number, thisUpdate: now, nextUpdate: now + day, revocationSeq: 0 })

  test('what a list in the making has put away comes back as it was, and goes with it when it is given up', async () => {
    const seen: Buffer[] = []
    const buffer = new Uint8Array(400_000)
    const making = store().saveCrl(begun(9, 1n), async (body) => {
      for (let piece = 1; piece <= 3; piece++) await body.put(buffer.fill(piece).subarray(0, 100_000 * piece))
      for await (const piece of body.pieces()) seen.push(Buffer.from(piece))
      throw new Error('the signer is away')
    })
    await assert.rejects(making, /the signer is away/)
    assert.deepEqual(
      seen.map(({ length }) => length),
      [100_000, 200_000, 300_000],
    )
    assert.ok(seen.every((piece, i) => piece.equals(Buffer.alloc(piece.length, i + 1))))
    assert.deepEqual(await numbersOfParts(9), [])
    assert.equal(await store().currentCrl(issuerId, 9), null)
  })

  test('a list in the making whose parts were taken for given up is so', async () => {
    const later = long(10, 2n)
    const making = store().saveCrl(begun(10, 1n), async (body) => {
      await body.put(new Uint8Array(100))
      await saveCrl(store(), later, auditEntry())
      await body.put(new Uint8Array(100))
      for await (const _ of body.pieces());
      assert.fail('half a list')
    })
    await assert.rejects(making, /number 1 is given up for a later one/)
    assert.deepEqual(await store().currentCrl(issuerId, 10), later)
    assert.deepEqual(await numbersOfParts(10), [2, 2, 2])
  })

  test('what fails at the last moment leaves the former in its place, and nothing of itself', async () => {
    const served = long(2, 4n)
    await saveCrl(store(), served, auditEntry())
    await assert.rejects(saveCrl(store(), long(2, 5n), broken()), /last moment/)
    assert.deepEqual(await store().currentCrl(issuerId, 2), served)
    assert.deepEqual(await numbersOfParts(2), [4, 4, 4])
    assert.equal((await store().crlFacts()).find(({ shard }) => shard === 2)?.number, 4n)
  })

  test('what a dead process left goes with the next list; what is served, and other lists, stay', async () => {
    const [served, elsewhere] = [long(3, 7n), long(4, 1n)]
    for (const crl of [served, elsewhere]) await saveCrl(store(), crl, auditEntry())
    const left = [6, 8, 9]
      .flatMap((number) =>
        [0, 1, 2, 3, 4, 5].map((part) => `('${issuerId}', 3, ${number}, ${part}, (SELECT der FROM issuer WHERE id = '${issuerId}'))`),
      )
      .join(', ')
    await meddle(database, `INSERT INTO crl_part (issuer_id, shard, number, part, der) VALUES ${left}`)
    assert.deepEqual(await store().currentCrl(issuerId, 3), served)
    await assert.rejects(saveCrl(store(), long(3, 10n), broken()))
    assert.deepEqual(await numbersOfParts(3), [7, 7, 7])
    assert.deepEqual(await store().currentCrl(issuerId, 3), served)
    assert.deepEqual(await store().currentCrl(issuerId, 4), elsewhere)
  })

  test('of two processes that save at once, the one with the higher number is served', async () => {
    const there = await database.open()
    for (let round = 0; round < 5; round++) {
      const [low, high] = [long(5, BigInt(10 * round + 1)), long(5, BigInt(10 * round + 2))]
      await store().nextCrlNumber(issuerId, 5)
      const [lower, higher] = await Promise.allSettled([saveCrl(store(), low, auditEntry()), saveCrl(there, high, auditEntry())])
      assert.deepEqual(higher, { status: 'fulfilled', value: true })
      if (lower.status === 'rejected') assert.match(String(lower.reason), /given up for a later one/)
      assert.deepEqual(await store().currentCrl(issuerId, 5), high)
      assert.deepEqual(new Set(await numbersOfParts(5)), new Set([Number(high.number)]))
    }
    await there.close()
  })

  test('who reads while lists are replaced gets one of them, whole, and never an older one', async () => {
    const there = await database.open()
    const saved = new Map<bigint, CrlRow>()
    let running = true
    const writing = (async () => {
      for (let number = 1n; number <= 15n; number++) {
        saved.set(number, long(6, number))
        await saveCrl(there, saved.get(number) as CrlRow, auditEntry())
      }
      running = false
    })()
    const seen: bigint[] = []
    while (running) {
      await nextTurn()
      const crl = await store().currentCrl(issuerId, 6)
      if (!crl) continue
      assert.deepEqual(crl, saved.get(crl.number))
      seen.push(crl.number)
    }
    await writing
    assert.ok(new Set(seen).size > 1)
    assert.deepEqual(
      seen,
      seen.toSorted((a, b) => Number(a - b)),
    )
    await there.close()
  })

  test('a list whose parts are lost is an error, not half a list', async () => {
    await saveCrl(store(), long(7, 1n), auditEntry())
    await meddle(database, 'DELETE FROM crl_part WHERE shard = 7 AND part = 1')
    await assert.rejects(store().currentCrl(issuerId, 7), /Parts of the CRL number 1 .* are missing/)
  })

  test('a long list from elsewhere, in the place of one that was begun here', async () => {
    await addIssuer(store())
    const number = await store().nextCrlNumber(issuerId, 8)
    await meddle(
      database,
      `INSERT INTO crl_part (issuer_id, shard, number, part, der) SELECT id, 8, ${number}, 2, der FROM issuer WHERE id = '${issuerId}'`,
    )
    const imported = long(8, number, 1_300_000, 1_300_000)
    const entries = [{ serial: hex(), revokedAt: now, reason: 'superseded' as const }]
    assert.equal(await store().importCrl(imported, entries, { notAfter: now + day }, auditEntry()), true)
    const served = (await store().currentCrl(issuerId, 8)) as CrlRow
    assert.equal(Buffer.compare(Buffer.concat(served.der), Buffer.concat(imported.der)), 0)
    assert.deepEqual(await numbersOfParts(8), [1, 1, 1])
    assert.equal(await store().nextCrlNumber(issuerId, 8), 2n)
  })
})
