/**
 * A soak: the whole program, beside it `serve --only status --workers 2`, and mixed questions to both, while certificates are issued and revoked by ACME and by
 * command, and the status processes are killed and started again. Every answer is checked against the truth of its moment: never good for what was never
 * issued, revoked within 5 s of the revocation, and never good again from a process that has said revoked. At the end everything is asked for once more.
 *
 *   npm run bench:soak -- [--seconds 300] [--connections 16] [--kill 20]
 *
 * --kill: every so many seconds, in turns, all status processes are killed (SIGKILL) and started again, one of them is killed and followed by the program
 * itself, and all are restarted (SIGTERM). Questions that meet nobody then are counted; more of them than that explains, and too few answers of any kind, fail.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { pemDecode } from '../src/pki/pem.js'
import { readCertificate } from '../src/pki/read-certificate.js'
import { startDnsServer } from '../test/support/dns-server.js'
import { type Server, startProgram } from './ocsp-servers.js'
import { memoryMiB, processTree } from './proc.js'
import { freePorts, home } from './servers.js'
import { counts, createClient, type Door } from './soak-clients.js'
import { done, operate, subscribe } from './soak-subscribers.js'
import { createTruths, visibleMs } from './soak-truth.js'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '300' }, connections: { type: 'string', default: '16' }, kill: { type: 'string', default: '20' } },
})
const seconds = Number(values.seconds)
const scratch = path.join(home, 'data')
mkdirSync(scratch, { recursive: true })
const folder = mkdtempSync(path.join(scratch, 'bench-soak-'))
const [web, mainPort, sidePort] = (await freePorts(3)) as [number, number, number]
const dns = await startDnsServer()
const environment = {
  ICA_URL: `http://localhost:${web}`,
  ICA_LISTEN: `127.0.0.1:${web}`,
  ICA_STATUS_URL: `http://127.0.0.1:${sidePort}`,
  ICA_LOG_LEVEL: 'warn',
  ICA_LAB: '1',
  ICA_DNS_SERVERS: dns.address,
  // Counted as always; only higher, because all comes from one address and few accounts.
  ICA_LIMITS: 'newAccountsPerAddress=1000000/1h, ordersPerAccount=1000000/1h',
  DATABASE_URL: 'file:data/ica.db',
  ICA_KEYS: 'ca-keys',
}
const ca = { folder, environment }
const main = await startProgram('main', ca, mainPort, [], null)
const launch = (): Promise<Server> => startProgram('status', ca, sidePort, ['--only', 'status', '--workers', '2'], null)
let status = await launch()
const certificateIn = (file: string) =>
  readCertificate(pemDecode('CERTIFICATE', readFileSync(path.join(folder, 'ca-keys', file), 'utf8'))[0] as Uint8Array)

const truths = createTruths()
const deps = { truths, intermediate: certificateIn('intermediate.pem'), foreign: certificateIn('root.pem') }
const began = performance.now()
const doors = {
  main: { name: 'main', port: mainPort, lastAnswer: began, longestSilence: 0 },
  side: { name: 'status', port: sidePort, lastAnswer: began, longestSilence: 0 },
} satisfies Record<string, Door>
const end = began + seconds * 1000
const running = (): boolean => performance.now() < end && truths.wrong.length < 10

const every = async (ms: number, work: () => Promise<void>): Promise<void> => {
  for (;;) {
    await sleep(Math.max(0, Math.min(ms, end - performance.now())))
    if (!running()) return
    await work()
  }
}

let kills = 0
const kill = async (): Promise<void> => {
  const way = kills++ % 3
  const [first, ...workers] = processTree(status.pid) as [number, ...number[]]
  if (way === 1) return void process.kill(workers[0] ?? first, 'SIGKILL')
  // All of them, as a service manager does.
  if (way === 0) for (const pid of [first, ...workers]) process.kill(pid, 'SIGKILL')
  await status.stop()
  status = await launch()
}

const report = async (): Promise<void> => {
  const memory = `${Math.round(memoryMiB(main.pid))} + ${Math.round(memoryMiB(status.pid))} MiB`
  process.stderr.write(`${JSON.stringify({ ...counts, ...done, kills })} wrong ${truths.wrong.length}, ${memory}\n`)
}

/** When revocations must be visible everywhere, all that was ever issued is asked for at both doors, one by one and together, and is in the lists. */
const sweep = async (): Promise<number> => {
  await sleep(visibleMs.ocsp)
  let asked = 0
  for (const door of [doors.main, doors.side]) {
    const client = createClient(deps, door)
    const before = counts.good + counts.revoked
    for (const { serial } of truths.list) await client.askFor([serial], { byGet: true })
    for (let i = 0; i < truths.list.length; i += 25) await client.askFor(truths.list.slice(i, i + 25).map(({ serial }) => serial))
    asked += counts.good + counts.revoked - before
    client.close()
  }
  return asked
}
const sweepCrls = async (): Promise<void> => {
  // From the last revocation on.
  await sleep(Math.max(0, Math.max(...truths.list.map(({ revokedAt }) => revokedAt ?? 0)) + visibleMs.crl + 1000 - performance.now()))
  for (const door of [doors.main, doors.side]) {
    const client = createClient(deps, door)
    await client.askCrl(null)
    for (const truth of new Map(truths.list.map((one) => [one.crlUrl, one])).values()) await client.askCrl(truth)
    client.close()
  }
}

/** What must have happened, or everything could be right because nothing was done. */
const shortfalls = (sweptAnswers: number): string[] => {
  const least: Record<string, [number, number]> = {
    answers: [counts.good + counts.revoked + counts.unknown, 20 * seconds],
    good: [counts.good, 5 * seconds],
    revoked: [counts.revoked, seconds],
    unknown: [counts.unknown, seconds / 3],
    nonces: [counts.nonces, seconds / 2],
    POST: [counts.POST, 3 * seconds],
    GET: [counts.GET, 3 * seconds],
    several: [counts.several, seconds / 2],
    malformed: [counts.malformed, seconds / 10],
    foreign: [counts.foreign, seconds / 10],
    CRL: [counts.CRL, seconds / 10],
    issued: [done.issued, seconds / 2],
    'revoked by ACME': [done['revoked by ACME'], seconds / 5],
    'revoked by command': [done['revoked by command'], seconds / 20],
    kills: [kills, Math.floor(seconds / Number(values.kill) / 2)],
    'good or revoked in the sweep': [sweptAnswers, 4 * truths.list.length],
  }
  const most: Record<string, [number, number]> = {
    'share that met nobody': [counts.nobody / counts.asked, 0.2],
    'share of "try later"': [counts['try later'] / counts.asked, 0.001],
    'longest silence of main, s': [doors.main.longestSilence / 1000, 10],
    'longest silence of status, s': [doors.side.longestSilence / 1000, 20],
  }
  return [
    ...Object.entries(least).flatMap(([what, [value, bound]]) => (value >= bound ? [] : [`${what}: ${value}, at least ${bound} expected`])),
    ...Object.entries(most).flatMap(([what, [value, bound]]) => (value <= bound ? [] : [`${what}: ${value.toFixed(4)}, at most ${bound} expected`])),
  ]
}

const clients = Array.from({ length: Number(values.connections) }, (_, i) => createClient(deps, i % 4 === 0 ? doors.main : doors.side))
let faults: string[]
try {
  await Promise.all([
    ...clients.map((client) => client.run(running)),
    ...['a', 'b'].map((tag) => subscribe(environment.ICA_URL, dns, truths, tag, running)),
    every(4000, () => operate(folder, environment, truths)),
    every(Number(values.kill) * 1000, kill),
    every(10_000, report),
  ])
  for (const client of clients) client.close()
  const swept = await sweep()
  await sweepCrls()
  faults = [...truths.wrong, ...shortfalls(swept)]
} finally {
  await status.stop()
  await main.stop()
  await dns.close()
  rmSync(folder, { recursive: true, force: true })
}
console.table({ ...counts, ...done, kills, certificates: truths.list.length })
console.log(
  `Silence at most ${Math.round(doors.main.longestSilence)} ms (main), ${Math.round(doors.side.longestSilence)} ms (status, around kills). A revocation that was not ` +
    `told of yet was at most ${Math.round(truths.slowest.ocsp)} ms old (OCSP), ${Math.round(truths.slowest.crl)} ms (CRL). Wrong answers: ${truths.wrong.length}`,
)
for (const line of faults) console.log(`WRONG ${line}`)
process.exit(faults.length > 0 ? 1 : 0)
