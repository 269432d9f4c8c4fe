/** Several processes that publish from one database, one of them killed in the middle: no number is ever given twice, and they only grow. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { newSerial } from '../../src/pki/certificate.js'
import { makeRoot } from '../../src/pki/hierarchy.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { issuerId } from '../../src/pki/read-certificate.js'
import { openStore } from '../../src/store/store.js'
import { day, testLog } from './fixture.js'

const script = fileURLToPath(new URL('./crl-publisher-process.ts', import.meta.url))

it('CRL numbers grow, with two processes and a crash', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ica-crls-'))
  const url = `file:${join(folder, 'ica.db')}`
  const store = await openStore({ url, log: testLog() })
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = nodeSigner(privateKey)
  const now = Date.now()
  const der = await makeRoot({ serial: newSerial(randomBytes), notBefore: now - day, notAfter: now + day, subject: { commonName: 'CRLs' }, signer })
  const id = issuerId(signer.publicKey.ski)
  await store.upsertIssuer({ id, kind: 'intermediate', der })

  const key = privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64')
  const start = (times: number): ChildProcess =>
    spawn(process.execPath, ['--import', 'tsx', script, url, key, Buffer.from(der).toString('base64'), id, `${times}`], { stdio: 'inherit' })
  const victim = start(1000)
  while (!(await store.currentCrl(id, 1))) await sleep(10)
  victim.kill('SIGKILL')
  await once(victim, 'exit')
  // What the dead one held, its time would take away.
  await store.acquireLease('crl', 'nobody', now + 10 * day, now)

  const others = [start(4), start(4)]
  for (const [code] of await Promise.all(others.map((child) => once(child, 'exit')))) assert.equal(code, 0)
  for (const shard of ['', '/0', '/1']) {
    const audits = await store.auditLog({ subject: `crl:${id}${shard}`, limit: 1000 })
    const numbers = audits.map(({ detail }) => Number(detail.number)).reverse()
    assert.ok(numbers.length >= 9, `${numbers.length} lists`)
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].sort((a, b) => a - b),
    )
  }
  await store.close()
  rmSync(folder, { recursive: true })
})
