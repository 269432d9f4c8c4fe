/** Every way in which a request can fail, with what the outside sees of it. Problem types: RFC 8555 §6.7, RFC 9773, draft-ietf-acme-profiles. */
const table = {
  /** Deactivated by its holder or closed by the operator: RFC 8555 §7.3.6 names the status. */
  accountClosed: { status: 401, type: 'unauthorized' },
  accountDoesNotExist: { status: 400 },
  alreadyReplaced: { status: 409 },
  alreadyRevoked: { status: 400 },
  badCSR: { status: 400 },
  badNonce: { status: 400 },
  badPublicKey: { status: 400 },
  badRevocationReason: { status: 400 },
  badSignatureAlgorithm: { status: 400 },
  caa: { status: 403 },
  conflict: { status: 409, type: 'malformed' },
  connection: { status: 400 },
  dns: { status: 400 },
  externalAccountRequired: { status: 403 },
  incorrectResponse: { status: 403 },
  invalidContact: { status: 400 },
  invalidProfile: { status: 400 },
  malformed: { status: 400 },
  methodNotAllowed: { status: 405, type: 'malformed' },
  notFound: { status: 404, type: 'malformed' },
  orderNotReady: { status: 403 },
  payloadTooLarge: { status: 413, type: 'malformed' },
  rateLimited: { status: 429 },
  rejectedIdentifier: { status: 400 },
  serverInternal: { status: 500 },
  tls: { status: 400 },
  unauthorized: { status: 403 },
  unavailable: { status: 503, type: 'serverInternal' },
  unsupportedContact: { status: 400 },
  unsupportedIdentifier: { status: 400 },
  unsupportedMediaType: { status: 415, type: 'malformed' },
  userActionRequired: { status: 403 },
} as const satisfies Record<string, { status: number; type?: string }>

/** The closed set of error codes. Most are ACME error types by their own name; the rest map to one in {@link table}. */
export type ErrorCode = keyof typeof table

/** What an error says of one identifier among several (RFC 8555 §6.7.1). */
export type Subproblem = { code: ErrorCode; detail: string; identifier: { type: string; value: string } }

/** A problem document (RFC 7807) as it is stored and sent. */
export type Problem = {
  type: string
  detail: string
  status: number
  subproblems?: { type: string; detail: string; identifier: { type: string; value: string } }[]
  /** RFC 8555 §7.3.3: with userActionRequired, where a person reads what to do. */
  instance?: string
  /** RFC 8555 §6.2: with badSignatureAlgorithm, the algorithms that are accepted. */
  algorithms?: string[]
}

/** An error that a person may see: `detail` says what happened, to which name, and what to do. Never put a secret into it. */
export class IcaError extends Error {
  readonly code: ErrorCode
  readonly subproblems: Subproblem[]
  /** In seconds, for `Retry-After`. */
  readonly retryAfter: number | undefined
  readonly algorithms: string[] | undefined
  readonly instance: string | undefined

  constructor(
    code: ErrorCode,
    detail: string,
    more: { subproblems?: Subproblem[]; retryAfter?: number; algorithms?: string[]; instance?: string; cause?: unknown } = {},
  ) {
    super(detail, more.cause === undefined ? undefined : { cause: more.cause })
    this.name = 'IcaError'
    this.code = code
    this.subproblems = more.subproblems ?? []
    this.retryAfter = more.retryAfter
    this.algorithms = more.algorithms
    this.instance = more.instance
  }
}

const acmeType = (code: ErrorCode): string => {
  const entry: { status: number; type?: string } = table[code]
  return `urn:ietf:params:acme:error:${entry.type ?? code}`
}

/** The HTTP status that goes with a code. */
export const httpStatus = (code: ErrorCode): number => table[code].status

/** The problem document of any thrown value. What is not an {@link IcaError} becomes a serverInternal that says nothing of its cause. */
export const toProblem = (error: unknown): Problem => {
  if (!(error instanceof IcaError)) {
    return { type: acmeType('serverInternal'), detail: 'The CA failed to process the request. Nothing was lost; try again.', status: 500 }
  }
  return {
    type: acmeType(error.code),
    detail: error.message,
    status: httpStatus(error.code),
    ...(error.instance && { instance: error.instance }),
    ...(error.algorithms && { algorithms: error.algorithms }),
    ...(error.subproblems.length > 0 && {
      subproblems: error.subproblems.map((s) => ({ type: acmeType(s.code), detail: s.detail, identifier: s.identifier })),
    }),
  }
}
