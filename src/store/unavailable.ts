/** Which errors of the engines mean "not now", and how they are told. */
import { IcaError } from '../errors.js'
import type { Log } from '../log.js'

/**
 * SQLite result codes that mean "not now": another writer, no space, I/O, read-only or unreachable file (https://sqlite.org/rescode.html). Extended
 * codes begin with these.
 */
const sqlite = /^SQLITE_(BUSY|LOCKED|FULL|IOERR|CANTOPEN|READONLY|PROTOCOL|NOMEM|INTERRUPT)/

/**
 * SQLSTATEs that mean "not now": connection (08), a server that lets this user in no more (28), resources such as disk and connections (53), operator intervention (57), system error (58), a lock
 * not to be had (55P03), a standby (25006), an idle session that was ended (25P03); and what Node says of a socket
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html).
 */
const postgresql = /^(08...|28...|53...|57...|58...|55P03|25006|25P03|E[A-Z]{3,})$/
const postgresqlMessages =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|Cannot use a pool after)/

/** Codes of Prisma's client for a database that can't be reached, is busy or has no connection left. */
const prisma = /^(P1\d\d\d|P2024|P2034|P2037)$/

/** What callers see of a database that can't do its work now. */
export const unavailable = (cause: unknown): IcaError =>
  new IcaError(
    'unavailable',
    'The database can not be reached or can not store anything at the moment. Nothing that was confirmed is lost; try again later.',
    { retryAfter: 30, cause },
  )

/** Turns an engine's passing troubles into `unavailable`; every other error stays what it is. */
export const asStoreError = (error: unknown): unknown => {
  if (error instanceof IcaError || !(error instanceof Error)) return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const passing = sqlite.test(code) || postgresql.test(code) || prisma.test(code) || postgresqlMessages.test(error.message)
  return passing ? unavailable(error) : error
}

/** Says once that the database fails and once that it works again, however many operations meet it in between. */
export const troubleLog = (log: Log) => {
  let failing = false
  return {
    failed(error: unknown): void {
      if (!failing) log.error({ err: error }, 'the database can not be reached or can not store anything; requests are answered with 503')
      failing = true
    },
    worked(): void {
      if (failing) log.info({}, 'the database works again')
      failing = false
    },
  }
}
