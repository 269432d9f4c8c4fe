/**
 * Follows the revocations of all processes and nodes through the database, in the sequence in which they became visible, so that none is missed: not by a node that
 * was away for a while, and not because a message was lost. Where the database is no longer the one that was followed (an older backup was restored, or a standby that was
 * behind took over), it begins anew.
 */
import type { Log } from '../log.js'

/** A revocation with its place in the sequence. */
export type RevocationEvent = { seq: number; issuerId: string; serial: string; crlShard: number }

export type RevocationFeedDeps = {
  log: Log
  store: {
    /** The number of the last revocation; 0 where there is none. */
    lastRevocation(): Promise<number>
    /** The revocations behind number `seq`, in their sequence. */
    revokedSince(seq: number, limit: number): Promise<RevocationEvent[]>
  }
  onRevoked(event: RevocationEvent): void
  /** Called when the feed begins, also anew: what was answered before could be out of date. */
  onBegin(): void
}

export type RevocationFeed = {
  /**
   * Tells of everything that was revoked before the call. Call it every second or two, and where a revocation is known of. Never rejects: what failed is told of at the
   * next call.
   */
  poll(): Promise<void>
  /** The number of the last revocation that was told of; null before the first successful poll. For metrics. */
  position(): number | null
  /** How many revocations it has told of. */
  told(): number
  /** Whether the last poll succeeded. */
  isFollowing(): boolean
}

const batchSize = 1000

export const createRevocationFeed = ({ log, store, onRevoked, onBegin }: RevocationFeedDeps): RevocationFeed => {
  /** Null before the first poll; without a serial where nothing is revoked yet. */
  let last: { seq: number; serial?: string } | null = null
  let running: Promise<void> | null = null
  let next: Promise<void> | null = null
  let failing = false
  let told = 0
  const position = (): number | null => last?.seq ?? null

  const begin = async (): Promise<void> => {
    const seq = await store.lastRevocation()
    const [found] = seq === 0 ? [] : await store.revokedSince(seq - 1, 1)
    last = found ?? { seq }
    onBegin()
  }

  const advance = async (): Promise<void> => {
    if (!last) return begin()
    for (;;) {
      // With the last one that is known: nothing is ever deleted, so where it is another this is another past.
      const known: number = last.serial === undefined ? 0 : 1
      const events = await store.revokedSince(last.seq - known, batchSize + known)
      if (known > 0 && events[0]?.serial !== last.serial) {
        log.warn({ position: last.seq }, 'the database has another past than before, as after a restore: revocations are followed anew')
        return begin()
      }
      for (const event of events.slice(known)) {
        onRevoked(event)
        told++
        last = event
      }
      if (events.length < batchSize + known) return
    }
  }

  const poll = async (): Promise<void> => {
    try {
      await advance()
      if (failing) log.info({ position: position() }, 'revocations can be followed again')
      failing = false
    } catch (err) {
      if (!failing) log.error({ err, position: position() }, 'revocations by other processes can’t be followed; trying again')
      failing = true
    }
  }

  return {
    poll: () => {
      const run = (): Promise<void> => {
        next = null
        running = poll().finally(() => {
          running = null
        })
        return running
      }
      // One that runs may have read already what it tells of.
      if (!running) return run()
      next ??= running.then(run)
      return next
    },
    position,
    told: () => told,
    isFollowing: () => last !== null && !failing,
  }
}
