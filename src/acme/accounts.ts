/** newAccount, accounts, their orders, and key roll-over (RFC 8555 §7.3, §7.1.2.1). */
import { IcaError } from '../errors.js'
import * as accounts from '../issuance/accounts.js'
import { listOrders } from '../issuance/orders.js'
import { type AccountKey, readJwk } from './account-key.js'
import { type AccountHandler, type KeyHandler, payloadOf, requireRead } from './acme.js'
import { checkUrl } from './authenticate.js'
import { decodeJsonObject, type JsonObject } from './decode.js'
import { readBinding } from './external-account.js'
import { decodeJws, verifyJws } from './jws.js'
import { problemAnswer } from './problem.js'
import { renderAccount } from './render.js'
import { isId } from './urls.js'

/** §7.3, §7.3.1. */
export const newAccount: KeyHandler = async ({ ica, urls }, request) => {
  const { contact, termsOfServiceAgreed, onlyReturnExisting, externalAccountBinding: binding } = payloadOf(request)
  const { jwk, thumbprint, keyId } = request.key
  const { account, created } = await accounts.registerAccount(
    ica,
    {
      jwk,
      thumbprint,
      keyId,
      contact,
      termsOfServiceAgreed,
      onlyReturnExisting,
      externalAccount: binding === undefined ? undefined : () => readBinding(ica, binding, urls.newAccount, thumbprint),
    },
    request.who,
  )
  return { status: created ? 201 : 200, location: urls.account(account.id), json: renderAccount(urls, account) }
}

/** An account has no business with another's resources, and need not know whether they exist. */
const requireOwn: (...of: Parameters<AccountHandler>) => void = (_, { account, params }) => {
  if (account.id !== params.id) throw new IcaError('unauthorized', 'The request is signed by another account.')
}

/** §7.3.2, §7.3.6. `status` can only become `deactivated`; other fields are ignored, as §7.3.2 says. */
export const account: AccountHandler = async (acme, request) => {
  requireOwn(acme, request)
  const { ica, urls } = acme
  const payload = request.payload ?? {}
  if (payload.status === 'deactivated') return { json: renderAccount(urls, await accounts.deactivateAccount(ica, request.account, request.who)) }
  const { contact, termsOfServiceAgreed } = payload
  return { json: renderAccount(urls, await accounts.updateAccount(ica, request.account, { contact, termsOfServiceAgreed }, request.who)) }
}

/** §7.1.2.1. */
export const accountOrders: AccountHandler = async (acme, request) => {
  requireOwn(acme, request)
  requireRead(request)
  const { ica, urls } = acme
  const cursor = new URLSearchParams(request.query).get('cursor')
  if (cursor !== null && !isId(cursor)) throw new IcaError('malformed', 'The cursor of this page is not one that this CA gave.')
  const { ids, next } = await listOrders(ica, request.account, cursor)
  return {
    json: { orders: ids.map(urls.order) },
    ...(next !== null && { links: [{ rel: 'next', url: `${urls.orders(request.account.id)}?cursor=${next}` }] }),
  }
}

/** The new key of a roll-over, after the checks 2 to 8 of §7.3.5 (whose check 1 and 9 lie before and after). */
const readKeyChange = async (inner: JsonObject, url: string, accountUrl: string, oldThumbprint: string): Promise<AccountKey> => {
  const jws = decodeJws(inner)
  if (jws.jwk === undefined) throw new IcaError('malformed', 'The inner JWS must have the new key as "jwk" in its header.')
  if (jws.nonce !== undefined) throw new IcaError('malformed', 'The inner JWS must not have a nonce.')
  checkUrl(jws, url)
  const key = readJwk(jws.jwk)
  await verifyJws(jws, key)
  const { account, oldKey } = decodeJsonObject(jws.payload, 'The payload of the inner JWS')
  if (account !== accountUrl) throw new IcaError('malformed', 'The "account" of the inner payload is not the account that signed the outer JWS.')
  if (readJwk(oldKey).thumbprint !== oldThumbprint)
    throw new IcaError('malformed', 'The "oldKey" of the inner payload is not the key of the account.')
  return key
}

/** §7.3.5. */
export const keyChange: AccountHandler = async ({ ica, urls }, request) => {
  const { account, who } = request
  const key = await readKeyChange(payloadOf(request), request.url, urls.account(account.id), account.thumbprint)
  const changed = await accounts.changeAccountKey(ica, account, key, who)
  if ('account' in changed) return { json: renderAccount(urls, changed.account) }
  const conflict = new IcaError('conflict', 'Another account has this key already. Choose a key that is used for nothing else.')
  return { ...problemAnswer(conflict), location: urls.account(changed.conflictWith) }
}
