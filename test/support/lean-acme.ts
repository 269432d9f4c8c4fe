/**
 * A lean ACME client for load and crash tests: one keep-alive connection, one account, ES256, no retries that hide a fault.
 * It speaks HTTP/1.1 on a bare socket because node:https costs more per request than the servers under test are allowed to.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export type Reply = { status: number; headers: Map<string, string>; body: Buffer }
export type Connection = {
  /** One request at a time. `url` is absolute and of the connection's origin. Rejects where the connection breaks before the whole answer is there. */
  request(method: string, url: string, contentType?: string, body?: string): Promise<Reply>
  close(): void
}

const headEnd = Buffer.from('\r\n\r\n')

/** The whole answer at the start of `data`, or null while bytes are missing. Knows Content-Length and chunked bodies (RFC 9112 §6). */
const readReply = (data: Buffer, method: string): Reply | null => {
  const end = data.indexOf(headEnd)
  if (end < 0) return null
  const lines = data.toString('latin1', 0, end).split('\r\n')
  const status = Number(lines[0]?.slice(9, 12))
  const headers = new Map<string, string>()
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value)
  }
  let at = end + 4
  if (method === 'HEAD' || status === 204 || status === 304) return { status, headers, body: Buffer.alloc(0) }
  if (headers.get('transfer-encoding') === 'chunked') {
    const parts: Buffer[] = []
    for (;;) {
      const eol = data.indexOf('\r\n', at)
      if (eol < 0) return null
      const size = Number.parseInt(data.toString('latin1', at, eol), 16)
      if (data.length < eol + 4 + size) return null
      if (size === 0) return { status, headers, body: Buffer.concat(parts) }
      parts.push(data.subarray(eol + 2, eol + 2 + size))
      at = eol + 4 + size
    }
  }
  const length = Number(headers.get('content-length') ?? 0)
  return data.length < at + length ? null : { status, headers, body: data.subarray(at, at + length) }
}

/** Opens its socket with the first request and again after it was closed. `ca`: PEM of the only root that is trusted, for https. */
export const createConnection = (origin: string, ca?: string): Connection => {
  const { protocol, hostname, port, host } = new URL(origin)
  let socket: Socket | null = null
  let received: Buffer = Buffer.alloc(0)
  let waiting: { method: string; resolve: (reply: Reply) => void; reject: (error: Error) => void } | null = null

  const lost = (which: Socket, error: Error) => {
    if (which !== socket) return
    socket = null
    received = Buffer.alloc(0)
    waiting?.reject(error)
    waiting = null
  }
  const open = (): Socket => {
    const target = { host: hostname, port: Number(port || (protocol === 'https:' ? 443 : 80)) }
    // An IP literal is no SNI (RFC 6066 §3); Node matches it with the certificate's iPAddress all the same.
    const opened = protocol === 'https:' ? connectTls({ ...target, ...(ca !== undefined && { ca }) }) : connectTcp(target)
    opened.setNoDelay(true)
    opened.on('error', (error) => lost(opened, error))
    opened.on('close', () => lost(opened, new Error('connection closed')))
    opened.on('data', (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      if (!waiting) return
      const reply = readReply(received, waiting.method)
      if (!reply) return
      received = Buffer.alloc(0)
      const { resolve } = waiting
      waiting = null
      if (reply.headers.get('connection') === 'close') {
        socket = null
        opened.destroy()
      }
      resolve(reply)
    })
    return opened
  }
  return {
    request(method, url, contentType, body) {
      if (waiting) throw new Error('one request at a time')
      if (!url.startsWith(`${origin}/`)) throw new Error(`${url} is not of ${origin}`)
      socket ??= open()
      const head = `${method} ${url.slice(origin.length)} HTTP/1.1\r\nhost: ${host}\r\n`
      const rest = body === undefined ? '\r\n' : `content-type: ${contentType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
      return new Promise((resolve, reject) => {
        waiting = { method, resolve, reject }
        socket?.write(head + rest)
      })
    },
    close() {
      socket?.destroy()
    },
  }
}

/** An answer with a status of 400 and more. */
export class AcmeProblem extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    detail: string,
    url: string,
  ) {
    super(`${status} ${type} ${detail} (${url})`)
  }
}

/** What was asked for did not come in time; it may still come. */
export class Impatient extends Error {}

export type AcmeOrder = {
  status: string
  identifiers: { value: string }[]
  authorizations: string[]
  finalize: string
  certificate?: string
  error?: unknown
}
export type AcmeAuthorization = {
  status: string
  identifier: { type: string; value: string }
  challenges: { type: string; url: string; token: string; status: string; error?: unknown }[]
}

const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const json = <T>(reply: Reply): T => JSON.parse(reply.body.toString()) as T

export type LeanClient = Awaited<ReturnType<typeof createLeanClient>>

/**
 * Registers a new account on the connection. `publish` makes the TXT record of a dns-01 challenge visible: name without final dot, value.
 * Never repeats a request, except after badNonce when the nonce was lost together with a connection.
 */
export const createLeanClient = async (options: {
  origin: string
  directory: string
  ca?: string | undefined
  publish?: (name: string, value: string) => Promise<void>
}) => {
  const connection = createConnection(options.origin, options.ca)
  const directory = json<Record<'newNonce' | 'newAccount' | 'newOrder', string>>(await connection.request('GET', options.directory))
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' })
  const jwk = { crv, kty, x, y }
  const thumbprint = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url')
  const signer = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
  let kid: string | undefined
  let nonce: string | undefined
  let requests = 0

  const send = (method: string, url: string, body?: string) => {
    requests++
    return connection.request(method, url, 'application/jose+json', body)
  }
  /** `payload` undefined is POST-as-GET (RFC 8555 §6.3). */
  const post = async (url: string, payload?: unknown): Promise<Reply> => {
    nonce ??= (await send('HEAD', directory.newNonce)).headers.get('replay-nonce')
    const head = b64({ alg: 'ES256', nonce, url, ...(kid === undefined ? { jwk } : { kid }) })
    nonce = undefined
    const text = payload === undefined ? '' : b64(payload)
    const signature = sign('sha256', Buffer.from(`${head}.${text}`), signer).toString('base64url')
    const reply = await send('POST', url, `{"protected":"${head}","payload":"${text}","signature":"${signature}"}`)
    nonce = reply.headers.get('replay-nonce')
    if (reply.status < 400) return reply
    let problem: { type?: string; detail?: string } = {}
    try {
      problem = json(reply)
    } catch {
      problem.detail = reply.body.toString().slice(0, 200)
    }
    throw new AcmeProblem(reply.status, String(problem.type).replace(/^.*:/, ''), String(problem.detail), url)
  }
  const get = async <T>(url: string): Promise<T> => json<T>(await post(url))

  // How long each kind of wait took lately: the first question comes when the answer is likely there, so that few requests are spent on asking.
  const expected = { authorization: 0, order: 0 }
  /** Asks until the status is another than `waiting`: first after the expected time, then after 2, 4, 8 … 50 ms more. */
  const poll = async <T extends { status: string }>(kind: keyof typeof expected, url: string, waiting: string, patienceMs: number): Promise<T> => {
    const from = performance.now()
    if (expected[kind] >= 1) await sleep(expected[kind])
    let value = await get<T>(url)
    if (value.status !== waiting) {
      expected[kind] *= 0.9
      return value
    }
    for (let wait = 2; value.status === waiting; wait = Math.min(wait * 2, 50)) {
      if (performance.now() - from > patienceMs) throw new Impatient(`${url} is still ${waiting} after ${patienceMs} ms`)
      await sleep(wait)
      value = await get<T>(url)
    }
    // Slowly: one long pause of the server must not make the client slow for long.
    expected[kind] = Math.min(performance.now() - from, expected[kind] * 1.25 + 1)
    return value
  }

  const newOrder = async (names: string[]): Promise<{ url: string; order: AcmeOrder }> => {
    const reply = await post(directory.newOrder, { identifiers: names.map((value) => ({ type: 'dns', value })) })
    return { url: reply.headers.get('location') as string, order: json<AcmeOrder>(reply) }
  }
  /** Proves one authorization by dns-01 and waits until it is decided. */
  const authorize = async (url: string, patienceMs: number): Promise<void> => {
    const authorization = await get<AcmeAuthorization>(url)
    if (authorization.status === 'valid') return
    const challenge = authorization.challenges.find((c) => c.type === 'dns-01')
    if (!challenge) throw new Error(`no dns-01 at ${url}`)
    if (challenge.status === 'pending') {
      const value = createHash('sha256').update(`${challenge.token}.${thumbprint}`).digest('base64url')
      await options.publish?.(`_acme-challenge.${authorization.identifier.value}`, value)
      await post(challenge.url, {})
    }
    const decided = await poll<AcmeAuthorization>('authorization', url, 'pending', patienceMs)
    if (decided.status !== 'valid') throw new Error(`authorization is ${decided.status}: ${JSON.stringify(decided.challenges)}`)
  }
  /**
   * From any state of an order to its certificate (PEM chain). `csr` is base64url DER; `known` spares asking for the order first.
   * Throws Impatient where the server takes longer than `patienceMs` over one step.
   */
  const complete = async (
    url: string,
    csr: string,
    { known, patienceMs = 20_000 }: { known?: AcmeOrder; patienceMs?: number } = {},
  ): Promise<string> => {
    let order = known ?? (await get<AcmeOrder>(url))
    if (order.status === 'pending') {
      for (const authorization of order.authorizations) await authorize(authorization, patienceMs)
      order = { ...order, status: 'ready' }
    }
    if (order.status === 'ready') order = json<AcmeOrder>(await post(order.finalize, { csr }))
    if (order.status === 'processing') order = await poll<AcmeOrder>('order', url, 'processing', patienceMs)
    if (order.status !== 'valid' || !order.certificate) throw new Error(`order is ${order.status}: ${JSON.stringify(order.error)}`)
    const pem = (await post(order.certificate)).body.toString()
    if (!pem.startsWith('-----BEGIN CERTIFICATE-----')) throw new Error('no certificate in the answer')
    return pem
  }

  kid = (await post(directory.newAccount, { termsOfServiceAgreed: true })).headers.get('location')
  return {
    account: kid as string,
    newOrder,
    complete,
    get,
    post,
    requests: () => requests,
    close: () => connection.close(),
  }
}

// A CSR in DER, written by hand: made by the thousand before a measurement starts.
const der = (tag: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  const n = body.length
  const head = n < 128 ? [tag, n] : n < 256 ? [tag, 0x81, n] : [tag, 0x82, n >> 8, n & 255]
  return Buffer.concat([Buffer.from(head), body])
}
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'))

/** A PKCS#10 request (base64url DER) with a fresh P-256 key, the first name as CN where it fits, and all as dNSNames. */
export const createCsr = (names: string[], key?: { privateKey: KeyObject; publicKey: KeyObject }): string => {
  const { privateKey, publicKey } = key ?? generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const first = names[0] ?? ''
  const commonName = der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from(first))))
  const san = der(0x30, ...names.map((name) => der(0x82, Buffer.from(name))))
  const extensions = der(0x30, der(0x30, oid('551d11'), der(0x04, san)))
  const info = der(
    0x30,
    der(0x02, Buffer.from([0])),
    der(0x30, ...(first.length <= 64 && !first.startsWith('*') ? [commonName] : [])),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa0, der(0x30, oid('2a864886f70d01090e'), der(0x31, extensions))),
  )
  const signature = sign('sha256', info, privateKey)
  return der(0x30, info, der(0x30, oid('2a8648ce3d040302')), der(0x03, Buffer.from([0]), signature)).toString('base64url')
}
