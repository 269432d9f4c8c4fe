/** How many look-ups may be under way at a time. */
import type { Answer } from './recursive.js'

type LookUp<T> = (name: string, signal: AbortSignal) => Promise<Answer<T>>

/** The same look-up, but at most `count` of them at a time; the others wait for their turn, or for their signal. */
export const atMost = <T>(count: number, lookUp: LookUp<T>): LookUp<T> => {
  const waiting = new Set<() => void>()
  let running = 0
  const turn = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const go = () => {
        waiting.delete(go)
        signal.removeEventListener('abort', go)
        resolve()
      }
      waiting.add(go)
      signal.addEventListener('abort', go, { once: true })
    })
  /** Who has a turn and does not take it passes it on. */
  const wakeNext = (): void => {
    const [go] = waiting
    go?.()
  }
  return async (name, signal) => {
    while (running >= count && !signal.aborted) await turn(signal)
    if (signal.aborted) {
      if (running < count) wakeNext()
      return { kind: 'failure', reason: 'timeout' }
    }
    running++
    try {
      return await lookUp(name, signal)
    } finally {
      running--
      wakeNext()
    }
  }
}
