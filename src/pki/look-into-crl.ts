/** A glance into a CRL of one's own, which may be megabytes long: its number and times, and whether a serial is on it. Nothing is verified. */
import { contextTag, tags } from './der.js'
import { children, type Element, fieldsOf, malformed, onlyChild, readHexInteger, readOid, readTime, readWhole } from './der-read.js'
import { oids } from './oids.js'

/** Times in milliseconds since the epoch. */
export type CrlGlance = { number: bigint; thisUpdate: number; nextUpdate: number; listed: boolean }

const numberIn = (extensions: Element): bigint => {
  for (const extension of children(onlyChild(extensions, tags.sequence, 'the extensions'), 32)) {
    const fields = fieldsOf(extension)
    if (readOid(fields.any('the identifier of an extension')) !== oids.cRLNumber) continue
    const value = fields.take(tags.octetString, 'the number of the CRL')
    return BigInt(`0x${readHexInteger(onlyChild(value, tags.integer, 'the number of the CRL'), 'the number of the CRL')}`)
  }
  throw malformed(extensions.start, 'a CRL without a number')
}

/** Whether the entries have a serial: an INTEGER of so many random octets with a time behind it is found nowhere else. */
const isAmong = ({ bytes, body, end }: Element, serial: string): boolean => {
  const even = serial.length % 2 === 0 ? serial : `0${serial}`
  const octets = Buffer.from(/^[89a-f]/.test(even) ? `00${even}` : even, 'hex')
  const integer = Buffer.concat([Buffer.of(tags.integer, octets.length), octets])
  const entries = Buffer.from(bytes.buffer, bytes.byteOffset + body, end - body)
  for (let at = entries.indexOf(integer); at >= 0; at = entries.indexOf(integer, at + 1)) {
    const next = entries[at + integer.length]
    // A SEQUENCE header of short form stands before the first member of each entry (RFC 5280 §5.1).
    if (entries[at - 2] === tags.sequence && (next === tags.utcTime || next === tags.generalizedTime)) return true
  }
  return false
}

/**
 * Looks into a DER CertificateList (RFC 5280 §5.1). Throws malformed where it is none, or has no number or nextUpdate.
 * @param serial lower-case hex without sign octet
 */
export const lookIntoCrl = (der: Uint8Array, serial: string): CrlGlance => {
  const list = fieldsOf(fieldsOf(readWhole(der, der.length, tags.sequence)).take(tags.sequence, 'the TBSCertList'))
  list.optional(tags.integer)
  list.take(tags.sequence, 'the signature algorithm')
  list.take(tags.sequence, 'the issuer')
  const thisUpdate = readTime(list.any('thisUpdate'), 'thisUpdate')
  const nextUpdate = readTime(list.any('nextUpdate'), 'nextUpdate')
  const entries = list.optional(tags.sequence)
  const extensions = list.take(contextTag(0, true), 'the extensions')
  return { number: numberIn(extensions), thisUpdate, nextUpdate, listed: entries !== null && isAmong(entries, serial.toLowerCase()) }
}
