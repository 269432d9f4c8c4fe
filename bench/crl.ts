/**
 * How long a CRL takes, and how much memory: this program beside `openssl ca -gencrl` and the generators of the libraries. Each in a process of its own.
 *
 *   npm run bench:crl -- [--sizes 10000,100000,1000000] [--slow 10000]
 *
 * "reading" goes through the rows in SQLite and does nothing with them; "reading + CRL" makes the list of them, its body in a file; the difference is the encoder. Both are done five
 * times in turn, and of each the run with the least CPU time counts: the difference is small, and machines of others slow a run down by half. "saving" puts the
 * list into SQLite in the place of another one, "loading" reads it into memory, as `xmpp-ica crl --out` does, "shelf" reads and packs it part by part, as it is served, "sending" gives it to one client who
 * wants it unpacked. "publishing" is what the running CA does, the complete list and one for each of 16 shards, before anybody asks for them; "taking all up" is
 * each of them being asked for, and "publishing again" the same as the first while all are served. Memory is what the process needed at most above what it had before.
 * The pause is the longest that the event loop stood still; what of it the process computed (in whatever thread) stands beside it, for the rest is
 * waiting: for the disk, or for a processor where others have them. "idle" does nothing, to show how long the machine makes a process wait anyway. The libraries
 * take so long that they get no more than --slow entries.
 */
import 'reflect-metadata'
import { spawn } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Database from 'libsql'
import { crlShards } from '../src/build.js'
import { type CrlPublisherDeps, createCrlPublisher } from '../src/issuance/crls.js'
import type { CrlBody, CrlEnds } from '../src/model.js'
import { newSerial } from '../src/pki/certificate.js'
import { encodeCrl } from '../src/pki/crl.js'
import { makeRoot } from '../src/pki/hierarchy.js'
import { nodeSigner } from '../src/pki/keys.js'
import { pemEncode } from '../src/pki/pem.js'
import { issuerId, readCertificate } from '../src/pki/read-certificate.js'
import { createCrlShelf } from '../src/status/crl-shelf.js'
import { type Resource, sendResource } from '../src/status/http.js'
import { type CrlFacts, type CrlRow, openStore, type Store } from '../src/store/store.js'
import { saveCrl, silent } from '../test/store/fixtures.js'
import { home } from './servers.js'

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '10000,100000,1000000' },
    slow: { type: 'string', default: '10000' },
    one: { type: 'string' },
    folder: { type: 'string', default: '' },
    count: { type: 'string', default: '0' },
  },
})
type Pause = { ms: number; cpuMs: number }
type Figures = { seconds: number; cpu: number; mib: number; pause: Pause | null; octets: number | null }
const day = 86_400_000
const now = Math.floor(Date.now() / 1000) * 1000

/** Sees how long the event loop stands still. `cpuMs`: the most that the process computed during one pause. */
const watchPauses = (): (() => Pause) => {
  const longest = { ms: 0, cpuMs: 0 }
  let [last, used] = [performance.now(), process.cpuUsage()]
  const timer = setInterval(() => {
    const [at, ms] = [performance.now(), performance.now() - last - 1]
    const { user, system } = process.cpuUsage(used)
    longest.ms = Math.max(longest.ms, ms)
    longest.cpuMs = Math.max(longest.cpuMs, Math.min(ms, (user + system) / 1000))
    last = at
    used = process.cpuUsage()
  }, 1)
  return () => {
    clearInterval(timer)
    return longest
  }
}

const lengthOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { length }) => sum + length, 0)

/** Forgets the peak of this process's memory, where the system is one that can (Linux): what was there before `work` is not its own. */
const forgetPeak = (): void => {
  try {
    writeFileSync('/proc/self/clear_refs', '5')
  } catch {
    // It counts from the start of the process then.
  }
}

/** Measures `work` in this process, after a moment of idleness. */
const measure = async (work: () => Promise<number>): Promise<Figures> => {
  await sleep(300)
  forgetPeak()
  const idle = process.memoryUsage.rss()
  const pauses = watchPauses()
  const [from, cpu] = [performance.now(), process.cpuUsage()]
  const octets = await work()
  const used = process.cpuUsage(cpu)
  const seconds = (performance.now() - from) / 1000
  await sleep(20)
  const pause = pauses()
  const mib = process.resourceUsage().maxRSS / 1024 - idle / 2 ** 20
  return { seconds, cpu: (used.user + used.system) / 1e6, mib, pause, octets }
}

const readCa = (folder: string): { key: KeyObject; certificate: ReturnType<typeof readCertificate> } => ({
  key: createPrivateKey(readFileSync(path.join(folder, 'key.pem'))),
  certificate: readCertificate(readFileSync(path.join(folder, 'ca.der'))),
})

const serials = function* (count: number): Generator<string> {
  for (let i = 0; i < count; i++) yield `5a${randomBytes(15).toString('hex')}`
}

const clock = { now: () => Date.now() }

/** The issuer of a prepared folder, and the list that was made there. */
const readIssuer = (folder: string): CrlPublisherDeps['sources'][number]['issuer'] => {
  const { key, certificate } = readCa(folder)
  const ski = certificate.ski as Uint8Array
  return { id: issuerId(ski), subject: certificate.subject, ski, signer: nodeSigner(key) }
}
/** Keeps the body of a list in a file. */
const inFile = (file: string): CrlBody => {
  const handle = openSync(file, 'w+')
  const lengths: number[] = []
  return {
    put: async (piece) => {
      writeSync(handle, piece)
      lengths.push(piece.length)
    },
    *pieces() {
      const buffer = new Uint8Array(Math.max(0, ...lengths))
      let at = 0
      for (const length of lengths) {
        at += readSync(handle, buffer, 0, length, at)
        yield buffer.subarray(0, length)
      }
    },
  }
}
/** In pieces as they are made. */
const listIn = (folder: string): Pick<CrlRow, 'octets' | 'der'> => {
  const whole = readFileSync(path.join(folder, 'ours.crl'))
  const pieceSize = 500_000
  const der = Array.from(
    { length: Math.ceil(whole.length / pieceSize) },
    (_, i) => new Uint8Array(whole.subarray(i * pieceSize, (i + 1) * pieceSize)),
  )
  return { octets: whole.length, der }
}
const madeList = (folder: string, number: bigint): CrlRow => ({
  issuerId: readIssuer(folder).id,
  shard: null,
  number,
  thisUpdate: now,
  nextUpdate: now + 7 * day,
  ...listIn(folder),
})

/** What the running CA does: `publish` makes the lists and saves them, `ask` takes up each as when it is asked for; both give the size of the complete one. */
const caOn = (folder: string, store: Store): { publish(): Promise<number>; ask(): Promise<number> } => {
  const issuer = readIssuer(folder)
  const shelf = createCrlShelf({ clock, log: silent, store })
  const shards = Array.from({ length: crlShards }, (_, shard) => shard)
  const sources = [{ issuer, shards, shardUrls: (shard: number) => [`http://status.bench.test/crl/${issuer.id}/${shard}.crl`] }]
  const served = new Map<number | null, Resource | null>()
  let octets = 0
  const onPublished = (crl: CrlFacts): void => {
    if (crl.shard === null) octets = crl.octets
    shelf.put(crl)
  }
  const publisher = createCrlPublisher({ clock, log: silent, store, sources, onPublished })
  return {
    publish: async () => {
      await publisher.publishAll()
      for (const [shard, before] of served) while ((await shelf.get(issuer.id, shard)) === before) await sleep(5)
      return octets
    },
    ask: async () => {
      for (const shard of [null, ...shards]) served.set(shard, await shelf.get(issuer.id, shard))
      return served.get(null)?.octets ?? 0
    },
  }
}

/** Gives what is on a shelf to one client, who takes it as it comes; its octets. */
const send = async (resource: Resource): Promise<number> => {
  let octets = 0
  const client = new Writable({
    write: (chunk, _, done) => {
      octets += chunk.length
      done()
    },
  })
  sendResource({ method: 'GET', headers: {} } as never, Object.assign(client, { writeHead: () => undefined }) as never, resource, now)
  await once(client, 'finish')
  return octets
}

/** The ways to make a list, in the process that is measured. Each gives the size of the list. */
const ways: Record<string, (folder: string, count: number) => Promise<Figures>> = {
  idle: () => measure(() => sleep(3000, 0)),
  reading: async (folder) => {
    const store = await openStore({ url: `file:${folder}/ica.db`, log: silent, readOnly: true })
    const id = issuerId(readCa(folder).certificate.ski as Uint8Array)
    return measure(async () => {
      let entries = 0
      for await (const batch of store.revokedEntries(id, null, 0)) entries += batch.length
      return entries
    })
  },
  'reading + CRL': async (folder) => {
    const store = await openStore({ url: `file:${folder}/ica.db`, log: silent, readOnly: true })
    const { id, ...issuer } = readIssuer(folder)
    const body = inFile(path.join(folder, 'body'))
    let ends: CrlEnds | undefined
    const figures = await measure(async () => {
      const entries = store.revokedEntries(id, null, 0)
      const facts = { issuer, number: 1n, thisUpdate: now, nextUpdate: now + 7 * day, distributionPoints: [], entries }
      ends = await encodeCrl(facts, body)
      return ends.octets
    })
    const { head, tail } = ends as CrlEnds
    writeFileSync(path.join(folder, 'ours.crl'), Buffer.concat([head, readFileSync(path.join(folder, 'body')), tail]))
    return figures
  },
  saving: async (folder) => {
    const store = await openStore({ url: `file:${folder}/ica.db`, log: silent })
    const { id } = readIssuer(folder)
    for (let drawn = 0; drawn < 2; drawn++) await store.nextCrlNumber(id, null)
    await saveCrl(store, madeList(folder, 1n))
    const next = madeList(folder, 2n)
    const figures = await measure(async () => ((await saveCrl(store, next)) ? next.octets : 0))
    await store.close()
    return figures
  },
  loading: async (folder) => {
    const store = await openStore({ url: `file:${folder}/ica.db`, log: silent, readOnly: true })
    const { id } = readIssuer(folder)
    return measure(async () => (await store.currentCrl(id, null))?.octets ?? 0)
  },
  shelf: async (folder) => {
    const store = await openStore({ url: `file:${folder}/ica.db`, log: silent, readOnly: true })
    const shelf = createCrlShelf({ clock, log: silent, store })
    const { id } = readIssuer(folder)
    return measure(async () => lengthOf((await shelf.get(id, null))?.gzip ?? []))
  },
  sending: async (folder) => {
    const store = await openStore({ url: `file:${folder}/ica.db`, log: silent, readOnly: true })
    const shelf = createCrlShelf({ clock, log: silent, store })
    const { id } = readIssuer(folder)
    const resource = (await shelf.get(id, null)) as Resource
    return measure(() => send(resource))
  },
  publishing: async (folder) => {
    const store = await openStore({ url: `file:${folder}/ica.db`, log: silent })
    const figures = await measure(caOn(folder, store).publish)
    await store.close()
    return figures
  },
  'taking all up': async (folder) => {
    const store = await openStore({ url: `file:${folder}/ica.db`, log: silent, readOnly: true })
    return measure(caOn(folder, store).ask)
  },
  'publishing again': async (folder) => {
    const store = await openStore({ url: `file:${folder}/ica.db`, log: silent })
    const { ask, publish } = caOn(folder, store)
    await ask()
    const figures = await measure(publish)
    await store.close()
    return figures
  },
  pkijs: async (folder, count) => {
    const pkijs = await import('pkijs')
    const asn1js = await import('asn1js')
    const { key, certificate } = readCa(folder)
    const signing = await webcrypto.subtle.importKey(
      'pkcs8',
      key.export({ type: 'pkcs8', format: 'der' }),
      { name: 'ECDSA', namedCurve: 'P-256' },
      false,
      ['sign'],
    )
    pkijs.setEngine('node', new pkijs.CryptoEngine({ name: 'node', crypto: webcrypto as never }))
    return measure(async () => {
      const crl = new pkijs.CertificateRevocationList({ version: 1 })
      crl.issuer = pkijs.Certificate.fromBER(new Uint8Array(certificate.der).buffer).subject
      crl.thisUpdate = new pkijs.Time({ type: 0, value: new Date(now) })
      crl.revokedCertificates = [...serials(count)].map(
        (serial) =>
          new pkijs.RevokedCertificate({
            userCertificate: new asn1js.Integer({ valueHex: new Uint8Array(Buffer.from(serial, 'hex')).buffer }),
            revocationDate: new pkijs.Time({ type: 0, value: new Date(now) }),
          }),
      )
      await crl.sign(signing as never, 'SHA-256')
      return crl.toSchema(true).toBER().byteLength
    })
  },
  '@peculiar/x509': async (folder, count) => {
    const { X509CrlGenerator, cryptoProvider } = await import('@peculiar/x509')
    cryptoProvider.set(webcrypto as never)
    const { key } = readCa(folder)
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
    const signingKey = await webcrypto.subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), algorithm, false, ['sign'])
    return measure(async () => {
      const entries = [...serials(count)].map((serialNumber) => ({ serialNumber, revocationDate: new Date(now) }))
      const crl = await X509CrlGenerator.create({
        issuer: 'CN=CRL bench',
        thisUpdate: new Date(now),
        entries,
        signingAlgorithm: algorithm,
        signingKey: signingKey as never,
      })
      return crl.rawData.byteLength
    })
  },
}

/** What a child is seen to use, looked at often: CPU seconds, and the peak of its memory in MiB. */
const watched = async (command: string[], cwd: string): Promise<Figures> => {
  const [file, ...rest] = command as [string, ...string[]]
  const from = performance.now()
  const child = spawn(file, rest, { cwd, stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (data) => {
    errors += data
  })
  let [cpu, mib] = [0, 0]
  const look = setInterval(() => {
    try {
      const fields = readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
      cpu = (Number(fields[11]) + Number(fields[12])) / 100 || cpu
      mib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'latin1'))?.[1] ?? 0) / 1024 || mib
    } catch {
      // It has ended.
    }
  }, 10)
  const code = await new Promise((resolve) => child.once('exit', resolve))
  clearInterval(look)
  if (code !== 0) throw new Error(`${command.join(' ')}: ${errors}`)
  return { seconds: (performance.now() - from) / 1000, cpu, mib, pause: null, octets: null }
}

const opensslConfig = `[ca]
default_ca = it
[it]
database = index.txt
certificate = ca.pem
private_key = key.pem
default_md = sha256
default_crl_days = 7
crlnumber = number
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid
`

/** A CA with so many revoked certificates, in SQLite and in the index of openssl. */
const prepare = async (folder: string, count: number): Promise<void> => {
  mkdirSync(folder, { recursive: true })
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = nodeSigner(privateKey)
  const validity = { notBefore: now - day, notAfter: now + 3650 * day }
  const der = await makeRoot({ ...validity, serial: newSerial(randomBytes), subject: { commonName: 'CRL bench' }, signer })
  writeFileSync(path.join(folder, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  writeFileSync(path.join(folder, 'ca.der'), der)
  writeFileSync(path.join(folder, 'ca.pem'), pemEncode('CERTIFICATE', der))
  writeFileSync(path.join(folder, 'openssl.cnf'), opensslConfig)
  writeFileSync(path.join(folder, 'number'), '01\n')
  const store = await openStore({ url: `file:${folder}/ica.db`, log: silent })
  const id = issuerId(signer.publicKey.ski)
  await store.upsertIssuer({ id, kind: 'intermediate', der })
  await store.close()
  const db = new Database(path.join(folder, 'ica.db'))
  db.exec('PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF')
  db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO revocation (serial, issuer_id, crl_shard, not_after, revoked_at, reason) SELECT '5' || substr(lower(hex(randomblob(16))), 2), '${id}', i % 16, ${now + 80 * day}, ${now} - i * 1000, i % 6 FROM n`)
  const rows = db.prepare('SELECT serial FROM revocation').all([]) as { serial: string }[]
  db.close()
  const index = rows.map(({ serial }) => `R\t351231235959Z\t261101120000Z\t${serial.toUpperCase()}\tunknown\t/CN=${serial}\n`)
  writeFileSync(path.join(folder, 'index.txt'), index.join(''))
}

const inProcess = (way: string, folder: string, count: number): Promise<Figures> =>
  new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', fileURLToPath(import.meta.url), '--one', way, '--folder', folder, '--count', String(count)],
      { cwd: home, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let text = ''
    child.stdout.on('data', (data) => {
      text += data
    })
    child.once('close', (code) => (code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`${way} failed`))))
  })

/** Each way several times in turn with the others; of each the run with the least CPU time. */
const inTurn = async (names: string[], folder: string, count: number): Promise<Record<string, Figures>> => {
  const runs = Object.fromEntries(names.map((name): [string, Figures[]] => [name, []]))
  for (let round = 0; round < 5; round++) for (const name of names) runs[name]?.push(await inProcess(name, folder, count))
  return Object.fromEntries(names.map((name) => [name, runs[name]?.sort((a, b) => a.cpu - b.cpu)[0] as Figures]))
}

const compare = async (count: number, folder: string): Promise<Figures> => {
  process.stderr.write(`preparing ${count} …\n`)
  await prepare(folder, count)
  const results: Record<string, Figures> = await inTurn(['reading', 'reading + CRL'], folder, count)
  for (const way of ['idle', 'saving', 'loading', 'shelf', 'sending', 'publishing', 'taking all up', 'publishing again'])
    results[way] = await inProcess(way, folder, count)
  results['openssl ca -gencrl'] = await watched(['openssl', 'ca', '-gencrl', '-config', 'openssl.cnf', '-out', 'openssl.crl'], folder)
  if (count <= Number(values.slow)) for (const way of ['pkijs', '@peculiar/x509']) results[way] = await inProcess(way, folder, count)
  await watched(['openssl', 'crl', '-inform', 'DER', '-in', 'ours.crl', '-noout', '-CAfile', 'ca.pem'], folder)
  const [reading, whole] = [results.reading, results['reading + CRL']] as [Figures, Figures]
  results['→ the encoder alone'] = { ...whole, seconds: whole.seconds - reading.seconds, cpu: whole.cpu - reading.cpu, mib: whole.mib - reading.mib }
  const table = Object.entries(results).map(([name, { seconds, cpu, mib, pause, octets }]) => [
    name,
    {
      seconds: seconds.toFixed(2),
      'CPU s': cpu.toFixed(2),
      'MiB above idle': Math.round(mib),
      'longest pause ms': pause === null ? '-' : Math.round(pause.ms),
      'computing ms': pause === null ? '-' : Math.round(pause.cpuMs),
      octets: octets ?? '-',
    },
  ])
  console.log(`\n${count} revoked`)
  console.table(Object.fromEntries(table))
  if (count === million) console.table(goals(results))
  return results['reading + CRL'] as Figures
}

const million = 1_000_000

/** What was asked for of a million entries, beside what was measured. */
const goals = (results: Record<string, Figures>): object => {
  const row = (goal: number, measured: number) => ({
    goal: `< ${goal}`,
    measured: Number(measured.toFixed(2)),
    reached: measured < goal ? 'yes' : 'NO',
  })
  const { idle, publishing, '→ the encoder alone': encoder, ...others } = results as Record<string, Figures>
  const ours = { publishing, ...others } as Record<string, Figures>
  const megabytes = (figures: Figures | undefined): number => ((figures?.mib ?? Number.NaN) * 2 ** 20) / 1e6
  const pauses = Object.entries(ours).flatMap(([name, { pause }]) => (pause ? [[`longest pause ms, ${name}`, row(50, pause.ms)]] : []))
  return {
    'CPU s beyond reading the rows': row(0.5, encoder?.cpu ?? Number.NaN),
    'MB above idle, publishing': row(100, megabytes(publishing)),
    'MB above idle, taking all up': row(100, megabytes(ours['taking all up'])),
    'MB above idle, publishing again': row(100, megabytes(ours['publishing again'])),
    ...Object.fromEntries(pauses),
  }
}

if (values.one) {
  console.log(JSON.stringify(await ways[values.one]?.(values.folder, Number(values.count))))
  process.exit(0)
}
const scratch = path.join(home, 'data')
mkdirSync(scratch, { recursive: true })
const folder = mkdtempSync(path.join(scratch, 'bench-crl-'))
try {
  const costs: Record<string, string> = {}
  for (const size of values.sizes.split(',').map(Number)) {
    const { cpu } = await compare(size, path.join(folder, String(size)))
    costs[size] = ((cpu / size) * 1e6).toFixed(2)
  }
  console.log('\nreading + CRL: CPU µs an entry (goal: linear, so the same for each size)', costs)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
