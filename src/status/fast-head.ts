/**
 * The heads of HTTP requests that the fast path answers itself: a small canonical part of RFC 9112, in which there is nothing to interpret. Whatever else a head has
 * — another field, a field twice, a blank too many, an octet beyond ASCII — is for Node's own parser, so that the two never understand one request differently.
 */

/** What header fields say that matters here. */
export type HeadFields = {
  /** Octets of the body; null where there is no Content-Length. */
  bodyLength: number | null
  /** application/ocsp-request without parameters. */
  isOcsp: boolean
  'if-none-match'?: string
  'if-modified-since'?: string
}

/** Heads that are longer are for Node. */
export const maxHead = 4096
const maxFields = 32

/** RFC 9110 §5.6.2 and §5.5 without what nobody needs: one space behind the colon, none at the end, no tab, visible ASCII. */
const fieldLine = /^([A-Za-z0-9-]{1,40}): ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)$/
const hostName = /^[A-Za-z0-9._:[\]-]+$/
const length = /^[1-9][0-9]{0,3}$/

/** Fields that change nothing about these answers, whatever they say. */
const ignored = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'forwarded',
  'from',
  'pragma',
  'user-agent',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'x-request-id',
])

/** Takes one field into `fields`; false for one that is not for the fast path. */
const take = (fields: HeadFields, name: string, value: string): boolean => {
  if (ignored.has(name)) return true
  if (name === 'host') return hostName.test(value)
  if (name === 'connection') return value.toLowerCase() === 'keep-alive'
  if (name === 'content-type') fields.isOcsp = value.toLowerCase() === 'application/ocsp-request'
  else if (name === 'content-length' && length.test(value)) fields.bodyLength = Number(value)
  else if (name === 'if-none-match' || name === 'if-modified-since') fields[name] = value
  else return false
  return true
}

/**
 * Reads the field lines of a head, without the request line and without the empty line.
 * @returns null where they are not for the fast path
 */
export const readFields = (block: string): HeadFields | null => {
  const fields: HeadFields = { bodyLength: null, isOcsp: false }
  const seen = new Set<string>()
  for (const line of block.split('\r\n', maxFields + 1)) {
    const match = fieldLine.exec(line)
    if (!match || seen.size === maxFields) return null
    const name = (match[1] as string).toLowerCase()
    if (seen.has(name) || !take(fields, name, match[2] as string)) return null
    seen.add(name)
  }
  // A request without a host is an error (RFC 9112 §3.2), which is Node's to tell.
  return seen.has('host') ? fields : null
}

/** Different blocks of field lines that are remembered. A program sends the same with each request, and most clients use one of few programs. */
const maxKnown = 512

/** The same characters (up to U+00FF) in memory of their own: a slice would keep everything alive that came with it. */
export const copyOf = (text: string): string => Buffer.from(text, 'latin1').toString('latin1')

/** {@link readFields}, read once for each block of octets. */
export const createFieldReader = (): ((block: string) => HeadFields | null) => {
  let known = new Map<string, HeadFields | null>()
  return (block) => {
    const cached = known.get(block)
    if (cached !== undefined) return cached
    const fields = readFields(block)
    const isConditional = fields?.['if-none-match'] !== undefined || fields?.['if-modified-since'] !== undefined
    if (isConditional) return fields
    if (known.size >= maxKnown) known = new Map()
    known.set(copyOf(block), fields)
    return fields
  }
}

/**
 * The octets that a GET has in its path behind `/ocsp/`, one character each: base64 with padding, in which characters may be escaped. Null for every other path:
 * without padding, or with a further slash in front (see decodeOcspPath). `atob` takes half of the time that Buffer does.
 */
export const readPath = (path: string): string | null => {
  try {
    const text = path.includes('%') ? decodeURIComponent(path) : path
    const octets = atob(text)
    return btoa(octets) === text && !text.startsWith('/') ? octets : null
  } catch {
    return null
  }
}
