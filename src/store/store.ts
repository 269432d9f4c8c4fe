/**
 * The database behind functions named for the domain. Every function that writes is one transaction that also writes its audit row, and resolves only
 * when it is durable. A database that can't be reached or can't store anything now (full disk, lost connection, another writer that does not end)
 * rejects with `unavailable`, and works again by itself.
 */
import { resolve } from 'node:path'
import type { Log } from '../log.js'
import type { AuditEntry } from '../model.js'
import { accountStore } from './accounts.js'
import { certificateStore } from './certificates.js'
import { challengeStore } from './challenges.js'
import { confirmationStore } from './confirmations.js'
import { crlStore } from './crls.js'
import { externalAccountStore } from './external-accounts.js'
import { type Charge, limitStore, note } from './limits.js'
import { lookupStore } from './lookups.js'
import { checkMigrated, migrate, readMigrations } from './migrations.js'
import { type NoticeOptions, noticeStore } from './notices.js'
import { orderStore } from './orders.js'
import { outboxStore } from './outbox.js'
import { policyStore } from './policies.js'
import { openPostgresql, readPostgresqlUrl, withMigrationTarget } from './postgresql.js'
import { createPostgresqlRunner } from './postgresql-runner.js'
import { lazyPrisma, listStore, type Prisma, type PrismaTarget } from './prisma.js'
import { pruningStore } from './pruning.js'
import { revocationStore } from './revocations.js'
import { revokingStore } from './revoking.js'
import { record } from './rows.js'
import { change, lock, type Runner, row, type Steps } from './sql.js'
import { openSqlite, openSqliteReadOnly, sqliteMigrationTarget } from './sqlite.js'
import { createSqliteRunner } from './sqlite-runner.js'
import { asStoreError } from './unavailable.js'

export type { CertificateStatus, IssuedSerial } from './certificates.js'
export type { ChallengeInContext, ChallengeResult } from './challenges.js'
export type { Confirmation, Delivery } from './confirmations.js'
export type { CrlFacts, CrlRow, NewCrl } from './crls.js'
export { type Charge, LimitExceeded, type LimitState, levelAt, tolerance } from './limits.js'
export type { CertificateCursor, Totals } from './lookups.js'
export { type ExpiringCertificate, mailboxOf, type NoticeKind, type NoticeOptions, noticeTimes } from './notices.js'
export { type Mail, type MailKind, type NewMail, newMailId } from './outbox.js'
export type { PolicyData } from './policies.js'
export type { PruneBefore, Pruned } from './pruning.js'
export type { RevocationEvent, RevokedEntry } from './revocations.js'
export type { CertificateSelector, RevocationCandidate, RevocationRequest } from './revoking.js'

export type StoreOptions = {
  /** `file:` and a path (relative to the working folder), or `postgresql://…`, where `?schema=` names the schema of the tables. */
  url: string
  log: Log
  /** Nothing is created, migrated or written: for processes that only tell what others have done. */
  readOnly?: boolean
  /** Subscribers are told by mail of what becomes of their certificates. Without: they are not. */
  notices?: NoticeOptions | null
}

export type Store = Awaited<ReturnType<typeof openStore>>

function* listOf(name: string): Steps<string[]> {
  const stored = yield* row<{ value: string }>('SELECT value FROM setting WHERE name = ?', name)
  return stored ? (JSON.parse(stored.value) as string[]) : []
}

/** Small things that belong to no noun. */
const basics = ({ read, write, writeOne }: Runner) => ({
  /** Proof that writing works (for /readyz). Rejects with unavailable. */
  ping: async (): Promise<void> => {
    await writeOne(() => change(`INSERT INTO setting (name, value) VALUES ('ping', '') ON CONFLICT (name) DO UPDATE SET value = excluded.value`))
  },

  /** A named value made once: what is stored, or where nothing is, `make()`, which is stored first. All processes get the same. */
  settingOnce: async (name: string, make: () => string): Promise<string> => {
    const stored = () => row<{ value: string }>('SELECT value FROM setting WHERE name = ?', name)
    const known = await read(stored)
    if (known) return known.value
    const value = make()
    return write(function* () {
      yield* change('INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING', name, value)
      return ((yield* stored()) as { value: string }).value
    })
  },

  /**
   * Puts `value` at the head of the list that is kept under this name, which is cut behind `most`.
   * @returns the list as it was before
   */
  putFirst: (name: string, value: string, most: number): Promise<string[]> =>
    write(function* () {
      yield* lock('SELECT pg_advisory_xact_lock(hashtextextended(?, 2))', name)
      const before = yield* listOf(name)
      const list = JSON.stringify([value, ...before.filter((other) => other !== value)].slice(0, most))
      yield* change('INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value', name, list)
      return before
    }),

  /** What {@link putFirst} has put there. */
  listUnder: (name: string): Promise<string[]> => read(() => listOf(name)),

  /** Adds a row to the append-only audit log, for what changes nothing in the database but limits: `charges` count what failed. */
  audit: (entry: AuditEntry, charges: readonly Charge[] = []): Promise<void> =>
    charges.length === 0
      ? writeOne(() => record(entry))
      : write(function* () {
          yield* record(entry)
          yield* note(charges, entry.at)
        }),
})

const connectSqlite = async (url: string, log: Log, readOnly: boolean): Promise<{ runner: Runner; target: PrismaTarget }> => {
  const file = resolve(url.replace(/^file:(\/\/)?/, ''))
  const db = readOnly ? openSqliteReadOnly(file) : openSqlite(file)
  const target = sqliteMigrationTarget(db)
  try {
    await (readOnly ? checkMigrated(target, readMigrations('sqlite')) : migrate(target, readMigrations('sqlite'), log))
    return { runner: createSqliteRunner(db, log), target: { engine: 'sqlite', file } }
  } catch (error) {
    db.close()
    throw error
  }
}

const connectPostgresql = async (url: string, log: Log, readOnly: boolean): Promise<{ runner: Runner; target: PrismaTarget }> => {
  const address = { ...readPostgresqlUrl(url), readOnly }
  const migrations = readMigrations('postgresql')
  await withMigrationTarget(address, log, (target) => (readOnly ? checkMigrated(target, migrations) : migrate(target, migrations, log)))
  return { runner: createPostgresqlRunner(openPostgresql(address, log), log), target: { engine: 'postgresql', ...address } }
}

/** Every function of the domain, on a way to run operations and one to ask Prisma. */
export const storeOn = (runner: Runner, prisma: Prisma, notices: NoticeOptions | null) => ({
  ...basics(runner),
  ...accountStore(runner),
  ...orderStore(runner),
  ...challengeStore(runner),
  ...certificateStore(runner, notices),
  ...revocationStore(runner),
  ...crlStore(runner),
  ...revokingStore(runner, notices),
  ...outboxStore(runner),
  ...confirmationStore(runner),
  ...noticeStore(runner),
  ...limitStore(runner),
  ...lookupStore(runner),
  ...policyStore(runner),
  ...externalAccountStore(runner),
  ...pruningStore(runner),
  ...listStore(prisma),
})

/** What reads nothing waits for what was written, as every read does. */
function* nothing(): Steps<void> {}

/**
 * Opens the database, creating it and applying migrations where needed. Rejects with `unavailable` where it can't be reached, and with words for the
 * operator where it is of a newer version. Several processes may have the same database open.
 */
export const openStore = async ({ url, log, readOnly = false, notices = null }: StoreOptions) => {
  const connect = url.startsWith('file:') ? connectSqlite : connectPostgresql
  const { runner, target } = await connect(url, log, readOnly).catch((error: unknown) => {
    throw asStoreError(error)
  })
  const prisma = lazyPrisma(target, () => runner.read(nothing))
  return {
    engine: runner.engine,
    ...storeOn(runner, prisma, notices),
    /** Finishes what has begun, then closes the connections; what is asked later rejects with unavailable. */
    close: async (): Promise<void> => {
      await Promise.all([runner.close(), prisma.close()])
    },
  }
}
