import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, it, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { PrismaLibSql } from '@prisma/adapter-libsql'
import { PrismaPg } from '@prisma/adapter-pg'
import { type Migration, migrate, readMigrations } from '../../src/store/migrations.js'
import { readPostgresqlUrl, withMigrationTarget } from '../../src/store/postgresql.js'
import { openSqlite, sqliteMigrationTarget } from '../../src/store/sqlite.js'
import { openStore } from '../../src/store/store.js'
import { auditEntry, day, issuerId, meddle, now, pathOf, saveCrl, silent, type TestDatabase, testDatabases } from './fixtures.js'
import { createReader } from './reader.js'

/** Everything that Prisma's schema decides about tables, one line each. */
const structure = async (database: TestDatabase): Promise<Set<string>> => {
  const queries =
    database.engine === 'sqlite'
      ? [
          `SELECT t.name AS t, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'`,
          `SELECT t.name AS t, f.* FROM sqlite_master t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'`,
          `SELECT t.name AS t, i.name AS i, i."unique", i.partial, c.seqno, c.name FROM sqlite_master t, pragma_index_list(t.name) i, pragma_index_info(i.name) c WHERE t.type = 'table'`,
        ]
      : [
          `SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_schema = 'public'`,
          `SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE connamespace = 'public'::regnamespace`,
          `SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'`,
        ]
  const found = (await Promise.all(queries.map((sql) => meddle(database, sql)))).flat() as Record<string, unknown>[]
  return new Set(found.map(({ _metadata, ...line }) => JSON.stringify(line)).filter((line) => !/_prisma_migrations|sqlite_sequence/.test(line)))
}

/** Prisma's schema engine, the judge of what our own few lines have done. */
const schemaEngine = async (database: TestDatabase) => {
  const { openSchemaEngine } = await import(new URL('../../prisma/schema-engine.mjs', import.meta.url).href)
  const [name, adapter] =
    database.engine === 'sqlite'
      ? ['schema.prisma', new PrismaLibSql({ url: database.url })]
      : ['postgresql.prisma', new PrismaPg({ connectionString: database.url })]
  const schema = readFileSync(new URL(`../../prisma/${name}`, import.meta.url), 'utf8')
  return { engine: await openSchemaEngine(adapter, schema), schema }
}

/** Makes a database as it was before the migration of this name. */
const makeAsBefore = async (database: TestDatabase, name: RegExp): Promise<void> => {
  await database.create()
  const all = readMigrations(database.engine)
  const earlier = all.slice(
    0,
    all.findIndex((migration) => name.test(migration.name)),
  )
  assert.ok(earlier.length > 0)
  if (database.engine === 'postgresql') {
    await withMigrationTarget(readPostgresqlUrl(database.url), silent, (target) => migrate(target, earlier, silent))
    return
  }
  const db = openSqlite(pathOf(database))
  await migrate(sqliteMigrationTarget(db), earlier, silent)
  db.close()
}

for (const database of testDatabases()) {
  it(`CRLs that lay in one piece go on being served, to those who could read them, on ${database.engine}`, async () => {
    await makeAsBefore(database, /_crl_parts$/)
    const lists = [
      { shard: null, number: 7n, der: new Uint8Array(randomBytes(300_000)) },
      { shard: 3, number: 2n, der: new Uint8Array(randomBytes(70)) },
    ]
    const blob = (octets: Uint8Array): string => `${database.engine === 'sqlite' ? "x'" : "'\\x"}${Buffer.from(octets).toString('hex')}'`
    await meddle(database, `INSERT INTO issuer (id, kind, der) VALUES ('${issuerId}', 'root', ${blob(new Uint8Array(1))})`)
    for (const { shard, number, der } of lists)
      await meddle(
        database,
        `INSERT INTO crl (issuer_id, shard, number, this_update, next_update, revocation_seq, der) VALUES ('${issuerId}', ${shard ?? -1}, ${number}, ${now}, ${now + day}, 5, ${blob(der)})`,
      )
    const role = database.engine === 'postgresql' ? await createReader(database.url) : null

    await (await database.open()).close()
    const reader = await openStore({ url: role?.url ?? database.url, log: silent, readOnly: true })
    for (const { shard, number, der } of lists)
      assert.deepEqual(await reader.currentCrl(issuerId, shard), {
        issuerId,
        shard,
        number,
        thisUpdate: now,
        nextUpdate: now + day,
        octets: der.length,
        der: [der],
      })
    assert.deepEqual(
      (await reader.crlFacts()).map(({ revocationSeq }) => revocationSeq),
      [5, 5],
    )
    await reader.close()
    // The next one takes its place like any other.
    const store = await database.open()
    const next = { issuerId, shard: null, number: 8n, thisUpdate: now, nextUpdate: now + day, octets: 1, der: [new Uint8Array([8])] }
    assert.equal(await saveCrl(store, next, auditEntry()), true)
    assert.deepEqual(await store.currentCrl(issuerId, null), next)
    await store.close()
    assert.equal((await meddle(database, 'SELECT number FROM crl_part')).length, 2)
    await database.drop()
    await role?.drop()
  })
}

for (const database of testDatabases()) {
  describe(`migrations, on ${database.engine}`, () => {
    test('four processes that start at once on nothing', async () => {
      await (await database.open()).close()
      const contender = fileURLToPath(new URL('contender.ts', import.meta.url))
      const fresh = database.engine === 'sqlite' ? `${database.url}2` : `${database.url}${database.url.includes('?') ? '&' : '?'}schema=other`
      const children = Array.from({ length: 4 }, () =>
        spawn(process.execPath, ['--import', 'tsx', contender, fresh, 'migrate'], { stdio: 'inherit' }),
      )
      const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]))
      assert.deepEqual(codes, [0, 0, 0, 0])
    })

    test('the migrations make what the schema says, and beyond it only partial indexes', async () => {
      const { engine, schema } = await schemaEngine(database)
      const scratch = testDatabases().find((other) => other.engine === database.engine) as TestDatabase
      await scratch.create()
      try {
        await meddle(scratch, await engine.difference(null, schema))
        const [wanted, made] = [await structure(scratch), await structure(database)]
        assert.ok(wanted.size > 80)
        assert.deepEqual(
          [...wanted].filter((line) => !made.has(line)),
          [],
        )
        const more = [...made].filter((line) => !wanted.has(line))
        assert.ok(more.some((line) => line.includes('challenge_due')))
        assert.deepEqual(
          more.filter((line) => !/"partial":1|CREATE INDEX .* WHERE /.test(line)),
          [],
        )
      } finally {
        await scratch.drop()
      }
    })

    test('Prisma knows them as applied', async () => {
      const { engine } = await schemaEngine(database)
      assert.deepEqual(await engine.applyMigrations(database.engine, readMigrations(database.engine)), [])
    })

    test('a second start has nothing to do and is quick', async () => {
      // The best of some: now and then the machine has other things to do.
      let best = Number.POSITIVE_INFINITY
      for (let tries = 0; tries < 20 && best >= 200; tries++) {
        const before = performance.now()
        await (await database.open()).close()
        best = Math.min(best, performance.now() - before)
      }
      assert.ok(best < 200, `${best}`)
    })

    test('a new database is for its owner alone', { skip: database.engine !== 'sqlite' }, async () => {
      const store = await database.open()
      assert.equal(statSync(dirname(pathOf(database))).mode & 0o777, 0o700)
      for (const file of ['', '-wal', '-shm']) assert.equal(statSync(pathOf(database) + file).mode & 0o777, 0o600)
      await store.close()
    })

    test('the audit log can only grow', async () => {
      const store = await database.open()
      await store.audit({ at: 1, actor: 'system', action: 'a.b', subject: 'x', detail: {} })
      for (const sql of [`UPDATE audit SET actor = 'nobody'`, 'DELETE FROM audit']) await assert.rejects(meddle(database, sql), /append-only/)
      assert.equal((await store.auditLog({ limit: 5 })).length, 1)
      await store.close()
    })

    test('foreign keys are enforced', async () => {
      const store = await database.open()
      await assert.rejects(
        store.reserveCertificate({
          serial: '01',
          issuerId: 'nobody',
          kind: 'leaf',
          profile: 'p',
          accountId: null,
          orderId: null,
          keyId: 'k',
          crlShard: 0,
          notBefore: 0,
          notAfter: 0,
          names: [],
          createdAt: 0,
        }),
        /foreign key/i,
      )
      await store.close()
    })

    test('refused in words: half a migration, another text, a newer version', async () => {
      const table = '"_prisma_migrations"'
      const open = () => openStore({ url: database.url, log: silent })
      const [{ name, checksum }] = readMigrations(database.engine) as [Migration]
      await meddle(database, `UPDATE ${table} SET finished_at = NULL WHERE migration_name = '${name}'`)
      await assert.rejects(open(), new RegExp(`"${name}" half applied`))
      await meddle(database, `UPDATE ${table} SET finished_at = started_at, checksum = 'x' WHERE migration_name = '${name}'`)
      await assert.rejects(open(), new RegExp(`another text of the migration "${name}"`))
      await meddle(database, `UPDATE ${table} SET checksum = '${checksum}' WHERE migration_name = '${name}'`)
      await meddle(
        database,
        `INSERT INTO ${table} (id, checksum, migration_name, finished_at) VALUES ('1', 'x', '29990101000000_future', CURRENT_TIMESTAMP)`,
      )
      await assert.rejects(open(), /"29990101000000_future", which this version of xmpp-ica does not know/)
      await database.drop()
    })
  })
}
