import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeBase64url, decodeJsonObject } from '../../src/acme/decode.js'
import { IcaError } from '../../src/errors.js'

const decode = (text: string | Buffer) => decodeJsonObject(Buffer.from(text), 'It')
const refusal = (detail: RegExp) => (error: unknown) => error instanceof IcaError && error.code === 'malformed' && detail.test(error.message)

test('RFC 7515 §2: base64url is read in its canonical form only', () => {
  for (const text of ['', 'AA', 'AAA', 'AAAA', '-_-_']) assert.equal(decodeBase64url(text)?.toString('base64url'), text)
  for (const text of ['A', 'AA==', 'AB', 'AAB', 'A A', 'AA\n', '+/+/', 'AA.', 'é']) assert.equal(decodeBase64url(text), null, text)
  fc.assert(fc.property(fc.uint8Array(), (bytes) => Buffer.from(bytes).equals(decodeBase64url(Buffer.from(bytes).toString('base64url')) as Buffer)))
})

test('RFC 8259 §4: a member that is named twice is refused, at any depth and however it is written', () => {
  const twice = [
    '{"a":1,"a":1}',
    '{"a":1, "b":2, "a" : 3}',
    String.raw`{"a":1,"\u0061":2}`,
    String.raw`{"\"":1,"\"":2}`,
    '{"a":{"b":1,"b":2}}',
    '{"a":[1,{"b":[],"b":{}}]}',
    '{"a":{},"b":[],"a":{}}',
    '{"":1,"":2}',
    '{"__proto__":1,"__proto__":2}',
  ]
  for (const text of twice) assert.throws(() => decode(text), refusal(/twice/), text)
  const once = [
    '{}',
    ' {"a":{"a":{"a":1}}} ',
    '{"a":[{"a":1},{"a":2}]}',
    String.raw`{"a":"\"a\":1,\"a\":2"}`,
    '{"a":"}{\\\\","b":"]"}',
    '{"a":["a","a"],"b":"a"}',
    '{"toString":1,"constructor":2}',
  ]
  for (const text of once) assert.deepEqual(decode(text), JSON.parse(text))
})

test('RFC 8259: what is not a JSON object in UTF-8 is refused', () => {
  for (const text of ['', 'null', '[]', '[{}]', '"a"', '1', '{', '{}}', "{'a':1}", '{"a":01}', '{"a":1,}', '\ufeff{}', '{}\0']) {
    assert.throws(() => decode(text), refusal(/not JSON|not a JSON object/), text)
  }
  for (const bytes of [
    [0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d],
    [0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d],
  ]) {
    assert.throws(() => decode(Buffer.from(bytes)), refusal(/UTF-8/))
  }
  assert.throws(() => decode('['.repeat(60_000)), refusal(/not JSON/))
  const deep = `{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`
  assert.ok(Array.isArray(decode(deep).a))
})

test('any JSON object is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), (value) => {
      const text = JSON.stringify(value)
      assert.deepEqual(decode(text), JSON.parse(text))
    }),
  )
})

test('any bytes are an object or malformed', () => {
  const near = fc
    .array(fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '"a"', '"a":', '\\', '\\u0061', '1', ' ', 'null'))
    .map((parts) => parts.join(''))
  fc.assert(
    fc.property(fc.oneof(fc.string(), near, fc.json(), fc.uint8Array()), (input) => {
      try {
        decode(Buffer.from(input))
      } catch (error) {
        assert.ok(error instanceof IcaError)
      }
    }),
    { numRuns: 2000 },
  )
})
