/**
 * The queue of validations: bounded, and shared fairly between accounts, so that nobody's hundred names that do not answer keep anybody else waiting. What does not
 * fit is left to the database, where it is found again when there is room.
 */
import { setMaxListeners } from 'node:events'
import type { Ica } from './ica.js'
import { VALIDATION_MS, validate, type Work } from './validate.js'

export type ValidationQueue = {
  /** Validates soon, in the background. The caller holds the lease until `leaseUntil`. */
  add(work: Work, leaseUntil: number): void
  /** Validates before its time what waits for another attempt, where the client asks for it (RFC 8555 §8.2), but not at once again. */
  hurry(work: Work): Promise<void>
  /** Begins to look for work that is due: retries, and what a crash left behind. */
  start(): void
  /** Ends running validations; what was not finished is due again at once. */
  stop(): Promise<void>
}

/** Validations at a time, and those of one account among them. */
const CONCURRENT = 64
const CONCURRENT_OF_ACCOUNT = 16
/** Those that wait for their turn, and those of one account among them: ten orders of a hundred names. */
const WAITING = 10_000
const WAITING_OF_ACCOUNT = 1_000
/** Longer than one validation, so that no two processes work on the same challenge; short, so that a crash delays nobody for long. */
export const LEASE_MS = VALIDATION_MS + 5_000
const POLL_MS = 1_000
/** What a client gains by asking for another attempt is bounded: by this pause, and by the number of attempts that there are. */
const HURRY_MS = 5_000

/** An attempt that this process has taken. */
type Entry = { work: Work; leaseUntil: number }

/** What waits, by account; the accounts take turns. */
const createLines = () => {
  const lines = new Map<string, Entry[]>()
  let size = 0
  const sizeOf = (accountId: string): number => lines.get(accountId)?.length ?? 0
  return {
    sizeOf,
    /** False where there is no room. */
    push(entry: Entry): boolean {
      const accountId = entry.work.account.id
      if (size >= WAITING || sizeOf(accountId) >= WAITING_OF_ACCOUNT) return false
      const line = lines.get(accountId)
      if (line) line.push(entry)
      else lines.set(accountId, [entry])
      size++
      return true
    },
    /** The first of the account whose turn it is among those that `may` have one; then it is the turn of the others. */
    shift(may: (accountId: string) => boolean): Entry | undefined {
      for (const [accountId, line] of lines) {
        if (!may(accountId)) continue
        const entry = line.shift()
        lines.delete(accountId)
        if (line.length > 0) lines.set(accountId, line)
        size--
        return entry
      }
      return undefined
    },
  }
}

/** Makes the queue that validates in the background. */
export const createValidationQueue = (ica: Ica): ValidationQueue => {
  const lines = createLines()
  /** Everything that this process has taken, waiting or running, by challenge. */
  const held = new Map<string, Entry>()
  const running = new Map<string, Promise<void>>()
  const runningOf = new Map<string, number>()
  /** When the last attempts ended; those that matter no more are dropped. */
  const ended = new Map<string, number>()
  const stopping = new AbortController()
  setMaxListeners(0, stopping.signal) // each validation under way listens to it
  let timer: NodeJS.Timeout | undefined

  const countRunning = (accountId: string, change: 1 | -1): void => {
    const count = (runningOf.get(accountId) ?? 0) + change
    if (count === 0) runningOf.delete(accountId)
    else runningOf.set(accountId, count)
  }
  const mayRun = (accountId: string): boolean => (runningOf.get(accountId) ?? 0) < CONCURRENT_OF_ACCOUNT

  const noteEnd = (id: string): void => {
    const now = ica.clock.now()
    ended.delete(id)
    ended.set(id, now)
    for (const [first, at] of ended) {
      if (at > now - HURRY_MS && ended.size <= WAITING) break
      ended.delete(first)
    }
  }

  /** Leaves an attempt that was not made to whoever has room for it. */
  const giveBack = async ({ work: { challenge }, leaseUntil }: Entry): Promise<void> => {
    held.delete(challenge.id)
    try {
      await ica.store.returnChallenge(challenge.id, leaseUntil, ica.clock.now())
    } catch (error) {
      ica.log.error({ err: error, challenge: challenge.id }, 'a validation waits for its lease to end')
    }
  }

  const run = ({ work }: Entry): void => {
    const { id } = work.challenge
    countRunning(work.account.id, 1)
    const done = validate(ica, work, stopping.signal)
      .catch((error: unknown) => ica.log.error({ err: error, challenge: id }, 'validation could not be recorded; it will be tried again'))
      .finally(() => {
        running.delete(id)
        if (!stopping.signal.aborted) held.delete(id)
        countRunning(work.account.id, -1)
        noteEnd(id)
        next()
      })
    running.set(id, done)
  }

  const next = (): void => {
    while (!stopping.signal.aborted && running.size < CONCURRENT) {
      const entry = lines.shift(mayRun)
      if (!entry) return
      if (entry.leaseUntil > ica.clock.now() + VALIDATION_MS) run(entry)
      else void giveBack(entry)
    }
  }

  const take = (entry: Entry): void => {
    held.set(entry.work.challenge.id, entry)
    if (stopping.signal.aborted) return
    if (lines.push(entry)) next()
    else void giveBack(entry)
  }

  const lease = async (id: string, dueAt: number): Promise<void> => {
    const leaseUntil = ica.clock.now() + LEASE_MS
    const work = await ica.store.leaseChallenge(id, dueAt, leaseUntil)
    if (work) take({ work, leaseUntil })
  }

  const poll = async (): Promise<void> => {
    const free = CONCURRENT - running.size
    if (free <= 0) return
    const busy = [...runningOf.keys()].filter((accountId) => !mayRun(accountId))
    for (const { id, accountId } of await ica.store.dueChallenges(ica.clock.now(), free, busy)) {
      if (stopping.signal.aborted) return
      if ((runningOf.get(accountId) ?? 0) + lines.sizeOf(accountId) < CONCURRENT_OF_ACCOUNT) await lease(id, ica.clock.now())
    }
  }

  const loop = (): void => {
    timer = setTimeout(async () => {
      await poll().catch((error: unknown) => ica.log.error({ err: error }, 'could not look for due validations'))
      if (!stopping.signal.aborted) loop()
    }, POLL_MS)
  }

  return {
    add: (work, leaseUntil) => take({ work, leaseUntil }),
    async hurry({ challenge }) {
      const now = ica.clock.now()
      const { nextAttemptAt } = challenge
      if (stopping.signal.aborted || held.has(challenge.id) || nextAttemptAt === null || nextAttemptAt <= now || challenge.error === null) return
      if ((ended.get(challenge.id) ?? 0) > now - HURRY_MS) return
      await lease(challenge.id, nextAttemptAt)
    },
    start() {
      // A database of one process: what another one held, it held before it died.
      if (ica.store.engine === 'sqlite') {
        ica.store
          .releaseChallenges(ica.clock.now())
          .catch((error: unknown) => ica.log.error({ err: error }, 'validations of before wait for their lease'))
      }
      loop()
    },
    async stop() {
      clearTimeout(timer)
      stopping.abort()
      await Promise.all(running.values())
      await Promise.all([...held.values()].map(giveBack))
    },
  }
}
