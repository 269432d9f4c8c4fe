import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type ClientRequest, get as httpGet, type IncomingMessage, request } from 'node:http'
import { get as httpsGet } from 'node:https'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import type { Facts } from '../../src/api/facts.js'
import type { Readiness } from '../../src/web.js'
import { freePort, newFolder, type Program, run, serve } from '../support/program.js'

const snapshot = (folder: string) => Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]))

const stop = async (program: Program): Promise<number> => {
  const began = Date.now()
  // Not `close`: the loader of this test has processes of its own, which take their time.
  const exited = new Promise<number>((resolve) => program.child.once('exit', () => resolve(Date.now() - began)))
  program.child.kill('SIGTERM')
  const { code, stderr } = await program.result
  assert.equal(code, 0, stderr)
  return exited
}

const whole = (response: IncomingMessage): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ''
    response.on('data', (data) => {
      text += data
    })
    response.on('end', () => resolve(text))
    response.on('error', reject)
  })

const readJson = async <T>(url: string): Promise<T> => (await (await fetch(url)).json()) as T

describe('serve', () => {
  const { folder, remove } = newFolder()
  const keys = path.join(folder, 'ca-keys')
  let url = ''
  let environment: Record<string, string> = {}
  let program: Program
  before(async () => {
    // The page is among what is built; on a fresh clone the tests come before the first start.
    execFileSync(process.execPath, [fileURLToPath(new URL('../../src/bootstrap.mjs', import.meta.url)), '--build'], { stdio: 'pipe' })
    url = `http://localhost:${await freePort()}`
    environment = { ICA_URL: url }
    program = await serve(folder, environment)
  })
  after(async () => {
    program.child.kill('SIGKILL')
    await program.result
    remove()
  })

  it('makes a CA the first time, and says where everything is', async () => {
    // The log says that it listens just before the page of addresses is printed.
    for (let tries = 0; tries < 300 && !program.stdout().includes('ICA_KEY_PASSPHRASE_FILE'); tries++) await sleep(100)
    assert.deepEqual(readdirSync(keys).sort(), ['in-use', 'intermediate.key', 'intermediate.pem', 'root.key', 'root.pem'])
    const root = new X509Certificate(readFileSync(path.join(keys, 'root.pem')))
    for (const part of [
      `${url}/acme/directory`,
      `${url}/ca/root.pem`,
      root.fingerprint256,
      `${url}/ocsp`,
      `${url}/crl/`,
      'certbot certonly',
      'lego --server',
      'acme.sh --issue',
    ]) {
      assert.ok(program.stdout().includes(part), part)
    }
    assert.match(program.stdout(), /FOR TRYING OUT: .* ICA_KEY_PASSPHRASE_FILE/s)
    assert.equal(statSync(path.join(folder, 'data', 'ca-keys.passphrase')).mode & 0o777, 0o600)
    assert.equal(statSync(path.join(folder, 'data', 'ica.db')).mode & 0o077, 0)
  })

  it('serves ACME, facts, status and its own state', async () => {
    const directory = await readJson<{ newOrder: string }>(`${url}/acme/directory`)
    assert.equal(directory.newOrder, `${url}/acme/new-order`)
    const facts = await readJson<Facts>(`${url}/api/ca`)
    assert.equal(facts.directory, `${url}/acme/directory`)
    const root = await (await fetch(facts.root.pem)).text()
    assert.equal(new X509Certificate(root).fingerprint256, facts.root.sha256)
    for (const crl of facts.crls) assert.equal((await fetch(crl)).headers.get('content-type'), 'application/pkix-crl')
    assert.equal((await fetch(facts.intermediate.der)).headers.get('content-type'), 'application/pkix-cert')
    assert.equal((await fetch(`${url}/healthz`)).status, 200)
    const ready = await fetch(`${url}/readyz`)
    assert.deepEqual([ready.status, ((await ready.json()) as Readiness).ready], [200, true])
    assert.match(await (await fetch(`${url}/metrics`)).text(), /^ica_accounts_total 0$/m)
    const nothing = await fetch(`${url}/nothing`)
    assert.equal(nothing.status, 404)
    assert.match(nothing.headers.get('x-request-id') ?? '', /./)
  })

  it('listens on both loopback addresses', async () => {
    const { port } = new URL(url)
    assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200)
    assert.equal((await fetch(`http://[::1]:${port}/healthz`)).status, 200)
  })

  it('serves the page with a strict policy', async () => {
    const page = await fetch(`${url}/`)
    assert.equal(page.status, 200)
    const policy = page.headers.get('content-security-policy') ?? ''
    assert.match(policy, /default-src 'none'/)
    assert.match(policy, /frame-ancestors 'none'/)
    assert.doesNotMatch(policy, /unsafe|\*|data:/)
    assert.equal(page.headers.get('x-content-type-options'), 'nosniff')
    assert.equal(page.headers.get('referrer-policy'), 'no-referrer')
    const html = await page.text()
    assert.doesNotMatch(html, /<script>|<style|style=| on\w+=/)
    for (const [, file] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
      assert.match((await fetch(`${url}${file}`)).headers.get('cache-control') ?? '', /immutable/)
    }
    assert.equal((await fetch(`${url}/`, { headers: { 'If-None-Match': page.headers.get('etag') ?? '' } })).status, 304)
    for (const name of ['terms', 'cps']) assert.match(await (await fetch(`${url}/${name}`)).text(), /<h1/)
    assert.equal((await fetch(`${url}/`, { method: 'POST' })).status, 405)
  })

  it('works beside the commands', async () => {
    const list = await run(folder, ['list', '--json'], environment)
    assert.equal(list.code, 0, list.stderr)
    assert.deepEqual(
      JSON.parse(list.stdout)
        .map((c: { kind: string }) => c.kind)
        .sort(),
      ['intermediate', 'responder'],
    )
    const doctor = await run(folder, ['doctor', '--json'], environment)
    const findings: { check: string; result: string; detail: string }[] = JSON.parse(doctor.stdout).findings
    assert.match(findings.find(({ check }) => check === 'ports')?.detail ?? '', /this CA is running/)
    assert.deepEqual(
      findings.filter(({ check, result }) => result === 'error' && check !== 'DNS'),
      [],
    )
  })

  it('finds another program on its port', async () => {
    const other = newFolder()
    const { code, stderr } = await run(other.folder, ['serve'], environment)
    other.remove()
    assert.equal(code, 1)
    assert.match(stderr, /cannot listen on localhost:\d+ for web: another program listens there, perhaps this CA already\..*ICA_LISTEN/)
    assert.doesNotMatch(stderr, /\n {4}at /)
  })

  it('finishes a request that was begun before SIGTERM, and nothing after', async () => {
    const body = 'x'.repeat(100)
    const half: ClientRequest = request(`${url}/acme/new-account`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/jose+json', 'Content-Length': body.length },
    })
    const answered = new Promise<IncomingMessage>((resolve, reject) => half.on('response', resolve).on('error', reject))
    half.write(body.slice(0, 50))
    await new Promise((resolve) => setTimeout(resolve, 100))
    // What arrived before this one was read before it.
    await (await fetch(`${url}/healthz`)).text()
    const ended = stop(program)
    const isUp = () =>
      fetch(`${url}/healthz`).then(
        () => true,
        () => false,
      )
    while (await isUp()) await new Promise((resolve) => setTimeout(resolve, 20))
    half.end(body.slice(50))
    const response = await answered
    assert.equal(response.statusCode, 400)
    await whole(response)
    assert.ok((await ended) < 2000)
  })

  it('is the same CA after a restart, and gives up on a client that never ends', async () => {
    const before = snapshot(keys)
    program = await serve(folder, environment)
    assert.deepEqual(snapshot(keys), before)
    assert.doesNotMatch(program.stderr(), /"created":true|made a new OCSP responder/)
    const endless = request(`${url}/acme/new-account`, { method: 'POST', headers: { 'Content-Length': 100 } })
    endless.on('error', () => undefined)
    endless.write('x')
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.ok((await stop(program)) < 5000)
  })

  it('stops where half of the keys are missing, and touches nothing', async () => {
    const away = path.join(folder, 'away')
    renameSync(path.join(keys, 'intermediate.key'), away)
    const before = snapshot(keys)
    const { code, stderr } = await run(folder, ['serve'], environment)
    assert.equal(code, 1)
    assert.match(stderr, /is incomplete: intermediate\.key is missing, while root\.key, root\.pem, intermediate\.pem are there/)
    assert.deepEqual(snapshot(keys), before)
    renameSync(away, path.join(keys, 'intermediate.key'))
  })

  it('stops where the database is another one than the keys were used with', async () => {
    const { code, stderr } = await run(folder, ['serve'], {
      ...environment,
      DATABASE_URL: 'file:./other/ica.db',
      ICA_KEY_PASSPHRASE_FILE: './data/ca-keys.passphrase',
    })
    assert.equal(code, 1)
    assert.match(stderr, /other\/ica\.db is new, but the CA in .* has issued before, with file:.*data\/ica\.db\./)
    const keyless = await run(folder, ['serve'], { ...environment, ICA_KEYS: './other-keys' })
    assert.equal(keyless.code, 1)
    assert.match(keyless.stderr, /There are no keys in .*other-keys, but the database .*data\/ica\.db belongs to a CA\. Restore/)
    assert.equal(existsSync(path.join(folder, 'other-keys', 'root.key')), false)
  })

  it('stops where keys and database are of two CAs', async () => {
    const other = newFolder()
    assert.equal((await run(other.folder, ['init', '--name', 'Other'], environment)).code, 0)
    const { code, stderr } = await run(folder, ['serve'], {
      ...environment,
      ICA_KEYS: path.join(other.folder, 'ca-keys'),
      ICA_KEY_PASSPHRASE_FILE: path.join(other.folder, 'data', 'ca-keys.passphrase'),
    })
    other.remove()
    assert.equal(code, 1)
    assert.match(stderr, /belongs to the CA [0-9a-f]{16}, the keys in .* to the CA [0-9a-f]{16}/)
  })

  it('says which passphrase does not open the keys', async () => {
    const file = path.join(folder, 'wrong')
    writeFileSync(file, 'wrong\n', { mode: 0o600 })
    const { code, stderr } = await run(folder, ['serve'], { ...environment, ICA_KEY_PASSPHRASE_FILE: file })
    rmSync(file)
    assert.equal(code, 1)
    assert.match(stderr, /intermediate\.key: The private key can’t be opened: the passphrase is wrong/)
  })

  it('reports every mistake of the configuration and exits', async () => {
    const { code, stderr } = await run(folder, ['serve'], { ICA_URL: 'http://ica.example.org', ICA_LAB: 'maybe', ICA_LITSEN: 'x' })
    assert.equal(code, 1)
    assert.match(
      stderr,
      /The configuration has 3 mistakes:\n {2}ICA_LITSEN: no such setting; is ICA_LISTEN meant\?\n {2}ICA_LAB: .*\n {2}ICA_URL: .*plain http/,
    )
  })
})

describe('serve by https', () => {
  const { folder, remove } = newFolder()
  let environment: Record<string, string> = {}
  let program: Program
  let port = 0
  let statusPort = 0
  before(async () => {
    port = await freePort()
    statusPort = await freePort()
    environment = { ICA_URL: `https://localhost:${port}`, ICA_LISTEN: `localhost:${port}`, ICA_STATUS_LISTEN: `127.0.0.1:${statusPort}` }
    program = await serve(folder, environment)
  })
  after(async () => {
    program.child.kill('SIGKILL')
    await program.result
    remove()
  })
  const secure = (target: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      httpsGet(target, { ca: readFileSync(path.join(folder, 'ca-keys', 'root.pem')), agent: false }, resolve).on('error', reject)
    })

  it('shows a certificate of its own, under its own root', async () => {
    const response = await secure(`https://localhost:${port}/acme/directory`)
    assert.equal(JSON.parse(await whole(response)).newNonce, `https://localhost:${port}/acme/new-nonce`)
    assert.equal((await secure(`https://127.0.0.1:${port}/healthz`)).statusCode, 200)
  })

  it('serves status by plain http, and only that', async () => {
    const base = `http://127.0.0.1:${statusPort}`
    assert.equal((await fetch(`${base}/ca/root.pem`)).status, 200)
    assert.equal((await fetch(`${base}/acme/directory`)).status, 404)
    assert.equal((await fetch(`${base}/api/ca`)).status, 404)
    const home = await fetch(`${base}/`, { redirect: 'manual' })
    assert.deepEqual([home.status, home.headers.get('location')], [308, `https://localhost:${port}/`])
    await assert.rejects(new Promise((resolve, reject) => httpGet(`http://localhost:${port}/acme/directory`, resolve).on('error', reject)))
  })

  it('keeps its certificate over a restart', async () => {
    const serial = async () => {
      const response = await secure(`https://localhost:${port}/healthz`)
      return (response.socket as TLSSocket).getPeerCertificate().serialNumber
    }
    const before = await serial()
    await stop(program)
    program = await serve(folder, environment)
    assert.equal(await serial(), before)
  })
})
