import { randomBytes } from 'node:crypto'
import { IcaError, toProblem } from '../errors.js'
import type { CertificateReservation, Order } from '../model.js'
import { newSerial, issueLeaf as signLeaf } from '../pki/certificate.js'
import { lintLeaf } from '../pki/lint.js'
import type { Profile } from '../pki/profile.js'
import type { Evidence } from '../validation/validator.js'
import { act, type Ica, type Who } from './ica.js'
import { checkIssuer } from './issuer-standing.js'
import type { Approved } from './policy.js'

/** A configured profile by name. Throws invalidProfile for one that orders still name but the configuration lost (draft-ietf-acme-profiles §4). */
export const profileOf = (ica: Ica, name: string): Profile => {
  const profile = ica.profiles.get(name)
  if (!profile) {
    throw new IcaError(
      'invalidProfile',
      `This CA no longer issues by the profile "${name}". Make a new order; there are ${[...ica.profiles.keys()].join(', ')}.`,
    )
  }
  return profile
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** How far ahead a certificate may begin: names were proven now, and nobody looks at them again before. */
const AHEAD_MS = 7 * DAY_MS

type Asked = Pick<Order, 'notBefore' | 'notAfter'>

const showDuration = (ms: number): string => (ms % DAY_MS === 0 ? `${ms / DAY_MS} days` : `${Math.floor(ms / HOUR_MS)} hours`)

/**
 * What was asked for must be good now (RFC 8555 §7.4): it was when it was ordered, but days may have passed. The end counts from now, not from notBefore: nobody postpones
 * how long a proof is relied on. Throws malformed.
 */
const checkAsked = (profile: Profile, { notBefore, notAfter }: Asked, now: number): void => {
  const malformed = (detail: string) => new IcaError('malformed', detail)
  if (notBefore !== null && notBefore < now - HOUR_MS)
    throw malformed('"notBefore" lies more than an hour back. Make an order with a later one, or without.')
  if (notBefore !== null && notBefore > now + AHEAD_MS) throw malformed(`"notBefore" lies too far ahead: at most ${showDuration(AHEAD_MS)}.`)
  const most = `The profile "${profile.name}" allows at most ${showDuration(profile.maxValidityMs)} of validity from now`
  if (notBefore !== null && notBefore >= now + profile.maxValidityMs) throw malformed(`${most}, and "notBefore" lies behind that.`)
  if (notAfter === null) return
  if (notAfter <= now) throw malformed('"notAfter" has passed. Make an order with a later one.')
  if (notBefore !== null && notAfter <= notBefore) throw malformed('"notAfter" must lie after the beginning of the validity.')
  if (notAfter > now + profile.maxValidityMs) throw malformed(`${most}.`)
}

/** The profile's validity, or what the client asked for; seconds, because X.509 knows no smaller unit. Throws malformed for what can't be had now. */
const validity = (ica: Ica, profile: Profile, asked: Asked): { notBefore: number; notAfter: number } => {
  const now = Math.floor(ica.clock.now() / 1000) * 1000
  checkAsked(profile, asked, now)
  const notBefore = Math.max(asked.notBefore ?? now - profile.backdateMs, ica.issuer.notBefore)
  const notAfter = Math.min((asked.notBefore ?? now) + profile.validityMs, now + profile.maxValidityMs)
  return { notBefore, notAfter: asked.notAfter ?? notAfter }
}

/** Refuses a validity that can't be had, and what the issuer could not sign now. Throws malformed and unavailable. */
export const checkValidity = async (ica: Ica, profile: Profile, asked: Asked): Promise<void> =>
  checkIssuer(ica, validity(ica, profile, asked).notAfter)

/** A leaf that is decided in all but its signature; everything in it was validated or decided by the CA. Its reservation must be stored before it is signed. */
export type PlannedLeaf = Approved & { profile: Profile; caa: Evidence[]; reservation: CertificateReservation }

/** Gives the leaf of an order its serial, its CRL shard and its validity. Throws malformed for a validity that can't be had any more. */
export const planLeaf = (ica: Ica, order: Order, profile: Profile, approved: Approved, caa: Evidence[]): PlannedLeaf => {
  const serial = newSerial(randomBytes)
  const reservation: CertificateReservation = {
    serial,
    issuerId: ica.issuer.id,
    kind: 'leaf',
    profile: profile.name,
    accountId: order.accountId,
    orderId: order.id,
    keyId: approved.publicKey.keyId,
    crlShard: Number.parseInt(serial.slice(-8), 16) % ica.settings.crlShards,
    ...validity(ica, profile, order),
    names: approved.names,
    createdAt: ica.clock.now(),
  }
  return { ...approved, profile, caa, reservation }
}

/**
 * THE way to a leaf, after its serial was reserved: encode and sign, read the result back, store it (with its order in one transaction).
 * Returns the serial once it is durable. Throws serverInternal where the lint finds anything: such a certificate is never stored or shown.
 */
const signPlanned = async (ica: Ica, { reservation, caa, ...approved }: PlannedLeaf, who: Who): Promise<string> => {
  const { serial, crlShard, notBefore, notAfter, keyId, names } = reservation
  await checkIssuer(ica, notAfter)
  const leaf = { ...approved, serial, notBefore, notAfter, issuer: ica.issuer, urls: ica.statusUrls(crlShard) }
  const der = await signLeaf(leaf)
  const findings = lintLeaf(der, leaf, ica.clock.now())
  if (findings.length > 0) {
    ica.log.error({ serial, findings }, 'lint refused a certificate; it was not released')
    throw new IcaError('serverInternal', 'The CA refused its own certificate because it did not match its profile. The operator has been told.')
  }
  const audit = act(ica, who, 'certificate.issued', `certificate:${serial}`, {
    profile: reservation.profile,
    issuer: reservation.issuerId,
    order: reservation.orderId,
    account: reservation.accountId,
    keyId,
    names: names.map((name) => `${name.form}:${name.value}`),
    notBefore,
    notAfter,
    caa,
  })
  if (!(await ica.store.storeCertificate(serial, der, audit))) throw new IcaError('conflict', 'The order was finished by another request meanwhile.')
  ica.metrics.count('certificates', { kind: reservation.kind, profile: reservation.profile })
  // Whoever has to restore an older database finds here what that does not know.
  ica.log.info({ serial, notAfter }, 'certificate.issued')
  return serial
}

/**
 * Issues for an order that the caller has claimed, with the serial that was reserved by the claim. Every failure after the claim ends here: the order becomes invalid
 * with its reason, except where the database is away: then the order stays `processing` and is resumed.
 */
export const issueForOrder = async (ica: Ica, order: Order, planned: PlannedLeaf, who: Who): Promise<Order> => {
  try {
    return { ...order, certificateSerial: await signPlanned(ica, planned, who) }
  } catch (error) {
    return failOrder(ica, order, error, who)
  }
}

/** Ends a claimed order with the problem that `error` is, unless the failure passes by itself. */
export const failOrder = async (ica: Ica, order: Order, error: unknown, who: Who): Promise<Order> => {
  if (error instanceof IcaError && error.code === 'unavailable') return order
  if (error instanceof IcaError && error.code === 'conflict') return (await ica.store.orderById(order.id)) ?? order
  ica.log.error({ err: error, order: order.id }, 'issuance failed')
  ica.metrics.count('failures', { stage: 'issuance' })
  const problem = toProblem(error)
  await ica.store.failOrder(order.id, problem, act(ica, who, 'order.failed', `order:${order.id}`, { problem }))
  return { ...order, error: problem }
}
