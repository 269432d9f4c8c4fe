/** Who sent a request (RFC 8555 §6.2–§6.5). */
import { IcaError } from '../errors.js'
import { requireValid } from '../issuance/accounts.js'
import type { Account } from '../model.js'
import type { Store } from '../store/store.js'
import { type AccountKey, type KeyCache, readJwk } from './account-key.js'
import { decodeJsonObject } from './decode.js'
import { decodeJws, type Jws, verifyJws } from './jws.js'
import type { Nonces } from './nonce.js'
import { isId, type Urls } from './urls.js'

/** An account that signed by its URL, or a key that signed for itself. */
export type Signer = { account: Account; key?: undefined } | { key: AccountKey; account?: undefined }

/** The kinds of signer that a resource takes: those for which there is anything. */
export type SignerKinds = { account?: unknown; key?: unknown }

export type Authenticator = (body: Buffer, url: string, kinds: SignerKinds) => Promise<{ signer: Signer; payload: Buffer }>

const unknownAccount = (kid: string) =>
  new IcaError('accountDoesNotExist', `There is no account ${JSON.stringify(kid.slice(0, 200))} at this CA. Make one with newAccount.`)

/**
 * The check of a signed request, cheap parts first: form, algorithm, `url` (§6.4), key or account, signature, nonce (§6.5). The nonce comes after the signature, as
 * in Boulder: who can't sign can't use up anybody's nonces or fill the table of used ones, and a replay is refused all the same, before anything is done.
 *
 * `url` is the URL as the client must have used it: the base URL and the path, never the Host header. Throws malformed, badSignatureAlgorithm, unauthorized,
 * badPublicKey, accountDoesNotExist, badNonce.
 */
export const createAuthenticator = (store: Pick<Store, 'accountById'>, nonces: Nonces, keys: KeyCache, urls: Urls): Authenticator => {
  const accountPrefix = urls.account('')

  /** The thumbprint of the key that verifies `jws`: the one known from before, or else the one that the account has now. */
  const verifyBy = async (kid: string, id: string, jws: Jws): Promise<string> => {
    const known = keys.get(id)
    const failure: unknown = known && (await verifyJws(jws, known).catch((error: unknown) => error))
    if (known && failure === undefined) return known.thumbprint
    const account = await store.accountById(id)
    if (!account) throw unknownAccount(kid)
    requireValid(account)
    // Where it is another one, the key was changed through another node.
    if (known?.thumbprint === account.thumbprint) throw failure
    await verifyJws(jws, keys.put(account))
    return account.thumbprint
  }

  /** RFC 8555 §6.2: `kid` is the account URL, exactly as newAccount gave it. */
  const byAccount = async (kid: string, jws: Jws): Promise<Account> => {
    const id = kid.startsWith(accountPrefix) ? kid.slice(accountPrefix.length) : ''
    if (!isId(id)) throw unknownAccount(kid)
    const thumbprint = await verifyBy(kid, id, jws)
    const account = await nonces.useFor(id, jws.nonce)
    if (!account) throw unknownAccount(kid)
    requireValid(account)
    if (account.thumbprint !== thumbprint) throw new IcaError('unauthorized', 'The account has another key now.')
    return account
  }

  const byKey = async (jwk: unknown, jws: Jws): Promise<AccountKey> => {
    const key = readJwk(jwk)
    await verifyJws(jws, key)
    await nonces.use(jws.nonce)
    return key
  }

  return async (body, url, kinds) => {
    const jws = decodeJws(decodeJsonObject(body, 'The request'))
    checkUrl(jws, url)
    const { kid, jwk, payload } = jws
    if (kid === undefined) {
      if (!kinds.key) throw new IcaError('malformed', 'This resource takes requests with the account URL as "kid" in the header.')
      return { signer: { key: await byKey(jwk, jws) }, payload }
    }
    if (!kinds.account) throw new IcaError('malformed', 'This resource takes requests with a "jwk" in the header, not a "kid".')
    return { signer: { account: await byAccount(kid, jws) }, payload }
  }
}

/** RFC 8555 §6.4: string equality, and `unauthorized` where it fails. */
export const checkUrl = (jws: Jws, url: string): void => {
  if (jws.url === url) return
  const [signed, sent] = [jws.url, url].map((text) => JSON.stringify(text.slice(0, 200)))
  throw new IcaError('unauthorized', `The request was signed for ${signed} and sent to ${sent}.`)
}
