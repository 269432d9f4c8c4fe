import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as asn1js from 'asn1js'
import fc from 'fast-check'
import { IcaError } from '../../src/errors.js'
import { bytesToHex, hexToBytes } from '../../src/pki/bytes.js'
import * as der from '../../src/pki/der.js'
import * as read from '../../src/pki/der-read.js'
import { oids } from '../../src/pki/oids.js'

const hex = (bytes: Uint8Array): string => bytesToHex(bytes)
const element = (text: string): read.Element => read.readWhole(hexToBytes(text), 1000)

test('the writer gives the octets that X.690 has as examples, and the edges of lengths and integers', () => {
  const table: [Uint8Array, string][] = [
    [der.integer(0), '020100'],
    [der.integer(127), '02017f'],
    [der.integer(128), '02020080'],
    [der.integer(256n), '02020100'],
    [der.integer('00ff'), '020200ff'],
    [der.integer(Uint8Array.of(0, 0, 1)), '020101'],
    [der.integer(new Uint8Array(0)), '020100'],
    [der.integer(600_000), '02030927c0'],
    [der.boolean(true), '0101ff'],
    [der.nullValue(), '0500'],
    [der.enumerated(6), '0a0106'],
    [der.oid('2.999.3'), '0603883703'],
    [der.oid('1.2.840.113549'), '06062a864886f70d'],
    [der.namedBits(0), '03020780'],
    [der.namedBits(5, 6), '03020106'],
    [der.namedBits(), '030100'],
    [der.namedBits(0, 8), '0303078080'],
    [der.bitString(Uint8Array.of(1)), '03020001'],
    [der.utf8String('ü'), '0c02c3bc'],
    [der.setOf(der.integer(2), der.boolean(true), der.integer(1)), '31090101ff020101020102'],
    [der.implicit(6, der.ascii('a')), '860161'],
    [der.explicit(3, der.nullValue()), 'a3020500'],
    [der.concat(der.nullValue(), der.nullValue()), '05000500'],
  ]
  for (const [bytes, expected] of table) assert.equal(hex(bytes), expected)
  for (const [size, header] of [
    [127, '047f'],
    [128, '048180'],
    [255, '0481ff'],
    [256, '04820100'],
    [65535, '0482ffff'],
    [65536, '0483010000'],
  ] as const) {
    const bytes = der.octetString(new Uint8Array(size))
    assert.ok(hex(bytes.subarray(0, 6)).startsWith(header))
    assert.equal(bytes.length, der.tlvSize(size))
    assert.equal(read.contents(read.readWhole(bytes, 100_000)).length, size)
  }
})

test('the writer refuses what it can’t encode', () => {
  for (const mistake of [
    () => der.integer(-1),
    () => der.integer(-5n),
    () => der.integer('xy'),
    () => der.integer('abc'),
    () => der.enumerated(200),
    () => der.oid('3.1'),
    () => der.oid('1.02'),
    () => der.ia5String('ü'),
    () => der.printableString('a@b'),
    () => der.time(Number.NaN),
    () => der.time(Date.UTC(10000, 0)),
  ]) {
    assert.throws(mistake, RangeError)
  }
})

test('times are UTCTime through 2049, GeneralizedTime from then on, without fractions', () => {
  const text = (bytes: Uint8Array) => `${bytes[0]?.toString(16)} ${Buffer.from(bytes.subarray(2)).toString()}`
  assert.equal(text(der.time(Date.UTC(2049, 11, 31, 23, 59, 59, 999))), '17 491231235959Z')
  assert.equal(text(der.time(Date.UTC(2050, 0, 1))), '18 20500101000000Z')
  assert.equal(text(der.time(Date.UTC(1950, 0, 1))), '17 500101000000Z')
  assert.equal(text(der.time(Date.UTC(1949, 11, 31, 23, 59, 59))), '18 19491231235959Z')
  assert.equal(text(der.time(Date.UTC(2024, 1, 29, 12, 34, 56))), '17 240229123456Z')
  assert.equal(text(der.generalizedTime(Date.UTC(2026, 0, 1))), '18 20260101000000Z')
  fc.assert(
    fc.property(fc.date({ min: new Date('1900-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), (date) => {
      const seconds = Math.floor(date.getTime() / 1000) * 1000
      assert.equal(read.readTime(read.readWhole(der.time(date.getTime()), 20), 'time'), seconds)
      const general = Buffer.from(der.generalizedTime(date.getTime()).subarray(2)).toString()
      assert.equal(general, `${new Date(seconds).toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`)
    }),
  )
})

test('what the writer writes, the reader and asn1js read', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 160n }), (value) => {
      const bytes = der.integer(value)
      assert.equal(BigInt(`0x${read.readHexInteger(read.readWhole(bytes, 40), 'n')}`), value)
      assert.equal((asn1js.fromBER(bytes).result as asn1js.Integer).toBigInt(), value)
    }),
  )
  const arc = fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: 2n ** 128n }))
  fc.assert(
    fc.property(fc.constantFrom('0.39', '1.2', '2.999', '2.25'), fc.array(arc, { maxLength: 4 }), (start, arcs) => {
      const dotted = [start, ...arcs].join('.')
      fc.pre(der.oid(dotted).length <= 66)
      assert.equal(read.readOid(read.readWhole(der.oid(dotted), 100)), dotted)
    }),
  )
  for (const dotted of Object.values(oids)) assert.equal((asn1js.fromBER(der.oid(dotted)).result as asn1js.ObjectIdentifier).getValue(), dotted)
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) =>
      assert.equal(read.readUtf8(read.readWhole(der.utf8String(text), 1e5), 't'), Buffer.from(text).toString()),
    ),
  )
})

test('the reader refuses what is not DER, and says where', () => {
  const table: [string, () => unknown, RegExp][] = [
    ['empty', () => element(''), /octet 0: the input ends/],
    ['no length', () => element('30'), /octet 0: the input ends/],
    ['indefinite length', () => element('30800000'), /octet 1: an indefinite length/],
    ['length not minimal', () => element('048101aa'), /octet 1: a length that is not minimal/],
    ['length with a zero octet', () => element('04820080'.padEnd(264, '0')), /not minimal/],
    ['length of five octets', () => element('04850000000001aa'), /more than four/],
    ['cut length', () => element('0482ff'), /ends within a length/],
    ['too long', () => element('0405aa'), /a length of 5 where 1 octets are left/],
    ['trailing', () => element('0500aa'), /octet 2: octets behind the end/],
    ['long tag', () => element('1f0100'), /a tag of more than one octet/],
    ['oversized', () => read.readWhole(new Uint8Array(11), 10), /11 octets, more than the 10/],
    ['another tag', () => read.readWhole(hexToBytes('0500'), 10, 0x30), /tag 0x05 instead of tag 0x30/],
    ['child outside', () => read.children(element('30030405aa')), /where 1 octets are left/],
    ['too many', () => read.children(element('300405000500'), 1), /more than 1 elements/],
    ['boolean 01', () => read.readBoolean(element('010101'), 'b'), /not a BOOLEAN/],
    ['negative', () => read.readUnsigned(element('020180'), 'n'), /negative/],
    ['integer not minimal', () => read.readUnsigned(element('0202007f'), 'n'), /not minimal/],
    ['integer empty', () => read.readUnsigned(element('0200'), 'n'), /empty/],
    ['integer too large', () => read.readSmallInteger(element('02020100'), 255, 'n'), /larger than 255/],
    ['bits without count', () => read.readBits(element('0300'), 'b'), /not a BIT STRING/],
    ['bits set that are unused', () => read.readBits(element('03020781'), 'b'), /unused bits that are set/],
    ['a key with unused bits', () => read.readBitString(element('03020780'), 'b'), /unused bits/],
    ['oid cut', () => read.readOid(element('060188')), /not an OBJECT IDENTIFIER/],
    ['oid padded', () => read.readOid(element('0603802a03')), /not minimal/],
    ['utf-8', () => read.readUtf8(element('0c01ff'), 't'), /not UTF-8/],
    ['month 13', () => read.readTime(read.readWhole(der.tlv(0x17, der.ascii('261301000000Z')), 20), 't'), /not a time/],
    ['30 February', () => read.readTime(read.readWhole(der.tlv(0x17, der.ascii('260230000000Z')), 20), 't'), /not a time/],
    ['no seconds', () => read.readTime(read.readWhole(der.tlv(0x17, der.ascii('2602010000Z')), 20), 't'), /not a time/],
    ['fraction', () => read.readTime(read.readWhole(der.tlv(0x18, der.ascii('20260201000000.5Z')), 20), 't'), /not a time/],
    ['left over', () => read.fieldsOf(element('30020500')).end('it'), /unexpected tag 0x05 in it/],
    ['missing', () => read.fieldsOf(element('3000')).take(2, 'the version'), /the version is missing/],
    ['two children', () => read.onlyChild(element('300405000500'), 5, 'it'), /octets behind it/],
    [
      'too deep',
      () =>
        read.checkDer(
          Array.from({ length: 30 }).reduce<Uint8Array>((inner) => der.sequence(inner), der.nullValue()),
          1000,
        ),
      /more than 24 levels/,
    ],
  ]
  for (const [name, run, message] of table) {
    assert.throws(run, (error) => error instanceof IcaError && error.code === 'malformed' && message.test(error.message), name)
  }
})

test('whatever comes in, the reader throws nothing but IcaError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        read.checkDer(bytes, 100)
      } catch (error) {
        assert.ok(error instanceof IcaError)
      }
    }),
    { numRuns: 2000 },
  )
})

test('hex', () => {
  assert.equal(bytesToHex(Uint8Array.of(0, 10, 255)), '000aff')
  assert.deepEqual(hexToBytes('000AfF'), Uint8Array.of(0, 10, 255))
  for (const bad of ['0', '0g', 'é0', '\u012f0']) assert.throws(() => hexToBytes(bad), RangeError)
})
