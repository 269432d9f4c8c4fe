/**
 * Writes the next migration of both engines: the difference between schema.prisma as it is and as it was at a git revision (HEAD by default; `empty`
 * for nothing).
 *
 *     node prisma/new-migration.mjs add-rate-limits
 *     node prisma/new-migration.mjs init empty
 *
 * For PostgreSQL the engine asks a server for its version, so ICA_TEST_POSTGRES_URL must name one (nothing is written there). Read the result before
 * you commit it.
 */
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { PrismaLibSql } from '@prisma/adapter-libsql'
import { PrismaPg } from '@prisma/adapter-pg'
import { postgresqlSchema } from '../src/store/generate.mjs'
import { openSchemaEngine } from './schema-engine.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const [name, since = 'HEAD'] = process.argv.slice(2)
if (!/^[a-z0-9-]+$/.test(name ?? '')) throw new Error('usage: node prisma/new-migration.mjs <name> [<git revision> | empty]')

const now = await readFile(`${here}schema.prisma`, 'utf8')
const before = since === 'empty' ? null : execFileSync('git', ['show', `${since}:prisma/schema.prisma`], { cwd: here, encoding: 'utf8' })

const folder = `${new Date().toISOString().replace(/\D/g, '').slice(0, 14)}_${name}`
const engines = [
  ['sqlite', new PrismaLibSql({ url: ':memory:' }), (schema) => schema],
  ['postgresql', new PrismaPg({ connectionString: process.env.ICA_TEST_POSTGRES_URL ?? 'postgresql://localhost/postgres' }), postgresqlSchema],
]
for (const [provider, adapter, derive] of engines) {
  const engine = await openSchemaEngine(adapter, derive(now))
  const sql = await engine.difference(before === null ? null : derive(before), derive(now))
  await mkdir(`${here}migrations/${provider}/${folder}`, { recursive: true })
  await writeFile(`${here}migrations/${provider}/${folder}/migration.sql`, sql)
  await writeFile(
    `${here}migrations/${provider}/migration_lock.toml`,
    `# Prisma wants to know for which engine these are.\nprovider = "${provider}"\n`,
  )
  process.stdout.write(`prisma/migrations/${provider}/${folder}/migration.sql\n`)
}
