/** RFC 8555 on Express: which resource is where, and what every signed request goes through. */
import { type Request, type RequestHandler, type Response, Router } from 'express'
import { IcaError } from '../errors.js'
import type { ValidationQueue } from '../issuance/challenges.js'
import type { Ica } from '../issuance/ica.js'
import { createKeyCache } from './account-key.js'
import * as accounts from './accounts.js'
import type { AccountHandler, Acme, KeyHandler, SignedRequest } from './acme.js'
import { begin, requestIdOf, send } from './answer.js'
import { type Authenticator, createAuthenticator } from './authenticate.js'
import { readBody } from './body.js'
import * as certificates from './certificates.js'
import { decodeJsonObject } from './decode.js'
import { renderDirectory } from './directory.js'
import { createNonces } from './nonce.js'
import * as orders from './orders.js'
import { answerWithProblem, notFound, onlyMethods } from './problem.js'
import { renewalInfo } from './renewal-info.js'
import { createUrls, isId } from './urls.js'

/** Who may sign for a resource, and what is done then. */
type Handlers = { account?: AccountHandler; key?: KeyHandler }

const readParams = (request: Request): Record<string, string> => {
  const params = request.params as Record<string, string>
  if (!Object.values(params).every(isId)) throw new IcaError('notFound', 'There is nothing here.')
  return params
}

/** The way of every POST: authenticate and decode, one call into a handler, send. */
const signed = (acme: Acme, authenticate: Authenticator, handlers: Handlers): RequestHandler => {
  const kinds = { account: handlers.account !== undefined, key: handlers.key !== undefined }
  return async (request: Request, response: Response): Promise<void> => {
    const params = readParams(request)
    // Inside a router Express leaves the part behind the mount point: with the base URL it is what the client used, whatever stands in between.
    const url = acme.urls.root + request.url
    const { signer, payload } = await authenticate(await readBody(request), url, kinds)
    const mark = request.url.indexOf('?')
    const common: SignedRequest = {
      url,
      payload: payload.length === 0 ? null : decodeJsonObject(payload, 'The payload'),
      params,
      query: new URLSearchParams(mark < 0 ? '' : request.url.slice(mark)),
      accepts: (...types) => request.accepts(types) || undefined,
      who: { actor: signer.account ? `account:${signer.account.id}` : 'anonymous', address: request.ip, requestId: requestIdOf(response) },
    }
    if (signer.account && handlers.account) send(response, await handlers.account(acme, { ...common, account: signer.account }))
    else if (signer.key && handlers.key) send(response, await handlers.key(acme, { ...common, key: signer.key }))
  }
}

/**
 * The router of the whole ACME side; mount it at `/acme`.
 * @param baseUrl what clients put before `/acme`, without a final slash. `ica.accountUri` must lie below it.
 */
export const createAcmeRouter = async (ica: Ica, queue: ValidationQueue, baseUrl: string): Promise<Router> => {
  const urls = createUrls(baseUrl, ica.accountUri)
  const acme: Acme = { ica, queue, urls }
  const nonces = await createNonces(ica.store, ica.clock)
  const authenticate = createAuthenticator(ica.store, nonces, createKeyCache(), urls)
  const router = Router({ caseSensitive: true, strict: true })
  router.use(begin(urls, nonces))

  const resource = (path: string, handlers: Handlers): void => {
    router
      .route(path)
      .post(signed(acme, authenticate, handlers))
      .all(onlyMethods('POST'))
  }
  // §6.3: GET for these two, and POST-as-GET as for everything.
  const open = (path: string, get: RequestHandler, handler: AccountHandler): void => {
    router
      .route(path)
      .get(get)
      .post(signed(acme, authenticate, { account: handler }))
      .all(onlyMethods('GET', 'HEAD', 'POST'))
  }

  const directory = renderDirectory(ica, urls)
  open(
    '/directory',
    (_, response) => {
      response.removeHeader('Link')
      send(response, { json: directory })
    },
    async () => ({ json: directory }),
  )
  open(
    '/new-nonce',
    (request, response) => {
      response.setHeader('Replay-Nonce', nonces.issue())
      send(response, { status: request.method === 'HEAD' ? 200 : 204 })
    },
    async () => ({ status: 204 }),
  )
  // RFC 9773 §4.1: public, and not signed.
  router
    .route('/renewal-info/:id')
    .get(async (request, response) => send(response, await renewalInfo(acme, request.params.id)))
    .all(onlyMethods('GET', 'HEAD'))
  resource('/new-account', { key: accounts.newAccount })
  resource('/account/:id', { account: accounts.account })
  resource('/account/:id/orders', { account: accounts.accountOrders })
  resource('/key-change', { account: accounts.keyChange })
  resource('/new-authz', { account: orders.newAuthz })
  resource('/new-order', { account: orders.newOrder })
  resource('/order/:id', { account: orders.order })
  resource('/order/:id/finalize', { account: orders.finalize })
  resource('/authz/:id', { account: orders.authorization })
  resource('/chall/:id', { account: orders.challenge })
  resource('/cert/:serial', { account: certificates.certificate })
  resource('/cert/:serial/:chain', { account: certificates.certificate })
  resource('/revoke-cert', { account: certificates.revokeByAccount, key: certificates.revokeByKey })
  router.use(notFound)
  router.use(answerWithProblem(ica))
  return router
}
