/** Keys, CSRs, PKCS #12 and calendars of the form, read back by the CA's own readers and by OpenSSL. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, it } from 'node:test'
import { readCertificateRequest } from '../../src/pki/csr.js'
import type { Signer } from '../../web/src/acme/jws.js'
import { derFrom, fromBase64, pemEncode } from '../../web/src/keys/base64.js'
import { makeCalendar } from '../../web/src/keys/calendar.js'
import { makeCsr } from '../../web/src/keys/csr.js'
import { KeyProblem } from '../../web/src/keys/key-problem.js'
import { makePkcs12 } from '../../web/src/keys/pkcs12.js'
import {
  type KeyAlgorithm,
  keyAlgorithms,
  newAccountKey,
  newCertificateKey,
  readAccountKey,
  readPrivateKey,
  signerOf,
} from '../../web/src/keys/private-keys.js'
import { fingerprint, readCertificate, readRequest } from '../../web/src/keys/read.js'
import { startIssuing } from './issued.js'

const utf8 = (text: string) => new TextEncoder().encode(text)
const kinds: Record<KeyAlgorithm, string> = { 'P-256': 'P-256', 'P-384': 'P-384', 'RSA-3072': 'RSA' }

describe('keys of the form', () => {
  for (const algorithm of keyAlgorithms) {
    it(`${algorithm}: the CA reads the CSR`, async () => {
      const key = await newCertificateKey(algorithm)
      const der = await makeCsr(key, [
        { type: 'dns', value: 'example.org' },
        { type: 'dns', value: '*.example.org' },
      ])
      const request = await readCertificateRequest(der)
      assert.equal(request.publicKey.kind, kinds[algorithm])
      assert.equal(request.commonName, null)
      assert.deepEqual(request.dNSNames, ['example.org', '*.example.org'])
      assert.deepEqual(readRequest(der).key.kind, kinds[algorithm])
      assert.deepEqual(
        readRequest(der).names.map(({ value }) => value),
        ['example.org', '*.example.org'],
      )
    })
  }

  it('a service is an SRVName', async () => {
    const der = await makeCsr(await newCertificateKey('P-256'), [{ type: 'srv', value: '_xmpp-server.example.org' }])
    assert.deepEqual((await readCertificateRequest(der)).sRVNames, ['_xmpp-server.example.org'])
    assert.deepEqual(readRequest(der).names, [{ form: 'SRVName', value: '_xmpp-server.example.org' }])
  })

  it('an account key comes as the JWK of certbot and as PEM', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    const [p256, p521] = (['P-256', 'P-521'] as const).map((namedCurve) => generateKeyPairSync('ec', { namedCurve }).privateKey)
    const other = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey
    assert.ok(p256 && p521)
    for (const [key, alg] of [
      [rsa, 'RS256'],
      [p256, 'ES256'],
      [p521, 'ES512'],
    ] as const) {
      const jwk = key.export({ format: 'jwk' })
      for (const text of [
        JSON.stringify(jwk),
        ` ${JSON.stringify({ ...jwk, use: 'sig', alg: 'none' }, null, 2)}\n`,
        key.export({ type: 'pkcs8', format: 'pem' }).toString(),
      ]) {
        const signer = await signerOf(await readAccountKey(utf8(text)))
        assert.equal(signer.alg, alg)
        assert.deepEqual([signer.jwk.n, signer.jwk.x], [jwk.n, jwk.x])
      }
    }
    const { d, ...open } = p256.export({ format: 'jwk' })
    for (const [given, reason] of [
      ['{', 'noKey'],
      ['{"kty":"RSA"}', 'noKey'],
      [JSON.stringify(open), 'noKey'],
      [JSON.stringify(other.export({ format: 'jwk' })), 'kind'],
      [JSON.stringify({ ...open, d, x: 'AAAA' }), 'broken'],
      ['hello', 'noKey'],
    ] as const)
      await assert.rejects(readAccountKey(utf8(given)), (error) => error instanceof KeyProblem && error.reason === reason, given)
  })

  it('an account key can’t be taken out', async () => {
    const { privateKey } = await newAccountKey()
    await assert.rejects(crypto.subtle.exportKey('pkcs8', privateKey))
    await assert.rejects(crypto.subtle.exportKey('jwk', privateKey))
  })

  it('reads PKCS #8, PKCS #1 and SEC 1, and says what is wrong with the rest', async () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey
    const given: [string | Buffer, typeof ec, Signer['alg']][] = [
      [ec.export({ type: 'pkcs8', format: 'pem' }), ec, 'ES256'],
      [ec.export({ type: 'sec1', format: 'pem' }), ec, 'ES256'],
      [p521.export({ type: 'pkcs8', format: 'pem' }), p521, 'ES512'],
      [p521.export({ type: 'sec1', format: 'pem' }), p521, 'ES512'],
      [`Bag Attributes\n${rsa.export({ type: 'pkcs1', format: 'pem' })}`, rsa, 'RS256'],
      [rsa.export({ type: 'pkcs8', format: 'der' }), rsa, 'RS256'],
    ]
    for (const [text, key, alg] of given) {
      const pkcs8 = readPrivateKey(typeof text === 'string' ? utf8(text) : new Uint8Array(text))
      assert.ok(createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' }).equals(key))
      assert.equal((await signerOf(pkcs8)).alg, alg)
    }
    const refused = (text: string, reason: string) =>
      assert.throws(
        () => readPrivateKey(utf8(text)),
        (error) => error instanceof KeyProblem && error.reason === reason,
        text.slice(0, 60),
      )
    refused('hello', 'noKey')
    refused(pemEncode('CERTIFICATE', Uint8Array.of(0x30, 0)), 'noKey')
    refused(ec.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }) as string, 'encrypted')
    refused(rsa.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }) as string, 'encrypted')
    refused(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, 'kind')
    refused(pemEncode('PRIVATE KEY', Uint8Array.of(0x30, 1, 2)), 'broken')
  })

  it('takes PEM, DER and bare base64 of what is pasted', async () => {
    const der = await makeCsr(await newCertificateKey('P-256'), [{ type: 'dns', value: 'example.org' }])
    const pem = pemEncode('CERTIFICATE REQUEST', der)
    const labels = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'] as const
    for (const given of [der, utf8(pem), utf8(`text\n${pem.replaceAll('\n', '\r\n')}`), utf8(pem.replaceAll(/-----.*-----/g, ''))]) {
      assert.deepEqual(derFrom(given, ...labels), new Uint8Array(der))
    }
    assert.equal(derFrom(utf8(pem), 'CERTIFICATE'), null)
    assert.equal(derFrom(utf8('example.org'), ...labels), null)
    assert.equal(fromBase64('%'), null)
  })
})

describe('what the form hands out', () => {
  it('a certificate, read as node:crypto reads it; PKCS #12 that OpenSSL opens', async (t) => {
    const { certificate, chain, key, close } = await startIssuing('xmpp-server-3920', ['xn--bcher-kva.example', '*.xn--bcher-kva.example'])
    t.after(close)
    const facts = readCertificate(certificate)
    const reference = new X509Certificate(certificate)
    assert.equal(facts.serial.toUpperCase(), reference.serialNumber)
    assert.equal(await fingerprint(certificate), reference.fingerprint256)
    assert.equal(facts.notAfter, Date.parse(reference.validTo))
    assert.equal(facts.commonName, 'xn--bcher-kva.example')
    assert.equal(facts.issuer, 'CN=Test Intermediate')
    assert.deepEqual(facts.key, { kind: 'P-256', bits: 256 })
    assert.equal(facts.isCa, false)
    assert.deepEqual(
      facts.names.map(({ form, value }) => `${form} ${value}`),
      [
        'dNSName xn--bcher-kva.example',
        'dNSName *.xn--bcher-kva.example',
        'SRVName _xmpp-client.xn--bcher-kva.example',
        'SRVName _xmpp-server.xn--bcher-kva.example',
        'XmppAddr bücher.example',
      ],
    )

    const folder = mkdtempSync(path.join(tmpdir(), 'ica-p12-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const file = path.join(folder, 'a.p12')
    writeFileSync(file, await makePkcs12(key, chain, 'a "pass" word', 'bücher.example'))
    const openssl = (...args: string[]) =>
      execFileSync('openssl', ['pkcs12', '-in', file, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    const opened = openssl('-passin', 'pass:a "pass" word', '-nodes')
    assert.equal(opened.match(/BEGIN CERTIFICATE/g)?.length, chain.length)
    const pem = /-----BEGIN PRIVATE KEY-----[\s\S]*-----END PRIVATE KEY-----/.exec(opened)?.[0] ?? ''
    assert.ok(reference.checkPrivateKey(createPrivateKey(pem)))
    assert.throws(() => openssl('-passin', 'pass:wrong', '-nodes'))
  })

  it('a calendar with folded lines and escaped text', () => {
    const text = makeCalendar({
      uid: 'a1@example.org',
      at: Date.UTC(2026, 10, 30, 9),
      now: Date.UTC(2026, 10, 23),
      summary: 'Renew; bücher.example, *.bücher.example',
      description: `${'Straße '.repeat(30)}\nthen reload`,
      url: 'https://ca.example/mine',
    })
    for (const line of text.split('\r\n')) assert.ok(utf8(line).length <= 75, line)
    const unfolded = text.replaceAll('\r\n ', '')
    assert.match(unfolded, /\r\nSUMMARY:Renew\\; bücher\.example\\, \*\.bücher\.example\r\n/)
    assert.match(unfolded, /\r\nDTSTART:20261130T090000Z\r\n/)
    assert.match(unfolded, /Straße \\nthen reload\r\n/)
    assert.match(text, /^BEGIN:VCALENDAR\r\n[\s\S]*BEGIN:VALARM[\s\S]*END:VCALENDAR\r\n$/)
  })
})
