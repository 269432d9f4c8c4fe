/** What would become of an order for a domain, as far as that can be told to anybody: nothing is counted, written or known of accounts. */
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import { domainOf, type Identifier, splitWildcard } from '../identifier.js'
import { type CaaResult, checkCaa } from '../validation/caa.js'
import type { Resolver } from '../validation/resolver.js'
import { counted } from './counting.js'
import { type Ica, methodsOf } from './ica.js'
import { certificateCounters } from './limits.js'
import { checkNames } from './name-rules.js'

export type CaaProspect = {
  allowed: boolean
  /** The ways of validation after which it may be issued. */
  methods: string[]
  /** The domain that decides; null where none has CAA records. */
  at: string | null
  /** As they stand in the DNS, printable; bounded. */
  records: string[]
  detail: string
}

/** Stands in a sentence in place of an account's URI, and can never be in a record, having spaces. */
const unknownAccount = 'that of whoever asks here, which is not known'

const detailOf = (domain: string, results: { method: string; result: CaaResult }[]): string => {
  const refused = results.find(({ result }) => !result.allowed)?.result
  const methods = results.filter(({ result }) => result.allowed).map(({ method }) => method)
  if (refused && !refused.allowed && methods.length === 0) return refused.detail
  const [first] = results
  if (!first || first.result.evidence.records === undefined) return `Neither ${domain} nor a domain above it has CAA records: every CA may issue.`
  const where = `The CAA records at ${first.result.evidence.at} let this CA issue for ${domain}`
  return refused ? `${where}, if it is validated by ${methods.join(' or ')}.` : `${where}.`
}

/** What the code that judges CAA at issuance makes of a domain, for each way of validation. An `accounturi` (RFC 8657) refuses: no account is known. */
export const caaProspect = async (
  ica: Pick<Ica, 'validators' | 'email' | 'settings' | 'lookUpCaa'>,
  identifier: Identifier,
  signal: AbortSignal,
): Promise<CaaProspect> => {
  const asked = new Map<string, ReturnType<Resolver['caa']>>()
  const caa: Resolver['caa'] = (name, within) => {
    const known = asked.get(name) ?? ica.lookUpCaa(name, within)
    asked.set(name, known)
    return known
  }
  const { wildcard } = splitWildcard(identifier.value)
  const question = { name: domainOf(identifier), wildcard, identities: ica.settings.caaIdentities, accountUri: unknownAccount }
  const methods = methodsOf(ica)
    .filter(({ appliesTo }) => appliesTo({ type: 'dns', value: question.name }, wildcard))
    .map(({ type }) => type)
  const results = await Promise.all(
    methods.map(async (method) => ({ method, result: await checkCaa({ ...question, validationMethod: method }, { caa }, signal) })),
  )
  const evidence = results[0]?.result.evidence ?? {}
  const allowed = results.filter(({ result }) => result.allowed).map(({ method }) => method)
  return {
    allowed: allowed.length > 0,
    methods: allowed,
    at: typeof evidence.at === 'string' ? evidence.at : null,
    records: Array.isArray(evidence.records) ? evidence.records : [],
    detail: detailOf(question.name, results),
  }
}

/** The limit that a new certificate for exactly this name would meet now, in a sentence, and when there is room again, in milliseconds since the epoch; null for none. */
export const limitProspect = async (
  ica: Pick<Ica, 'store' | 'settings' | 'policies'> & { clock: Clock },
  identifier: Identifier,
): Promise<{ detail: string; retryAt: number } | null> => {
  const { overrides } = await ica.policies.current()
  const counters = certificateCounters(ica.settings.limits, overrides, '', [identifier], false)
  try {
    await counted(
      ica,
      counters.map((counter) => ({ ...counter, later: true })),
      async () => null,
    )
    return null
  } catch (error) {
    if (!(error instanceof IcaError) || error.code !== 'rateLimited') throw error
    return { detail: error.message, retryAt: ica.clock.now() + (error.retryAfter ?? 0) * 1000 }
  }
}

/** What the operator's lists say against a name, in a sentence; null for nothing. */
export const nameProspect = async (ica: Pick<Ica, 'policies' | 'settings'>, identifier: Identifier): Promise<IcaError | null> => {
  try {
    checkNames((await ica.policies.current()).names, [identifier], ica.settings.website)
    return null
  } catch (error) {
    if (error instanceof IcaError) return error
    throw error
  }
}
