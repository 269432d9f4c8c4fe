/** TXT records with how long they last. */
import { type Answer, createLookUp, defaultTimes, type ResolverTimes } from './recursive.js'

/** `text`: the strings of a record put together, as Latin-1. `ttl` in seconds: of the record, or of an alias on the way that ends sooner. */
export type LastingText = { text: string; ttl: number }

/** Looks TXT records up. Never rejects. */
export type LastingTxt = (name: string, signal: AbortSignal) => Promise<Answer<LastingText>>

/** Asks `servers` (`address:port`, IPv6 in brackets; the system's where there are none). Nothing is cached. */
export const createLastingTxt = (servers: readonly string[], times: ResolverTimes = defaultTimes): LastingTxt => {
  const lookUp = createLookUp(servers, times)
  return async (name, signal) => {
    const answer = await lookUp(name, 'TXT', signal)
    return answer.kind === 'records' ? { kind: 'records', records: answer.records.map(({ data, ttl }) => ({ text: data, ttl })) } : answer
  }
}
