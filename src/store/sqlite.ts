/**
 * SQLite through libsql (synchronous, one connection). Operations that arrive in the same turn of the event loop share one transaction and so one
 * fsync; 32 callers at once write eight times what one does. Nobody is answered before the COMMIT that covers what was asked.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import Database from 'libsql'
import type { Log } from '../log.js'
import type { MigrationTarget } from './migrations.js'
import { type Operation, type Outcome, preparedLimit, type Runner, type Statement, type Value } from './sql.js'
import { asStoreError, troubleLog, unavailable } from './unavailable.js'

export type SqliteDatabase = InstanceType<typeof Database>
type Prepared = ReturnType<SqliteDatabase['prepare']>
type Job = { operation: Operation<unknown>; resolve(value: unknown): void; reject(error: unknown): void }

/**
 * How long another process may hold the write lock: tries × pause = 5 s. SQLite's own waiting would stop the event loop, so it gets only a small part
 * of that.
 */
const busy = { timeoutMs: 20, pauseMs: 30, tries: 100 }

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
  // 64 MiB instead of 2: the inner pages of every index of a large CA.
  db.exec('PRAGMA cache_size = -65536')
  return db
}

/** Opens a database that another process has made, for reading. Nothing is written but what SQLite needs to share it (-shm). */
export const openSqliteReadOnly = (file: string): SqliteDatabase => {
  const db = new Database(`${pathToFileURL(file).href}?mode=ro`, { timeout: 5000 } as Database.Options)
  db.exec('PRAGMA cache_size = -65536')
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

/** libsql aborts the process on a parameter of a type that it does not know: never let one through. */
const parameter = (value: Value): string | number | bigint | null | Uint8Array => {
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint' || value === null || value instanceof Uint8Array)
    return value
  throw new TypeError(`a parameter is ${typeof value}`)
}

/** A function that runs one statement, preparing each text once. */
const statementRunner = (db: SqliteDatabase) => {
  const cache = new Map<string, Prepared>()
  const prepare = (sql: string): Prepared => {
    const known = cache.get(sql)
    if (known) return known
    const prepared = db.prepare(sql)
    if (cache.size < preparedLimit) cache.set(sql, prepared)
    return prepared
  }
  return ({ sql, values, want }: Statement): Outcome => {
    if (want === 'lock') return { rows: [], changes: 0 }
    const parameters = values.map(parameter)
    if (want === 'changes') return { rows: [], changes: prepare(sql).run(parameters).changes }
    if (want === 'rows') return { rows: prepare(sql).all(parameters), changes: 0 }
    const first = prepare(sql).get(parameters)
    return { rows: first === undefined ? [] : [first], changes: 0 }
  }
}

/** The one writer of this process on `db`, which it closes in the end. */
export const createSqliteRunner = (db: SqliteDatabase, log: Log): Runner => {
  db.exec(`PRAGMA busy_timeout = ${busy.timeoutMs}`)
  const run = statementRunner(db)
  const trouble = troubleLog(log)
  let queue: Job[] = []
  let busyTries = 0
  let scheduled = false
  let closed: Promise<void> | undefined
  let drained = () => {}

  const drive = <T>(operation: Operation<T>): T => {
    const steps = operation()
    let step = steps.next()
    while (!step.done) step = steps.next(run(step.value))
    return step.value
  }

  /**
   * Runs the jobs in one transaction and says what each came to; throws where the transaction as a whole failed. Without savepoints, which cost a
   * quarter more, the first error throws too: the caller then repeats the group with them, and an operation that fails undoes only itself.
   */
  const transaction = (jobs: Job[], savepoints: boolean): (() => void)[] => {
    const answers: (() => void)[] = []
    try {
      for (const job of jobs) {
        if (savepoints) db.exec('SAVEPOINT operation')
        try {
          const value = drive(job.operation)
          answers.push(() => job.resolve(value))
        } catch (error) {
          // After some errors, such as a full disk, SQLite has already rolled everything back.
          if (!savepoints || !db.inTransaction) throw error
          db.exec('ROLLBACK TO operation')
          answers.push(() => job.reject(asStoreError(error)))
        }
        if (savepoints) db.exec('RELEASE operation')
      }
      db.exec('COMMIT')
      return answers
    } catch (error) {
      if (db.inTransaction) db.exec('ROLLBACK')
      throw error
    }
  }

  const begin = () => {
    if (db.inTransaction) db.exec('ROLLBACK')
    db.exec('BEGIN IMMEDIATE')
  }

  const commitGroup = (jobs: Job[]): (() => void)[] => {
    try {
      return transaction(jobs, false)
    } catch (error) {
      log.debug({ err: error, operations: jobs.length }, 'a group commit failed; repeating it operation by operation')
    }
    begin()
    return transaction(jobs, true)
  }

  const flush = () => {
    scheduled = false
    const jobs = queue
    queue = []
    let answers: (() => void)[]
    try {
      begin()
      answers = commitGroup(jobs)
      trouble.worked()
    } catch (error) {
      if (isBusy(error) && ++busyTries < busy.tries) {
        queue = jobs.concat(queue)
        scheduled = true
        setTimeout(flush, busy.pauseMs)
        return
      }
      trouble.failed(error)
      const failure = unavailable(error)
      answers = jobs.map((job) => () => job.reject(failure))
    }
    busyTries = 0
    for (const answer of answers) answer()
    if (queue.length === 0) drained()
  }

  const write = <T>(operation: Operation<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (closed) return reject(unavailable(new Error('the store is closed')))
      queue.push({ operation, resolve: resolve as Job['resolve'], reject })
      // setImmediate runs after every callback of this turn: whatever they write goes into the same transaction.
      if (!scheduled) setImmediate(flush)
      scheduled = true
    })

  return {
    engine: 'sqlite',
    read: async (operation) => {
      if (closed) throw unavailable(new Error('the store is closed'))
      try {
        return drive(operation)
      } catch (error) {
        throw asStoreError(error)
      }
    },
    write,
    writeOne: write,
    close: () => {
      closed ??= new Promise<void>((resolve) => {
        drained = resolve
        if (!scheduled) resolve()
      }).then(() => void db.close())
      return closed
    },
  }
}

const isBusy = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('SQLITE_BUSY')
