/** Judging acts by their limits (limits.ts says what those are), and what a client is told of one that is reached (RFC 8555 §6.6). */
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import { type Charge, LimitExceeded, type LimitState, levelAt, type Store, tolerance } from '../store/store.js'
import { type Allowance, type Counter, chargeOf, type LimitName, type Rate } from './limits.js'

const renewalHint: Partial<Record<LimitName, string>> = {
  ordersPerAccount: ' The first orders that renew a certificate of this account do not count.',
  certificatesPerDomain: ' Renewals, for exactly the names of an earlier certificate or with "replaces" (RFC 9773) in its window, do not count.',
  certificatesPerExactSet: ' Use the certificate that you have, or renew with "replaces" (RFC 9773) when its window comes.',
  failedValidations: ' Look at the error of the last attempt and put it right meanwhile.',
  mailsPerAccount: ' A challenge by DNS or HTTP needs no message.',
  mailsPerRecipient: ' The messages that were sent are good for a day; look for them among unwanted mail.',
  mailsPerDomain: ' The messages that were sent are good for a day; a challenge by DNS or HTTP needs none.',
}

const duration = (ms: number): string => {
  const [size, unit] =
    ms >= 172_800_000 ? [86_400_000, 'days'] : ms >= 7_200_000 ? [3_600_000, 'hours'] : ms >= 120_000 ? [60_000, 'minutes'] : [1000, 'seconds']
  const count = Math.ceil(ms / size)
  return count === 1 ? '1 second' : `${count} ${unit}`
}

const moment = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`

/** The error of a limit that is reached: which, how much, when there is room again, and what to do meanwhile (RFC 8555 §6.6). */
export const rateLimited = (what: string, rate: NonNullable<Rate>, waitMs: number, now: number, more = ''): IcaError => {
  const retryAfter = Math.max(1, Math.ceil(waitMs / 1000))
  const detail =
    `Too many ${what}: the limit is ${rate.count} in ${duration(rate.windowMs)}, and it is reached. ` +
    `The next one is possible at ${moment(now + retryAfter * 1000)}, in ${duration(retryAfter * 1000)}.${more}`
  return new IcaError('rateLimited', detail, { retryAfter })
}

const refusal = ({ limit, what }: Counter, rate: NonNullable<Rate>, waitMs: number, now: number): IcaError =>
  rateLimited(what, rate, waitMs, now, `${renewalHint[limit] ?? ''} (${limit})`)

/** What is told where others took the last place again and again: the limits of which one was reached. */
const BUSY_S = 5
const busy = (counters: readonly Counter[], now: number, cause: LimitExceeded): IcaError => {
  const limits = counters.flatMap(({ limit, rate, later }) => (rate && !later ? [`${limit} (${rate.count} in ${duration(rate.windowMs)})`] : []))
  const detail =
    `Too many requests at once count against the same limit: ${[...new Set(limits)].join(', ')}. ` +
    `Try again at ${moment(now + BUSY_S * 1000)}, in ${BUSY_S} seconds.`
  return new IcaError('rateLimited', detail, { retryAfter: BUSY_S, cause })
}

/** Where limits are counted, and when it is. */
type Deps = { store: Pick<Store, 'limitStates'>; clock: Clock }

/** How many acts are counted beyond the last one that `rate` lets through; above zero there is no room for another. */
const surplusOf = (state: LimitState | undefined, now: number, rate: NonNullable<Rate>): number =>
  (state ? levelAt(state, now, rate) : 0) - (rate.count - 1)

const hasRoom = ({ key, rate, earned }: Allowance, states: ReadonlyMap<string, LimitState>, now: number): boolean =>
  (!earned || states.has(key)) && surplusOf(states.get(key), now, rate) <= tolerance

/** Under which keys something may have been counted that matters. */
const keysOf = ({ key, sparesRenewal, instead }: Counter): string[] => [key, sparesRenewal, instead?.key].filter((used) => used !== undefined)

/**
 * Judges an act by its limits and gives what is to be counted with it. Throws rateLimited with Retry-After and a sentence that says which limit, how much, and when
 * (RFC 8555 §6.6).
 */
const admit = async (ica: Deps, counters: readonly Counter[]): Promise<Charge[]> => {
  const states = await ica.store.limitStates([...new Set(counters.flatMap(keysOf))])
  const now = ica.clock.now()
  const charges: Charge[] = []
  for (const counter of counters) {
    const { key, rate, later, sparesRenewal, instead } = counter
    if (sparesRenewal !== undefined && states.has(sparesRenewal)) continue
    if (rate !== null && instead && hasRoom(instead, states, now)) {
      charges.push(chargeOf(instead))
    } else if (rate !== null) {
      const surplus = surplusOf(states.get(key), now, rate)
      if (surplus > tolerance) throw refusal(counter, rate, (surplus * rate.windowMs) / rate.count, now)
      if (!later) charges.push(chargeOf({ ...counter, rate }))
    } else if (counter.keepMs !== undefined && !later) {
      charges.push({ key, count: 1, windowMs: counter.keepMs, cost: 0, keepMs: counter.keepMs })
    }
  }
  return charges
}

/** How often another request may snatch the last one away before a client is told that the CA is busy. */
const ATTEMPTS = 4

/**
 * Does an act that counts: `act` is handed what to count, and counts it in the transaction of what it does. Throws rateLimited as {@link admit} does.
 * Where nothing is limited, nothing is asked of the database.
 */
export const counted = async <T>(ica: Deps, counters: readonly Counter[], act: (charges: Charge[]) => Promise<T>): Promise<T> => {
  if (counters.every(({ rate, keepMs }) => rate === null && keepMs === undefined)) return act([])
  for (let attempt = 1; ; attempt++) {
    const charges = await admit(ica, counters)
    try {
      return await act(charges)
    } catch (error) {
      if (!(error instanceof LimitExceeded)) throw error
      if (attempt === ATTEMPTS) throw busy(counters, ica.clock.now(), error)
    }
  }
}
