import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FlattenedSign, flattenedVerify } from 'jose'
import { readJwk } from '../../src/acme/account-key.js'
import { decodeJsonObject } from '../../src/acme/decode.js'
import { decodeJws, supportedAlgorithms, verifyJws } from '../../src/acme/jws.js'
import { type ErrorCode, IcaError } from '../../src/errors.js'
import { type Alg, b64, type FlatJws, newKey, signJws } from '../support/acme.js'

const keys = Object.fromEntries((['ES256', 'ES384', 'ES512', 'RS256', 'EdDSA'] as Alg[]).map((alg) => [alg, newKey(alg)])) as Record<
  Alg,
  ReturnType<typeof newKey>
>
const key = keys.ES256
const right = { alg: 'ES256', nonce: 'AAAA', url: 'https://ca.test/acme/new-account', jwk: key.jwk }

/** Through bytes, as a request comes. */
const decode = (jws: unknown) => decodeJws(decodeJsonObject(Buffer.from(JSON.stringify(jws)), 'The request'))
const is =
  (code: ErrorCode, detail = /./) =>
  (error: unknown) => {
    if (!(error instanceof IcaError)) throw error
    assert.equal(error.code, code, error.message)
    assert.match(error.message, detail)
    return true
  }

test('RFC 8555 §6.2: a JWS made by jose is decoded and verified, with every algorithm', async () => {
  for (const { alg, privateKey, jwk } of Object.values(keys)) {
    const header = { alg, nonce: 'AAAA', url: right.url, jwk }
    const jws = await new FlattenedSign(Buffer.from('{"a":1}')).setProtectedHeader(header as never).sign(privateKey)
    const decoded = decode(jws)
    assert.deepEqual({ alg: decoded.alg, nonce: decoded.nonce, url: decoded.url, jwk: decoded.jwk, kid: decoded.kid }, { ...header, kid: undefined })
    assert.equal(decoded.payload.toString(), '{"a":1}')
    await verifyJws(decoded, readJwk(decoded.jwk))
  }
})

test('what is signed here is verified by jose', async () => {
  for (const k of Object.values(keys)) {
    const { payload } = await flattenedVerify(signJws(k, { ...right, alg: k.alg }, { a: 1 }), k.publicKey)
    assert.equal(Buffer.from(payload).toString(), '{"a":1}')
  }
})

test('verification agrees with jose on signatures that were changed', async () => {
  for (const k of Object.values(keys)) {
    const jws = signJws(k, { ...right, alg: k.alg, jwk: k.jwk }, { a: 1 })
    const signature = Buffer.from(jws.signature, 'base64url')
    const half = signature.length / 2
    const changed = [
      signature,
      Buffer.alloc(0),
      Buffer.alloc(signature.length),
      signature.subarray(1),
      Buffer.concat([signature, Buffer.alloc(1)]),
      Buffer.concat([Buffer.alloc(1), signature]),
      Buffer.concat([signature.subarray(half), signature.subarray(0, half)]),
      Buffer.concat([Buffer.alloc(half), signature.subarray(half)]),
      Buffer.alloc(signature.length, 0xff),
      Buffer.from(signature).fill(0x01, 5, 6),
    ]
    for (const [i, bytes] of changed.entries()) {
      const candidate: FlatJws = { ...jws, signature: bytes.toString('base64url') }
      const byJose = await flattenedVerify(candidate, k.publicKey).then(
        () => true,
        () => false,
      )
      const ours = await verifyJws(decode(candidate), readJwk(k.jwk)).then(
        () => true,
        (error) => !is('unauthorized')(error),
      )
      assert.equal(ours, byJose, `${k.alg} ${i}`)
      assert.equal(ours, i === 0 || bytes.equals(signature), `${k.alg} ${i}`)
    }
    const tampered = { ...jws, payload: b64({ a: 2 }) }
    await assert.rejects(verifyJws(decode(tampered), readJwk(k.jwk)), is('unauthorized', /wrong/))
  }
})

test('RFC 8555 §6.2: alg must go with the key, and the error says which would', async () => {
  for (const k of Object.values(keys)) {
    for (const alg of supportedAlgorithms.filter((a) => a !== k.alg)) {
      const jws = decode(signJws(k, { ...right, alg, jwk: k.jwk }, {}))
      await assert.rejects(verifyJws(jws, readJwk(k.jwk)), (error) => {
        is('badSignatureAlgorithm')(error)
        assert.deepEqual((error as IcaError).algorithms, [k.alg])
        return true
      })
    }
  }
})

const header = (change: object) => signJws(key, { ...right, ...change }, {})
const good = header({})

test('RFC 8555 §6.2: headers that are refused', () => {
  const table: [object, ErrorCode, RegExp][] = [
    ...['none', 'HS256', 'HS512', 'ES256K', 'PS256', 'RS1', 'es256', '', 'toString'].map((alg): [object, ErrorCode, RegExp] => [
      { alg },
      'badSignatureAlgorithm',
      /not supported/,
    ]),
    [{ alg: undefined }, 'malformed', /"alg"/],
    [{ alg: ['ES256'] }, 'malformed', /"alg"/],
    [{ kid: 'https://ca.test/acme/account/1' }, 'malformed', /not both/],
    [{ jwk: undefined }, 'malformed', /one of "kid" and "jwk"/],
    [{ jwk: undefined, kid: 1 }, 'malformed', /"kid"/],
    [{ jwk: null }, 'malformed', /"jwk"/],
    [{ jwk: 'x' }, 'malformed', /"jwk"/],
    [{ jwk: [key.jwk] }, 'malformed', /"jwk"/],
    [{ url: undefined }, 'malformed', /"url"/],
    [{ url: 1 }, 'malformed', /"url"/],
    [{ url: null }, 'malformed', /"url"/],
    [{ crit: ['exp'], exp: 1 }, 'malformed', /"crit"/],
    [{ crit: [] }, 'malformed', /"crit"/],
    [{ b64: false }, 'malformed', /"b64"/],
    [{ nonce: 'a.b' }, 'malformed', /base64url/],
    [{ nonce: 'AB' }, 'malformed', /base64url/],
    [{ nonce: 1 }, 'malformed', /base64url/],
    [{ nonce: null }, 'malformed', /base64url/],
  ]
  for (const [change, code, detail] of table) assert.throws(() => decode(header(change)), is(code, detail), JSON.stringify(change))
  assert.throws(
    () => decode(header({ alg: 'none' })),
    (error) => {
      assert.deepEqual((error as IcaError).algorithms, ['ES256', 'ES384', 'ES512', 'RS256', 'EdDSA'])
      return true
    },
  )
})

test('RFC 7515 §7.2.2: only the flattened serialization with a protected header, and nothing beside it', () => {
  const { protected: head, payload, signature } = good
  const table: [unknown, RegExp][] = [
    [{ ...good, header: { alg: 'ES256' } }, /member "header"/],
    [{ ...good, header: {} }, /member "header"/],
    [{ payload, signatures: [{ protected: head, signature }] }, /member "signatures"/],
    [{ ...good, signatures: [] }, /member "signatures"/],
    [{ ...good, extra: 1 }, /member "extra"/],
    [{ payload, signature }, /"protected"/],
    [{ protected: head, signature }, /"payload"/],
    [{ protected: head, payload }, /"signature"/],
    [{ ...good, payload: { a: 1 } }, /"payload"/],
    [{ ...good, payload: null }, /"payload"/],
    [{ ...good, protected: `${head}=` }, /"protected"/],
    [{ ...good, payload: 'e30=' }, /"payload"/],
    [{ ...good, payload: 'e3 0' }, /"payload"/],
    [{ ...good, signature: signature.replace(/./, '+') }, /"signature"/],
    [{ ...good, protected: '' }, /not JSON/],
    [{ ...good, protected: b64('[]') }, /not a JSON object/],
    [{ ...good, protected: b64('{"alg":"ES256","alg":"none"}') }, /"alg" twice/],
    [{ ...good, protected: Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url') }, /UTF-8/],
    [[good], /not a JSON object/],
    [`${head}.${payload}.${signature}`, /not a JSON object/],
  ]
  for (const [jws, detail] of table) assert.throws(() => decode(jws), is('malformed', detail), JSON.stringify(jws))
  assert.throws(() => decodeJsonObject(Buffer.from(`{"payload":"","payload":"e30"}`), 'The request'), is('malformed', /"payload" twice/))
})

test('any bytes, and any change of a right request, are a JWS or an IcaError', async () => {
  const part = fc.oneof(fc.constantFrom(good.protected, good.payload, good.signature, '', 'e30', b64('null')), fc.string(), fc.jsonValue())
  const headers = fc
    .record(
      {
        alg: fc.constantFrom('ES256', 'RS256', 'none', 1),
        url: fc.jsonValue(),
        nonce: fc.oneof(fc.string(), fc.constant('AAAA')),
        jwk: fc.oneof(fc.constant(key.jwk), fc.jsonValue()),
        kid: fc.jsonValue(),
        crit: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    .map((h) => ({ ...good, protected: b64(h) }))
  const jws = fc.oneof(fc.record({ protected: part, payload: part, signature: part, header: part }, { requiredKeys: [] }), headers, fc.jsonValue())
  const bytes = fc.oneof(
    jws.map((value) => Buffer.from(JSON.stringify(value))),
    fc.uint8Array().map((b) => Buffer.from(b)),
  )
  await fc.assert(
    fc.asyncProperty(bytes, async (body) => {
      try {
        const decoded = decodeJws(decodeJsonObject(body, 'The request'))
        await verifyJws(decoded, readJwk(decoded.jwk))
      } catch (error) {
        assert.ok(error instanceof IcaError, String(error))
      }
    }),
    { numRuns: 1500 },
  )
})
