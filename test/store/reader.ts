/** A PostgreSQL role that may read a database and nothing else, as docs/operations.md has it for status processes. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'

export type Reader = {
  url: string
  /** Lets it in, or throws it out and keeps it out: to it the database is gone. */
  admit(isAdmitted: boolean): Promise<void>
  /** Call it when the database is dropped. */
  drop(): Promise<void>
}

/** @param url a database that has its tables, as a user who may make roles */
export const createReader = async (url: string): Promise<Reader> => {
  const role = `ica_reader_${randomBytes(6).toString('hex')}`
  const password = randomBytes(12).toString('hex')
  const administer = async (database: string, ...statements: string[]): Promise<void> => {
    const client = new pg.Client({ connectionString: database })
    await client.connect()
    try {
      for (const statement of statements) await client.query(statement)
    } finally {
      await client.end()
    }
  }
  const elsewhere = new URL(url)
  elsewhere.pathname = '/postgres'
  await administer(
    url,
    `CREATE ROLE ${role} LOGIN PASSWORD '${password}'`,
    `GRANT USAGE ON SCHEMA public TO ${role}`,
    `GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`,
  )
  const own = new URL(url)
  own.username = role
  own.password = password
  return {
    url: own.href,
    admit: (isAdmitted) =>
      isAdmitted
        ? administer(elsewhere.href, `ALTER ROLE ${role} LOGIN`)
        : administer(
            elsewhere.href,
            `ALTER ROLE ${role} NOLOGIN`,
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`,
          ),
    drop: () => administer(elsewhere.href, `DROP ROLE ${role}`),
  }
}
