/**
 * Brings a database to the schema of this program: Prisma's migrations with Prisma's bookkeeping (`_prisma_migrations`, so that `prisma migrate
 * status` agrees), but what a start applies is one transaction, bookkeeping included. Prisma's own engine applies a script statement by statement,
 * and a crash in between would leave half a schema.
 */
import { createHash, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { IcaError } from '../errors.js'
import type { Log } from '../log.js'

export type Migration = { name: string; sql: string; checksum: string }
type AppliedRow = { migration_name: string; checksum: string; done: boolean | number }

/** The few things that applying migrations needs of an engine. All of them run on one connection. */
export type MigrationTarget = {
  engine: 'sqlite' | 'postgresql'
  /** Runs a statement or a script. */
  script(sql: string): Promise<void>
  query<Row>(sql: string, values?: string[]): Promise<Row[]>
  /** Begins a transaction that no other process can be in at the same time. */
  begin(): Promise<void>
  commit(): Promise<void>
}

/** As Prisma makes it, for both engines. */
const bookkeeping = `CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
  "id" VARCHAR(36) PRIMARY KEY NOT NULL,
  "checksum" VARCHAR(64) NOT NULL,
  "finished_at" TIMESTAMP_TYPE,
  "migration_name" VARCHAR(255) NOT NULL,
  "logs" TEXT,
  "rolled_back_at" TIMESTAMP_TYPE,
  "started_at" TIMESTAMP_TYPE NOT NULL DEFAULT NOW_EXPRESSION,
  "applied_steps_count" INTEGER NOT NULL DEFAULT 0
)`
const dialects = {
  sqlite: {
    type: 'DATETIME',
    now: 'current_timestamp',
    exists: `SELECT name FROM sqlite_master WHERE type = 'table' AND name = '_prisma_migrations'`,
    parameters: '?, ?, ?',
  },
  postgresql: {
    type: 'TIMESTAMPTZ',
    now: 'now()',
    exists: `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename = '_prisma_migrations'`,
    parameters: '$1, $2, $3',
  },
}

/** The migrations that came with this program, oldest first. */
export const readMigrations = (engine: 'sqlite' | 'postgresql'): Migration[] => {
  const folder = new URL(`../../prisma/migrations/${engine}/`, import.meta.url)
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ name, content: readFileSync(new URL(`${name}/migration.sql`, folder)) }))
    .map(({ name, content }) => ({ name, sql: content.toString('utf8'), checksum: createHash('sha256').update(content).digest('hex') }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** What is missing; throws where the database is not one that this program can go on with. */
const pending = async (target: MigrationTarget, migrations: readonly Migration[]): Promise<Migration[]> => {
  if ((await target.query(dialects[target.engine].exists)).length === 0) return [...migrations]
  const applied = await target.query<AppliedRow>(
    'SELECT migration_name, checksum, finished_at IS NOT NULL AS done FROM "_prisma_migrations" WHERE rolled_back_at IS NULL ORDER BY migration_name',
  )
  const known = new Map(migrations.map((migration) => [migration.name, migration]))
  for (const { migration_name: name, checksum, done } of applied) {
    const migration = known.get(name)
    const refusal = !migration
      ? `has the migration "${name}", which this version of xmpp-ica does not know: a newer version has used it. Start that version, or restore a backup from before`
      : !done
        ? `has the migration "${name}" half applied by another tool. Restore a backup, or finish it with Prisma's tools`
        : checksum !== migration.checksum
          ? `was made with another text of the migration "${name}" than this version of xmpp-ica has. Use the version that made it`
          : undefined
    if (refusal) throw new IcaError('serverInternal', `The database ${refusal}.`)
    known.delete(name)
  }
  return [...known.values()]
}

const apply = async (target: MigrationTarget, migrations: readonly Migration[]): Promise<void> => {
  const { type, now, parameters } = dialects[target.engine]
  await target.script(bookkeeping.replaceAll('TIMESTAMP_TYPE', type).replace('NOW_EXPRESSION', now))
  for (const { name, sql, checksum } of migrations) {
    await target.script(sql)
    await target.query(
      `INSERT INTO "_prisma_migrations" (id, checksum, migration_name, finished_at, applied_steps_count) VALUES (${parameters}, ${now}, 1)`,
      [randomUUID(), checksum, name],
    )
  }
}

/** Throws, with the reason in words, unless a database is as this program needs it; changes nothing. */
export const checkMigrated = async (target: MigrationTarget, migrations: readonly Migration[]): Promise<void> => {
  const missing = await pending(target, migrations)
  if (missing.length > 0)
    throw new IcaError('serverInternal', `The database lacks ${missing.length} migrations, which the main process applies when it starts.`)
}

/**
 * Applies what is missing, all or nothing; two processes that start at once take turns. Where nothing is missing this is two reads.
 * Throws, with the reason in words, for a database of a newer version or one that something else has changed.
 */
export const migrate = async (target: MigrationTarget, migrations: readonly Migration[], log: Log): Promise<void> => {
  if ((await pending(target, migrations)).length === 0) return
  await target.begin()
  try {
    // Another process may have been first.
    const missing = await pending(target, migrations)
    if (missing.length > 0) await apply(target, missing)
    await target.commit()
    if (missing.length > 0) log.info({ migrations: missing.map(({ name }) => name) }, 'the database schema was brought up to date')
  } catch (error) {
    // Where even this fails the connection is closed next, which undoes the rest.
    await target.script('ROLLBACK').catch(() => {})
    throw error
  }
}
