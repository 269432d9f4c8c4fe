/** The web side: which path goes where, what every answer carries, who may ask. */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { AcmeHandler } from './acme/router.js'
import type { Config } from './config.js'
import { type ConfirmHandler, loggedPath } from './confirm/handler.js'
import type { Log } from './log.js'
import type { Meter } from './metrics.js'
import { clientAddress, isWithin } from './networks.js'

type PathHandler = (req: IncomingMessage, res: ServerResponse, path: string, address: string | undefined) => boolean

/** Whether the CA can do its work; `checks` says of each part `ok` or what is wrong. */
export type Readiness = { ready: boolean; checks: Record<string, string>; warnings?: string[] }

export type WebDeps = {
  config: Pick<Config, 'url' | 'trustedProxies' | 'metricsFrom' | 'oneListener'>
  log: Log
  meter: Meter
  acme: AcmeHandler
  api: PathHandler
  pages: PathHandler
  confirm: ConfirmHandler
  status: (req: IncomingMessage, res: ServerResponse) => boolean
  readiness(): Promise<Readiness>
}

/** Of pages: nothing inline, nothing from elsewhere, in nobody's frame. */
const securityHeaders: [string, string][] = [
  [
    'Content-Security-Policy',
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  ],
  ['X-Content-Type-Options', 'nosniff'],
  ['Referrer-Policy', 'no-referrer'],
  ['Cross-Origin-Opener-Policy', 'same-origin'],
  ['Permissions-Policy', 'camera=(), geolocation=(), microphone=()'],
]

/** Names for metrics: few, whatever clients ask for. */
const routeOf = (path: string): string => {
  const first = path.split('/', 3)
  if (first[1] === 'acme') return `acme/${/^[a-z-]{1,20}$/.test(first[2] ?? '') ? first[2] : 'other'}`
  if (first[1] === 'confirm' || first[1] === 'unsubscribe') return first[1]
  return first[1] === 'api' ? 'api' : ['/healthz', '/readyz', '/metrics'].includes(path) ? path.slice(1) : 'page'
}

const knownAcme = /^acme\/(directory|new-nonce|new-account|new-order|account|order|authz|chall|cert|revoke-cert|key-change|renewal-info)$/

const pathOf = ({ url = '/' }: IncomingMessage): string => {
  const target = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?]*/i, '')
  const query = target.indexOf('?')
  return (query < 0 ? target : target.slice(0, query)) || '/'
}

const isStatusPath = (path: string): boolean => /^\/(ocsp(\/|$)|crl\/|ca\/)/.test(path)

const sendText = (req: IncomingMessage, res: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
  res.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text), 'Cache-Control': 'no-store' })
  res.end(req.method === 'HEAD' ? undefined : text)
}

/** The paths that watch the program itself. */
const createOperations = (deps: Pick<WebDeps, 'config' | 'meter' | 'readiness'>) => {
  const { config, meter, readiness } = deps
  const answer = async (req: IncomingMessage, res: ServerResponse, path: string, address: string | undefined): Promise<void> => {
    if (path === '/healthz') return sendText(req, res, 200, 'ok\n')
    if (path === '/readyz') {
      const state = await readiness()
      return sendText(req, res, state.ready ? 200 : 503, JSON.stringify(state), 'application/json')
    }
    if (!isWithin(config.metricsFrom, address)) return sendText(req, res, 403, 'Metrics are for the addresses in ICA_METRICS_FROM only.\n')
    sendText(req, res, 200, await meter.render(), meter.contentType)
  }
  return (req: IncomingMessage, res: ServerResponse, path: string, address: string | undefined): Promise<void> | null =>
    path === '/healthz' || path === '/readyz' || path === '/metrics' ? answer(req, res, path, address) : null
}

/** The status side, with its CRLs and certificates counted. */
const counted =
  ({ status, meter }: Pick<WebDeps, 'status' | 'meter'>): WebDeps['status'] =>
  (req, res) => {
    if (!status(req, res)) return false
    const [, route] = /^\/(crl|ca)\//.exec(pathOf(req)) ?? []
    if (route === 'crl' || route === 'ca') res.once('close', () => meter.statusRequest(route, res.statusCode))
    return true
  }

/** The listener of the web side; with one listener for both sides the status side is asked first, being the hotter. */
export const createWebListener = (deps: WebDeps): RequestListener => {
  const { config, log, meter, acme, api, pages, confirm } = deps
  const status = counted(deps)
  const operations = createOperations(deps)
  const run = randomBytes(4).toString('hex')
  let count = 0

  const route = async (
    req: IncomingMessage,
    res: ServerResponse,
    path: string,
    from: { address: string | undefined; requestId: string },
  ): Promise<void> => {
    const operation = operations(req, res, path, from.address)
    if (operation) return operation
    if (config.trustedProxies.length > 0 && !isWithin(config.trustedProxies, req.socket.remoteAddress)) {
      return sendText(req, res, 403, `This side is served through a proxy: use ${config.url}\n`)
    }
    if (path.startsWith('/acme/')) return acme(req, res, from)
    const confirmation = confirm(req, res, path, from)
    if (confirmation) return confirmation
    if (api(req, res, path, from.address) || pages(req, res, path, from.address)) return
    sendText(req, res, 404, `There is nothing here. ${config.url}/ says what this is.\n`)
  }

  const listener: RequestListener = (req, res) => {
    const began = performance.now()
    const path = pathOf(req)
    const address = clientAddress(config.trustedProxies, req.socket.remoteAddress, req.headers['x-forwarded-for'])
    const requestId = `${run}-${(++count).toString(36)}`
    // ACME answers are data for programs, and many: they have their own headers.
    if (!path.startsWith('/acme/')) {
      res.setHeader('X-Request-Id', requestId)
      for (const [name, value] of securityHeaders) res.setHeader(name, value)
    }
    res.once('close', () => {
      const ms = performance.now() - began
      const name = routeOf(path)
      meter.request(name.startsWith('acme/') && !knownAcme.test(name) ? 'acme/other' : name, res.statusCode, ms / 1000)
      const fields = {
        requestId,
        method: req.method,
        path: loggedPath(path),
        status: res.statusCode,
        ms: Math.round(ms * 10) / 10,
        address,
      }
      if (name === 'healthz' || name === 'readyz' || name === 'metrics') log.debug(fields, 'request')
      else log.info(res.writableFinished ? fields : { ...fields, aborted: true }, 'request')
    })
    route(req, res, path, { address, requestId }).catch((error: unknown) => {
      log.error({ err: error, requestId, path: loggedPath(path) }, 'a request failed')
      if (res.headersSent) res.destroy()
      else sendText(req, res, 500, 'The request could not be served. Try again.\n')
    })
  }
  return config.oneListener ? (req, res) => (isStatusPath(req.url ?? '') && status(req, res) ? undefined : listener(req, res)) : listener
}

type StatusListenerDeps = Pick<WebDeps, 'config' | 'log' | 'meter' | 'status' | 'readiness'>

/** The listener of the status side where it is a separate one. */
export const createStatusListener = (deps: StatusListenerDeps): RequestListener => {
  const { config, log } = deps
  const status = counted(deps)
  const operations = createOperations(deps)
  return (req, res) => {
    if (status(req, res)) return
    const path = pathOf(req)
    const operation = operations(req, res, path, req.socket.remoteAddress)
    if (operation) void operation.catch((error: unknown) => log.error({ err: error, path }, 'a request failed'))
    // Somebody typed the host's name into a browser.
    else if (path === '/') res.writeHead(308, { Location: `${config.url}/`, 'Content-Length': 0 }).end()
    else sendText(req, res, 404, `OCSP, CRLs and CA certificates are served here. Everything else is at ${config.url}/\n`)
  }
}
