/** The built page, held in memory: a few dozen kilobytes that never change while the program runs. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import path from 'node:path'

const types: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.woff2': 'font/woff2',
}

type File = { body: Buffer; type: string; etag: string; cache: string }

const readFiles = (folder: string, below = ''): [string, File][] =>
  readdirSync(path.join(folder, below), { withFileTypes: true }).flatMap((entry): [string, File][] => {
    const name = `${below}/${entry.name}`
    if (entry.isDirectory()) return readFiles(folder, name)
    const body = readFileSync(path.join(folder, name))
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    // The builder puts a hash of the content into the names in /assets.
    const cache = name.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache'
    return [[name, { body, type: types[path.extname(name)] ?? 'application/octet-stream', etag, cache }]]
  })

/** Serves the files of `folder` by path; `/x` is also found as `/x.html`, `/` as `/index.html`. False where there is none. */
export const createPages = (folder: string): ((req: IncomingMessage, res: ServerResponse, path: string) => boolean) => {
  const files = new Map(existsSync(folder) ? readFiles(folder) : [])
  return (req, res, pathname) => {
    const file = files.get(pathname === '/' ? '/index.html' : pathname) ?? files.get(`${pathname}.html`)
    if (!file) return false
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      res.writeHead(405, { Allow: 'GET, HEAD' }).end()
    } else if (req.headers['if-none-match'] === file.etag) {
      res.writeHead(304, { ETag: file.etag, 'Cache-Control': file.cache }).end()
    } else {
      res.writeHead(200, { 'Content-Type': file.type, 'Content-Length': file.body.length, ETag: file.etag, 'Cache-Control': file.cache })
      res.end(req.method === 'HEAD' ? undefined : file.body)
    }
    return true
  }
}
