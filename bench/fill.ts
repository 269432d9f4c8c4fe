/** Rows by the million for a bench: what issued certificates leave behind in a database on SQLite. */
import Database from 'libsql'
import { defaultRetention } from '../src/issuance/maintenance.js'

export const DAY_MS = 86_400_000
/** Of a certificate for 90 days: how long its order is kept. */
const KEPT_MS = 90 * DAY_MS + defaultRetention.fulfilledOrdersMs
/** Many rows a transaction, so that each page of an index with random keys is written a few times and not a thousand. */
const BATCH = 100_000

/** What one certificate leaves behind at `now`, for a batch of them in a temporary table. An account has 20 of them. */
const statementsFor = (issuerId: string, now: number) => [
  `INSERT INTO account SELECT 'account' || (i / 20), '{"kty":"EC","crv":"P-256","x":"' || hex(randomblob(22)) || '","y":"' || hex(randomblob(22)) || '"}', 'thumbprint' || (i / 20),
     'valid', '["mailto:admin@example.org"]', t, t, NULL, NULL, NULL, NULL FROM batch WHERE i % 20 = 0`,
  `INSERT INTO "authorization" SELECT id || 'z', 'account' || (i / 20), 'dns', name, 0, t, t + 30 * ${DAY_MS}, NULL FROM batch`,
  `INSERT INTO challenge SELECT id || 'c', id || 'z', 'dns-01', hex(randomblob(22)), 'valid', t, NULL, 1, NULL FROM batch`,
  `INSERT INTO challenge SELECT id || 'd', id || 'z', 'http-01', hex(randomblob(22)), 'pending', NULL, NULL, 0, NULL FROM batch`,
  `INSERT INTO certificate (serial, issuer_id, kind, profile, account_id, order_id, key_id, crl_shard, not_before, not_after, created_at, der, fingerprint)
     SELECT serial, '${issuerId}', 'leaf', 'xmpp-server', 'account' || (i / 20), id, lower(hex(randomblob(32))), i % 16, t, t + 90 * ${DAY_MS}, t, randomblob(700), lower(hex(randomblob(32))) FROM batch`,
  `INSERT INTO "order" (id, account_id, profile, identifiers, created_at, expires_at, claimed_at, csr, certificate_serial)
     SELECT id, 'account' || (i / 20), 'xmpp-server', '[{"type":"dns","value":"' || name || '"}]', t, t + 7 * ${DAY_MS}, t, randomblob(300), serial FROM batch`,
  `INSERT INTO order_authorization SELECT id, id || 'z', 0 FROM batch`,
  `INSERT INTO certificate_name SELECT serial, 'dNSName', name FROM batch`,
  `INSERT INTO certificate_name SELECT serial, 'SRVName', '_xmpp-client.' || name FROM batch`,
  `INSERT INTO certificate_name SELECT serial, 'SRVName', '_xmpp-server.' || name FROM batch`,
  `INSERT INTO certificate_domain SELECT name, t, serial, 1 FROM batch`,
  `INSERT INTO rate_limit SELECT 'certificatesPerExactSet:' || hex(randomblob(22)), 1, t, t + 400 * ${DAY_MS} FROM batch`,
  `INSERT INTO rate_limit SELECT 'certificatesPerDomain:' || name, 1, t, t + 7 * ${DAY_MS} FROM batch WHERE t > ${now} - 7 * ${DAY_MS}`,
  ...['order.created', 'challenge.accepted', 'challenge.validated', 'order.claimed', 'certificate.issued'].map(
    (action) =>
      `INSERT INTO audit (at, actor, action, subject, detail) SELECT t, 'account:' || (i / 20), '${action}', 'order:' || id, '{"identifiers":["' || name || '"]}' FROM batch`,
  ),
]

/**
 * Puts in what `count` certificates leave behind in a CA that is maintained: as old as the oldest orders that are kept, and one day more. Past what the program does:
 * in bulk, and with nothing that a crash could be undone by. The CA is the one that the file has; no other process may use it.
 */
export const fill = (file: string, count: number, now: number): void => {
  const db = new Database(file)
  for (const pragma of ['journal_mode = OFF', 'locking_mode = EXCLUSIVE', 'synchronous = OFF', 'cache_size = -1048576', 'temp_store = MEMORY'])
    db.prepare(`PRAGMA ${pragma}`).all()
  const issuer = db.prepare(`SELECT id FROM issuer WHERE kind = 'intermediate'`).get() as { id: string }
  const statements = statementsFor(issuer.id, now)
  const oldest = now - KEPT_MS - DAY_MS
  db.exec('CREATE TEMP TABLE batch (i INTEGER PRIMARY KEY, t INTEGER, id TEXT, serial TEXT, name TEXT)')
  for (let begin = 0; begin < count; begin += BATCH) {
    const end = Math.min(begin + BATCH, count)
    const time = `${oldest} + i * ${KEPT_MS + DAY_MS} / ${count}`
    db.exec('BEGIN')
    db.exec('DELETE FROM batch')
    db.exec(`INSERT INTO batch WITH RECURSIVE n(i) AS (VALUES (${begin}) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${end})
      SELECT i, ${time}, printf('%012x', ${time}) || lower(hex(randomblob(10))), lower(hex(randomblob(16))), 'n' || i || '.example' FROM n`)
    for (const statement of statements) db.exec(statement)
    db.exec('COMMIT')
  }
  db.prepare('PRAGMA journal_mode = WAL').all()
  db.close()
}
