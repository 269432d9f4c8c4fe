/**
 * Publishes CRLs (RFC 5280 §5): the complete one of each issuer whose key is here, and one for each shard of its certificates; daily, and soon after a revocation.
 * One list is made at a time. An issuer whose key is away (the root in production) is simply not among the sources: what was imported goes on being served.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import type { Log } from '../log.js'
import type { Issuer } from '../pki/certificate.js'
import { encodeCrl } from '../pki/crl.js'
import type { CrlFacts, CrlRow, RevokedEntry, Store } from '../store/store.js'

/** An issuer with its lists. */
export type CrlSource = {
  issuer: Pick<Issuer, 'id' | 'subject' | 'ski' | 'signer'>
  /** The shards that its certificates point to; none for the root. A shard may never leave this list while one of its certificates is valid. */
  shards: readonly number[]
  /** The URIs that a shard's certificates carry as their CRL distribution point: one, and those of before where it was changed. */
  shardUrls(shard: number): readonly string[]
}

export type CrlPublisherDeps = {
  clock: Clock
  log: Log
  store: Pick<Store, 'nextCrlNumber' | 'revokedEntries' | 'saveCrl' | 'crlFacts' | 'lastRevocation' | 'acquireLease' | 'releaseLease'>
  sources: readonly CrlSource[]
  /** Told of every list that was published here. */
  onPublished?(crl: CrlRow): void
  /** Told before each list of {@link CrlPublisher.publishAll}, for whom it takes long. */
  onProgress?(done: number, of: number): void
  settings?: Partial<CrlSettings>
}

export type CrlSettings = {
  /** A list is replaced when it is this old (PKI.md: at least daily). */
  republishMs: number
  /** nextUpdate - thisUpdate (PKI.md: at most 10 days). */
  lifetimeMs: number
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
type List = {
  source: CrlSource
  shard: number | null
  name: string
  current: CrlFacts | null
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

  const publish = async (list: List): Promise<void> => {
    const began = clock.now()
    try {
      list.current = await prolonging(() => makeList(deps, settings, list))
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
      for (const [done, list] of lists.entries()) {
        deps.onProgress?.(done, lists.length)
        // It may have been lost while the one before was made.
        await acquireInTime()
        await publish(list)
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

const makeList = async ({ clock, log, store, onPublished }: CrlPublisherDeps, settings: CrlSettings, list: List): Promise<CrlFacts> => {
  const { source, shard, current } = list
  const issuerId = source.issuer.id
  const at = clock.now()
  const thisUpdate = Math.floor(at / 1000) * 1000
  const nextUpdate = thisUpdate + settings.lifetimeMs
  // A revoked certificate leaves after it has been on one regular list issued beyond its validity (RFC 5280 §3.3). Lists made after a revocation are not
  // regular, hence the time between two regular ones on top of the previous one's date.
  const keepFrom = current ? current.thisUpdate - settings.republishMs : 0
  // Before the entries are read: what is revoked from here on may or may not be among them.
  const revocationSeq = await store.lastRevocation()
  // Seconds since the epoch, so that numbers go on growing where an older database was restored, which knows nothing of those that were used since.
  const number = await store.nextCrlNumber(issuerId, shard, BigInt(thisUpdate / 1000))
  const counter = { entries: 0 }
  const entries = counting(store.revokedEntries(issuerId, shard, keepFrom), counter)
  const distributionPoints = shard === null ? [] : source.shardUrls(shard)
  const der = await encodeCrl({ issuer: source.issuer, number, thisUpdate, nextUpdate, distributionPoints, entries })

  const octets = der.reduce((sum, { length }) => sum + length, 0)
  const facts: CrlFacts = { issuerId, shard, number, thisUpdate, nextUpdate, octets, revocationSeq }
  const row: CrlRow = { ...facts, der }
  const detail = { number: String(number), entries: counter.entries, octets, thisUpdate, nextUpdate }
  // Not saved where another node was first with a higher number; it drew that number, and so read its entries, after this one drew its own.
  const saved = await store.saveCrl(row, { at, actor: 'system', action: 'crl.published', subject: `crl:${list.name}`, detail })
  if (saved) onPublished?.(row)
  log.debug({ crl: list.name, ...detail, saved }, 'made a CRL')
  return facts
}

/** Passes batches on and counts what is in them. */
async function* counting(batches: AsyncIterable<RevokedEntry[]>, counter: { entries: number }): AsyncIterable<RevokedEntry[]> {
  for await (const batch of batches) {
    counter.entries += batch.length
    yield batch
  }
}
