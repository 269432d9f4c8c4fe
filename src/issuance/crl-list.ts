/** Makes one CRL of what is revoked, stores it in the place of the one before, and says so. When which list is due is the business of crls.ts. */
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import type { Issuer } from '../pki/certificate.js'
import { encodeCrl } from '../pki/crl.js'
import type { CrlFacts, NewCrl, RevokedEntry, Store } from '../store/store.js'

/** An issuer with its lists. */
export type CrlSource = {
  issuer: Pick<Issuer, 'id' | 'subject' | 'ski' | 'signer'>
  /** The shards that its certificates point to; none for the root. A shard may never leave this list while one of its certificates is valid. */
  shards: readonly number[]
  /** The URIs that a shard's certificates carry as their CRL distribution point: one, and those of before where it was changed. */
  shardUrls(shard: number): readonly string[]
}

/** One list: of a shard, or (null) the complete one of its issuer. `current` is the one that is served. */
export type CrlList = { source: CrlSource; shard: number | null; name: string; current: CrlFacts | null }

export type CrlTimes = {
  /** A list is replaced when it is this old (PKI.md: at least daily). */
  republishMs: number
  /** nextUpdate - thisUpdate (PKI.md: at most 10 days). */
  lifetimeMs: number
}

export type CrlListDeps = {
  clock: Clock
  log: Log
  store: Pick<Store, 'nextCrlNumber' | 'revokedEntries' | 'saveCrl' | 'lastRevocation'>
  /** Told of every list that was published here. */
  onPublished?(crl: CrlFacts): void
}

/**
 * @param onEntries told again and again how many entries the list has so far
 * @returns what is known of the list that was made; another process may have been first with a later one
 */
export const makeCrl = async (
  { clock, log, store, onPublished }: CrlListDeps,
  { republishMs, lifetimeMs }: CrlTimes,
  { source, shard, name, current }: CrlList,
  onEntries?: (entries: number) => void,
): Promise<CrlFacts> => {
  const issuerId = source.issuer.id
  const at = clock.now()
  const thisUpdate = Math.floor(at / 1000) * 1000
  const nextUpdate = thisUpdate + lifetimeMs
  // A revoked certificate leaves after it has been on one regular list issued beyond its validity (RFC 5280 §3.3). Lists made after a revocation are not
  // regular, hence the time between two regular ones on top of the previous one's date.
  const keepFrom = current ? current.thisUpdate - republishMs : 0
  // Before the entries are read: what is revoked from here on may or may not be among them.
  const revocationSeq = await store.lastRevocation()
  // Seconds since the epoch, so that numbers go on growing where an older database was restored, which knows nothing of those that were used since.
  const number = await store.nextCrlNumber(issuerId, shard, BigInt(thisUpdate / 1000))
  const crl: NewCrl = { issuerId, shard, number, thisUpdate, nextUpdate, revocationSeq }
  const distributionPoints = shard === null ? [] : source.shardUrls(shard)
  let [octets, entries] = [0, 0]
  const counted = counting(store.revokedEntries(issuerId, shard, keepFrom), (count) => {
    entries = count
    onEntries?.(count)
  })
  // Not saved where another node was first with a higher number; it drew that number, and so read its entries, after this one drew its own.
  const saved = await store.saveCrl(crl, async (body) => {
    const ends = await encodeCrl({ issuer: source.issuer, number, thisUpdate, nextUpdate, distributionPoints, entries: counted }, body)
    octets = ends.octets
    const detail = { number: String(number), entries, octets, thisUpdate, nextUpdate }
    return { ...ends, audit: { at, actor: 'system', action: 'crl.published', subject: `crl:${name}`, detail } }
  })
  const facts: CrlFacts = { ...crl, octets }
  if (saved) onPublished?.(facts)
  log.debug({ crl: name, number: String(number), entries, octets, saved }, 'made a CRL')
  return facts
}

/** Passes batches on, each once it is counted: how many entries came so far. */
async function* counting(batches: AsyncIterable<RevokedEntry[]>, onCount: (entries: number) => void): AsyncIterable<RevokedEntry[]> {
  let entries = 0
  for await (const batch of batches) {
    entries += batch.length
    onCount(entries)
    yield batch
  }
}
