import { IcaError } from '../errors.js'
import { type Identifier, parseIdentifiers } from '../identifier.js'
import type { Account, Order } from '../model.js'
import { readCertificateRequest } from '../pki/csr.js'
import { namesFor, type Profile, takes } from '../pki/profile.js'
import type { Charge } from '../store/store.js'
import { checkFailures, checkPolicy, countCertificate, countOrder } from './admission.js'
import { authorizationFor, authorizationsFor, provenBy } from './authorizations.js'
import { checkOrderCaa } from './caa.js'
import { act, type Ica, newId, owned, type Who } from './ica.js'
import { checkValidity, failOrder, issueForOrder, planLeaf, profileOf } from './issue.js'
import { checkRequest } from './policy.js'
import { keepsReplaced, readReplaces } from './renewal.js'
import { orderStatus } from './status.js'

const ORDERS_PER_PAGE = 50

/** RFC 3339 to milliseconds; null where absent. Throws malformed. */
const readTime = (member: string, value: unknown): number | null => {
  if (value === undefined || value === null) return null
  const ms = typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(value) ? Date.parse(value) : Number.NaN
  if (Number.isNaN(ms)) throw new IcaError('malformed', `"${member}" must be a date and time as RFC 3339 has it, like 2026-12-31T00:00:00Z.`)
  return Math.floor(ms / 1000) * 1000
}

/**
 * The profile that an order names, or else the default one, or else (services alone) the first that takes its identifiers: the draft for `srv` identifiers knows
 * nothing of profiles, and its clients need not either.
 */
const chooseProfile = (ica: Ica, name: unknown, identifiers: readonly Identifier[]): Profile => {
  const suits = (profile: Profile) => identifiers.every((identifier) => takes(profile, identifier))
  const suitable = [profileOf(ica, ica.defaultProfile), ...ica.profiles.values()].filter(suits)
  const names = [...new Set(suitable.map((profile) => profile.name))].join(', ')
  if (name === undefined) {
    if (suitable[0]) return suitable[0]
    throw new IcaError(
      'unsupportedIdentifier',
      'No profile takes these identifiers in one order. Order the services (srv) apart from the domains (dns).',
    )
  }
  const profile = typeof name === 'string' ? ica.profiles.get(name) : undefined
  if (!profile) {
    throw new IcaError('invalidProfile', `There is no profile ${JSON.stringify(name).slice(0, 80)}. Known: ${[...ica.profiles.keys()].join(', ')}.`)
  }
  if (suits(profile)) return profile
  const advice = names === '' ? 'No profile takes them in one order.' : `These do: ${names}.`
  throw new IcaError(
    'invalidProfile',
    `The profile "${profile.name}" takes identifiers of the type ${profile.identifierTypes.join(', ')} only. ${advice}`,
  )
}

/**
 * newOrder (RFC 8555 §7.4) from a decoded payload: checks identifiers, profile and validity, reuses valid authorizations of the account and makes
 * the others. Throws malformed, rejectedIdentifier, unsupportedIdentifier (with a subproblem per name) and invalidProfile.
 */
export const newOrder = async (ica: Ica, account: Account, payload: Record<string, unknown>, who: Who): Promise<Order> => {
  const now = ica.clock.now()
  const { lab, maxIdentifiers } = ica.settings
  const identifiers = parseIdentifiers(payload.identifiers, { max: maxIdentifiers, lab })
  const profile = chooseProfile(ica, payload.profile, identifiers)
  const notBefore = readTime('notBefore', payload.notBefore)
  const notAfter = readTime('notAfter', payload.notAfter)
  namesFor(profile, identifiers) // refuses now what could not be named at the end
  await checkPolicy(ica, account, identifiers)
  const [replaces, { authorizations, reused }] = await Promise.all([
    readReplaces(ica, account, payload.replaces, identifiers),
    authorizationsFor(ica, account, identifiers, profile, now),
    checkValidity(ica, profile, { notBefore, notAfter }),
  ])
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
    replaces: replaces?.id ?? null,
    authorizations,
  }
  const audit = act(ica, who, 'order.created', `order:${order.id}`, {
    identifiers: identifiers.map((i) => i.value),
    profile: profile.name,
    reused: reused.map((a) => a.id),
    ...(order.replaces !== null && { replaces: order.replaces }),
  })
  const made = authorizations.filter((authorization) => !reused.includes(authorization))
  const reusedIds = reused.map((a) => a.id)
  await countOrder(ica, account, order, made, replaces?.due ?? false, (charges) =>
    ica.store.createOrder(order, reusedIds, audit, { charges, isTaken: keepsReplaced(now) }),
  )
  ica.metrics.count('orders', { profile: profile.name })
  return order
}

/** The order `id` of this account. Throws notFound. */
export const orderOf = async (ica: Ica, account: Account, id: string): Promise<Order> => owned(await ica.store.orderById(id), account.id, 'order')

/** A page of the account's orders (RFC 8555 §7.1.2.1), newest first. */
export const listOrders = (ica: Ica, account: Account, cursor: string | null): Promise<{ ids: string[]; next: string | null }> =>
  ica.store.ordersOfAccount(account.id, cursor, ORDERS_PER_PAGE)

/** What may have changed between order and finalize besides the time: the profile. Throws unauthorized, with what to do. */
const checkStillAccepted = (order: Order, profile: Profile): void => {
  for (const identifier of order.identifiers) {
    const method = provenBy(authorizationFor(order.authorizations, identifier))
    if (method !== null && profile.challengeTypes.includes(method)) continue
    throw new IcaError(
      'unauthorized',
      `"${identifier.value}" was proven by ${method}, which the profile "${profile.name}" does not accept any more. Make a new order.`,
    )
  }
}

/**
 * finalize (RFC 8555 §7.4): judges the CSR and asks for CAA while the order stays `ready`, claims the order, issues. Sent again with the same CSR, it gives the same
 * order. Throws orderNotReady, badCSR, malformed, caa, dns, rateLimited, unauthorized, notFound.
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
  checkStillAccepted(order, profile)
  await checkPolicy(ica, account, order.identifiers)
  // At once, because each asks the database.
  const [approved] = await Promise.all([
    checkRequest(ica, account, order, profile, csr),
    checkValidity(ica, profile, order),
    checkFailures(ica, account, order),
  ])
  // Before the claim: who forgot a record in the DNS adds it and finalizes again.
  const caa = await checkOrderCaa(ica, order, who)
  const claimedAt = ica.clock.now()
  const audit = act(ica, who, 'order.claimed', `order:${order.id}`, { keyId: csr.publicKey.keyId, commonName: csr.commonName })
  const planned = planLeaf(ica, order, profile, approved, caa)
  const claim = (charges: readonly Charge[]) => ica.store.claimOrder(order.id, claimedAt, csrDer, audit, planned.reservation, charges)
  if (!(await countCertificate(ica, order, claim))) return finalizeOrder(ica, account, orderId, csrDer, who)
  return issueForOrder(ica, { ...order, claimedAt, csr: csrDer }, planned, who)
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
    const approved = await checkRequest(ica, account, order, profile, csr)
    const planned = planLeaf(ica, order, profile, approved, await checkOrderCaa(ica, order, who))
    await ica.store.reserveCertificate(planned.reservation)
    await issueForOrder(ica, claimed, planned, who)
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

/**
 * Every chain of a certificate that this account ordered, leaf first; the first is the default (RFC 8555 §7.4.2). And where its issuer's certificate is published. Throws
 * notFound.
 */
export const certificateChains = async (ica: Ica, account: Account, serial: string): Promise<{ chains: Uint8Array[][]; issuerUrl: string }> => {
  const certificate = await ica.store.certificateBySerial(serial)
  if (!certificate || certificate.accountId !== account.id) throw new IcaError('notFound', 'This account has no such certificate.')
  const { der, issuerId } = certificate
  return { chains: ica.chainsOf(issuerId).map((chain) => [der, ...chain]), issuerUrl: ica.issuerUrl(issuerId) }
}
