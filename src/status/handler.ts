/** The door for OCSP, CRLs and CA certificates: plain HTTP on bare node:http, because what is served is signed and asked for by the million. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import type { Log } from '../log.js'
import { caResources, type ServedCertificate } from './ca-certificates.js'
import type { CrlShelf } from './crl-shelf.js'
import { type Resource, sendError, sendResource } from './http.js'
import type { OcspService } from './ocsp.js'
import { handleOcsp } from './ocsp-http.js'

export type StatusDeps = {
  clock: Clock
  log: Log
  ocsp: Pick<OcspService, 'answer'>
  crls: Pick<CrlShelf, 'get'>
  /** All that are served below `/ca/`. */
  certificates: readonly ServedCertificate[]
}

/** Serves a request for `/ocsp`, `/crl/…` or `/ca/…`; false, with nothing done, for every other path. Never throws. */
export type StatusHandler = (req: IncomingMessage, res: ServerResponse) => boolean

/** `/crl/<issuer>.crl`, `/crl/<issuer>/<shard>.crl` */
const crlPath = /^\/crl\/([0-9a-f]{16})(?:\/(0|[1-9][0-9]{0,5}))?\.crl$/

export const createStatusHandler = (deps: StatusDeps): StatusHandler => {
  const { clock, log, crls } = deps
  const certificates = caResources(deps.certificates)

  const find = (path: string): Resource | null | Promise<Resource | null> => {
    const crl = crlPath.exec(path)
    if (crl) return crls.get(crl[1] as string, crl[2] === undefined ? null : Number(crl[2]))
    return certificates.get(path) ?? null
  }

  const serve = async (req: IncomingMessage, res: ServerResponse, path: string): Promise<void> => {
    try {
      const resource = await find(path)
      if (!resource) sendError(req, res, 404)
      else if (req.method !== 'GET' && req.method !== 'HEAD') sendError(req, res, 405, ['Allow', 'GET, HEAD'])
      else sendResource(req, res, resource, clock.now())
    } catch (err) {
      log.error({ err, path }, 'could not serve a resource')
      if (err instanceof IcaError && err.code === 'unavailable') sendError(req, res, 503, ['Retry-After', '5'])
      else sendError(req, res, 500)
    }
  }

  return (req, res) => {
    const path = pathOf(req)
    if (path.startsWith('/ocsp') && (path.length === 5 || path[5] === '/')) handleOcsp(deps, req, res, path.slice(5))
    else if (path.startsWith('/crl/') || path.startsWith('/ca/')) void serve(req, res, path)
    else return false
    return true
  }
}

/** The path as it came, also of an absolute target (RFC 9112 §3.2.2), without a query. */
const pathOf = ({ url = '' }: IncomingMessage): string => {
  const target = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?]*/i, '')
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}
