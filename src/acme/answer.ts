/**
 * How this door answers: the headers that every answer has, and one way to send. Express's own `res.json` and its kin are not used: they add a charset, an ETag and
 * time.
 */
import { randomUUID } from 'node:crypto'
import type { RequestHandler, Response } from 'express'
import type { Nonces } from './nonce.js'
import type { Urls } from './urls.js'

/** A link to another resource (RFC 8288). */
export type Link = { rel: 'up' | 'next' | 'alternate' | 'terms-of-service'; url: string }

/** What a handler returns. */
export type Answer = {
  status?: number
  /** Sent as JSON; or else `content` as its type; or else nothing. */
  json?: unknown
  content?: { type: string; body: string | Uint8Array }
  location?: string
  /** Seconds (RFC 9110 §10.2.3). */
  retryAfter?: number | undefined
  links?: Link[]
}

const linkTo = (rel: string, url: string): string => `<${url}>;rel="${rel}"`

/**
 * Sets what every answer has, whatever comes of the request, and ends CORS preflights. A POST always gets a nonce, also with an error (RFC 8555 §6.5).
 *
 * Any origin may read the answers (§6.1): there are no cookies, whatever is not public stands behind a signature, and somebody else's page may be a client too.
 */
export const begin =
  (urls: Urls, nonces: Nonces): RequestHandler =>
  (request, response, next) => {
    response.setHeader('X-Request-Id', randomUUID())
    response.setHeader('Cache-Control', 'no-store')
    response.setHeader('Access-Control-Allow-Origin', '*')
    if (request.method === 'OPTIONS') {
      response.setHeader('Access-Control-Allow-Methods', 'GET, HEAD, POST')
      response.setHeader('Access-Control-Allow-Headers', 'Content-Type')
      response.setHeader('Access-Control-Max-Age', 86_400)
      response.writeHead(204).end()
      return
    }
    response.setHeader('Access-Control-Expose-Headers', 'Link, Location, Replay-Nonce, Retry-After, X-Request-Id')
    response.setHeader('Link', linkTo('index', urls.directory))
    if (request.method === 'POST') response.setHeader('Replay-Nonce', nonces.issue())
    next()
  }

/** The id of the request that `response` answers: in its header, in the log and in the audit. */
export const requestIdOf = (response: Response): string => response.getHeader('X-Request-Id') as string

/** Sends. Media types have no charset: ejabberd's client compares them whole. */
export const send = (response: Response, answer: Answer): void => {
  const content = answer.json === undefined ? answer.content : { type: 'application/json', body: JSON.stringify(answer.json) }
  if (answer.location !== undefined) response.setHeader('Location', answer.location)
  if (answer.retryAfter !== undefined) response.setHeader('Retry-After', answer.retryAfter)
  for (const { rel, url } of answer.links ?? []) response.appendHeader('Link', linkTo(rel, url))
  if (content) response.setHeader('Content-Type', content.type)
  if (answer.status !== 204) response.setHeader('Content-Length', content ? Buffer.byteLength(content.body) : 0)
  response.writeHead(answer.status ?? 200).end(content?.body)
}
