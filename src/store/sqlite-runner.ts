/**
 * Operations on SQLite, by one connection. Those that arrive in the same turn of the event loop, or while the disk is busy with those before them, share one
 * transaction and so one sync. Nobody is answered before what was written, or read, is on disk.
 */
import type { Log } from '../log.js'
import type { Operation, Runner } from './sql.js'
import { createSnapshot, fileOf, type SqliteDatabase, statementRunner } from './sqlite.js'
import { asStoreError, troubleLog, unavailable } from './unavailable.js'
import { createWalSync, type Sync } from './wal-sync.js'

/** `early`: it need not wait for the disk. */
type Job = { operation: Operation<unknown>; early: boolean; resolve(value: unknown): void; reject(error: unknown): void }

/**
 * How long another process may hold the write lock: tries × pause = 5 s. SQLite's own waiting would stop the event loop, so it gets only a small part
 * of that.
 */
const busy = { timeoutMs: 20, pauseMs: 30, tries: 100 }

/** About 1 KB each. */
const accountsKept = 10_000

/** An operation was refused by its first statement, so that there is nothing to undo. */
class Refused extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause })
  }
}

/** The one writer of this process on `db`, which it closes in the end. `syncFile` is for tests. */
export const createSqliteRunner = (db: SqliteDatabase, log: Log, syncFile?: Sync): Runner => {
  db.exec(`PRAGMA busy_timeout = ${busy.timeoutMs}`)
  // From here on a COMMIT is durable only after `wal.sync()`, see there.
  db.exec('PRAGMA synchronous = NORMAL')
  // 8 MiB instead of 4: the log goes into the database while everything else waits, some 40 ms (with 32 MiB 90), and pages that change often go there once.
  db.exec('PRAGMA wal_autocheckpoint = 2048')
  const wal = createWalSync(fileOf(db), syncFile)
  const snapshot = createSnapshot(db, (err) => log.warn({ err }, 'a read transaction could not be ended; the next one undoes it'))
  const accounts = new Map<string, unknown>()
  const run = statementRunner(db, () => accounts.clear())
  const trouble = troubleLog(log)
  let queue: Job[] = []
  let busyTries = 0
  /** Something is being written: what comes meanwhile waits in the queue. */
  let working = false
  /** Something is committed that no sync has begun after. */
  let unsynced = false
  let closed: Promise<void> | undefined
  let drained = () => {}

  const drive = <T>(operation: Operation<T>): T => {
    const steps = operation()
    let untouched = true
    let step = steps.next()
    while (!step.done) {
      const { want, must } = step.value
      const outcome = run(step.value)
      if (must && outcome.changes !== must.change) throw untouched && outcome.changes === 0 ? new Refused(must.error()) : must.error()
      if (want !== 'lock') untouched = false
      step = steps.next(outcome)
    }
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
          if (error instanceof Refused) answers.push(() => job.reject(error.cause))
          else {
            // After some errors, such as a full disk, SQLite has already rolled everything back.
            if (!savepoints || !db.inTransaction) throw error
            db.exec('ROLLBACK TO operation')
            answers.push(() => job.reject(asStoreError(error)))
          }
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
    snapshot.end()
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

  const fail = (jobs: Job[], error: unknown): void => {
    trouble.failed(error)
    const failure = unavailable(error)
    for (const job of jobs) job.reject(failure)
  }

  /** Goes on with what came meanwhile. */
  const next = (): void => {
    working = queue.length > 0
    if (working) schedule()
    else drained()
  }

  /** Syncs all that is committed by now. */
  const sync = (): Promise<void> => {
    unsynced = false
    return wal.sync()
  }

  /** Tells everybody once the transaction that is committed is on disk; those at once that need not wait. */
  const settle = async (jobs: Job[], answers: (() => void)[]): Promise<void> => {
    const late = jobs.filter((job) => !job.early)
    const answer = (early: boolean) => jobs.forEach((job, index) => void (job.early === early && answers[index]?.()))
    unsynced = true
    answer(true)
    try {
      if (late.length > 0) await sync()
      trouble.worked()
      answer(false)
    } catch (error) {
      log.error({ err: error }, 'the disk did not keep what was written. Look after it, then restart: until then nothing is written or read any more')
      fail(late, error)
    }
    next()
  }

  const flush = () => {
    const jobs = queue
    queue = []
    try {
      const broken = wal.failure()
      if (broken) throw broken
      begin()
      void settle(jobs, commitGroup(jobs))
    } catch (error) {
      if (isBusy(error) && ++busyTries < busy.tries) {
        queue = jobs.concat(queue)
        setTimeout(flush, busy.pauseMs)
        return
      }
      fail(jobs, error)
      next()
    }
    busyTries = 0
  }

  // setImmediate runs after every callback of this turn: whatever they write goes into the same transaction.
  const schedule = () => void setImmediate(flush)

  const enqueue = <T>(operation: Operation<T>, early: boolean): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (closed) return reject(unavailable(new Error('the store is closed')))
      queue.push({ operation, early, resolve: resolve as Job['resolve'], reject })
      if (!working) schedule()
      working = true
    })

  const remember = (key: string, value: unknown): void => {
    if (accounts.size >= accountsKept) accounts.clear()
    accounts.set(key, Object.freeze(value))
  }

  /** What was read may be on its way to the disk only, from here or from another process. `key`: of what is read from `accounts` where it is there. */
  const read = async <T>(operation: Operation<T>, key?: string): Promise<T> => {
    if (closed) throw unavailable(new Error('the store is closed'))
    let value: T
    let durable: Promise<void> | undefined
    try {
      if (snapshot.open()) {
        accounts.clear()
        unsynced = true
      }
      const known = key === undefined ? undefined : (accounts.get(key) as T | undefined)
      value = known ?? drive(operation)
      durable = unsynced ? sync() : wal.pending()
      if (key !== undefined && known === undefined && value !== null) remember(key, value)
    } catch (error) {
      snapshot.end()
      throw asStoreError(error)
    }
    if (durable)
      await durable.catch((error: unknown) => {
        throw unavailable(error)
      })
    return value
  }

  return {
    engine: 'sqlite',
    read: (operation) => read(operation),
    readAccount: (key, operation) => read(operation, key),
    write: (operation) => enqueue(operation, false),
    writeOne: (operation) => enqueue(operation, false),
    writeTogether: (operation) => enqueue(operation, false),
    precede: (operation) => enqueue(operation, true),
    close: () => {
      closed ??= new Promise<void>((resolve) => {
        drained = resolve
        if (!working) resolve()
      })
        .then(() => {
          snapshot.end()
          return wal.close()
        })
        .then(() => void db.close())
      return closed
    },
  }
}

const isBusy = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('SQLITE_BUSY')
