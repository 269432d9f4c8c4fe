import type { Authorization, Order } from '../model.js'

export type AuthorizationStatus = 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired'
export type OrderStatus = 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'

/** The status of an authorization (RFC 8555 §7.1.6), derived from its rows and the time. One failed challenge ends it. */
export const authorizationStatus = (authorization: Authorization, now: number): AuthorizationStatus => {
  if (authorization.deactivatedAt !== null) return 'deactivated'
  if (authorization.challenges.some((c) => c.status === 'invalid')) return 'invalid'
  if (now >= authorization.expiresAt) return 'expired'
  return authorization.challenges.some((c) => c.status === 'valid') ? 'valid' : 'pending'
}

/** The status of an order (RFC 8555 §7.1.6), derived from its rows and the time. Once claimed, nothing but its certificate or an error ends it. */
export const orderStatus = (order: Order, now: number): OrderStatus => {
  if (order.error) return 'invalid'
  if (order.certificateSerial !== null) return 'valid'
  if (order.claimedAt !== null) return 'processing'
  if (now >= order.expiresAt) return 'invalid'
  const statuses = order.authorizations.map((a) => authorizationStatus(a, now))
  if (statuses.every((s) => s === 'valid')) return 'ready'
  return statuses.every((s) => s === 'valid' || s === 'pending') ? 'pending' : 'invalid'
}
