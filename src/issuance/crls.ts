/**
 * Publishes CRLs (RFC 5280 §5): the complete one of each issuer whose key is here, and one for each shard of its certificates; daily, and soon after a revocation.
 * One list is made at a time. An issuer whose key is away (the root in production) is simply not among the sources: what was imported goes on being served.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { IcaError } from '../errors.js'
import type { Store } from '../store/store.js'
import { type CrlList, type CrlListDeps, type CrlSource, type CrlTimes, makeCrl } from './crl-list.js'

/** How far {@link CrlPublisher.publishAll} is: in which of the lists, the first being 1, and how many entries this one has so far. */
export type CrlProgress = { list: number; lists: number; entries: number }

export type CrlPublisherDeps = CrlListDeps & {
  store: Pick<Store, 'crlFacts' | 'acquireLease' | 'releaseLease'>
  sources: readonly CrlSource[]
  /** Told again and again of {@link CrlPublisher.publishAll}, for whom it takes long. */
  onProgress?(progress: CrlProgress): void
  settings?: Partial<CrlSettings>
}

export type CrlSettings = CrlTimes & {
  /** How long revocations are gathered before a list is made of them. */
  gatherMs: number
}

const day = 86_400_000
export const crlDefaults: CrlSettings = { republishMs: day, lifetimeMs: 7 * day, gatherMs: 2000 }

/** Making lists after revocations takes at most this share of the time, however long they are. */
const busyShare = 1 / 20

/** Where a list stands, for metrics. Times in milliseconds since the epoch. */
export type CrlState = {
  issuerId: string
  shard: number | null
  number: bigint | null
  thisUpdate: number | null
  nextUpdate: number | null
  failures: number
}

export type CrlPublisher = {
  /** Publishes what is due and nobody else is publishing. Call it every minute. Never rejects. */
  publishDue(): Promise<void>
  /** Notes a revocation with its place in the sequence of all; its two lists follow within seconds. */
  publishAfterRevocation(issuerId: string, shard: number, seq?: number): void
  /** Publishes all lists now; waits where another process is at it. Rejects with the first failure. For the command line. */
  publishAll(): Promise<void>
  states(): CrlState[]
  /** No list is begun after this; resolves when the one in the making is done. */
  stop(): Promise<void>
}

/** One list, and what this process knows of it. */
type List = CrlList & {
  /** The last revocation that it must have; null where that is not known, so that it must have all. */
  wanted: number | null
  failures: number
}

const listsOf = (source: CrlSource): List[] =>
  [null, ...source.shards].map((shard) => ({
    source,
    shard,
    name: shard === null ? source.issuer.id : `${source.issuer.id}/${shard}`,
    current: null,
    wanted: null,
    failures: 0,
  }))

/**
 * One node makes the lists at a time. Numbers and entries are right without that (they come from the database, in one sequence); it keeps two nodes from making
 * the same list twice. So a lease that is lost does no harm, and a node that dies is followed by another when its time is up.
 */
const leaseName = 'crl'
const leaseMs = 30_000
/** How long a command waits for it, and how often it asks. */
const patience = { tries: 120, pauseMs: 500 }

export const createCrlPublisher = (deps: CrlPublisherDeps): CrlPublisher => {
  const { clock, log, store } = deps
  const settings = { ...crlDefaults, ...deps.settings }
  const lists = deps.sources.flatMap(listsOf)
  const holder = randomUUID()
  let queue: Promise<unknown> = Promise.resolve()
  let timer: NodeJS.Timeout | null = null
  let lastTook = 0
  let stopped = false

  /** After all that was asked for before. */
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = queue.then(() => (stopped ? undefined : work()))
    queue = done.catch(() => undefined)
    return done
  }

  const acquire = (): Promise<boolean> => store.acquireLease(leaseName, holder, clock.now(), leaseMs)

  /** Waits where another process has the lease. */
  const acquireInTime = async (): Promise<void> => {
    for (let tries = 1; !(await acquire()); tries++) {
      if (tries === patience.tries)
        throw new IcaError('conflict', 'Another process has been publishing CRLs for a minute. Try again when it is done.')
      await sleep(patience.pauseMs)
    }
  }

  const refresh = async (): Promise<void> => {
    const last = await store.lastRevocation()
    const known = new Map((await store.crlFacts()).map((crl) => [`${crl.issuerId}/${crl.shard}`, crl]))
    for (const list of lists) {
      list.current = known.get(`${list.source.issuer.id}/${list.shard}`) ?? null
      // Less than was told of where an older database was restored.
      list.wanted = Math.min(list.wanted ?? last, last)
    }
  }

  const isDue = ({ current, wanted }: List): boolean =>
    !current || clock.now() >= current.thisUpdate + settings.republishMs || current.revocationSeq < (wanted ?? 0)

  /** Keeps the lease while `work`, which may take longer, is done. Numbers do not depend on it. */
  const prolonging = async <T>(work: () => Promise<T>): Promise<T> => {
    let last: Promise<unknown> = Promise.resolve()
    const timer = setInterval(() => {
      last = acquire().catch(() => undefined)
    }, leaseMs / 3)
    try {
      return await work()
    } finally {
      clearInterval(timer)
      await last
    }
  }

  const publish = async (list: List, onEntries?: (entries: number) => void): Promise<void> => {
    const began = clock.now()
    try {
      list.current = await prolonging(() => makeCrl(deps, settings, list, onEntries))
      list.failures = 0
    } catch (error) {
      list.failures++
      throw error
    }
    lastTook = clock.now() - began
  }

  const failed = (err: unknown, { name, failures, current }: List): void =>
    log.error({ err, crl: name, failures, nextUpdate: current?.nextUpdate }, 'a CRL could not be published; it is tried again')

  /** Publishes what is due; false where another node is at it. */
  const publishWhatIsDue = async (): Promise<boolean> => {
    await refresh()
    if (!lists.some(isDue)) return true
    if (!(await acquire())) return false
    try {
      // Somebody may have been at it just now.
      await refresh()
      const made: string[] = []
      for (const list of lists.filter(isDue)) {
        if (stopped || !(await acquire())) break
        await publish(list).then(
          () => made.push(list.name),
          (err: unknown) => failed(err, list),
        )
      }
      if (made.length > 0) log.info({ crls: made }, `made ${made.length === 1 ? 'a CRL' : `${made.length} CRLs`}`)
    } finally {
      await store.releaseLease(leaseName, holder)
    }
    return true
  }

  const attempt = async (): Promise<void> => {
    try {
      if (!(await publishWhatIsDue())) publishSoon()
    } catch (err) {
      log.error({ err }, 'no CRL can be published; it is tried again')
    }
  }

  /** Gathers for a moment; longer where lists are so long that making them is felt. */
  const publishSoon = (): void => {
    const wake = (): void => {
      timer = null
      void inTurn(attempt)
    }
    if (!stopped) timer ??= setTimeout(wake, Math.max(settings.gatherMs, lastTook / busyShare)).unref()
  }

  const publishAll = async (): Promise<void> => {
    await acquireInTime()
    try {
      await refresh()
      for (const [index, list] of lists.entries()) {
        const show = (entries: number) => deps.onProgress?.({ list: index + 1, lists: lists.length, entries })
        show(0)
        // It may have been lost while the one before was made.
        await acquireInTime()
        await publish(list, show)
      }
    } finally {
      await store.releaseLease(leaseName, holder)
    }
  }

  return {
    publishDue: () => inTurn(attempt),
    publishAll: () => inTurn(publishAll),
    publishAfterRevocation: (issuerId, shard, seq) => {
      for (const list of lists) {
        if (list.source.issuer.id !== issuerId || (list.shard !== null && list.shard !== shard)) continue
        list.wanted = seq === undefined || list.wanted === null ? null : Math.max(list.wanted, seq)
      }
      publishSoon()
    },
    states: () => lists.map(({ source, shard, current, failures }) => ({ ...(current ?? never), issuerId: source.issuer.id, shard, failures })),
    stop: async () => {
      stopped = true
      if (timer) clearTimeout(timer)
      await queue
    },
  }
}

const never = { number: null, thisUpdate: null, nextUpdate: null }
