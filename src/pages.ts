/** The built page, held in memory: a few hundred kilobytes that never change while the program runs, each file also as the builder compressed it. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import path from 'node:path'
import { pageAt } from './app-paths.js'

const types: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.woff2': 'font/woff2',
}

/** Content codings in the order in which they are preferred, and what the builder calls such a file. */
const codings = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const

type Coding = (typeof codings)[number][0]
type Form = { body: Buffer; etag: string }
type File = { type: string; cache: string; plain: Form; compressed: Map<Coding, Form> }

const formOf = (file: string): Form => {
  const body = readFileSync(file)
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` }
}

const readFiles = (folder: string, below = ''): [string, File][] =>
  readdirSync(path.join(folder, below), { withFileTypes: true }).flatMap((entry): [string, File][] => {
    const name = `${below}/${entry.name}`
    if (entry.isDirectory()) return readFiles(folder, name)
    if (codings.some(([, extension]) => name.endsWith(extension))) return []
    const file = path.join(folder, name)
    const compressed = codings
      .filter(([, extension]) => existsSync(file + extension))
      .map(([coding, extension]) => [coding, formOf(file + extension)] as const)
    // The builder puts a hash of the content into the names in /assets.
    const cache = name.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache'
    return [[name, { type: types[path.extname(name)] ?? 'application/octet-stream', cache, plain: formOf(file), compressed: new Map(compressed) }]]
  })

/** Whether `Accept-Encoding` (RFC 9110 §12.5.3) takes a coding. */
const takes = (accepted: string, coding: Coding): boolean =>
  accepted.split(',').some((part) => {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
    return name === coding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))
  })

const send = (req: IncomingMessage, res: ServerResponse, file: File, status: number): void => {
  const accepted = String(req.headers['accept-encoding'] ?? '')
  const coding = codings.map(([name]) => name).find((name) => file.compressed.has(name) && takes(accepted, name))
  const { body, etag } = (coding && file.compressed.get(coding)) ?? file.plain
  const headers = { ETag: etag, 'Cache-Control': file.cache, ...(file.compressed.size > 0 && { Vary: 'Accept-Encoding' }) }
  const known = String(req.headers['if-none-match'] ?? '').split(',')
  if (status === 200 && known.some((one) => one.trim().replace(/^W\//, '') === etag)) return void res.writeHead(304, headers).end()
  res.writeHead(status, { ...headers, 'Content-Type': file.type, 'Content-Length': body.length, ...(coding && { 'Content-Encoding': coding }) })
  res.end(req.method === 'HEAD' ? undefined : body)
}

/**
 * Serves the files of `folder` by path; `/x` is also found as `/x.html`, and the paths of the app (app-paths.ts) as `/index.html`. Where there is none, browsers get
 * `/404.html` with status 404; false for everybody else.
 */
export const createPages = (folder: string): ((req: IncomingMessage, res: ServerResponse, path: string) => boolean) => {
  const files = new Map(existsSync(folder) ? readFiles(folder) : [])
  const [app, missing] = ['/index.html', '/404.html'].map((name) => files.get(name))
  // They have no addresses of their own.
  for (const name of ['/index.html', '/404.html']) files.delete(name)
  return (req, res, pathname) => {
    const file = pageAt(pathname) ? app : (files.get(pathname) ?? files.get(`${pathname}.html`))
    const reads = req.method === 'GET' || req.method === 'HEAD'
    if (file && !reads) res.writeHead(405, { Allow: 'GET, HEAD' }).end()
    else if (file) send(req, res, file, 200)
    else if (missing && reads && req.headers.accept?.includes('text/html')) send(req, res, missing, 404)
    else return false
    return true
  }
}
