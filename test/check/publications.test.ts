/** What the DNS and the web say of a domain. */
import { createHash } from 'node:crypto'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after } from 'node:test'
import { readPeerCertificate } from '../../src/pki/peer-certificate.js'
import { selfSigned as selfSignedPem } from '../support/self-signed.js'
import { identity, intermediateDer, rootDer, urlsAt } from './pki.js'
import { domain, type Fixture, type Made, publish, run, serving, world } from './world.js'

const idn = 'xn--bcher-kva.example.test'

/** An HTTPS server whose POSH document lists the given certificates. */
const startPosh = async (document: (leaf: Uint8Array, path: string) => string, leaf: Uint8Array): Promise<number> => {
  const { key, cert } = await selfSignedPem(domain)
  const server = createServer({ key, cert }, (req, res) => res.end(document(leaf, req.url ?? '')))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  after(() => server.close())
  return (server.address() as AddressInfo).port
}

/** A document that lists a certificate. */
const listing = (leaf: Uint8Array): string =>
  JSON.stringify({ fingerprints: [{ 'sha-256': createHash('sha256').update(leaf).digest('base64') }], expires: 3600 })

const posh = (document: (leaf: Uint8Array, path: string) => string) => async (): Promise<Made> => {
  const made = await serving()()
  const httpsPort = await startPosh(document, made.identity?.chain[0] as Uint8Array)
  return {
    ...made,
    httpsPort,
    dns: (port) => {
      publish(port)
      world.dns.set(domain, 'A', '127.0.0.1')
    },
  }
}

/** A TLSA record of the leaf's key, or of what `of` says. */
const tlsa = (usage: number, of: (leaf: Uint8Array) => Uint8Array) => async (): Promise<Made> => {
  const made = await serving()()
  const { spki } = readPeerCertificate(of(made.identity?.chain[0] as Uint8Array))
  return {
    ...made,
    dns: (port) => {
      publish(port)
      const certificate = createHash('sha256').update(spki).digest()
      world.dns.set(`_${port}._tcp.xmpp.example.test`, 'TLSA', { usage, selector: 1, matchingType: 1, certificate })
    },
  }
}

const server = '_xmpp-server._tcp.example.test'
const at = (port: number) => ({ priority: 0, weight: 0, port, target: 'xmpp.example.test' })

const fixtures: Fixture[] = [
  { name: 'TLSA of the key', expect: [], also: ['tlsa-matches', 'tlsa-insecure'], make: tlsa(3, (leaf) => leaf) },
  { name: 'TLSA of the intermediate', expect: [], also: ['tlsa-matches'], make: tlsa(2, () => intermediateDer) },
  { name: 'TLSA of the root, which is not sent', expect: [], also: ['tlsa-matches'], make: tlsa(2, () => rootDer) },
  { name: 'TLSA that asks for a public root', expect: ['tlsa-mismatch'], make: tlsa(1, (leaf) => leaf) },
  {
    name: 'POSH that matches',
    expect: [],
    also: ['posh-matches'],
    make: posh(listing),
  },
  { name: 'POSH of another certificate', expect: ['posh-mismatch'], make: posh(() => '{"fingerprints":[{"sha-256":"AAAA"}],"expires":3600}') },
  {
    name: 'POSH for clients of another certificate',
    expect: ['posh-mismatch'],
    also: ['posh-matches'],
    make: async () => {
      const made = await posh((leaf, path) => (path.endsWith('/xmpp-client.json') ? '{"fingerprints":[],"expires":1}' : listing(leaf)))()
      const { dns } = made
      return {
        ...made,
        dns: (port) => {
          dns?.(port)
          world.dns.set('_xmpp-client._tcp.example.test', 'SRV', at(port))
        },
      }
    },
  },
  {
    name: 'POSH that refers to another document',
    expect: [],
    also: ['posh-matches'],
    make: posh((leaf, path) => (path === '/elsewhere' ? listing(leaf) : `{"url":"https://${domain}/elsewhere","expires":1}`)),
  },
  {
    name: 'POSH that refers to another, which refers to another',
    expect: ['posh-invalid'],
    make: posh(() => `{"url":"https://${domain}/elsewhere","expires":1}`),
  },
  { name: 'POSH that refers to an address without TLS', expect: ['posh-invalid'], make: posh(() => `{"url":"http://${domain}/x","expires":1}`) },
  {
    name: 'TLSA records that cannot be looked up',
    expect: ['dns-failed'],
    make: async () => ({
      ...(await serving()()),
      dns: (port) => {
        publish(port)
        world.dns.misbehave(`_${port}._tcp.xmpp.example.test`, 'SERVFAIL')
      },
    }),
  },
  { name: 'POSH that is none', expect: ['posh-invalid'], make: posh(() => '{"fingerprints":') },
  { name: 'a web page where POSH would be', expect: [], make: posh(() => '<html></html>') },
  {
    name: 'CAA for another CA',
    expect: [],
    also: ['caa-forbids'],
    make: async () => ({
      ...(await serving()()),
      options: { caaIdentities: ['ca.test'] },
      dns: (port) => {
        publish(port)
        world.dns.set(domain, 'CAA', { tag: 'issue', value: 'other.test' })
      },
    }),
  },
  {
    name: 'no SRV records, but an address',
    expect: ['connection-refused'],
    also: ['srv-missing'],
    make: async () => ({
      options: { only: 's2s', fallbackPorts: { c2s: 1, s2s: 1 } },
      dns: () => {
        world.dns.clear()
        world.dns.set(domain, 'A', '127.0.0.1')
      },
    }),
  },
  {
    name: 'the port of another protocol, from the web',
    expect: ['port-refused'],
    make: async () => ({ lab: false, dns: () => publish(25) }),
  },
  { name: 'a private address, from the web', expect: ['address-private'], make: serving({}, { lab: false }) },
  {
    name: '"." beside a target',
    expect: ['srv-dot-mixed'],
    make: serving(
      {},
      {
        dns: (port) => {
          publish(port)
          world.dns.set(server, 'SRV', at(port), { priority: 0, weight: 0, port: 0, target: '.' })
        },
      },
    ),
  },
  {
    name: 'two targets, of which one is down',
    expect: ['connection-refused'],
    also: ['trust-own'],
    make: serving(
      {},
      {
        dns: (port) => {
          publish(port)
          world.dns.set(server, 'SRV', at(port), { ...at(1), priority: 9 })
        },
      },
    ),
  },
  {
    name: 'IDN: streams name U-labels, certificates A-labels',
    domain: idn,
    expect: [],
    also: ['trust-own', 'names-accepted'],
    make: async () => ({ identity: await identity(idn, urlsAt(world.base)), serves: 'bücher.example.test' }),
  },
  { name: 'closed port', expect: ['connection-refused'], make: async () => ({ dns: () => publish(1) }) },
  {
    name: 'SRV to an alias',
    expect: ['srv-alias'],
    make: async () => ({
      ...(await serving()()),
      dns: (port) => {
        publish(port, { target: 'alias.example.test' })
        world.dns.set('alias.example.test', 'CNAME', 'xmpp.example.test')
      },
    }),
  },
  {
    name: 'SRV to an alias that leads in a circle',
    expect: ['dns-failed'],
    make: async () => ({
      dns: (port) => {
        publish(port, { target: 'alias.example.test' })
        world.dns.set('alias.example.test', 'CNAME', 'other.example.test')
        world.dns.set('other.example.test', 'CNAME', 'alias.example.test')
      },
    }),
  },
  {
    name: 'SRV to nowhere',
    expect: ['srv-target-missing'],
    make: async () => ({ dns: (port) => publish(port, { target: 'nowhere.example.test' }) }),
  },
  { name: 'SRV to an address', expect: ['srv-target-invalid'], make: async () => ({ dns: (port) => publish(port, { target: '192.0.2.1' }) }) },
  {
    name: 'SRV says no',
    expect: [],
    also: ['srv-not-offered'],
    make: async () => ({
      dns: () => {
        publish(1)
        world.dns.set(`_xmpp-server._tcp.${domain}`, 'SRV', { priority: 0, weight: 0, port: 0, target: '.' })
      },
    }),
  },
  { name: 'no DNS', expect: ['no-service'], make: async () => ({ dns: () => world.dns.clear() }) },
  {
    name: 'DNS in pieces',
    expect: ['dns-failed'],
    make: async () => ({
      dns: () => {
        publish(1)
        world.dns.misbehave(`_xmpp-server._tcp.${domain}`, 'SERVFAIL')
      },
    }),
  },
  {
    name: 'DNS garbage',
    expect: ['dns-failed'],
    make: async () => ({
      dns: () => {
        publish(1)
        world.dns.misbehave(`_xmpp-server._tcp.${domain}`, 'garbage')
      },
    }),
  },
  {
    name: 'DNS silence',
    expect: ['dns-failed'],
    make: async () => ({
      dns: () => {
        publish(1)
        world.dns.misbehave(`_xmpp-server._tcp.${domain}`, 'silence')
      },
    }),
  },
  {
    name: 'wrong TLSA',
    expect: ['tlsa-mismatch'],
    also: ['tlsa-insecure'],
    make: async () => ({
      ...(await serving()()),
      dns: (port) => {
        publish(port)
        world.dns.set(`_${port}._tcp.xmpp.example.test`, 'TLSA', { usage: 3, selector: 1, matchingType: 1, certificate: Buffer.alloc(32, 7) })
      },
    }),
  },
]

run(fixtures)
