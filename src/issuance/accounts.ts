import { IcaError } from '../errors.js'
import type { Account, PublicJwk } from '../model.js'
import { readMailAddress } from '../validation/mail-addresses.js'
import { counted } from './counting.js'
import { act, type Ica, newId, type Who } from './ica.js'
import { accountCounters } from './limits.js'
import { refusalOf } from './refused-keys.js'

const MAX_CONTACTS = 10

/** The contacts of a request (RFC 8555 §7.3): mailto URLs of one plain address each. Throws unsupportedContact or invalidContact. */
export const readContact = (contact: unknown): string[] => {
  if (contact === undefined) return []
  if (!Array.isArray(contact) || contact.length > MAX_CONTACTS) {
    throw new IcaError('malformed', `"contact" must be an array of at most ${MAX_CONTACTS} URLs.`)
  }
  return contact.map((url: unknown) => {
    if (typeof url !== 'string') throw new IcaError('malformed', '"contact" must be an array of strings.')
    if (!/^mailto:/i.test(url)) {
      throw new IcaError('unsupportedContact', `The contact "${url.slice(0, 80)}" is not a mailto: URL; only e-mail addresses are supported.`)
    }
    const address = url.slice('mailto:'.length)
    if (readMailAddress(address) === null) {
      throw new IcaError('invalidContact', `The contact "${url.slice(0, 80)}" is not one plain e-mail address.`)
    }
    return `mailto:${address}`
  })
}

/**
 * newAccount (RFC 8555 §7.3): creates the account of a key, or finds it (`created: false`).
 * Throws accountDoesNotExist (onlyReturnExisting), userActionRequired (terms not agreed), badPublicKey (blocked key), externalAccountRequired, rateLimited, and what
 * {@link readContact} and the reading of the binding throw.
 */
export const registerAccount = async (
  ica: Ica,
  request: {
    jwk: PublicJwk
    thumbprint: string
    keyId: string
    contact?: unknown
    termsOfServiceAgreed?: unknown
    onlyReturnExisting?: unknown
    /** Reads and verifies the binding that came with the request; undefined where none came. Asked for a new account only. */
    externalAccount?: (() => Promise<NonNullable<Account['externalAccount']>>) | undefined
  },
  who: Who,
): Promise<{ account: Account; created: boolean }> => {
  const existing = await ica.store.accountByThumbprint(request.thumbprint)
  if (existing) {
    requireValid(existing)
    return { account: existing, created: false }
  }
  if (request.onlyReturnExisting === true) throw new IcaError('accountDoesNotExist', 'There is no account with this key.')
  if (request.termsOfServiceAgreed !== true) {
    const { termsOfService } = ica.settings
    throw new IcaError('userActionRequired', `An account needs "termsOfServiceAgreed": true. The terms are at ${termsOfService}`, {
      instance: termsOfService,
    })
  }
  await refuseKey(ica, request)
  const externalAccount = await bindingOf(ica, request.externalAccount)
  const { overrides } = await ica.policies.current()
  const now = ica.clock.now()
  const account: Account = {
    id: newId(now),
    jwk: request.jwk,
    thumbprint: request.thumbprint,
    status: 'valid',
    contact: readContact(request.contact),
    termsAgreedAt: now,
    createdAt: now,
    paused: null,
    externalAccount,
  }
  const audit = act(ica, { ...who, actor: `account:${account.id}` }, 'account.created', `account:${account.id}`, {
    thumbprint: account.thumbprint,
    contacts: account.contact.length,
    ...(externalAccount && { externalAccountKey: externalAccount.keyId }),
  })
  const result = await counted(ica, accountCounters(ica.settings.limits, overrides, who.address), (charges) =>
    ica.store.createAccount(account, audit, charges),
  )
  requireValid(result.account)
  if (result.created) ica.metrics.count('accounts')
  return result
}

/** The binding of a new account, as the configuration wants it. Where it is off, it is ignored like every field that is not known (RFC 8555 §7.3). */
const bindingOf = async (
  ica: Ica,
  read: (() => Promise<NonNullable<Account['externalAccount']>>) | undefined,
): Promise<Account['externalAccount']> => {
  const { externalAccounts, website } = ica.settings
  if (externalAccounts === 'off') return null
  if (read) return read()
  if (externalAccounts === 'optional') return null
  throw new IcaError(
    'externalAccountRequired',
    `A new account needs an external account binding: a key id and a MAC key, which the operator gives out (${website}). Clients call it EAB.`,
  )
}

/** Account update (RFC 8555 §7.3.2): contact and agreement; whatever else the request holds is ignored, as the RFC says. */
export const updateAccount = async (
  ica: Ica,
  account: Account,
  request: { contact?: unknown; termsOfServiceAgreed?: unknown },
  who: Who,
): Promise<Account> => {
  const change = {
    ...(request.contact !== undefined && { contact: readContact(request.contact) }),
    ...(request.termsOfServiceAgreed === true && { termsAgreedAt: ica.clock.now() }),
  }
  if (Object.keys(change).length === 0) return account
  const audit = act(ica, who, 'account.updated', `account:${account.id}`, { changed: Object.keys(change) })
  if (!(await ica.store.updateAccount(account.id, change, audit))) throw deactivated()
  return { ...account, ...change }
}

/** Account deactivation (RFC 8555 §7.3.6). For ever: a deactivated account can do nothing more. */
export const deactivateAccount = async (ica: Ica, account: Account, who: Who): Promise<Account> => {
  const now = ica.clock.now()
  if (!(await ica.store.deactivateAccount(account.id, now, act(ica, who, 'account.deactivated', `account:${account.id}`)))) throw deactivated()
  return { ...account, status: 'deactivated' }
}

/** Key roll-over (RFC 8555 §7.3.5), after the caller has verified both signatures. */
export const changeAccountKey = async (
  ica: Ica,
  account: Account,
  next: { jwk: PublicJwk; thumbprint: string; keyId: string },
  who: Who,
): Promise<{ account: Account } | { conflictWith: string }> => {
  await refuseKey(ica, next)
  const audit = act(ica, who, 'account.keyChanged', `account:${account.id}`, { from: account.thumbprint, to: next.thumbprint })
  const changed = await ica.store.changeAccountKey(account.id, account.thumbprint, next.jwk, next.thumbprint, audit)
  if (changed.result === 'conflict') return { conflictWith: changed.accountId }
  if (changed.result === 'stale') throw new IcaError('unauthorized', 'The account or its key has changed meanwhile; read the account again.')
  return { account: { ...account, jwk: next.jwk, thumbprint: next.thumbprint } }
}

/** Throws accountClosed for an account that may not act (RFC 8555 §7.3.6). */
export const requireValid = (account: Account): void => {
  if (account.status === 'revoked') throw new IcaError('accountClosed', 'This account was closed by the operator of the CA.')
  if (account.status !== 'valid') throw deactivated()
}

/** Throws unauthorized for an account that is paused: it can read and revoke, but neither order nor prove anything. */
export const requireActive = ({ paused }: Account): void => {
  if (paused === null) return
  const because = paused.reason === '' ? '' : `: ${paused.reason.replace(/\.$/, '')}`
  throw new IcaError(
    'unauthorized',
    `The operator of the CA has paused this account${because}. It can read its orders and revoke certificates, but not order any. Ask the operator to resume it.`,
  )
}

const deactivated = () => new IcaError('accountClosed', 'This account is deactivated. Create a new account with a new key.')

const refuseKey = async (ica: Ica, { jwk, keyId }: { jwk: PublicJwk; keyId: string }): Promise<void> => {
  const refusal = await refusalOf(ica, keyId, jwk.n === undefined ? null : Buffer.from(jwk.n, 'base64url'))
  if (refusal !== null) throw new IcaError('badPublicKey', `This key ${refusal}. Use a new key.`)
}
