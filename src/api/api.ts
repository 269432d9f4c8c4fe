/** The read-only public JSON on bare node:http: from a request to a route of the table, and from its answer to octets. */
import { createHash } from 'node:crypto'
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { z } from 'zod'
import type { Clock } from '../clock.js'
import { httpStatus, IcaError } from '../errors.js'
import type { Log } from '../log.js'
import { openApiOf } from './openapi.js'
import { type Route, route } from './route.js'
import { createThrottle, defaultRates, type ThrottleRates } from './throttle.js'

export type ApiDeps = {
  clock: Clock
  log: Log
  routes: readonly Route[]
  title: string
  version: string
  /** The origin. */
  url: string
  rates?: ThrottleRates
}

/** Answers what lies below `/api/`; false for any other path. Any origin may read: there is nothing here that is not public. */
export type ApiHandler = (req: IncomingMessage, res: ServerResponse, path: string, address: string | undefined) => boolean

/** Characters of path and query: five parameters of the longest kind, each octet escaped, stay below. */
const longestTarget = 8_000
/** Heavy questions that are worked at; each has a few dozen sockets for some seconds. */
const mostHeavy = 16

type Matched = { route: Route; parameters: Record<string, string> }
type Reply = { status: number; body: Buffer; fields: Record<string, string> }

const malformed = (detail: string): IcaError => new IcaError('malformed', detail)

/** A finder of the route for a path; null where there is none. */
const createMatcher = (routes: readonly Route[]): ((path: string) => Matched | null) => {
  const compiled = routes.map((one) => {
    const names = [...one.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
    return { route: one, names, pattern: new RegExp(`^${one.path.replace(/\{\w+\}/g, '([^/]+)')}$`) }
  })
  return (path) => {
    for (const { route: found, names, pattern } of compiled) {
      const match = pattern.exec(path)
      if (match) return { route: found, parameters: Object.fromEntries(names.map((name, i) => [name, match[i + 1] ?? ''])) }
    }
    return null
  }
}

/** The parameters of a request, checked. Throws malformed with a sentence. */
const readParameters = ({ route: { parameters: schema }, parameters }: Matched, target: string): Record<string, unknown> => {
  if (target.length > longestTarget) throw malformed('The address that you asked for is too long.')
  const at = target.indexOf('?')
  const given: Record<string, string> = { ...parameters }
  const known = Object.keys(schema.shape)
  for (const [name, value] of new URLSearchParams(at < 0 ? '' : target.slice(at + 1))) {
    if (!known.includes(name) || name in parameters) {
      const has = known.filter((one) => !(one in parameters)).map((one) => `"${one}"`)
      throw malformed(
        `There is no parameter ${JSON.stringify(name.slice(0, 40))} here; ${has.length > 0 ? `there is ${has.join(', ')}` : 'there are none'}.`,
      )
    }
    if (name in given) throw malformed(`The parameter "${name}" is given twice.`)
    given[name] = value
  }
  const read = schema.safeParse(given)
  if (read.success) return read.data as Record<string, unknown>
  const [issue] = read.error.issues
  const name = String(issue?.path[0] ?? '')
  throw malformed(name in given ? `The parameter "${name}" ${issue?.message ?? 'is wrong.'}` : `The parameter "${name}" is missing.`)
}

const problemReply = (error: IcaError): Reply => {
  const status = httpStatus(error.code)
  const document = { type: 'about:blank', title: STATUS_CODES[status] ?? '', status, detail: error.message }
  const retryAfter = error.retryAfter ?? (status === 503 ? 5 : undefined)
  const fields = {
    'Content-Type': 'application/problem+json',
    'Cache-Control': 'no-store',
    ...(retryAfter !== undefined && { 'Retry-After': String(retryAfter) }),
  }
  return { status, body: Buffer.from(JSON.stringify(document)), fields }
}

const answerReply = (answer: unknown, maxAge: number | null): Reply => {
  const body = Buffer.from(JSON.stringify(answer))
  const cache = maxAge === null ? 'no-store' : maxAge === 0 ? 'no-cache' : `public, max-age=${maxAge}`
  const etag: Record<string, string> = maxAge === null ? {} : { ETag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` }
  return { status: 200, body, fields: { 'Content-Type': 'application/json', 'Cache-Control': cache, ...etag } }
}

const isUnchanged = (req: IncomingMessage, { ETag: etag }: Record<string, string>): boolean =>
  etag !== undefined && (req.headers['if-none-match'] ?? '').split(',').some((tag) => [etag, '*'].includes(tag.trim().replace(/^W\//, '')))

const send = (req: IncomingMessage, res: ServerResponse, { status, body, fields }: Reply): void => {
  if (status === 200 && isUnchanged(req, fields)) {
    const { 'Content-Type': _, ...kept } = fields
    res.writeHead(304, kept).end()
    return
  }
  res.writeHead(status, { ...fields, 'Content-Length': body.length })
  res.end(req.method === 'HEAD' ? undefined : body)
}

/** All routes, and the document that is made of them. */
const withDocument = ({ routes, title, version, url }: ApiDeps): Route[] => {
  const all = [
    ...routes,
    route({
      path: '/api/openapi.json',
      summary: 'This document',
      description: 'The OpenAPI 3.1 description of everything here.',
      parameters: z.object({}),
      answer: z.looseObject({ openapi: z.string() }),
      weight: 'free',
      maxAge: 60,
      handle: () => document,
    }),
  ]
  const document = openApiOf(all, { title, version, server: url }) as { openapi: string }
  return all
}

export const createApiHandler = (deps: ApiDeps): ApiHandler => {
  const { clock, log, rates = defaultRates } = deps
  const match = createMatcher(withDocument(deps))
  const throttle = createThrottle(rates)
  let heavy = 0

  const work = async (matched: Matched, target: string, address: string | undefined): Promise<Reply> => {
    const { weight, maxAge, handle } = matched.route
    throttle.count(weight, address, clock.now())
    const parameters = readParameters(matched, target)
    if (weight !== 'heavy') return answerReply(await handle(parameters), maxAge)
    if (heavy >= mostHeavy) throw new IcaError('unavailable', 'Too many such questions are worked at. Ask again in a few seconds.', { retryAfter: 3 })
    heavy++
    try {
      return answerReply(await handle(parameters), maxAge)
    } finally {
      heavy--
    }
  }

  const reply = async (req: IncomingMessage, path: string, address: string | undefined): Promise<Reply> => {
    const matched = match(path)
    if (!matched) return problemReply(new IcaError('notFound', `There is nothing at this address. ${deps.url}/api/openapi.json says what there is.`))
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      const refused = problemReply(new IcaError('methodNotAllowed', 'This can be read only: use GET.'))
      return { ...refused, fields: { ...refused.fields, Allow: 'GET, HEAD, OPTIONS' } }
    }
    try {
      return await work(matched, req.url ?? '', address)
    } catch (error) {
      if (error instanceof IcaError) return problemReply(error)
      log.error({ err: error, path }, 'a question to the public JSON failed')
      return problemReply(new IcaError('serverInternal', 'The question could not be answered. Try again.'))
    }
  }

  return (req, res, path, address) => {
    if (!path.startsWith('/api/')) return false
    res.setHeader('Access-Control-Allow-Origin', '*')
    res.setHeader('Access-Control-Expose-Headers', 'Retry-After, ETag')
    if (req.method === 'OPTIONS') {
      const preflight = { 'Access-Control-Allow-Methods': 'GET, HEAD', 'Access-Control-Allow-Headers': '*', 'Access-Control-Max-Age': '86400' }
      res.writeHead(204, { Allow: 'GET, HEAD, OPTIONS', ...preflight }).end()
    } else {
      void reply(req, path, address).then((answer) => send(req, res, answer))
    }
    return true
  }
}
