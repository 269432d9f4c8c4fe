/** Several processes that publish from one database, one of them killed in the middle: no number is ever given twice, and they only grow. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createCrlPublisher } from '../../src/issuance/crls.js'
import { newSerial } from '../../src/pki/certificate.js'
import { concat } from '../../src/pki/der.js'
import { makeRoot } from '../../src/pki/hierarchy.js'
import { nodeSigner, type Signer } from '../../src/pki/keys.js'
import { pemEncode } from '../../src/pki/pem.js'
import { issuerId, readCertificate } from '../../src/pki/read-certificate.js'
import type { Store } from '../../src/store/store.js'
import { meddle, type TestDatabase, testDatabases } from '../store/fixtures.js'
import { day, testClock, testLog } from './fixture.js'

const script = fileURLToPath(new URL('./crl-publisher-process.ts', import.meta.url))

/** A CA in a fresh database. */
const setUp = async (database: TestDatabase) => {
  const store = await database.open()
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = nodeSigner(privateKey)
  const now = Date.now()
  const validity = { notBefore: now - day, notAfter: now + day }
  const der = await makeRoot({ ...validity, serial: newSerial(randomBytes), subject: { commonName: 'CRLs' }, signer })
  const id = issuerId(signer.publicKey.ski)
  await store.upsertIssuer({ id, kind: 'intermediate', der })
  return { store, privateKey, signer, der, id, now }
}

/** OpenSSL as the judge of a CA's lists. */
const openssl = (der: Uint8Array) => {
  const folder = mkdtempSync(join(tmpdir(), 'ica-crl-'))
  writeFileSync(join(folder, 'ca.pem'), pemEncode('CERTIFICATE', der))
  return {
    verify: (crl: Uint8Array): string => {
      const { stdout, stderr } = spawnSync('openssl', ['crl', '-inform', 'DER', '-noout', '-CAfile', join(folder, 'ca.pem')], { input: crl })
      return `${stdout}${stderr}`
    },
    close: () => rmSync(folder, { recursive: true }),
  }
}

type SetUp = Awaited<ReturnType<typeof setUp>>

/** A process that publishes all lists so many times. */
const startPublisher = (database: TestDatabase, { privateKey, der, id }: SetUp, times: number): ChildProcess => {
  const key = privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64')
  return spawn(process.execPath, ['--import', 'tsx', script, database.url, key, Buffer.from(der).toString('base64'), id, `${times}`], {
    stdio: 'inherit',
  })
}

/** So many revoked certificates. */
const revokeMany = async (database: TestDatabase, { id, now }: SetUp, count: number): Promise<void> => {
  const serials =
    database.engine === 'sqlite'
      ? `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) SELECT '5' || substr(lower(hex(randomblob(16))), 2) AS serial FROM n`
      : `SELECT '5' || substr(md5(i::text), 2) AS serial FROM generate_series(1, ${count}) i`
  await meddle(
    database,
    `INSERT INTO certificate (serial, issuer_id, kind, profile, key_id, crl_shard, not_before, not_after, created_at)
     SELECT serial, '${id}', 'leaf', 'xmpp-server', '00', 0, ${now}, ${now + 90 * day}, ${now} FROM (${serials}) s`,
  )
  await meddle(
    database,
    `INSERT INTO revocation (serial, issuer_id, crl_shard, not_after, revoked_at, reason) SELECT serial, issuer_id, crl_shard, not_after, ${now}, 4 FROM certificate`,
  )
}

/** How many parts of each list are there that are not those of the current list. */
const halfWritten = async (database: TestDatabase): Promise<number> =>
  (
    await meddle(
      database,
      `SELECT number FROM crl_part p WHERE number > (SELECT number FROM crl c WHERE c.issuer_id = p.issuer_id AND c.shard = p.shard)`,
    )
  ).length

/** The numbers under which a list was published, the oldest first. */
const published = async (store: Store, id: string, shard: string): Promise<number[]> =>
  (await store.auditLog({ subject: `crl:${id}${shard}`, limit: 1000 })).map(({ detail }) => Number(detail.number)).reverse()

/** A node that publishes, with a connection of its own. */
const node = (store: Store, clock: ReturnType<typeof testClock>, id: string, subject: Uint8Array, signer: Signer) => {
  const issuer = { id, subject, ski: signer.publicKey.ski, signer }
  const sources = [{ issuer, shards: [0, 1], shardUrls: (shard: number) => [`http://status.test/crl/${id}/${shard}.crl`] }]
  return createCrlPublisher({ clock, log: testLog(), store, sources, settings: { gatherMs: 5 } })
}

for (const { engine } of testDatabases()) {
  /** A database of its own for each test. */
  const newDatabase = (): TestDatabase => testDatabases().find((one) => one.engine === engine) as TestDatabase

  describe(`several processes that publish, on ${engine}`, () => {
    it('CRL numbers grow, with two processes and a crash; and what is due is published by one of two nodes', async () => {
      const database = newDatabase()
      const ca = await setUp(database)
      const { store, signer, der, id, now } = ca
      const start = (times: number): ChildProcess => startPublisher(database, ca, times)
      const victim = start(1000)
      while (!(await store.currentCrl(id, 1))) await sleep(10)
      victim.kill('SIGKILL')
      await once(victim, 'exit')
      // What the dead one held, its time would take away.
      await meddle(database, 'UPDATE lease SET expires_at = 0')

      const others = [start(4), start(4)]
      for (const [code] of await Promise.all(others.map((child) => once(child, 'exit')))) assert.equal(code, 0)
      const before: number[][] = []
      for (const shard of ['', '/0', '/1']) {
        const numbers = await published(store, id, shard)
        before.push(numbers)
        assert.ok(numbers.length >= 9, `${numbers.length} lists`)
        assert.deepEqual(
          numbers,
          [...new Set(numbers)].sort((a, b) => a - b),
        )
      }

      const there = await database.open()
      const clock = testClock()
      const { subject } = readCertificate(der)
      const nodes = [node(store, clock, id, subject, signer), node(there, clock, id, subject, signer)]
      clock.set(now + 2 * day)
      for (let daily = 1; daily <= 3; daily++) {
        await Promise.all(nodes.map((one) => one.publishDue()))
        const after = await Promise.all(['', '/0', '/1'].map((shard) => published(store, id, shard)))
        assert.deepEqual(
          after.map(({ length }) => length),
          before.map(({ length }) => length + daily),
          'each list once',
        )
        clock.pass(day)
      }
      await Promise.all(nodes.map((one) => one.stop()))
      await there.close()
      await store.close()
      await database.drop()
    })

    it('a process that is killed between the parts of a list leaves the former one in its place, and the next list tidies up', async () => {
      const database = newDatabase()
      const ca = await setUp(database)
      const { store, id, der } = ca
      await revokeMany(database, ca, 60_000)
      const judge = openssl(der)
      const isWhole = async (): Promise<bigint> => {
        const crl = await store.currentCrl(id, null)
        assert.ok(crl && crl.octets > 60_000 * 40)
        assert.match(judge.verify(concat(...crl.der)), /verify OK/)
        return crl.number
      }
      let left = 0
      for (let tries = 0; left === 0 && tries < 20; tries++) {
        const victim = startPublisher(database, ca, 1000)
        const gone = once(victim, 'exit')
        while (!(await store.currentCrl(id, 1))) await sleep(10)
        while ((await halfWritten(database)) === 0) await sleep(1)
        victim.kill('SIGKILL')
        await gone
        left = await halfWritten(database)
        // What the dead one held, its time would take away.
        await meddle(database, 'UPDATE lease SET expires_at = 0')
      }
      assert.ok(left > 0, 'none was killed at the right moment')
      const before = await isWhole()
      const facts = await store.crlFacts()

      const next = startPublisher(database, ca, 1)
      assert.deepEqual(await once(next, 'exit'), [0, null])
      assert.ok((await isWhole()) > before)
      for (const { shard, number } of await store.crlFacts())
        assert.ok(number > (facts.find((fact) => fact.shard === shard)?.number ?? 0n), 'numbers only grow')
      const parts = (await meddle(database, 'SELECT DISTINCT shard, number FROM crl_part')) as { shard: number; number: number | string }[]
      assert.deepEqual(
        parts.map(({ shard, number }) => `${shard} ${number}`).toSorted(),
        (await store.crlFacts()).map(({ shard, number }) => `${shard ?? -1} ${number}`).toSorted(),
        'only the parts of what is served are there',
      )
      judge.close()
      await store.close()
      await database.drop()
    })
  })
}
