/**
 * The whole program, with validators that find everything valid and domains without CAA records, without a look at the network: what Pebble calls
 * PEBBLE_VA_ALWAYS_VALID. The program itself has no such switch.
 */
import 'reflect-metadata'
import path from 'node:path'
import { buildCa } from '../src/build.js'
import { openCore, openLogging, readConfig, version } from '../src/open.js'
import { startCa } from '../src/running.js'
import type { ValidationResult } from '../src/validation/validator.js'
import { home } from './servers.js'

const config = readConfig()
const core = await openCore(config, openLogging(config), { create: true, actor: 'system', purpose: 'bench' })
const ca = buildCa(core, version)
const valid: ValidationResult = { ok: true, evidence: { bench: true } }
Object.assign(ca.ica, {
  validators: ca.ica.validators.map((validator) => ({ ...validator, validate: async () => valid })),
  lookUpCaa: async () => ({ kind: 'none', reason: 'NODATA' }),
})
const running = await startCa(core, ca, path.join(home, 'dist/web'))
process.once('SIGTERM', () => void running.stop().then(() => process.exit(0)))
