/**
 * The program as a user starts it, killed at random moments under load. What it told a client must hold afterwards: certificates are stored and good, no serial
 * stands for two, every order can be read and brought to its end.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomInt, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as pkijs from 'pkijs'
import type { Log } from '../src/log.js'
import { encodeCertId } from '../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../src/pki/ocsp-request.js'
import { readCertificate } from '../src/pki/read-certificate.js'
import { openStore } from '../src/store/store.js'
import { type DnsServer, startDnsServer } from './support/dns-server.js'
import { type AcmeOrder, AcmeProblem, createCsr, createLeanClient, Impatient, type LeanClient } from './support/lean-acme.js'
import { freePort } from './support/program.js'

const kills = 20
const clientCount = 8
/** What a crash leaves behind is taken up when its lease has run out; a client that waits gets it within this time. */
const recoveryMs = 100_000

const home = path.dirname(import.meta.dirname)
const bootstrap = path.join(home, 'src/bootstrap.mjs')
const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

type Job = { client: LeanClient; url: string; csr: string; pem?: string }

describe('crash', { timeout: 900_000 }, () => {
  let folder: string
  let dns: DnsServer
  let base: string
  /** All that were started, so that none is left behind whatever fails. */
  const started = new Set<ChildProcess>()
  const jobs: Job[] = []
  const clients: LeanClient[] = []
  const given = () => jobs.filter((job) => job.pem)
  const database = () => `file:${path.join(folder, 'ica.db')}`
  const log = () => readFileSync(path.join(folder, 'log'), 'utf8')

  const start = (): ChildProcess => {
    const out = openSync(path.join(folder, 'log'), 'a')
    const child = spawn(process.execPath, [bootstrap, 'serve'], {
      cwd: home,
      stdio: ['ignore', out, out],
      env: {
        ...process.env,
        ICA_URL: base,
        ICA_DNS_SERVERS: dns.address,
        ICA_LAB: '1',
        // One address registers all accounts, and each orders more than people do.
        ICA_LIMITS: 'newAccountsPerAddress=1000/1h, ordersPerAccount=100000/1h',
        ICA_KEYS: path.join(folder, 'ca-keys'),
        DATABASE_URL: database(),
      },
    })
    closeSync(out)
    started.add(child)
    child.once('exit', () => started.delete(child))
    return child
  }
  const ready = async (server: ChildProcess): Promise<void> => {
    for (const from = performance.now(); ; await sleep(20)) {
      assert.equal(server.exitCode, null, `the server ended by itself:\n${log().slice(-2000)}`)
      assert.ok(performance.now() - from < 60_000, `the server is not ready after 60 s:\n${log().slice(-2000)}`)
      const reply = await fetch(`${base}/readyz`).catch(() => null)
      await reply?.arrayBuffer()
      if (reply?.status === 200) return
    }
  }
  /** Ends the server, and says by what and after how many milliseconds it ended. */
  const end = async (server: ChildProcess, signal: 'SIGKILL' | 'SIGTERM') => {
    const from = performance.now()
    const exit = once(server, 'exit')
    server.kill(signal)
    const [code] = await exit
    return { code, ms: performance.now() - from }
  }

  const isLoss = (error: unknown): boolean => !(error instanceof AcmeProblem) && /ECONN|EPIPE|connection closed|socket hang up/.test(String(error))

  /** Makes order after order, and takes each up again where the connection broke. */
  const load = async (client: LeanClient, index: number, state: { over: boolean; faults: unknown[] }): Promise<void> => {
    let job: Job | null = null
    for (let n = 0; !state.over; ) {
      try {
        let known: AcmeOrder | undefined
        if (!job) {
          const name = `crash-${index}-${n++}.test`
          const { url, order } = await client.newOrder([name])
          known = order
          job = { client, url, csr: createCsr([name]) }
          jobs.push(job)
        }
        job.pem = await client.complete(job.url, job.csr, { patienceMs: 200, ...(known && { known }) })
        job = null
      } catch (error) {
        if (error instanceof Impatient) job = null
        else if (isLoss(error)) await sleep(20)
        else state.faults.push(error)
      }
    }
  }

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'ica-crash-'))
    // The same program that `npm start` runs. Built here, so that the clock does not run meanwhile.
    execFileSync(process.execPath, [bootstrap, '--build'], { cwd: home, stdio: 'pipe' })
    dns = await startDnsServer(['test']) // CAA climbs to the top-level domain
    base = `http://127.0.0.1:${await freePort()}`
  })

  after(async () => {
    for (const client of clients) client.close()
    for (const server of started) await end(server, 'SIGKILL')
    await dns?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it(`is killed ${kills} times under load and answers again each time`, async () => {
    let server = start()
    await ready(server)
    const publish = async (name: string, value: string) => dns.set(name, 'TXT', value)
    for (let i = 0; i < clientCount; i++) {
      clients.push(await createLeanClient({ origin: base, directory: `${base}/acme/directory`, publish }))
    }
    const state = { over: false, faults: [] as unknown[] }
    const working = Promise.all(clients.map((client, index) => load(client, index, state)))
    try {
      for (let kill = 1; kill <= kills; kill++) {
        // Now and then while it starts, when it takes up what the last crash left.
        if (kill % 5 !== 0) {
          await ready(server)
          // However slow the machine is: there is a load to be killed under.
          const before = given().length
          for (const from = performance.now(); given().length === before && performance.now() - from < 10_000; ) await sleep(5)
        }
        await sleep(randomInt(20, 600))
        await end(server, 'SIGKILL')
        server = start()
      }
      await ready(server)
      await sleep(300)
      const stopped = await end(server, 'SIGTERM')
      assert.equal(stopped.code, 0, log().slice(-2000))
      assert.ok(stopped.ms < 5000, `SIGTERM took ${stopped.ms} ms`)
    } finally {
      state.over = true
      await working
    }
    assert.deepEqual(state.faults, [], log().slice(-4000))
    assert.ok(given().length >= kills * 0.8, `only ${given().length} certificates: that was no load`)
  })

  it('finishes every order that a crash interrupted', async (t) => {
    assert.equal(started.size, 0, 'the first test did not come to its end')
    await ready(start())
    const open = jobs.filter((job) => !job.pem)
    const from = performance.now()
    await Promise.all(
      clients.map(async (client) => {
        for (const job of open.filter((each) => each.client === client)) job.pem = await client.complete(job.url, job.csr, { patienceMs: recoveryMs })
      }),
    )
    t.diagnostic(`${jobs.length} orders, ${open.length} of them interrupted and finished after ${Math.round(performance.now() - from)} ms`)
  })

  it('shows every order to its account, also those whose answer was lost', async (t) => {
    let lost = 0
    for (const client of clients) {
      let page: string | undefined = (await client.get<{ orders: string }>(client.account)).orders
      while (page) {
        const reply = await client.post(page)
        for (const url of (JSON.parse(reply.body.toString()) as { orders: string[] }).orders) {
          const order = await client.get<AcmeOrder>(url)
          if (order.status === 'valid') continue
          lost++
          const csr = createCsr(order.identifiers.map(({ value }) => value))
          jobs.push({ client, url, csr, pem: await client.complete(url, csr, { known: order, patienceMs: recoveryMs }) })
        }
        page = /<([^>]+)>;\s*rel="next"/.exec(reply.headers.get('link') ?? '')?.[1]
      }
    }
    t.diagnostic(`${lost} orders that their client had never heard of`)
  })

  it('answers good for every certificate that it gave, and gives the same one again', async () => {
    for (const { client, url, pem } of jobs) {
      const [leaf, issuer] = (pem as string).split(/(?<=-----END CERTIFICATE-----\n)/).map((text) => readCertificate(new X509Certificate(text).raw))
      assert.ok(leaf && issuer)
      const request = encodeOcspRequest([encodeCertId(issuer, 'sha1', leaf.serial)])
      const reply = await fetch(`${base}/ocsp`, { method: 'POST', headers: { 'content-type': 'application/ocsp-request' }, body: request })
      const response = pkijs.OCSPResponse.fromBER(await reply.arrayBuffer())
      const octets = response.responseBytes?.response.valueBlock.valueHexView.slice().buffer
      assert.ok(octets, `no answer for ${leaf.serial}`)
      const [single] = pkijs.BasicOCSPResponse.fromBER(octets).tbsResponseData.responses
      assert.equal(single?.certStatus.idBlock.tagNumber, 0, `${leaf.serial} is not good`)
      const { certificate } = await client.get<AcmeOrder>(url)
      assert.equal((await client.post(certificate as string)).body.toString(), pem)
    }
  })

  it('has every certificate in the database, under a serial of its own', async () => {
    const [server] = started
    assert.ok(server)
    assert.equal((await end(server, 'SIGTERM')).code, 0)
    const store = await openStore({ url: database(), log: silent })
    try {
      const serials = new Set<string>()
      for (const { pem } of jobs) {
        const leaf = readCertificate(new X509Certificate(pem as string).raw)
        const stored = await store.certificateBySerial(leaf.serial)
        assert.deepEqual(Buffer.from(stored?.der ?? []), Buffer.from(leaf.der))
        serials.add(leaf.serial)
      }
      assert.equal(serials.size, jobs.length)
    } finally {
      await store.close()
    }
  })
})
