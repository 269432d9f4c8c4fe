/**
 * A raw ACME client for conformance tests: every request is put together by hand, so that it can be told to be wrong in one place and right in all others. It never
 * retries. lean-acme.ts is its counterpart for load.
 */
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import type { PublicJwk } from '../../src/model.js'

export type Alg = 'ES256' | 'ES384' | 'ES512' | 'RS256' | 'EdDSA'

export type SigningKey = { alg: Alg; privateKey: KeyObject; publicKey: KeyObject; jwk: PublicJwk; thumbprint: string }

const generate: Record<Alg, () => { privateKey: KeyObject; publicKey: KeyObject }> = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  EdDSA: () => generateKeyPairSync('ed25519'),
}

/** A key pair as an account or a certificate has it; `pair` makes one of a pair that exists. */
export const newKey = (alg: Alg = 'ES256', pair = generate[alg]()): SigningKey => {
  const { kty, crv, x, y, n, e } = pair.publicKey.export({ format: 'jwk' }) as PublicJwk
  // The order of RFC 7638 §3.3; JSON.stringify leaves out what is undefined.
  const jwk = JSON.parse(JSON.stringify({ crv, e, kty, n, x, y })) as PublicJwk
  return { alg, ...pair, jwk, thumbprint: createHash('sha256').update(JSON.stringify(jwk)).digest('base64url') }
}

const digests: Record<Alg, string | null> = { ES256: 'sha256', ES384: 'sha384', ES512: 'sha512', RS256: 'sha256', EdDSA: null }

export const b64 = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

export type FlatJws = { protected: string; payload: string; signature: string }

/** Signs what it is given, however wrong. `header` and `payload` are base64url already, or values to be encoded as JSON. */
export const signJws = (key: SigningKey, header: string | object, payload: string | object): FlatJws => {
  const protectedPart = typeof header === 'string' ? header : b64(header)
  const payloadPart = typeof payload === 'string' ? payload : b64(payload)
  const signer = { key: key.privateKey, dsaEncoding: 'ieee-p1363' } as const
  const signature = sign(digests[key.alg], Buffer.from(`${protectedPart}.${payloadPart}`), signer).toString('base64url')
  return { protected: protectedPart, payload: payloadPart, signature }
}

export type Reply = {
  status: number
  headers: Headers
  text: string
  /** The body as JSON; an empty object where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect.
  json: any
  /** The URLs of Link header fields by relation. */
  links: Record<string, string[]>
}

const readLinks = (field: string | null): Record<string, string[]> => {
  const links: Record<string, string[]> = {}
  for (const [, url = '', rel = ''] of (field ?? '').matchAll(/<([^>]*)>\s*;\s*rel="([^"]*)"/g)) {
    links[rel] = [...(links[rel] ?? []), url]
  }
  return links
}

export const request = async (method: string, url: string, init: RequestInit = {}): Promise<Reply> => {
  const response = await fetch(url, { method, redirect: 'manual', ...init })
  const text = await response.text()
  let json: unknown = {}
  try {
    json = JSON.parse(text)
  } catch {
    // Not every answer is JSON.
  }
  return { status: response.status, headers: response.headers, text, json, links: readLinks(response.headers.get('link')) }
}

/** The answer is a problem document (RFC 8555 §6.7) of this status and type, in words, with no inner workings. */
export const isProblem = (reply: Reply, status: number, type: string, detail = /./): void => {
  assert.deepEqual([reply.status, reply.json.type, reply.json.status], [status, `urn:ietf:params:acme:error:${type}`, status], reply.text)
  assert.equal(reply.headers.get('content-type'), 'application/problem+json')
  assert.match(reply.json.detail, detail)
  assert.doesNotMatch(reply.text, /node_modules|\.[jt]s:\d|\\n\s+at /)
}

/** The answer has a nonce (RFC 8555 §6.5.1). */
export const isFresh = (reply: Reply): void => assert.match(reply.headers.get('replay-nonce') ?? '', /^[A-Za-z0-9_-]{22,}$/)

/** How a request is to be wrong. Members of `header` replace those of the right one; undefined removes one. */
export type Wrong = {
  header?: Record<string, unknown>
  /** Another key signs. */
  key?: SigningKey
  /** Changes the JWS after it was signed. */
  jws?: (jws: FlatJws) => unknown
  /** Changes the bytes that are sent. */
  body?: (text: string) => string | Buffer
  contentType?: string
  headers?: Record<string, string>
}

export type AcmeClient = {
  key: SigningKey
  directory: Directory
  /** The account URL after {@link register}. */
  kid: string | undefined
  freshNonce(): Promise<string>
  /** POST as the account, or with the key itself where there is none. `payload` undefined is POST-as-GET; a string is sent as the base64url it is. */
  post(url: string, payload?: object | string, wrong?: Wrong): Promise<Reply>
  /** Signed with a key itself, as for newAccount and revokeCert. */
  postByKey(url: string, payload: object, signer?: SigningKey): Promise<Reply>
  register(payload?: object): Promise<Reply>
  newOrder(names: string[], more?: object): Promise<Reply>
}

type Directory = Record<'newNonce' | 'newAccount' | 'newOrder' | 'newAuthz' | 'revokeCert' | 'keyChange', string> & { meta: Record<string, unknown> }

/** A client with its own key and no account yet. */
export const createAcmeClient = async (directoryUrl: string, key = newKey()): Promise<AcmeClient> => {
  const directory = (await request('GET', directoryUrl)).json as Directory
  let nonce: string | null = null
  const client: AcmeClient = {
    key,
    directory,
    kid: undefined,
    freshNonce: async () => (await request('HEAD', directory.newNonce)).headers.get('replay-nonce') as string,
    async post(url, payload, wrong = {}) {
      const used = nonce ?? (await client.freshNonce())
      nonce = null
      const { alg, jwk } = client.key
      const header = { alg, nonce: used, url, ...(client.kid === undefined ? { jwk } : { kid: client.kid }), ...wrong.header }
      const jws = signJws(wrong.key ?? client.key, header, payload ?? '')
      const text = JSON.stringify(wrong.jws ? wrong.jws(jws) : jws)
      const reply = await request('POST', url, {
        headers: { 'content-type': wrong.contentType ?? 'application/jose+json', ...wrong.headers },
        body: wrong.body ? wrong.body(text) : text,
      })
      nonce = reply.headers.get('replay-nonce')
      return reply
    },
    postByKey: (url, payload, signer = client.key) =>
      client.post(url, payload, { key: signer, header: { alg: signer.alg, kid: undefined, jwk: signer.jwk } }),
    async register(payload = { termsOfServiceAgreed: true }) {
      const reply = await client.postByKey(directory.newAccount, payload)
      if (reply.status < 300) client.kid = reply.headers.get('location') as string
      return reply
    },
    newOrder: (names, more = {}) => client.post(directory.newOrder, { identifiers: names.map((value) => ({ type: 'dns', value })), ...more }),
  }
  return client
}
