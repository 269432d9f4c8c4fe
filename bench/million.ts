/**
 * Does the CA stay quick as it grows? Two of them, one with a thousand certificates in its database and one with a million, side by side: whole ACME orders over HTTPS
 * against the program as a user starts it (every commit synced to disk, dns-01 and CAA asked of a DNS server), in turns, so that what else the machine does meets
 * both; then, of each, what OCSP and the pages ask of the store, and one round of the clean-up.
 *
 *     npm run bench:million -- [--steps 1000,1000000] [--clients 1,32] [--rounds 3] [--seconds 5]
 *
 * Needs Debian's pebble (for its DNS server) and about 5 GB in the repository's own folder: a temporary folder may be memory, where a sync costs nothing.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { parseArgs, promisify } from 'node:util'
import Database from 'libsql'
import { createMaintenance } from '../src/issuance/maintenance.js'
import type { Log } from '../src/log.js'
import { openStore } from '../src/store/store.js'
import { fill } from './fill.js'
import { home, type Running, startDns, startOurs } from './servers.js'

const { values: options } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000,1000000' },
    clients: { type: 'string', default: '1,32' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
  },
})

type Figures = { perSecond: number; p50: number; p99: number; serverCpuMs: number; failed: number; failure: string | null }
type Ca = { certificates: number; folder: string; file: string; rows: [name: string, figure: number][] }

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const median = (list: number[]): number => list.toSorted((a, b) => a - b)[Math.floor((list.length - 1) / 2)] as number
const timed = async (call: () => Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await call()
  return performance.now() - began
}
const perSecond = async (count: number, call: () => Promise<unknown>): Promise<number> => {
  const ms = await timed(async () => {
    for (let i = 0; i < count; i++) await call()
  })
  return (count * 1000) / ms
}

const run = promisify(execFile)
const load = async ({ directory, ca, pid }: Running, clients: string, seconds: string, txt: string): Promise<Figures> => {
  const server = ['--directory', directory, '--ca', ca, '--pid', `${pid}`]
  const script = [
    '--import',
    'tsx',
    path.join(home, 'bench/load.ts'),
    ...server,
    '--clients',
    clients,
    '--seconds',
    seconds,
    '--mode',
    'dns',
    '--txt',
    txt,
  ]
  const { stdout } = await run(process.execPath, script, { cwd: home, timeout: 120_000 })
  return JSON.parse(stdout) as Figures
}

const many = (clients: string): string => (clients === '1' ? 'one client' : `${clients} clients`)

/** The rates and the CPU time of an order, of each CA in turns. */
const measureOrders = async (cas: Ca[], servers: Running[], txt: string): Promise<void> => {
  for (const server of servers) await load(server, options.clients.split(',').at(-1) as string, options.seconds, txt) // Not counted: Node compiles what is hot.
  for (const clients of options.clients.split(',')) {
    const found = cas.map((): Figures[] => [])
    for (let round = 0; round < Number(options.rounds); round++)
      for (const [i, server] of servers.entries()) found[i]?.push(await load(server, clients, options.seconds, txt))
    for (const [i, { rows }] of cas.entries()) {
      const of = (key: 'perSecond' | 'p50' | 'p99' | 'serverCpuMs') => median((found[i] as Figures[]).map((figures) => figures[key]))
      rows.push(
        [`${many(clients)}: orders/s`, of('perSecond')],
        [`${many(clients)}: median of an order, ms`, of('p50')],
        [`${many(clients)}: 99 of 100 orders, ms`, of('p99')],
      )
      rows.push([`${many(clients)}: server CPU of an order, ms`, of('serverCpuMs')])
    }
  }
}

/** What OCSP and the pages ask, and one round of the clean-up, with the server ended. */
const measureStore = async ({ certificates, file, rows }: Ca): Promise<void> => {
  const reader = new Database(file)
  const known = reader.prepare('SELECT serial, issuer_id FROM certificate ORDER BY random() LIMIT 2000').all() as {
    serial: string
    issuer_id: string
  }[]
  reader.close()
  const store = await openStore({ url: `file:${file}`, log: silent })
  const some = () => known[Math.floor(Math.random() * known.length)] as (typeof known)[0]
  const domain = () => `n${Math.floor(Math.random() * certificates)}.example`
  const status = () => {
    const { serial, issuer_id } = some()
    return store.certificateStatuses([{ issuerId: issuer_id, serial }])
  }
  rows.push(['OCSP look-ups/s', await perSecond(20_000, status)])
  rows.push(['certificates read/s', await perSecond(5000, () => store.certificateBySerial(some().serial))])
  rows.push(['pages of a domain/s', await perSecond(2000, () => store.certificatesBelow(domain(), null, 51))])
  rows.push(['totals, ms', await timed(() => store.countTotals(Date.now()))])
  let pruned = { orders: 0, authorizations: 0, limits: 0 }
  const ms = await timed(async () => {
    pruned = await createMaintenance(store, silent)(Date.now())
  })
  rows.push(
    ['one round of the clean-up, s', ms / 1000],
    ['orders pruned in it', pruned.orders],
    ['authorizations pruned in it', pruned.authorizations],
    ['limits forgotten in it', pruned.limits],
  )
  await store.close()
  rows.push(['megabytes', statSync(file).size / 1e6])
}

/** Counts as they are, measures in three figures or so. */
const show = (value: number): string =>
  Number.isInteger(value) ? value.toLocaleString('en') : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
const table = (cas: Ca[]): string => {
  const head = ['certificates in the database', ...cas.map(({ certificates }) => certificates.toLocaleString('en'))]
  const lines = (cas[0] as Ca).rows.map(([name], i) => [name, ...cas.map(({ rows }) => show(rows[i]?.[1] ?? Number.NaN))])
  return [head, ['---', ...cas.map(() => '---:')], ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

const scratch = path.join(home, 'data')
mkdirSync(scratch, { recursive: true })
const folder = mkdtempSync(path.join(scratch, 'million-'))
const stops: (() => Promise<void>)[] = []
try {
  const dns = await startDns(path.join(folder, 'dns'), null)
  stops.push(dns.stop)
  const start = (at: string) => startOurs({ folder: at, cpus: null, alwaysValid: false, dns: dns.address })
  const cas = options.steps.split(',').map((step): Ca => {
    const at = path.join(folder, step)
    return { certificates: Number(step), folder: at, file: path.join(at, 'ica.db'), rows: [] }
  })
  const servers: Running[] = []
  for (const ca of cas) {
    await (await start(ca.folder)).stop() // It makes the CA.
    const ms = await timed(async () => fill(ca.file, ca.certificates, Date.now()))
    console.error(`${ca.certificates} certificates, filled in ${(ms / 1000).toFixed(0)} s`)
    await run('sync') // What was filled in goes to the disk before anything is measured.
    const began = performance.now()
    const server = await start(ca.folder)
    ca.rows.push(['start until it answers, s', (performance.now() - began) / 1000])
    servers.push(server)
    stops.push(server.stop)
  }
  await measureOrders(cas, servers, dns.management)
  for (const server of servers) await server.stop()
  for (const ca of cas) await measureStore(ca)
  console.log(table(cas))
} finally {
  for (const stop of stops.reverse()) await stop()
  rmSync(folder, { recursive: true, force: true })
}
