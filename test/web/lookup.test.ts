/** What somebody types into the look-up, and where it leads. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { placeOf } from '../../web/src/pages/place-of.js'

const print = 'ab'.repeat(32)
const serial = '0f'.repeat(16)
const colons = (hex: string) => hex.toUpperCase().replace(/(..)(?!$)/g, '$1:')

describe('the look-up takes', () => {
  for (const [asked, place] of [
    [serial, `/lookup/${serial}`],
    [colons(serial), `/lookup/${serial}`],
    [`serial=${serial.toUpperCase()}`, `/lookup/${serial}`],
    [`Serial Number: ${colons(serial)}`, `/lookup/${serial}`],
    [`0x${serial}`, `/lookup/${serial}`],
    [print, `/lookup?fingerprint=${print}`],
    [colons(print), `/lookup?fingerprint=${print}`],
    [`sha256 Fingerprint=${colons(print)}`, `/lookup?fingerprint=${print}`],
    [`SHA256 Fingerprint=${colons(print)}`, `/lookup?fingerprint=${print}`],
    ['example.org', '/lookup?domain=example.org'],
    ['bücher.example', '/lookup?domain=b%C3%BCcher.example'],
    ['cafe.de', '/lookup?domain=cafe.de'],
    ['ab'.repeat(25), `/lookup?domain=${'ab'.repeat(25)}`],
  ] as const)
    it(asked, () => assert.equal(placeOf(asked), place))
})
