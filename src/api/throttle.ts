/** How often one client address may ask: leaky buckets in memory, of bounded number. */
import { rateLimited } from '../issuance/counting.js'
import { addressKey, type Rate } from '../issuance/limits.js'
import type { Weight } from './route.js'

export type ThrottleRates = Record<Exclude<Weight, 'free'>, Rate>

/** A page and a person at it stay far below; the one heavy question that a page repeats is the live look at a DNS record. */
export const defaultRates: ThrottleRates = {
  light: { count: 300, windowMs: 60_000 },
  heavy: { count: 120, windowMs: 60_000 },
  probe: { count: 10, windowMs: 3_600_000 },
}

/** What is counted, for the sentence that says so. */
const called: Record<Exclude<Weight, 'free'>, string> = {
  light: 'questions from your address',
  heavy: 'questions that other servers are asked for, from your address',
  probe: 'tests of servers from your address',
}

/** Addresses that are remembered; the one that has not asked for the longest time is forgotten first. */
const MAX_ADDRESSES = 20_000

type Bucket = { level: number; at: number }

export type Throttle = {
  /** Counts a request. Throws rateLimited with the seconds after which there is room. */
  count(weight: Weight, address: string | undefined, now: number): void
  size(): number
}

export const createThrottle = (rates: ThrottleRates, max = MAX_ADDRESSES): Throttle => {
  const buckets = new Map<string, Bucket>()
  return {
    size: () => buckets.size,
    count(weight, address, now) {
      const rate = weight === 'free' ? null : rates[weight]
      if (weight === 'free' || rate === null) return
      const key = `${weight} ${addressKey(address ?? '')}`
      const { level, at } = buckets.get(key) ?? { level: 0, at: now }
      const left = Math.max(0, level - (Math.max(0, now - at) * rate.count) / rate.windowMs)
      const full = left + 1 > rate.count
      buckets.delete(key)
      buckets.set(key, { level: full ? left : left + 1, at: now })
      for (const oldest of buckets.keys()) {
        if (buckets.size <= max) break
        buckets.delete(oldest)
      }
      if (!full) return
      throw rateLimited(called[weight], rate, ((left + 1 - rate.count) * rate.windowMs) / rate.count, now)
    },
  }
}
