/** Look-ups that anybody may make, and totals: right on both engines, and quick with 300,000 certificates. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import Database from 'libsql'
import pg from 'pg'
import type { Certificate, CertificateName } from '../../src/model.js'
import { lookupStore } from '../../src/store/lookups.js'
import { readMigrations } from '../../src/store/migrations.js'
import type { Steps } from '../../src/store/sql.js'
import { openSqlite } from '../../src/store/sqlite.js'
import { createSqliteRunner } from '../../src/store/sqlite-runner.js'
import type { Store } from '../../src/store/store.js'
import { addAccount, addCertificate, auditEntry, day, issuerId, now, onEachEngine, silent, sqliteDatabase, withoutSqlite } from './fixtures.js'

const dns = (...values: string[]): CertificateName[] => values.map((value) => ({ form: 'dNSName', value }))

onEachEngine('certificates by domain', (_, store) => {
  const found = async (domain: string, limit = 50) => (await store().certificatesBelow(domain, null, limit)).map(({ serial }) => serial)

  test('are those of the domain and everything below it, newest first, page by page', async () => {
    const made: string[] = []
    for (const [i, names] of [
      dns('a.test'),
      dns('*.a.test', 'a.test'),
      dns('deep.down.a.test'),
      dns('b.test', 'conference.a.test'),
      [{ form: 'SRVName', value: '_xmpp-server.hosted.a.test' } as const],
    ].entries()) {
      // Two of the same millisecond: the serial decides between them.
      made.push((await addCertificate(store(), { names, createdAt: now + Math.floor(i / 2) })).serial)
    }
    const others = await addCertificate(store(), { names: dns('ba.test', 'a.test.example') })
    const all = await store().certificatesBelow('a.test', null, 50)
    assert.deepEqual(new Set(all.map(({ serial }) => serial)), new Set(made))
    assert.ok(all.every(({ createdAt, serial }, i) => i === 0 || createdAt < (all[i - 1]?.createdAt ?? 0) || serial < (all[i - 1]?.serial ?? '')))
    const paged: string[] = []
    for (let after: (typeof all)[number] | null = null; ; ) {
      const page: typeof all = await store().certificatesBelow('a.test', after, 2)
      paged.push(...page.map(({ serial }) => serial))
      if (page.length < 2) break
      after = page.at(-1) ?? null
    }
    assert.deepEqual(
      paged,
      all.map(({ serial }) => serial),
    )
    assert.deepEqual(await found('hosted.a.test'), [made[4]])
    assert.deepEqual(await found('down.a.test'), [made[2]])
    assert.deepEqual(await found('b.test'), [made[3]])
    assert.deepEqual(await found('test.example'), [others.serial])
    for (const nothing of ['test', '_xmpp-server.hosted.a.test', '*.a.test', '%', '']) assert.deepEqual(await found(nothing), [], nothing)
  })

  test('are never those of people or of the CA itself, nor serials that were only reserved', async () => {
    await addCertificate(store(), { names: [{ form: 'XmppAddr', value: 'juliet@people.test' }] })
    await addCertificate(store(), { names: dns('people.test'), kind: 'responder' })
    const { serial, ...reserved } = { ...(await addCertificate(store(), { names: [] })), serial: 'abcd' }
    await store().reserveCertificate({ ...reserved, serial, names: dns('people.test') })
    assert.deepEqual(await found('people.test'), [])
  })

  test('are found by their fingerprint', async () => {
    const { serial, der } = await addCertificate(store())
    const fingerprint = createHash('sha256').update(der).digest('hex')
    assert.equal((await store().certificateByFingerprint(fingerprint))?.serial, serial)
    assert.equal(await store().certificateByFingerprint(fingerprint.toUpperCase()), null)
  })
})

onEachEngine('the migration', (database, store) => {
  /** Runs SQL behind the store's back. */
  const meddle = async (sql: string): Promise<unknown[]> => {
    if (database.engine === 'sqlite') {
      const db = new Database(database.url.replace('file:', ''))
      try {
        if (sql.startsWith('SELECT')) return db.prepare(sql).all([])
        db.exec(sql)
        return []
      } finally {
        db.close()
      }
    }
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    return (await client.query(sql).finally(() => client.end())).rows
  }
  const rows = async (): Promise<string[]> =>
    ((await meddle('SELECT domain, serial, created_at, named FROM certificate_domain')) as Record<string, unknown>[])
      .map(({ domain, serial, created_at: at, named }) => [domain, serial, String(at), Boolean(named)].join(' '))
      .sort()

  test('gives certificates that were there before the domains that new ones get', async () => {
    await addCertificate(store(), { names: [...dns('a.test', '*.b.test', 'x.y.a.test'), { form: 'SRVName', value: '_xmpp-server.c.test' }] })
    await addCertificate(store(), { names: [...dns('xn--bcher-kva.test'), { form: 'XmppAddr', value: 'bücher.test' }] })
    await addCertificate(store(), { names: [{ form: 'XmppAddr', value: 'juliet@people.test' }] })
    const made = await rows()
    assert.equal(made.length, 6)
    await meddle('DELETE FROM certificate_domain')
    const sql = readMigrations(database.engine).find(({ name }) => name.endsWith('_public_lookups'))?.sql ?? ''
    await meddle(sql.slice(sql.indexOf('INSERT INTO "certificate_domain"')))
    assert.deepEqual(await rows(), made)
  })
})

onEachEngine('totals', (_, store) => {
  test('count every certificate of a subscriber once, whatever the steps', async () => {
    await addAccount(store())
    const make = async (names: string[], createdAt: number, notAfter: number, revokedAt?: number) => {
      const { serial } = await addCertificate(store(), { names: dns(...names), createdAt, notAfter })
      if (revokedAt !== undefined) await store().recordRevocation(serial, { revokedAt, reason: 'superseded' }, false, auditEntry())
    }
    await make(['x.test', 'www.x.test'], now, now + day)
    await make(['x.test'], now, now + day)
    await make(['y.test'], now - 3 * day, now - 1)
    await make(['*.y.test'], now - 3 * day, now)
    await make(['z.test'], now - 2 * day, now + day, now - day)
    await make(['only.below.test'], now - 3 * day, now - 1, now - 2 * day)
    const own = await addCertificate(store(), { kind: 'responder', names: [] })
    await store().recordRevocation(own.serial, { revokedAt: now, reason: 'superseded' }, false, auditEntry())
    const today = now / day
    for (const step of [1, 2, 3, 1000]) {
      assert.deepEqual(await store().countTotals(now, step), {
        issued: 6,
        revoked: 2,
        expired: 2,
        valid: 2,
        accounts: 1,
        domains: 5,
        perDay: new Map([
          [today - 1, { issued: 0, revoked: 1 }],
          [today - 2, { issued: 1, revoked: 1 }],
          [today, { issued: 2, revoked: 0 }],
          [today - 3, { issued: 3, revoked: 0 }],
        ]),
      })
    }
  })
})

describe('300,000 certificates on SQLite', { skip: withoutSqlite }, () => {
  const database = sqliteDatabase()
  const count = 300_000
  let store: Store
  let db: InstanceType<typeof Database>
  before(async () => {
    store = await database.open()
    await store.upsertIssuer({ id: issuerId, kind: 'intermediate', der: new Uint8Array([0x30, 0]) })
    db = new Database(database.url.replace('file:', ''))
    db.exec('PRAGMA synchronous = OFF')
    db.exec(`CREATE TEMP TABLE batch AS WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${count})
      SELECT i, ${now} - (i % 100) * ${day} + i % 1000 AS t, printf('%032x', i * 7919) AS serial, CASE WHEN i % 3 = 0 THEN 'n' || i || '.big.test' ELSE 'n' || i || '.test' END AS name FROM n`)
    db.exec(`INSERT INTO certificate (serial, issuer_id, kind, profile, key_id, crl_shard, not_before, not_after, created_at, der, fingerprint)
      SELECT serial, '${issuerId}', 'leaf', 'xmpp-server', serial, i % 16, t, t + 90 * ${day}, t, x'3000', serial FROM batch`)
    db.exec(`INSERT INTO certificate_name SELECT serial, 'dNSName', name FROM batch`)
    db.exec(`INSERT INTO revocation (serial, issuer_id, crl_shard, not_after, revoked_at, reason)
      SELECT serial, '${issuerId}', i % 16, t + 90 * ${day}, t, 0 FROM batch WHERE i % 10 = 0`)
  })
  after(async () => {
    db.close()
    await store.close()
    await database.drop()
  })

  test('the migration makes those that were there findable by domain', async () => {
    const sql = readMigrations('sqlite').find(({ name }) => name.endsWith('_public_lookups'))?.sql ?? ''
    db.exec(sql.slice(sql.indexOf('INSERT INTO "certificate_domain"')))
    const { n, named } = db.prepare('SELECT COUNT(*) AS n, SUM(named) AS named FROM certificate_domain').get([]) as { n: number; named: number }
    assert.deepEqual({ n, named }, { n: count + count / 3, named: count })
  })

  /** How SQLite goes about the statements of an operation, each text once. */
  const plansOf = async (use: (lookups: ReturnType<typeof lookupStore>) => Promise<unknown>): Promise<string[]> => {
    const seen = new Set<string>()
    function* watched<T>(steps: Steps<T>): Steps<T> {
      let step = steps.next()
      while (!step.done) {
        seen.add(step.value.sql)
        step = steps.next(yield step.value)
      }
      return step.value
    }
    const runner = createSqliteRunner(openSqlite(database.url.replace('file:', '')), silent)
    await use(lookupStore({ ...runner, read: (operation) => runner.read(() => watched(operation())) })).finally(() => runner.close())
    return [...seen].flatMap((sql) =>
      (db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(Array(sql.replace(/[^?]/g, '').length).fill(null)) as { detail: string }[]).map(
        ({ detail }) => detail,
      ),
    )
  }

  test('a page of a domain with 100,000 of them is read along the key, not sorted', async () => {
    const { createdAt, serial } = (await store.certificatesBelow('big.test', null, 50)).at(-1) as Certificate
    assert.equal((await store.certificatesBelow('big.test', { createdAt, serial }, 50)).length, 50)
    const plans = await plansOf((lookups) => lookups.certificatesBelow('big.test', { createdAt, serial }, 50))
    assert.ok(
      plans.some((detail) => /^SEARCH d USING PRIMARY KEY \(domain=\? AND \(created_at,serial\)<\(\?,\?\)\)/.test(detail)),
      plans.join('\n'),
    )
    assert.deepEqual(
      plans.filter((detail) => /^SCAN/.test(detail)),
      [],
    )
    // One sort: of the page itself, with its names.
    assert.equal(plans.filter((detail) => /TEMP B-TREE/.test(detail)).length, 1, plans.join('\n'))
  })

  test('totals are counted along indexes, and in steps', async () => {
    const totals = await store.countTotals(now)
    assert.equal(totals.issued, count)
    assert.equal(totals.revoked, count / 10)
    assert.equal(totals.domains, count)
    assert.equal(totals.valid + totals.expired + totals.revoked, count)
    const plans = await plansOf((lookups) => lookups.countTotals(now))
    assert.ok(
      plans.some((detail) => /COVERING INDEX certificate_created_at_not_after_idx/.test(detail)),
      plans.join('\n'),
    )
    // The accounts are counted at once, along the smallest index that there is; the CA's own certificates are few.
    assert.deepEqual(
      plans.filter((detail) => /^SCAN/.test(detail)),
      ['SCAN certificate USING INDEX certificate_own', 'SCAN account USING COVERING INDEX account_external_account_key_id_idx'],
    )
    // What reads the table: a few rows that are not counted, and revocations in the order of their key.
    assert.deepEqual(
      plans.filter(
        (detail) => /^SEARCH/.test(detail) && !/ USING (COVERING INDEX|PRIMARY KEY|INTEGER PRIMARY KEY|INDEX certificate_uncounted)/.test(detail),
      ),
      ['SEARCH revocation'],
    )
  })
})
