/**
 * An ACME client (RFC 8555) on fetch and WebCrypto, the same in browser and Node. It keeps nothing: keys, accounts and orders are the caller's. Private keys are
 * used through WebCrypto and never serialised here; what leaves is signatures, public keys and CSRs.
 */
import { base64url } from '../keys/base64.js'
import { bindExternalAccount, type PublicJwk, type Signer, signJws, thumbprint } from './jws.js'
import { AcmeError, isAcmeError } from './problem.js'
import type {
  AccountResource,
  AcmeIdentifier,
  AuthorizationResource,
  ChallengeResource,
  Directory,
  OrderResource,
  RenewalWindow,
} from './resources.js'
import { type Answer, createTransport, type TransportOptions } from './transport.js'

/** An account that exists: its key and its URL. */
export type Account = { signer: Signer; url: string }

/** What newOrder takes; `replaces` is the identifier of RFC 9773 §4.1. */
export type NewOrder = { identifiers: AcmeIdentifier[]; profile?: string | null; replaces?: string | null }

export type NewAccount = {
  contact?: string[]
  termsOfServiceAgreed?: boolean
  onlyReturnExisting?: boolean
  /** RFC 8555 §7.3.4. */
  externalAccount?: { keyId: string; macKey: Uint8Array<ArrayBuffer> } | null
}

/** The reasons that a subscriber may give (RFC 5280 §5.3.1). */
export const revocationCodes = { unspecified: 0, keyCompromise: 1, affiliationChanged: 3, superseded: 4, cessationOfOperation: 5 } as const
export type RevocationCode = keyof typeof revocationCodes

/** RFC 8555 §8.1. */
export const keyAuthorization = async (token: string, jwk: PublicJwk): Promise<string> => `${token}.${await thumbprint(jwk)}`

/** The TXT record of dns-01 (RFC 8555 §8.4). */
export const dnsValue = async (token: string, jwk: PublicJwk): Promise<string> =>
  base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(await keyAuthorization(token, jwk)))))

const resource = <T>({ json }: Answer, more: object = {}): T => {
  if (json === null) throw new AcmeError('http', 'The answer of the server is not what ACME says it should be.')
  return { ...json, ...more } as T
}

const locationOf = ({ headers }: Answer): string => {
  const location = headers.get('Location')
  if (location === null) throw new AcmeError('http', 'The answer of the server lacks the place of what it made.')
  return location
}

/** RFC 8288, the `alternate` chains of RFC 8555 §7.4.2. */
const alternatesOf = ({ headers }: Answer): string[] =>
  [...(headers.get('Link') ?? '').matchAll(/<([^>]*)>\s*;\s*rel="?alternate"?/g)].map(([, url = '']) => url)

export type AcmeClient = ReturnType<typeof createAcmeClient>

/** @param directoryUrl of the server. The directory is fetched when it is first needed. */
export const createAcmeClient = (directoryUrl: string, options: TransportOptions = {}) => {
  const transport = createTransport(options)
  let known: Promise<Directory> | null = null

  const directory = (): Promise<Directory> => {
    known ??= transport.get(directoryUrl).then((answer) => resource<Directory>(answer))
    // A failure is not kept.
    known.catch(() => {
      known = null
    })
    return known
  }

  const post = async (account: Account, url: string, payload: object | null, more: { accept?: string; signal?: AbortSignal | undefined } = {}) =>
    transport.post(url, payload, { by: { signer: account.signer, account: account.url }, nonceUrl: (await directory()).newNonce, ...more })

  const readOrder = async (account: Account, url: string, signal?: AbortSignal): Promise<OrderResource> =>
    resource(await post(account, url, null, { signal }), { url })

  return {
    directory,

    /** newAccount (RFC 8555 §7.3): makes the account of a key, or finds it. */
    newAccount: async (signer: Signer, { externalAccount, ...request }: NewAccount): Promise<Account & { contact: string[] }> => {
      const { newAccount, newNonce } = await directory()
      const externalAccountBinding =
        externalAccount && (await bindExternalAccount(externalAccount.macKey, externalAccount.keyId, newAccount, signer.jwk))
      const payload = { ...request, ...(externalAccountBinding && { externalAccountBinding }) }
      const answer = await transport.post(newAccount, payload, { by: { signer, account: null }, nonceUrl: newNonce })
      return { signer, url: locationOf(answer), contact: resource<AccountResource>(answer).contact ?? [] }
    },

    account: async (account: Account): Promise<AccountResource> => resource(await post(account, account.url, null)),

    /** §7.3.2; an empty list asks for no more mail. */
    updateContact: async (account: Account, contact: string[]): Promise<AccountResource> => resource(await post(account, account.url, { contact })),

    /** §7.3.5. The account answers to `next` when this resolves. */
    keyChange: async (account: Account, next: Signer): Promise<Account> => {
      const { keyChange } = await directory()
      const inner = await signJws(next, { jwk: next.jwk, url: keyChange }, { account: account.url, oldKey: account.signer.jwk })
      await post(account, keyChange, inner)
      return { signer: next, url: account.url }
    },

    /** §7.1.2.1: the URLs of the orders of an account, newest first as the server has them; `limit` of them. */
    orders: async (account: Account, limit: number): Promise<string[]> => {
      const { orders } = resource<AccountResource>(await post(account, account.url, null))
      const found: string[] = []
      for (let url: string | undefined = orders; url !== undefined && found.length < limit; ) {
        const answer: Answer = await post(account, url, null)
        found.push(...(resource<{ orders: string[] }>(answer).orders ?? []))
        url = /<([^>]*)>\s*;\s*rel="?next"?/.exec(answer.headers.get('Link') ?? '')?.[1]
      }
      return found.slice(0, limit)
    },

    /** §7.4. A certificate that was replaced before is ordered all the same, as RFC 9773 §5 wants. */
    newOrder: async (account: Account, { identifiers, profile, replaces }: NewOrder): Promise<OrderResource> => {
      const { newOrder } = await directory()
      const payload = { identifiers, ...(profile && { profile }) }
      const order = async (more: object) => {
        const answer = await post(account, newOrder, { ...payload, ...more })
        return resource<OrderResource>(answer, { url: locationOf(answer) })
      }
      if (!replaces) return order({})
      // It may be of another account, or be replaced already: both are no reason to go without a certificate.
      return order({ replaces }).catch((error: unknown) => {
        if (isAcmeError(error, 'alreadyReplaced', 'malformed', 'unauthorized')) return order({})
        throw error
      })
    },

    order: readOrder,

    authorization: async (
      account: Account,
      url: string,
      signal?: AbortSignal,
    ): Promise<{ authorization: AuthorizationResource; retryAt: number | null }> => {
      const answer = await post(account, url, null, { signal })
      return { authorization: resource(answer, { url }), retryAt: answer.retryAt }
    },

    /** A challenge by itself, which may say more than in its authorization (email-link-01: it looks addresses up). */
    challenge: async (account: Account, url: string): Promise<ChallengeResource> => resource(await post(account, url, null)),

    /** §7.5.1. `payload` is `{}` but for challenges that want to be told something. */
    respond: async (account: Account, url: string, payload: object = {}): Promise<ChallengeResource> => resource(await post(account, url, payload)),

    /** §7.4. Where an earlier attempt got through unheard, the order tells. */
    finalize: async (account: Account, order: OrderResource, csr: Uint8Array): Promise<OrderResource> => {
      try {
        return resource(await post(account, order.finalize, { csr: base64url(csr) }), { url: order.url })
      } catch (error) {
        if (!isAcmeError(error, 'orderNotReady')) throw error
        const now = await readOrder(account, order.url)
        if (now.status === 'pending' || now.status === 'ready') throw error
        return now
      }
    },

    /** §7.4.2: the chain as PEM, leaf first, and where other chains of the same certificate are. */
    certificate: async (account: Account, url: string): Promise<{ pem: string; alternates: string[] }> => {
      const answer = await post(account, url, null, { accept: 'application/pem-certificate-chain' })
      return { pem: answer.text, alternates: alternatesOf(answer) }
    },

    /** §7.6, signed by an account that ordered it or has proven all of its names. */
    revoke: async (account: Account, certificate: Uint8Array, reason: RevocationCode): Promise<void> => {
      const { revokeCert } = await directory()
      await post(account, revokeCert, { certificate: base64url(certificate), reason: revocationCodes[reason] })
    },

    /** §7.6, signed by the key of the certificate: the CA takes the key for compromised and blocks it. */
    revokeByKey: async (signer: Signer, certificate: Uint8Array): Promise<void> => {
      const { revokeCert, newNonce } = await directory()
      const payload = { certificate: base64url(certificate), reason: revocationCodes.keyCompromise }
      await transport.post(revokeCert, payload, { by: { signer, account: null }, nonceUrl: newNonce })
    },

    /** RFC 9773 §4; `id` as {@link certificateId} in keys/ makes it. Null where the server has no such service or certificate. */
    renewalInfo: async (id: string): Promise<RenewalWindow | null> => {
      const { renewalInfo } = await directory()
      if (renewalInfo === undefined) return null
      const answer = await transport.get(`${renewalInfo}/${id}`)
      const { suggestedWindow, explanationURL } = resource<{ suggestedWindow: { start: string; end: string }; explanationURL?: string }>(answer)
      return { start: Date.parse(suggestedWindow.start), end: Date.parse(suggestedWindow.end), explanationUrl: explanationURL ?? null }
    },
  }
}
