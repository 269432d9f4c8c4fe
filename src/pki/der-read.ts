/**
 * A strict, bounded DER (X.690) reader; der.ts is its counterpart. Free of Node, so that the web form can share it.
 *
 * Accepted: single-octet tags, definite and minimal lengths, nothing outside its parent and nothing behind the end. Everything else throws
 * IcaError('malformed') that names the octet, so that input from outside needs no other guard than its maximum size. Nothing is copied: an element is a window
 * into the bytes that it was read from. Depth is bounded by the caller's own walk; {@link checkDer} bounds it for a whole structure.
 */
import { type ErrorCode, IcaError } from '../errors.js'
import { bytesToHex } from './bytes.js'
import { tags } from './der.js'

/** One element: identifier octet, and the offsets in `bytes` of its header, of its contents and of what follows. */
export type Element = { readonly bytes: Uint8Array; readonly tag: number; readonly start: number; readonly body: number; readonly end: number }

/** The error of everything in this file. */
export const malformed = (at: number, what: string): IcaError => new IcaError('malformed', `Not valid DER at octet ${at}: ${what}.`)

/** Runs `read`; what it finds malformed becomes an error of `code` that begins with `what`. */
export const malformedAs = <T>(code: ErrorCode, what: string, read: () => T): T => {
  try {
    return read()
  } catch (error) {
    if (error instanceof IcaError && error.code === 'malformed') throw new IcaError(code, `${what} ${error.message}`, { cause: error })
    throw error
  }
}

const describe = (tag: number): string => `tag 0x${tag.toString(16).padStart(2, '0')}`

/** The element at `offset`, which must end at or before `limit`. */
export const readElement = (bytes: Uint8Array, offset = 0, limit = bytes.length): Element => {
  if (limit - offset < 2) throw malformed(offset, 'the input ends within a header')
  const tag = bytes[offset] as number
  if ((tag & 0x1f) === 0x1f) throw malformed(offset, 'a tag of more than one octet')
  const first = bytes[offset + 1] as number
  let body = offset + 2
  let length = first
  if (first >= 0x80) {
    const size = first & 0x7f
    if (size === 0) throw malformed(offset + 1, 'an indefinite length')
    if (size > 4) throw malformed(offset + 1, 'a length of more than four octets')
    if (limit - body < size) throw malformed(offset + 1, 'the input ends within a length')
    length = 0
    for (let i = 0; i < size; i++) length = length * 256 + (bytes[body + i] as number)
    if (length < 0x80 || length < 2 ** (8 * (size - 1))) throw malformed(offset + 1, 'a length that is not minimal')
    body += size
  }
  if (length > limit - body) throw malformed(offset + 1, `a length of ${length} where ${limit - body} octets are left`)
  return { bytes, tag, start: offset, body, end: body + length }
}

/** The one element that `bytes` consists of, at most `maxLength` octets, with the identifier octet `tag` where given. */
export const readWhole = (bytes: Uint8Array, maxLength: number, tag?: number): Element => {
  if (bytes.length > maxLength) throw malformed(0, `${bytes.length} octets, more than the ${maxLength} allowed`)
  const element = readElement(bytes)
  if (element.end !== bytes.length) throw malformed(element.end, 'octets behind the end')
  if (tag !== undefined) expectTag(element, tag, 'the input')
  return element
}

/** Refuses an element with another identifier octet. `what` names the field in the error. */
export const expectTag = (element: Element, tag: number, what: string): void => {
  if (element.tag !== tag) throw malformed(element.start, `${what} has ${describe(element.tag)} instead of ${describe(tag)}`)
}

/** The contents octets. */
export const contents = (element: Element): Uint8Array => element.bytes.subarray(element.body, element.end)

/** The whole element with its header. */
export const encoded = (element: Element): Uint8Array => element.bytes.subarray(element.start, element.end)

/** The elements inside a constructed one (or inside an OCTET STRING that wraps DER), at most `max`. */
export const children = (parent: Element, max = 256): Element[] => {
  const found: Element[] = []
  for (let offset = parent.body; offset < parent.end; ) {
    if (found.length === max) throw malformed(offset, `more than ${max} elements`)
    const child = readElement(parent.bytes, offset, parent.end)
    found.push(child)
    offset = child.end
  }
  return found
}

/** The single element inside a constructed one, or inside an OCTET STRING that wraps DER. */
export const onlyChild = (parent: Element, tag: number, what: string): Element => {
  const child = readElement(parent.bytes, parent.body, parent.end)
  if (child.end !== parent.end) throw malformed(child.end, `octets behind ${what}`)
  expectTag(child, tag, what)
  return child
}

/** Reads the fields of a SEQUENCE one by one, the way its ASN.1 lists them. */
export type Fields = {
  /** The next field, which must be there and have this identifier octet. */
  take(tag: number, what: string): Element
  /** The next field whatever its tag. */
  any(what: string): Element
  /** The next field where it has this identifier octet, else null. */
  optional(tag: number): Element | null
  /** Whether all fields are read. */
  atEnd(): boolean
  /** Refuses fields that are left over. */
  end(what: string): void
}

/** The fields of a constructed element. */
export const fieldsOf = (parent: Element): Fields => {
  const { bytes, end } = parent
  let offset = parent.body
  const any = (what: string): Element => {
    if (offset === end) throw malformed(offset, `${what} is missing`)
    const field = readElement(bytes, offset, end)
    offset = field.end
    return field
  }
  return {
    any,
    take(tag, what) {
      const field = any(what)
      expectTag(field, tag, what)
      return field
    },
    optional: (tag) => (offset < end && bytes[offset] === tag ? any('') : null),
    atEnd: () => offset === end,
    end(what) {
      if (offset !== end) throw malformed(offset, `unexpected ${describe(bytes[offset] as number)} in ${what}`)
    },
  }
}

// Values ----------------------------------------------------------------------------------------------------------------------------------------------

/** The dotted form of an OBJECT IDENTIFIER of at most 64 octets. */
export const readOid = (element: Element, what = 'an object identifier'): string => {
  expectTag(element, tags.oid, what)
  const { bytes, body, end } = element
  if (end === body || end - body > 64 || (bytes[end - 1] as number) >= 0x80) throw malformed(element.start, `${what} is not an OBJECT IDENTIFIER`)
  let dotted = ''
  let arc = 0n
  let fresh = true
  for (let i = body; i < end; i++) {
    const octet = bytes[i] as number
    if (fresh && octet === 0x80) throw malformed(i, `${what} has an arc that is not minimal`)
    arc = (arc << 7n) | BigInt(octet & 0x7f)
    fresh = octet < 0x80
    if (!fresh) continue
    if (dotted === '') {
      const first = arc < 80n ? arc / 40n : 2n
      dotted = `${first}.${arc - first * 40n}`
    } else dotted += `.${arc}`
    arc = 0n
  }
  return dotted
}

/** The two's-complement contents of an INTEGER (or ENUMERATED, by `tag`) that is ≥ 0, without its sign octet: an unsigned big-endian number. */
export const readUnsigned = (element: Element, what: string, tag: number = tags.integer): Uint8Array => {
  expectTag(element, tag, what)
  const octets = contents(element)
  const first = octets[0]
  if (first === undefined) throw malformed(element.start, `${what} is empty`)
  if (first >= 0x80) throw malformed(element.body, `${what} is negative`)
  if (first !== 0 || octets.length === 1) return octets
  if ((octets[1] as number) < 0x80) throw malformed(element.body, `${what} is not minimal`)
  return octets.subarray(1)
}

/** Lower-case hex of an INTEGER ≥ 0, an even number of digits: the form in which this program keeps serial numbers. */
export const readHexInteger = (element: Element, what: string): string => bytesToHex(readUnsigned(element, what))

/** An INTEGER (or ENUMERATED, by `tag`) between 0 and `max` < 2^48. */
export const readSmallInteger = (element: Element, max: number, what: string, tag: number = tags.integer): number => {
  const octets = readUnsigned(element, what, tag)
  let value = 0
  if (octets.length <= 6) for (const octet of octets) value = value * 256 + octet
  if (octets.length > 6 || value > max) throw malformed(element.body, `${what} is larger than ${max}`)
  return value
}

/** A BOOLEAN; DER knows only 00 and FF (X.690 §11.1). */
export const readBoolean = (element: Element, what: string): boolean => {
  expectTag(element, tags.boolean, what)
  const value = element.bytes[element.body]
  if (element.end - element.body !== 1 || (value !== 0 && value !== 0xff)) throw malformed(element.body, `${what} is not a BOOLEAN`)
  return value === 0xff
}

/** The octets of a BIT STRING that has no unused bits: a key or a signature. */
export const readBitString = (element: Element, what: string): Uint8Array => {
  const { octets, unused } = readBits(element, what)
  if (unused !== 0) throw malformed(element.body, `${what} has unused bits`)
  return octets
}

/** A BIT STRING with the number of its unused bits, which must be zero (X.690 §11.2.1). */
export const readBits = (element: Element, what: string): { octets: Uint8Array; unused: number } => {
  expectTag(element, tags.bitString, what)
  const unused = element.bytes[element.body] ?? 8
  const octets = element.bytes.subarray(element.body + 1, element.end)
  if (element.end === element.body || unused > 7 || (octets.length === 0 && unused > 0)) throw malformed(element.start, `${what} is not a BIT STRING`)
  if (unused > 0 && ((octets[octets.length - 1] as number) & ((1 << unused) - 1)) !== 0)
    throw malformed(element.end - 1, `${what} has unused bits that are set`)
  return { octets, unused }
}

/** The contents of an OCTET STRING. */
export const readOctetString = (element: Element, what: string): Uint8Array => {
  expectTag(element, tags.octetString, what)
  return contents(element)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 of contents octets; `what` names the field in the error. */
export const readUtf8 = (element: Element, what: string): string => {
  try {
    return utf8.decode(contents(element))
  } catch {
    throw malformed(element.body, `${what} is not UTF-8`)
  }
}

/** ASCII of contents octets, whatever the tag (IA5String, PrintableString, an implicitly tagged dNSName). */
export const readAscii = (element: Element, what: string): string => {
  let text = ''
  for (let i = element.body; i < element.end; i++) {
    const octet = element.bytes[i] as number
    if (octet > 0x7f) throw malformed(i, `${what} is not ASCII`)
    text += String.fromCharCode(octet)
  }
  return text
}

/** UTCTime or GeneralizedTime in the forms of RFC 5280 §4.1.2.5 (seconds, no fraction, Z), in milliseconds since the epoch. */
export const readTime = (element: Element, what: string): number => {
  const general = element.tag === tags.generalizedTime
  if (!general) expectTag(element, tags.utcTime, what)
  const text = readAscii(element, what)
  const match = (general ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/).exec(text)
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match?.slice(1).map(Number) ?? []
  const fullYear = general ? year : year < 50 ? 2000 + year : 1900 + year
  // Years below 100 would be taken for 19xx by Date.UTC; no certificate has them.
  const ms = match && fullYear >= 1000 ? Date.UTC(fullYear, month - 1, day, hour, minute, second) : Number.NaN
  const back = new Date(ms)
  if (!(back.getUTCMonth() === month - 1 && back.getUTCDate() === day && hour < 24 && minute < 60 && second < 60)) {
    throw malformed(element.body, `${what} is not a time: ${JSON.stringify(text)}`)
  }
  return ms
}

/** Checks a whole structure to its leaves, at most `maxDepth` levels deep. */
export const checkDer = (bytes: Uint8Array, maxLength: number, maxDepth = 24): void => {
  const check = (element: Element, depth: number): void => {
    if ((element.tag & 0x20) === 0) return
    if (depth === 0) throw malformed(element.start, `more than ${maxDepth} levels`)
    for (let offset = element.body; offset < element.end; ) {
      const child = readElement(element.bytes, offset, element.end)
      check(child, depth - 1)
      offset = child.end
    }
  }
  check(readWhole(bytes, maxLength), maxDepth)
}
