/** `serve --only status`: beside a CA that is run by another process, over the same database, in several processes. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { renameSync, rmSync } from 'node:fs'
import { Agent, get, request } from 'node:http'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../../src/pki/ocsp-request.js'
import { pemDecode } from '../../src/pki/pem.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { openStore } from '../../src/store/store.js'
import { silent } from '../store/fixtures.js'
import { freePort, newFolder, type Program, programFile, serve } from '../support/program.js'

type Lines = { pid: number; msg: string }[]

describe('serve --only status', { timeout: 300_000 }, () => {
  const { folder, remove } = newFolder()
  let ca: Program
  let status: ChildProcess
  let log = ''
  let url = ''
  let environment: Record<string, string>
  let intermediate: ReturnType<typeof readCertificate>
  const lines = (): Lines =>
    log
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
  const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 60_000; !(await condition()); await sleep(50)) assert.ok(Date.now() < end, `${what}: ${log}`)
  }
  /** A connection for each request, so that all processes get some. */
  const agent = new Agent({ keepAlive: false })
  const ask = (serial: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const body = encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)])
      const req = request(
        `${url}/ocsp`,
        { agent, method: 'POST', headers: { 'Content-Type': 'application/ocsp-request', 'Content-Length': body.length } },
        (res) => {
          const chunks: Buffer[] = []
          res.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => resolve(Buffer.concat(chunks).toString('hex')))
        },
      )
      req.on('error', reject).end(body)
    })
  /** Whether a CertStatus of this tag stands behind the serial in an answer. */
  const says = async (serial: string): Promise<string> => {
    const hex = await ask(serial)
    const tag = hex.slice(hex.indexOf(serial) + serial.length).slice(0, 2)
    return ({ '80': 'good', a1: 'revoked', '82': 'unknown' } as Record<string, string>)[tag] ?? hex.slice(0, 40)
  }
  const text = (place: string): Promise<string> =>
    new Promise((resolve, reject) => {
      get(`${url}${place}`, { agent }, (res) => {
        let all = ''
        res.on('data', (chunk) => {
          all += chunk
        })
        res.on('end', () => resolve(all))
      }).on('error', reject)
    })

  before(async () => {
    environment = { ICA_URL: `http://localhost:${await freePort()}` }
    ca = await serve(folder, environment)
    const port = await freePort()
    url = `http://127.0.0.1:${port}`
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(ICA_|DATABASE_URL|NODE_TEST_CONTEXT)/.test(name)))
    status = spawn(process.execPath, [programFile, 'serve', '--only', 'status', '--workers', '2'], {
      cwd: folder,
      env: { ...inherited, ...environment, ICA_STATUS_LISTEN: `127.0.0.1:${port}` },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    status.stderr?.on('data', (data) => {
      log += data
    })
    // Each process writes its lines by itself.
    const said = (text: string): number => lines().filter(({ msg }) => msg === text).length
    await until('ready', () => said('ready') === 1 && said('a status process is ready') === 2)
    intermediate = readCertificate(pemDecode('CERTIFICATE', await text('/ca/intermediate.pem'))[0] as Uint8Array)
  })
  after(async () => {
    for (const child of [status, ca.child]) child.kill('SIGKILL')
    await ca.result
    remove()
  })

  it('answers with what the main process has made, in several processes', async () => {
    assert.equal(
      new Set(
        lines()
          .filter(({ msg }) => msg === 'a status process is ready')
          .map(({ pid }) => pid),
      ).size,
      2,
    )
    assert.match(await text('/readyz'), /"ready":true/)
    assert.match(
      await text(
        `/crl/${Buffer.from(intermediate.ski ?? [])
          .toString('hex')
          .slice(0, 16)}.crl`,
      ),
      /CA/,
    )
    for (let i = 0; i < 5; i++) await ask('4a00000000000000000000000000dead')
    assert.match(await text('/metrics'), /ica_ocsp_answers_total\{says="unknown"\} 5/, 'figures of both together')
  })

  it('tells of a revocation by another process within 5 s', async () => {
    const store = await openStore({ url: `file:${path.join(folder, 'data/ica.db')}`, log: silent })
    const audit = { at: Date.now(), actor: 'operator:test', action: 'test', subject: 'test', detail: {} }
    const serial = '5c00000000000000000000000000beef'
    const [issuer] = (await store.issuers()).filter(({ kind }) => kind === 'intermediate')
    const row = {
      serial,
      issuerId: issuer?.id ?? '',
      kind: 'leaf',
      profile: 'xmpp-server',
      accountId: null,
      orderId: null,
      keyId: '00',
      crlShard: 0,
    } as const
    await store.reserveCertificate({ ...row, notBefore: Date.now(), notAfter: Date.now() + 1e9, names: [], createdAt: Date.now() })
    await store.storeCertificate(serial, new Uint8Array(50), audit)
    for (let i = 0; i < 8; i++) assert.equal(await says(serial), 'good')
    await store.recordRevocation(serial, { revokedAt: Date.now(), reason: 'superseded' }, false, audit)
    const revokedAt = Date.now()
    await until('revoked somewhere', async () => (await says(serial)) === 'revoked')
    assert.ok(Date.now() - revokedAt < 5000)
    // Who knows tells its neighbours.
    await sleep(400)
    assert.deepEqual(await Promise.all(Array.from({ length: 8 }, () => says(serial))), Array(8).fill('revoked'))
    await until('a line of the main process', () => ca.stderr().includes('"msg":"certificate.revoked"') && ca.stderr().includes(serial))
    await store.close()
  })

  it('starts another process where one dies', async () => {
    const [victim] = lines().filter(({ msg }) => msg === 'a status process is ready')
    assert.ok(victim)
    process.kill(victim.pid, 'SIGKILL')
    await until('restart', () => lines().filter(({ msg }) => msg === 'a status process is ready').length === 3)
    assert.match(await text('/readyz'), /"ready":true/)
  })

  it('ends on SIGTERM, all of it', async () => {
    const exit = new Promise((resolve) => status.once('exit', resolve))
    status.kill('SIGTERM')
    assert.equal(await exit, 0)
    await assert.rejects(text('/readyz'))
  })

  it('says what is missing where there is no CA', async () => {
    const empty = newFolder()
    renameSync(path.join(folder, 'data', 'ca-keys.passphrase'), path.join(empty.folder, 'ca-keys.passphrase'))
    const child = spawn(process.execPath, [programFile, 'serve', '--only', 'status'], {
      cwd: empty.folder,
      env: { PATH: process.env.PATH, DATABASE_URL: 'file:ica.db' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr?.on('data', (data) => {
      said += data
    })
    assert.equal(await new Promise((resolve) => child.once('exit', resolve)), 1)
    assert.match(said, /database cannot be read/)
    rmSync(empty.folder, { recursive: true })
  })
})
