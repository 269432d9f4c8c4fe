/**
 * How this folder talks to a database. Every operation of the domain is written once, as a generator that yields SQL statements and is handed their
 * outcomes; `sqlite-runner.ts` runs it synchronously inside a group commit, `postgresql-runner.ts` asynchronously in a transaction of its own. The SQL is what both
 * engines understand (`?` for parameters, RETURNING, ON CONFLICT).
 */

/** What a parameter may be. Booleans are 0 and 1 in SQLite. */
export type Value = string | number | bigint | boolean | null | Uint8Array

/**
 * `rows`: all of them; `row`: at most one is wanted; `changes`: how many rows were inserted, updated or deleted; `nothing`: the operation goes on at once, so that
 * PostgreSQL is sent this statement with those that follow; a failure of it undoes the operation all the same. `lock`: as `nothing`, and on PostgreSQL only.
 */
export type Statement = { sql: string; values: Value[]; want: 'rows' | 'row' | 'changes' | 'nothing' | 'lock'; must?: Must }
/** How many rows a statement has to change; where it changes others, its operation is undone and rejects with `error`. */
export type Must = { change: number; error: () => Error }
export type Outcome = { rows: unknown[]; changes: number }

/** The outcome of what nobody waits for. */
export const noOutcome: Outcome = { rows: [], changes: 0 }

/** A parameter of another type would abort the process (libsql), or be refused when other statements of its transaction are under way (pg). */
export const checkValue = (value: Value): void => {
  if (value === null || value instanceof Uint8Array || ['string', 'number', 'bigint', 'boolean'].includes(typeof value)) return
  throw new TypeError(`a parameter is ${typeof value}`)
}

/** One operation. Called again for another attempt after a rolled-back one, so it must have no effect but its statements. */
export type Operation<T> = () => Steps<T>
export type Steps<T> = Generator<Statement, T, Outcome>

export type Runner = {
  readonly engine: 'sqlite' | 'postgresql'
  /**
   * Runs an operation that only reads. Each statement sees one committed state; two statements may see two. So what must agree is read by one
   * statement. `withinMs`: how long PostgreSQL may take for one of them, where that is less than usual: a connection may be dead without anybody having said so.
   */
  read<T>(operation: Operation<T>, withinMs?: number): Promise<T>
  /**
   * The same for an operation that is asked again and again and reads nothing but rows of the table `account`: what it gave under this key may be given again as long
   * as no row of that table was changed, by whomever. SQLite can tell; PostgreSQL is asked every time.
   */
  readAccount<T>(key: string, operation: Operation<T>): Promise<T>
  /** Runs an operation as one transaction; resolves when it is durable. Throwing inside the operation undoes it. */
  write<T>(operation: Operation<T>): Promise<T>
  /**
   * {@link write} for what leads up to another write of this process and is told to nobody before: resolves when it is committed, so that a process that dies now does
   * not lose it. It is on disk at the latest with what is written next; a power cut before that loses both.
   */
  precede<T>(operation: Operation<T>): Promise<T>
  /** {@link write} for an operation of which only one statement writes: saves PostgreSQL two round trips. */
  writeOne<T>(operation: Operation<T>): Promise<T>
  /** {@link write} for an operation of a single statement that many ask for: those of one moment share a commit. */
  writeTogether<T>(operation: Operation<T>): Promise<T>
  /** Finishes what has begun, refuses what comes later. */
  close(): Promise<void>
}

/** All rows of a query. */
export function* rows<Row>(sql: string, ...values: Value[]): Steps<Row[]> {
  return (yield { sql, values, want: 'rows' }).rows as Row[]
}

/** The first row of a query, or of a change with RETURNING. */
export function* row<Row>(sql: string, ...values: Value[]): Steps<Row | undefined> {
  return (yield { sql, values, want: 'row' }).rows[0] as Row | undefined
}

/** A change; gives the number of rows that it touched. */
export function* change(sql: string, ...values: Value[]): Steps<number> {
  return (yield { sql, values, want: 'changes' }).changes
}

/** A change of which nothing has to be known. */
export function* put(sql: string, ...values: Value[]): Steps<void> {
  yield { sql, values, want: 'nothing' }
}

/** A change of which nothing has to be known but that it happened: it changes one row, or the operation is undone and rejects with `error`. */
export function* must(error: () => Error, sql: string, ...values: Value[]): Steps<void> {
  yield { sql, values, want: 'nothing', must: { change: 1, error } }
}

/** What an operation rejects with where the state of things does not allow it. */
class NotDone extends Error {}
/** For {@link must} in an operation that {@link ifDone} is asked about. */
export const notDone = (): Error => new NotDone('the state does not allow it')

/** True where the operation was done, false where it was undone for {@link notDone}. */
export const ifDone = (done: Promise<void>): Promise<boolean> =>
  done.then(
    () => true,
    (error: unknown) => {
      if (error instanceof NotDone) return false
      throw error
    },
  )

/** A statement that takes a lock until the end of the transaction, on PostgreSQL; SQLite has one writer at a time and skips it. */
export function* lock(sql: string, ...values: Value[]): Steps<void> {
  yield { sql, values, want: 'lock' }
}

/** `INSERT` of any number of rows in as few statements as SQLite's limit on parameters allows. */
export function* insert(table: string, columns: readonly string[], records: readonly Value[][]): Steps<void> {
  const perStatement = 100
  for (let from = 0; from < records.length; from += perStatement) {
    const part = records.slice(from, from + perStatement)
    const tuple = `(${columns.map(() => '?').join(', ')})`
    yield* put(`INSERT INTO "${table}" (${columns.join(', ')}) VALUES ${part.map(() => tuple).join(', ')}`, ...part.flat())
  }
}

/** Drops the first statements' cache entries never; past this many different texts a statement is prepared for one use (lists of unusual length). */
export const preparedLimit = 500
