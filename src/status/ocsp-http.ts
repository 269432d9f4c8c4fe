/** OCSP over HTTP (RFC 6960 appendix A.1, RFC 5019 §5): the request by POST, or by GET in base64 as part of the path. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../clock.js'
import { maxOcspRequest } from '../pki/ocsp-request.js'
import { isUnchanged, sendError } from './http.js'
import type { OcspService } from './ocsp.js'
import { cacheFieldsAt, type OcspAnswer } from './ocsp-answer.js'

/** Stands for what is not base64; it is no request either. */
const nothing = new Uint8Array()

/**
 * The request in the path behind `/ocsp/`: base64 (RFC 4648 §4), in which clients escape `+`, `/` and `=` or do not, and which some begin with a further slash
 * (the first octet of a request never encodes to one). Null where it is not base64.
 */
export const decodeOcspPath = (path: string): Uint8Array | null => {
  let text: string
  try {
    text = decodeURIComponent(path).replace(/^\/+/, '')
  } catch {
    return null
  }
  const bytes = Buffer.from(text, 'base64')
  // Buffer skips what it doesn't understand; only what it writes again is base64. The padding may be missing.
  return bytes.toString('base64').replace(/=+$/, '') === text.replace(/={1,2}$/, '') && text.length % 4 !== 1 ? bytes : null
}

/** Sends what the service answers; with a conditional GET perhaps only that nothing changed. */
const send = (req: IncomingMessage, res: ServerResponse, clock: Clock, { body, shared }: OcspAnswer): void => {
  const now = clock.now()
  const cache = shared ? cacheFieldsAt(shared, now) : ['Cache-Control', 'no-store']
  if (shared && req.method !== 'POST' && isUnchanged(req.headers, shared.etag, shared.thisUpdate)) {
    res.writeHead(304, cache).end()
    return
  }
  // RFC 6960 knows no other status: also an error is an OCSPResponse, and clients read it only with 200.
  res.writeHead(200, ['Content-Type', 'application/ocsp-response', 'Content-Length', String(body.length), ...cache])
  res.end(req.method === 'HEAD' ? undefined : body)
}

/** Receives a body; null as soon as it is larger than `limit`. Never calls back for a client that went away. */
const receive = (req: IncomingMessage, limit: number, done: (body: Uint8Array | null) => void): void => {
  let chunks: Buffer[] | null = []
  let size = 0
  req.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size <= limit) chunks?.push(chunk)
    else if (chunks) {
      chunks = null
      done(null)
    }
  })
  req.on('end', () => {
    if (chunks) done(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks))
  })
}

export type OcspHttp = { clock: Clock; ocsp: Pick<OcspService, 'answer'> }

const answer = ({ clock, ocsp }: OcspHttp, req: IncomingMessage, res: ServerResponse, request: Uint8Array): void => {
  const given = ocsp.answer(request)
  if (given instanceof Promise) void given.then((later) => send(req, res, clock, later))
  else send(req, res, clock, given)
}

const isOcspRequest = (req: IncomingMessage): boolean => /^application\/ocsp-request *(;|$)/i.test(req.headers['content-type'] ?? '')

const post = (http: OcspHttp, req: IncomingMessage, res: ServerResponse): void => {
  if (!isOcspRequest(req)) refuse(req, res, 415)
  else if (Number(req.headers['content-length'] ?? 0) > maxOcspRequest) refuse(req, res, 413)
  else {
    receive(req, maxOcspRequest, (body) => {
      if (body) answer(http, req, res, body)
      else refuse(req, res, 413)
    })
  }
}

/** An error before the body was read: the connection ends with it, instead of reading on. */
const refuse = (req: IncomingMessage, res: ServerResponse, status: 413 | 415): void => {
  sendError(req, res, status, ['Connection', 'close'])
  req.resume()
}

/** `/ocsp` and everything below it. `path` is what stands behind `/ocsp`, still percent-encoded. */
export const handleOcsp = (http: OcspHttp, req: IncomingMessage, res: ServerResponse, path: string): void => {
  const isBare = path.length <= 1
  if (req.method === 'POST' && isBare) post(http, req, res)
  else if (req.method === 'GET' || req.method === 'HEAD') answer(http, req, res, decodeOcspPath(path) ?? nothing)
  else sendError(req, res, 405, ['Allow', isBare ? 'GET, HEAD, POST' : 'GET, HEAD'])
}
