type Range = { type: string; q: number }

const readRanges = (accept: string): Range[] =>
  accept.split(',').map((part) => {
    const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
    const q = parameters.find((parameter) => parameter.startsWith('q='))
    return { type, q: q === undefined ? 1 : Number(q.slice(2)) || 0 }
  })

/** How closely a range means a type: 2 by name, 1 by its first half, 0 by any, -1 not at all. */
const closeness = (range: string, type: string): number => {
  if (range === type) return 2
  if (range === '*/*') return 0
  return range.endsWith('/*') && type.startsWith(range.slice(0, -1)) ? 1 : -1
}

/**
 * Which of these media types a client likes best (RFC 9110 §12.5.1): of two that it likes as much, the one that it names more closely, then the one that it names
 * first, then the first of ours. Undefined where it takes none of them; a client that says nothing takes everything.
 */
export const preferred = (accept: string | undefined, types: readonly string[]): string | undefined => {
  if (accept === undefined) return types[0]
  const ranges = readRanges(accept)
  const liked = types.map((type) => {
    let best = { close: -1, q: 0, at: 0 }
    ranges.forEach((range, at) => {
      const close = closeness(range.type, type)
      if (close > best.close) best = { close, q: range.q, at }
    })
    return { type, ...best }
  })
  return liked.filter(({ q }) => q > 0).sort((a, b) => b.q - a.q || b.close - a.close || a.at - b.at)[0]?.type
}
