import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { serve, run, freePort } from './support/program.js'
import { openCore, readConfig } from '../src/open.js'
import { createLogging } from '../src/logging.js'
import { buildIca } from '../src/build.js'
import { issueDirectly } from './support/issuing.js'
const folder = mkdtempSync('/tmp/rv-load-')
const url = `http://localhost:${await freePort()}`
writeFileSync(path.join(folder, '.env'), `ICA_URL=${url}\n`)
const program = await serve(folder, {})
const core = await openCore(readConfig(folder), createLogging('silent'), { create: false, actor: 'x', purpose: 'x' })
const ica = buildIca(core, () => {})
const N = Number(process.argv[2] ?? 100000)
const t0 = Date.now()
// rows only: the DER does not matter
for (let i = 0; i < N; ) {
  const jobs = []
  for (let j = 0; j < 1000; j++, i++) {
    const serial = randomBytes(16).toString('hex').replace(/^./, '8')
    jobs.push(core.store.reserveCertificate({ serial, issuerId: ica.issuer.id, kind: 'leaf', profile: 'xmpp-server', accountId: null, orderId: null, keyId: randomBytes(32).toString('hex'), crlShard: i % 16, notBefore: Date.now(), notAfter: Date.now() + 9e9, names: [{ form: 'dNSName', value: `n${i}.example` }, { form: 'SRVName', value: `_xmpp-client.n${i}.example` }, { form: 'SRVName', value: `_xmpp-server.n${i}.example` }], createdAt: Date.now() }).then(() => core.store.storeCertificate(serial, Buffer.from(serial + randomBytes(300).toString('hex'), 'hex'), { at: 0, actor: 'x', action: 'x', subject: 'x', detail: {} })))
  }
  await Promise.all(jobs)
}
console.log('filled', Date.now() - t0, 'ms')
const { serial } = await issueDirectly(ica, 'keep.example')
await core.store.close()
// the server: how long does a write (nonce use via readyz ping) and a status GET take meanwhile?
let stop = false
const lat: number[] = []; const bad: number[] = []
const prober = (async () => { while (!stop) { const a = performance.now(); const r = await fetch(`${url}/readyz`).catch(() => null); lat.push(performance.now() - a); if (!r || r.status !== 200) bad.push(r?.status ?? 0); await new Promise((x) => setTimeout(x, 100)) } })()
const heap: number[] = []
const lag = (async () => { while (!stop) { const a = performance.now(); await fetch(`${url}/healthz`).catch(() => 0); heap.push(performance.now() - a); await new Promise((x) => setTimeout(x, 20)) } })()
const t1 = Date.now()
const r = await run(folder, ['revoke', '--from', '2026-01-01', '--reason', 'superseded', '--yes', '--json'])
console.log(r.code, r.stdout.trim(), r.stderr.slice(-400), Date.now() - t1, 'ms')
await new Promise((x) => setTimeout(x, 15000))
stop = true; await prober; await lag
const q = (l: number[], p: number) => l.sort((a, b) => a - b)[Math.floor(l.length * p)]?.toFixed(0)
console.log('readyz (writes) n', lat.length, 'p50', q(lat, .5), 'p99', q(lat, .99), 'max', q(lat, .9999), 'bad', bad.length, bad.slice(0,5))
console.log('healthz n', heap.length, 'p50', q(heap, .5), 'p99', q(heap, .99), 'max', q(heap, .9999))
program.child.kill('SIGTERM'); const end = await program.result
console.log(end.stderr.split('\n').filter((l) => /"level":(40|50)|error|warn/.test(l)).slice(0, 5).join('\n'))
rmSync(folder, { recursive: true })
