/** `serve --only status` as a user that has the OCSP responders and nothing else of the CA. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openKey } from '../../src/keystore-open.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../../src/pki/ocsp-request.js'
import { pemDecode } from '../../src/pki/pem.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { freePort, newFolder, programFile, run, serve } from '../support/program.js'

/** Of `nobody`; what it may do is what everybody may, and the group. */
const other = { uid: 65534, gid: 65534 }

const reads = (file: string): boolean =>
  spawnSync(process.execPath, ['-e', 'require("node:fs").readFileSync(process.argv[1])', file], { ...other, cwd: '/' }).status === 0

const unable = (): string | false => {
  if (process.getuid?.() !== 0) return 'only root can start a process as another user'
  return reads(programFile) ? false : 'another user cannot read the program where it lies'
}

it('a status process of another user has the responders, follows their rotation, and can’t open the CA', {
  skip: unable(),
  timeout: 300_000,
}, async (context) => {
  const { folder, remove } = newFolder()
  const file = (...names: string[]): string => path.join(folder, ...names)
  const running: ChildProcess[] = []
  context.after(async () => {
    for (const child of running) {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once('exit', resolve))
    }
    remove()
  })
  chmodSync(folder, 0o755)
  // SQLite wants its readers to write beside it, so here the group may.
  for (const [name, mode] of [
    ['db', 0o2770],
    ['status', 0o2750],
  ] as const) {
    mkdirSync(file(name))
    chownSync(file(name), 0, other.gid)
    chmodSync(file(name), mode)
  }
  writeFileSync(file('db', 'ica.db'), '')
  chmodSync(file('db', 'ica.db'), 0o660)
  writeFileSync(file('service.passphrase'), 'of the services\n')
  chownSync(file('service.passphrase'), 0, other.gid)
  chmodSync(file('service.passphrase'), 0o640)

  const common = { ICA_URL: `http://localhost:${await freePort()}`, DATABASE_URL: `file:${file('db', 'ica.db')}`, ICA_DATA: file('data') }
  const own = { ICA_SERVICE_PASSPHRASE_FILE: file('service.passphrase'), ICA_STATUS_KEYS: file('status') }
  // As it was before: everything beside the data, sealed with the passphrase of the CA.
  const before = await serve(folder, common)
  before.child.kill('SIGTERM')
  await before.result
  const [responder] = readdirSync(file('data')).filter((name) => name.startsWith('ocsp-responder-'))
  assert.ok(responder)

  const main = await serve(folder, { ...common, ...own })
  running.push(main.child)
  assert.deepEqual(readdirSync(file('status')), [responder])
  assert.ok(!readdirSync(file('data')).includes(responder))

  const port = await freePort()
  let log = ''
  const status = spawn(process.execPath, [programFile, 'serve', '--only', 'status'], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...common, ...own, ICA_DATA: '/nonexistent', ICA_KEYS: '/nonexistent', ICA_STATUS_LISTEN: `127.0.0.1:${port}` },
    stdio: ['ignore', 'ignore', 'pipe'],
    ...other,
  })
  running.push(status)
  status.stderr.on('data', (data) => {
    log += data
  })
  const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 60_000; !(await condition()); await sleep(100)) assert.ok(Date.now() < end, `${what}: ${log}`)
  }
  await until('ready', () => log.includes('"msg":"ready"'))
  const url = `http://127.0.0.1:${port}`
  assert.match(await (await fetch(`${url}/readyz`)).text(), /"ready":true.*"ocsp":"ok"/)
  const intermediate = readCertificate(pemDecode('CERTIFICATE', await (await fetch(`${url}/ca/intermediate.pem`)).text())[0] as Uint8Array)
  /** An answer has the certificate of whoever signed it. */
  const isSignedBy = async (serial: string): Promise<boolean> => {
    const body = encodeOcspRequest([encodeCertId(intermediate, 'sha1', '4a00000000000000000000000000dead')])
    const reply = await fetch(`${url}/ocsp`, { method: 'POST', body, headers: { 'Content-Type': 'application/ocsp-request' } })
    return Buffer.from(await reply.arrayBuffer()).includes(Buffer.from(serial, 'hex'))
  }

  const rotated = await run(folder, ['responder', 'rotate', '--json'], { ...common, ...own })
  assert.equal(rotated.code, 0, rotated.stderr)
  await until('the new responder', () => isSignedBy(JSON.parse(rotated.stdout).serial))
  const names = readdirSync(file('status'))
  assert.equal(names.length, 2)
  for (const name of names) {
    const { mode, gid } = statSync(file('status', name))
    assert.deepEqual([mode & 0o777, gid], [0o640, other.gid])
    assert.ok(reads(file('status', name)))
  }

  // Neither by its rights nor, if those were wrong, by its passphrase.
  for (const name of ['ca-keys/intermediate.key', 'ca-keys/root.key', 'data/ca-keys.passphrase'])
    assert.ok(statSync(file(name)).isFile() && !reads(file(name)), name)
  for (const name of ['intermediate.key', 'root.key']) assert.throws(() => openKey(file('ca-keys'), name, 'of the services'), new RegExp(name))

  const statusKeys = async (): Promise<{ result: string; detail: string }[]> =>
    JSON.parse((await run(folder, ['doctor', '--json'], { ...common, ...own })).stdout).findings.filter(
      ({ check }: { check: string }) => check === 'status keys',
    )
  assert.deepEqual(
    (await statusKeys()).map(({ result }) => result),
    ['ok'],
  )
  chmodSync(file('status', responder), 0o644)
  chmodSync(file('status'), 0o700)
  assert.deepEqual(
    (await statusKeys()).map(({ result, detail }) => [result, /chmod (\d+) /.exec(detail)?.[1]]),
    [
      ['error', '750'],
      ['error', '640'],
    ],
  )
})
