/** When a certificate should be renewed, and which order replaces it (ACME Renewal Information, RFC 9773). */
import { createHash } from 'node:crypto'
import { IcaError } from '../errors.js'
import type { Identifier } from '../identifier.js'
import type { Account, Certificate, Order, RenewalMark } from '../model.js'
import { readCertificate } from '../pki/read-certificate.js'
import type { Ica } from './ica.js'
import { orderStatus } from './status.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** RFC 9773 §4.1: `<base64url of the AKI keyIdentifier>.<base64url of the DER serial>`, taken apart. */
export type CertificateId = { text: string; keyIdentifier: Uint8Array; serial: string }

export type RenewalInfo = { start: number; end: number; explanationUrl: string | null }

const malformedId = (why: string) =>
  new IcaError(
    'malformed',
    `The certificate identifier ${why}. It is base64url(authority key identifier) "." base64url(serial), without padding (RFC 9773 §4.1).`,
  )

/** Unpadded base64url in its one canonical form. */
const readPart = (part: string | undefined, what: string): Buffer => {
  const bytes = Buffer.from(part ?? '', 'base64url')
  if (bytes.length === 0 || bytes.toString('base64url') !== part) throw malformedId(`has ${what} that is not base64url`)
  return bytes
}

/** Reads a certificate identifier (RFC 9773 §4.1), which has one form only. Throws malformed. */
export const readCertificateId = (text: unknown): CertificateId => {
  if (typeof text !== 'string' || text.length > 200) throw malformedId('is not a short string')
  const parts = text.split('.')
  if (parts.length !== 2) throw malformedId('has not two parts with a dot between them')
  const keyIdentifier = readPart(parts[0], 'a key identifier')
  const serial = readPart(parts[1], 'a serial')
  const [first = 0, second = 0] = serial
  // The contents of a DER INTEGER (X.690 §8.3.2): positive, no octet more than needed; RFC 5280 §4.1.2.2: at most 20 octets.
  if (first & 0x80 || (first === 0 && (serial.length === 1 || !(second & 0x80))) || serial.length > 20) {
    throw malformedId('has a serial that is not the contents of a positive DER INTEGER')
  }
  return { text, keyIdentifier, serial: serial.toString('hex', first === 0 ? 1 : 0) }
}

/** The inverse of {@link readCertificateId}, of a certificate of this CA. */
export const certificateIdOf = (der: Uint8Array): string => {
  const { aki, serial } = readCertificate(der)
  const octets = Buffer.from(serial, 'hex')
  const contents = (octets[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), octets]) : octets
  return `${Buffer.from(aki ?? []).toString('base64url')}.${contents.toString('base64url')}`
}

const meansCertificate = ({ selector }: RenewalMark, certificate: Certificate): boolean => {
  const { serial, keyId, domain, issuedFrom, issuedUntil } = selector
  return (
    certificate.createdAt <= issuedUntil &&
    (issuedFrom === undefined || certificate.createdAt >= issuedFrom) &&
    (serial === undefined || certificate.serial === serial) &&
    (keyId === undefined || certificate.keyId === keyId) &&
    (domain === undefined || certificate.names.some(({ value }) => value === domain || value.endsWith(`.${domain}`)))
  )
}

/**
 * The window in which nobody is in a hurry: around two thirds of the certificate's life, two days wide or a 30th of a short life, and moved within that by a hash of
 * the serial, so that certificates that were issued together are not renewed together, whatever their clients do (RFC 9773 §4.2).
 */
const usualWindow = ({ serial, notBefore, notAfter }: Certificate): { start: number; end: number } => {
  const life = notAfter - notBefore
  const width = Math.min(2 * DAY_MS, life / 30)
  const shift = createHash('sha256').update(serial).digest().readUInt32BE() / 2 ** 32 - 0.5
  const start = notBefore + (life * 2) / 3 + (shift - 0.5) * width
  return { start, end: start + width }
}

/** The window of a certificate, in whole seconds. A revoked one is to be replaced at once, a marked one as the mark says; the earliest counts. */
export const renewalInfo = (certificate: Certificate, marks: readonly RenewalMark[]): RenewalInfo => {
  const windows: RenewalInfo[] = [{ ...usualWindow(certificate), explanationUrl: null }]
  const { revocation } = certificate
  // A window that lies in the past means: now (RFC 9773 §4.2).
  if (revocation) windows.push({ start: revocation.revokedAt - HOUR_MS, end: revocation.revokedAt, explanationUrl: null })
  for (const mark of marks) {
    if (!meansCertificate(mark, certificate)) continue
    const { markedAt, spreadMs, explanationUrl } = mark
    windows.push({ ...(spreadMs > 0 ? { start: markedAt, end: markedAt + spreadMs } : { start: markedAt - HOUR_MS, end: markedAt }), explanationUrl })
  }
  const [{ start, end, explanationUrl }] = windows.sort((a, b) => a.end - b.end) as [RenewalInfo, ...RenewalInfo[]]
  const from = Math.floor(start / 1000) * 1000
  // An explanation is shown whenever there is one, also where another window comes first.
  return {
    start: from,
    end: Math.max(Math.floor(end / 1000) * 1000, from + 1000),
    explanationUrl: explanationUrl ?? windows.find((w) => w.explanationUrl)?.explanationUrl ?? null,
  }
}

/** The leaf of this CA with this identifier; null for every other. */
const certificateOf = async (ica: Ica, { serial, keyIdentifier }: CertificateId): Promise<Certificate | null> => {
  const certificate = await ica.store.certificateBySerial(serial)
  const aki = certificate && readCertificate(certificate.der).aki
  return certificate?.kind === 'leaf' && aki && Buffer.from(aki).equals(keyIdentifier) ? certificate : null
}

/** renewalInfo (RFC 9773 §4). Throws malformed and notFound. */
export const renewalInfoOf = async (ica: Ica, id: string): Promise<RenewalInfo> => {
  const certificate = await certificateOf(ica, readCertificateId(id))
  if (!certificate) throw new IcaError('notFound', 'This CA has not issued a certificate with this identifier.')
  return renewalInfo(certificate, (await ica.policies.current()).marks)
}

/**
 * The `replaces` of a newOrder (RFC 9773 §5): a certificate of this account that shares an identifier with the order. `due`: its window has begun, so that it is
 * exempt from rate limits; who replaces before that, or after having revoked it, orders like everybody. Whether another order replaces it already is judged when the
 * order is stored, by {@link keepsReplaced}. Throws malformed, notFound, unauthorized.
 */
export const readReplaces = async (
  ica: Ica,
  account: Account,
  replaces: unknown,
  identifiers: readonly Identifier[],
): Promise<{ id: string; due: boolean } | null> => {
  if (replaces === undefined) return null
  const id = readCertificateId(replaces)
  const certificate = await certificateOf(ica, id)
  if (!certificate) throw new IcaError('notFound', 'The certificate that "replaces" names was not issued by this CA. Order without "replaces".')
  if (certificate.accountId !== account.id)
    throw new IcaError('unauthorized', 'The certificate that "replaces" names was ordered by another account.')
  const names = new Set(certificate.names.map(({ value }) => value))
  if (!identifiers.some(({ value }) => names.has(value))) {
    throw new IcaError('malformed', 'The certificate that "replaces" names has none of the identifiers of this order.')
  }
  const { marks } = await ica.policies.current()
  return { id: id.text, due: hasBegun(certificate, marks, ica.clock.now()) }
}

/** A revocation does not begin it: who revokes what it just got would have no limits. */
const hasBegun = (certificate: Certificate, marks: readonly RenewalMark[], now: number): boolean =>
  renewalInfo({ ...certificate, revocation: null }, marks).start <= now

/** Whether the certificate that an order replaces, where it does, is due for renewal. */
export const isDue = async (ica: Ica, replaces: string | null): Promise<boolean> => {
  const certificate = replaces === null ? null : await certificateOf(ica, readCertificateId(replaces))
  return certificate !== null && hasBegun(certificate, (await ica.policies.current()).marks, ica.clock.now())
}

/** An order that replaces a certificate keeps others from doing so unless it came to nothing. */
export const keepsReplaced =
  (now: number) =>
  (other: Order): boolean =>
    orderStatus(other, now) !== 'invalid'
