/**
 * Watches the CRLs as they stand in the database, whoever publishes them: a node that should and doesn't, or an operator who brings those of an offline root. It
 * raises the alarm long before clients notice, which is at nextUpdate.
 */
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import type { CrlFacts, Store } from '../store/store.js'

/** A list that should be there. `republishMs`: how often it is made anew; null where that is an operator's decision. */
export type ExpectedCrl = { issuerId: string; shard: number | null; republishMs: number | null }

export type CrlStanding = ExpectedCrl & {
  name: string
  current: CrlFacts | null
  /** `late`: it should have been replaced. `out`: clients refuse it, or there is none. */
  state: 'current' | 'late' | 'out'
}

export type CrlWatch = {
  /** Looks at the database, and says what is wrong. Call it every minute. Never rejects: while the database is away, what was seen last grows older. */
  look(): Promise<void>
  /** How the lists stand now, as far as known. */
  standings(): CrlStanding[]
}

/** One that a regular publication was missed for: half a turn later. */
const patience = 1.5
/** Of lists that an operator makes: when so much of their life is left. */
const operatorShare = 1 / 4

/** When a list should have been replaced. Milliseconds since the epoch. */
const lateFrom = ({ thisUpdate, nextUpdate }: CrlFacts, republishMs: number | null): number =>
  republishMs === null ? nextUpdate - operatorShare * (nextUpdate - thisUpdate) : thisUpdate + patience * republishMs

/** So often what goes on being wrong is said again. */
const repeatMs = 6 * 3_600_000

const keyOf = ({ issuerId, shard }: { issuerId: string; shard: number | null }): string => (shard === null ? issuerId : `${issuerId}/${shard}`)

export const createCrlWatch = (deps: { clock: Clock; log: Log; store: Pick<Store, 'crlFacts'>; expected: readonly ExpectedCrl[] }): CrlWatch => {
  const { clock, log, store, expected } = deps
  let known = new Map<string, CrlFacts>()
  const said = new Map<string, number>()

  const standings = (): CrlStanding[] => {
    const now = clock.now()
    return expected.map((crl) => {
      const current = known.get(keyOf(crl)) ?? null
      const state = !current || current.nextUpdate <= now ? 'out' : now >= lateFrom(current, crl.republishMs) ? 'late' : 'current'
      return { ...crl, name: keyOf(crl), current, state }
    })
  }

  const say = (): void => {
    for (const { name, state, current, republishMs } of standings()) {
      if (state === 'current') said.delete(name)
      else if (clock.now() - (said.get(name) ?? 0) >= repeatMs) {
        said.set(name, clock.now())
        const what = current ? 'a CRL is overdue' : 'a CRL is missing'
        const help =
          republishMs === null ? 'its root is elsewhere: make it there and import it with "xmpp-ica crl --import"' : 'nobody has published it'
        log.error({ crl: name, thisUpdate: current?.thisUpdate ?? null, nextUpdate: current?.nextUpdate ?? null, help }, what)
      }
    }
  }

  return {
    standings,
    look: async () => {
      try {
        known = new Map((await store.crlFacts()).map((crl) => [keyOf(crl), crl]))
      } catch (err) {
        log.warn({ err }, 'the CRLs could not be looked at')
      }
      say()
    },
  }
}
