import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IcaError } from '../../src/errors.js'
import { readContact } from '../../src/issuance/accounts.js'

const refused = (contact: unknown, code: string) =>
  assert.throws(
    () => readContact(contact),
    (error) => error instanceof IcaError && error.code === code,
  )

test('RFC 8555 §7.3: contacts are mailto URLs of one plain address', () => {
  assert.deepEqual(readContact(undefined), [])
  assert.deepEqual(readContact([]), [])
  assert.deepEqual(readContact(['mailto:admin@example.com', 'MAILTO:a.b+c@sub.example.org']), [
    'mailto:admin@example.com',
    'mailto:a.b+c@sub.example.org',
  ])
})

test('RFC 8555 §7.3: other schemes are unsupportedContact', () => {
  refused(['tel:+12025551212'], 'unsupportedContact')
  refused(['https://example.com'], 'unsupportedContact')
})

for (const address of [
  '',
  'admin',
  'admin@example',
  '@example.com',
  'a@b.com,c@d.com',
  'a@b.com?bcc=x@y.com',
  'a@b.com%0d%0aBcc:x@y.com',
  'a b@example.com',
  '"a"@example.com',
  `${'a'.repeat(65)}@example.com`,
  `a@${'b'.repeat(250)}.com`,
  'a@b.com\r\nBcc: c@d.com',
]) {
  test(`RFC 8555 §7.3: mailto:${JSON.stringify(address).slice(0, 60)} is invalidContact`, () => refused([`mailto:${address}`], 'invalidContact'))
}

test('contacts that are no array of strings, or too many, are malformed', () => {
  refused('mailto:a@example.com', 'malformed')
  refused([1], 'malformed')
  refused(Array(11).fill('mailto:a@example.com'), 'malformed')
})
