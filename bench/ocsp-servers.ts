/** The servers of bench/ocsp.ts: this program's status side, and those beside it, each pinned to one core and listening on a port of 127.0.0.1. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createPrivateKey, randomBytes } from 'node:crypto'
import { mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import Database from 'libsql'
import { encodeCertId } from '../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../src/pki/ocsp-request.js'
import { pemDecode, pemEncode } from '../src/pki/pem.js'
import { decryptPrivateKey } from '../src/pki/private-keys.js'
import { type CertificateInfo, readCertificate } from '../src/pki/read-certificate.js'
import { freePorts, home, pinned } from './servers.js'

export type Server = {
  name: string
  pid: number
  port: number /** What stands before the base64 of a GET, and is asked by POST. */
  path: string
  stop(): Promise<void>
}

/** A CA of this program with so many good certificates, of which `serials` are some. */
export type BenchCa = { folder: string; intermediate: CertificateInfo; serials: string[]; environment: Record<string, string> }

const day = 86_400_000

/** The environment without what would configure the program. */
export const bareEnvironment = (): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ICA_') && !['DATABASE_URL', 'SMTP_URL'].includes(name)))

const launch = (command: string[], cwd: string, env: Record<string, string> = {}): ChildProcess => {
  mkdirSync(cwd, { recursive: true })
  const out = openSync(path.join(cwd, 'log'), 'a')
  const [file, ...rest] = command as [string, ...string[]]
  return spawn(file, rest, { cwd, env: { ...bareEnvironment(), ...env }, stdio: ['ignore', out, out] })
}

const stopper = (child: ChildProcess) => (): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    const cut = setTimeout(() => child.kill('SIGKILL'), 5000)
    child.once('exit', () => {
      clearTimeout(cut)
      resolve()
    })
    child.kill('SIGTERM')
  })

/** Waits until somebody listens. */
const listening = async (port: number, child: ChildProcess, log: string): Promise<void> => {
  for (let i = 0; i < 2400 && child.exitCode === null; i++) {
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true))
      socket.on('error', () => resolve(false)).on('close', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
    if (isUp) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`a server did not start: ${readFileSync(log, 'utf8').slice(-2000)}`)
}

/** The built program: what tsx makes of the sources on the fly is slower. */
export const program = path.join(home, 'src/bootstrap.mjs')

/** Starts this program: `serve` and what stands behind it. */
export const startProgram = async (
  name: string,
  ca: Pick<BenchCa, 'folder' | 'environment'>,
  port: number,
  args: string[],
  cpus: string | null,
): Promise<Server> => {
  const child = launch(pinned(cpus, [process.execPath, program, 'serve', ...args]), ca.folder, {
    ...ca.environment,
    ICA_STATUS_LISTEN: `127.0.0.1:${port}`,
  })
  await listening(port, child, path.join(ca.folder, 'log'))
  return { name, pid: child.pid as number, port, path: '/ocsp', stop: stopper(child) }
}

/** Rows as issuing leaves them behind, so far as status reads them. Serials are random, as everything that an index has to bear. */
const fill = (file: string, issuerId: string, count: number): string[] => {
  const db = new Database(file)
  const now = Date.now()
  db.exec('PRAGMA synchronous = OFF')
  db.exec(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
     INSERT INTO certificate (serial, issuer_id, kind, profile, key_id, crl_shard, not_before, not_after, created_at, der, fingerprint)
     SELECT '5' || substr(lower(hex(randomblob(16))), 2), '${issuerId}', 'leaf', 'xmpp-server', lower(hex(randomblob(32))), i % 16, ${now - day}, ${now + 80 * day}, ${now}, randomblob(800), lower(hex(randomblob(32))) FROM n`,
  )
  const rows = db.prepare(`SELECT serial FROM certificate WHERE kind = 'leaf' LIMIT 200000`).all([]) as { serial: string }[]
  db.close()
  return rows.map(({ serial }) => serial)
}

/** Makes a CA as the program does at its first start, and certificates in its database. */
export const makeCa = async (folder: string, certificates: number): Promise<BenchCa> => {
  const [web, status] = (await freePorts(2)) as [number, number]
  const environment = {
    ICA_URL: `http://localhost:${web}`,
    ICA_LISTEN: `127.0.0.1:${web}`,
    ICA_LOG_LEVEL: 'warn',
    DATABASE_URL: 'file:data/ica.db',
    ICA_KEYS: 'ca-keys',
  }
  const ca = { folder, environment }
  const main = await startProgram('main', ca, status, [], null)
  await main.stop()
  const intermediate = readCertificate(pemDecode('CERTIFICATE', readFileSync(path.join(folder, 'ca-keys/intermediate.pem'), 'utf8'))[0] as Uint8Array)
  const id = Buffer.from(intermediate.ski ?? [])
    .toString('hex')
    .slice(0, 16)
  return { ...ca, intermediate, serials: fill(path.join(folder, 'data/ica.db'), id, certificates) }
}

export const requestFor = ({ intermediate }: BenchCa, serial: string, withNonce = false): Buffer =>
  Buffer.from(encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)], withNonce ? randomBytes(16) : null))

/** openssl ocsp, which signs every answer with the same responder key. One that meets a connection that ends without a request spins for ever, so it is started for each measurement. */
export const startOpenssl = async (ca: BenchCa, serials: string[], folder: string, port: number, cpus: string): Promise<Server> => {
  mkdirSync(folder, { recursive: true })
  const data = path.join(ca.folder, 'data')
  const [name] = readdirSync(data).filter((file) => file.startsWith('ocsp-responder-'))
  const text = readFileSync(path.join(data, name as string), 'utf8')
  const passphrase = readFileSync(path.join(data, 'ca-keys.passphrase'), 'utf8').trim()
  const key = createPrivateKey(decryptPrivateKey(text, passphrase).export({ type: 'pkcs8', format: 'pem' }))
  const at = (file: string): string => path.join(folder, file)
  writeFileSync(at('key.pem'), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  writeFileSync(at('responder.pem'), pemEncode('CERTIFICATE', pemDecode('CERTIFICATE', text)[0] as Uint8Array))
  writeFileSync(at('ca.pem'), pemEncode('CERTIFICATE', ca.intermediate.der))
  writeFileSync(at('index.txt'), serials.map((serial) => `V\t351231235959Z\t\t${serial.toUpperCase()}\tunknown\t/CN=${serial}\n`).join(''))
  const command = ['openssl', 'ocsp', '-index', 'index.txt', '-CA', 'ca.pem', '-rsigner', 'responder.pem', '-rkey', 'key.pem', '-port', `${port}`]
  const child = launch(pinned(cpus, command), folder)
  while (child.exitCode === null && !readFileSync(at('log'), 'utf8').includes('ACCEPT')) await new Promise((resolve) => setTimeout(resolve, 50))
  return { name: 'openssl ocsp', pid: child.pid as number, port, path: '/', stop: stopper(child) }
}

/** cfssl ocspserve with answers that were signed before. */
export const startCfssl = async (responses: Uint8Array[], folder: string, port: number, cpus: string): Promise<Server> => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'responses'), responses.map((body) => `${Buffer.from(body).toString('base64')}\n`).join(''))
  const child = launch(pinned(cpus, ['cfssl', 'ocspserve', '-address=127.0.0.1', `-port=${port}`, '-responses=responses', '-loglevel=5']), folder, {
    GOMAXPROCS: '1',
  })
  await listening(port, child, path.join(folder, 'log'))
  return { name: 'cfssl ocspserve', pid: child.pid as number, port, path: '/', stop: stopper(child) }
}

/** One answer for everything, which is what Node can do at most: `http` by its own HTTP; `net` without any, for each chunk that arrives, with a head of the length of ours. */
export const startBare = async (how: 'http' | 'net', body: Uint8Array, folder: string, port: number, cpus: string): Promise<Server> => {
  const answer = `const b=Buffer.from('${Buffer.from(body).toString('base64')}','base64')`
  const servers = {
    http: `require('node:http').createServer((q,r)=>{r.writeHead(200,{'Content-Type':'application/ocsp-response','Content-Length':b.length});r.end(b)})`,
    net: `require('node:net').createServer({noDelay:true},s=>s.on('error',()=>{}).on('data',()=>s.write(a)))`,
  }
  const head = `const a=Buffer.concat([Buffer.from('HTTP/1.1 200 OK\\r\\nContent-Type: application/ocsp-response\\r\\nContent-Length: '+b.length+'\\r\\nX: ${'x'.repeat(300)}\\r\\n\\r\\n'),b])`
  const child = launch(pinned(cpus, [process.execPath, '-e', `${answer};${head};${servers[how]}.listen(${port},'127.0.0.1')`]), folder)
  await listening(port, child, path.join(folder, 'log'))
  return { name: `node:${how}, fixed`, pid: child.pid as number, port, path: '/ocsp', stop: stopper(child) }
}

/** Octets as a string of nginx's configuration; a dollar sign begins a variable there, so that `$dollar` stands for one. */
const quoted = (body: Uint8Array): Buffer =>
  Buffer.concat(
    [...body].map((octet) =>
      Buffer.from(octet === 0x24 ? '\u0024{dollar}' : octet === 0x22 || octet === 0x5c ? `\\${String.fromCharCode(octet)}` : [octet]),
    ),
  )

/**
 * nginx with one answer for everything: what the machine can do. `file`: a file, as nginx is used; since it serves files to GET alone, a POST takes an internal redirect more.
 * `memory`: the octets from its configuration, to any method.
 */
export const startNginx = async (how: 'file' | 'memory', body: Uint8Array, folder: string, port: number, cpus: string): Promise<Server> => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'answer'), body)
  const location =
    how === 'file'
      ? Buffer.from(`alias ${folder}/answer; error_page 405 =200 $uri;`)
      : Buffer.concat([Buffer.from('return 200 "'), quoted(body), Buffer.from('";')])
  writeFileSync(
    path.join(folder, 'nginx.conf'),
    Buffer.concat([
      Buffer.from(`worker_processes 1; daemon off; pid ${folder}/pid; error_log ${folder}/log; user root;
     events { worker_connections 1024; }
     http { access_log off; keepalive_requests 1000000000; open_file_cache max=10; default_type application/ocsp-response; client_body_temp_path ${folder}/body;
       geo $dollar { default "$"; }
       server { listen 127.0.0.1:${port}; location ~ ^ { `),
      location,
      Buffer.from(' } } }\n'),
    ]),
  )
  const child = launch(pinned(cpus, ['nginx', '-c', path.join(folder, 'nginx.conf'), '-p', folder]), folder)
  await listening(port, child, path.join(folder, 'log'))
  return { name: `nginx, ${how}`, pid: child.pid as number, port, path: '/ocsp', stop: stopper(child) }
}

/** Names, with the Debian package of each, what is not here. */
export const missingTools = (): string[] =>
  Object.entries({ wrk: 'wrk', nginx: 'nginx-light', openssl: 'openssl', cfssl: 'golang-cfssl', taskset: 'util-linux' }).flatMap(([tool, debian]) => {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`])
      return []
    } catch {
      return [`${tool} (apt install ${debian})`]
    }
  })
