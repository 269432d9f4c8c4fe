/**
 * Publishes CRLs (RFC 5280 §5): the complete one of each issuer whose key is here, and one for each shard of its certificates; daily, and soon after a revocation.
 * One list is made at a time. An issuer whose key is away (the root in production) is simply not among the sources: what was imported goes on being served.
 */
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import type { Issuer } from '../pki/certificate.js'
import { encodeCrl } from '../pki/crl.js'
import type { CrlRow, RevokedEntry, Store } from '../store/store.js'

/** An issuer with its lists. */
export type CrlSource = {
  issuer: Pick<Issuer, 'id' | 'subject' | 'ski' | 'signer'>
  /** The shards that its certificates point to; none for the root. A shard may never leave this list while one of its certificates is valid. */
  shards: readonly number[]
  /** The URI that a shard's certificates carry as their CRL distribution point. */
  shardUrl(shard: number): string
}

export type CrlPublisherDeps = {
  clock: Clock
  log: Log
  store: Pick<Store, 'nextCrlNumber' | 'revokedEntries' | 'saveCrl' | 'currentCrl'>
  sources: readonly CrlSource[]
  /** Told of every list that was published here. */
  onPublished?(crl: CrlRow): void
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
const defaults: CrlSettings = { republishMs: day, lifetimeMs: 7 * day, gatherMs: 2000 }

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
  /** Publishes what is due: at the first call everything, because nobody knows what was revoked while nothing ran. Call it every minute. Never rejects. */
  publishDue(): Promise<void>
  /** Notes a revocation; its two lists follow within seconds. */
  publishAfterRevocation(issuerId: string, shard: number): void
  /** Publishes all lists now. Rejects with the first failure. For the command line. */
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
  current: Pick<CrlRow, 'number' | 'thisUpdate' | 'nextUpdate'> | null
  /** Something may have been revoked that it does not show. */
  stale: boolean
  failures: number
}

const listsOf = (source: CrlSource): List[] =>
  [null, ...source.shards].map((shard) => ({
    source,
    shard,
    name: shard === null ? source.issuer.id : `${source.issuer.id}/${shard}`,
    current: null,
    stale: true,
    failures: 0,
  }))

/** Without the list itself, which may be large. */
const facts = (row: CrlRow | null): List['current'] => row && { number: row.number, thisUpdate: row.thisUpdate, nextUpdate: row.nextUpdate }

export const createCrlPublisher = (deps: CrlPublisherDeps): CrlPublisher => {
  const { clock, log } = deps
  const settings = { ...defaults, ...deps.settings }
  const lists = deps.sources.flatMap(listsOf)
  let queue: Promise<unknown> = Promise.resolve()
  let timer: NodeJS.Timeout | null = null
  let lastTook = 0
  let stopped = false

  /** After all that was asked for before. */
  const inTurn = (work: (list: List) => Promise<void>): Promise<void> => {
    const done = queue.then(async () => {
      for (const list of lists) if (!stopped) await work(list)
    })
    queue = done.catch(() => undefined)
    return done
  }

  const publish = async (list: List): Promise<void> => {
    const began = clock.now()
    await publishList(deps, settings, list)
    lastTook = clock.now() - began
  }

  const publishIfDue = async (list: List): Promise<void> => {
    try {
      if (await isDue(deps, settings, list)) await publish(list)
    } catch (err) {
      log.error(
        { err, crl: list.name, failures: list.failures, nextUpdate: list.current?.nextUpdate },
        'a CRL could not be published; it is tried again',
      )
    }
  }

  /** Gathers for a moment; longer where lists are so long that making them is felt. */
  const publishSoon = (): void => {
    const publishStale = (): void => {
      timer = null
      void inTurn(async (list) => (list.stale ? publishIfDue(list) : undefined))
    }
    if (!stopped) timer ??= setTimeout(publishStale, Math.max(settings.gatherMs, lastTook / busyShare)).unref()
  }

  return {
    publishDue: () => inTurn(publishIfDue),
    publishAll: () => inTurn(publish),
    publishAfterRevocation: (issuerId, shard) => {
      for (const list of lists) if (list.source.issuer.id === issuerId && (list.shard === null || list.shard === shard)) list.stale = true
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

const isDue = async ({ clock, store }: CrlPublisherDeps, settings: CrlSettings, list: List): Promise<boolean> => {
  const isOld = (): boolean => !list.current || clock.now() >= list.current.thisUpdate + settings.republishMs
  // Another node may have published meanwhile.
  if (!list.stale && isOld()) list.current = facts(await store.currentCrl(list.source.issuer.id, list.shard))
  return list.stale || isOld()
}

const publishList = async (deps: CrlPublisherDeps, settings: CrlSettings, list: List): Promise<void> => {
  // Before the entries are read: what is revoked from here on makes the list stale again.
  list.stale = false
  try {
    const row = await makeList(deps, settings, list)
    list.current = facts(row)
    list.failures = 0
  } catch (error) {
    list.stale = true
    list.failures++
    throw error
  }
}

const makeList = async ({ clock, log, store, onPublished }: CrlPublisherDeps, settings: CrlSettings, list: List): Promise<CrlRow> => {
  const { source, shard } = list
  const issuerId = source.issuer.id
  const at = clock.now()
  const thisUpdate = Math.floor(at / 1000) * 1000
  const nextUpdate = thisUpdate + settings.lifetimeMs
  list.current ??= facts(await store.currentCrl(issuerId, shard))
  // A revoked certificate leaves after it has been on one regular list issued beyond its validity (RFC 5280 §3.3). Lists made after a revocation are not
  // regular, hence the time between two regular ones on top of the previous one's date.
  const keepFrom = list.current ? list.current.thisUpdate - settings.republishMs : 0
  const number = await store.nextCrlNumber(issuerId, shard)
  const counter = { entries: 0 }
  const entries = counting(store.revokedEntries(issuerId, shard, keepFrom), counter)
  const distributionPoint = shard === null ? null : source.shardUrl(shard)
  const der = await encodeCrl({ issuer: source.issuer, number, thisUpdate, nextUpdate, distributionPoint, entries })

  const row: CrlRow = { issuerId, shard, number, thisUpdate, nextUpdate, der }
  const detail = { number: String(number), entries: counter.entries, octets: der.length, thisUpdate, nextUpdate }
  // Not saved where another node was first with a higher number; it drew that number, and so read its entries, after this one drew its own.
  const saved = await store.saveCrl(row, { at, actor: 'system', action: 'crl.published', subject: `crl:${list.name}`, detail })
  if (saved) onPublished?.(row)
  log.info({ crl: list.name, ...detail, saved }, 'made a CRL')
  return row
}

/** Passes batches on and counts what is in them. */
async function* counting(batches: AsyncIterable<RevokedEntry[]>, counter: { entries: number }): AsyncIterable<RevokedEntry[]> {
  for await (const batch of batches) {
    counter.entries += batch.length
    yield batch
  }
}
