/**
 * Certificate revocation lists (RFC 5280 §5). A list may have a million entries, so they are written one behind the other into pieces of memory as they come from
 * the database, and what stands before them, whose size depends on theirs, is put in front at the end. Cost is linear, nothing is copied, and nothing but the list
 * itself grows.
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

/** The first piece is short, as most lists are; each further one is twice as long as that before it, up to {@link maxPiece}. */
const minPiece = 16 * 1024
const maxPiece = 512 * 1024
/** SEQUENCE and INTEGER headers, a serial of 20 octets with sign octet, GeneralizedTime, reasonCode. */
const maxEntry = 64
/** Entries that are written before others get the event loop: below a millisecond's work. */
const entriesPerTurn = 4096

/**
 * Encodes and signs a CertificateList, version 2: AKI, CRL number, and for a shard a critical issuing distribution point.
 * @returns DER, in pieces of at most half a MiB
 */
export const encodeCrl = async (facts: CrlFacts): Promise<Uint8Array[]> => {
  const { signer } = facts.issuer
  const head = concat(integer(1), signer.algorithm, facts.issuer.subject, time(facts.thisUpdate), time(facts.nextUpdate))
  const tail = explicit(0, sequence(...crlExtensions(facts)))

  // Room for the three headers that enclose the entries: CertificateList, TBSCertList and revokedCertificates.
  const entriesStart = head.length + 3 * maxHeader
  const pieces = await writeEntries(facts.entries, entriesStart, tail.length + maxSignature)
  const first = pieces[0] as Piece
  const last = pieces.at(-1) as Piece
  const octets = () => pieces.reduce((sum, { start, end }) => sum + end - start, 0)
  /** All that is there so far becomes the contents of one SEQUENCE. */
  const enclose = () => prependHeader(first, tags.sequence, octets())

  if (octets() > 0) enclose()
  prepend(first, head)
  append(last, tail)
  enclose()
  append(last, concat(signer.algorithm, bitString(await sign(signer, pieces.map(contents)))))
  enclose()
  return pieces.map(contents)
}

const sign = async (signer: Signer, tbs: readonly Uint8Array[]): Promise<Uint8Array> => {
  const signing = signer.begin?.()
  if (!signing) return signer.sign(concat(...tbs))
  for (const piece of tbs) {
    signing.update(piece)
    await nextTurn()
  }
  return signing.sign()
}

/** Identifier octet and a length of up to four octets. */
const maxHeader = 6
/** AlgorithmIdentifier and BIT STRING; an RSA key of 16,384 bits signs with 2,048 octets. */
const maxSignature = 2200

/** Contents from `start` to `end`, and room around them. */
type Piece = { buffer: Uint8Array; start: number; end: number }

const contents = ({ buffer, start, end }: Piece): Uint8Array => buffer.subarray(start, end)

const prepend = (piece: Piece, octets: Uint8Array): void => {
  piece.start -= octets.length
  piece.buffer.set(octets, piece.start)
}

const append = (piece: Piece, octets: Uint8Array): void => {
  piece.buffer.set(octets, piece.end)
  piece.end += octets.length
}

/** Puts the header of an element in front of its contents, which have `length` octets. */
const prependHeader = (piece: Piece, tag: number, length: number): void => {
  piece.start -= tlvSize(length) - length
  writeHeader(piece.buffer, piece.start, tag, length)
}

const newPiece = (size: number, start = 0): Piece => ({ buffer: new Uint8Array(size), start, end: start })

/** The entries, none of them cut, in pieces that all have `spare` octets left behind them; the first, which is always there, begins at `start`. */
const writeEntries = async (batches: CrlFacts['entries'], start: number, spare: number): Promise<Piece[]> => {
  const room = maxEntry + spare
  let piece = newPiece(Math.max(minPiece, start + room), start)
  let count = 0
  const pieces = [piece]
  for await (const batch of batches) {
    for (const entry of batch) {
      if (piece.buffer.length - piece.end < room) {
        piece = newPiece(Math.max(room, Math.min(2 * piece.buffer.length, maxPiece)))
        pieces.push(piece)
      }
      piece.end = writeEntry(piece.buffer, piece.end, entry)
      if (++count % entriesPerTurn === 0) await nextTurn()
    }
  }
  return pieces
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
  while (from < serial.length - 2 && serial.charCodeAt(from) === 0x30 && serial.charCodeAt(from + 1) === 0x30) from += 2
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
