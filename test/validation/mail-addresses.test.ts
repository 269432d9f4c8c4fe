/** Which addresses answer for a domain, when it is somebody hostile who writes the DNS. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { createAddressBook } from '../../src/issuance/addresses.js'
import { constructedAddresses, findAddresses, readMailAddress } from '../../src/validation/mail-addresses.js'
import { createResolver } from '../../src/validation/resolver.js'
import { startDnsServer } from '../support/dns-server.js'

const dns = await startDnsServer(['test'])
after(() => dns.close())
beforeEach(() => dns.clear())
const resolver = createResolver([dns.address], { firstTryMs: 2_000, tries: 2, totalMs: 10_000 })
const { signal } = new AbortController()

test('an address is one plain address, whatever is written', () => {
  const pieces = fc.constantFrom(
    'a',
    'B',
    '@',
    '.',
    '..',
    ' ',
    '"',
    '<',
    '>',
    ',',
    ';',
    ':',
    '\\',
    '(',
    ')',
    '\r\n',
    '\0',
    '%',
    'ü',
    'x.test',
    '[1.2.3.4]',
    '+',
    '-',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join('')),
      ),
      (text) => {
        const address = readMailAddress(text)
        if (address === null) return
        assert.match(address, /^[!-~]+@[a-z0-9.-]+$/)
        assert.doesNotMatch(address, /["<>,;:\\()[\]%]|@.*@|\.\./)
        assert.equal(address.toLowerCase(), text.toLowerCase())
      },
    ),
    { numRuns: 5_000 },
  )
})

test('constructed addresses end at the registered domain, also where a registry is private', () => {
  const domains = (name: string) => [...new Set(constructedAddresses(name).map(({ at }) => at))]
  assert.deepEqual(domains('a.b.example.co.uk'), ['a.b.example.co.uk', 'b.example.co.uk', 'example.co.uk'])
  assert.deepEqual(domains('chat.me.duckdns.org'), ['chat.me.duckdns.org', 'me.duckdns.org'])
  assert.deepEqual(domains('duckdns.org'), ['duckdns.org'])
})

test('hundreds of bad records make a few sentences, and a few addresses', async () => {
  dns.set('d.test', 'MX', { preference: 1, exchange: 'mx.test' })
  dns.set('d.test', 'CAA', ...Array.from({ length: 250 }, (_, i) => ({ tag: 'contactemail', value: `no address ${i}` })))
  dns.set('_validation-contactemail.d.test', 'TXT', ...Array.from({ length: 900 }, (_, i) => `a${i}@d.test`))
  const { addresses, problems } = await findAddresses('d.test', resolver, signal)
  assert.equal(problems.length, 10)
  assert.equal(addresses.filter(({ source }) => source === 'txt').length, 20)
})

test('what was found of domains is forgotten when it is out of date', async () => {
  const clock = { at: 0, now: () => clock.at }
  const asked: string[] = []
  const none = async () => ({ kind: 'none', reason: 'NODATA' }) as const
  const caa = (name: string) => {
    asked.push(name)
    return none()
  }
  const silent = { mx: none, addresses: none, txt: none, caa }
  const book = createAddressBook(silent, clock)
  for (let i = 0; i < 50; i++) await book.find(`d${i}.test`)
  assert.equal(book.size(), 50)
  clock.at = 60_000
  await book.find('d7.test')
  assert.equal(asked.length, 50)
  clock.at = 120_000
  await book.find('new.test')
  assert.equal(book.size(), 1)
})
