import assert from 'node:assert/strict'
import { createSign, randomBytes, verify, X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import * as asn1js from 'asn1js'
import * as pkijs from 'pkijs'
import { type RevocationReason, revocationReasons } from '../../src/model.js'
import type { CrlEntry, CrlFacts } from '../../src/pki/crl.js'
import { concat } from '../../src/pki/der.js'
import { contents, readBitString, readElement, readWhole } from '../../src/pki/der-read.js'
import { oids } from '../../src/pki/oids.js'
import { day, ecKey, makeCa, now, piecesOfCrl, rsaKey, serial, wholeCrl } from './fixtures.js'

const { issuer } = await makeCa()

const facts = (change: Partial<CrlFacts> = {}): CrlFacts => ({
  issuer,
  number: 7n,
  thisUpdate: now + 999,
  nextUpdate: now + 7 * day + 1,
  distributionPoints: [],
  entries: [],
  ...change,
})

const read = (der: Uint8Array): pkijs.CertificateRevocationList => {
  const { result: schema, offset } = asn1js.fromBER(der.slice().buffer, { maxNodes: 100_000 })
  assert.equal(offset, der.length)
  return new pkijs.CertificateRevocationList({ schema })
}

/** Checks the signature by hand: three elements, of which the last signs the first. */
const isSigned = (der: Uint8Array, certificate: Uint8Array, digest = 'sha256'): boolean => {
  const list = readWhole(der, der.length)
  const tbs = readElement(der, list.body, list.end)
  const algorithm = readElement(der, tbs.end, list.end)
  const signature = readElement(der, algorithm.end, list.end)
  assert.equal(signature.end, list.end)
  return verify(digest, der.subarray(tbs.start, tbs.end), new X509Certificate(certificate).publicKey, readBitString(signature, 'signature'))
}

const extensionOf = (crl: pkijs.CertificateRevocationList, id: string) => crl.crlExtensions?.extensions.find(({ extnID }) => extnID === id)

const entry = (change: Partial<CrlEntry> = {}): CrlEntry => ({ serial: serial(), revokedAt: now - day + 250, reason: 'unspecified', ...change })

describe('encodeCrl', () => {
  it('writes an empty list without revokedCertificates (RFC 5280 §5.1.2.6)', async () => {
    const der = await wholeCrl(facts())
    const crl = read(der)
    assert.equal(crl.version, 1)
    assert.equal(crl.thisUpdate.value.getTime(), now)
    assert.equal(crl.nextUpdate?.value.getTime(), now + 7 * day)
    assert.equal(crl.revokedCertificates, undefined)
    assert.deepEqual(
      crl.crlExtensions?.extensions.map(({ extnID, critical }) => [extnID, critical]),
      [
        [oids.authorityKeyIdentifier, false],
        [oids.cRLNumber, false],
      ],
    )
    assert.equal(extensionOf(crl, oids.cRLNumber)?.parsedValue.valueBlock.valueDec, 7)
    assert.ok(isSigned(der, issuer.certificate))
  })

  it('lists each certificate with time and reason, and leaves out the unspecified one (§5.3.1)', async () => {
    const reasons = Object.keys(revocationReasons) as RevocationReason[]
    const entries = reasons.map((reason, i) => entry({ reason, revokedAt: now - i * day }))
    const der = await wholeCrl(facts({ entries: [entries.slice(0, 3), [], entries.slice(3)] }))
    const crl = read(der)
    assert.deepEqual(
      crl.revokedCertificates?.map(({ userCertificate, revocationDate, crlEntryExtensions }) => [
        Buffer.from(userCertificate.valueBlock.valueHexView).toString('hex').replace(/^00/, ''),
        revocationDate.value.getTime(),
        crlEntryExtensions?.extensions.map(({ extnID, critical, parsedValue }) => [extnID, critical, parsedValue.valueBlock.valueDec]),
      ]),
      entries.map(({ serial, revokedAt, reason }) => [
        serial,
        revokedAt,
        reason === 'unspecified' ? undefined : [[oids.reasonCode, false, revocationReasons[reason]]],
      ]),
    )
    assert.ok(isSigned(der, issuer.certificate))
  })

  it('names a shard in a critical issuing distribution point (§5.2.5)', async () => {
    const uris = ['http://ca.example.net/crl/0123456789abcdef/17.crl', 'http://old.example.net/crl/0123456789abcdef/17.crl']
    const extension = extensionOf(read(await wholeCrl(facts({ distributionPoints: uris }))), oids.issuingDistributionPoint)
    assert.equal(extension?.critical, true)
    const point = extension.parsedValue as pkijs.IssuingDistributionPoint
    assert.deepEqual(
      (point.distributionPoint as pkijs.GeneralName[]).map(({ type, value }) => [type, value]),
      uris.map((uri) => [6, uri]),
    )
    assert.deepEqual(
      [point.onlyContainsUserCerts, point.onlyContainsCACerts, point.indirectCRL, point.onlySomeReasons],
      [false, false, false, undefined],
    )
  })

  it('carries the key identifier of the issuer’s certificate', async () => {
    const octets = extensionOf(read(await wholeCrl(facts())), oids.authorityKeyIdentifier)?.extnValue.valueBlock.valueHexView as Uint8Array
    const keyIdentifier = readElement(octets, readWhole(octets, 100).body)
    assert.deepEqual([keyIdentifier.tag, ...contents(keyIdentifier)], [0x80, ...issuer.ski])
  })

  it('writes serials as positive integers of minimal length', async () => {
    const serials = { '01': '01', '00ff': '00ff', ff: '00ff', '0000017f': '017f', '00': '00', [`7f${'00'.repeat(19)}`]: `7f${'00'.repeat(19)}` }
    for (const [serial, octets] of Object.entries(serials)) {
      const [revoked] = read(await wholeCrl(facts({ entries: [[entry({ serial })]] }))).revokedCertificates ?? []
      assert.equal(Buffer.from(revoked?.userCertificate.valueBlock.valueHexView ?? []).toString('hex'), octets)
    }
    for (const serial of ['', 'a', 'abc', 'AB', 'zz', '-1', 'ab cd', '4é', '01'.repeat(21), 'ff'.repeat(21)]) {
      await assert.rejects(wholeCrl(facts({ entries: [[entry({ serial })]] })), RangeError, serial)
    }
  })

  it('writes GeneralizedTime from 2050 on (§5.1.2.4)', async () => {
    const thisUpdate = Date.UTC(2050, 0, 1)
    const crl = read(
      await wholeCrl(
        facts({ thisUpdate, nextUpdate: thisUpdate + day, entries: [[entry({ revokedAt: thisUpdate - 1000 })], [entry({ revokedAt: thisUpdate })]] }),
      ),
    )
    assert.deepEqual([crl.thisUpdate.type, crl.thisUpdate.value.getTime()], [1, thisUpdate])
    assert.deepEqual(
      crl.revokedCertificates?.map(({ revocationDate }) => revocationDate.type),
      [0, 1],
    )
  })

  it('is right in however many pieces, with streamed entries', async () => {
    for (const [count, several] of [
      [3, 2],
      [400, 2],
      [1500, 2],
      [10_000, 2],
      [60_000, 7],
    ] as const) {
      const entries = Array.from({ length: count }, (_, i) =>
        entry({ serial: `40${randomBytes(14).toString('hex')}${(i % 256).toString(16).padStart(2, '0')}`, reason: 'superseded' }),
      )
      const stream = async function* () {
        for (let i = 0; i < count; i += 700) yield entries.slice(i, i + 700)
      }
      const pieces = await piecesOfCrl(facts({ entries: stream() }))
      assert.ok(pieces.every(({ length }) => length > 0 && length <= 512 * 1024))
      assert.equal(pieces.length, several)
      const der = concat(...pieces)
      assert.ok(isSigned(der, issuer.certificate))
      if (count > 2000) continue
      const revoked = read(der).revokedCertificates ?? []
      assert.deepEqual(
        revoked.map(({ userCertificate }) => Buffer.from(userCertificate.valueBlock.valueHexView).toString('hex')),
        entries.map(({ serial }) => serial),
      )
    }
  })

  it('signs with other kinds of keys', async () => {
    for (const key of [ecKey('P-384'), rsaKey()]) {
      const { issuer: other } = await makeCa(ecKey(), key)
      const digest = other.publicKey.kind === 'P-384' ? 'sha384' : 'sha256'
      assert.ok(isSigned(await wholeCrl(facts({ issuer: other, entries: [[entry()]] })), other.certificate, digest))
    }
  })

  it('hands a signer that can take parts the same octets in parts', async () => {
    const key = ecKey()
    const { issuer: other } = await makeCa(ecKey(), key)
    const signing = createSign('sha256')
    let parts = 0
    const begin = () => ({
      update: (part: Uint8Array) => {
        parts++
        signing.update(part)
      },
      sign: async () => new Uint8Array(signing.sign(key)),
    })
    const entries = [Array.from({ length: 60_000 }, () => entry())]
    const der = await wholeCrl(facts({ issuer: { ...other, signer: { ...other.signer, begin } }, entries }))
    assert.ok(isSigned(der, other.certificate))
    assert.ok(parts > 1)
  })

  it('signs a long list with a key that needs all at once', async () => {
    const { begin: _, ...signer } = issuer.signer
    const entries = [Array.from({ length: 60_000 }, () => entry())]
    assert.ok(isSigned(await wholeCrl(facts({ issuer: { ...issuer, signer }, entries })), issuer.certificate))
  })

  it('lets others run meanwhile', async () => {
    let turns = 0
    const timer = setInterval(() => turns++, 0)
    await wholeCrl(facts({ entries: [Array.from({ length: 50_000 }, () => entry())] }))
    clearInterval(timer)
    assert.ok(turns >= 3, `${turns} turns`)
  })

  it('fails where reading the entries fails', async () => {
    const broken = async function* () {
      yield [entry()]
      throw new Error('the database is away')
    }
    await assert.rejects(wholeCrl(facts({ entries: broken() })), /away/)
  })
})
