/** Starts and ends the servers that are measured, each in a folder of its own on the disk that the repository is on. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { createConnection } from '../test/support/lean-acme.js'
import { startPostgresql } from './postgresql.js'

export const home = path.dirname(path.dirname(fileURLToPath(import.meta.url)))

/** A running server. `pid` is the process (below it perhaps others) whose CPU time counts. */
export type Running = { name: string; pid: number; directory: string; ca: string; stop(): Promise<void> }
export type StartOptions = {
  folder: string
  /** CPU list for taskset, or null for all. */
  cpus: string | null
  /** Every challenge is found valid without a look at the network. */
  alwaysValid: boolean
  /** host:port of the DNS server that validation asks. */
  dns: string
  /** Arguments for node itself, e.g. --cpu-prof. */
  nodeArguments?: string[]
  /** Another checkout of this program, built. */
  tree?: string
}

/** A command line pinned to CPUs where `cpus` says so. */
export const pinned = (cpus: string | null, command: string[]): string[] => (cpus === null ? command : ['taskset', '-c', cpus, ...command])

/** TCP ports of 127.0.0.1 that were free a moment ago. */
export const freePorts = async (count: number): Promise<number[]> => {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer()
          server.on('error', reject).listen(0, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

const start = (command: string[], log: string, env: Record<string, string>, cwd = home): ChildProcess => {
  const out = openSync(log, 'w')
  const [file, ...rest] = command as [string, ...string[]]
  return spawn(file, rest, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', out, out] })
}

/** SIGTERM, then SIGKILL after 5 s. */
const end = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
    child.on('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.kill('SIGTERM')
  })

/** Waits until `url` answers 200 over the connection that trusts the file `ca` only. The file may appear late. */
const answering = async (child: ChildProcess, url: string, ca: string | undefined, log: string): Promise<void> => {
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) break
    try {
      const connection = createConnection(new URL(url).origin, ca === undefined ? undefined : readFileSync(ca, 'utf8'))
      const reply = await connection.request('GET', url)
      connection.close()
      if (reply.status === 200) return
    } catch {
      // Not up yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await end(child)
  throw new Error(`${url} does not answer:\n${readFileSync(log, 'utf8').slice(-3000)}`)
}

/** pebble-challtestsrv: a DNS server whose TXT records are set over HTTP. */
export const startDns = async (folder: string, cpus: string | null) => {
  mkdirSync(folder, { recursive: true })
  const [dns, management] = (await freePorts(2)) as [number, number]
  const log = path.join(folder, 'challtestsrv.log')
  const off = ['-http01', '', '-https01', '', '-tlsalpn01', '', '-defaultIPv6', '']
  const child = start(pinned(cpus, ['pebble-challtestsrv', '-dns01', `127.0.0.1:${dns}`, '-management', `127.0.0.1:${management}`, ...off]), log, {})
  const url = `http://127.0.0.1:${management}`
  for (let i = 0; ; i++) {
    try {
      const connection = createConnection(url)
      await connection.request('POST', `${url}/clear-txt`, 'application/json', '{"host":"a.test."}')
      connection.close()
      break
    } catch (error) {
      if (i > 50 || child.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  return { address: `127.0.0.1:${dns}`, management: url, stop: () => end(child) }
}

/** Pebble without its deliberate delays and nonce rejections. It keeps everything in memory. */
export const startPebble = async (options: StartOptions): Promise<Running> => {
  mkdirSync(options.folder, { recursive: true })
  const [port, management] = (await freePorts(2)) as [number, number]
  const at = (name: string) => path.join(options.folder, name)
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', at('key.pem'), '-out', at('cert.pem'), '-days', '7', ...subject], { stdio: 'pipe' })
  const config = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: at('cert.pem'),
    privateKey: at('key.pem'),
    httpPort: 5002,
    tlsPort: 5001,
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
  }
  writeFileSync(at('pebble.json'), JSON.stringify({ pebble: config }))
  const child = start(pinned(options.cpus, ['pebble', '-config', at('pebble.json'), '-dnsserver', options.dns]), at('log'), {
    PEBBLE_VA_NOSLEEP: '1',
    PEBBLE_WFE_NONCEREJECT: '0',
    ...(options.alwaysValid && { PEBBLE_VA_ALWAYS_VALID: '1' }),
  })
  const directory = `https://127.0.0.1:${port}/dir`
  await answering(child, directory, at('cert.pem'), at('log'))
  return { name: 'Pebble', pid: child.pid as number, directory, ca: at('cert.pem'), stop: () => end(child) }
}

/** This program on a PostgreSQL of its own, which shares its cores. The CPU time of PostgreSQL is not in `pid`. */
export const startOursOnPostgresql = async (options: StartOptions): Promise<Running> => {
  const [port] = (await freePorts(1)) as [number]
  const database = await startPostgresql(port, options.cpus)
  const running = await startOurs(options, database.url)
  const stop = async () => {
    await running.stop()
    await database.stop()
  }
  return { ...running, name: 'xmpp-ica on PostgreSQL', stop }
}

/** This program, on a fresh SQLite file where no other database is given: as a user starts it, or (alwaysValid) through issue-server.mjs, which puts another validator in. */
export const startOurs = async (options: StartOptions, database?: string): Promise<Running> => {
  mkdirSync(options.folder, { recursive: true })
  const [port, status] = (await freePorts(2)) as [number, number]
  const at = (name: string) => path.join(options.folder, name)
  const { tree = home } = options
  const script = options.alwaysValid ? [path.join(tree, 'bench/issue-server.mjs')] : [path.join(tree, 'src/bootstrap.mjs'), 'serve']
  const environment = {
    ICA_URL: `https://127.0.0.1:${port}`,
    ICA_STATUS_URL: `http://127.0.0.1:${status}`,
    ICA_LISTEN: `127.0.0.1:${port}`,
    ICA_STATUS_LISTEN: `127.0.0.1:${status}`,
    ICA_DNS_SERVERS: options.dns,
    ICA_LAB: '1',
    // Counted as always; only higher, because all comes from one address and few accounts.
    ICA_LIMITS: 'newAccountsPerAddress=1000000/1h, ordersPerAccount=1000000/1h',
    DATABASE_URL: database ?? `file:${at('ica.db')}`,
    ICA_KEYS: at('ca-keys'),
  }
  const child = start(pinned(options.cpus, [process.execPath, ...(options.nodeArguments ?? []), ...script]), at('log'), environment, tree)
  const directory = `https://127.0.0.1:${port}/acme/directory`
  await answering(child, directory, at('ca-keys/root.pem'), at('log'))
  const name = options.tree === undefined ? 'xmpp-ica' : `xmpp-ica in ${options.tree}`
  return { name, pid: child.pid as number, directory, ca: at('ca-keys/root.pem'), stop: () => end(child) }
}
