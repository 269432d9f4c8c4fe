/** What goes wrong underneath: an operation that fails, a full disk, another writer, a lost connection. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { accountStore } from '../../src/store/accounts.js'
import { migrate, readMigrations } from '../../src/store/migrations.js'
import { change, type Runner, row } from '../../src/store/sql.js'
import { openSqlite, type SqliteDatabase, sqliteMigrationTarget } from '../../src/store/sqlite.js'
import { createSqliteRunner } from '../../src/store/sqlite-runner.js'
import { LimitExceeded, openStore } from '../../src/store/store.js'
import {
  addAccount,
  auditEntry,
  id,
  makeAccount,
  makeAuthorization,
  makeOrder,
  now,
  onEachEngine,
  silent,
  type TestDatabase,
  testDatabases,
  withoutSqlite,
} from './fixtures.js'

const unavailable = { code: 'unavailable', retryAfter: 30 }

onEachEngine('an operation that fails', (_, store) => {
  test('undoes itself alone, whatever shares its commit', async () => {
    const good = Array.from({ length: 6 }, () => makeAccount())
    const bad = makeAccount({ id: good[0]?.id as string })
    const audit = auditEntry()
    const results = await Promise.allSettled([
      ...good.slice(0, 3).map((account) => store().createAccount(account, auditEntry())),
      store().createAccount(bad, audit),
      ...good.slice(3).map((account) => store().createAccount(account, auditEntry())),
    ])
    assert.deepEqual(
      results.map(({ status }) => status),
      [...Array(3).fill('fulfilled'), 'rejected', ...Array(3).fill('fulfilled')],
    )
    for (const account of good) assert.deepEqual(await store().accountById(account.id), account)
    assert.equal(await store().accountByThumbprint(bad.thumbprint), null)
    assert.deepEqual(await store().auditLog({ subject: audit.subject, limit: 1 }), [])
  })

  test('leaves nothing where its last statement finds no room, or can’t be sent', async () => {
    const account = await addAccount(store())
    const full = { key: `full:${id()}`, count: 1, windowMs: 1000, cost: 1 as const, keepMs: 0 }
    await store().audit(auditEntry(), [full])
    for (const charge of [full, { ...full, key: Symbol('no text') as never }]) {
      const order = makeOrder(account.id, [makeAuthorization(account.id, 'romeo.example')])
      const audit = auditEntry('order.created', `order:${order.id}`)
      await assert.rejects(store().createOrder(order, [], audit, { charges: [charge] }), charge === full ? LimitExceeded : TypeError)
      assert.equal(await store().orderById(order.id), null)
      assert.equal(await store().authorizationById(order.authorizations[0]?.id as string), null)
      assert.deepEqual(await store().auditLog({ subject: audit.subject, limit: 1 }), [])
    }
  })

  test('does not fail what is asked at the same time', async () => {
    const account = await addAccount(store())
    const nonces = Array.from({ length: 5 }, () => randomBytes(16))
    const asked = await Promise.allSettled([
      ...nonces.slice(0, 2).map((nonce) => store().authenticate(nonce, now, account.id)),
      store().authenticate({} as never, now, account.id),
      ...nonces.slice(2).map((nonce) => store().authenticate(nonce, now, account.id)),
      store().accountById(Symbol('no text') as never),
      store().accountById(account.id),
    ])
    assert.deepEqual(
      asked.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
    )
    for (const nonce of nonces) assert.deepEqual(await store().authenticate(nonce, now, account.id), { fresh: false, account })
  })
})

describe('sqlite', { skip: withoutSqlite }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ica-faults-'))
  let db: SqliteDatabase
  let runner: Runner
  let logged: string[]
  let accounts: ReturnType<typeof accountStore>

  before(async () => {
    db = openSqlite(join(folder, 'ica.db'))
    await migrate(sqliteMigrationTarget(db), readMigrations('sqlite'), silent)
    logged = []
    const keep = (_fields: object, message: string) => void logged.push(message)
    runner = createSqliteRunner(db, { ...silent, error: keep, info: keep })
    accounts = accountStore(runner)
  })
  after(async () => {
    await runner.close()
    rmSync(folder, { recursive: true })
  })

  const count = async (table: string) => (await runner.read(() => row<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`)))?.n

  test('a full disk rejects with unavailable, leaves nothing half-written, and passes', async () => {
    const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
    db.exec(`PRAGMA max_page_count = ${pages + 2}`)
    const made = Array.from({ length: 64 }, () => makeAccount({ contact: ['x'.repeat(1000)] }))
    const results = await Promise.allSettled(made.map((account) => accounts.createAccount(account, auditEntry())))
    const failed = results.filter((r) => r.status === 'rejected')
    assert.ok(failed.length > 0)
    for (const { reason } of failed) assert.deepEqual({ code: reason.code, retryAfter: reason.retryAfter }, unavailable)
    for (const [n, account] of made.entries()) {
      const found = await accounts.accountById(account.id)
      assert.equal(found !== null, results[n]?.status === 'fulfilled')
    }
    const stored = results.length - failed.length
    assert.equal(await count('account'), stored)
    assert.equal(await count('audit'), stored)
    db.exec('PRAGMA max_page_count = 1000000')
    assert.equal((await accounts.createAccount(makeAccount(), auditEntry())).created, true)
  })

  test('another writer is waited for without stopping the event loop', async () => {
    const other = openSqlite(join(folder, 'ica.db'))
    other.exec('BEGIN IMMEDIATE')
    const writing = accounts.createAccount(makeAccount(), auditEntry())
    let turns = 0
    const ticking = setInterval(() => turns++, 5)
    setTimeout(() => other.exec('COMMIT'), 300)
    assert.equal((await writing).created, true)
    clearInterval(ticking)
    other.close()
    assert.ok(turns >= 3, `${turns} turns`)
  })

  test('another writer that does not end is given up, said once, and recovered from', async () => {
    const other = openSqlite(join(folder, 'ica.db'))
    other.exec('BEGIN IMMEDIATE')
    logged.length = 0
    const before = await count('account')
    await assert.rejects(accounts.createAccount(makeAccount(), auditEntry()), unavailable)
    assert.equal(await count('account'), before)
    other.exec('COMMIT')
    other.close()
    assert.equal((await accounts.createAccount(makeAccount(), auditEntry())).created, true)
    assert.equal(logged.length, 2)
  })

  test('a read transaction that can not be ended is told of, and neither reads nor writes suffer from it', async () => {
    const opened = openSqlite(join(folder, 'ica.db'))
    let refusals = 1
    /** SQLite has no way to make the COMMIT of a read fail. */
    const reluctant = new Proxy(opened, {
      get: (on, property) => {
        const value = Reflect.get(on, property, on)
        if (property !== 'exec') return typeof value === 'function' ? value.bind(on) : value
        return (sql: string) => {
          if (sql === 'COMMIT' && refusals-- > 0) throw new Error('disk I/O error')
          on.exec(sql)
        }
      },
    })
    const warnings: string[] = []
    const own = createSqliteRunner(reluctant, { ...silent, warn: (_fields: object, message: string) => void warnings.push(message) })
    const stored = accountStore(own)
    for (const way of ['read', 'write']) {
      refusals = 1
      const account = makeAccount()
      assert.equal((await accounts.createAccount(account, auditEntry())).created, true)
      assert.deepEqual(await stored.accountById(account.id), account)
      await new Promise(setImmediate)
      assert.equal(refusals, 0)
      assert.equal(opened.inTransaction, true)
      if (way === 'read') assert.deepEqual(await stored.accountById(account.id), account)
      else assert.equal((await stored.createAccount(makeAccount(), auditEntry())).created, true)
      await new Promise(setImmediate)
      assert.equal(opened.inTransaction, false)
    }
    assert.equal(warnings.length, 2)
    await own.close()
  })

  test('a parameter of a wrong type is an error, not an abort', async () => {
    for (const value of [undefined, {}, Symbol('x')]) {
      await assert.rejects(
        runner.write(() => change('UPDATE setting SET value = ?', value as never)),
        TypeError,
      )
    }
  })

  describe('a disk that takes its time', () => {
    const file = join(folder, 'slow.db')
    const held: ((error: Error | null) => void)[] = []
    const turn = () => new Promise((resolve) => setTimeout(resolve, 20))
    /** Ends the syncs that are under way, and lets what follows happen. */
    const release = async (error: Error | null = null) => {
      for (const done of held.splice(0)) done(error)
      await turn()
    }
    const open = () => {
      const opened = openSqlite(file)
      opened.exec('CREATE TABLE IF NOT EXISTS used_nonce (id BLOB PRIMARY KEY, expires_at BIGINT)')
      const own = createSqliteRunner(opened, silent, (_fd, done) => void held.push(done))
      const told: string[] = []
      const tell = (what: string) => (value: unknown) => void told.push(`${what} ${value}`)
      return {
        told,
        close: own.close,
        write: (id: string) =>
          accountStore(own)
            .useNonce(Buffer.from(id), now)
            .then(tell(id), tell(`${id} failed`)),
        precede: (id: string) =>
          own.precede(() => change('INSERT INTO used_nonce VALUES (?, ?)', Buffer.from(id), now)).then(tell(id), tell(`${id} failed`)),
        read: () => own.read(() => row<{ n: number }>('SELECT COUNT(*) AS n FROM used_nonce')).then((r) => tell('count')(r?.n), tell('read failed')),
      }
    }

    test('nobody is told of what it has not stored yet, neither who wrote nor who reads', async () => {
      const { told, write, read, close } = open()
      void read()
      await release()
      assert.deepEqual(told, ['count 0'])
      void write('a')
      await turn()
      void read()
      void write('b')
      await turn()
      assert.deepEqual(told, ['count 0'])
      await release()
      assert.deepEqual(told, ['count 0', 'a true', 'count 1'])
      void write('a')
      await turn()
      await release()
      assert.deepEqual(told.slice(3), ['b true'])
      await release()
      assert.deepEqual(told.slice(4), ['a false'])
      void read()
      await turn()
      assert.deepEqual(told.slice(5), ['count 2'])
      await close()
    })

    test('what only leads up to another write need not wait, but whoever reads it does', async () => {
      const { told, precede, write, read, close } = open()
      void read()
      await release()
      void precede('x')
      await turn()
      assert.deepEqual(told, ['count 2', 'x 1'])
      assert.equal(held.length, 0)
      void read()
      await turn()
      assert.deepEqual([told.length, held.length], [2, 1])
      await release()
      assert.deepEqual(told.slice(2), ['count 3'])
      void precede('y')
      await turn()
      void write('z')
      await turn()
      assert.deepEqual([told.slice(3), held.length], [['y 1'], 1])
      void read()
      await turn()
      await release()
      assert.deepEqual(told.slice(4), ['z true', 'count 5'])
      // One that fails undoes itself, and says so at once.
      void precede('z')
      await turn()
      assert.match(told.at(-1) ?? '', /^z failed/)
      void read()
      await release()
      await turn()
      assert.equal(told.at(-1), 'count 5')
      await close()
    })

    test('what another process wrote is synced before it is told', async () => {
      const { told, read, close } = open()
      void read()
      await release()
      const other = openSqlite(file)
      other.exec("INSERT INTO used_nonce VALUES (X'00', 1)")
      void read()
      await turn()
      assert.deepEqual(told, ['count 5'])
      await release()
      assert.deepEqual(told, ['count 5', 'count 6'])
      void read()
      await turn()
      assert.deepEqual(told.slice(2), ['count 6'])
      other.close()
      await close()
    })

    test('after a sync that failed nothing is believed any more', async () => {
      const { told, write, read, close } = open()
      void write('c')
      await turn()
      void write('d')
      void read()
      await release(new Error('EIO'))
      void write('e')
      void read()
      await turn()
      assert.equal(told.length, 5)
      for (const line of told) assert.match(line, /failed .*unavailable|failed .*not be reached/)
      assert.equal(held.length, 0)
      await close()
    })
  })

  test('what was begun is finished before closing, what comes later is refused', async () => {
    const file = join(folder, 'closing.db')
    const opened = openSqlite(file)
    opened.exec('CREATE TABLE used_nonce (id BLOB PRIMARY KEY, expires_at BIGINT)')
    const closing = createSqliteRunner(opened, silent)
    const used = accountStore(closing).useNonce(Buffer.from('1'), now)
    await closing.close()
    assert.equal(await used, true)
    await assert.rejects(accountStore(closing).useNonce(Buffer.from('2'), now), unavailable)
    await assert.rejects(
      closing.read(() => row('SELECT 1')),
      unavailable,
    )
  })
})

/** A door to the PostgreSQL of the tests that can be shut. */
const openDoor = async (server: string) => {
  const { host, port } = new pg.Client({ connectionString: server })
  const inside = new Set<Socket>()
  const door = createServer((client) => {
    const upstream = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      inside.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
    }
  })
  const open = async (at: number) => {
    door.listen(at, '127.0.0.1')
    await once(door, 'listening')
    return (door.address() as AddressInfo).port
  }
  const shut = () => {
    for (const socket of inside) socket.destroy()
    door.close()
  }
  return { open, shut }
}

const server = process.env.ICA_TEST_POSTGRES_URL

describe('postgresql', { skip: server === undefined }, () => {
  test('a lost server rejects with unavailable, said once, and passes', async () => {
    const database = testDatabases().find(({ engine }) => engine === 'postgresql') as TestDatabase
    await database.create()
    const door = await openDoor(server as string)
    const port = await door.open(0)
    const url = new URL(database.url)
    url.searchParams.delete('host')
    url.host = `127.0.0.1:${port}`
    const logged: string[] = []
    const keep = (_fields: object, message: string) => void logged.push(message)
    const store = await openStore({ url: url.href, log: { ...silent, error: keep } })
    try {
      await addAccount(store)
      door.shut()
      const asked = [() => addAccount(store), () => store.ping(), () => store.accountById('x'), () => store.auditLog({ limit: 1 })]
      for (const ask of asked) await assert.rejects(ask(), { code: 'unavailable' })
      assert.equal(logged.length, 1)
      await assert.rejects(openStore({ url: url.href, log: silent }), { code: 'unavailable' })
      await door.open(port)
      await addAccount(store)
      assert.equal((await store.auditLog({ limit: 9 })).length, 2)
    } finally {
      await store.close()
      door.shut()
      await database.drop()
    }
  })
})
