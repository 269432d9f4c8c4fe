/** A map of bounded size that forgets what was not asked for lately. */
export type BoundedMap<V> = {
  get(key: string): V | undefined
  set(key: string, value: V): void
  delete(key: string): void
  clear(): void
  values(): Iterable<V>
  size(): number
}

/**
 * Two generations instead of a list in order of use: what is asked for moves into the young one, and when that is half of the limit, the old one goes as a whole.
 * So a hit costs one look-up, where a strict LRU deletes and inserts at each.
 * @param limit entries held at most
 */
export const createBoundedMap = <V>(limit: number): BoundedMap<V> => {
  let young = new Map<string, V>()
  let old = new Map<string, V>()
  const half = Math.max(1, Math.floor(limit / 2))

  const set = (key: string, value: V): void => {
    if (young.size >= half && !young.has(key)) {
      old = young
      young = new Map()
    }
    old.delete(key)
    young.set(key, value)
  }

  return {
    set,
    get: (key) => {
      const value = young.get(key)
      if (value !== undefined) return value
      const older = old.get(key)
      if (older !== undefined) set(key, older)
      return older
    },
    delete: (key) => {
      young.delete(key)
      old.delete(key)
    },
    clear: () => {
      young = new Map()
      old = new Map()
    },
    *values() {
      yield* young.values()
      yield* old.values()
    },
    size: () => young.size + old.size,
  }
}
