/**
 * A soak: mixed OCSP load while certificates are issued and revoked, and the status process is killed and started again. Every answer is checked against the truth
 * of its moment: never good for what was never issued, revoked within 5 s of the revocation, and never good again after it was revoked once.
 *
 *   npm run bench:soak -- [--seconds 300] [--connections 16] [--kill 20]
 *
 * --kill: every so many seconds the status process is killed (SIGKILL), its successor started at once; requests that meet nobody are counted, not blamed.
 */

import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { newSerial } from '../src/pki/certificate.js'
import { encodeCertId } from '../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../src/pki/ocsp-request.js'
import { openStore } from '../src/store/store.js'
import { silent } from '../test/store/fixtures.js'
import { makeCa, type Server, startProgram } from './ocsp-servers.js'
import { memoryMiB } from './proc.js'
import { freePorts, home } from './servers.js'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '300' }, connections: { type: 'string', default: '16' }, kill: { type: 'string', default: '20' } },
})
const scratch = path.join(home, 'data')
mkdirSync(scratch, { recursive: true })
const folder = mkdtempSync(path.join(scratch, 'bench-soak-'))
const ca = await makeCa(path.join(folder, 'ca'), 200)
const store = await openStore({ url: `file:${path.join(ca.folder, 'data/ica.db')}`, log: silent })
const issuerId = Buffer.from(ca.intermediate.ski as Uint8Array)
  .toString('hex')
  .slice(0, 16)
const [port] = (await freePorts(1)) as [number]
const launch = (): Promise<Server> => startProgram('status', ca, port, ['--only', 'status'], null)
let status = await launch()

/** What is true of a certificate: when it could be known, and when its revocation was durable. Milliseconds of the monotonic clock. */
type Truth = { serial: string; issuedAt: number; revokedAt: number | null; seenRevoked: boolean }
const truths: Truth[] = ca.serials.map((serial) => ({ serial, issuedAt: 0, revokedAt: null, seenRevoked: false }))
const counts = { good: 0, revoked: 0, unknown: 0, nonce: 0, nobody: 0, 'try later': 0, issued: 0, revocations: 0, kills: 0 }
const wrong: string[] = []
let slowest = 0
const end = performance.now() + Number(values.seconds) * 1000
const running = (): boolean => performance.now() < end && wrong.length < 10
const pick = <T>(list: T[]): T => list[Math.floor(Math.random() * list.length)] as T

const audit = (action: string, serial: string) => ({ at: Date.now(), actor: 'operator:soak', action, subject: `certificate:${serial}`, detail: {} })

const issue = async (): Promise<void> => {
  const serial = newSerial(randomBytes)
  const row = {
    serial,
    issuerId,
    kind: 'leaf',
    profile: 'xmpp-server',
    accountId: null,
    orderId: null,
    keyId: '00',
    crlShard: Math.floor(Math.random() * 16),
    names: [],
  } as const
  await store.reserveCertificate({ ...row, names: [], notBefore: Date.now(), notAfter: Date.now() + 1e9, createdAt: Date.now() })
  await store.storeCertificate(serial, randomBytes(600), audit('certificate.issued', serial))
  truths.push({ serial, issuedAt: performance.now(), revokedAt: null, seenRevoked: false })
  counts.issued++
}

const revoke = async (): Promise<void> => {
  const truth = pick(truths)
  if (truth.revokedAt !== null) return
  await store.recordRevocation(truth.serial, { revokedAt: Date.now(), reason: 'keyCompromise' }, false, audit('certificate.revoked', truth.serial))
  truth.revokedAt = performance.now()
  counts.revocations++
}

const agent = new Agent({ keepAlive: true })
const post = (body: Uint8Array): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/ocsp-request', 'Content-Length': body.length }
    const req = httpRequest({ agent, port, host: '127.0.0.1', method: 'POST', path: '/ocsp', headers, timeout: 10_000 }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => resolve(Buffer.concat(chunks)))
      res.on('error', reject)
    })
    req.on('error', reject).on('timeout', () => req.destroy(new Error('no answer in 10 s')))
    req.end(body)
  })

/** The CertStatus behind the serial (INTEGER) of an answer, by its tag (RFC 6960 §4.2.1). */
const statusIn = (answer: Buffer, serial: string): string => {
  const hex = answer.toString('hex')
  const at = hex.indexOf(serial)
  return (
    { '80': 'good', a1: 'revoked', '82': 'unknown' }[hex.slice(at + serial.length, at + serial.length + 2)] ??
    `an answer without a status: ${hex.slice(0, 40)}`
  )
}

/** What is wrong with an answer that was asked for at `asked` and came at `came`; null where nothing is. */
const judge = (truth: Truth, said: string, asked: number): string | null => {
  const { revokedAt, seenRevoked } = truth
  if (said === 'unknown') return 'unknown, although it was issued before'
  if (said === 'good') {
    if (seenRevoked) return 'good after it was revoked'
    if (revokedAt !== null && asked - revokedAt > 5000) return `good ${Math.round(asked - revokedAt)} ms after its revocation`
    if (revokedAt !== null) slowest = Math.max(slowest, asked - revokedAt)
    return null
  }
  return said === 'revoked' ? null : said
}

const client = async (): Promise<void> => {
  while (running()) {
    const isStranger = Math.random() < 0.05
    const truth = isStranger ? null : pick(truths.length > 50 && Math.random() < 0.5 ? truths.slice(-50) : truths)
    const serial = truth?.serial ?? newSerial(randomBytes)
    const nonce = Math.random() < 0.2 ? randomBytes(16) : null
    const asked = performance.now()
    const wasSeen = truth?.seenRevoked ?? false
    let answer: Buffer
    try {
      answer = await post(encodeOcspRequest([encodeCertId(ca.intermediate, Math.random() < 0.8 ? 'sha1' : 'sha256', serial)], nonce))
    } catch {
      counts.nobody++
      await sleep(20)
      continue
    }
    if (answer.toString('hex') === '30030a0103') {
      counts['try later']++
      continue
    }
    const said = statusIn(answer, serial)
    if (said in counts) counts[said as keyof typeof counts]++
    if (nonce) {
      counts.nonce++
      if (!answer.includes(nonce)) wrong.push(`${serial}: an answer without the nonce`)
    }
    // What another client saw while this one waited does not bind its answer.
    const fault = truth ? judge({ ...truth, seenRevoked: wasSeen }, said, asked) : said === 'unknown' ? null : `${said}, although it was never issued`
    if (fault) wrong.push(`${serial}: ${fault}`)
    if (truth && said === 'revoked') {
      if (truth.revokedAt === null) await sleep(50)
      if (truth.revokedAt === null) wrong.push(`${serial}: revoked, although it is not`)
      truth.seenRevoked = true
    }
  }
}

const every = async (ms: number, work: () => Promise<void>): Promise<void> => {
  for (;;) {
    await sleep(ms)
    if (!running()) return
    await work()
  }
}

const kill = async (): Promise<void> => {
  counts.kills++
  process.kill(status.pid, 'SIGKILL')
  await sleep(200)
  status = await launch()
}

const report = async (): Promise<void> => {
  process.stderr.write(`${JSON.stringify(counts)} wrong ${wrong.length}, ${Math.round(memoryMiB(status.pid))} MiB\n`)
}
await Promise.all([
  ...Array.from({ length: Number(values.connections) }, client),
  every(15, issue),
  every(40, revoke),
  every(Number(values.kill) * 1000, kill),
  every(10_000, report),
])
await status.stop()
await store.close()
agent.destroy()
rmSync(folder, { recursive: true, force: true })
console.table(counts)
console.log(`The oldest revocation that was not told of yet: ${Math.round(slowest)} ms. Wrong answers: ${wrong.length}`)
for (const line of wrong) console.log(line)
process.exit(wrong.length > 0 ? 1 : 0)
