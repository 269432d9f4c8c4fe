/** The read-only public JSON. So far one resource: what this CA is. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Facts } from './facts.js'

/** Seconds: facts change with a restart only, but then somebody looks at them. */
const maxAge = 60

/**
 * Answers what lies below `/api/`; false for any other path. Any origin may read: there is nothing here that is not public.
 * `GET /api/ca` is {@link Facts}.
 */
export const createApiHandler = (facts: Facts): ((req: IncomingMessage, res: ServerResponse, path: string) => boolean) => {
  const body = Buffer.from(JSON.stringify(facts))
  return (req, res, path) => {
    if (!path.startsWith('/api/')) return false
    res.setHeader('Access-Control-Allow-Origin', '*')
    if (path !== '/api/ca') {
      res.writeHead(404, { 'Content-Type': 'application/json' }).end('{"detail":"There is nothing here. GET /api/ca has the facts about this CA."}')
    } else if (req.method !== 'GET' && req.method !== 'HEAD') {
      res.writeHead(405, { Allow: 'GET, HEAD' }).end()
    } else {
      res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length, 'Cache-Control': `public, max-age=${maxAge}` })
      res.end(req.method === 'HEAD' ? undefined : body)
    }
    return true
  }
}
