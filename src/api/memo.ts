import type { Clock } from '../clock.js'

/**
 * Remembers answers for a short time, and lets who asks meanwhile wait for the same one. What failed is not remembered; what is out of date is not kept, because strangers
 * choose how large answers are.
 * @param max answers held at most
 */
export const createMemo = <T>(
  clock: Clock,
  ttlMs: number,
  max: number,
): ((key: string, make: () => Promise<T>) => Promise<T>) & { /** Answers that are held. */ size(): number } => {
  const held = new Map<string, { until: number | null; answer: Promise<T> }>()
  const remember = (key: string, make: () => Promise<T>): Promise<T> => {
    const known = held.get(key)
    const now = clock.now()
    if (known && (known.until === null || now < known.until)) return known.answer
    for (const [other, { until }] of held) if (until !== null && now >= until) held.delete(other)
    const entry: { until: number | null; answer: Promise<T> } = { until: null, answer: make() }
    held.delete(key)
    held.set(key, entry)
    entry.answer.then(
      () => {
        entry.until = clock.now() + ttlMs
      },
      () => {
        if (held.get(key) === entry) held.delete(key)
      },
    )
    for (const oldest of held.keys()) {
      if (held.size <= max) break
      held.delete(oldest)
    }
    return entry.answer
  }
  return Object.assign(remember, { size: () => held.size })
}
