import { randomBytes } from 'node:crypto'
import { IcaError } from '../errors.js'
import { type Identifier, parseIdentifiers, splitWildcard } from '../identifier.js'
import type { Account, Authorization, Challenge, Order } from '../model.js'
import { readCertificateRequest } from '../pki/csr.js'
import type { Profile } from '../pki/profile.js'
import { act, type Ica, newId, owned, type Who } from './ica.js'
import { failOrder, issueForOrder, profileOf } from './issue.js'
import { checkRequest } from './policy.js'
import { orderStatus } from './status.js'

const HOUR_MS = 3_600_000
const ORDERS_PER_PAGE = 50
/** A reused authorization must outlive the time a client needs to finish. */
const REUSE_MARGIN_MS = 24 * HOUR_MS

/** RFC 3339 to milliseconds; null where absent. Throws malformed. */
const readTime = (member: string, value: unknown): number | null => {
  if (value === undefined || value === null) return null
  const ms = typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(value) ? Date.parse(value) : Number.NaN
  if (Number.isNaN(ms)) throw new IcaError('malformed', `"${member}" must be a date and time as RFC 3339 has it, like 2026-12-31T00:00:00Z.`)
  return Math.floor(ms / 1000) * 1000
}

const readProfile = (ica: Ica, name: unknown): Profile => {
  if (name === undefined) return profileOf(ica, ica.defaultProfile)
  const profile = typeof name === 'string' ? ica.profiles.get(name) : undefined
  if (profile) return profile
  throw new IcaError('invalidProfile', `There is no profile ${JSON.stringify(name).slice(0, 80)}. Known: ${[...ica.profiles.keys()].join(', ')}.`)
}

/** The validity that a client asks for must lie within the profile's (RFC 8555 §7.4). */
const checkValidity = (profile: Profile, notBefore: number | null, notAfter: number | null, now: number): void => {
  if (notBefore !== null && (notBefore < now - HOUR_MS || notBefore > now + profile.maxValidityMs)) {
    throw new IcaError('malformed', '"notBefore" lies more than an hour back or too far ahead.')
  }
  if (notAfter === null) return
  const from = notBefore ?? now
  if (notAfter <= from) throw new IcaError('malformed', '"notAfter" must lie after the beginning of the validity.')
  if (notAfter - from > profile.maxValidityMs) {
    throw new IcaError(
      'malformed',
      `The profile "${profile.name}" allows at most ${Math.floor(profile.maxValidityMs / (24 * HOUR_MS))} days of validity.`,
    )
  }
}

const newAuthorization = (ica: Ica, accountId: string, value: string, now: number): Authorization => {
  const { base, wildcard } = splitWildcard(value)
  const identifier: Identifier = { type: 'dns', value: base }
  const id = newId(now)
  const challenges = ica.validators
    .filter((validator) => validator.appliesTo(identifier, wildcard))
    .map(
      (validator): Challenge => ({
        id: newId(now),
        authorizationId: id,
        type: validator.type,
        token: randomBytes(32).toString('base64url'),
        status: 'pending',
        validatedAt: null,
        error: null,
        attempts: 0,
        nextAttemptAt: null,
      }),
    )
  return { id, accountId, identifier, wildcard, createdAt: now, expiresAt: now + ica.settings.pendingLifetimeMs, deactivatedAt: null, challenges }
}

/**
 * newOrder (RFC 8555 §7.4) from a decoded payload: checks identifiers, profile and validity, reuses valid authorizations of the account and makes
 * the others. Throws malformed, rejectedIdentifier, unsupportedIdentifier (with a subproblem per name) and invalidProfile.
 */
export const newOrder = async (ica: Ica, account: Account, payload: Record<string, unknown>, who: Who): Promise<Order> => {
  const now = ica.clock.now()
  const { lab, maxIdentifiers } = ica.settings
  const identifiers = parseIdentifiers(payload.identifiers, { max: maxIdentifiers, lab })
  const profile = readProfile(ica, payload.profile)
  const notBefore = readTime('notBefore', payload.notBefore)
  const notAfter = readTime('notAfter', payload.notAfter)
  checkValidity(profile, notBefore, notAfter, now)

  const wanted = identifiers.map(({ value }) => {
    const { base, wildcard } = splitWildcard(value)
    return { identifier: { type: 'dns' as const, value: base }, wildcard }
  })
  const reused = await ica.store.reusableAuthorizations(account.id, wanted, now + REUSE_MARGIN_MS)
  const isReused = (value: string) => reused.some((a) => (a.wildcard ? `*.${a.identifier.value}` : a.identifier.value) === value)
  const made = identifiers.filter(({ value }) => !isReused(value)).map(({ value }) => newAuthorization(ica, account.id, value, now))
  const authorizations = [...reused, ...made]
  const order: Order = {
    id: newId(now),
    accountId: account.id,
    profile: profile.name,
    identifiers,
    notBefore,
    notAfter,
    createdAt: now,
    expiresAt: Math.min(now + ica.settings.orderLifetimeMs, ...authorizations.map((a) => a.expiresAt)),
    claimedAt: null,
    csr: null,
    certificateSerial: null,
    error: null,
    authorizations,
  }
  const audit = act(ica, who, 'order.created', `order:${order.id}`, {
    identifiers: identifiers.map((i) => i.value),
    profile: profile.name,
    reused: reused.map((a) => a.id),
  })
  await ica.store.createOrder(
    order,
    reused.map((a) => a.id),
    audit,
  )
  ica.metrics.count('orders', { profile: profile.name })
  return order
}

/** The order `id` of this account. Throws notFound. */
export const orderOf = async (ica: Ica, account: Account, id: string): Promise<Order> => owned(await ica.store.orderById(id), account.id, 'order')

/** A page of the account's orders (RFC 8555 §7.1.2.1), newest first. */
export const listOrders = (ica: Ica, account: Account, cursor: string | null): Promise<{ ids: string[]; next: string | null }> =>
  ica.store.ordersOfAccount(account.id, cursor, ORDERS_PER_PAGE)

/**
 * finalize (RFC 8555 §7.4): judges the CSR while the order stays `ready`, claims the order, issues. Sent again with the same CSR, it gives the same
 * order. Throws orderNotReady, badCSR, notFound.
 */
export const finalizeOrder = async (ica: Ica, account: Account, orderId: string, csrDer: Uint8Array, who: Who): Promise<Order> => {
  const order = await orderOf(ica, account, orderId)
  const status = orderStatus(order, ica.clock.now())
  if (status !== 'ready') {
    if (order.csr && Buffer.from(csrDer).equals(order.csr)) return order
    throw new IcaError('orderNotReady', `The order is ${status}; only an order that is ready can be finalized.`)
  }
  const csr = await readCertificateRequest(csrDer)
  const profile = profileOf(ica, order.profile)
  const approved = await checkRequest(ica, account, order, profile, csr)
  const claimedAt = ica.clock.now()
  const audit = act(ica, who, 'order.claimed', `order:${order.id}`, { keyId: csr.publicKey.keyId, commonName: csr.commonName })
  if (!(await ica.store.claimOrder(order.id, claimedAt, csrDer, audit))) return finalizeOrder(ica, account, orderId, csrDer, who)
  return issueForOrder(ica, { ...order, claimedAt, csr: csrDer }, profile, approved, who)
}

/** Issues for one order that a crash left between claim and certificate, where no other process has taken it. */
const resumeOrder = async (ica: Ica, order: Order): Promise<void> => {
  const who: Who = { actor: 'system' }
  const claimedAt = ica.clock.now()
  if (order.claimedAt === null || order.csr === null || !(await ica.store.reclaimOrder(order.id, order.claimedAt, claimedAt))) return
  ica.log.warn({ order: order.id }, 'resuming an order that was interrupted while it was finalized')
  const claimed = { ...order, claimedAt }
  try {
    const account = await ica.store.accountById(order.accountId)
    if (!account) throw new IcaError('accountDoesNotExist', 'The account of this order is gone.')
    const csr = await readCertificateRequest(order.csr)
    const profile = profileOf(ica, order.profile)
    await issueForOrder(ica, claimed, profile, await checkRequest(ica, account, order, profile, csr), who)
  } catch (error) {
    await failOrder(ica, claimed, error, who)
  }
}

/** Finishes the orders that were claimed before `claimedBefore` and have come to nothing since: their process died. Returns how many there were. */
export const resumeOrders = async (ica: Ica, claimedBefore: number): Promise<number> => {
  const stalled = await ica.store.stalledOrders(claimedBefore, 100)
  for (const order of stalled) await resumeOrder(ica, order)
  return stalled.length
}

/** Every chain of a certificate that this account ordered, leaf first; the first is the default (RFC 8555 §7.4.2). Throws notFound. */
export const certificateChains = async (ica: Ica, account: Account, serial: string): Promise<Uint8Array[][]> => {
  const certificate = await ica.store.certificateBySerial(serial)
  if (!certificate || certificate.accountId !== account.id) throw new IcaError('notFound', 'This account has no such certificate.')
  return ica.chainsOf(certificate.issuerId).map((chain) => [certificate.der, ...chain])
}
