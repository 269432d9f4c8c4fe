/** RFC 8555 on node:http: which resource is where, and what every signed request goes through. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { IcaError } from '../errors.js'
import type { Ica } from '../issuance/ica.js'
import type { ValidationQueue } from '../issuance/validation-queue.js'
import { preferred } from './accept.js'
import { createKeyCache } from './account-key.js'
import * as accounts from './accounts.js'
import type { AccountHandler, Acme, KeyHandler, SignedRequest } from './acme.js'
import { type Answer, answerPreflight, begin, beginAnswer, type Exchange, send } from './answer.js'
import { type Authenticator, createAuthenticator } from './authenticate.js'
import { readBody } from './body.js'
import * as certificates from './certificates.js'
import { decodeJsonObject } from './decode.js'
import { renderDirectory } from './directory.js'
import { createNonces, type Nonces } from './nonce.js'
import * as orders from './orders.js'
import { methodNotAllowed, notFound, sendProblem } from './problem.js'
import { renewalInfo } from './renewal-info.js'
import { createUrls, isId } from './urls.js'

/** Who may sign for a resource, and what is done then. */
type Handlers = { account?: AccountHandler; key?: KeyHandler }

/** A kind of resource. */
type Resource = {
  /** Names of the variable parts of its path. */
  params: string[]
  /** By POST. */
  signed?: Handlers
  /** By GET and HEAD, for anybody (§6.3). */
  open?: (exchange: Exchange, params: Record<string, string>) => Answer | Promise<Answer>
}

/** Serves a request for a URL below `/acme`, whoever asks from whichever address. */
export type AcmeHandler = (request: IncomingMessage, response: ServerResponse, from: Pick<Exchange, 'requestId' | 'address'>) => void

/** The resources by path: `order/:id/finalize` has one variable part. */
const createTable = (resources: Record<string, Omit<Resource, 'params'>>) => {
  // A variable part counts as `*`, so that a path is found by at most two look-ups.
  const table = new Map<string, Resource>()
  for (const [path, resource] of Object.entries(resources)) {
    const params = path.split('/').flatMap((part) => (part.startsWith(':') ? [part.slice(1)] : []))
    table.set(path.replace(/:[a-z]+/g, '*'), { ...resource, params })
  }
  /** The resource at a path without its first slash, and the variable parts of it. */
  return (path: string): { resource: Resource; params: Record<string, string> } => {
    const [kind = '', second, third, ...more] = path.split('/')
    let resource: Resource | undefined
    if (second === undefined) resource = table.get(kind)
    else if (third === undefined) resource = table.get(`${kind}/*`)
    else if (more.length === 0) resource = table.get(`${kind}/*/${third}`) ?? table.get(`${kind}/*/*`)
    if (!resource) throw notFound()
    const params: Record<string, string> = {}
    const values = [second, third]
    resource.params.forEach((name, index) => {
      params[name] = values[index] ?? ''
    })
    return { resource, params }
  }
}

/** The way of every POST: authenticate and decode, one call into a handler. */
const answerSigned = async (
  acme: Acme,
  authenticate: Authenticator,
  handlers: Handlers,
  { request, requestId, address }: Exchange,
  { target, params }: { target: string; params: Record<string, string> },
): Promise<Answer> => {
  // The base URL and the path are what the client used, whatever stands in between.
  const url = acme.urls.root + target
  const { signer, payload } = await authenticate(await readBody(request), url, handlers)
  const mark = target.indexOf('?')
  const common: SignedRequest = {
    url,
    payload: payload.length === 0 ? null : decodeJsonObject(payload, 'The payload'),
    params,
    query: mark < 0 ? '' : target.slice(mark + 1),
    accepts: (...types) => preferred(request.headers.accept, types),
    who: { actor: signer.account ? `account:${signer.account.id}` : 'anonymous', address, requestId },
  }
  if (signer.account && handlers.account) return handlers.account(acme, { ...common, account: signer.account })
  if (signer.key && handlers.key) return handlers.key(acme, { ...common, key: signer.key })
  throw new IcaError('malformed', 'This resource does not take such a signer.')
}

const resourcesOf = (acme: Acme, nonces: Nonces): Record<string, Omit<Resource, 'params'>> => {
  const directory = renderDirectory(acme.ica, acme.urls)
  return {
    // §6.3: GET for these two, and POST-as-GET as for everything.
    directory: {
      open: ({ links }) => {
        links.length = 0
        return { json: directory }
      },
      signed: { account: async () => ({ json: directory }) },
    },
    'new-nonce': {
      open: ({ request, headers }) => {
        headers.push('Replay-Nonce', nonces.issue())
        return { status: request.method === 'HEAD' ? 200 : 204 }
      },
      signed: { account: async () => ({ status: 204 }) },
    },
    // RFC 9773 §4.1: public, and not signed.
    'renewal-info/:id': { open: (_, { id = '' }) => renewalInfo(acme, id) },
    'new-account': { signed: { key: accounts.newAccount } },
    'account/:id': { signed: { account: accounts.account } },
    'account/:id/orders': { signed: { account: accounts.accountOrders } },
    'key-change': { signed: { account: accounts.keyChange } },
    'new-authz': { signed: { account: orders.newAuthz } },
    'new-order': { signed: { account: orders.newOrder } },
    'order/:id': { signed: { account: orders.order } },
    'order/:id/finalize': { signed: { account: orders.finalize } },
    'authz/:id': { signed: { account: orders.authorization } },
    'chall/:id': { signed: { account: orders.challenge } },
    'cert/:serial': { signed: { account: certificates.certificate } },
    'cert/:serial/:chain': { signed: { account: certificates.certificate } },
    'revoke-cert': { signed: { account: certificates.revokeByAccount, key: certificates.revokeByKey } },
  }
}

const methodsOf = ({ open, signed }: Resource): string[] => [...(open ? ['GET', 'HEAD'] : []), ...(signed ? ['POST'] : [])]

/** `/acme/order/1?a`, or the same with scheme and host in front (RFC 9112 §3.2.2), without `/acme`. */
const targetOf = ({ url = '/' }: IncomingMessage): string =>
  (url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?]*/i, '')).slice('/acme'.length)

/**
 * The whole ACME side.
 * @param baseUrl what clients put before `/acme`, without a final slash. `ica.accountUri` must lie below it.
 */
export const createAcmeHandler = async (ica: Ica, queue: ValidationQueue, baseUrl: string): Promise<AcmeHandler> => {
  const urls = createUrls(baseUrl, ica.accountUri)
  const acme: Acme = { ica, queue, urls }
  const nonces = await createNonces(ica.store, ica.clock)
  const authenticate = createAuthenticator(ica.store, nonces, createKeyCache(), urls)
  const find = createTable(resourcesOf(acme, nonces))

  const answer = async (exchange: Exchange, target: string, path: string): Promise<Answer> => {
    const { method } = exchange.request
    const { resource, params } = find(path.slice(1))
    if (resource.signed && !Object.values(params).every(isId)) throw notFound()
    if (method === 'POST' && resource.signed) return answerSigned(acme, authenticate, resource.signed, exchange, { target, params })
    if ((method === 'GET' || method === 'HEAD') && resource.open) return resource.open(exchange, params)
    throw methodNotAllowed(exchange, methodsOf(resource))
  }

  return (request, response, from) => {
    const exchange = begin(request, response, from)
    if (request.method === 'OPTIONS') return answerPreflight(exchange)
    beginAnswer(exchange, urls.directory)
    // Always, also with an error (§6.5).
    if (request.method === 'POST') exchange.headers.push('Replay-Nonce', nonces.issue())
    const target = targetOf(request)
    const mark = target.indexOf('?')
    const path = mark < 0 ? target : target.slice(0, mark)
    answer(exchange, target, path)
      .then((given) => send(exchange, given))
      .catch((error: unknown) => sendProblem(ica, exchange, path, error))
  }
}
