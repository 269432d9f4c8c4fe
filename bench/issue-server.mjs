/**
 * The whole program as it was built (dist), with validators that find everything valid and domains without CAA records, without a look at the network: what Pebble
 * calls PEBBLE_VA_ALWAYS_VALID. The program itself has no such switch. Plain JavaScript, because what compiles TypeScript on the way wraps every function.
 */
import 'reflect-metadata'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildCa } from '../dist/build.js'
import { openCore, openLogging, readConfig } from '../dist/open.js'
import { startCa } from '../dist/running.js'
import { version } from '../dist/version.js'

const config = readConfig()
const core = await openCore(config, openLogging(config), { create: true, actor: 'system', purpose: 'bench' })
const ca = buildCa(core, version)
Object.assign(ca.ica, {
  validators: ca.ica.validators.map((validator) => ({ ...validator, validate: async () => ({ ok: true, evidence: { bench: true } }) })),
  lookUpCaa: async () => ({ kind: 'none', reason: 'NODATA' }),
})
const running = await startCa(core, ca, path.join(path.dirname(fileURLToPath(import.meta.url)), '../dist/web'))
process.once('SIGTERM', () => void running.stop().then(() => process.exit(0)))
