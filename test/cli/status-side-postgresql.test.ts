/** `serve --only status` on PostgreSQL as a user who may only read, while the database is there, gone, and back. Where ICA_TEST_POSTGRES_URL names a server. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../../src/pki/ocsp-request.js'
import { pemDecode } from '../../src/pki/pem.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { testDatabases } from '../store/fixtures.js'
import { createReader } from '../store/reader.js'
import { freePort, newFolder, start } from '../support/program.js'

const database = testDatabases().find(({ engine }) => engine === 'postgresql')

it('a status process with a user who may only read outlives its database', {
  skip: !database && 'no PostgreSQL',
  timeout: 300_000,
}, async (context) => {
  if (!database) return
  await database.create()
  const { folder, remove } = newFolder()
  const port = await freePort()
  const environment = { ICA_URL: `http://localhost:${await freePort()}` }
  const url = `http://127.0.0.1:${port}`
  const started: ReturnType<typeof start>[] = []
  context.after(async () => {
    for (const { child } of started) child.kill('SIGKILL')
    await Promise.all(started.map(({ result }) => result))
    remove()
  })
  const launch = (args: string[], more: Record<string, string>) => {
    const program = start(folder, args, { ...environment, ...more })
    started.push(program)
    return program
  }
  const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 30_000; !(await condition()); await sleep(50)) {
      assert.ok(Date.now() < end, `${what}: ${started.map(({ stderr }) => stderr()).join('\n')}`)
    }
  }

  // The one that only reads cannot make the tables, and says who does.
  const early = launch(['serve', '--only', 'status'], { DATABASE_URL: database.url, ICA_KEY_PASSPHRASE_FILE: path.join(folder, 'nothing') })
  assert.equal((await early.result).code, 1)

  const main = launch(['serve'], { DATABASE_URL: database.url })
  await until('the main process', () => main.stderr().includes('"msg":"ready"'))
  const store = await database.open()
  const reader = await createReader(database.url)
  const status = launch(['serve', '--only', 'status'], { DATABASE_URL: reader.url, ICA_STATUS_LISTEN: `127.0.0.1:${port}` })
  await until('the status process', () => status.stderr().includes('"msg":"ready"'))

  const text = async (place: string): Promise<string> => (await fetch(`${url}${place}`)).text()
  const figure = async (name: string): Promise<number> => Number(new RegExp(`^${name} (.+)$`, 'm').exec(await text('/metrics'))?.[1])
  const followed = () => figure('ica_moment_timestamp_seconds\\{moment="revocations_followed"\\}')
  const intermediate = readCertificate(pemDecode('CERTIFICATE', await text('/ca/intermediate.pem'))[0] as Uint8Array)
  const says = async (serial: string): Promise<string> => {
    const body = encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)])
    const reply = await fetch(`${url}/ocsp`, { method: 'POST', body, headers: { 'Content-Type': 'application/ocsp-request' } })
    const hex = Buffer.from(await reply.arrayBuffer()).toString('hex')
    const tag = hex.slice(hex.indexOf(serial) + serial.length).slice(0, 2)
    return ({ '80': 'good', a1: 'revoked', '82': 'unknown' } as Record<string, string>)[tag] ?? hex
  }
  const audit = { at: Date.now(), actor: 'operator:test', action: 'test', subject: 'test', detail: {} }
  const issue = async (serial: string): Promise<string> => {
    const issuerId = (await store.issuers()).find(({ kind }) => kind === 'intermediate')?.id as string
    const what = { kind: 'leaf', profile: 'xmpp-server', accountId: null, orderId: null, keyId: '00', crlShard: 0 } as const
    await store.reserveCertificate({ ...what, serial, issuerId, notBefore: Date.now(), notAfter: Date.now() + 1e9, names: [], createdAt: Date.now() })
    await store.storeCertificate(serial, Buffer.from(serial), audit)
    return serial
  }
  const [kept, unasked] = [await issue('5c00000000000000000000000000beef'), await issue('5c00000000000000000000000000cafe')]
  const tryLater = '30030a0103'
  assert.equal(await says(kept), 'good')
  assert.match(await text('/readyz'), /"ready":true.*"database":"ok"/)

  await reader.admit(false)
  await until('its word that the database is gone', async () => !/"database":"ok"/.test(await text('/readyz')))
  assert.match(await text('/readyz'), /"ready":true/, 'it goes on')
  assert.deepEqual([await says(kept), await says(unasked)], ['good', tryLater])
  const stopped = await followed()
  assert.ok(stopped > 0)
  // Meanwhile the world goes on.
  await store.recordRevocation(kept, { revokedAt: Date.now(), reason: 'superseded' }, false, audit)
  await sleep(1500)
  assert.equal(await followed(), stopped, 'the figure stands still')
  assert.ok((await figure('ica_ocsp_work_total\\{way="failures"\\}')) >= 1)

  await reader.admit(true)
  await until('what was revoked meanwhile', async () => (await says(kept)) === 'revoked')
  assert.equal(await says(unasked), 'good')
  await until('its word that the database is back', async () => /"database":"ok"/.test(await text('/readyz')))
  assert.ok((await followed()) > stopped)
  assert.doesNotMatch(status.stderr(), /permission denied|read-only transaction/)

  for (const program of [status, main]) program.child.kill('SIGTERM')
  assert.deepEqual(await Promise.all([status, main].map(async ({ result }) => (await result).code)), [0, 0])
  await store.close()
  await database.drop()
  await reader.drop()
})
