import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { familyOf, forbiddenRange } from '../../src/validation/address.js'

/** Every block of IANA's special-purpose registries (RFC 6890) by an address in it, and whether a lab may use it. */
const forbidden: [what: string, address: string, lab: boolean][] = [
  ['this network', '0.0.0.1', false],
  ['unspecified', '0.0.0.0', false],
  ['private 10', '10.255.0.1', true],
  ['shared (CGNAT)', '100.64.0.1', true],
  ['loopback', '127.0.0.1', true],
  ['loopback, another', '127.255.255.254', true],
  ['link-local, cloud metadata', '169.254.169.254', true],
  ['private 172.16', '172.31.255.255', true],
  ['protocol assignments', '192.0.0.8', true],
  ['documentation 1', '192.0.2.1', true],
  ['6to4 relay', '192.88.99.1', true],
  ['private 192.168', '192.168.1.1', true],
  ['benchmarking', '198.19.0.1', true],
  ['documentation 2', '198.51.100.1', true],
  ['documentation 3', '203.0.113.1', true],
  ['multicast', '224.0.0.251', false],
  ['reserved', '240.0.0.1', true],
  ['broadcast', '255.255.255.255', false],
  ['IPv6 unspecified', '::', false],
  ['IPv6 loopback', '::1', true],
  ['IPv4-mapped loopback', '::ffff:127.0.0.1', false],
  ['IPv4-mapped public', '::ffff:8.8.8.8', false],
  ['IPv4-compatible', '::8.8.8.8', false],
  ['NAT64', '64:ff9b::7f00:1', false],
  ['local-use NAT64', '64:ff9b:1::7f00:1', false],
  ['discard-only', '100::1', false],
  ['Teredo', '2001::1', false],
  ['IPv6 benchmarking', '2001:2::1', true],
  ['ORCHIDv2', '2001:20::1', false],
  ['IPv6 documentation', '2001:db8::1', true],
  ['IPv6 documentation, the larger', '3fff::1', true],
  ['6to4 of loopback', '2002:7f00:1::', false],
  ['segment routing', '5f00::1', false],
  ['unassigned', '4000::1', false],
  ['unique local', 'fd00::1', true],
  ['IPv6 link-local', 'fe80::1', true],
  ['site-local', 'fec0::1', false],
  ['IPv6 multicast', 'ff02::1', false],
  ['no address', 'xmpp.org', false],
  ['nothing', '', false],
]

describe('addresses that validation connects to', () => {
  for (const [what, address, lab] of forbidden) {
    it(`never ${what} (${address})${lab ? ' but in a lab' : ''}`, () => {
      assert.notEqual(forbiddenRange(address, false), null)
      assert.equal(forbiddenRange(address, true) === null, lab)
    })
  }

  for (const address of ['8.8.8.8', '1.1.1.1', '193.0.6.139', '223.255.255.254', '2606:4700::1111', '2a00:1450::1', '2001:67c:2e8::1']) {
    it(`public ${address}`, () => {
      assert.equal(forbiddenRange(address, false), null)
      assert.equal(forbiddenRange(address, true), null)
    })
  }

  it('a lab may do what the public may', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
        if (forbiddenRange(address, false) === null) assert.equal(forbiddenRange(address, true), null)
      }),
    )
  })

  it('families', () => assert.deepEqual([familyOf('::1'), familyOf('127.0.0.1')], [6, 4]))
})
