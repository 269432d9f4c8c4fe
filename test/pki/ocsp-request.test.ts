import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as asn1js from 'asn1js'
import fc from 'fast-check'
import * as pkijs from 'pkijs'
import { IcaError } from '../../src/errors.js'
import { boolean, concat, explicit, implicit, integer, nullValue, octetString, oid, sequence, tlv } from '../../src/pki/der.js'
import { type CertIdIssuer, encodeCertId, hashIssuer } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest, maxOcspRequest, nonceExtension, readOcspRequest } from '../../src/pki/ocsp-request.js'
import { oids } from '../../src/pki/oids.js'
import { makeCa, mutate } from './fixtures.js'

const { issuer } = await makeCa()
const serial = '4a0102030405060708090a0b0c0d0e0f'
const certId = encodeCertId(issuer, 'sha1', serial)
const plain = encodeOcspRequest([certId])
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const refuses = (bytes: Uint8Array, why?: RegExp): void =>
  assert.throws(
    () => readOcspRequest(bytes),
    (error) => error instanceof IcaError && error.code === 'malformed' && (!why || why.test(error.message)),
  )

/** A request from its parts, to be wrong in one of them. */
const requestOf = ({ before = [] as Uint8Array[], list = [sequence(certId)], after = [] as Uint8Array[], behind = [] as Uint8Array[] }): Uint8Array =>
  sequence(sequence(...before, sequence(...list), ...after), ...behind)

describe('readOcspRequest', () => {
  it('reads a request for one certificate', () => {
    const { certIds, nonce } = readOcspRequest(plain)
    assert.equal(certIds.length, 1)
    assert.equal(nonce, null)
    const [read] = certIds
    assert.ok(read)
    assert.equal(read.hash, 'sha1')
    assert.equal(read.serial, serial)
    assert.equal(hex(read.der), hex(certId))
    const { nameHash, keyHash } = hashIssuer(issuer, 'sha1')
    assert.equal(hex(read.issuerNameHash), hex(nameHash))
    assert.equal(hex(read.issuerKeyHash), hex(keyHash))
  })

  it('reads SHA-256, and a hash algorithm without its NULL', () => {
    for (const parameters of ['null', 'absent'] as const) {
      const [read] = readOcspRequest(encodeOcspRequest([encodeCertId(issuer, 'sha256', serial, parameters)])).certIds
      assert.equal(read?.hash, 'sha256')
      assert.equal(hex(read.issuerKeyHash), hex(hashIssuer(issuer, 'sha256').keyHash))
    }
  })

  it('reads several certificates and a nonce', () => {
    const nonce = new Uint8Array(32).fill(7)
    const request = readOcspRequest(encodeOcspRequest([certId, encodeCertId(issuer, 'sha256', '05')], nonce))
    assert.deepEqual(
      request.certIds.map(({ serial }) => serial),
      [serial, '05'],
    )
    assert.equal(hex(request.nonce as Uint8Array), hex(nonce))
  })

  it('reads a hash that it does not know, for nobody to answer', () => {
    const sha512 = sequence(
      sequence(oid('2.16.840.1.101.3.4.2.3'), sequence()),
      octetString(new Uint8Array(64)),
      octetString(new Uint8Array(64)),
      integer(5),
    )
    assert.equal(readOcspRequest(encodeOcspRequest([sha512])).certIds[0]?.hash, null)
  })

  it('skips version 1, the requestor, a signature and extensions that are not critical', () => {
    const other = sequence(oid('1.3.6.1.5.5.7.48.1.4'), octetString(sequence(oid(oids.idPkixOcspBasic))))
    const request = requestOf({
      before: [explicit(0, integer(0)), explicit(1, implicit(2, Buffer.from('client.example')))],
      list: [sequence(certId, explicit(0, sequence(sequence(oid('1.2.3'), boolean(false), octetString(nullValue())))))],
      after: [explicit(2, sequence(other, nonceExtension(Uint8Array.of(1))))],
      behind: [explicit(0, sequence(octetString(new Uint8Array(3))))],
    })
    const { certIds, nonce } = readOcspRequest(request)
    assert.equal(certIds[0]?.serial, serial)
    assert.deepEqual([...(nonce as Uint8Array)], [1])
  })

  it('reads what pkijs writes', () => {
    const request = new pkijs.OCSPRequest()
    request.tbsRequest.requestList = [
      new pkijs.Request({
        reqCert: new pkijs.CertID({
          hashAlgorithm: new pkijs.AlgorithmIdentifier({ algorithmId: oids.sha1 }),
          issuerNameHash: new asn1js.OctetString({ valueHex: new Uint8Array(20).fill(1) }),
          issuerKeyHash: new asn1js.OctetString({ valueHex: new Uint8Array(20).fill(2) }),
          serialNumber: new asn1js.Integer({ valueHex: Buffer.from('00ff01', 'hex') }),
        }),
      }),
    ]
    const { certIds } = readOcspRequest(new Uint8Array(request.toSchema(true).toBER()))
    assert.equal(certIds[0]?.serial, 'ff01')
    assert.equal(certIds[0].hash, 'sha1')
  })

  it('takes nonces of 1 to 128 octets and no others (RFC 9654)', () => {
    for (const size of [1, 16, 128]) assert.equal(readOcspRequest(encodeOcspRequest([certId], new Uint8Array(size))).nonce?.length, size)
    for (const size of [0, 129, 500]) refuses(encodeOcspRequest([certId], new Uint8Array(size)), /nonce/)
    const bare = sequence(oid(oids.idPkixOcspNonce), octetString(new Uint8Array(16)))
    refuses(requestOf({ after: [explicit(2, sequence(bare))] }))
    refuses(requestOf({ after: [explicit(2, sequence(nonceExtension(Uint8Array.of(1)), nonceExtension(Uint8Array.of(1))))] }), /two nonces/)
  })

  it('takes a critical nonce, and refuses other critical extensions', () => {
    const critical = (id: string, value: Uint8Array) => sequence(oid(id), boolean(true), octetString(value))
    const nonce = critical(oids.idPkixOcspNonce, octetString(Uint8Array.of(9)))
    assert.deepEqual([...(readOcspRequest(requestOf({ after: [explicit(2, sequence(nonce))] })).nonce as Uint8Array)], [9])
    refuses(requestOf({ after: [explicit(2, sequence(critical('1.2.3.4', nullValue())))] }), /1\.2\.3\.4/)
    refuses(requestOf({ list: [sequence(certId, explicit(0, sequence(critical('1.2.3.4', nullValue()))))] }), /1\.2\.3\.4/)
    refuses(requestOf({ list: [sequence(certId, explicit(0, sequence(nonce)))] }))
  })

  it('bounds size and numbers', () => {
    assert.equal(readOcspRequest(encodeOcspRequest(Array(32).fill(certId))).certIds.length, 32)
    refuses(encodeOcspRequest(Array(33).fill(certId)), /more than 32/)
    refuses(encodeOcspRequest(Array(200).fill(certId)))
    refuses(new Uint8Array(maxOcspRequest + 1))
    const many = Array(17).fill(sequence(oid('1.2.3'), octetString(nullValue())))
    refuses(requestOf({ after: [explicit(2, sequence(...many))] }), /more than 16/)
  })

  const other = hashIssuer(issuer, 'sha256')
  const certIdOf = (algorithm: Uint8Array, name: Uint8Array, key: Uint8Array, number: Uint8Array) =>
    sequence(algorithm, octetString(name), octetString(key), number)
  const sha1 = sequence(oid(oids.sha1), nullValue())
  const twenty = new Uint8Array(20)
  const wrong: Record<string, Uint8Array> = {
    nothing: new Uint8Array(),
    'an empty sequence': sequence(),
    'no certificate': requestOf({ list: [] }),
    'octets behind the end': concat(plain, Uint8Array.of(0)),
    'a further field': requestOf({ behind: [nullValue()] }),
    'version 2': requestOf({ before: [explicit(0, integer(1))] }),
    'an empty list of extensions': requestOf({ after: [explicit(2, sequence())] }),
    'a further field of the TBSRequest': requestOf({ after: [nullValue()] }),
    'a hash of another length': encodeOcspRequest([certIdOf(sha1, other.nameHash, other.keyHash, integer(5))]),
    'a NULL with contents': encodeOcspRequest([certIdOf(sequence(oid(oids.sha1), tlv(5, Uint8Array.of(0))), twenty, twenty, integer(5))]),
    'parameters that are not NULL': encodeOcspRequest([certIdOf(sequence(oid(oids.sha1), sequence()), twenty, twenty, integer(5))]),
    'a negative serial': encodeOcspRequest([certIdOf(sha1, twenty, twenty, tlv(2, Uint8Array.of(0x80)))]),
    'a serial that is not minimal': encodeOcspRequest([certIdOf(sha1, twenty, twenty, tlv(2, Uint8Array.of(0, 1)))]),
    'an empty serial': encodeOcspRequest([certIdOf(sha1, twenty, twenty, tlv(2))]),
    'a length that is not minimal': concat(Uint8Array.of(0x30, 0x81), plain.subarray(1)),
    'an indefinite length': concat(Uint8Array.of(0x30, 0x80), plain.subarray(2), Uint8Array.of(0, 0)),
  }
  for (const [what, bytes] of Object.entries(wrong)) it(`refuses ${what}`, () => refuses(bytes))

  it('gives back what was encoded, whatever that is', () => {
    const hash = fc.constantFrom('sha1' as const, 'sha256' as const)
    const parameters = fc.constantFrom('null' as const, 'absent' as const)
    const number = fc.uint8Array({ minLength: 1, maxLength: 20 }).filter((octets) => octets[0] !== 0)
    const single = fc.tuple(hash, number, parameters)
    fc.assert(
      fc.property(fc.array(single, { minLength: 1, maxLength: 32 }), fc.option(fc.uint8Array({ minLength: 1, maxLength: 128 })), (singles, nonce) => {
        const ids = singles.map(([h, n, p]) => encodeCertId(issuer as CertIdIssuer, h, hex(n), p))
        const request = readOcspRequest(encodeOcspRequest(ids, nonce))
        assert.deepEqual(
          request.certIds.map((read) => [read.hash, read.serial, hex(read.der)]),
          singles.map(([h, n], i) => [h, hex(n), hex(ids[i] as Uint8Array)]),
        )
        assert.equal(request.nonce && hex(request.nonce), nonce && hex(nonce))
      }),
      { numRuns: 200 },
    )
  })

  it('takes any octets, and accepts none but those that it would write for what it read', () => {
    const seeds = [
      plain,
      encodeOcspRequest([certId, certId], new Uint8Array(16)),
      encodeOcspRequest([encodeCertId(issuer, 'sha256', '05', 'absent')]),
    ]
    const seed = fc.constantFrom(...seeds)
    const change = fc.tuple(fc.integer({ min: 0, max: 2 }), fc.nat(300), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(seed, fc.array(change, { minLength: 1, maxLength: 3 }), (bytes, changes) => {
        const mutant = changes.reduce((before, [kind, at, value]) => (before.length > 0 ? mutate(before, kind, at, value) : before), bytes)
        try {
          const { certIds, nonce } = readOcspRequest(mutant)
          const again = encodeOcspRequest(
            certIds.map(({ der }) => der),
            nonce,
          )
          // A flag or an extension that is skipped may make it longer, never shorter.
          if (again.length === mutant.length) assert.equal(hex(again), hex(mutant))
          else assert.ok(again.length < mutant.length)
        } catch (error) {
          assert.ok(error instanceof IcaError && error.code === 'malformed', String(error))
        }
      }),
      { numRuns: 3000 },
    )
  })
})
