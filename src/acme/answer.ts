/** How this door answers: the headers that every answer has, and one way to send. */
import type { IncomingMessage, ServerResponse } from 'node:http'

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

/** A request and the way to answer it. */
export type Exchange = {
  request: IncomingMessage
  response: ServerResponse
  /** In the answer's header, in the log and in the audit. */
  requestId: string
  /** Of the client. */
  address: string | undefined
  /** Of the answer so far, name after value after name. */
  headers: string[]
  /** Links of the answer so far. */
  links: string[]
}

const linkTo = (rel: string, url: string): string => `<${url}>;rel="${rel}"`

/**
 * What every answer has, whatever comes of the request.
 *
 * Any origin may read the answers (RFC 8555 §6.1): there are no cookies, whatever is not public stands behind a signature, and somebody else's page may be a client too.
 */
export const begin = (
  request: IncomingMessage,
  response: ServerResponse,
  { requestId, address }: Pick<Exchange, 'requestId' | 'address'>,
): Exchange => ({
  request,
  response,
  requestId,
  address,
  headers: ['X-Request-Id', requestId, 'Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff', 'Access-Control-Allow-Origin', '*'],
  links: [],
})

/** Ends a CORS preflight. */
export const answerPreflight = ({ response, headers }: Exchange): void => {
  headers.push('Access-Control-Allow-Methods', 'GET, HEAD, POST', 'Access-Control-Allow-Headers', 'Content-Type', 'Access-Control-Max-Age', '86400')
  response.writeHead(204, headers).end()
}

/** What every answer but that to a preflight has. */
export const beginAnswer = ({ headers, links }: Exchange, directory: string): void => {
  headers.push('Access-Control-Expose-Headers', 'Link, Location, Replay-Nonce, Retry-After, X-Request-Id')
  links.push(linkTo('index', directory))
}

/** Sends. Media types have no charset: ejabberd's client compares them whole. */
export const send = ({ response, headers, links }: Exchange, answer: Answer): void => {
  const content = answer.json === undefined ? answer.content : { type: 'application/json', body: JSON.stringify(answer.json) }
  if (answer.location !== undefined) headers.push('Location', answer.location)
  if (answer.retryAfter !== undefined) headers.push('Retry-After', `${answer.retryAfter}`)
  for (const link of links) headers.push('Link', link)
  for (const { rel, url } of answer.links ?? []) headers.push('Link', linkTo(rel, url))
  if (content) headers.push('Content-Type', content.type)
  if (answer.status !== 204) headers.push('Content-Length', `${content ? Buffer.byteLength(content.body) : 0}`)
  // A string goes out in one piece with the head.
  response.writeHead(answer.status ?? 200, headers).end(content?.body)
}
