/** A fresh database for a test file, and rows to put into it. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import Database from 'libsql'
import pg from 'pg'
import type { Log } from '../../src/log.js'
import type { Account, AuditEntry, Authorization, CertificateReservation, Challenge, Order } from '../../src/model.js'
import { type CrlRow, openStore, type Store } from '../../src/store/store.js'

export const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

export type TestDatabase = {
  engine: 'sqlite' | 'postgresql'
  url: string
  /** Makes it, empty; {@link open} does so too. */
  create(): Promise<void>
  open(): Promise<Store>
  drop(): Promise<void>
}

export const sqliteDatabase = (): TestDatabase => {
  const folder = mkdtempSync(join(tmpdir(), 'ica-store-'))
  const url = `file:${join(folder, 'data', 'ica.db')}`
  return {
    engine: 'sqlite',
    url,
    create: async () => void mkdirSync(join(folder, 'data'), { mode: 0o700 }),
    open: () => openStore({ url, log: silent }),
    drop: async () => rmSync(folder, { recursive: true }),
  }
}

const postgresqlDatabase = (server: string): TestDatabase => {
  const name = `ica_test_${randomBytes(6).toString('hex')}`
  const administer = async (sql: string) => {
    const client = new pg.Client({ connectionString: server })
    await client.connect()
    await client.query(sql).finally(() => client.end())
  }
  const url = new URL(server)
  url.pathname = `/${name}`
  let created: Promise<void> | undefined
  const create = () => {
    created ??= administer(`CREATE DATABASE ${name}`)
    return created
  }
  return {
    engine: 'postgresql',
    url: url.href,
    create,
    open: async () => {
      await create()
      return openStore({ url: url.href, log: silent })
    },
    drop: () => administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  }
}

/** The file of a database on SQLite. */
export const pathOf = (database: TestDatabase): string => database.url.replace('file:', '')

/** Runs SQL behind the store's back; gives the rows of a SELECT. */
export const meddle = async (database: TestDatabase, sql: string): Promise<unknown[]> => {
  if (database.engine === 'sqlite') {
    const db = new Database(pathOf(database), { timeout: 5000 } as Database.Options)
    try {
      if (/^SELECT/.test(sql)) return db.prepare(sql).all()
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

const server = process.env.ICA_TEST_POSTGRES_URL

/** ICA_TEST_ENGINE=postgresql: what is about SQLite is left out, because another run tries it. */
export const withoutSqlite = process.env.ICA_TEST_ENGINE === 'postgresql'

/** One database of each engine: PostgreSQL only where ICA_TEST_POSTGRES_URL names a server on which databases may be created. */
export const testDatabases = (): TestDatabase[] => [...(withoutSqlite ? [] : [sqliteDatabase()]), ...(server ? [postgresqlDatabase(server)] : [])]

/** For a whole CA: PostgreSQL where ICA_TEST_POSTGRES_URL names a server, else SQLite. */
export const appDatabase = (): TestDatabase => (server ? postgresqlDatabase(server) : sqliteDatabase())

/** Runs the same tests on a fresh database of each engine. `use` defines them; the store is open when they run. */
export const onEachEngine = (what: string, use: (database: TestDatabase, store: () => Store) => void): void => {
  for (const database of testDatabases()) {
    describe(`${what}, on ${database.engine}`, () => {
      let store: Store
      before(async () => {
        store = await database.open()
        await addIssuer(store)
      })
      after(async () => {
        await store.close()
        await database.drop()
      })
      use(database, () => store)
    })
  }
}

export const id = (): string => randomBytes(12).toString('base64url')
export const hex = (length = 16): string => randomBytes(length).toString('hex')

/** 2026-01-01T00:00:00Z: the tests' now. */
export const now = 1_767_225_600_000
export const day = 86_400_000
export const issuerId = '0123456789abcdef'

export const auditEntry = (action = 'test.done', subject = `test:${id()}`): AuditEntry => ({
  at: now,
  actor: 'system',
  action,
  subject,
  detail: { why: 'test' },
  address: '192.0.2.1',
  requestId: 'r1',
})

export const makeAccount = (more: Partial<Account> = {}): Account => ({
  id: id(),
  jwk: { kty: 'EC', crv: 'P-256', x: id(), y: id() },
  thumbprint: id(),
  status: 'valid',
  contact: ['mailto:juliet@example.com'],
  termsAgreedAt: now,
  createdAt: now,
  paused: null,
  externalAccount: null,
  ...more,
})

const makeChallenge = (authorizationId: string, type: Challenge['type'], more: Partial<Challenge> = {}): Challenge => ({
  id: id(),
  authorizationId,
  type,
  token: id(),
  status: 'pending',
  validatedAt: null,
  error: null,
  attempts: 0,
  nextAttemptAt: null,
  ...more,
})

export const makeAuthorization = (accountId: string, value: string, more: Partial<Authorization> = {}): Authorization => {
  const authorizationId = id()
  return {
    id: authorizationId,
    accountId,
    identifier: { type: 'dns', value },
    wildcard: false,
    createdAt: now,
    expiresAt: now + 7 * day,
    deactivatedAt: null,
    challenges: [makeChallenge(authorizationId, 'dns-01'), makeChallenge(authorizationId, 'http-01')],
    ...more,
  }
}

export const makeOrder = (accountId: string, authorizations: Authorization[], more: Partial<Order> = {}): Order => ({
  id: id(),
  accountId,
  profile: 'xmpp-server',
  identifiers: authorizations.map((a) => ({ type: 'dns', value: a.wildcard ? `*.${a.identifier.value}` : a.identifier.value })),
  notBefore: null,
  notAfter: null,
  createdAt: now,
  expiresAt: now + 7 * day,
  claimedAt: null,
  csr: null,
  certificateSerial: null,
  error: null,
  replaces: null,
  authorizations,
  ...more,
})

export const makeReservation = (more: Partial<CertificateReservation> = {}): CertificateReservation => ({
  serial: hex(),
  issuerId,
  kind: 'leaf',
  profile: 'xmpp-server',
  accountId: null,
  orderId: null,
  keyId: hex(32),
  crlShard: 0,
  notBefore: now,
  notAfter: now + 90 * day,
  names: [
    { form: 'SRVName', value: '_xmpp-server.example.com' },
    { form: 'dNSName', value: 'example.com' },
  ],
  createdAt: now,
  ...more,
})

/** Registers the issuer that {@link makeReservation} names. */
export const addIssuer = (store: Store): Promise<void> => store.upsertIssuer({ id: issuerId, kind: 'intermediate', der: new Uint8Array([0x30, 0]) })

/** A stored account. */
export const addAccount = async (store: Store): Promise<Account> => (await store.createAccount(makeAccount(), auditEntry())).account

/** A stored order for one name of a new account. */
export const addOrder = async (store: Store, value = `${hex(4)}.example.com`) => {
  const account = await addAccount(store)
  const order = makeOrder(account.id, [makeAuthorization(account.id, value)])
  await store.createOrder(order, [], auditEntry())
  return { account, order, authorization: order.authorizations[0] as Authorization, challenge: order.authorizations[0]?.challenges[0] as Challenge }
}

/** A stored certificate. */
export const addCertificate = async (store: Store, more: Partial<CertificateReservation> = {}) => {
  const reservation = makeReservation(more)
  const der = randomBytes(700)
  await store.reserveCertificate(reservation)
  await store.storeCertificate(reservation.serial, der, auditEntry())
  return { ...reservation, der: new Uint8Array(der) }
}

/** Saves a list whose octets are there already: each piece but the first and the last as one of its body. */
export const saveCrl = (
  store: Pick<Store, 'saveCrl'>,
  { der, octets, revocationSeq = 0, ...crl }: CrlRow,
  audit: AuditEntry = auditEntry(),
): Promise<boolean> =>
  store.saveCrl({ ...crl, revocationSeq }, async (body) => {
    const [head = new Uint8Array(), ...rest] = der
    const tail = rest.pop() ?? new Uint8Array()
    for (const piece of rest) await body.put(piece)
    return { head, tail, octets, audit }
  })
