/** What an ACME server, or the way to it, can say no with, as one typed error. */

/** RFC 8555 §6.7.1. */
export type Subproblem = { type: string; detail: string; identifier: { type: string; value: string } | null }

const prefix = 'urn:ietf:params:acme:error:'

/** An error of the server (its problem document, RFC 9457) or of the way to it. `message` is a sentence for people. */
export class AcmeError extends Error {
  /** The ACME error type without its URN prefix, `network` where nobody answered, `http` for an answer that is no problem document. */
  readonly type: string
  /** The HTTP status; 0 where there was no answer. */
  readonly status: number
  readonly subproblems: Subproblem[]
  /** From when another attempt may succeed, in milliseconds since the epoch; null where the server says nothing. */
  readonly retryAt: number | null

  constructor(type: string, detail: string, more: { status?: number; subproblems?: Subproblem[]; retryAt?: number | null; cause?: unknown } = {}) {
    super(detail, more.cause === undefined ? undefined : { cause: more.cause })
    this.name = 'AcmeError'
    this.type = type
    this.status = more.status ?? 0
    this.subproblems = more.subproblems ?? []
    this.retryAt = more.retryAt ?? null
  }
}

/** Whether something thrown is an {@link AcmeError}, of one of these types where any are named. */
export const isAcmeError = (error: unknown, ...types: string[]): error is AcmeError =>
  error instanceof AcmeError && (types.length === 0 || types.includes(error.type))

const shortType = (type: unknown): string => (typeof type === 'string' && type.startsWith(prefix) ? type.slice(prefix.length) : 'http')

type Document = { type?: unknown; detail?: unknown; subproblems?: unknown }

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const readSubproblem = (value: unknown): Subproblem[] => {
  if (!isObject(value) || typeof value.detail !== 'string') return []
  const identifier = isObject(value.identifier) ? { type: String(value.identifier.type), value: String(value.identifier.value) } : null
  return [{ type: shortType(value.type), detail: value.detail, identifier }]
}

/** The error that a problem document stands for; `retryAt` as `Retry-After` had it. Takes whatever came in its place. */
export const readProblem = (document: unknown, status: number, retryAt: number | null): AcmeError => {
  const { type, detail, subproblems }: Document = isObject(document) ? document : {}
  return new AcmeError(shortType(type), typeof detail === 'string' ? detail : `The server answered with the status ${status}.`, {
    status,
    subproblems: Array.isArray(subproblems) ? subproblems.flatMap(readSubproblem) : [],
    retryAt,
  })
}

/** `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date, as a time in milliseconds since the epoch; null for none. */
export const readRetryAfter = (value: string | null, now: number): number | null => {
  if (value === null) return null
  if (/^\d{1,9}$/.test(value)) return now + Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? null : date
}
