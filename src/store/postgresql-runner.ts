/**
 * Operations on PostgreSQL, each in a transaction of its own on a pool of connections, with statements that the server prepares once for each connection.
 * A way to the server and back costs more than most statements. So what an operation need not wait for is sent with what follows (pg's pipeline mode), at the best all
 * of it from BEGIN to COMMIT, which also locks things for no longer than the server needs; and what is read in one turn of the event loop is asked of one connection.
 */
import pg from 'pg'
import type { Log } from '../log.js'
import { checkValue, type Must, noOutcome, type Operation, type Outcome, preparedLimit, type Runner, type Statement } from './sql.js'
import { asStoreError, troubleLog, unavailable } from './unavailable.js'

type Queryable = Pick<pg.PoolClient, 'query'>
type Send = (statement: Statement) => Promise<Outcome>
type Job = { operation: Operation<unknown>; resolve(value: unknown): void; reject(error: unknown): void }

/**
 * Serialization failure, deadlock, and a unique key that a transaction running at the same time took: the next attempt sees what the other has done.
 */
const retryable = new Set(['40001', '40P01', '23505'])
const attempts = 5

type Translated = { text: string; name?: string }

/** A statement that fails, and so undoes its transaction, where it changes another number of rows: the next ones may be on their way already. */
const counted = (text: string, change: number): string =>
  `WITH changed AS (${text} RETURNING 1) SELECT 1 / (CASE WHEN count(*) = ${change} THEN 1 ELSE 0 END) FROM changed`
const divisionByZero = '22012'

/** `?` → `$1`, `$2` …; no statement here has a question mark of another meaning. Each text gets a name under which a connection prepares it once. */
const translator = () => {
  const known = new Map<string, Translated>()
  return ({ sql, must }: Statement): Translated => {
    const key = must ? `${must.change} ${sql}` : sql
    const cached = known.get(key)
    if (cached) return cached
    let parameters = 0
    const plain = sql.replaceAll('?', () => `$${++parameters}`)
    const text = must ? counted(plain, must.change) : plain
    if (known.size >= preparedLimit) return { text }
    const translated = { text, name: `ica${known.size}` }
    known.set(key, translated)
    return translated
  }
}

/** Sends what one turn of the event loop has for a connection in one piece. */
const inOnePiece = (client: pg.PoolClient) => {
  const { stream } = client.connection
  let isCorked = false
  const uncork = (): void => {
    isCorked = false
    stream.uncork()
  }
  return <T>(query: () => Promise<T>): Promise<T> => {
    if (!isCorked) {
      isCorked = true
      stream.cork()
      process.nextTick(uncork)
    }
    return query()
  }
}

/** A transaction on its way: statements that are sent without waiting for those before them, and are answered in the same order. */
const createFlight = (client: pg.PoolClient) => {
  const send = inOnePiece(client)
  const answers: Promise<void>[] = []
  let failure: { error: unknown } | undefined
  const failed = (error: unknown): void => {
    failure ??= { error }
  }
  return {
    send<T>(query: () => Promise<T>): Promise<T> {
      const answer = send(query)
      answers.push(answer.then(() => undefined, failed))
      return answer
    },
    /** Waits for all that was sent. Rejects with the first failure: PostgreSQL refuses what comes after it. */
    async land(): Promise<void> {
      await Promise.all(answers)
      if (failure) throw failure.error
    },
  }
}

/** Hands on what comes in one turn of the event loop. */
const createGathering = (serve: (jobs: Job[]) => Promise<void>) => {
  let jobs: Job[] = []
  const go = (): void => {
    const those = jobs
    jobs = []
    void serve(those)
  }
  return <T>(operation: Operation<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (jobs.push({ operation, resolve: resolve as Job['resolve'], reject }) === 1) setImmediate(go)
    })
}

const isTrouble = (error: unknown): boolean => asStoreError(error) !== error

const drive = async <T>(send: Send, operation: Operation<T>): Promise<T> => {
  const steps = operation()
  let step = steps.next()
  while (!step.done) step = steps.next(await send(step.value))
  return step.value
}

export const createPostgresqlRunner = (pool: pg.Pool, log: Log): Runner => {
  const translate = translator()
  const trouble = troubleLog(log)
  let closed: Promise<void> | undefined

  const ask = async (on: Queryable, query: pg.QueryConfig, must: Must | undefined): Promise<Outcome> => {
    try {
      const { rows, rowCount } = await on.query(query)
      return { rows, changes: rowCount ?? 0 }
    } catch (error) {
      throw must && error instanceof pg.DatabaseError && error.code === divisionByZero ? must.error() : error
    }
  }

  /** Throws at once what can't be sent: nothing that follows it may be, either. */
  const run = (on: Queryable, statement: Statement, withinMs?: number): Promise<Outcome> => {
    const { values, must } = statement
    values.forEach(checkValue)
    return ask(on, { ...translate(statement), values, ...(withinMs !== undefined && { query_timeout: withinMs }) }, must)
  }

  /** Lends a connection. One that is in trouble is given up, which undoes what was begun on it; asking it once more could take long. */
  const withConnection = async <T>(use: (client: pg.PoolClient, giveUp: (error: Error) => void) => Promise<T>): Promise<T> => {
    const client = await pool.connect()
    let broken: Error | undefined
    const giveUp = (error: Error) => {
      broken = error
    }
    // A connection that breaks between two statements says so by an event, which would end the process if nobody listened.
    client.on('error', giveUp)
    try {
      return await use(client, giveUp)
    } catch (error) {
      if (isTrouble(error)) giveUp(error as Error)
      throw error
    } finally {
      client.off('error', giveUp)
      client.release(broken)
    }
  }

  /** What `work` sends, as one transaction. */
  const transaction = <T>(work: (flight: ReturnType<typeof createFlight>, client: pg.PoolClient) => Promise<T>): Promise<T> =>
    withConnection(async (client, giveUp) => {
      const flight = createFlight(client)
      let isCommitting = false
      try {
        void flight.send(() => client.query('BEGIN'))
        const value = await work(flight, client)
        isCommitting = true
        const committed = flight.send(() => client.query('COMMIT'))
        await flight.land()
        const { command } = await committed
        if (command !== 'COMMIT') throw new Error(`PostgreSQL answered COMMIT with ${command}`)
        return value
      } catch (error) {
        // What is under way is waited for. Where COMMIT is among it, it undoes the transaction, because something before it has failed.
        await flight.land().catch(() => undefined)
        if (!isCommitting && !isTrouble(error)) await client.query('ROLLBACK').catch(giveUp)
        throw error
      }
    })

  const write = <T>(operation: Operation<T>): Promise<T> =>
    transaction(async (flight, client) => {
      const steps = operation()
      let step = steps.next()
      while (!step.done) {
        const statement = step.value
        const answer = flight.send(() => run(client, statement))
        const isAwaited = statement.want !== 'nothing' && statement.want !== 'lock'
        if (isAwaited) await flight.land()
        step = steps.next(isAwaited ? await answer : noOutcome)
      }
      return step.value
    })

  /** Operations that have nothing to do with each other, of no transaction. */
  const runAll = async (jobs: Job[], send: Send, onTrouble: (error: Error) => void = () => undefined): Promise<void> => {
    const runOne = async ({ operation, resolve, reject }: Job): Promise<void> => {
      try {
        resolve(await drive(send, operation))
      } catch (error) {
        if (isTrouble(error)) onTrouble(error as Error)
        reject(error)
      }
    }
    await Promise.all(jobs.map(runOne))
  }

  /** By any connection, each statement for itself. */
  const onPool =
    (withinMs?: number): Send =>
    (statement) =>
      run(pool as unknown as Queryable, statement, withinMs)

  const gatherReads = createGathering((jobs) =>
    withConnection((client, giveUp) => {
      const send = inOnePiece(client)
      return runAll(jobs, (statement) => send(() => run(client, statement)), giveUp)
    }).catch((error: unknown) => jobs.forEach(({ reject }) => void reject(error))),
  )

  const gatherWrites = createGathering(async (jobs) => {
    if (jobs.length === 1) return runAll(jobs, onPool())
    try {
      const settled = await transaction(async (flight, client) => {
        const send: Send = (statement) => flight.send(() => run(client, statement))
        return { values: Promise.allSettled(jobs.map(({ operation }) => drive(send, operation))) }
      })
      for (const [index, result] of (await settled.values).entries()) {
        if (result.status === 'fulfilled') jobs[index]?.resolve(result.value)
        else jobs[index]?.reject(result.reason)
      }
    } catch (error) {
      if (isTrouble(error)) jobs.forEach(({ reject }) => void reject(error))
      // One of them failed, and all were undone: each for itself.
      else await runAll(jobs, onPool())
    }
  })

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

  // What has a time of its own must not wait behind what has not.
  const read: Runner['read'] = (operation, withinMs) =>
    attempt(() => (withinMs === undefined ? gatherReads(operation) : drive(onPool(withinMs), operation)))

  return {
    engine: 'postgresql',
    read,
    readAccount: (_, operation) => read(operation),
    write: (operation) => attempt(() => write(operation)),
    precede: (operation) => attempt(() => write(operation)),
    writeOne: (operation) => attempt(() => drive(onPool(), operation)),
    writeTogether: (operation) => attempt(() => gatherWrites(operation)),
    close: () => {
      closed ??= pool.end()
      return closed
    },
  }
}
