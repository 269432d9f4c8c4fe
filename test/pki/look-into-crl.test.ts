import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { IcaError } from '../../src/errors.js'
import { encodeName, newSerial } from '../../src/pki/certificate.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { lookIntoCrl } from '../../src/pki/look-into-crl.js'
import { oids } from '../../src/pki/oids.js'
import { wholeCrl } from './fixtures.js'

const signer = nodeSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
const issuer = { subject: encodeName([[oids.commonName, 'Test']]), ski: new Uint8Array(randomBytes(20)), signer }
const thisUpdate = 1_767_225_600_000
const crlOf = (serials: string[], number = 7n, revokedAt = thisUpdate) =>
  wholeCrl({
    issuer,
    number,
    thisUpdate,
    nextUpdate: thisUpdate + 1_000,
    distributionPoints: ['http://ca.test/crl/1.crl'],
    entries: [serials.map((serial) => ({ serial, revokedAt, reason: 'keyCompromise' as const }))],
  })

describe('a glance into a CRL', () => {
  it('sees its number and times, and each serial that it has', async () => {
    const serials = [...Array.from({ length: 500 }, () => newSerial(randomBytes)), '01', '7f', '80', '0abc', 'ff'.repeat(19)]
    const der = await crlOf(serials, 2n ** 100n)
    for (const serial of serials) {
      assert.deepEqual(lookIntoCrl(der, serial), { number: 2n ** 100n, thisUpdate, nextUpdate: thisUpdate + 1_000, listed: true }, serial)
    }
    for (let i = 0; i < 500; i++) assert.equal(lookIntoCrl(der, newSerial(randomBytes)).listed, false)
    for (const serial of serials.slice(0, 50)) assert.equal(lookIntoCrl(der, serial.slice(2)).listed, false)
  })

  it('sees nothing in an empty one', async () => {
    assert.equal(lookIntoCrl(await crlOf([]), '80').listed, false)
  })

  it('knows the times of after 2049', async () => {
    assert.equal(lookIntoCrl(await crlOf(['80'], 1n, Date.UTC(2051, 0)), '80').listed, true)
  })

  it('refuses what is no CRL', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        assert.throws(() => lookIntoCrl(octets, '80'), IcaError)
      }),
    )
  })
})
