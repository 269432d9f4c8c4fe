/** What HTTP (RFC 9110) asks of everything that is served here: conditional requests, content coding, methods, plain errors. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createGunzip, gunzip } from 'node:zlib'
import { concat } from '../pki/der.js'
import { rememberFew } from '../pki/remember-few.js'

/** A representation that may be kept by caches. Times in milliseconds since the epoch. */
export type Resource = {
  /** In pieces. Null for what is long and unpacked from `gzip` when it is asked for. */
  body: readonly Uint8Array[] | null
  /** Those of the body, in whatever form it is kept. */
  octets: number
  contentType: string
  /** Strong, with its quotes. */
  etag: string
  lastModified: number
  /** When the next version is due; null where nothing is known of one. */
  expires: number | null
  /** Seconds for which a cache may give it without asking, at most until `expires`. */
  maxAge: number
  /** The body with the content coding gzip, in pieces; undefined where it is never coded. */
  gzip?: readonly Uint8Array[]
}

const unpack = promisify(gunzip)

/** IMF-fixdate (RFC 9110 §5.6.7). */
export const httpDate = rememberFew((ms) => new Date(ms).toUTCString())

/** What caches are told at `now`: header fields, name and value in turn. */
export const cacheFields = (
  { etag, lastModified, expires, maxAge }: Pick<Resource, 'etag' | 'lastModified' | 'expires' | 'maxAge'>,
  now: number,
): string[] => [
  'Cache-Control',
  // The form of RFC 5019 §6.2, which is about OCSP but suits the others.
  `max-age=${expires === null ? maxAge : Math.max(0, Math.min(maxAge, Math.floor((expires - now) / 1000)))}, public, no-transform, must-revalidate`,
  'ETag',
  etag,
  'Last-Modified',
  httpDate(lastModified),
  ...(expires === null ? [] : ['Expires', httpDate(expires)]),
]

/** Whether the client has this version already (RFC 9110 §13.2.2: If-None-Match decides where it is present). */
export const isUnchanged = (
  fields: { 'if-none-match'?: string | undefined; 'if-modified-since'?: string | undefined },
  etag: string,
  lastModified: number,
): boolean => {
  const none = fields['if-none-match']
  if (none !== undefined) {
    const opaque = (tag: string): string => tag.trim().replace(/^W\//, '')
    return none.trim() === '*' || none.split(',').some((tag) => opaque(tag) === etag)
  }
  const since = Date.parse(fields['if-modified-since'] ?? '')
  return Math.floor(lastModified / 1000) * 1000 <= since
}

/** Whether the client takes gzip, better than nothing (RFC 9110 §12.5.3). */
export const acceptsGzip = (req: IncomingMessage): boolean => {
  const weights = new Map<string, number>()
  for (const part of String(req.headers['accept-encoding'] ?? '')
    .toLowerCase()
    .split(',')) {
    const [coding = '', ...parameters] = part.split(';').map((piece) => piece.trim())
    const q = parameters.find((parameter) => parameter.startsWith('q='))
    weights.set(coding === 'x-gzip' ? 'gzip' : coding, q === undefined ? 1 : Number(q.slice(2)) || 0)
  }
  const gzip = weights.get('gzip') ?? weights.get('*') ?? 0
  return gzip > 0 && gzip >= (weights.get('identity') ?? 0)
}

/** Answers GET or HEAD of a resource at `now`. */
export const sendResource = (req: IncomingMessage, res: ServerResponse, resource: Resource, now: number): void => {
  const gzip = resource.gzip && acceptsGzip(req) ? resource.gzip : null
  // A strong tag names octets, so the two codings have two of them (RFC 9110 §8.8.3.3).
  const etag = gzip ? resource.etag.replace(/"$/, '-gzip"') : resource.etag
  const fields = [...cacheFields({ ...resource, etag }, now), ...(resource.gzip === undefined ? [] : ['Vary', 'Accept-Encoding'])]
  if (isUnchanged(req.headers, etag, resource.lastModified)) {
    res.writeHead(304, fields).end()
    return
  }
  const octets = gzip ? gzip.reduce((sum, { length }) => sum + length, 0) : resource.octets
  const coding = gzip ? ['Content-Encoding', 'gzip'] : []
  res.writeHead(200, [
    'Content-Type',
    resource.contentType,
    'Content-Length',
    String(octets),
    'X-Content-Type-Options',
    'nosniff',
    ...coding,
    ...fields,
  ])
  const body = gzip ?? resource.body
  if (req.method === 'HEAD') res.end()
  else if (body) sendPieces(res, body)
  else sendUnpacked(res, resource.gzip ?? [])
}

/** The body in one piece. */
export const wholeBody = async ({ body, gzip = [] }: Pick<Resource, 'body' | 'gzip'>): Promise<Uint8Array> =>
  body ? concat(...body) : new Uint8Array(await unpack(Buffer.concat(gzip)))

/** Nothing is copied: for who reads slowly, the pieces wait where they are. */
const sendPieces = (res: ServerResponse, pieces: readonly Uint8Array[]): void => {
  for (const piece of pieces.slice(0, -1)) res.write(piece)
  res.end(pieces.at(-1))
}

/** Unpacked by another thread, and no faster than it is taken. */
const sendUnpacked = (res: ServerResponse, gzip: readonly Uint8Array[]): void => {
  // A client that goes away is no event, and whatever else fails cuts the answer short.
  pipeline(Readable.from(gzip), createGunzip({ chunkSize: 64 * 1024 }), res, () => undefined)
}

const reasons = {
  404: 'There is nothing here.',
  405: 'This method is not allowed here.',
  413: 'The request is too large.',
  415: 'An OCSP request has the media type application/ocsp-request.',
  500: 'The request could not be served. Try again.',
  503: 'The CA’s database is away. Try again in a moment.',
} as const

/** A plain-text error. `fields` are further header fields, name and value in turn. */
export const sendError = (req: IncomingMessage, res: ServerResponse, status: keyof typeof reasons, fields: string[] = []): void => {
  const body = Buffer.from(`${reasons[status]}\n`)
  const common = ['Content-Type', 'text/plain; charset=utf-8', 'Content-Length', String(body.length), 'Cache-Control', 'no-store']
  res.writeHead(status, [...common, ...fields])
  res.end(req.method === 'HEAD' ? undefined : body)
}
