/** Work that comes round: each task alone, never twice at once, its failures logged and tried again next time. */
import type { Log } from './log.js'

export type Tasks = {
  /** Does `work` every `ms`, first after `firstMs`. Its signal aborts when the program stops: work that may take long ends then. */
  every(name: string, ms: number, work: (stopping: AbortSignal) => Promise<unknown>, firstMs?: number): void
  /** Begins nothing more; resolves when what runs is done. */
  stop(): Promise<void>
}

export const createTasks = (log: Log): Tasks => {
  const running = new Set<Promise<void>>()
  const timers = new Map<string, NodeJS.Timeout>()
  const stopping = new AbortController()

  const schedule = (name: string, ms: number, work: (stopping: AbortSignal) => Promise<unknown>, after: number): void => {
    if (stopping.signal.aborted) return
    const run = async (): Promise<void> => {
      try {
        await work(stopping.signal)
      } catch (error) {
        log.error({ err: error, task: name }, 'a recurring task failed; it is tried again')
      }
      schedule(name, ms, work, ms)
    }
    const start = (): void => {
      const done: Promise<void> = run().finally(() => running.delete(done))
      running.add(done)
    }
    timers.set(name, setTimeout(start, after).unref())
  }

  return {
    every: (name, ms, work, firstMs = ms) => schedule(name, ms, work, firstMs),
    stop: async () => {
      stopping.abort()
      for (const timer of timers.values()) clearTimeout(timer)
      await Promise.all(running)
    },
  }
}
