/**
 * Does the database stay quick as the CA grows? Fills SQLite with the rows that so many issued certificates leave behind (nothing pruned), then runs what the store does for
 * a whole order, with the durability of the program (fsync at every commit), and what OCSP and ARI ask.
 *
 *     node --import tsx bench/million.ts [--folder <where>] [--steps 1000,100000,1000000] [--orders 1500]
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import Database from 'libsql'
import { newId } from '../src/issuance/ica.js'
import { certificateCounters, chargeOf, defaultLimits, orderCounter } from '../src/issuance/limits.js'
import type { Log } from '../src/log.js'
import type { AuditEntry, Authorization, Order } from '../src/model.js'
import { openStore, type Store } from '../src/store/store.js'

const day = 86_400_000
const { values: options } = parseArgs({
  options: {
    folder: { type: 'string', default: tmpdir() },
    steps: { type: 'string', default: '1000,100000,1000000' },
    orders: { type: 'string', default: '1500' },
  },
})
const steps = options.steps.split(',').map(Number)
const ordersPerRun = Number(options.orders)
const issuerId = '0123456789abcdef'
const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const hex = (bytes: number): string => randomBytes(bytes).toString('hex')

/** What one certificate leaves behind, for a batch of them in a temporary table. Certificates are spread over the last 90 days; an account has 20 of them. */
const fillStatements = [
  `INSERT INTO account SELECT 'account' || (i / 20), '{"kty":"EC","crv":"P-256","x":"' || hex(randomblob(22)) || '","y":"' || hex(randomblob(22)) || '"}', 'thumbprint' || (i / 20),
     'valid', '["mailto:admin@example.org"]', t, t, NULL, NULL, NULL, NULL FROM batch WHERE i % 20 = 0`,
  `INSERT INTO "authorization" SELECT id || 'z', 'account' || (i / 20), 'dns', name, 0, t, t + 30 * ${day}, NULL FROM batch`,
  `INSERT INTO challenge SELECT id || 'c', id || 'z', 'dns-01', hex(randomblob(22)), 'valid', t, NULL, 1, NULL FROM batch`,
  `INSERT INTO challenge SELECT id || 'd', id || 'z', 'http-01', hex(randomblob(22)), 'pending', NULL, NULL, 0, NULL FROM batch`,
  `INSERT INTO certificate (serial, issuer_id, kind, profile, account_id, order_id, key_id, crl_shard, not_before, not_after, created_at, der, fingerprint)
     SELECT serial, '${issuerId}', 'leaf', 'xmpp-server', 'account' || (i / 20), id, lower(hex(randomblob(32))), i % 16, t, t + 90 * ${day}, t, randomblob(700), lower(hex(randomblob(32))) FROM batch`,
  `INSERT INTO "order" (id, account_id, profile, identifiers, created_at, expires_at, claimed_at, csr, certificate_serial)
     SELECT id, 'account' || (i / 20), 'xmpp-server', '[{"type":"dns","value":"' || name || '"}]', t, t + 7 * ${day}, t, randomblob(300), serial FROM batch`,
  `INSERT INTO order_authorization SELECT id, id || 'z', 0 FROM batch`,
  `INSERT INTO certificate_name SELECT serial, 'dNSName', name FROM batch`,
  `INSERT INTO certificate_name SELECT serial, 'SRVName', '_xmpp-client.' || name FROM batch`,
  `INSERT INTO certificate_name SELECT serial, 'SRVName', '_xmpp-server.' || name FROM batch`,
  `INSERT INTO certificate_domain SELECT name, t, serial, 1 FROM batch`,
  `INSERT INTO rate_limit SELECT 'certificatesPerExactSet:' || hex(randomblob(22)), 1, t, t + 400 * ${day} FROM batch`,
  `INSERT INTO rate_limit SELECT 'certificatesPerDomain:' || name, 1, t, t + 7 * ${day} FROM batch`,
  ...['order.created', 'challenge.accepted', 'challenge.validated', 'order.claimed', 'certificate.issued'].map(
    (action) =>
      `INSERT INTO audit (at, actor, action, subject, detail) SELECT t, 'account:' || (i / 20), '${action}', 'order:' || id, '{"identifiers":["' || name || '"]}' FROM batch`,
  ),
]

/** Adds certificates number `from` to `to`, past what the program does: in bulk, and not durable until the end. */
const fill = (file: string, from: number, to: number, now: number): void => {
  const db = new Database(file)
  db.exec('PRAGMA synchronous = OFF')
  db.exec('PRAGMA cache_size = -262144')
  db.exec('PRAGMA temp_store = MEMORY')
  db.exec('CREATE TEMP TABLE batch (i INTEGER PRIMARY KEY, t INTEGER, id TEXT, serial TEXT, name TEXT)')
  const size = 20_000
  for (let begin = from; begin < to; begin += size) {
    const end = Math.min(begin + size, to)
    db.exec('BEGIN')
    db.exec('DELETE FROM batch')
    db.exec(`INSERT INTO batch WITH RECURSIVE n(i) AS (VALUES (${begin}) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${end})
      SELECT i, ${now - 90 * day} + i * 7, printf('%012x', ${now - 90 * day} + i * 7) || lower(hex(randomblob(10))), lower(hex(randomblob(16))), 'n' || i || '.example' FROM n`)
    for (const statement of fillStatements) db.exec(statement)
    db.exec('COMMIT')
  }
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  db.close()
}

const audit = (action: string, subject: string): AuditEntry => ({
  at: Date.now(),
  actor: 'account:bench',
  action,
  subject,
  detail: { identifiers: ['bench.example'] },
  address: '192.0.2.1',
})

const makeOrder = (accountId: string, value: string, now: number): Order => {
  const authorizationId = newId(now)
  const challenge = (type: 'dns-01' | 'http-01') => ({
    id: newId(now),
    authorizationId,
    type,
    token: hex(22),
    status: 'pending' as const,
    validatedAt: null,
    error: null,
    attempts: 0,
    nextAttemptAt: null,
  })
  const authorization: Authorization = {
    id: authorizationId,
    accountId,
    identifier: { type: 'dns', value },
    wildcard: false,
    createdAt: now,
    expiresAt: now + 7 * day,
    deactivatedAt: null,
    challenges: [challenge('dns-01'), challenge('http-01')],
  }
  return {
    id: newId(now),
    accountId,
    profile: 'xmpp-server',
    identifiers: [{ type: 'dns', value }],
    notBefore: null,
    notAfter: null,
    createdAt: now,
    expiresAt: now + 7 * day,
    claimedAt: null,
    csr: null,
    certificateSerial: null,
    error: null,
    replaces: null,
    authorizations: [authorization],
  }
}

/** Everything that the store does for one order of one name, in its order: six requests, the validation, the issuance. */
const wholeOrder = async (store: Store, accountId: string, limited: boolean): Promise<void> => {
  const now = Date.now()
  const value = `${hex(8)}.example`
  const order = makeOrder(accountId, value, now)
  const { id } = order
  const authorization = order.authorizations[0] as Authorization
  const challenge = authorization.challenges[0] as Authorization['challenges'][0]
  const authenticate = () => store.authenticate(randomBytes(16), now + day, accountId)
  const counters = [
    orderCounter(defaultLimits, new Map(), accountId),
    ...certificateCounters(defaultLimits, new Map(), accountId, order.identifiers, false),
  ]
  const [perAccount, ...perCertificate] = counters.map((counter) => chargeOf({ ...counter, rate: { count: 1_000_000, windowMs: day } }))
  const states = async () => void (limited && (await store.limitStates(counters.map(({ key }) => key))))

  await authenticate()
  await store.reusableAuthorizations(accountId, [{ identifier: authorization.identifier, wildcard: false }], now)
  await states()
  await store.createOrder(order, [], audit('order.created', `order:${id}`), { charges: limited && perAccount ? [perAccount] : [] })
  await authenticate()
  await store.authorizationById(authorization.id)
  await authenticate()
  await store.challengeById(challenge.id)
  await store.startChallenge(challenge.id, now + day, audit('challenge.accepted', `challenge:${challenge.id}`))
  const valid = { status: 'valid' as const, validatedAt: now, authorizationExpiresAt: now + 30 * day }
  await store.completeChallenge(challenge.id, valid, audit('challenge.validated', `challenge:${challenge.id}`))
  await authenticate()
  await store.orderById(id)
  await authenticate()
  await store.orderById(id)
  await store.isKeyBlocked(hex(32))
  await states()
  await store.claimOrder(id, now, randomBytes(300), audit('order.claimed', `order:${id}`), undefined, limited ? perCertificate : [])
  const serial = hex(16)
  await store.reserveCertificate({
    serial,
    issuerId,
    kind: 'leaf',
    profile: 'xmpp-server',
    accountId,
    orderId: id,
    keyId: hex(32),
    crlShard: 0,
    notBefore: now,
    notAfter: now + 90 * day,
    names: [
      { form: 'dNSName', value },
      { form: 'SRVName', value: `_xmpp-client.${value}` },
      { form: 'SRVName', value: `_xmpp-server.${value}` },
    ],
    createdAt: now,
  })
  await store.storeCertificate(serial, randomBytes(700), audit('certificate.issued', `certificate:${serial}`))
  await authenticate()
  await store.certificateBySerial(serial)
}

/** Of `count` calls by so many callers at once: calls in a second, and the CPU time of one, which others on the machine disturb less. */
const run = async (count: number, callers: number, call: () => Promise<unknown>): Promise<{ rate: number; cpuMs: number }> => {
  let left = count
  const cpu = process.cpuUsage()
  const began = performance.now()
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (left-- > 0) await call()
    }),
  )
  const { user, system } = process.cpuUsage(cpu)
  return { rate: (count * 1000) / (performance.now() - began), cpuMs: (user + system) / 1000 / count }
}

const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] as number

type Figures = Record<string, number>

const measure = async (store: Store, certificates: number, file: string): Promise<Figures> => {
  const reader = new Database(file)
  const serials = (reader.prepare('SELECT serial FROM certificate ORDER BY random() LIMIT 2000').all() as { serial: string }[]).map(
    ({ serial }) => serial,
  )
  reader.close()
  const account = () => `account${Math.floor((Math.random() * certificates) / 20)}`
  const some = () => serials[Math.floor(Math.random() * serials.length)] as string
  await run(200, 8, () => wholeOrder(store, account(), true))
  const found = { one: [] as number[], many: [] as number[], cpu: [] as number[], bareCpu: [] as number[] }
  // In turns, so that what disturbs the machine disturbs all of them.
  for (let i = 0; i < 5; i++) {
    const count = Math.ceil(ordersPerRun / 5)
    found.one.push((await run(Math.ceil(count / 5), 1, () => wholeOrder(store, account(), true))).rate)
    const limited = await run(count, 32, () => wholeOrder(store, account(), true))
    found.many.push(limited.rate)
    found.cpu.push(limited.cpuMs)
    found.bareCpu.push((await run(count, 32, () => wholeOrder(store, account(), false))).cpuMs)
  }
  return {
    'orders/s, 1 client': median(found.one),
    'orders/s, 32 clients': median(found.many),
    'CPU ms an order': median(found.cpu),
    'CPU ms an order, limits off': median(found.bareCpu),
    'OCSP look-ups/s': (await run(20_000, 1, () => store.certificateStatus(issuerId, some()))).rate,
    'certificates read/s': (await run(5000, 1, () => store.certificateBySerial(some()))).rate,
    'pages of a domain/s': (await run(2000, 1, () => store.certificatesBelow(`n${Math.floor(Math.random() * certificates)}.example`, null, 51))).rate,
    'totals, ms': 1000 / (await run(3, 1, () => store.countTotals(Date.now()))).rate,
    megabytes: statSync(file).size / 1e6,
  }
}

const main = async (): Promise<void> => {
  const folder = mkdtempSync(path.join(options.folder, 'ica-million-'))
  const file = path.join(folder, 'ica.db')
  const now = Date.now()
  const results: Figures[] = []
  try {
    let filled = 0
    for (const certificates of steps) {
      const store = await openStore({ url: `file:${file}`, log: silent })
      await store.upsertIssuer({ id: issuerId, kind: 'intermediate', der: new Uint8Array([0x30, 0]) })
      await store.close()
      fill(file, filled, certificates, now)
      filled = certificates
      const opened = await openStore({ url: `file:${file}`, log: silent })
      results.push(await measure(opened, certificates, file))
      await opened.close()
      process.stderr.write(`${certificates} certificates: ${JSON.stringify(results.at(-1))}\n`)
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  const [first = {}] = results
  const show = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2))
  const lines = Object.keys(first).map((name) => {
    const cells = results.map(
      (figures) => `${show(figures[name] ?? 0)}${name === 'megabytes' ? '' : ` (${((figures[name] ?? 0) / (first[name] ?? 1)).toFixed(2)})`}`,
    )
    return `| ${name} | ${cells.join(' | ')} |`
  })
  process.stdout.write(
    [
      `| certificates in the database | ${steps.map((n) => n.toLocaleString('en')).join(' | ')} |`,
      `| --- | ${steps.map(() => '---:').join(' | ')} |`,
      ...lines,
    ]
      .join('\n')
      .concat('\n'),
  )
}

await main()
