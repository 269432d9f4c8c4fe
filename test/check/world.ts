/** Where the fixtures live: a DNS, a status server of the CA, and one XMPP server at a time that is set up as a test wants it. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { type CheckOptions, checkDomain } from '../../src/check/check.js'
import { createCheckPorts } from '../../src/check/ports.js'
import type { Report } from '../../src/check/report.js'
import { wholeCrl } from '../pki/fixtures.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { day, good, identity, intermediateDer, issuer, now, ocsp, rootDer, urlsAt } from './pki.js'
import { type Behaviour, startServer } from './server.js'

export const domain = 'example.test'

/** `dns` and `base`, the URL of the status server, are there once tests run. */
export const world = {} as { dns: DnsServer; base: string }
/** What the status server says of whatever it is asked. */
let answer: Uint8Array = new Uint8Array()
const crl = await wholeCrl({ issuer, number: 1n, thisUpdate: now - day, nextUpdate: now + day, distributionPoints: [], entries: [] })

const status = createServer((req, res) => {
  const bodies: [RegExp, Uint8Array][] = [
    [/^\/ocsp\//, answer],
    [/^\/ca\.crl$/, crl],
    [/^\/ca\.crt$/, intermediateDer],
  ]
  const found = bodies.find(([path]) => path.test(req.url ?? ''))
  if (found) res.end(Buffer.from(found[1]))
  else res.writeHead(404).end()
})

before(async () => {
  world.dns = await startDnsServer()
  await new Promise<void>((done) => status.listen(0, '127.0.0.1', done))
  world.base = `http://status.test:${(status.address() as AddressInfo).port}`
})
after(async () => {
  await world.dns.close()
  await new Promise((done) => status.close(done))
})

/** The DNS of a domain whose peers are to go to `port`, and nothing else. */
export const publish = (port: number, { direct = false, target = 'xmpp.example.test', of = domain } = {}): void => {
  const { dns } = world
  dns.clear()
  dns.set('status.test', 'A', '127.0.0.1')
  dns.set('xmpp.example.test', 'A', '127.0.0.1')
  const none = { priority: 0, weight: 0, port: 0, target: '.' }
  const record = { priority: 0, weight: 5, port, target }
  for (const [service, isIt] of [
    ['_xmpp-server', !direct],
    ['_xmpps-server', direct],
    ['_xmpp-client', false],
    ['_xmpps-client', false],
  ] as const) {
    dns.set(`${service}._tcp.${of}`, 'SRV', isIt ? record : none)
  }
}

/** The ids of what is said against a domain, sorted. */
const complaints = ({ findings }: Report): string[] =>
  findings
    .filter(({ level }) => level === 'failing' || level === 'warning')
    .map(({ id }) => id)
    .sort()

export type Made = Behaviour & {
  roots?: Uint8Array[]
  options?: Partial<CheckOptions>
  /** False as on the web: no private addresses. */
  lab?: boolean
  httpsPort?: number
  totalMs?: number
  /** Sets the DNS up, where {@link publish} is not enough. */
  dns?: (port: number) => void
  /** What the OCSP responder says, if it is not that all is good. */
  status?: Uint8Array
}

export type Fixture = {
  name: string
  domain?: string
  /** Exactly what is to be said against it. */
  expect: string[]
  /** Others that must be there, good or information. */
  also?: string[]
  make: () => Promise<Made>
}

export const serving =
  (change: Parameters<typeof identity>[2] = {}, made: Made = {}) =>
  async (): Promise<Made> => ({ identity: await identity(domain, urlsAt(world.base), change), ...made })

export const altered = (alter: (chain: Uint8Array[]) => Uint8Array[]) => async (): Promise<Made> => {
  const made = await identity(domain, urlsAt(world.base))
  return { identity: { ...made, chain: alter(made.chain) } }
}

export const instead = (write: NonNullable<Behaviour['instead']>) => async (): Promise<Made> => ({ instead: write })

const judge = async ({ name: _, domain: of = domain, expect, also = [], make }: Fixture): Promise<void> => {
  const made = await make()
  const server = await startServer(made)
  try {
    if (made.dns) made.dns(server.port)
    else publish(server.port, { direct: made.direct ?? false, of })
    const leaf = made.identity?.chain[0]
    answer = made.status ?? (leaf ? await ocsp(leaf, good) : new Uint8Array())
    const { lab = true, httpsPort = 1, totalMs = 10_000, roots = [rootDer], options } = made
    const ports = createCheckPorts({ servers: [world.dns.address], lab, now: () => now, httpsPort, dnsTryMs: 300 })
    const started = performance.now()
    const report = await checkDomain(of, ports, { roots, totalMs, ...options })
    const took = performance.now() - started
    assert.ok(took <= totalMs + 1_000, `${took} ms of ${totalMs}`)
    const said = report.findings.map(({ id, level, where, detail }) => `${level} ${id} @ ${where}: ${detail}`).join('\n')
    assert.deepEqual(complaints(report), [...expect].sort(), said)
    for (const id of also) assert.ok(said.includes(` ${id} @`), `${id} in\n${said}`)
    assert.equal(report.verdict === 'good', expect.length === 0)
  } finally {
    await server.close()
  }
}

export const run = (fixtures: readonly Fixture[]): void => {
  for (const fixture of fixtures) test(fixture.name, () => judge(fixture))
}
