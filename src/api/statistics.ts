/** Totals, counted at most once a minute, however many ask. */
import { z } from 'zod'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import type { Store, Totals } from '../store/store.js'
import { type Route, route } from './route.js'
import { statistics } from './schemas.js'

const day = 86_400_000
const minute = 60_000
const days = 90
/** Counting takes at most this share of the time, however much there is to count. */
const busyShare = 1 / 20

type Statistics = z.input<typeof statistics>

const statisticsOf = (totals: Totals, now: number): Statistics => {
  const { issued, valid, revoked, expired, accounts, domains, perDay } = totals
  const today = Math.floor(now / day)
  return {
    certificates: { issued, valid, revoked, expired },
    accounts,
    domains,
    perDay: Array.from({ length: days }, (_, i) => {
      const number = today - days + 1 + i
      return { day: new Date(number * day).toISOString().slice(0, 10), ...(perDay.get(number) ?? { issued: 0, revoked: 0 }) }
    }),
  }
}

/** The statistics as they were at most a minute ago; while they are counted anew, as they were before. */
const createCount = ({ store, clock, log }: StatisticsDeps): (() => Promise<Statistics>) => {
  let held: { statistics: Statistics; until: number } | null = null
  let counting: Promise<Statistics> | null = null
  const count = async (): Promise<Statistics> => {
    const began = clock.now()
    const statistics = statisticsOf(await store.countTotals(began), began)
    held = { statistics, until: began + Math.max(minute, (clock.now() - began) / busyShare) }
    return statistics
  }
  return async () => {
    if (held && clock.now() < held.until) return held.statistics
    counting ??= count().finally(() => {
      counting = null
    })
    if (!held) return counting
    counting.catch((err: unknown) => log.warn({ err }, 'could not count the certificates; the former totals are given'))
    return held.statistics
  }
}

export type StatisticsDeps = { store: Pick<Store, 'countTotals'>; clock: Clock; log: Log }

export const statisticsRoutes = (deps: StatisticsDeps): Route[] => {
  const count = createCount(deps)
  return [
    route({
      path: '/api/statistics',
      summary: 'Totals, and what was issued and revoked on each of the last 90 days',
      description: "Certificates of subscribers; the CA's own are not counted. Counted at most once a minute.",
      parameters: z.object({}),
      answer: statistics,
      weight: 'light',
      maxAge: 60,
      handle: () => count(),
    }),
  ]
}
