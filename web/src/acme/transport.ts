/** Requests to an ACME server: nonces (RFC 8555 §6.5), signatures, problem documents, and patience with a server or network that is away. */
import { type Signer, signJws } from './jws.js'
import { AcmeError, isAcmeError, readProblem, readRetryAfter } from './problem.js'

/** A request that is being tried again. */
export type Trouble = { detail: string; attempt: number; retryAt: number }

export type TransportOptions = {
  fetch?: typeof fetch
  /** Resolves after so many milliseconds, or rejects when the signal says so. */
  wait?: (ms: number, signal?: AbortSignal) => Promise<void>
  /** Told when a request has to be tried again, and with null when one got through. */
  onTrouble?: (trouble: Trouble | null) => void
  /**
   * The origin to send requests to, where the page was reached by another name than the one the server calls itself: what is signed stays the server's own URL.
   * Null: the URLs as they are.
   */
  origin?: string | null
  /** How often one request is tried before it fails as `network`. */
  attempts?: number
}

export type Answer = {
  status: number
  headers: Headers
  /** Parsed where the answer is JSON, otherwise null. */
  json: Record<string, unknown> | null
  text: string
  retryAt: number | null
  /** An earlier attempt got no answer and may have been obeyed all the same. */
  repeated: boolean
}

/** Who signs: an account by its URL, or a key by itself (newAccount, and revocation by the certificate's key). */
export type Signature = { signer: Signer; account: string | null }

const maxNonces = 10
const nonceAttempts = 5
const firstDelayMs = 500
const longestDelayMs = 30_000

export const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const timer = setTimeout(resolve, ms)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })

/** The delay before attempt `attempt` (1 is the second), growing to half a minute, with a shift so that all who lost a server do not come back at once. */
export const backOff = (attempt: number): number => Math.min(firstDelayMs * 2 ** (attempt - 1), longestDelayMs) * (0.75 + Math.random() / 2)

const isAway = (status: number): boolean => status >= 500 && status <= 504

/** An ACME problem document is the server's own word; a 5xx without one is a proxy or a process that is coming up. */
const toAnswer = async (response: Response, repeated: boolean): Promise<Answer> => {
  const text = await response.text()
  const type = response.headers.get('Content-Type') ?? ''
  let json: Answer['json'] = null
  try {
    if (/^application\/(problem\+)?json/.test(type)) json = JSON.parse(text)
  } catch {
    throw new AcmeError('http', 'The answer of the server is cut off.', { status: response.status })
  }
  const retryAt = readRetryAfter(response.headers.get('Retry-After'), Date.now())
  if (!response.ok) throw readProblem(json, response.status, retryAt)
  return { status: response.status, headers: response.headers, json, text, retryAt, repeated }
}

const networkError = (cause: unknown): AcmeError =>
  new AcmeError('network', 'The CA can’t be reached. Check your connection; nothing is lost, and the same step can be tried again.', { cause })

export type Transport = ReturnType<typeof createTransport>

export const createTransport = (options: TransportOptions = {}) => {
  const { fetch: send = (...of) => fetch(...of), wait = pause, onTrouble = () => {}, origin = null, attempts = 6 } = options
  const nonces: string[] = []

  const reach = (url: string): string => {
    if (origin === null) return url
    const { pathname, search } = new URL(url)
    return origin + pathname + search
  }

  const request = async (url: string, init: RequestInit): Promise<Response> => {
    let response: Response
    try {
      response = await send(reach(url), { ...init, cache: 'no-store', credentials: 'omit', redirect: 'error' })
    } catch (error) {
      if (init.signal?.aborted) throw error
      throw networkError(error)
    }
    const nonce = response.headers.get('Replay-Nonce')
    if (nonce !== null && nonces.length < maxNonces) nonces.push(nonce)
    return response
  }

  /** `once` until it gets through, with growing delays while the server is away. */
  const persist = async (once: (repeated: boolean) => Promise<Answer>, signal?: AbortSignal): Promise<Answer> => {
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await once(attempt > 1)
        if (attempt > 1) onTrouble(null)
        return answer
      } catch (error) {
        const away = isAcmeError(error, 'network') || (error instanceof AcmeError && isAway(error.status))
        if (!away || attempt >= attempts) {
          if (attempt > 1) onTrouble(null)
          throw error
        }
        const asked = error.retryAt === null ? 0 : error.retryAt - Date.now()
        const delay = Math.min(Math.max(backOff(attempt), asked), longestDelayMs)
        onTrouble({ detail: error.message, attempt, retryAt: Date.now() + delay })
        await wait(delay, signal)
      }
    }
  }

  const newNonce = async (url: string, signal?: AbortSignal): Promise<string> => {
    const response = await request(url, { method: 'HEAD', ...(signal && { signal }) })
    const nonce = nonces.pop()
    if (nonce !== undefined) return nonce
    throw new AcmeError('http', 'The server gave no nonce.', { status: response.status })
  }

  const postOnce = async (url: string, payload: object | null, by: Signature, nonceUrl: string, accept: string, signal?: AbortSignal) => {
    const nonce = nonces.pop() ?? (await newNonce(nonceUrl, signal))
    const who = by.account === null ? { jwk: by.signer.jwk } : { kid: by.account }
    const body = JSON.stringify(await signJws(by.signer, { nonce, url, ...who }, payload))
    return request(url, { method: 'POST', headers: { 'Content-Type': 'application/jose+json', Accept: accept }, body, ...(signal && { signal }) })
  }

  return {
    /** A plain GET: the directory, renewal information. */
    get: (url: string, signal?: AbortSignal): Promise<Answer> =>
      persist(async (repeated) => toAnswer(await request(url, signal ? { signal } : {}), repeated), signal),

    /** A signed POST; `payload` null is POST-as-GET. A nonce that the server no longer knows is replaced (RFC 8555 §6.5). */
    post: (
      url: string,
      payload: object | null,
      { by, nonceUrl, accept = '*/*', signal }: { by: Signature; nonceUrl: string; accept?: string; signal?: AbortSignal | undefined },
    ): Promise<Answer> =>
      persist(async (repeated) => {
        for (let attempt = 1; ; attempt++) {
          try {
            return await toAnswer(await postOnce(url, payload, by, nonceUrl, accept, signal), repeated)
          } catch (error) {
            if (!isAcmeError(error, 'badNonce') || attempt >= nonceAttempts) throw error
            // A restart invalidates them all; the answer itself brought a fresh one, the last in the list.
            nonces.splice(0, nonces.length - 1)
          }
        }
      }, signal),
  }
}
