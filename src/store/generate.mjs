/**
 * Build step: derives the PostgreSQL schema from the SQLite one and generates both Prisma clients. Plain JavaScript, because it runs before anything
 * is compiled.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const prismaFolder = fileURLToPath(new URL('../../prisma/', import.meta.url))
const generatedFolder = fileURLToPath(new URL('./generated/', import.meta.url))
const require = createRequire(import.meta.url)

/**
 * The PostgreSQL schema for a SQLite one. Counters become 64 bits wide, which SQLite's are already.
 * @param {string} sqlite
 * @returns {string}
 */
export const postgresqlSchema = (sqlite) =>
  `// Derived from schema.prisma by src/store/generate.mjs; not to be edited.\n${sqlite
    .replace('provider = "sqlite"', 'provider = "postgresql"')
    .replace('generated/sqlite"', 'generated/postgresql"')
    .replace(/\bInt( +@id @default\(autoincrement\(\)\))/g, 'BigInt$1')}`

/** @param {string} schemaFile */
const prismaGenerate = (schemaFile) =>
  new Promise((resolve, reject) => {
    const cli = join(dirname(require.resolve('prisma/package.json')), 'build/index.js')
    // `generate` runs no schema engine but looks for one, and would download it: any executable satisfies it.
    const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1', PRISMA_HIDE_UPDATE_MESSAGE: '1' }
    const child = spawn(process.execPath, [cli, 'generate', '--schema', schemaFile, '--no-hints'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve(undefined) : reject(new Error(`prisma generate failed for ${schemaFile}:\n${output}`))))
  })

/**
 * Generates both clients into `generated/`, unless they are there already for this very schema and version of Prisma.
 * @returns {Promise<boolean>} whether anything had to be done
 */
export async function generateClients() {
  const schema = await readFile(join(prismaFolder, 'schema.prisma'), 'utf8')
  const stampFile = join(generatedFolder, 'stamp')
  const stamp = createHash('sha256')
    .update(`${require('prisma/package.json').version}\n${postgresqlSchema(schema)}`)
    .digest('hex')
  if ((await readFile(stampFile, 'utf8').catch(() => '')) === stamp) return false
  // What is there stays until Prisma replaces it: another process may just be loading it.
  await mkdir(generatedFolder, { recursive: true })
  await rm(stampFile, { force: true })
  await writeFile(join(prismaFolder, 'postgresql.prisma'), postgresqlSchema(schema))
  await Promise.all(['schema.prisma', 'postgresql.prisma'].map((name) => prismaGenerate(join(prismaFolder, name))))
  await writeFile(stampFile, stamp)
  return true
}
