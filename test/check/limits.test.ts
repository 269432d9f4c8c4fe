/** What strangers can make a check do: certificates and lists without end, each asked once and within bounds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkChain, checkDomain } from '../../src/check/check.js'
import { createCheckPorts } from '../../src/check/ports.js'
import { readPeerCertificate } from '../../src/pki/peer-certificate.js'
import { readCrlStatus } from '../../src/pki/read-status.js'
import { wholeCrl } from '../pki/fixtures.js'
import { day, identity, intermediateDer, issuer, now, rootDer, urlsAt } from './pki.js'
import { startServer } from './server.js'
import { domain, publish, world } from './world.js'

test('a CRL of a quarter of a million entries costs no time to speak of', async () => {
  const [leafDer] = (await identity(domain, urlsAt('http://status.test'))).chain as [Uint8Array]
  const leaf = readPeerCertificate(leafDer)
  const above = readPeerCertificate(intermediateDer)
  const facts = { issuer, number: 1n, thisUpdate: now - day, nextUpdate: now + day, distributionPoints: [] }
  const entry = (serial: string) => ({ serial, revokedAt: now - day, reason: 'unspecified' as const })
  const many = Array.from({ length: 250_000 }, (_, index) => entry((index + 1).toString(16).padStart(6, '0')))
  const crl = await wholeCrl({ ...facts, entries: [many] })
  const listing = await wholeCrl({ ...facts, entries: [[...many, entry(leaf.serial)]] })
  assert.ok(crl.length > 4 * 1024 * 1024)
  const before = process.cpuUsage()
  const heap = process.memoryUsage().heapUsed
  assert.equal(readCrlStatus(crl, leaf, above).status, 'good')
  assert.equal(readCrlStatus(listing, leaf, above).status, 'revoked')
  const { user, system } = process.cpuUsage(before)
  assert.ok(user + system < 600_000, `${user + system} µs of the processor for both`)
  assert.ok(process.memoryUsage().heapUsed - heap < 16 * 1024 * 1024, 'no object for each entry')
})

test('six certificates at six endpoints: four are asked about, the issuer and the CRL once', async () => {
  const servers = await Promise.all(
    [false, false, false, true, true, true].map(async (direct) => startServer({ direct, identity: await identity(domain, urlsAt(world.base)) })),
  )
  try {
    publish(1)
    const at = (index: number) => ({ priority: index, weight: 0, port: servers[index]?.port as number, target: 'xmpp.example.test' })
    world.dns.set(`_xmpp-server._tcp.${domain}`, 'SRV', at(0), at(1), at(2))
    world.dns.set(`_xmpps-server._tcp.${domain}`, 'SRV', at(3), at(4), at(5))
    const ports = createCheckPorts({ servers: [world.dns.address], lab: true, now: () => now, httpsPort: 1, dnsTryMs: 300 })
    const asked: string[] = []
    const get: typeof ports.get = (url, ...rest) => {
      asked.push(url)
      return ports.get(url, ...rest)
    }
    const report = await checkDomain(domain, { ...ports, get }, { roots: [rootDer], totalMs: 10_000 })
    const ids = report.findings.map(({ id }) => id)
    assert.equal(report.certificates.length, 6)
    assert.equal(asked.filter((url) => url.endsWith('/ca.crl')).length, 1)
    assert.equal(asked.filter((url) => url.includes('/ocsp/')).length, 4)
    assert.ok(ids.includes('status-many') && ids.includes('crl-good'), ids.join())
    assert.equal(report.findings.find(({ id }) => id === 'status-many')?.where.split(', ').length, 2)
  } finally {
    await Promise.all(servers.map((server) => server.close()))
  }
})

test('a certificate above the leaf that cannot be read hides nothing of the rest', async () => {
  const [leafDer] = (await identity(domain, urlsAt('http://status.test'))).chain as [Uint8Array]
  const garbage = Uint8Array.of(0x30, 0x03, 1, 2, 3)
  const found = checkChain([leafDer, garbage, intermediateDer], domain, [rootDer], null, 'here', now)
  const unreadable = found.findings.find(({ id }) => id === 'certificate-unreadable')
  assert.deepEqual([found.verdict, unreadable?.level, found.certificates[0]?.trust], ['warnings', 'warning', 'own'])
  assert.match(unreadable?.detail ?? '', /^Number 2 of the chain/)
  const leafless = checkChain([garbage, intermediateDer], domain, [rootDer], null, 'here', now)
  assert.deepEqual([leafless.verdict, leafless.certificates], ['failing', []])
})
