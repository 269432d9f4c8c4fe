/** Problem documents (RFC 8555 §6.7, RFC 9457): the only place that makes an HTTP answer of an error. */
import type { ErrorRequestHandler, RequestHandler } from 'express'
import { IcaError, toProblem } from '../errors.js'
import type { Ica } from '../issuance/ica.js'
import { type Answer, requestIdOf, send } from './answer.js'

/** Seconds to wait for a database that is away, where nobody knows better. */
const UNAVAILABLE_RETRY_S = 5

/** Express and Node mark what the client did wrong with a status; such an error has nothing else to say to it. */
const asIcaError = (error: unknown): unknown => {
  if (error instanceof IcaError || typeof error !== 'object' || error === null) return error
  const status = (error as { status?: unknown }).status
  if (status === 413) return new IcaError('payloadTooLarge', 'The request is too large.', { cause: error })
  if (typeof status === 'number' && status >= 400 && status < 500) return new IcaError('malformed', 'The request can’t be read.', { cause: error })
  return error
}

/** The answer that an error becomes. */
export const problemAnswer = (error: unknown): Answer & { status: number; retryAfter: number | undefined } => {
  const problem = toProblem(error)
  return {
    status: problem.status,
    content: { type: 'application/problem+json', body: JSON.stringify(problem) },
    retryAfter: (error instanceof IcaError ? error.retryAfter : undefined) ?? (problem.status === 503 ? UNAVAILABLE_RETRY_S : undefined),
  }
}

/** The last handler of the router: every error of every other ends here. */
export const answerWithProblem =
  (ica: Pick<Ica, 'log' | 'metrics' | 'settings'>): ErrorRequestHandler =>
  (thrown, request, response, _next) => {
    const error = asIcaError(thrown)
    const answer = problemAnswer(error)
    const code = error instanceof IcaError ? error.code : 'serverInternal'
    const fields = { requestId: requestIdOf(response), method: request.method, path: request.path, code }
    if (answer.status >= 500) ica.log.error({ ...fields, err: error }, 'an ACME request failed')
    else ica.log.info({ ...fields, detail: (error as IcaError).message }, 'an ACME request was refused')
    ica.metrics.count('failures', { stage: 'acme', code })
    if (response.headersSent) {
      response.destroy()
      return
    }
    // Else Node would read on to the end of the body, however far that is, to use the connection again.
    if (code === 'payloadTooLarge') response.setHeader('Connection', 'close')
    // RFC 8555 §7.3.3.
    if (code === 'userActionRequired') answer.links = [{ rel: 'terms-of-service', url: ica.settings.termsOfService }]
    send(response, answer)
  }

/** For a place that is none. */
export const notFound: RequestHandler = () => {
  throw new IcaError('notFound', 'There is nothing here. The directory says where everything is.')
}

/** For a place that has other methods. RFC 8555 §6.3: what is not public is read by POST-as-GET. */
export const onlyMethods =
  (...methods: string[]): RequestHandler =>
  (request, response) => {
    response.setHeader('Allow', [...methods, 'OPTIONS'].join(', '))
    const hint = methods.includes('GET') ? '' : ' To read it, send a POST-as-GET (RFC 8555 §6.3).'
    throw new IcaError('methodNotAllowed', `This resource does not answer to ${request.method}.${hint}`)
  }
