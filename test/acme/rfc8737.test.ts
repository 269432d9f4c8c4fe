/** RFC 8737: tls-alpn-01 through the whole program, against a real TLS server, and one that reads what it is asked octet by octet. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import { createSecureContext } from 'node:tls'
import { createPorts } from '../../src/validation/net.js'
import { tlsAlpn01 } from '../../src/validation/tls-alpn-01.js'
import { type AcmeClient, createAcmeClient, type Reply } from '../support/acme.js'
import { createTestApp, type TestApp } from '../support/app.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { challengeOf, finalize, leafOf, orderFor, prove, srvId } from '../support/flow.js'
import { startTcpTarget, startTlsTarget, type Target } from '../support/http-target.js'
import { selfSigned, x509 } from '../support/self-signed.js'

let app: TestApp
let dns: DnsServer
let client: AcmeClient
let target: Target
/** What the TLS server shows: set by the test. */
let shown: { key: string; cert: string }
/** How many octets came to it after handshakes. */
let received = 0
before(async () => {
  dns = await startDnsServer(['test'])
  shown = await selfSigned('nobody.test')
  target = await startTlsTarget({ ALPNProtocols: ['acme-tls/1'], SNICallback: (_, done) => done(null, createSecureContext(shown)) }, (socket) => {
    socket.on('data', (data) => {
      received += data.length
    })
  })
  const ports = createPorts({ servers: [dns.address], lab: true, tlsAlpn01Port: target.port })
  app = await createTestApp({ validators: () => [tlsAlpn01(ports)] })
  client = await createAcmeClient(app.directory)
  await client.register()
})
after(async () => {
  await app.close()
  await target.close()
  await dns.close()
})
beforeEach(() => dns.clear())

const OID = '1.3.6.1.5.5.7.1.31'
const octetString = (value: Uint8Array) => Buffer.concat([Buffer.of(4, value.length), value])
const acmeIdentifier = (keyAuthorization: string, critical = true) =>
  new x509.Extension(OID, critical, octetString(createHash('sha256').update(keyAuthorization).digest()))
const dnsName = (value: string) => ({ type: 'dns', value }) as const
const san = (...names: x509.JsonGeneralName[]) => new x509.SubjectAlternativeNameExtension(names)

let count = 0
/** What comes of an authorization for a new name whose server shows what `make` gives. */
const answer = async (make: (name: string, keyAuthorization: string) => x509.Extension[], address = '127.0.0.1') => {
  const name = `n${++count}.alpn.test`
  dns.set(name, 'A', address)
  const order = await client.newOrder([name])
  const [url] = order.json.authorizations
  const { token } = challengeOf(await client.post(url), 'tls-alpn-01')
  shown = await selfSigned(name, make(name, `${token}.${client.key.thumbprint}`))
  return { name, order, authorization: await prove(client, url, 'tls-alpn-01') }
}

const isInvalid = ({ authorization }: { authorization: Reply }, says: RegExp) => {
  assert.equal(authorization.json.status, 'invalid')
  assert.match(authorization.json.challenges[0].error.detail, says)
}

test('RFC 8737 §3: a certificate with the digest of the key authorization proves the name', async () => {
  const { name, order, authorization } = await answer((name, right) => [san(dnsName(name)), acmeIdentifier(right)])
  assert.equal(authorization.json.status, 'valid')
  await leafOf(client, await finalize(client, order, { dns: [name] }))
})

test('RFC 8737 §3: the SAN must have the name as its one entry', async () => {
  isInvalid(await answer((_, right) => [san(dnsName('other.test')), acmeIdentifier(right)]), /SAN/)
  isInvalid(await answer((name, right) => [san(dnsName(name), dnsName('other.test')), acmeIdentifier(right)]), /SAN/)
  isInvalid(await answer((name, right) => [san(dnsName(name), { type: 'ip', value: '127.0.0.1' }), acmeIdentifier(right)]), /SAN/)
  isInvalid(await answer((_, right) => [acmeIdentifier(right)]), /SAN/)
})

test('RFC 8737 §3: acmeIdentifier must be there, be critical, and have the digest', async () => {
  isInvalid(await answer((name) => [san(dnsName(name))]), /no acmeIdentifier/)
  isInvalid(await answer((name, right) => [san(dnsName(name)), acmeIdentifier(right, false)]), /not critical/)
  isInvalid(await answer((name) => [san(dnsName(name)), acmeIdentifier('another')]), /instead of the key authorization/)
  isInvalid(await answer((name) => [san(dnsName(name)), new x509.Extension(OID, true, octetString(randomBytes(31)))]), /OCTET STRING of 32/)
})

test('RFC 8737 §3: names are compared without regard to case', async () => {
  const { authorization } = await answer((name, right) => [san(dnsName(name.toUpperCase())), acmeIdentifier(right)])
  assert.equal(authorization.json.status, 'valid')
})

test('RFC 8737 §3: wildcards and services have no such challenge', async () => {
  const name = `n${++count}.alpn.test`
  for (const identifiers of [[{ type: 'dns', value: `*.${name}` }], [srvId(`_xmpp-server.${name}`)]]) {
    const order = await orderFor(client, identifiers)
    assert.equal(order.status, 400)
    assert.match(order.json.detail, /tls-alpn-01/)
  }
})

test('RFC 8737 §3: token has 128 bits of entropy, in the alphabet of base64url without padding', async () => {
  const tokens = new Set<string>()
  for (let i = 0; i < 20; i++) {
    const [url] = (await client.newOrder([`token${i}.alpn.test`])).json.authorizations
    tokens.add(challengeOf(await client.post(url), 'tls-alpn-01').token)
  }
  assert.equal(tokens.size, 20)
  for (const token of tokens) assert.match(token, /^[A-Za-z0-9_-]{22,}$/)
})

/** The extensions of a ClientHello (RFC 8446 §4.1.2) by their number. */
const extensionsOf = (record: Buffer): Map<number, Buffer> => {
  let at = 5 + 4 + 2 + 32
  at += 1 + record.readUInt8(at) // session id
  at += 2 + record.readUInt16BE(at) // cipher suites
  at += 1 + record.readUInt8(at) // compression methods
  const end = at + 2 + record.readUInt16BE(at)
  const extensions = new Map<number, Buffer>()
  for (at += 2; at < end; ) {
    const length = record.readUInt16BE(at + 2)
    extensions.set(record.readUInt16BE(at), record.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return extensions
}

/** The first octets that this CA sends to the server of a name, and the name. */
const helloFor = async (): Promise<{ name: string; extensions: Map<number, Buffer> }> => {
  const hellos: Buffer[] = []
  const read = (socket: Socket) =>
    socket.once('data', (data) => {
      hellos.push(data)
      socket.destroy()
    })
  const reader = await startTcpTarget(read, { host: '127.0.0.2', port: target.port })
  const { name } = await answer(() => [], '127.0.0.2')
  await reader.close()
  return { name, extensions: extensionsOf(hellos[0] as Buffer) }
}

test('RFC 8737 §3: the handshake offers "acme-tls/1" alone, and the SNI has the name alone', async () => {
  const { name, extensions } = await helloFor()
  const prefixed = (value: string, size: 1 | 2) =>
    Buffer.concat([size === 1 ? Buffer.of(value.length) : Buffer.of(0, value.length), Buffer.from(value)])
  const list = (entry: Buffer) => Buffer.concat([Buffer.of(0, entry.length), entry])
  assert.deepEqual(extensions.get(16), list(prefixed('acme-tls/1', 1)))
  assert.deepEqual(extensions.get(0), list(Buffer.concat([Buffer.of(0), prefixed(name, 2)])))
})

test('RFC 8737 §4: nothing below TLS 1.2 is offered', async () => {
  const versions = (await helloFor()).extensions.get(43) as Buffer
  const offered = Array.from({ length: versions.readUInt8(0) / 2 }, (_, i) => versions.readUInt16BE(1 + 2 * i))
  assert.deepEqual(offered.toSorted(), [0x0303, 0x0304])
})

test('RFC 8737 §4: after the handshake no data is sent, and the connection is closed', async () => {
  const before = target.connections
  const { authorization } = await answer((name, right) => [san(dnsName(name)), acmeIdentifier(right)])
  assert.equal(authorization.json.status, 'valid')
  // The server would leave it open.
  for (let tries = 0; target.open > 0 && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.deepEqual([target.connections - before, target.open, received], [1, 0, 0])
})
