/** SQLite through libsql: opening a database, and running single statements on it. */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import Database from 'libsql'
import type { MigrationTarget } from './migrations.js'
import { checkValue, noOutcome, type Outcome, preparedLimit, type Statement, type Value } from './sql.js'

export type SqliteDatabase = InstanceType<typeof Database>
type Prepared = ReturnType<SqliteDatabase['prepare']>
/** 16 MiB instead of 2: the inner pages of every index of a large CA. With four times as much, a million certificates are found no faster. */
const cacheSize = 'PRAGMA cache_size = -16384'

/**
 * Opens the database with what a CA's data needs: WAL, so that readers and other processes go on while one writes; synchronous FULL, so that a COMMIT
 * survives a power cut (WAL alone would not promise it); foreign keys on. A new file, and a new folder around it, are for their owner alone; SQLite
 * gives its -wal and -shm files the same mode.
 */
export const openSqlite = (file: string): SqliteDatabase => {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  closeSync(openSync(file, 'a', 0o600))
  const db = new Database(file, { timeout: 5000 } as Database.Options)
  db.exec('PRAGMA journal_mode = WAL')
  db.exec('PRAGMA synchronous = FULL')
  db.exec('PRAGMA foreign_keys = ON')
  db.exec(cacheSize)
  return db
}

/** Opens a database that another process has made, for reading. Nothing is written but what SQLite needs to share it (-shm). */
export const openSqliteReadOnly = (file: string): SqliteDatabase => {
  const db = new Database(`${pathToFileURL(file).href}?mode=ro`, { timeout: 5000 } as Database.Options)
  db.exec(cacheSize)
  return db
}

/**
 * Migrations on the connection. Tables may be rebuilt in them, so foreign keys are off meanwhile and checked at the end
 * (https://sqlite.org/lang_altertable.html#otheralter).
 */
export const sqliteMigrationTarget = (db: SqliteDatabase): MigrationTarget => ({
  engine: 'sqlite',
  script: async (sql) => void db.exec(sql),
  query: async <Row>(sql: string, values: string[] = []) => db.prepare(sql).all(values) as Row[],
  begin: async () => {
    db.exec('PRAGMA foreign_keys = OFF')
    db.exec('BEGIN EXCLUSIVE')
  },
  commit: async () => {
    const violations = db.prepare('PRAGMA foreign_key_check').all([])
    if (violations.length > 0) throw new Error(`the migrated database breaks ${violations.length} foreign keys`)
    db.exec('COMMIT')
    db.exec('PRAGMA foreign_keys = ON')
  },
})

const parameter = (value: Value): string | number | bigint | null | Uint8Array => {
  checkValue(value)
  return typeof value === 'boolean' ? (value ? 1 : 0) : value
}

/** A statement that changes rows of the table `account`. */
const changesAccounts = /\b(INTO|UPDATE|FROM)\s+"?account"?[\s(]/i

/** A row of these columns. libsql makes such objects too, from native code, which takes twice as long. */
const toRow = (columns: readonly string[], values: readonly unknown[]): Record<string, unknown> => {
  const row: Record<string, unknown> = {}
  for (let i = 0; i < columns.length; i++) row[columns[i] as string] = values[i]
  return row
}

/** A function that runs one statement, preparing each text once; before it runs one that may change an account, it says so. */
export const statementRunner = (db: SqliteDatabase, onAccountChange: () => void) => {
  const cache = new Map<string, { prepared: Prepared; columns: string[]; account: boolean }>()
  const prepare = (sql: string) => {
    let known = cache.get(sql)
    if (!known) {
      const prepared = db.prepare(sql)
      const columns = prepared.reader
        ? prepared
            .raw()
            .columns()
            .map(({ name }) => name)
        : []
      known = { prepared, columns, account: changesAccounts.test(sql) && !/^\s*SELECT\b/i.test(sql) }
      if (cache.size < preparedLimit) cache.set(sql, known)
    }
    if (known.account) onAccountChange()
    return known
  }
  return ({ sql, values, want }: Statement): Outcome => {
    if (want === 'lock') return noOutcome
    const parameters = values.map(parameter)
    const { prepared, columns } = prepare(sql)
    if (want === 'changes' || want === 'nothing') return { rows: [], changes: prepared.run(parameters).changes }
    if (want === 'rows') return { rows: prepared.all(parameters).map((row) => toRow(columns, row as unknown[])), changes: 0 }
    const first = prepared.get(parameters)
    return { rows: first === undefined ? [] : [toRow(columns, first as unknown[])], changes: 0 }
  }
}

/** The file of a database. */
export const fileOf = (db: SqliteDatabase): string => (db.prepare('PRAGMA database_list').get([]) as { file: string }).file

/** One state of the database for reads that follow one another with nothing coming in between, so that they take SQLite's locks once instead of each. */
export type Snapshot = {
  /** Begins one where there is none. True where it shows what other connections have committed since the one before: those of other processes; ours only read. */
  open(): boolean
  /** Ends it; it ends by itself when the event loop goes on to something else, which may be news of another process. */
  end(): void
}

/**
 * The snapshots of a connection, one after the other. None may be open when a transaction that writes begins.
 * @param onFailure told of one that could not be ended: what was read is none the worse for it, and the next transaction of the connection rolls it back
 */
export const createSnapshot = (db: SqliteDatabase, onFailure: (error: unknown) => void): Snapshot => {
  const version = db.prepare('PRAGMA data_version')
  let known = -1
  let isOpen = false
  const end = (): void => {
    if (!isOpen) return
    isOpen = false
    try {
      if (db.inTransaction) db.exec('COMMIT')
    } catch (error) {
      onFailure(error)
    }
  }
  // Promises that are settled go on first, then this: before anything else that waits for the event loop.
  const endSoon = () => process.nextTick(end)
  return {
    open() {
      if (isOpen) return false
      if (db.inTransaction) db.exec('ROLLBACK')
      db.exec('BEGIN')
      isOpen = true
      queueMicrotask(endSoon)
      const { data_version: now } = version.get([]) as { data_version: number }
      if (now === known) return false
      known = now
      return true
    },
    end,
  }
}
