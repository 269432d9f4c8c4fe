/** From the inputs of the form to a certificate, as steps on the ACME client. Each can be repeated: after a reload, a lost network, a restart of the server. */
import type { Account, AcmeClient, NewAccount } from '../acme/client.js'
import { AcmeError, isAcmeError } from '../acme/problem.js'
import type { AuthorizationResource, ChallengeResource, OrderResource } from '../acme/resources.js'
import { pemBlocks } from '../keys/base64.js'
import { makeCsr } from '../keys/csr.js'
import { newAccountKey, newCertificateKey } from '../keys/private-keys.js'
import { readCertificate } from '../keys/read.js'
import type { KeptAccount, KeptCertificate } from '../store.js'
import { type Draft, identifiersOf, type Method, methods } from './draft.js'

/** Where accounts are kept. */
export type AccountKeeper = { readAccount(): Promise<KeptAccount | null>; saveAccount(account: KeptAccount): Promise<void> }

/**
 * The account of this browser; makes key and account where there is none. The key is kept before the CA hears of it, so that a lost answer costs nothing. Contacts
 * that the request names become those of an account that is there already. Throws userActionRequired where the terms have to be agreed to first.
 */
export const ensureAccount = async (client: AcmeClient, keeper: AccountKeeper, request: NewAccount): Promise<Account> => {
  const kept = await settle(client, keeper, await keeper.readAccount())
  if (kept?.url) return withContact(client, keeper, { ...kept, url: kept.url }, request.contact)
  const signer = kept?.signer ?? (await newAccountKey())
  await keeper.saveAccount({ signer, url: null, contact: [], next: null })
  const { url, contact } = await client.newAccount(signer, request)
  await keeper.saveAccount({ signer, url, contact, next: null })
  return { signer, url }
}

const withContact = async (
  client: AcmeClient,
  keeper: AccountKeeper,
  kept: KeptAccount & { url: string },
  wanted: string[] | undefined,
): Promise<Account> => {
  const account = { signer: kept.signer, url: kept.url }
  if (wanted === undefined || wanted.join() === kept.contact.join()) return account
  const { contact = [] } = await client.updateContact(account, wanted)
  await keeper.saveAccount({ ...kept, contact })
  return account
}

/** Finishes a key change of which nobody knows whether the CA made it: the account answers to one of the two keys. */
const settle = async (client: AcmeClient, keeper: AccountKeeper, kept: KeptAccount | null): Promise<KeptAccount | null> => {
  if (!kept?.next) return kept
  const changed = await client.newAccount(kept.next, { onlyReturnExisting: true }).catch((error: unknown) => {
    if (isAcmeError(error, 'accountDoesNotExist')) return null
    throw error
  })
  const settled = { ...kept, signer: changed ? kept.next : kept.signer, next: null }
  await keeper.saveAccount(settled)
  return settled
}

/** Gives the account another key. */
export const changeKey = async (
  client: AcmeClient,
  keeper: AccountKeeper,
  kept: KeptAccount & { url: string },
  next: KeptAccount['signer'],
): Promise<KeptAccount> => {
  await keeper.saveAccount({ ...kept, next })
  await client.keyChange({ signer: kept.signer, url: kept.url }, next)
  const changed = { ...kept, signer: next, next: null }
  await keeper.saveAccount(changed)
  return changed
}

/** The draft with a key of its own, where it is to have one. */
export const withKey = async (draft: Draft): Promise<Draft> =>
  draft.key.kind === 'new' && !draft.key.pkcs8 ? { ...draft, key: { ...draft.key, pkcs8: await newCertificateKey(draft.key.algorithm) } } : draft

/** Places the order of a draft. */
export const placeOrder = async (client: AcmeClient, account: Account, draft: Draft): Promise<Draft> => {
  const order = await client.newOrder(account, { identifiers: identifiersOf(draft), profile: draft.profile, replaces: draft.replaces })
  return { ...draft, step: 'proof', account: account.url, order: order.url, methods: {} }
}

/** An order with its authorizations as they are now. */
export type Look = {
  order: OrderResource
  authorizations: AuthorizationResource[]
  /** When another look is worth its while, where the server says. */
  retryAt: number | null
}

export const lookAt = async (client: AcmeClient, account: Account, url: string, signal?: AbortSignal): Promise<Look> => {
  const order = await client.order(account, url, signal)
  // Only what is not decided yet can have changed since.
  const looks = await Promise.all(order.authorizations.map((authorization) => client.authorization(account, authorization, signal)))
  const times = looks.map(({ retryAt }) => retryAt).filter((at) => at !== null)
  return { order, authorizations: looks.map(({ authorization }) => authorization), retryAt: times.length > 0 ? Math.min(...times) : null }
}

/** The challenges of an authorization that the form can solve, in its order. */
export const solvable = ({ challenges }: AuthorizationResource): (ChallengeResource & { type: Method })[] =>
  methods.flatMap((method) => challenges.filter((challenge): challenge is ChallengeResource & { type: Method } => challenge.type === method))

/** What is being looked at or was found wrong: the challenge that somebody has answered. */
export const answered = ({ challenges }: AuthorizationResource): ChallengeResource | undefined =>
  challenges.find(({ status }) => status === 'processing') ?? challenges.find(({ status }) => status === 'invalid')

const csrOf = async ({ key }: Draft, order: OrderResource): Promise<Uint8Array> => {
  if (key.kind === 'csr') return key.der
  if (key.pkcs8) return makeCsr(key.pkcs8, order.identifiers)
  throw new AcmeError('badCSR', 'The private key of this request is no longer in this browser. Start again with the same names.')
}

/** Takes an order that is ready, processing or valid one step further: finalizes it, or fetches its certificate. The draft with `pem` where it is there. */
export const takeFurther = async (client: AcmeClient, account: Account, order: OrderResource, draft: Draft): Promise<Draft> => {
  const now = order.status === 'ready' ? await client.finalize(account, order, await csrOf(draft, order)) : order
  if (now.status !== 'valid' || now.certificate === undefined) return draft
  const { pem } = await client.certificate(account, now.certificate)
  return { ...draft, step: 'certificate', pem }
}

/** Whether the CA takes no request with this key, so that nothing but another key helps. */
export const wantsOtherKey = (type: string | undefined): boolean => /(^|:)(badCSR|badPublicKey)$/.test(type ?? '')

/** The DER of a PEM chain, leaf first. */
export const chainOf = (pem: string): Uint8Array[] => pemBlocks(pem).flatMap(({ label, der }) => (label === 'CERTIFICATE' ? [der] : []))

/** What is kept of a certificate when its request is over: everything but the key. */
export const keptCertificate = (draft: Draft & { pem: string }): KeptCertificate => {
  const { serial, notBefore, notAfter } = readCertificate(chainOf(draft.pem)[0] as Uint8Array)
  return {
    serial,
    identifiers: identifiersOf(draft),
    profile: draft.profile,
    notBefore,
    notAfter,
    pem: draft.pem,
    algorithm: draft.key.kind === 'new' ? draft.key.algorithm : null,
    revoked: false,
  }
}

/** Whether a CSR asks for the names of an order and no others; the names that it lacks and those that it has too many. */
export const compareNames = (asked: readonly string[], ordered: readonly string[]): { missing: string[]; extra: string[] } => ({
  missing: ordered.filter((name) => !asked.includes(name)),
  extra: asked.filter((name) => !ordered.includes(name)),
})
