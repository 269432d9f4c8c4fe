/** CVE-2008-0166: lists of Debian's weak keys. The key is one that the broken OpenSSL made; its line is written by the command that made Debian's lists. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, createPublicKey } from 'node:crypto'
import { test } from 'node:test'
import { modulusOf } from '../../src/issuance/refused-keys.js'
import { readPublicKey } from '../../src/pki/keys.js'
import { readWeakKeyList } from '../../src/pki/weak-key-list.js'
import { ecKey, rsaKey } from './fixtures.js'

/** From the test data of badkeys: "created on a system affected by CVE-2008-0166". */
const debianWeak = `-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAwJZTDExKND/DiP+LbhTIi2F0hZZt0PdX897LLwPf3+b1GOCUj1OH
BZvVqhJPJtOPE53W68I0NgVhaJdY6bFOA/cUUIFnN0y/ZOJOJsPNle1aXQTjxAS+
FXu4CQ6a2pzcU+9+gGwed7XxAkIVCiTprfmRCI2vIKdb61S8kf5D3YdVRH/Tq977
nxyYeosEGYJFBOIT+N0mqca37S8hA9hCJyD3p0AM40dD5M5ARAxpAT7+oqOXkPzf
zLtCTaHYJK3+WAce121Br4NuQJPqYPVxniUPohT4YxFTqB7vwX2C4/gZ2ldpHtlg
JVAHT96nOsnlz+EPa5GtwxtALD43CwOlWQIDAQAB
-----END RSA PUBLIC KEY-----
`
const publicKey = createPublicKey(debianWeak)
const modulus = modulusOf(readPublicKey(publicKey.export({ type: 'spki', format: 'der' }))) as Uint8Array

/** As the makers of the lists did: `openssl rsa -noout -modulus | sha1sum`, without the first 20 digits. */
const line = (): string => {
  const printed = execFileSync('openssl', ['rsa', '-noout', '-modulus', '-pubin'], { input: publicKey.export({ type: 'spki', format: 'pem' }) })
  return createHash('sha1').update(printed).digest('hex').slice(20)
}

test('a key that Debian’s OpenSSL made is found on its list', () => {
  const list = readWeakKeyList(`# comment\n00000000000000000000\n${line()}\nffffffffffffffffffff\n`)
  assert.equal(list.size, 3)
  assert.ok(list.has(modulus))
  assert.ok(!list.has(modulusOf(readPublicKey(new Uint8Array(createPublicKey(rsaKey()).export({ type: 'spki', format: 'der' })))) as Uint8Array))
})

test('upper case, Windows line ends and whole SHA-1 values are read', () => {
  assert.ok(readWeakKeyList(`${line().toUpperCase()}\r\n`).has(modulus))
  assert.ok(readWeakKeyList(`${'0'.repeat(20)}${line()}`).has(modulus))
})

test('an empty list names no key, and keys without a modulus are on none', () => {
  assert.ok(!readWeakKeyList('').has(modulus))
  assert.equal(modulusOf(readPublicKey(createPublicKey(ecKey()).export({ type: 'spki', format: 'der' }))), null)
})

for (const wrong of ['0123', 'g'.repeat(20), `${'0'.repeat(20)} # key`, '-----BEGIN PUBLIC KEY-----']) {
  test(`a line that is none is named: ${wrong}`, () => assert.throws(() => readWeakKeyList(`# list\n${wrong}\n`), /line 2/))
}
