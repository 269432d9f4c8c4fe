/**
 * A GET of a page that somebody else names, for http-01 (RFC 8555 §8.3). Everything that the other side could draw out is bounded: time, header and body octets,
 * redirects. Every hop is resolved and its address judged anew (dial.ts).
 */
import { type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { IcaError } from '../errors.js'
import { parseIdentifier } from '../identifier.js'
import { withDeadline } from './deadline.js'
import { type Contact, type Dial, describeError } from './dial.js'
import { type Failure, failure, printable } from './validator.js'

/** What was seen of one request. */
export type Hop = Omit<Contact, 'host'> & { url: string; status?: number; location?: string }

/** The answer at the end of the redirects. `body` holds at most the octets asked for; `more` says that there were more. */
export type Page = { status: number; url: string; body: Buffer; more: boolean }

export type Fetched = { hops: Hop[] } & ({ ok: true; page: Page } | Failure)

export type Fetch = (url: string, maxBody: number, signal: AbortSignal) => Promise<Fetched>

export type FetcherOptions = {
  dial: Dial
  /** Names of a private DNS may be redirected to. */
  lab: boolean
  /** Where http:// and https:// URLs without a port lead; no other ports are reached. 80 and 443 but in a lab. */
  httpPort: number
  httpsPort: number
  /** For everything together, redirects and look-ups included. */
  totalMs: number
}

const MAX_REDIRECTS = 10
const MAX_HEADER = 16 * 1024
const MAX_URL = 2_000
const SHOWN_URL = 200
const USER_AGENT = 'xmpp-ica (ACME http-01 validation)'
const REDIRECTS = new Set([301, 302, 303, 307, 308])

type Response = { status: number; location: string | undefined; body: Buffer; more: boolean }

/** At most `max` octets of a body, and whether there were more. A gzip bomb stays closed: nothing is decoded. */
const readBody = (response: IncomingMessage, max: number): Promise<{ body: Buffer; more: boolean }> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      length += chunk.length
      if (length > max) resolve({ body: Buffer.concat(chunks).subarray(0, max), more: true })
    })
    response.on('end', () => resolve({ body: Buffer.concat(chunks), more: false }))
    response.on('error', reject)
    response.on('close', () => reject({ code: 'ECONNRESET' }))
  })

/** One GET over a socket that is connected already. Rejects on whatever goes wrong. */
const get = (socket: Socket, url: URL, maxBody: number, signal: AbortSignal): Promise<Response> =>
  new Promise((resolve, reject) => {
    const outgoing = request({
      createConnection: () => socket,
      method: 'GET',
      path: url.pathname + url.search,
      headers: { Host: url.host, 'User-Agent': USER_AGENT, Accept: '*/*', 'Accept-Encoding': 'identity', Connection: 'close' },
      maxHeaderSize: MAX_HEADER,
      signal,
    })
    outgoing.on('error', reject)
    // A 101 (Switching Protocols) was not asked for, and ends in no response. Once there is one, its own end counts: it may be read after the socket closed.
    const onClose = () => reject({ code: 'ECONNRESET' })
    outgoing.on('close', onClose)
    outgoing.on('response', (response) => {
      outgoing.off('close', onClose)
      const { statusCode: status = 0, headers } = response
      if (REDIRECTS.has(status)) {
        response.on('error', () => {})
        resolve({ status, location: headers.location, body: Buffer.alloc(0), more: false })
        return
      }
      readBody(response, maxBody).then((read) => resolve({ status, location: undefined, ...read }), reject)
    })
    outgoing.end()
  })

/** Where a redirect leads, or in words why this CA does not follow it. `visited` are the URLs so far. */
const redirectTarget = (from: URL, location: string | undefined, visited: ReadonlySet<string>, options: FetcherOptions): URL | string => {
  const { lab, httpPort, httpsPort } = options
  if (visited.size > MAX_REDIRECTS) return `no more than ${MAX_REDIRECTS} are followed`
  if (!location) return 'it has no Location'
  if (location.length > MAX_URL) return `its URL is longer than ${MAX_URL} characters`
  if (!URL.canParse(location, from.href)) return 'its Location is not a URL'
  const url = new URL(location, from.href)
  const port = { 'http:': httpPort, 'https:': httpsPort }[url.protocol]
  if (port === undefined) return 'only http and https are possible'
  if (url.username || url.password) return 'it has credentials in the URL'
  if (url.port && Number(url.port) !== port) return `only port ${port} is possible for ${url.protocol}//`
  try {
    parseIdentifier('dns', url.hostname, { lab })
  } catch (error) {
    if (error instanceof IcaError) return error.message.replace(/\.$/, '')
    throw error
  }
  url.hash = ''
  // The port that is dialled for this scheme is implied; two spellings of one URL are one in the detection of loops.
  url.port = ''
  return visited.has(url.href) ? 'it is a loop' : url
}

const shown = (url: URL | string): string => printable(String(url), SHOWN_URL)

/** Makes {@link Fetch}: follows redirects from `url` to a page, whatever its status. Never throws for what the network does. */
export const createFetch = (options: FetcherOptions): Fetch => {
  const { dial, httpPort, httpsPort, totalMs } = options

  /** One hop: dials, asks, and notes what was seen in `hops`. */
  const visit = async (url: URL, maxBody: number, hops: Hop[], signal: AbortSignal): Promise<Response | Failure> => {
    const dialled = url.protocol === 'https:' ? await dial.tls(url.hostname, httpsPort, {}, signal) : await dial.tcp(url.hostname, httpPort, signal)
    const { host: _, ...seen } = dialled.contact
    const hop: Hop = { url: shown(url), ...seen }
    hops.push(hop)
    if (!dialled.ok) return dialled
    try {
      const response = await get(dialled.socket, url, maxBody, signal)
      hop.status = response.status
      if (response.location !== undefined) hop.location = shown(response.location)
      return response
    } catch (error) {
      const what = signal.aborted ? 'timeout' : describeError(error)
      return failure('connection', `The request for ${shown(url)} (${seen.tried.at(-1)?.address}) failed: ${what}.`)
    } finally {
      dialled.socket.destroy()
    }
  }

  const follow = async (start: URL, maxBody: number, hops: Hop[], signal: AbortSignal): Promise<Fetched> => {
    const visited = new Set<string>()
    for (let url = start; ; ) {
      visited.add(url.href)
      const response = await visit(url, maxBody, hops, signal)
      if ('ok' in response) return { ...response, hops }
      const { status, location, body, more } = response
      if (!REDIRECTS.has(status)) return { ok: true, page: { status, url: shown(url), body, more }, hops }
      const target = redirectTarget(url, location, visited, options)
      if (typeof target === 'string') {
        return { ...failure('connection', `The redirect from ${shown(url)} to "${shown(location ?? '')}" is not followed: ${target}.`), hops }
      }
      url = target
    }
  }

  return (url, maxBody, signal) => withDeadline(totalMs, signal, (deadline) => follow(new URL(url), maxBody, [], deadline))
}
