/**
 * A small DER (X.690) writer; der-read.ts is its counterpart. Free of Node, so that the web form can share it.
 *
 * Every function returns one finished element, so that a structure reads like its ASN.1 and constant parts can be made once and reused. A value that can't be
 * encoded is a mistake of this program: RangeError.
 */
import { compareBytes, hexToBytes } from './bytes.js'

/** Identifier octets (X.690 §8.1.2) of the universal types in use here; `sequence` and `set` with the constructed bit. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const

/** The identifier octet of the context-specific tag [n], n ≤ 30: constructed (EXPLICIT, or IMPLICIT of a constructed type) or primitive. */
export const contextTag = (n: number, constructed: boolean): number => (constructed ? 0xa0 : 0x80) | n

const utf8 = new TextEncoder()

/** Octets that a length takes (X.690 §8.1.3). */
const lengthSize = (length: number): number => (length < 0x80 ? 1 : length < 0x100 ? 2 : length < 0x10000 ? 3 : length < 0x1000000 ? 4 : 5)

/** The size of a whole element whose contents have `length` octets. For callers that preallocate. */
export const tlvSize = (length: number): number => 1 + lengthSize(length) + length

/** Writes identifier and length octets at `offset`; returns the offset of the contents. For callers that preallocate. */
export const writeHeader = (into: Uint8Array, offset: number, tag: number, length: number): number => {
  into[offset] = tag
  const size = lengthSize(length)
  if (size === 1) {
    into[offset + 1] = length
    return offset + 2
  }
  into[offset + 1] = 0x7f + size
  for (let i = 0; i < size - 1; i++) into[offset + 2 + i] = length >>> (8 * (size - 2 - i))
  return offset + 1 + size
}

const slabSize = 65_536
let slab = new Uint8Array(slabSize)
let slabUsed = 0

/**
 * Memory for an element. V8 makes a Uint8Array of up to 64 octets on its own heap in 25 ns; above that it goes to the C heap, which takes 700 ns and burdens the
 * garbage collector, so the middle sizes are cut from a slab. A result that is kept for long should be copied with slice(): a slab lives as long as any part of it.
 */
export const allocate = (size: number): Uint8Array => {
  if (size <= 64 || size > 2048) return new Uint8Array(size)
  if (slabUsed + size > slabSize) {
    slab = new Uint8Array(slabSize)
    slabUsed = 0
  }
  slabUsed += size
  return slab.subarray(slabUsed - size, slabUsed)
}

/** An element with the given identifier octet whose contents are `parts`, one behind the other. */
export const tlv = (tag: number, ...parts: Uint8Array[]): Uint8Array => {
  let length = 0
  for (const part of parts) length += part.length
  const out = allocate(tlvSize(length))
  let offset = writeHeader(out, 0, tag, length)
  for (const part of parts) {
    out.set(part, offset)
    offset += part.length
  }
  return out
}

/** `parts` one behind the other, for precomputed runs of fields. */
export const concat = (...parts: Uint8Array[]): Uint8Array => {
  let length = 0
  for (const part of parts) length += part.length
  const out = allocate(length)
  let offset = 0
  for (const part of parts) {
    out.set(part, offset)
    offset += part.length
  }
  return out
}

export const sequence = (...parts: Uint8Array[]): Uint8Array => tlv(tags.sequence, ...parts)

/** SET OF: the elements in ascending order of their encodings (X.690 §11.6). */
export const setOf = (...parts: Uint8Array[]): Uint8Array => tlv(tags.set, ...parts.sort(compareBytes))

/** [n] EXPLICIT: the element itself inside. */
export const explicit = (n: number, element: Uint8Array): Uint8Array => tlv(contextTag(n, true), element)

/** [n] IMPLICIT of a constructed type: `parts` are its contents. */
export const implicitConstructed = (n: number, ...parts: Uint8Array[]): Uint8Array => tlv(contextTag(n, true), ...parts)

/** [n] IMPLICIT of a primitive type: `contents` without the type's own header. */
export const implicit = (n: number, contents: Uint8Array): Uint8Array => tlv(contextTag(n, false), contents)

/** INTEGER ≥ 0: a number or bigint, or its magnitude as big-endian octets or hex digits (leading zeros are dropped, a sign octet is added where needed). */
export const integer = (value: number | bigint | string | Uint8Array): Uint8Array => {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 0x80) return Uint8Array.of(tags.integer, 1, value)
  const magnitude = typeof value === 'object' ? value : hexToBytes(typeof value === 'string' ? value : evenHex(value))
  let start = 0
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++
  const sign = magnitude.length === 0 || (magnitude[start] ?? 0) >= 0x80 ? 1 : 0
  const length = magnitude.length - start + sign
  const out = new Uint8Array(tlvSize(length))
  out.set(magnitude.subarray(start), writeHeader(out, 0, tags.integer, length) + sign)
  return out
}

const evenHex = (value: number | bigint): string => {
  if (value < 0) throw new RangeError('negative INTEGER')
  const hex = value.toString(16)
  return hex.length % 2 === 0 ? hex : `0${hex}`
}

export const enumerated = (value: number): Uint8Array => {
  if (!Number.isInteger(value) || value < 0 || value > 0x7f) throw new RangeError(`ENUMERATED ${value}`)
  return Uint8Array.of(tags.enumerated, 1, value)
}

/** BOOLEAN; TRUE is FF (X.690 §11.1). */
export const boolean = (value: boolean): Uint8Array => Uint8Array.of(tags.boolean, 1, value ? 0xff : 0)

export const nullValue = (): Uint8Array => Uint8Array.of(tags.null, 0)

export const octetString = (contents: Uint8Array): Uint8Array => tlv(tags.octetString, contents)

/** BIT STRING of whole octets. */
export const bitString = (contents: Uint8Array): Uint8Array => tlv(tags.bitString, Uint8Array.of(0), contents)

/** BIT STRING with named bits: the numbers of the bits that are set; trailing zero bits are left out (X.690 §11.2.2). */
export const namedBits = (...bits: number[]): Uint8Array => {
  const highest = Math.max(-1, ...bits)
  const contents = new Uint8Array(1 + Math.ceil((highest + 1) / 8))
  contents[0] = 8 * (contents.length - 1) - (highest + 1)
  for (const bit of bits) contents[1 + (bit >> 3)] = (contents[1 + (bit >> 3)] ?? 0) | (0x80 >> (bit & 7))
  return tlv(tags.bitString, contents)
}

const oidCache = new Map<string, Uint8Array>()

/** OBJECT IDENTIFIER from dotted form. The set of OIDs a program writes is small and fixed, so each is encoded once. */
export const oid = (dotted: string): Uint8Array => {
  let encoded = oidCache.get(dotted)
  if (!encoded) {
    encoded = encodeOid(dotted)
    oidCache.set(dotted, encoded)
  }
  return encoded
}

const encodeOid = (dotted: string): Uint8Array => {
  if (!/^[0-2](\.(0|[1-9]\d*))+$/.test(dotted)) throw new RangeError(`not an OID: ${dotted}`)
  const [first = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt)
  const octets: number[] = []
  for (const arc of [first * 40n + second, ...rest]) {
    const base128 = [Number(arc & 0x7fn)]
    for (let left = arc >> 7n; left > 0n; left >>= 7n) base128.unshift(Number(left & 0x7fn) | 0x80)
    octets.push(...base128)
  }
  return tlv(tags.oid, Uint8Array.from(octets))
}

export const utf8String = (value: string): Uint8Array => tlv(tags.utf8String, utf8.encode(value))

/** The octets of an ASCII string, for IA5String and implicitly tagged URIs and dNSNames. */
export const ascii = (value: string): Uint8Array => {
  const out = new Uint8Array(value.length)
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code > 0x7f) throw new RangeError(`not ASCII: ${value}`)
    out[i] = code
  }
  return out
}

export const ia5String = (value: string): Uint8Array => tlv(tags.ia5String, ascii(value))

export const printableString = (value: string): Uint8Array => {
  if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value)) throw new RangeError(`not a PrintableString: ${value}`)
  return tlv(tags.printableString, ascii(value))
}

const dayMs = 86_400_000
/** 1950-01-01 and 2050-01-01: between them RFC 5280 §4.1.2.5 wants UTCTime. */
const utcTimeFrom = Date.UTC(1950, 0)
const utcTimeUntil = Date.UTC(2050, 0)

/** The years that Time can say: 0000 to 9999. */
const timeFrom = -62_167_219_200_000
const timeUntil = 253_402_300_800_000

/** `a / b` rounded towards zero, of 32-bit integers: V8 makes a multiplication of it, where Math.floor divides floating-point numbers. */
const quotient = (a: number, b: number): number => (a / b) | 0

const two = (into: Uint8Array, offset: number, value: number): number => {
  const tens = quotient(value, 10)
  into[offset] = 0x30 + tens
  into[offset + 1] = 0x30 + value - 10 * tens
  return offset + 2
}

/**
 * Writes Time (RFC 5280 §4.1.2.5) of `ms` since the epoch at `offset`, whole seconds (rounded down), UTCTime through 2049 and GeneralizedTime from then on;
 * returns the offset behind it (15 or 17 octets further). Calendar by integer arithmetic: a CRL writes a million of these.
 */
export const writeTime = (into: Uint8Array, offset: number, ms: number, general = ms < utcTimeFrom || ms >= utcTimeUntil): number => {
  if (!(ms >= timeFrom && ms < timeUntil)) throw new RangeError(`time ${ms} is out of range`)
  const days = Math.floor(ms / dayMs)
  const second = Math.floor((ms - days * dayMs) / 1000)
  // Days since 0000-03-01 of the proleptic Gregorian calendar, whose years end with the leap day; 146,097 days make 400 years. From -0400 on, so that nothing is negative.
  const shifted = days + 719_468 + 146_097
  const era = quotient(shifted, 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = quotient(dayOfEra - quotient(dayOfEra, 1460) + quotient(dayOfEra, 36_524) - quotient(dayOfEra, 146_096), 365)
  const dayOfYear = dayOfEra - (365 * yearOfEra + quotient(yearOfEra, 4) - quotient(yearOfEra, 100))
  const fromMarch = quotient(5 * dayOfYear + 2, 153)
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
  const year = era * 400 - 400 + yearOfEra + (month <= 2 ? 1 : 0)

  let at = writeHeader(into, offset, general ? tags.generalizedTime : tags.utcTime, general ? 15 : 13)
  if (general) at = two(into, at, quotient(year, 100))
  at = two(into, at, year % 100)
  at = two(into, at, month)
  at = two(into, at, dayOfYear - quotient(153 * fromMarch + 2, 5) + 1)
  at = two(into, at, quotient(second, 3600))
  at = two(into, at, quotient(second, 60) % 60)
  at = two(into, at, second % 60)
  into[at] = 0x5a
  return at + 1
}

/** Time as RFC 5280 §4.1.2.5 wants it in certificates and CRLs: `ms` since the epoch, rounded down to a second. */
export const time = (ms: number): Uint8Array => {
  const out = new Uint8Array(17)
  return out.subarray(0, writeTime(out, 0, ms))
}

/** GeneralizedTime whatever the year, as OCSP wants it (RFC 6960 §4.2.2.1): `ms` since the epoch, rounded down to a second. */
export const generalizedTime = (ms: number): Uint8Array => {
  const out = new Uint8Array(17)
  writeTime(out, 0, ms, true)
  return out
}
