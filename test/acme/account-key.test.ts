import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { calculateJwkThumbprint } from 'jose'
import { createKeyCache, readJwk } from '../../src/acme/account-key.js'
import { IcaError } from '../../src/errors.js'
import { readPublicKey } from '../../src/pki/keys.js'
import { type Alg, newKey } from '../support/acme.js'

const algs: Alg[] = ['ES256', 'ES384', 'ES512', 'RS256', 'EdDSA']
const refused = (jwk: unknown, detail: RegExp, code = 'badPublicKey') =>
  assert.throws(
    () => readJwk(jwk),
    (error) => error instanceof IcaError && error.code === code && detail.test(error.message),
    JSON.stringify(jwk),
  )

test('RFC 7638: thumbprints are those of jose, whatever the order of members and whatever else is in the JWK', async () => {
  for (const alg of algs) {
    const { jwk, publicKey } = newKey(alg)
    const shuffled = { use: 'sig', kid: 'x', alg, ...Object.fromEntries(Object.entries(jwk).reverse()) }
    const read = readJwk(shuffled)
    assert.equal(read.thumbprint, await calculateJwkThumbprint(jwk as never))
    assert.deepEqual(read.jwk, jwk)
    assert.equal(read.keyId, readPublicKey(publicKey.export({ type: 'spki', format: 'der' })).keyId)
  }
})

test('RFC 8555 §6.7 badPublicKey: keys that nobody should sign with', () => {
  const ec = newKey('ES256').jwk
  const ed = newKey('EdDSA').jwk
  const rsa = newKey('RS256').jwk
  const privateJwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
  refused(privateJwk, /"d" of a private key/)
  refused({ ...rsa, dp: 'AQ' }, /"dp" of a private key/)
  refused({ kty: 'oct', k: 'AAAA' }, /"k" of a private key/)
  refused({ kty: 'oct' }, /must be EC/)
  refused({}, /must be EC/)
  refused({ ...ec, crv: 'Ed25519' }, /must be EC/)
  refused({ ...ed, crv: 'P-256' }, /must be EC/)
  refused({ ...ed, crv: 'X25519' }, /must be EC/)
  refused({ ...newKey('ES512').jwk, crv: 'P-384' }, /48 octets; it has 66/)
  refused(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' }), /must be EC/)
  refused({ ...ec, y: ec.x }, /on the curve/)
  refused({ ...ec, x: Buffer.alloc(32).toString('base64url'), y: Buffer.alloc(32).toString('base64url') }, /on the curve/)
  refused({ ...ec, x: `${ec.x}A` }, /base64url|octets/)
  refused({ ...ec, x: Buffer.alloc(31, 1).toString('base64url') }, /32 octets; it has 31/)
  refused({ ...ec, y: undefined }, /"y"/)
  refused({ ...ec, x: [ec.x] }, /"x"/)
  refused({ ...ed, x: Buffer.alloc(32, 2).toString('base64url') }, /Ed25519|valid public key/)
  refused(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }), /1024 bits/)
  refused({ ...rsa, e: 'Aw' }, /exponent 3/)
  refused({ ...rsa, e: 'AAEAAQ' }, /zero octet/)
  refused({ ...rsa, n: Buffer.concat([Buffer.alloc(1), Buffer.from(rsa.n as string, 'base64url')]).toString('base64url') }, /zero octet/)
  refused({ ...rsa, n: Buffer.alloc(30_000, 0xff).toString('base64url') }, /./)
  for (const value of [null, 'x', 1, [], undefined]) refused(value, /object/, 'malformed')
})

test('RFC 7518 §6.2.1.2: a coordinate with stray bits is refused, so that a key has one thumbprint', () => {
  const { jwk } = newKey('ES256')
  const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.indexOf((jwk.x as string).at(-1) as string)
  const alias = (jwk.x as string).slice(0, -1) + 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'[last + 1]
  assert.deepEqual(Buffer.from(alias, 'base64url'), Buffer.from(jwk.x as string, 'base64url'))
  refused({ ...jwk, x: alias }, /base64url/)
})

test('any object is a key or an IcaError', () => {
  const value = fc.oneof(
    fc.string(),
    fc.base64String(),
    fc.integer(),
    fc.constant(undefined),
    fc.uint8Array({ minLength: 32, maxLength: 32 }).map((b) => Buffer.from(b).toString('base64url')),
  )
  const jwk = fc.record({
    kty: fc.constantFrom('EC', 'RSA', 'OKP', 'oct', 1),
    crv: fc.oneof(fc.constantFrom('P-256', 'P-384', 'Ed25519', 'constructor', '__proto__'), value),
    x: value,
    y: value,
    n: value,
    e: value,
  })
  fc.assert(
    fc.property(fc.oneof(jwk, fc.jsonValue()), (input) => {
      try {
        readJwk(input)
      } catch (error) {
        assert.ok(error instanceof IcaError)
      }
    }),
    { numRuns: 1000 },
  )
})

test('the key cache keeps the keys used last, and no more', () => {
  const cache = createKeyCache(2)
  const accounts = ['a', 'b', 'c'].map((id) => ({ id, ...newKey() }))
  const [a, b, c] = accounts as [(typeof accounts)[0], (typeof accounts)[0], (typeof accounts)[0]]
  const first = cache.put(a)
  assert.ok(first.key.equals(a.publicKey) && first.thumbprint === a.thumbprint && first.kind === 'P-256')
  cache.put(b)
  assert.equal(cache.get('a'), first)
  cache.put(c)
  assert.equal(cache.get('a'), first)
  assert.equal(cache.get('b'), undefined)
  assert.notEqual(cache.get('c'), undefined)
  const rolled = newKey('EdDSA')
  cache.put({ ...rolled, id: 'a' })
  assert.equal(cache.get('a')?.thumbprint, rolled.thumbprint)
  assert.equal(cache.get('a')?.kind, 'Ed25519')
})
