/**
 * OCSP answers per second: the status side of this program beside openssl ocsp, cfssl ocspserve, servers on bare node:http and bare node:net with a fixed answer (Node's
 * limits) and nginx with a fixed answer (the machine's limit). Every server on one core, wrk on another.
 *
 *   npm run bench:ocsp -- [--rounds 3] [--seconds 2] [--warmup 5] [--connections 1,64] [--certificates 200000,1000000] [--servers xmpp-ica,nginx] [--strict]
 *
 * GET and POST ask for 500 certificates in turn, whose answers are in memory. "nonce" must be signed for each request, though what the database says of 500 certificates is
 * remembered for a second; "first" asks for a certificate after the other that nobody has asked for before, so that the database is read too (with 200,000
 * certificates or more), and openssl has an index of as many. Rounds go in turns from server to server, after one of --warmup seconds, in which V8 compiles what
 * is hot; the tables have their medians. CPU is user and system time of the server per answer, which other programs on the machine change less than they change
 * answers per second; "wrk" is the share of its core that the load generator used: from 0.95 on it is the limit, and the server could do more. "× fewer" compares
 * with the smaller of our databases; errors are answers other than 200 (Debian's cfssl refuses GET). nginx serves files to GET alone and takes an internal redirect
 * for a POST, so that for POST the goal is measured by what it returns from memory. The last table has the goals; with --strict a missed one makes the exit code 1.
 * Needs Debian's wrk, nginx, openssl and golang-cfssl; what is missing is left out, and named.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { type Figures, goalsOf, limitOf, type Measured, names } from './ocsp-goals.js'
import {
  type BenchCa,
  makeCa,
  missingTools,
  requestFor,
  type Server,
  startBare,
  startCfssl,
  startNginx,
  startOpenssl,
  startProgram,
} from './ocsp-servers.js'
import { cpuMs, memoryMiB } from './proc.js'
import { freePorts, home, pinned } from './servers.js'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    warmup: { type: 'string', default: '5' },
    connections: { type: 'string', default: '1,64' },
    certificates: { type: 'string', default: '200000,1000000' },
    kinds: { type: 'string', default: 'GET,POST,nonce,first' },
    servers: { type: 'string', default: '' },
    strict: { type: 'boolean', default: false },
  },
})
const sizes = values.certificates.split(',').map(Number)
const connections = values.connections.split(',').map(Number)
const serverCpus = '0'
const generatorCpus = availableParallelism() > 1 ? '1' : '0'
const asked = 500
const run = promisify(execFile)

const scratch = path.join(home, 'data')
mkdirSync(scratch, { recursive: true })
const folder = mkdtempSync(path.join(scratch, 'bench-ocsp-'))
const at = (...parts: string[]): string => path.join(folder, ...parts)
const servers: Server[] = []
const cleanUp = async (): Promise<void> => {
  await Promise.all(servers.map(({ stop }) => stop()))
  rmSync(folder, { recursive: true, force: true })
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUp().then(() => process.exit(1)))

type Kind = 'GET' | 'POST' | 'nonce' | 'first'

/** A script that sends the requests of a file (all of one length) in turn. `done` prints what is measured as JSON. */
const script = (kind: Kind, file: string, size: number, prefix: string): string => `
local f = io.open("${file}", "rb"); local all = f:read("*a"); f:close()
local n, i = #all / ${size}, ${kind === 'first' ? `math.floor(os.time() * 7919 % (#all / ${size}))` : '0'}
local made = {}
-- Or wrk opens a connection only to see whether it can.
wrk.connect = function() return true end
function request()
  i = i % n + 1
  local r = made[i]
  if r then return r end
  local body = all:sub((i - 1) * ${size} + 1, i * ${size})
  ${kind === 'GET' ? `r = wrk.format("GET", "${prefix.replace(/\/$/, '')}/" .. body)` : `r = wrk.format("POST", "${prefix}", { ["Content-Type"] = "application/ocsp-request" }, body)`}
  ${kind === 'first' ? '' : 'made[i] = r'}
  return r
end
function done(s, latency)
  io.write(string.format('{"requests":%d,"us":%d,"p99":%d,"p50":%d,"errors":%d}\\n', s.requests, s.duration, latency:percentile(99), latency:percentile(50), s.errors.connect + s.errors.read + s.errors.write + s.errors.status + s.errors.timeout))
end
`

const measure = async (server: Server, kind: Kind, file: string, size: number, count: number, seconds: string): Promise<Figures> => {
  const lua = at(`${kind}.lua`)
  writeFileSync(lua, script(kind, file, size, server.path))
  const before = cpuMs(server.pid)
  const command = pinned(generatorCpus, ['wrk', '-t1', `-c${count}`, `-d${seconds}s`, '-s', lua, `http://127.0.0.1:${server.port}`])
  const timed = ['-c', 'TIMEFORMAT="%U %S %R"; time "$@"', 'wrk', ...command]
  const { stdout, stderr } = await run('bash', timed, { timeout: 60_000, env: { ...process.env, LC_ALL: 'C' } })
  const [user = 0, system = 0, real = 1] = (stderr.trim().split('\n').at(-1) ?? '').split(' ').map(Number)
  const cpu = cpuMs(server.pid) - before
  const { requests, us, p99, errors } = JSON.parse(stdout.slice(stdout.lastIndexOf('{'))) as {
    requests: number
    us: number
    p99: number
    errors: number
  }
  return { perSecond: requests / (us / 1e6), p99: p99 / 1000, cpuUs: (cpu * 1000) / requests, errors, wrk: (user + system) / real }
}

const median = (list: number[]): number => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) / 2)] ?? Number.NaN
const show = (value: number, digits = 0): string => (Number.isFinite(value) ? value.toLocaleString('en', { maximumFractionDigits: digits }) : '-')

/** Returns whether every goal was reached. */
const main = async (): Promise<boolean> => {
  const missing = missingTools()
  if (missing.length > 0) console.log(`Not here: ${missing.join(', ')}. What needs them is left out.\n`)
  if (missing.some((tool) => tool.startsWith('wrk'))) throw new Error('Without wrk nothing can be measured.')
  const has = (tool: string): boolean => !missing.some((line) => line.startsWith(tool))
  const cas: BenchCa[] = []
  for (const size of sizes) {
    process.stderr.write(`making a CA with ${size} certificates …\n`)
    cas.push(await makeCa(at(`ca-${size}`), size))
  }
  const [ca] = cas
  if (!ca) throw new Error('--certificates is empty')
  const ports = await freePorts(cas.length + 6)
  const port = (): number => ports.pop() as number
  for (const [i, one] of cas.entries())
    servers.push(await startProgram(i === 0 ? 'xmpp-ica' : `xmpp-ica, ${sizes[i]} certificates`, one, port(), ['--only', 'status'], serverCpus))
  const ours = servers[0] as Server

  const serials = ca.serials.slice(0, asked)
  const fetchAnswer = async (serial: string): Promise<Uint8Array> =>
    new Uint8Array(
      await (
        await fetch(`http://127.0.0.1:${ours.port}/ocsp`, {
          method: 'POST',
          body: requestFor(ca, serial),
          headers: { 'Content-Type': 'application/ocsp-request' },
        })
      ).arrayBuffer(),
    )
  const answers: Uint8Array[] = []
  for (const serial of serials) answers.push(await fetchAnswer(serial))
  const answer = answers[0] as Uint8Array
  const opensslPort = port()
  /** Started anew for each measurement. */
  const { openssl } = names
  if (has('openssl')) servers.push({ name: openssl, pid: process.pid, port: opensslPort, path: '/', stop: async () => undefined })
  const started = (server: Server, kind: Kind): Promise<Server> | Server =>
    server.name === openssl ? startOpenssl(ca, kind === 'first' ? ca.serials : serials, at('openssl'), opensslPort, serverCpus) : server
  if (has('cfssl')) servers.push(await startCfssl(answers, at('cfssl'), port(), serverCpus))
  for (const how of ['http', 'net'] as const) servers.push(await startBare(how, answer, at(`bare-${how}`), port(), serverCpus))
  if (has('nginx')) for (const how of ['file', 'memory'] as const) servers.push(await startNginx(how, answer, at(`nginx-${how}`), port(), serverCpus))

  /** The requests of one kind to one CA, all of one length, in a file. */
  const files = new Map<string, { file: string; size: number }>()
  const fileOf = (kind: Kind, which: number): { file: string; size: number } => {
    const name = `${kind}-${which}`
    const known = files.get(name)
    if (known) return known
    const from = cas[which] as (typeof cas)[number]
    const list = from.serials.slice(0, kind === 'first' ? 200_000 : asked).map((serial) => requestFor(from, serial, kind === 'nonce'))
    const bodies = kind === 'GET' ? list.map((body) => Buffer.from(encodeURIComponent(body.toString('base64')))) : list
    const size = kind === 'GET' ? Math.max(...bodies.map(({ length }) => length)) : (bodies[0] as Buffer).length
    const made = { file: at(name), size }
    writeFileSync(made.file, Buffer.concat(bodies.filter(({ length }) => length === size)))
    files.set(name, made)
    return made
  }

  const measured: Measured[] = []
  const wanted = values.servers === '' ? servers : servers.filter(({ name }) => values.servers.split(',').some((part) => name.startsWith(part)))
  const signs = (server: Server): boolean => /^(xmpp-ica|openssl)/.test(server.name)
  for (const kind of values.kinds.split(',') as Kind[]) {
    for (const count of connections) {
      const which = (server: Server): number => Math.max(0, servers.indexOf(server) < cas.length ? servers.indexOf(server) : 0)
      const taking = wanted.filter((server) => {
        if (kind === 'GET' || kind === 'POST') return true
        return signs(server) && (kind === 'nonce' || (cas[which(server)]?.serials.length ?? 0) >= 200_000)
      })
      if (taking.length === 0) continue
      const results = new Map<string, Figures[]>(taking.map(({ name }) => [name, []]))
      for (let round = 0; round <= Number(values.rounds); round++) {
        for (const server of taking) {
          const { file, size } = fileOf(kind, which(server))
          const running = await started(server, kind)
          // The first warms up.
          const figures = await measure(running, kind, file, size, count, round === 0 ? values.warmup : values.seconds)
          if (running !== server) await running.stop()
          if (round > 0) results.get(server.name)?.push(figures)
        }
      }
      const of = (name: string, key: keyof Figures): number => median((results.get(name) ?? []).map((figures) => figures[key]))
      measured.push({ kind, connections: count, of })
      const limit = limitOf(kind)
      console.log(`\n${kind}, ${count} connection${count === 1 ? '' : 's'}`)
      console.table(
        Object.fromEntries(
          taking.map(({ name, pid }) => [
            name,
            {
              'requests/s': show(of(name, 'perSecond')),
              'p99 ms': show(of(name, 'p99'), 2),
              'CPU µs': show(of(name, 'cpuUs'), 1),
              '× nginx': show(of(name, 'perSecond') / of(limit, 'perSecond'), 2),
              'CPU × nginx': show(of(limit, 'cpuUs') / of(name, 'cpuUs'), 2),
              '× fewer': name.startsWith('xmpp-ica,') ? show(of(name, 'perSecond') / of('xmpp-ica', 'perSecond'), 2) : '-',
              'CPU × fewer': name.startsWith('xmpp-ica,') ? show(of('xmpp-ica', 'cpuUs') / of(name, 'cpuUs'), 2) : '-',
              '× node:http': show(of(name, 'perSecond') / of(names.bare, 'perSecond'), 2),
              'p99 × node:http': show(of(name, 'p99') / of(names.bare, 'p99'), 2),
              wrk: show(of(name, 'wrk'), 2),
              MiB: name === openssl ? '-' : show(memoryMiB(pid)),
              errors: results.get(name)?.reduce((sum, { errors }) => sum + errors, 0),
            },
          ]),
        ),
      )
    }
  }
  const goals = goalsOf(measured, servers[1]?.name.startsWith('xmpp-ica, ') ? servers[1].name : null)
  console.log('\nGoals')
  console.table(goals)
  return goals.every(({ reached }) => reached === 'yes')
}

let reached = true
try {
  reached = await main()
} finally {
  await cleanUp()
}
process.exit(values.strict && !reached ? 1 : 0)
