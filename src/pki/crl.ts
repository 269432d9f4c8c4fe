/**
 * Certificate revocation lists (RFC 5280 §5). A list may have a million entries, so they are written one behind the other into one buffer as they come from the
 * database, and put away each time that it is full. What stands before them, whose size depends on theirs, and the signature over all come at the end. Cost is
 * linear, and memory does not grow with the list.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type CrlBody, type CrlEnds, type RevocationReason, revocationReasons } from '../model.js'
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

/** The buffer of a list is short at first, as most lists are, and grows up to {@link maxPiece}. */
const minPiece = 16 * 1024
const maxPiece = 512 * 1024
/** Identifier octet and a length of up to four octets. */
const maxHeader = 6
/** AlgorithmIdentifier and BIT STRING; an RSA key of 16,384 bits signs with 2,048 octets. */
const maxSignature = 2200
/** SEQUENCE and INTEGER headers, a serial of 20 octets with sign octet, GeneralizedTime, reasonCode. */
const maxEntry = 64
/** Entries that are written before others get the event loop: below a millisecond's work. */
const entriesPerTurn = 4096

/**
 * Encodes and signs a CertificateList, version 2: AKI, CRL number, and for a shard a critical issuing distribution point.
 * @param body gets the entries, but for the last of them; nothing of a short list
 * @returns DER. Head and tail together have at most half a MiB, and so has each piece
 */
export const encodeCrl = async (facts: CrlFacts, body: CrlBody): Promise<CrlEnds> => {
  const { signer } = facts.issuer
  const fields = concat(integer(1), signer.algorithm, facts.issuer.subject, time(facts.thisUpdate), time(facts.nextUpdate))
  const extensions = explicit(0, sequence(...crlExtensions(facts)))
  // Of CertificateList, TBSCertList and revokedCertificates.
  const headers = 3 * maxHeader
  const { last, put } = await writeEntries(facts.entries, body, headers + fields.length + extensions.length + maxSignature)
  const entries = put + last.length
  const before = concat(fields, entries > 0 ? header(entries) : new Uint8Array())
  const behind = concat(last, extensions)
  const tbs = before.length + put + behind.length
  const start = concat(header(tbs), before)
  const signature = concat(signer.algorithm, bitString(await sign(signer, start, body, behind)))
  const contents = tlvSize(tbs) + signature.length
  return { head: concat(header(contents), start), tail: concat(behind, signature), octets: tlvSize(contents) }
}

/** What stands before the contents of a SEQUENCE. */
const header = (length: number): Uint8Array => {
  const octets = new Uint8Array(tlvSize(length) - length)
  writeHeader(octets, 0, tags.sequence, length)
  return octets
}

const sign = async (signer: Signer, start: Uint8Array, body: CrlBody, behind: Uint8Array): Promise<Uint8Array> => {
  const signing = signer.begin?.()
  const all: Uint8Array[] = []
  const update = signing ? (piece: Uint8Array) => signing.update(piece) : (piece: Uint8Array) => void all.push(piece.slice())
  update(start)
  for await (const piece of body.pieces()) {
    update(piece)
    await nextTurn()
  }
  update(behind)
  return signing ? signing.sign() : signer.sign(concat(...all))
}

/** The entries, none of them cut: those that are not put, to which `spare` octets come, and the octets of those that are. */
const writeEntries = async (batches: CrlFacts['entries'], body: CrlBody, spare: number): Promise<{ last: Uint8Array; put: number }> => {
  const room = maxEntry + spare
  let buffer = new Uint8Array(minPiece)
  let [end, put, count] = [0, 0, 0]
  for await (const batch of batches) {
    for (const entry of batch) {
      if (buffer.length - end < room) {
        if (buffer.length < maxPiece) {
          const larger = new Uint8Array(2 * buffer.length)
          larger.set(buffer)
          buffer = larger
        } else {
          await body.put(buffer.subarray(0, end))
          put += end
          end = 0
        }
      }
      end = writeEntry(buffer, end, entry)
      if (++count % entriesPerTurn === 0) await nextTurn()
    }
  }
  return { last: buffer.subarray(0, end), put }
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
