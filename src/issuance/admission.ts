/** May this account have this now? The operator's lists, pauses and limits, asked wherever something begins. */
import type { Identifier } from '../identifier.js'
import type { Account, Authorization, Order } from '../model.js'
import type { Charge } from '../store/store.js'
import { requireActive } from './accounts.js'
import { counted } from './counting.js'
import type { Ica } from './ica.js'
import { type Counter, certificateCounters, failureCounter, orderCounter, renewalAllowance, renewalTrace } from './limits.js'
import { checkNames } from './name-rules.js'
import { isDue } from './renewal.js'

/** Throws unauthorized for a paused account and rejectedIdentifier for names that the operator's lists refuse. */
export const checkPolicy = async (ica: Ica, account: Account, identifiers: readonly Identifier[]): Promise<void> => {
  requireActive(account)
  checkNames((await ica.policies.current()).names, identifiers, ica.settings.website)
}

/** What new authorizations are judged by: each name by its failures, all of them as one order. */
const authorizationCounters = async (ica: Ica, account: Account, identifiers: readonly Identifier[]): Promise<Counter[]> => {
  const { overrides } = await ica.policies.current()
  const { limits } = ica.settings
  return [orderCounter(limits, overrides, account.id), ...identifiers.map((identifier) => failureCounter(limits, overrides, account.id, identifier))]
}

/** newAuthz: policy and limits; it counts as an order. Throws as {@link checkPolicy}, and rateLimited. */
export const countAuthorization = async <T>(ica: Ica, account: Account, identifier: Identifier, act: (charges: Charge[]) => Promise<T>): Promise<T> =>
  counted(ica, await authorizationCounters(ica, account, [identifier]), act)

/**
 * newOrder: counts the order and looks at what its certificate will count against, so that nobody proves names in vain. A certificate for the very names of an earlier
 * one does not count against a domain; one that `exempt` says is due by ARI counts against nothing. Of the orders that renew what this account has, the first
 * do not count as orders. Throws rateLimited.
 */
export const countOrder = async <T>(
  ica: Ica,
  account: Account,
  order: Order,
  made: readonly Authorization[],
  exempt: boolean,
  act: (charges: Charge[]) => Promise<T>,
): Promise<T> => {
  const { overrides } = await ica.policies.current()
  const [perAccount, ...failures] = await authorizationCounters(
    ica,
    account,
    made.map(({ identifier }) => identifier),
  )
  const [exactSet, ...perDomain] = certificateCounters(ica.settings.limits, overrides, account.id, order.identifiers, exempt)
  const counters = [
    ...(perAccount ? [{ ...perAccount, instead: renewalAllowance(account.id, order.identifiers, exempt ? order.replaces : null) }] : []),
    ...failures,
    ...[exactSet, ...perDomain].flatMap((counter) => (counter ? [{ ...counter, later: true }] : [])),
  ]
  return counted(ica, counters, act)
}

/** finalize, before CAA is asked for: who was refused too often for one of its names waits, as for a new order. Throws rateLimited. */
export const checkFailures = async (ica: Ica, account: Account, order: Order): Promise<void> => {
  const { overrides } = await ica.policies.current()
  const failures = order.authorizations.map(({ identifier }) => failureCounter(ica.settings.limits, overrides, account.id, identifier))
  await counted(ica, failures, async () => undefined)
}

/** finalize: counts the certificate, and remembers that this account has it. Throws rateLimited, and the order stays ready. */
export const countCertificate = async <T>(ica: Ica, order: Order, act: (charges: Charge[]) => Promise<T>): Promise<T> => {
  const { limits } = ica.settings
  const { overrides } = await ica.policies.current()
  const counters = certificateCounters(limits, overrides, order.accountId, order.identifiers, await isDue(ica, order.replaces))
  const traces = counters.length > 0 ? [renewalTrace(order.accountId, order.identifiers)] : []
  return counted(ica, counters, (charges) => act([...charges, ...traces]))
}
