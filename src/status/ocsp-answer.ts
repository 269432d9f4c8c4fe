/** One OCSP answer: from a decoded request over the certificates' status to signed octets. */
import { IcaError } from '../errors.js'
import type { Responder, Responders } from '../issuance/responder.js'
import { equalBytes } from '../pki/bytes.js'
import { allocate } from '../pki/der.js'
import { type CertId, type CertIdIssuer, hashIssuer } from '../pki/ocsp-certid.js'
import type { OcspRequest } from '../pki/ocsp-request.js'
import { assembleOcspResponse, encodeOcspError, encodeResponseData, type OcspError, type SingleResponse } from '../pki/ocsp-response.js'
import type { CertificateStatus } from '../store/store.js'
import { cacheFields } from './http.js'

/** Octets to be sent with the media type application/ocsp-response. */
export type OcspAnswer = {
  body: Uint8Array
  /** What it says; of several certificates: `several`. */
  says: SingleResponse['status']['status'] | OcspError | 'several'
  /** Null for what no cache may keep: errors, unknown, and what was made for one request. */
  shared: SharedAnswer | null
  /** Kept by the fast path, from the first time that it gives this answer; null where its octets were on their way when it was asked for again. */
  wire?: Wire | null
}

/** Octets in front of the body of a shared answer, in the same memory, for the head that the fast path writes there. */
export const headRoom = 400

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
}

/** Seconds. Caches ask again that often, so that a revocation gets through to them; clients go by nextUpdate. */
const maxAge = 600

/** What caches are told (RFC 5019 §6.2) of an answer that is given at `now`; before `staleAt` it is the same all the time. */
export const cacheFieldsAt = ({ etag, thisUpdate, nextUpdate, staleAt }: SharedAnswer, now: number): string[] =>
  cacheFields({ etag, lastModified: thisUpdate, expires: nextUpdate, maxAge }, Math.max(now, staleAt))

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

/** All that is said, to be signed. */
export type Draft = { responder: Responder; data: Uint8Array; says: OcspAnswer['says']; shared: { thisUpdate: number; nextUpdate: number } | null }

/**
 * Says what is known of the certificates, each with its status at the same place in `statuses`.
 * @throws IcaError('unavailable') where a valid responder is missing
 */
export const draftAnswer = (
  issuer: KnownIssuer,
  { certIds, nonce }: OcspRequest,
  statuses: readonly CertificateStatus[],
  { now, validityMs }: { now: number; validityMs: number },
): Draft => {
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
  return { responder, data, says, shared: isShared ? { thisUpdate, nextUpdate: until(validityMs) } : null }
}

/** Memory for a body that is kept, with room for its head. It must not keep a slab alive. */
const allocateShared = (size: number): Uint8Array => new Uint8Array(Buffer.allocUnsafeSlow(headRoom + size).buffer, headRoom)

/** The answer of a draft that was signed. */
export const completeAnswer = ({ responder, data, says, shared }: Draft, signature: Uint8Array): OcspAnswer => ({
  body: assembleOcspResponse(responder, data, signature, shared ? allocateShared : allocate),
  says,
  shared: shared && sharedAnswer(signature, shared.thisUpdate, shared.nextUpdate),
})

/** No two signatures end alike, so that the tag needs no hash of its own. */
const sharedAnswer = (signature: Uint8Array, thisUpdate: number, nextUpdate: number): SharedAnswer => {
  const life = nextUpdate - thisUpdate
  return {
    etag: `"${Buffer.from(signature.buffer, signature.byteOffset, signature.length).toString('hex', signature.length - 16)}"`,
    thisUpdate,
    nextUpdate,
    refreshAt: thisUpdate + life * refreshShare,
    staleAt: thisUpdate + life * staleShare,
  }
}
