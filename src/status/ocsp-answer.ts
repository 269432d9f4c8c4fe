/** One OCSP answer: from a decoded request over the certificates' status to signed octets. */
import { hash } from 'node:crypto'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import type { Responders } from '../issuance/responder.js'
import { equalBytes } from '../pki/bytes.js'
import { allocate } from '../pki/der.js'
import { type CertId, type CertIdIssuer, hashIssuer } from '../pki/ocsp-certid.js'
import type { OcspRequest } from '../pki/ocsp-request.js'
import { assembleOcspResponse, encodeOcspError, encodeResponseData, type OcspError, type SingleResponse } from '../pki/ocsp-response.js'
import type { CertificateStatus } from '../store/store.js'
import { cacheFields } from './http.js'
import type { SecondMemory } from './second-memory.js'
import type { Sign } from './signing-queue.js'

/** Octets to be sent with the media type application/ocsp-response. */
export type OcspAnswer = {
  body: Uint8Array
  /** What it says; of several certificates: `several`. */
  says: SingleResponse['status']['status'] | OcspError | 'several'
  /** Null for what no cache may keep: errors, unknown, and what was made for one request. */
  shared: SharedAnswer | null
  /** Kept by the fast path, from the first time that it gives this answer. */
  wire?: Wire | null
}

/** Head and body; the head has the Date of `second` (since the epoch) at `dateAt`. */
export type Wire = { octets: Buffer; dateAt: number; second: number }

/** Times in milliseconds since the epoch. */
export type SharedAnswer = {
  /** Strong, with its quotes. */
  etag: string
  thisUpdate: number
  nextUpdate: number
  /** From here on a new one is made in the background. */
  refreshAt: number
  /** From here on it is only given to a client where a new one can't be made. */
  staleAt: number
  /** What caches are told before `staleAt`; it is the same all that time. */
  fields: string[]
}

/** Seconds. Caches ask again that often, so that a revocation gets through to them; clients go by nextUpdate. */
const maxAge = 600

/** What caches are told (RFC 5019 §6.2) of an answer that is given at `now`. */
export const cacheFieldsAt = ({ etag, thisUpdate, nextUpdate }: Pick<SharedAnswer, 'etag' | 'thisUpdate' | 'nextUpdate'>, now: number): string[] =>
  cacheFields({ etag, lastModified: thisUpdate, expires: nextUpdate, maxAge }, now)

const hour = 3_600_000
/** What was never issued may be issued next. */
const unknownValidityMs = hour / 12
const refreshShare = 3 / 8
const staleShare = 1 / 2

/** The answers that are not signed. */
export const errorAnswers = Object.fromEntries(
  (['malformedRequest', 'internalError', 'tryLater', 'unauthorized'] as const).map((says) => [
    says,
    { body: encodeOcspError(says), says, shared: null },
  ]),
) as Record<OcspError, OcspAnswer>

/** An issuer whose certificates are answered for. */
export type OcspIssuer = CertIdIssuer & { id: string; responders: Pick<Responders, 'current'> }

/** An issuer that can be recognised by both hashes. */
export type KnownIssuer = OcspIssuer & { hashes: Record<NonNullable<CertId['hash']>, ReturnType<typeof hashIssuer>> }

export const knownIssuer = (issuer: OcspIssuer): KnownIssuer => ({
  ...issuer,
  hashes: { sha1: hashIssuer(issuer, 'sha1'), sha256: hashIssuer(issuer, 'sha256') },
})

/** The one issuer that all of the certificates are of; null where there is none: one delegate can't sign for two issuers. */
export const issuerOf = (issuers: readonly KnownIssuer[], certIds: readonly CertId[]): KnownIssuer | null => {
  const isOf = ({ hashes }: KnownIssuer, { hash: algorithm, issuerNameHash, issuerKeyHash }: CertId): boolean =>
    algorithm !== null && equalBytes(hashes[algorithm].keyHash, issuerKeyHash) && equalBytes(hashes[algorithm].nameHash, issuerNameHash)
  return issuers.find((issuer) => certIds.every((certId) => isOf(issuer, certId))) ?? null
}

/** Serials of this CA have at most 20 octets (RFC 5280 §4.1.2.2). */
const maxSerialDigits = 40

/** What answers are made with. */
export type Making = {
  clock: Clock
  statusOf: SecondMemory['statusOf']
  sign: Sign
  onRevoked(serial: string): void
  validityMs: number
}

const notIssued: CertificateStatus = { status: 'unknown' }

/**
 * Looks the certificates up and signs what is found.
 * @throws (or rejects with) IcaError('unavailable') where the database or a valid responder is missing
 */
export const makeAnswer = (making: Making, issuer: KnownIssuer, request: OcspRequest): Promise<OcspAnswer> => {
  // Before the look-up: what is said was true at thisUpdate or later.
  const now = making.clock.now()
  const statuses = request.certIds.map(({ serial }) => (serial.length > maxSerialDigits ? notIssued : making.statusOf(issuer.id, serial, now)))
  return statuses.some((status) => status instanceof Promise)
    ? Promise.all(statuses).then((read) => signAnswer(making, issuer, request, read, now))
    : signAnswer(making, issuer, request, statuses as CertificateStatus[], now)
}

const signAnswer = (
  { sign, onRevoked, validityMs }: Making,
  issuer: KnownIssuer,
  { certIds, nonce }: OcspRequest,
  statuses: readonly CertificateStatus[],
  now: number,
): Promise<OcspAnswer> => {
  for (const [i, { status }] of statuses.entries()) if (status === 'revoked') onRevoked((certIds[i] as CertId).serial)
  const responder = issuer.responders.current(now)
  if (!responder) throw new IcaError('unavailable', `There is no valid OCSP responder for the issuer ${issuer.id}.`)

  const thisUpdate = Math.floor(now / 1000) * 1000
  const until = (validity: number): number => Math.min(thisUpdate + validity, responder.notAfter)
  const answers = certIds.map(({ der: certId }, i): SingleResponse => {
    const status = statuses[i] as CertificateStatus
    return { certId, status, thisUpdate, nextUpdate: until(status.status === 'unknown' ? unknownValidityMs : validityMs) }
  })
  const says = answers.length === 1 ? (answers[0] as SingleResponse).status.status : 'several'
  const isShared = nonce === null && (says === 'good' || says === 'revoked')
  const data = encodeResponseData(responder, { producedAt: thisUpdate, answers, nonce })
  return sign(responder.signer, data).then((signature) => {
    // What is kept must not keep a slab alive.
    const body = isShared ? assembleOcspResponse(responder, data, signature) : assembleOcspResponse(responder, data, signature, allocate)
    return { body, says, shared: isShared ? shared(body, thisUpdate, until(validityMs)) : null }
  })
}

const shared = (body: Uint8Array, thisUpdate: number, nextUpdate: number): SharedAnswer => {
  const life = nextUpdate - thisUpdate
  const times = {
    etag: `"${hash('sha256', body).slice(0, 32)}"`,
    thisUpdate,
    nextUpdate,
    refreshAt: thisUpdate + life * refreshShare,
    staleAt: thisUpdate + life * staleShare,
  }
  return { ...times, fields: cacheFieldsAt(times, times.staleAt) }
}
