/**
 * PostgreSQL through pg: each operation in a transaction of its own on a pool of connections, with statements that the server prepares once for each
 * connection.
 */
import pg from 'pg'
import type { Log } from '../log.js'
import type { MigrationTarget } from './migrations.js'
import { type Operation, type Outcome, preparedLimit, type Runner, type Statement } from './sql.js'
import { asStoreError, troubleLog, unavailable } from './unavailable.js'

type Queryable = Pick<pg.PoolClient, 'query'>

/**
 * Serialization failure, deadlock, and a unique key that a transaction running at the same time took: the next attempt sees what the other has done.
 */
const retryable = new Set(['40001', '40P01', '23505'])
const attempts = 5

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
  const pool = new pg.Pool({ ...connection(address), types, max: 20, ...timeouts(address) })
  pool.on('error', (error) => log.warn({ err: error }, 'a connection to the database was lost'))
  return pool
}

/** `?` → `$1`, `$2` …; no statement here has a question mark of another meaning. Each text gets a name under which a connection prepares it once. */
const translator = () => {
  const known = new Map<string, { text: string; name?: string }>()
  return (sql: string): { text: string; name?: string } => {
    const cached = known.get(sql)
    if (cached) return cached
    let parameters = 0
    const text = sql.replaceAll('?', () => `$${++parameters}`)
    if (known.size >= preparedLimit) return { text }
    const translated = { text, name: `ica${known.size}` }
    known.set(sql, translated)
    return translated
  }
}

export const createPostgresqlRunner = (pool: pg.Pool, log: Log): Runner => {
  const translate = translator()
  const trouble = troubleLog(log)
  let closed: Promise<void> | undefined

  const run = async (on: Queryable, { sql, values }: Statement, withinMs?: number): Promise<Outcome> => {
    const { rows, rowCount } = await on.query({ ...translate(sql), values, ...(withinMs !== undefined && { query_timeout: withinMs }) })
    return { rows, changes: rowCount ?? 0 }
  }

  const drive = async <T>(on: Queryable, operation: Operation<T>, withinMs?: number): Promise<T> => {
    const steps = operation()
    let step = steps.next()
    while (!step.done) step = steps.next(await run(on, step.value, withinMs))
    return step.value
  }

  const transaction = async <T>(operation: Operation<T>): Promise<T> => {
    const client = await pool.connect()
    let broken: Error | undefined
    // A connection that breaks between two statements says so by an event, which would end the process if nobody listened.
    const onError = (error: Error) => {
      broken = error
    }
    client.on('error', onError)
    try {
      await client.query('BEGIN')
      const value = await drive(client, operation)
      await client.query('COMMIT')
      return value
    } catch (error) {
      // A connection that is in trouble is given up, which undoes the transaction too; asking it once more could take long.
      if (asStoreError(error) !== error) broken = error as Error
      else await client.query('ROLLBACK').catch(onError)
      throw error
    } finally {
      client.off('error', onError)
      client.release(broken)
    }
  }

  const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
    for (let tried = 1; ; tried++) {
      if (closed) throw unavailable(new Error('the store is closed'))
      try {
        const value = await work()
        trouble.worked()
        return value
      } catch (error) {
        const again = error instanceof pg.DatabaseError && retryable.has(error.code ?? '') && tried < attempts
        if (!again) {
          const failure = asStoreError(error)
          if (failure !== error) trouble.failed(error)
          throw failure
        }
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 10 * tried))
      }
    }
  }

  const read: Runner['read'] = (operation, withinMs) => attempt(() => drive(pool as unknown as Queryable, operation, withinMs))

  return {
    engine: 'postgresql',
    read,
    readAccount: (_, operation) => read(operation),
    write: (operation) => attempt(() => transaction(operation)),
    precede: (operation) => attempt(() => transaction(operation)),
    writeOne: (operation) => attempt(() => drive(pool as unknown as Queryable, operation)),
    close: () => {
      closed ??= pool.end()
      return closed
    },
  }
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
