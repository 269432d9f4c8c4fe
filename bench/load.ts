/**
 * Load generator: whole ACME orders against one server for a fixed time, one JSON line of figures at the end.
 *
 *   node --import tsx bench/load.ts --directory https://127.0.0.1:14000/dir --ca root.pem --clients 8 --seconds 4 --mode dns --txt http://127.0.0.1:8055 --pid 123
 *
 * Each client is one account on one keep-alive connection that makes order after order. Keys and CSRs are made before the clock starts. An order is
 * newOrder, authorization, challenge, authorization (until valid), finalize, order (only while processing), certificate.
 * --mode none: the server is told to find every challenge valid, and no TXT record is published.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { createConnection, createCsr, createLeanClient } from '../test/support/lean-acme.js'
import { cpuMs } from './proc.js'

const { values } = parseArgs({
  options: {
    directory: { type: 'string' },
    ca: { type: 'string' },
    clients: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '4' },
    warmup: { type: 'string', default: '1' },
    mode: { type: 'string', default: 'none' },
    txt: { type: 'string' },
    pid: { type: 'string' },
    /** More orders per second than this are not prepared for. */
    limit: { type: 'string', default: '1500' },
  },
})
const directory = values.directory
if (!directory) throw new Error('--directory is needed')
const seconds = Number(values.seconds)
const warmup = Number(values.warmup)
const count = Number(values.clients)
const origin = new URL(directory).origin
const ca = values.ca ? readFileSync(values.ca, 'utf8') : undefined
const pid = values.pid ? Number(values.pid) : process.pid

/** Sets TXT records of pebble-challtestsrv over one keep-alive connection. */
const txtPublisher = (management: string) => {
  const connection = createConnection(management)
  return {
    async publish(host: string, value: string) {
      const reply = await connection.request('POST', `${management}/set-txt`, 'application/json', JSON.stringify({ host: `${host}.`, value }))
      if (reply.status !== 200) throw new Error(`set-txt: ${reply.status}`)
    },
    close: () => connection.close(),
  }
}

const tag = process.hrtime.bigint().toString(36)
const prepared = Array.from({ length: Math.ceil(Math.min(Number(values.limit), 250 * count + 300) * (seconds + warmup)) }, (_, i) => {
  // Each below a registrable domain of its own: certificates for a domain are limited.
  const name = `l${i}-${tag}.test`
  return { name, csr: createCsr([name]) }
})
const publishers = Array.from({ length: values.mode === 'dns' ? count : 0 }, () => txtPublisher(values.txt as string))
const clients = await Promise.all(
  Array.from({ length: count }, (_, i) => {
    const publisher = publishers[i]
    return createLeanClient({ origin, directory, ca, ...(publisher && { publish: publisher.publish }) })
  }),
)

type Sample = { from: number; to: number; requests: number }
const samples: Sample[] = []
const failures: string[] = []
let next = 0
let stop = false
const work = async (client: (typeof clients)[number]) => {
  while (!stop) {
    const job = prepared[next++]
    if (!job) throw new Error('the server is faster than --limit')
    const from = performance.now()
    const before = client.requests()
    try {
      const { url, order } = await client.newOrder([job.name])
      await client.complete(url, job.csr, { known: order })
      samples.push({ from, to: performance.now(), requests: client.requests() - before })
    } catch (error) {
      failures.push(String(error))
      if (failures.length > 20) stop = true
    }
  }
}

// A server that stops answering must not hold up the measurement: see issue.ts.
let seen = -1
setInterval(() => {
  if (samples.length > seen) {
    seen = samples.length
    return
  }
  console.log(JSON.stringify({ stalled: true, orders: samples.length }))
  process.exit(3)
}, 4000).unref()
const running = Promise.all(clients.map(work))
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
await wait(warmup * 1000)
const start = { at: performance.now(), server: cpuMs(pid), own: process.cpuUsage() }
await wait(seconds * 1000)
const end = { at: performance.now(), server: cpuMs(pid), own: process.cpuUsage(start.own) }
stop = true
await running
for (const each of [...clients, ...publishers]) each.close()

const inside = samples.filter((s) => s.to >= start.at && s.to < end.at)
const times = inside.map((s) => s.to - s.from).sort((a, b) => a - b)
const quantile = (p: number) => Number((times[Math.floor((times.length - 1) * p)] ?? Number.NaN).toFixed(1))
const ends = [start.at, ...inside.map((s) => s.to), end.at].sort((a, b) => a - b)
const elapsed = (end.at - start.at) / 1000
const round = (value: number, digits = 1) => Number(value.toFixed(digits))
console.log(
  JSON.stringify({
    clients: count,
    orders: inside.length,
    failed: failures.length,
    failure: failures[0] ?? null,
    perSecond: round(inside.length / elapsed),
    requestsPerOrder: round(inside.reduce((sum, s) => sum + s.requests, 0) / inside.length, 2),
    p50: quantile(0.5),
    p99: quantile(0.99),
    longestGapMs: Math.round(Math.max(...ends.slice(1).map((to, i) => to - (ends[i] as number)))),
    serverCpuMs: values.pid ? round((end.server - start.server) / inside.length, 2) : null,
    generatorCpu: round((end.own.user + end.own.system) / 1e6 / elapsed, 2),
  }),
)
process.exit(failures.length > 0 ? 1 : 0)
