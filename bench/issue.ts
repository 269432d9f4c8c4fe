/**
 * Whole ACME orders per second, this program (every commit synced to disk) beside Pebble (in memory), over HTTPS with one load generator.
 *
 *   npm run bench:issue -- [--rounds 3] [--seconds 3] [--clients 1,8,32] [--modes dns,none] [--pin yes,no] [--servers xmpp-ica,pebble] [--profile]
 *   npm run bench:acme     the same on both databases: --clients 1,16,64 --servers xmpp-ica,xmpp-ica-postgresql,pebble
 *
 * modes  dns: dns-01 against pebble-challtestsrv, the same for both. none: every challenge is found valid without a look at the network.
 * pin    yes: the server on one core, load generator and DNS on another. no: all of them on all cores.
 * Rounds go in turns from one server to the other; the table has their medians. Needs Debian's pebble, openssl and taskset.
 * Pebble can lock itself up under concurrent requests (letsencrypt/pebble#554: Order() read-locks an order twice): it is then started again, the
 * round is repeated, and the table says how often, or "stalled" where it never got through.
 * --servers xmpp-ica,xmpp-ica@/path/of/a/checkout compares two versions of this program.
 * --profile takes a CPU profile of this program instead (32 clients, dns, unless said otherwise), and prints what bench/profile.ts makes of it.
 */
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { availableParallelism, cpus as cpuList } from 'node:os'
import path from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { memoryMiB } from './proc.js'
import { home, pinned, type Running, type StartOptions, startDns, startOurs, startOursOnPostgresql, startPebble } from './servers.js'

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    clients: { type: 'string' },
    modes: { type: 'string' },
    pin: { type: 'string' },
    servers: { type: 'string' },
    profile: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
})
const standard = given.profile
  ? { rounds: '1', seconds: '10', clients: '32', modes: 'dns', pin: 'yes', servers: 'xmpp-ica' }
  : { rounds: '3', seconds: '3', clients: '1,8,32', modes: 'dns,none', pin: 'yes,no', servers: 'xmpp-ica,pebble' }
const values = { ...standard, ...given, keep: given.keep || given.profile }

type Figures = {
  perSecond: number
  requestsPerOrder: number
  p50: number
  p99: number
  serverCpuMs: number
  generatorCpu: number
  longestGapMs: number
  orders: number
  failed: number
  failure: string | null
}

// On the repository's own disk: a temporary folder may be memory, where a sync costs nothing.
const scratch = path.join(home, 'data')
mkdirSync(scratch, { recursive: true })
const folder = mkdtempSync(path.join(scratch, 'bench-'))
const stops: (() => Promise<void>)[] = []
const stopAll = async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
}
const cleanUp = async () => {
  await stopAll()
  if (values.keep) console.log(`\nKept: ${path.relative(home, folder)}`)
  else rmSync(folder, { recursive: true, force: true })
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUp().then(() => process.exit(1)))

class Stalled extends Error {}
const run = promisify(execFile)
const load = async (server: Running, clients: number, mode: string, pin: boolean, txt: string, seconds: string): Promise<Figures> => {
  const script = ['--import', 'tsx', path.join(home, 'bench/load.ts'), '--directory', server.directory, '--ca', server.ca, '--clients', `${clients}`]
  const rest = ['--seconds', seconds, '--mode', mode, '--txt', txt, '--pid', `${server.pid}`]
  const [file, ...line] = pinned(pin ? generatorCpus : null, [process.execPath, ...script, ...rest]) as [string, ...string[]]
  try {
    const { stdout } = await run(file, line, { cwd: home, timeout: 60_000 })
    return JSON.parse(stdout) as Figures
  } catch (error) {
    const { code, stdout, message } = error as { code?: number; stdout?: string; message: string }
    if (code === 3) throw new Stalled(`${server.name} stopped answering: ${stdout}`)
    throw new Error(`the load on ${server.name} failed: ${stdout || message}`)
  }
}

const cores = availableParallelism()
const serverCpus = '0'
const generatorCpus = cores > 1 ? '1' : '0'
const median = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) / 2)] ?? Number.NaN
const of = (list: Figures[], key: 'perSecond' | 'requestsPerOrder' | 'p50' | 'p99' | 'serverCpuMs' | 'generatorCpu') =>
  median(list.map((f) => f[key]))

/** Of five seconds each. */
const warmUps = { least: 5, most: 10 }
/** A round with a longer one is repeated: see {@link measure}. */
const pebbleGapMs = 1000

const starters = { 'xmpp-ica': (o: StartOptions) => startOurs(o), 'xmpp-ica-postgresql': startOursOnPostgresql, pebble: startPebble }
const isStarter = (name: string): name is keyof typeof starters => name in starters
/** `xmpp-ica@/path/of/a/checkout` is that one, built, with the load of this one. */
const starterOf = (name: string): ((options: StartOptions) => Promise<Running>) => {
  const [kind = '', tree] = name.split('@', 2)
  if (!isStarter(kind)) throw new Error(`There is no server "${kind}"; there are ${Object.keys(starters).join(', ')}.`)
  return (options) => starters[kind](tree === undefined ? options : { ...options, tree })
}

const measure = async (mode: string, pin: boolean) => {
  const at = path.join(folder, `${mode}-${pin ? 'pinned' : 'free'}`)
  const dns = await startDns(path.join(at, 'dns'), pin ? generatorCpus : null)
  stops.push(dns.stop)
  type Slot = { start: () => Promise<Running>; running: Running; stalls: number }
  const slots: Slot[] = []
  for (const name of values.servers.split(',')) {
    const starter = starterOf(name)
    let starts = 0
    const start = async () => {
      const options = {
        folder: path.join(at, `${slots.length}-${starts++}`),
        cpus: pin ? serverCpus : null,
        alwaysValid: mode === 'none',
        dns: dns.address,
      }
      const profiled = { ...options, nodeArguments: ['--cpu-prof', `--cpu-prof-dir=${path.join(at, 'profile')}`] }
      const running = await starter(values.profile ? profiled : options)
      stops.push(running.stop)
      return running
    }
    slots.push({ start, running: await start(), stalls: 0 })
  }
  /** Null where the server locked itself up four times running. */
  const measured = async (slot: Slot, clients: number, seconds: string): Promise<Figures | null> => {
    for (let attempt = 0; attempt < 4; attempt++) {
      try {
        const figures = await load(slot.running, clients, mode, pin, dns.management, seconds)
        if (slot.running.name === 'Pebble' && figures.longestGapMs > pebbleGapMs) throw new Stalled('for a while')
        return figures
      } catch (error) {
        if (!(error instanceof Stalled) || slot.running.name !== 'Pebble') throw error
        slot.stalls++
        await slot.running.stop()
        slot.running = await slot.start()
      }
    }
    return null
  }
  /** Node compiles what is hot only after thousands of requests, and goes on for a while: until the CPU time of an order hardly falls any more. */
  const warmUp = async (slot: Slot): Promise<void> => {
    let before = Number.POSITIVE_INFINITY
    for (let round = 0; round < warmUps.most; round++) {
      const now = (await measured(slot, 32, '5'))?.serverCpuMs ?? 0
      if (round >= warmUps.least && now > before * 0.95) return
      before = now
    }
  }
  // Not counted.
  for (const slot of slots) await (slot.running.name === 'Pebble' ? measured(slot, 32, '1') : warmUp(slot))
  console.log(
    `\n### ${mode === 'dns' ? 'dns-01 validation' : 'validation without network'}, ${pin ? `server on core ${serverCpus}, load on core ${generatorCpus}` : 'all cores shared'}\n`,
  )
  console.log('| clients | server | orders/s | beside Pebble | p50 ms | p99 ms | requests/order | server CPU ms/order | generator CPU |')
  console.log('| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
  for (const clients of values.clients.split(',').map(Number)) {
    const figures = new Map<Slot, Figures[]>(slots.map((slot) => [slot, []]))
    for (let round = 0; round < Number(values.rounds); round++) {
      // Turn about, so that what else the machine does meets both.
      for (const slot of round % 2 === 0 ? slots : [...slots].reverse()) {
        const result = await measured(slot, clients, values.seconds)
        if (result) figures.get(slot)?.push(result)
      }
    }
    const pebble = slots.find((slot) => slot.running.name === 'Pebble')
    for (const slot of slots) {
      const list = figures.get(slot) as Figures[]
      if (list.length === 0) {
        console.log(`| ${clients} | ${slot.running.name} | stalled |${' |'.repeat(6)}`)
        continue
      }
      const rate = of(list, 'perSecond')
      const ratio =
        pebble && pebble !== slot && figures.get(pebble)?.length ? `${(rate / of(figures.get(pebble) as Figures[], 'perSecond')).toFixed(2)} ×` : ''
      const [p50, p99, requests] = [of(list, 'p50'), of(list, 'p99'), of(list, 'requestsPerOrder')]
      const cells = [clients, slot.running.name, rate, ratio, p50, p99, requests, of(list, 'serverCpuMs'), of(list, 'generatorCpu')]
      console.log(`| ${cells.join(' | ')} |`)
    }
  }
  const memory = slots.map(({ running }) => `${running.name} ${memoryMiB(running.pid).toFixed(0)} MiB`).join(', ')
  const stalls = slots.filter((slot) => slot.stalls > 0).map((slot) => `; ${slot.running.name} stopped answering ${slot.stalls} times`)
  console.log(`\nMemory at the end: ${memory}${stalls.join('')}`)
  await stopAll()
  if (!values.profile) return
  const profiles = readdirSync(path.join(at, 'profile')).filter((name) => name.endsWith('.cpuprofile'))
  for (const name of profiles) {
    const script = ['--import', 'tsx', path.join(home, 'bench/profile.ts'), path.join(at, 'profile', name)]
    console.log(`\n${execFileSync(process.execPath, script, { cwd: home, encoding: 'utf8' })}`)
  }
}

const disk = execFileSync('stat', ['-f', '-c', '%T', folder], { encoding: 'utf8' }).trim()
console.log(
  `Node ${process.version}, ${cores} cores (${cpuList()[0]?.model.trim()}), data on ${disk}; ${values.rounds} rounds of ${values.seconds} s, medians.`,
)
try {
  for (const pin of values.pin.split(',')) for (const mode of values.modes.split(',')) await measure(mode, pin === 'yes')
} finally {
  await cleanUp()
}
