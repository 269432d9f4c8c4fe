import assert from 'node:assert/strict'
import { webcrypto } from 'node:crypto'
import { test } from 'node:test'
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import acme from 'acme-client'
import fc from 'fast-check'
import { IcaError } from '../../src/errors.js'
import { readCertificateRequest } from '../../src/pki/csr.js'
import {
  ascii,
  bitString,
  boolean,
  explicit,
  ia5String,
  implicit,
  implicitConstructed,
  integer,
  nullValue,
  octetString,
  oid,
  printableString,
  sequence,
  setOf,
  tags,
  tlv,
  utf8String,
} from '../../src/pki/der.js'
import { generalName, signedSequence } from '../../src/pki/extensions.js'
import { intermediateRequest } from '../../src/pki/hierarchy.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { oids } from '../../src/pki/oids.js'
import { pemDecode } from '../../src/pki/pem.js'
import { ecKey, edKey, makeRequest, mutate, rsaKey } from './fixtures.js'

const signer = nodeSigner(ecKey())
const rdn = (type: string, value: Uint8Array) => setOf(sequence(oid(type), value))
const subject = (value: Uint8Array) => sequence(rdn(oids.commonName, value))
const san = (...names: Uint8Array[]): [string, Uint8Array] => [oids.subjectAltName, sequence(...names)]
const dns = (value: string) => implicit(2, ascii(value))
const otherName = (type: string, value: Uint8Array) => implicitConstructed(0, oid(type), explicit(0, value))
const base64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

test('what openssl req makes, with every name form and must-staple', async () => {
  const request = await readCertificateRequest(
    base64(
      'MIIBdTCCARsCAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGU5KU+uITG4HZGWsqTx70HHRVFhZZLAjKnr1STqFN1XdcMpqNEQ8KIOyJrxVerRusOgetfDm6u6+7uhDgmUocGggbgwgbUGCSqGSIb3DQEJDjGBpzCBpDB3BgNVHREEcDBughBjaGF0LmV4YW1wbGUub3Jngg0qLmV4YW1wbGUub3JnoCsGCCsGAQUFBwgHoB8WHV94bXBwLXNlcnZlci5jaGF0LmV4YW1wbGUub3JnoB4GCCsGAQUFBwgFoBIMEGNoYXQuZXhhbXBsZS5vcmcwCwYDVR0PBAQDAgeAMAkGA1UdEwQCMAAwEQYIKwYBBQUHARgEBTADAgEFMAoGCCqGSM49BAMCA0gAMEUCIQCTXwJK5YIp9fe01lTtP51Px2Li3HPscn1V2UU2NPtN+gIgTx6DtiX+ZzNI1oOpazWKgLhJgtAMYryYVl0Cjv66EG0=',
    ),
  )
  const { commonName, dNSNames, sRVNames, xmppAddrs, mustStaple, publicKey } = request
  assert.deepEqual(
    { commonName, dNSNames, sRVNames, xmppAddrs, mustStaple, kind: publicKey.kind },
    {
      commonName: null,
      dNSNames: ['chat.example.org', '*.example.org'],
      sRVNames: ['_xmpp-server.chat.example.org'],
      xmppAddrs: ['chat.example.org'],
      mustStaple: true,
      kind: 'P-256',
    },
  )
})

test('what python-cryptography (certbot) makes: RSA, empty subject', async () => {
  const request = await readCertificateRequest(
    base64(
      'MIICfzCCAWcCAQAwADCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAJMXSXZxBqY7myH7RAtiDEu4u8H1O1uGeh5OgWT8TA8/KAjsfjXpgNTffhtank+2WbSKSLotQ08E4YQiL9Rv8OMuE2biojo7FvDuZRrAv3CXDD/bTp2Q5py6+6G/oMmevcIJ5/lfsM18ddNKZwJ8T30gyA5jEnH9a3sSGdQtgVE3FgQFWO1ak6/p0KC+XOO/t1nLjwpHHb2HHWcKtEGKGLM8QRrBSjfzoPEB3hiDwPnx99UAPopBwGuc8QWEL9poAJ9uzg7Ee9+BQr4CoQn+qvhPJkGEE9EISlzpi0FFbYXjO0JIWlbSuOqtPPTXkrLphYoURn/npUo9Y7SkO1n4M3ECAwEAAaA6MDgGCSqGSIb3DQEJDjErMCkwJwYDVR0RBCAwHoILRXhhbXBsZS5jb22CD3d3dy5leGFtcGxlLmNvbTANBgkqhkiG9w0BAQsFAAOCAQEAS3pXHAZf17sMmSrTHaA4dz8Se6Hhllqj+ALeV9gnL2Uzk2bAQdXAzzqhG4+yBm5+uc4hvoMwVhrj6MLN8iKnJGA5K8qDckMLnKqhX7QXTMDCvXzrOBL3cEdnft0xGMqxUuXfhd+4IjtGrbksI3/PAxqgiGpweoQgsTSj1fuuu5or+QJ59HiBPzTVlJaWG2MJQmbvNv1cd58YdfIA9BteI4RH3R4WrlH2TK0HVkpJcZPx/u6W/bfo8cf7FTofIwElytJ25NkT9bZqDHMT4f2OVoyqeyDmgBH/YKu6Qwpvbq53vKFz9ngDXVMrOeUSEigb2ZygBwHcdbDPGce6Dzxuyw==',
    ),
  )
  assert.deepEqual([request.commonName, request.dNSNames, request.publicKey.kind], [null, ['example.com', 'www.example.com'], 'RSA'])
})

test('what acme-client and @peculiar/x509 make', async () => {
  const [, pem] = await acme.crypto.createCsr(
    { commonName: 'Example.com', altNames: ['Example.com', 'www.example.com'] },
    await acme.crypto.createPrivateEcdsaKey('P-384'),
  )
  const [der] = pemDecode('CERTIFICATE REQUEST', pem.toString()) as [Uint8Array]
  const request = await readCertificateRequest(der)
  assert.deepEqual([request.commonName, request.dNSNames, request.publicKey.kind], ['example.com', ['example.com', 'www.example.com'], 'P-384'])

  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  x509.cryptoProvider.set(webcrypto as never)
  const made = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=example.com',
    keys: keys as never,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'example.com' }]),
    ],
    attributes: [new x509.ChallengePasswordAttribute('secret')],
  })
  assert.deepEqual((await readCertificateRequest(new Uint8Array(made.rawData))).dNSNames, ['example.com'])
})

test('what stock clients do that is harmless is accepted', async () => {
  const names = san(dns('example.com'))
  const fine: [string, Uint8Array][] = [
    ['CN as UTF8String', await makeRequest(signer, subject(utf8String('Example.com')), [names])],
    ['CN as PrintableString', await makeRequest(signer, subject(printableString('example.com')), [names])],
    ['CN as IA5String', await makeRequest(signer, subject(ia5String('example.com')), [names])],
    ['CA:FALSE', await makeRequest(signer, subject(utf8String('example.com')), [names, [oids.basicConstraints, sequence()]])],
    ['explicit CA:FALSE', await makeRequest(signer, subject(utf8String('example.com')), [names, [oids.basicConstraints, sequence(boolean(false))]])],
    [
      'an unknown extension',
      await makeRequest(signer, subject(utf8String('example.com')), [names, ['1.3.6.1.4.1.311.20.2', octetString(Uint8Array.of(1))]]),
    ],
    [
      'a challenge password',
      await makeRequest(signer, subject(utf8String('example.com')), [names], [sequence(oid('1.2.840.113549.1.9.7'), setOf(utf8String('secret')))]),
    ],
  ]
  for (const [name, der] of fine) {
    const request = await readCertificateRequest(der)
    assert.deepEqual([request.commonName, request.dNSNames, request.mustStaple], ['example.com', ['example.com'], false], name)
  }
  for (const key of [rsaKey(), ecKey('P-384'), ecKey('P-521'), edKey()]) {
    assert.deepEqual((await readCertificateRequest(await makeRequest(nodeSigner(key), sequence(), [names]))).dNSNames, ['example.com'])
  }
  // RFC 2986 §4.1 wants the attributes; some leave them out where they would be empty.
  const info = sequence(integer(0), subject(utf8String('example.com')), signer.publicKey.spki)
  const bare = signedSequence(info, signer.algorithm, await signer.sign(info))
  assert.deepEqual((await readCertificateRequest(bare)).dNSNames, [])
})

test('an XmppAddr is compared as the U-label, whichever form it came in', async () => {
  for (const address of ['bücher.example', 'BÜCHER.example', 'xn--bcher-kva.example']) {
    const request = await readCertificateRequest(await makeRequest(signer, sequence(), [san(otherName(oids.idOnXmppAddr, utf8String(address)))]))
    assert.deepEqual(request.xmppAddrs, ['bücher.example'])
  }
  const user = await readCertificateRequest(
    await makeRequest(signer, sequence(), [san(otherName(oids.idOnXmppAddr, utf8String('juliet@example.com')))]),
  )
  assert.deepEqual(user.xmppAddrs, ['juliet@example.com'])
})

test('what is refused is named', async () => {
  const names = san(dns('example.com'))
  const cn = subject(utf8String('example.com'))
  const good = await makeRequest(signer, cn, [names])
  const info = sequence(integer(0), cn, signer.publicKey.spki, implicitConstructed(0))
  const versioned = sequence(integer(1), cn, signer.publicKey.spki, implicitConstructed(0))
  const duplicated = sequence(oid(oids.extensionRequest), setOf(sequence()))
  const flip = (der: Uint8Array, fromEnd: number) => der.map((octet, i) => (i === der.length - fromEnd ? octet ^ 1 : octet))
  const ecdsaWithSha1 = sequence(oid('1.2.840.10045.4.1'))
  const table: [string, Uint8Array, RegExp][] = [
    ['nothing', new Uint8Array(0), /can’t be read.*octet 0/],
    ['too large', new Uint8Array(17_000), /17000 octets/],
    ['trailing octets', Uint8Array.from([...good, 0]), /octets behind the end/],
    ['signature', flip(good, 1), /signature of the CSR is wrong/],
    ['signed by another key', signedSequence(info, signer.algorithm, await nodeSigner(ecKey()).sign(info)), /signature of the CSR is wrong/],
    ['signature not DER', signedSequence(info, signer.algorithm, Uint8Array.of(1)), /signature of the CSR is wrong/],
    ['SHA-1', signedSequence(info, ecdsaWithSha1, await signer.sign(info)), /signature algorithm 1\.2\.840\.10045\.4\.1 is not accepted/],
    [
      'RSA signature with an EC key',
      signedSequence(info, sequence(oid(oids.sha256WithRSAEncryption), nullValue()), await signer.sign(info)),
      /not accepted with a key of the kind P-256/,
    ],
    ['version', signedSequence(versioned, signer.algorithm, await signer.sign(versioned)), /the version is larger than 0/],
    ['organisation', await makeRequest(signer, sequence(rdn(oids.organizationName, utf8String('x'))), [names]), /the attribute 2\.5\.4\.10/],
    [
      'two common names',
      await makeRequest(signer, sequence(...[1, 2].map(() => rdn(oids.commonName, utf8String('a.example')))), [names]),
      /more than one common name/,
    ],
    ['common name as BMPString', await makeRequest(signer, subject(tlv(tags.bmpString, Uint8Array.of(0, 65))), [names]), /neither a UTF8String/],
    ['long common name', await makeRequest(signer, subject(utf8String('a'.repeat(300))), [names]), /longer than 256/],
    ['CA:TRUE', await makeRequest(signer, cn, [names, [oids.basicConstraints, sequence(boolean(true))]]), /certificate of a CA/],
    ['intermediateRequest', await intermediateRequest({ commonName: 'x' }, signer), /certificate of a CA/],
    ['two SANs', await makeRequest(signer, cn, [names, names]), /extension 2\.5\.29\.17 more than once/],
    ['two extensionRequests', await makeRequest(signer, cn, [names], [duplicated]), /more than one extensionRequest/],
    ['TLS feature', await makeRequest(signer, cn, [names, [oids.tlsFeature, sequence(integer(17))]]), /TLS feature 17/],
    ['e-mail', await makeRequest(signer, cn, [san(implicit(1, ascii('a@example.com')))]), /the e-mail address "a@example\.com"/],
    ['URI', await makeRequest(signer, cn, [san(implicit(6, ascii('http://x/')))]), /the URI "http:\/\/x\/"/],
    ['IPv4', await makeRequest(signer, cn, [san(implicit(7, Uint8Array.of(192, 0, 2, 1)))]), /the IP address 192\.0\.2\.1/],
    ['IPv6', await makeRequest(signer, cn, [san(implicit(7, new Uint8Array(16).fill(1)))]), /the IP address 0101/],
    ['directory name', await makeRequest(signer, cn, [san(explicit(4, sequence()))]), /a directory name/],
    ['unknown form', await makeRequest(signer, cn, [san(implicit(9, ascii('x')))]), /a name of an unknown form "x"/],
    [
      'UPN',
      await makeRequest(signer, cn, [san(otherName('1.3.6.1.4.1.311.20.2.3', utf8String('x')))]),
      /otherName of the type 1\.3\.6\.1\.4\.1\.311\.20\.2\.3/,
    ],
    [
      'SRVName as UTF8String',
      await makeRequest(signer, cn, [san(otherName(oids.idOnDnsSrv, utf8String('_x.example.com')))]),
      /an SRVName has tag 0x0c/,
    ],
    ['no domain name', await makeRequest(signer, cn, [san(dns('a b'))]), /the dNSName "a b", which is not a domain name/],
    ['zero in a name', await makeRequest(signer, cn, [san(dns('example.com\0.evil'))]), /not a domain name/],
    ['too many names', await makeRequest(signer, cn, [san(...Array.from({ length: 501 }, () => dns('a.b')))]), /more than 500/],
    [
      'compressed point',
      await makeRequest({
        ...signer,
        publicKey: {
          ...signer.publicKey,
          spki: sequence(sequence(oid(oids.idEcPublicKey), oid(oids.secp256r1)), bitString(new Uint8Array(33).fill(2))),
        },
      }),
      /compressed point/,
    ],
  ]
  for (const [name, der, message] of table) {
    await assert.rejects(readCertificateRequest(der), (error) => {
      assert.ok(error instanceof IcaError && error.code === 'badCSR', `${name}: ${error}`)
      assert.match(error.message, message, name)
      return true
    })
  }
})

test('a mutated CSR gives badCSR, or a request whose key is still proven', async () => {
  const names = san(
    dns('example.com'),
    generalName({ form: 'SRVName', value: '_xmpp-server.example.com' }),
    generalName({ form: 'XmppAddr', value: 'bücher.example' }),
  )
  const good = await makeRequest(signer, subject(utf8String('example.com')), [names, [oids.tlsFeature, sequence(integer(5))]])
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.nat(), fc.nat(255), async (kind, at, value) => {
      try {
        const request = await readCertificateRequest(mutate(good, kind, at, value))
        assert.fail(`accepted: ${JSON.stringify(request)}`)
      } catch (error) {
        assert.ok(error instanceof IcaError && error.code === 'badCSR', String(error))
      }
    }),
    { numRuns: 1500 },
  )
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), (bytes) => assert.rejects(readCertificateRequest(bytes), IcaError)),
    { numRuns: 500 },
  )
  // The same mutations inside of what is signed: the signature is right, so that everything behind it is reached.
  const own = nodeSigner(ecKey())
  const info = sequence(
    integer(0),
    subject(utf8String('example.com')),
    own.publicKey.spki,
    implicitConstructed(0, sequence(oid(oids.extensionRequest), setOf(sequence(sequence(oid(names[0]), octetString(names[1])))))),
  )
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(255), async (at, value) => {
      const changed = mutate(info, 0, at, value)
      await readCertificateRequest(signedSequence(changed, own.algorithm, await own.sign(changed))).catch((error: unknown) => {
        assert.ok(error instanceof IcaError && error.code === 'badCSR', String(error))
      })
    }),
    { numRuns: 1000 },
  )
})
