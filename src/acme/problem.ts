/** Problem documents (RFC 8555 §6.7, RFC 9457): the only place that makes an HTTP answer of an error. */
import { IcaError, toProblem } from '../errors.js'
import type { Ica } from '../issuance/ica.js'
import { type Answer, type Exchange, send } from './answer.js'

/** Seconds to wait for a database that is away, where nobody knows better. */
const UNAVAILABLE_RETRY_S = 5

/** The answer that an error becomes. */
export const problemAnswer = (error: unknown): Answer & { status: number; retryAfter: number | undefined } => {
  const problem = toProblem(error)
  return {
    status: problem.status,
    content: { type: 'application/problem+json', body: JSON.stringify(problem) },
    retryAfter: (error instanceof IcaError ? error.retryAfter : undefined) ?? (problem.status === 503 ? UNAVAILABLE_RETRY_S : undefined),
  }
}

/** Where every error of every handler ends. */
export const sendProblem = (ica: Pick<Ica, 'log' | 'metrics' | 'settings'>, exchange: Exchange, path: string, error: unknown): void => {
  const answer = problemAnswer(error)
  const code = error instanceof IcaError ? error.code : 'serverInternal'
  const fields = { requestId: exchange.requestId, method: exchange.request.method, path, code }
  if (answer.status >= 500) ica.log.error({ ...fields, err: error }, 'an ACME request failed')
  else ica.log.info({ ...fields, detail: (error as IcaError).message }, 'an ACME request was refused')
  ica.metrics.count('failures', { stage: 'acme', code })
  if (exchange.response.headersSent) {
    exchange.response.destroy()
    return
  }
  // Else Node would read on to the end of the body, however far that is, to use the connection again.
  if (code === 'payloadTooLarge') exchange.headers.push('Connection', 'close')
  // RFC 8555 §7.3.3.
  if (code === 'userActionRequired') answer.links = [{ rel: 'terms-of-service', url: ica.settings.termsOfService }]
  send(exchange, answer)
}

/** For a place that is none. */
export const notFound = (): IcaError => new IcaError('notFound', 'There is nothing here. The directory says where everything is.')

/** For a place that has other methods. RFC 8555 §6.3: what is not public is read by POST-as-GET. */
export const methodNotAllowed = ({ headers, request }: Exchange, methods: readonly string[]): IcaError => {
  headers.push('Allow', [...methods, 'OPTIONS'].join(', '))
  const hint = methods.includes('GET') ? '' : ' To read it, send a POST-as-GET (RFC 8555 §6.3).'
  return new IcaError('methodNotAllowed', `This resource does not answer to ${request.method}.${hint}`)
}
