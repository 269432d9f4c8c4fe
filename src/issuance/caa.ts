import { IcaError, type Subproblem } from '../errors.js'
import { domainOf, type Identifier, splitWildcard } from '../identifier.js'
import type { Order } from '../model.js'
import { type CaaQuestion, checkCaa } from '../validation/caa.js'
import { withDeadline } from '../validation/deadline.js'
import { atMost } from '../validation/gate.js'
import type { Answer } from '../validation/recursive.js'
import type { CaaRecord } from '../validation/resolver.js'
import type { Evidence } from '../validation/validator.js'
import { authorizationFor, provenBy } from './authorizations.js'
import { act, type Ica, type Who } from './ica.js'
import { failureCharges } from './limits.js'

/** The whole check; the client waits for its answer to finalize meanwhile. */
const CHECK_MS = 8_000
/** Look-ups under way at a time, for one order and for all of them: each has a socket, and no order takes all. */
const CONCURRENT = 32
export const CONCURRENT_CAA = 256
/** How many sentences go into the error's own text; each name has its subproblem. */
const SENTENCES = 3

type LookUp = Ica['lookUpCaa']

/** The same look-up made once for all names of an order, which mostly climb the same tree, and not too many at a time. */
const shared = (lookUp: LookUp): LookUp => {
  const asked = new Map<string, Promise<Answer<CaaRecord>>>()
  const ask = atMost(CONCURRENT, lookUp)
  return (name, signal) => {
    const known = asked.get(name) ?? ask(name, signal)
    asked.set(name, known)
    return known
  }
}

/** What is to be asked for an identifier, with the way in which it was proven. */
const questionFor = (ica: Ica, order: Order, identifier: Identifier): CaaQuestion => {
  const method = provenBy(authorizationFor(order.authorizations, identifier))
  if (method === null) throw new IcaError('orderNotReady', `"${identifier.value}" is not authorized.`)
  return {
    name: domainOf(identifier),
    wildcard: splitWildcard(identifier.value).wildcard,
    identities: ica.settings.caaIdentities,
    accountUri: ica.accountUri(order.accountId),
    validationMethod: method,
  }
}

type Refusal = Subproblem & { identifier: Identifier; evidence: Evidence }

const refuse = async (ica: Ica, order: Order, refusals: [Refusal, ...Refusal[]], who: Who): Promise<never> => {
  const [first] = refusals
  const code = refusals.every((refusal) => refusal.code === first.code) ? first.code : 'caa'
  const proven = refusals.map(({ identifier }) => authorizationFor(order.authorizations, identifier)?.identifier ?? identifier)
  const charges = await failureCharges(ica, order.accountId, proven)
  await ica.store.audit(act(ica, who, 'caa.refused', `order:${order.id}`, { account: order.accountId, refusals }), charges)
  ica.metrics.count('failures', { stage: 'caa', code })
  const sentences = [...new Set(refusals.map((refusal) => refusal.detail))]
  const more = sentences.length > SENTENCES ? ` (${sentences.length - SENTENCES} more.)` : ''
  throw new IcaError(code, sentences.slice(0, SENTENCES).join(' ') + more, {
    subproblems: refusals.map(({ code, detail, identifier }) => ({ code, detail, identifier })),
  })
}

/**
 * Asks whether the domains of an order let this CA issue to this account after what proved them (RFC 8659, RFC 8657): all at once, within eight seconds. Returns
 * what was seen, for the audit log. A refusal counts as a failed validation of its names. Throws caa with a subproblem for each name that is refused; dns where nothing but look-ups failed.
 */
export const checkOrderCaa = async (ica: Ica, order: Order, who: Who): Promise<Evidence[]> => {
  const caa = shared(ica.lookUpCaa)
  const questions = new Map<string, { question: CaaQuestion; identifiers: Identifier[] }>()
  for (const identifier of order.identifiers) {
    const question = questionFor(ica, order, identifier)
    const key = `${question.wildcard} ${question.name} ${question.validationMethod}`
    const same = questions.get(key)
    if (same) same.identifiers.push(identifier)
    else questions.set(key, { question, identifiers: [identifier] })
  }
  const { signal } = new AbortController()
  const results = await withDeadline(CHECK_MS, signal, (deadline) =>
    Promise.all([...questions.values()].map(async (asked) => ({ ...asked, result: await checkCaa(asked.question, { caa }, deadline) }))),
  )
  const [first, ...others] = results.flatMap(({ result, identifiers }): Refusal[] =>
    result.allowed ? [] : identifiers.map((identifier) => ({ code: result.code, detail: result.detail, identifier, evidence: result.evidence })),
  )
  if (first) return refuse(ica, order, [first, ...others], who)
  return results.map(({ question, result }) => ({
    name: question.name,
    wildcard: question.wildcard,
    method: question.validationMethod,
    ...result.evidence,
  }))
}
