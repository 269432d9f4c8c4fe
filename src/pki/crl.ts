/**
 * Certificate revocation lists (RFC 5280 §5). A list may have a million entries, so they are written one behind the other into a single buffer as they come from
 * the database, and what stands before them, whose size depends on theirs, is put in front at the end. Cost is linear and nothing but that buffer grows.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type RevocationReason, revocationReasons } from '../model.js'
import {
  ascii,
  bitString,
  concat,
  enumerated,
  explicit,
  implicit,
  implicitConstructed,
  integer,
  sequence,
  tags,
  time,
  tlvSize,
  writeHeader,
  writeTime,
} from './der.js'
import { authorityKeyIdentifier, extension } from './extensions.js'
import type { Signer } from './keys.js'
import { oids } from './oids.js'

/** One revoked certificate. `serial` is lower-case hex, `revokedAt` milliseconds since the epoch. */
export type CrlEntry = { serial: string; revokedAt: number; reason: RevocationReason }

export type CrlFacts = {
  issuer: {
    /** DER Name, and the key identifier that the issuer's certificate has. */
    subject: Uint8Array
    ski: Uint8Array
    signer: Signer
  }
  /** Greater than that of every list before it with the same scope (§5.2.3). */
  number: bigint
  /** Milliseconds since the epoch, rounded down to seconds. */
  thisUpdate: number
  nextUpdate: number
  /** For a shard: the URIs that its leaves have in their CRL distribution points, octet for octet; mostly one. None for the complete list of the issuer. */
  distributionPoints: readonly string[]
  /** In any order, each serial once. */
  entries: AsyncIterable<readonly CrlEntry[]> | Iterable<readonly CrlEntry[]>
}

const firstCapacity = 16 * 1024
/** The system commits memory as it is written, so a buffer that is too large costs nothing, while one that is copied often costs time and, until it is collected, memory. */
const growth = 4
/** SEQUENCE and INTEGER headers, a serial of 20 octets with sign octet, GeneralizedTime, reasonCode. */
const maxEntry = 64
/** Entries that are written before others get the event loop: below a millisecond's work. */
const entriesPerTurn = 4096

/**
 * Encodes and signs a CertificateList, version 2: AKI, CRL number, and for a shard a critical issuing distribution point.
 * @returns DER
 */
export const encodeCrl = async (facts: CrlFacts): Promise<Uint8Array> => {
  const { signer } = facts.issuer
  const head = concat(integer(1), signer.algorithm, facts.issuer.subject, time(facts.thisUpdate), time(facts.nextUpdate))
  const tail = explicit(0, sequence(...crlExtensions(facts)))

  // Room for the three headers that enclose the entries: CertificateList, TBSCertList and revokedCertificates.
  const start = head.length + 3 * maxHeader
  const { buffer, end } = await writeEntries(facts.entries, start, tail.length + maxSignature)

  let tbsStart = end > start ? prependHeader(buffer, start, tags.sequence, end - start) : start
  tbsStart -= head.length
  buffer.set(head, tbsStart)
  buffer.set(tail, end)
  const tbsEnd = end + tail.length
  tbsStart = prependHeader(buffer, tbsStart, tags.sequence, tbsEnd - tbsStart)

  const signature = concat(signer.algorithm, bitString(await signInParts(signer, buffer.subarray(tbsStart, tbsEnd))))
  buffer.set(signature, tbsEnd)
  const listEnd = tbsEnd + signature.length
  return buffer.subarray(prependHeader(buffer, tbsStart, tags.sequence, listEnd - tbsStart), listEnd)
}

/** What is hashed before others get the event loop: about a millisecond's work. */
const partSize = 1 << 20

const signInParts = async (signer: Signer, tbs: Uint8Array): Promise<Uint8Array> => {
  const signing = signer.begin?.()
  if (!signing) return signer.sign(tbs)
  for (let offset = 0; offset < tbs.length; offset += partSize) {
    signing.update(tbs.subarray(offset, offset + partSize))
    await nextTurn()
  }
  return signing.sign()
}

/** Identifier octet and a length of up to four octets. */
const maxHeader = 6
/** AlgorithmIdentifier and BIT STRING; an RSA key of 16,384 bits signs with 2,048 octets. */
const maxSignature = 2200

/** Writes an element's header in front of its contents at `offset`; returns where it begins. */
const prependHeader = (buffer: Uint8Array, offset: number, tag: number, length: number): number => {
  const start = offset - (tlvSize(length) - length)
  writeHeader(buffer, start, tag, length)
  return start
}

/** The entries from `start` on in a buffer that has `spare` octets left behind them. */
const writeEntries = async (batches: CrlFacts['entries'], start: number, spare: number): Promise<{ buffer: Uint8Array; end: number }> => {
  let buffer = new Uint8Array(firstCapacity)
  let end = start
  let count = 0
  for await (const batch of batches) {
    for (const entry of batch) {
      if (buffer.length - end < maxEntry + spare) {
        const larger = new Uint8Array(Math.max(growth * buffer.length, end + maxEntry + spare))
        larger.set(buffer.subarray(0, end))
        buffer = larger
      }
      end = writeEntry(buffer, end, entry)
      if (++count % entriesPerTurn === 0) await nextTurn()
    }
  }
  return { buffer, end }
}

/** crlEntryExtensions with the reason as their only one; absent where it is unspecified (§5.3.1). */
const reasonExtensions = Object.fromEntries(
  Object.entries(revocationReasons).map(([reason, code]) => [
    reason,
    code === 0 ? new Uint8Array() : sequence(extension(oids.reasonCode, false, enumerated(code))),
  ]),
) as Record<RevocationReason, Uint8Array>

/** SEQUENCE { userCertificate, revocationDate, crlEntryExtensions OPTIONAL } (§5.1.2.6). Its header always has two octets: see {@link maxEntry}. */
const writeEntry = (buffer: Uint8Array, offset: number, { serial, revokedAt, reason }: CrlEntry): number => {
  let at = writeSerial(buffer, offset + 2, serial)
  at = writeTime(buffer, at, revokedAt)
  const extensions = reasonExtensions[reason]
  for (let i = 0; i < extensions.length; i++) buffer[at + i] = extensions[i] as number
  at += extensions.length
  writeHeader(buffer, offset, tags.sequence, at - offset - 2)
  return at
}

/** The values of the lower-case hex digits by character code; 0xff for every other character. */
const digits = new Uint8Array(0x80).fill(0xff)
for (let value = 0; value < 16; value++) digits[value.toString(16).charCodeAt(0)] = value

/** INTEGER from hex of one to twenty octets (§4.1.2.2), written in place: `integer` would allocate three times an entry. */
const writeSerial = (buffer: Uint8Array, offset: number, serial: string): number => {
  let from = 0
  while (from < serial.length - 2 && serial.startsWith('00', from)) from += 2
  const octets = (serial.length - from) / 2
  const sign = serial.charCodeAt(from) > 0x37 ? 1 : 0
  let at = writeHeader(buffer, offset, tags.integer, sign + octets)
  if (sign === 1) buffer[at++] = 0
  let seen = 0
  for (; from < serial.length; from += 2) {
    const high = digits[serial.charCodeAt(from)] ?? 0xff
    const low = digits[serial.charCodeAt(from + 1)] ?? 0xff
    seen |= high | low
    buffer[at++] = (high << 4) | low
  }
  if (seen > 0xf || octets < 1 || octets > 20) throw new RangeError(`not a serial: ${serial}`)
  return at
}

const crlExtensions = ({ issuer, number, distributionPoints }: CrlFacts): Uint8Array[] => [
  authorityKeyIdentifier(issuer.ski),
  extension(oids.cRLNumber, false, integer(number)),
  ...(distributionPoints.length === 0 ? [] : [issuingDistributionPoint(distributionPoints)]),
]

/**
 * §5.2.5, critical: a list that covers only the certificates that point to one of these URIs (§6.3.3 (b) (2) (i) compares each with each).
 * distributionPoint [0] { fullName [0] { URI [6] … } }
 */
const issuingDistributionPoint = (uris: readonly string[]): Uint8Array =>
  extension(
    oids.issuingDistributionPoint,
    true,
    sequence(implicitConstructed(0, implicitConstructed(0, ...uris.map((uri) => implicit(6, ascii(uri)))))),
  )
