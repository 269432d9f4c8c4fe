/** What the operator does while the CA runs. Each act leaves an audit row; running processes know within a second (policies.ts) or at once (accounts, keys). */
import { IcaError } from '../errors.js'
import { registrableDomain, toAscii } from '../identifier.js'
import type { Account, NameList, RenewalMark, RenewalSelector } from '../model.js'
import { mailboxOf } from '../store/store.js'
import { act, type Ica, newId, type Who } from './ica.js'
import { addressKey, type LimitName, type Rate, showRate } from './limits.js'

type Deps = Pick<Ica, 'store' | 'clock'>

const found = (done: boolean, detail: string): void => {
  if (!done) throw new IcaError('notFound', detail)
}

export const addNameRule = async (ica: Deps, list: NameList, name: string, reason: string, who: Who): Promise<void> =>
  ica.store.putNameRule({ list, name, reason, createdAt: ica.clock.now() }, act(ica, who, 'nameRule.added', `name:${name}`, { list, reason }))

/** Throws notFound. */
export const removeNameRule = async (ica: Deps, list: NameList, name: string, who: Who): Promise<void> =>
  found(
    await ica.store.removeNameRule(list, name, act(ica, who, 'nameRule.removed', `name:${name}`, { list })),
    `"${name}" is not on the list ${list}.`,
  )

/** What the limits of each name are counted by, in the form in which an override has to name it: an account's id, a registered domain, an address or /64. */
export const limitSubject = (limit: LimitName, text: string): string => {
  if (limit === 'newAccountsPerAddress') return addressKey(text.replace(/\/64$/, ''))
  if (limit === 'mailsPerRecipient') return mailboxOf(text)
  if (limit === 'noticesPerRecipient' || limit === 'noticesPerStranger') {
    throw new IcaError('malformed', `${limit} is the same for everybody: set it in ICA_LIMITS.`)
  }
  if (!text.includes('.')) return text
  const domain = toAscii(text.toLowerCase())
  if (domain === null || registrableDomain(domain) !== domain) {
    throw new IcaError('malformed', `"${text}" is not a registered domain${domain === null ? '' : `; is ${registrableDomain(domain)} meant?`}`)
  }
  return domain
}

export const setLimit = async (ica: Deps, limit: LimitName, subject: string, rate: Rate, who: Who): Promise<void> =>
  ica.store.putLimitOverride(
    { limit, subject, count: rate?.count ?? null, windowMs: rate?.windowMs ?? 0 },
    act(ica, who, 'limit.set', `limit:${subject}`, { limit, rate: showRate(rate) }),
  )

/** Back to the CA's own limit. Throws notFound. */
export const unsetLimit = async (ica: Deps, limit: LimitName, subject: string, who: Who): Promise<void> =>
  found(
    await ica.store.removeLimitOverride(limit, subject, act(ica, who, 'limit.unset', `limit:${subject}`, { limit })),
    `${subject} has no ${limit} of its own.`,
  )

/** Throws notFound. */
export const pauseAccount = async (ica: Deps, id: string, reason: string, who: Who): Promise<void> =>
  found(
    await ica.store.pauseAccount(id, { at: ica.clock.now(), reason }, act(ica, who, 'account.paused', `account:${id}`, { reason })),
    `There is no account ${id} that could be paused.`,
  )

/** Throws notFound. */
export const resumeAccount = async (ica: Deps, id: string, who: Who): Promise<void> =>
  found(await ica.store.pauseAccount(id, null, act(ica, who, 'account.resumed', `account:${id}`)), `There is no account ${id} that is paused.`)

/** For ever; RFC 8555 §7.1.6 calls what the server does `revoked`. Throws notFound. */
export const revokeAccount = async (ica: Deps, id: string, reason: string, who: Who): Promise<void> =>
  found(await ica.store.revokeAccount(id, act(ica, who, 'account.revoked', `account:${id}`, { reason })), `There is no account ${id} that is valid.`)

/** `keyId`: hex SHA-256 of the SubjectPublicKeyInfo. Neither certificates nor accounts are made with it any more. */
export const blockKey = async (ica: Deps, keyId: string, reason: string, who: Who): Promise<void> =>
  ica.store.blockKey(keyId, reason, ica.clock.now(), act(ica, who, 'key.blocked', `key:${keyId}`, { reason }))

/** Throws notFound. */
export const unblockKey = async (ica: Deps, keyId: string, who: Who): Promise<void> =>
  found(await ica.store.unblockKey(keyId, act(ica, who, 'key.unblocked', `key:${keyId}`)), `The key ${keyId} is not blocked.`)

/** Marks certificates that were issued so far for early renewal (RFC 9773 §4.2). */
export const markForRenewal = async (
  ica: Deps,
  selector: Omit<RenewalSelector, 'issuedUntil'> & { issuedUntil?: number },
  { reason, explanationUrl, spreadMs }: Pick<RenewalMark, 'reason' | 'explanationUrl' | 'spreadMs'>,
  who: Who,
): Promise<RenewalMark> => {
  const markedAt = ica.clock.now()
  // What is issued from now on is the renewal.
  const issuedUntil = Math.min(selector.issuedUntil ?? markedAt, markedAt)
  const mark: RenewalMark = { id: newId(markedAt), selector: { ...selector, issuedUntil }, reason, explanationUrl, spreadMs, markedAt }
  await ica.store.addRenewalMark(mark, act(ica, who, 'renewal.marked', `renewal-mark:${mark.id}`, { ...mark }))
  return mark
}

/** Throws notFound. */
export const unmarkForRenewal = async (ica: Deps, id: string, who: Who): Promise<void> =>
  found(await ica.store.removeRenewalMark(id, act(ica, who, 'renewal.unmarked', `renewal-mark:${id}`)), `There is no mark ${id}.`)

/** An account by its id, its URL, or the thumbprint of its key. Throws notFound. */
export const findAccount = async (ica: Pick<Ica, 'store'>, what: string): Promise<Account> => {
  const account = (await ica.store.accountById(what.replace(/^.*\/acme\/account\//, ''))) ?? (await ica.store.accountByThumbprint(what))
  if (!account) throw new IcaError('notFound', `There is no account "${what}". Give its id, its URL, or the thumbprint of its key.`)
  return account
}
