/** Every statement finds its rows by an index, whichever function asks; and Prisma sees what SQL sees. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { PrismaLibSql } from '@prisma/adapter-libsql'
import { PrismaClient } from '../../src/store/generated/sqlite/client.js'
import { migrate, readMigrations } from '../../src/store/migrations.js'
import type { Operation, Runner, Statement, Steps } from '../../src/store/sql.js'
import { openSqlite, type SqliteDatabase, sqliteMigrationTarget } from '../../src/store/sqlite.js'
import { createSqliteRunner } from '../../src/store/sqlite-runner.js'
import { newMailId, type Store, storeOn } from '../../src/store/store.js'
import {
  addAccount,
  addCertificate,
  addIssuer,
  addOrder,
  auditEntry,
  day,
  issuerId,
  makeReservation,
  now,
  onEachEngine,
  saveCrl,
  silent,
  sqliteDatabase,
  withoutSqlite,
} from './fixtures.js'

describe('query plans, on sqlite', { skip: withoutSqlite }, () => {
  const database = sqliteDatabase()
  const seen = new Map<string, string[]>()
  /** A connection of its own: libsql leaves an explained change open, which would hold up a COMMIT on the same one. */
  let planner: SqliteDatabase
  let store: Store
  let prisma: PrismaClient

  /** Remembers how SQLite goes about a statement. */
  const explain = (sql: string) => {
    if (/^(BEGIN|COMMIT)/.test(sql)) return
    const values = Array(sql.replace(/[^?]/g, '').length).fill(null)
    seen.set(
      sql,
      (planner.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(values) as { detail: string }[]).map(({ detail }) => detail),
    )
  }
  function* watched<T>(steps: Steps<T>): Steps<T> {
    let step = steps.next()
    while (!step.done) {
      const statement: Statement = step.value
      if (statement.want !== 'lock') explain(statement.sql)
      step = steps.next(yield statement)
    }
    return step.value
  }

  before(async () => {
    await database.create()
    const file = database.url.replace('file:', '')
    const db = openSqlite(file)
    await migrate(sqliteMigrationTarget(db), readMigrations('sqlite'), silent)
    planner = openSqlite(file)
    const runner = createSqliteRunner(db, silent)
    const watch =
      <T>(run: (operation: Operation<T>) => Promise<T>) =>
      (operation: Operation<T>) =>
        run(() => watched(operation()))
    const watching: Runner = {
      ...runner,
      read: (o) => watch(runner.read<never>)(o as never),
      write: (o) => watch(runner.write<never>)(o as never),
      writeOne: (o) => watch(runner.writeOne<never>)(o as never),
    }
    prisma = new PrismaClient({ adapter: new PrismaLibSql({ url: database.url }), log: [{ emit: 'event', level: 'query' }] })
    ;(prisma as unknown as { $on(event: 'query', listen: (e: { query: string }) => void): void }).$on('query', ({ query }) => explain(query))
    store = {
      engine: 'sqlite',
      ...storeOn(watching, { ask: (question) => question(prisma), close: async () => {} }, { perRecipient: null, perStranger: null }),
      close: runner.close,
    }
  })
  after(async () => {
    await prisma.$disconnect()
    await store.close()
    planner.close()
    await database.drop()
  })

  /** Statements that walk through a table or an index instead of searching. */
  const scans = () => [...seen].flatMap(([sql, plan]) => plan.filter((detail) => /^SCAN/.test(detail)).map((detail) => [sql, detail] as const))

  test('every statement searches by an index; only the list of all certificates walks one, in its order', async () => {
    await addIssuer(store)
    const { account, order, authorization, challenge } = await addOrder(store)
    await store.authenticate(Buffer.from('n'), now, account.id)
    await store.pruneNonces(now)
    await store.accountByThumbprint(account.thumbprint)
    await store.updateAccount(account.id, { contact: [] }, auditEntry())
    await store.changeAccountKey(account.id, account.thumbprint, account.jwk, 'new', auditEntry())
    await store.priorThumbprints(account.id)
    await store.startChallenge(challenge.id, now, auditEntry())
    await store.dueChallenges(now, 5, ['a', 'b'])
    await store.isServiceKey('a')
    await store.leaseChallenge(challenge.id, now, now)
    await store.returnChallenge(challenge.id, now, now)
    await store.retryChallenge(challenge.id, now, { type: 'x', detail: 'x', status: 400 }, auditEntry())
    await store.completeChallenge(challenge.id, { status: 'valid', validatedAt: now, authorizationExpiresAt: now + day }, auditEntry())
    await store.reusableAuthorizations(account.id, [{ identifier: authorization.identifier, wildcard: false }], now)
    await store.claimOrder(order.id, now, new Uint8Array(1), auditEntry(), makeReservation())
    await store.stalledOrders(now + 1, 5)
    await store.reclaimOrder(order.id, now, now + 1)
    const { serial, der, keyId } = await addCertificate(store, { orderId: order.id, accountId: account.id })
    await store.orderById(order.id)
    await store.authorizationById(authorization.id)
    await store.certificateBySerial(serial)
    await store.certificateByDer(der)
    for (const size of [1, 2]) await store.certificateStatuses(Array(size).fill({ issuerId, serial }))
    await store.isKeyBlocked(keyId)
    await store.recordRevocation(serial, { revokedAt: now, reason: 'keyCompromise' }, true, auditEntry())
    await store.revokedSince(0, 5)
    for (const shard of [null, 0]) for await (const _ of store.revokedEntries(issuerId, shard, now));
    await saveCrl(
      store,
      { issuerId, shard: null, number: await store.nextCrlNumber(issuerId, null), thisUpdate: now, nextUpdate: now, octets: der.length, der: [der] },
      auditEntry(),
    )
    await store.currentCrl(issuerId, null)
    await store.currentCrl(issuerId, null, 1n)
    await store.acquireLease('x', 'a', now, 0)
    await store.releaseLease('x', 'a')
    await store.failOrder(order.id, { type: 'x', detail: 'x', status: 400 }, auditEntry())
    await store.deactivateAuthorization(authorization.id, now, auditEntry())
    await store.deactivateAccount(account.id, now, auditEntry())
    await store.ordersOfAccount(account.id, null, 5)
    await store.ordersOfAccount(account.id, order.id, 5)
    await store.certificatesByName('example.com', 5)
    await store.certificatesByKey(keyId)
    await store.certificateByFingerprint('00')
    await store.certificatesBelow('example.com', null, 5)
    const waiting = await addOrder(store)
    const mailId = newMailId(now)
    const asked = { id: mailId, challengeId: waiting.challenge.id, address: 'a@example.com', requester: null, createdAt: now, expiresAt: now + day }
    const mail = { kind: 'validation' as const, recipient: 'a@example.com', accountId: null, data: {}, sealed: null, urgent: true, once: null }
    await store.askForConfirmation(
      { ...asked, outcome: null, decidedAt: null, tokenHash: 'h', instead: null },
      { ...mail, id: mailId, createdAt: now, expiresAt: now + day },
      auditEntry(),
    )
    await store.confirmationOf(waiting.challenge.id)
    await store.confirmationByToken('h')
    await store.dueMails(now, 5)
    await store.leaseMail(mailId, now, now + 1)
    await store.extendMailLease(mailId, 1, now + 2)
    await store.mailDeferred(mailId, 1, now, now + 3, 'x', auditEntry())
    await store.mailSent(mailId, now, 'x', auditEntry())
    await store.mailBounced(mailId, now, 'x', auditEntry())
    await store.overdueConfirmations(now + 2 * day, 5)
    await store.decideConfirmation('h', 'denied', now + 1, { status: 'invalid', error: { type: 'x', detail: 'x', status: 400 } }, auditEntry())
    await store.expireConfirmation(mailId, now + 2 * day, { status: 'invalid', error: { type: 'x', detail: 'x', status: 400 } }, auditEntry())
    const told = await addCertificate(store, { accountId: (await addAccount(store)).id })
    await addCertificate(store, { notAfter: now + 100 * day })
    for (const due of await store.expiringCertificates(now + 80 * day, 5))
      await store.tellOfExpiry(due, null, now + 80 * day, { perRecipient: null, perStranger: null })
    await store.isExpiryMissed(told.serial)
    await store.optOut('a@example.com', account.id, now, auditEntry())
    await store.optIn('a@example.com', account.id, auditEntry())
    await store.blockKey(told.keyId, 'x', now, auditEntry())
    await store.auditLog({ limit: 5, before: 3 })
    await store.auditLog({ limit: 5, subject: 'x' })
    assert.ok(seen.size > 50, `${seen.size} statements`)
    // What was handed in may be walked through.
    assert.deepEqual(
      scans().filter(([, detail]) => !/^SCAN (\d* ?CONSTANT ROWS?$|asked VIRTUAL TABLE)/.test(detail)),
      [],
    )

    seen.clear()
    await store.listCertificates({ limit: 5 })
    await store.listCertificates({ limit: 5, before: serial, revoked: false })
    assert.deepEqual(
      scans().filter(([, detail]) => !/USING INDEX certificate_created_at_serial_idx$/.test(detail)),
      [],
    )
  })
})

onEachEngine('Prisma and SQL', (database, store) => {
  test('see the same certificates', async () => {
    const account = await addAccount(store())
    const { serial } = await addCertificate(store(), { accountId: account.id, crlShard: 3 })
    assert.deepEqual((await store().listCertificates({ limit: 1 }))[0], await store().certificateBySerial(serial))
    await store().recordRevocation(serial, { revokedAt: now, reason: 'privilegeWithdrawn' }, false, auditEntry())
    assert.deepEqual((await store().listCertificates({ limit: 1 }))[0], await store().certificateBySerial(serial))
  })

  test('see the same audit rows', async () => {
    const bare = { at: now, actor: 'system', action: 'a.b', subject: 's', detail: { names: ['ü', 'x'], nested: { n: 1 } } }
    const full = { ...bare, address: '2001:db8::1', requestId: 'r' }
    await store().audit(bare)
    await store().audit(full)
    const [second, first] = await store().auditLog({ subject: 's', limit: 5 })
    assert.deepEqual({ ...first, id: 0 }, { ...bare, id: 0 })
    assert.deepEqual({ ...second, id: 0 }, { ...full, id: 0 })
    assert.deepEqual(
      (await store().auditLog({ subject: 's', before: second?.id as number, limit: 5 })).map(({ id }) => id),
      [first?.id],
    )
    assert.equal(database.engine, store().engine)
  })
})
