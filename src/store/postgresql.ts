/** PostgreSQL through pg: how it is reached, its pool of connections, and its migrations. What runs on them is postgresql-runner.ts. */
import pg from 'pg'
import type { Log } from '../log.js'
import type { MigrationTarget } from './migrations.js'

/** How to reach the tables: what pg is given, and the schema where the URL names one (`?schema=`, as Prisma has it). */
export type PostgresqlAddress = { connectionString: string; schema: string | undefined; readOnly?: boolean }

export const readPostgresqlUrl = (text: string): PostgresqlAddress => {
  const url = new URL(text)
  const schema = url.searchParams.get('schema') ?? undefined
  url.searchParams.delete('schema')
  return { connectionString: url.href, schema }
}

const connection = ({ connectionString, schema, readOnly = false }: PostgresqlAddress) => ({
  connectionString,
  application_name: 'xmpp-ica',
  keepAlive: true,
  connectionTimeoutMillis: 5000,
  options: [
    ...(schema === undefined ? [] : [`-c search_path=${pg.escapeIdentifier(schema).replaceAll(' ', '\\ ')}`]),
    ...(readOnly ? ['-c default_transaction_read_only=on'] : []),
  ].join(' '),
})

/** 64-bit integers are times and counters here and fit a number; everything else as pg has it. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) => (oid === pg.types.builtins.INT8 && format !== 'binary' ? Number : pg.types.getTypeParser(oid, format)),
}

/** Who only reads asks little at a time, and has to know soon that the server went away. */
const timeouts = ({ readOnly }: PostgresqlAddress) =>
  readOnly
    ? { query_timeout: 2500, statement_timeout: 2500, connectionTimeoutMillis: 2500 }
    : { query_timeout: 30_000, statement_timeout: 30_000, lock_timeout: 5000 }

/** The pool of connections. Nothing waits for ever: neither for a lock nor for a server that went away without a word. */
export const openPostgresql = (address: PostgresqlAddress, log: Log): pg.Pool => {
  const pool = new pg.Pool({ ...connection(address), types, max: 20, pipeline: true, ...timeouts(address) })
  pool.on('error', (error) => log.warn({ err: error }, 'a connection to the database was lost'))
  return pool
}

/** Prisma's migration engine takes this very lock, so that neither comes in between the other. */
const migrationLock = 72707369

/** The server's own settings can take back the promise that a COMMIT makes. That is for the operator to decide, knowingly. */
const warnOfLoss = async (client: pg.Client, log: Log): Promise<void> => {
  const { rows } = await client.query(
    `SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'`,
  )
  if (rows.length > 0) log.warn({ off: rows.map(({ name }) => name) }, 'PostgreSQL is set up so that a crash can lose certificates that were issued')
}

/** Lets `use` run migrations on a connection of its own, which may take as long as they need. */
export const withMigrationTarget = async (address: PostgresqlAddress, log: Log, use: (target: MigrationTarget) => Promise<void>): Promise<void> => {
  const client = new pg.Client(connection(address))
  await client.connect()
  try {
    await warnOfLoss(client, log)
    if (address.schema !== undefined && !address.readOnly) await client.query(`CREATE SCHEMA IF NOT EXISTS ${pg.escapeIdentifier(address.schema)}`)
    await use({
      engine: 'postgresql',
      script: async (sql) => void (await client.query(sql)),
      query: async <Row>(sql: string, values: string[] = []) => (await client.query(sql, values)).rows as Row[],
      begin: async () => {
        await client.query('BEGIN')
        await client.query('SELECT pg_advisory_xact_lock($1)', [migrationLock])
      },
      commit: async () => void (await client.query('COMMIT')),
    })
  } finally {
    await client.end()
  }
}
