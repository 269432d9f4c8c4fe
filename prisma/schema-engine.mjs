/**
 * Prisma's schema engine in its WebAssembly form: needs no download, works through the adapters that the program has anyway. For making migrations
 * and for judging them in tests.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg'

/** Every table is the schema's. */
const filters = { externalTables: [], externalEnums: [] }

const stateOf = (schema) => (schema === null ? { tag: 'empty' } : { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schema }] })

/** Once for the process: the bindings keep one instance. */
let loaded
const load = async () => {
  const wasm = await readFile(fileURLToPath(import.meta.resolve('@prisma/schema-engine-wasm/schema_engine_bg')).replace(/\.js$/, '.wasm'))
  const { instance } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': bindings })
  bindings.__wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start()
}

/**
 * The engine on an adapter of @prisma/adapter-*.
 *
 * - `difference(from, to)`: the SQL that leads from one schema (null: nothing) to another
 * - `applyMigrations(provider, migrations)`: applies `{ name, sql }[]` as `prisma migrate deploy` would; gives the names of those that were missing
 */
export const openSchemaEngine = async (adapterFactory, schema) => {
  loaded ??= load()
  await loaded
  const engine = await bindings.SchemaEngine.new(
    { datamodels: [['schema.prisma', schema]] },
    () => {},
    bindMigrationAwareSqlAdapterFactory(adapterFactory),
  )
  return {
    async difference(from, to) {
      return (await engine.diff({ from: stateOf(from), to: stateOf(to), script: true, exitCode: null, filters })).stdout
    },
    async applyMigrations(provider, migrations) {
      const lockfile = { path: 'migration_lock.toml', content: `provider = "${provider}"\n` }
      const migrationDirectories = migrations.map(({ name, sql }) => ({
        path: name,
        migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: sql } },
      }))
      const migrationsList = { baseDir: '', shadowDbInitScript: '', lockfile, migrationDirectories }
      return (await engine.applyMigrations({ filters, migrationsList })).appliedMigrationNames
    },
  }
}
