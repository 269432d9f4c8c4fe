import assert from 'node:assert/strict'
import { checkPrimeSync, createPublicKey, generateKeyPairSync, generatePrimeSync, hash, type KeyObject, verify } from 'node:crypto'
import { test } from 'node:test'
import { IcaError } from '../../src/errors.js'
import { hexToBytes } from '../../src/pki/bytes.js'
import { bitString, integer, nullValue, oid, sequence } from '../../src/pki/der.js'
import { importPublicKey, type KeyKind, keyKinds, nodeSigner, readPublicKey } from '../../src/pki/keys.js'
import { oids } from '../../src/pki/oids.js'
import { pemDecode, pemEncode } from '../../src/pki/pem.js'
import { decryptPrivateKey, encryptPrivateKey } from '../../src/pki/private-keys.js'
import { checkSubscriberKey } from '../../src/pki/weak-keys.js'
import { ecKey, edKey, rsaKey } from './fixtures.js'

const spkiOf = (key: KeyObject): Uint8Array => createPublicKey(key).export({ type: 'spki', format: 'der' })

const refused = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof IcaError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, message)
  return true
}

const samples: [KeyKind, number, KeyObject][] = [
  ['P-256', 256, ecKey('P-256')],
  ['P-384', 384, ecKey('P-384')],
  ['P-521', 521, ecKey('P-521')],
  ['RSA', 2048, rsaKey()],
  ['Ed25519', 255, edKey()],
]

for (const [kind, bits, key] of samples) {
  test(`${kind}: read, import, sign, verify, encrypt, decrypt`, async () => {
    const info = readPublicKey(spkiOf(key))
    assert.equal(info.kind, kind)
    assert.equal(info.bits, bits)
    assert.equal(info.keyId, hash('sha256', spkiOf(key)))
    assert.ok(importPublicKey(info).equals(createPublicKey(key)))
    const signer = nodeSigner(key)
    const data = Buffer.from('to be signed')
    const digest = { 'P-256': 'sha256', 'P-384': 'sha384', 'P-521': 'sha512', RSA: 'sha256', Ed25519: null }[kind]
    assert.ok(verify(digest, data, createPublicKey(key), await signer.sign(data)))
    checkSubscriberKey(info, keyKinds)
    if (kind !== 'P-256')
      assert.throws(() => checkSubscriberKey(info, ['P-256']), refused('badCSR', new RegExp(`${kind} are not accepted here; use P-256`)))
    const pem = encryptPrivateKey(key, 'pässword')
    assert.ok(createPublicKey(decryptPrivateKey(pem, 'pässword')).equals(createPublicKey(key)))
    assert.throws(() => decryptPrivateKey(pem, 'password'), refused('unauthorized', /passphrase is wrong/))
  })
}

test('the key identifier is that of RFC 7093 §2 method 1', () => {
  const spki = spkiOf(ecKey())
  assert.equal(Buffer.from(readPublicKey(spki).ski).toString('hex'), hash('sha256', spki.subarray(26)).slice(0, 40))
})

test('keys are copied: the octets they were read from may change', () => {
  const spki = Buffer.from(spkiOf(ecKey()))
  const info = readPublicKey(spki)
  const before = info.spki.slice()
  spki.fill(0)
  assert.deepEqual(info.spki, before)
})

const ecSpki = (curve: string, point: Uint8Array) => sequence(sequence(oid(oids.idEcPublicKey), oid(curve)), bitString(point))
const rsaSpki = (n: bigint, e = 65537n) => sequence(sequence(oid(oids.rsaEncryption), nullValue()), bitString(sequence(integer(n), integer(e))))
const edSpki = (point: Uint8Array) => sequence(sequence(oid(oids.idEd25519)), bitString(point))

test('public keys that can’t be used are refused by what is wrong with them', () => {
  const point = createPublicKey(ecKey()).export({ type: 'spki', format: 'der' }).subarray(26)
  const offCurve = Uint8Array.from(point, (octet, i) => (i === 64 ? octet ^ 1 : octet))
  const compressed = Uint8Array.from([2 + ((point[64] ?? 0) & 1), ...point.subarray(1, 33)])
  const field = hexToBytes('ffffffff00000001000000000000000000000000ffffffffffffffffffffffff')
  const table: [string, Uint8Array, RegExp][] = [
    ['off the curve', ecSpki(oids.secp256r1, offCurve), /not a point of P-256/],
    ['coordinates not reduced', ecSpki(oids.secp256r1, Uint8Array.from([4, ...field, ...field])), /not a point of P-256/],
    ['infinity', ecSpki(oids.secp256r1, Uint8Array.of(0)), /not a point of P-256/],
    ['another curve’s point', ecSpki(oids.secp384r1, point), /not a point of P-384/],
    ['compressed', ecSpki(oids.secp256r1, compressed), /compressed point/],
    ['secp256k1', ecSpki('1.3.132.0.10', point), /curve 1\.3\.132\.0\.10 is not supported/],
    [
      'explicit parameters',
      generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }).publicKey.export({ type: 'spki', format: 'der' }),
      /by parameters/,
    ],
    [
      'RSA-PSS',
      generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'der' }),
      /1\.2\.840\.113549\.1\.1\.10 are not supported/,
    ],
    ['Ed448', generateKeyPairSync('ed448').publicKey.export({ type: 'spki', format: 'der' }), /1\.3\.101\.113 are not supported/],
    ['Ed25519 of order 1', edSpki(Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))), /not a point of Ed25519/],
    ['Ed25519 of order 8', edSpki(hexToBytes('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a')), /not a point of Ed25519/],
    ['Ed25519 without x', edSpki(Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 2 : 0))), /not a point of Ed25519/],
    ['Ed25519 not reduced', edSpki(new Uint8Array(32).fill(255)), /not a point of Ed25519/],
    ['cut', spkiOf(ecKey()).subarray(0, 80), /can’t be read.*octet 1/],
    ['oversized', new Uint8Array(3000), /3000 octets/],
  ]
  for (const [name, spki, message] of table) assert.throws(() => readPublicKey(spki), refused('badPublicKey', message), name)
})

const toNumber = (prime: ArrayBuffer): bigint => BigInt(`0x${Buffer.from(prime).toString('hex')}`)
const prime = (bits: number): bigint => toNumber(generatePrimeSync(bits))
const modulusOf = (key: KeyObject): bigint =>
  BigInt(`0x${Buffer.from(createPublicKey(key).export({ format: 'jwk' }).n ?? '', 'base64url').toString('hex')}`)

/** 65537^a modulo m. */
const power = (a: bigint, m: bigint): bigint => {
  let result = 1n
  for (let square = 65537n % m, left = a; left > 0n; left >>= 1n, square = (square * square) % m) if (left & 1n) result = (result * square) % m
  return result
}

/** A number of the form k·M + (65537^a mod M), as the flawed library made its primes (whether it is one does not matter to the fingerprint). */
const rocaNumber = (bits: number, primorial: bigint): bigint => {
  const k = prime(bits - primorial.toString(2).length)
  return k * primorial + power(prime(64), primorial)
}

/** The product of a prime and the next prime, as a printer made its keys (CVE-2022-26320). */
const closePrimes = (): bigint => {
  const p = prime(1024)
  let q = p + 2n
  while (!checkPrimeSync(q)) q += 2n
  return p * q
}

test('RSA keys that are refused', () => {
  const primes = [2n]
  for (let n = 3n; primes.length < 126; n += 2n) if (primes.every((p) => n % p !== 0n)) primes.push(n)
  // 126 primes: the M of the flawed library's keys of 1984 to 3968 bits (Nemec et al., table 1).
  const primorial = primes.reduce((a, b) => a * b)
  const sized = (make: () => bigint, bits = 2048): bigint => {
    for (;;) {
      const n = make()
      if (n.toString(2).length === bits) return n
    }
  }
  const good = modulusOf(rsaKey())
  const table: [string, bigint, bigint, RegExp][] = [
    ['too short', modulusOf(rsaKey(1024)), 65537n, /has 1024 bits; between 2048 and 4096/],
    ['too long', (1n << 4103n) + 1n, 65537n, /has 4104 bits/],
    ['odd size', (1n << 2049n) + 1n, 65537n, /only multiples of 8/],
    ['exponent 3', good, 3n, /exponent 3; only 65537/],
    ['exponent even', good, 65536n, /exponent 65536/],
    ['exponent huge', good, (1n << 100n) + 1n, /more than 64 bits/],
    ['even modulus', good - 1n, 65537n, /divisible by 2/],
    ['small factor', sized(() => 751n * prime(2038)), 65537n, /divisible by 751/],
    ['ROCA', sized(() => rocaNumber(1024, primorial) * rocaNumber(1024, primorial)), 65537n, /ROCA/],
    ['close primes', sized(closePrimes), 65537n, /too close together/],
    ['a square', sized(() => prime(1024) ** 2n), 65537n, /too close together/],
  ]
  for (const [name, n, e, message] of table) {
    assert.throws(() => checkSubscriberKey(readPublicKey(rsaSpki(n, e)), ['RSA']), refused('badCSR', message), name)
  }
})

test('good RSA keys of every size pass', () => {
  for (const bits of [2048, 3072, 4096]) checkSubscriberKey(readPublicKey(spkiOf(rsaKey(bits))), ['RSA'])
})

test('private keys: the text that openssl wrote opens; plain keys, damage and emptiness do not', () => {
  const byOpenssl = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjtTedG9feBCwICA+gw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEENRgQp7UJwdGo7gKa+wmyFgEgZD0
QbJ4/vdGUSNfg9lHnfDzf9MtHhXk9Ry+9wUaFSb1cfnWpiBN/4ePKielQrj0ukpv
7XrcqDd1jPTmSO7ZyOBadpg/SnNAmqfy6xW5haKl7UCd3U/gmEmvjCCwE3wMVIIY
Axweqfp6lpLFRUUS2sNKD5TOjwjNGBmFawpIqObiSIrE9umusNjgxVzQqNwYY7c=
-----END ENCRYPTED PRIVATE KEY-----
`
  assert.equal(nodeSigner(decryptPrivateKey(byOpenssl, 'hunter2')).publicKey.kind, 'P-256')
  assert.throws(() => decryptPrivateKey(byOpenssl.replace('MFcG', 'MFcH'), 'hunter2'), refused('unauthorized', /damaged/))
  assert.throws(
    () => decryptPrivateKey(ecKey().export({ type: 'pkcs8', format: 'pem' }) as string, 'x'),
    refused('malformed', /not an encrypted private key/),
  )
  assert.throws(() => decryptPrivateKey('', ''), refused('malformed', /not an encrypted/))
  assert.throws(() => encryptPrivateKey(ecKey(), ''), refused('malformed', /empty passphrase/))
})

test('PEM', () => {
  const blocks = [Uint8Array.of(1, 2, 3), new Uint8Array(100).fill(7)]
  const text = `Subject: x\r\n${pemEncode('CERTIFICATE', blocks[0] as Uint8Array)}\n${pemEncode('OTHER', Uint8Array.of(9))}${pemEncode('CERTIFICATE', blocks[1] as Uint8Array)}`
  assert.deepEqual(pemDecode('CERTIFICATE', text), blocks)
  assert.deepEqual(pemDecode('CERTIFICATE', text.replace(/\n/g, '\r\n')), blocks)
  assert.throws(() => pemDecode('X', text), refused('malformed', /no PEM block "X"/))
  assert.throws(() => pemDecode('A', '-----BEGIN A-----\nAA=A\n-----END A-----'), refused('malformed', /not valid base64/))
  assert.throws(() => pemDecode('A', '-----BEGIN A-----\nAAAA\n-----END B-----'), refused('malformed', /ends as "B"/))
  assert.throws(() => pemDecode('A', 'x'.repeat(11), 10), refused('malformed', /at most 10/))
})
