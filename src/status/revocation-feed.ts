/**
 * Follows the revocations of all processes and nodes through the database, in the sequence in which they became visible, so that none is missed: not by a node that
 * was away for a while, and not because a message was lost.
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
  /** Called when the feed begins: what was answered before could be out of date. */
  onBegin(): void
}

export type RevocationFeed = {
  /** Tells of everything new. Call it every second or two, and after a revocation in this process. Never rejects: what failed is told of at the next call. */
  poll(): Promise<void>
  /** The number of the last revocation that was told of; null before the first successful poll. For metrics. */
  position(): number | null
  /** Whether the last poll succeeded. */
  isFollowing(): boolean
}

const batchSize = 1000

export const createRevocationFeed = ({ log, store, onRevoked, onBegin }: RevocationFeedDeps): RevocationFeed => {
  let position: number | null = null
  let running: Promise<void> | null = null
  let failing = false

  const advance = async (): Promise<void> => {
    if (position === null) {
      position = await store.lastRevocation()
      onBegin()
      return
    }
    for (;;) {
      const events = await store.revokedSince(position, batchSize)
      for (const event of events) {
        onRevoked(event)
        position = event.seq
      }
      if (events.length < batchSize) return
    }
  }

  const poll = async (): Promise<void> => {
    try {
      await advance()
      if (failing) log.info({ position }, 'revocations can be followed again')
      failing = false
    } catch (err) {
      if (!failing) log.error({ err, position }, 'revocations by other processes can’t be followed; trying again')
      failing = true
    }
  }

  return {
    poll: () => {
      running ??= poll().finally(() => {
        running = null
      })
      return running
    },
    position: () => position,
    isFollowing: () => position !== null && !failing,
  }
}
