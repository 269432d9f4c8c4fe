/**
 * Asks recursive resolvers for what node:dns can't read: a CAA record without a value, which RFC 8659 §4.2 allows and which forbids to issue. What a look-up can
 * come to is in the type: records, none, or a failure, and a failure is never permission.
 */
import { getServers } from 'node:dns'
import { withDeadline } from './deadline.js'
import { createAskServer, parseServer } from './dns-ask.js'
import { aliasesFrom, type DnsAnswer, type RecordType, rcodeName, recordTypes } from './dns-message.js'

export type Answer<T> =
  | { kind: 'records'; records: T[] }
  | { kind: 'none'; reason: 'NXDOMAIN' | 'NODATA' }
  /** SERVFAIL (a broken DNSSEC chain among its causes), REFUSED, timeout, an answer that can't be read. */
  | { kind: 'failure'; reason: string }

/** Milliseconds. A try that is not answered is followed by one that waits twice as long. */
export type ResolverTimes = { firstTryMs: number; tries: number; totalMs: number }
export const defaultTimes: ResolverTimes = { firstTryMs: 1_500, tries: 3, totalMs: 10_000 }

/** Looks records up, through aliases, and gives their data as dns-message.ts writes it. Never rejects. */
export type LookUp = (name: string, type: RecordType, signal: AbortSignal) => Promise<Answer<string>>

const read = ({ rcode, truncated, answers }: DnsAnswer, name: string, type: RecordType): Answer<string> => {
  // Cut off by TCP too.
  if (truncated) return { kind: 'failure', reason: 'malformed answer' }
  if (rcode === 3) return { kind: 'none', reason: 'NXDOMAIN' }
  if (rcode !== 0) return { kind: 'failure', reason: rcodeName(rcode) }
  const end = aliasesFrom(answers, name).at(-1)?.data ?? name
  const found = answers.filter((record) => record.type === recordTypes[type] && record.name === end)
  return found.length > 0 ? { kind: 'records', records: found.map(({ data }) => data ?? '') } : { kind: 'none', reason: 'NODATA' }
}

/**
 * Asks `servers` (`address:port`, IPv6 in brackets; the system's where there are none), one behind the other until one answers, then those again that kept silent.
 * Nothing is cached.
 */
export const createLookUp =
  (servers: readonly string[], { firstTryMs, tries, totalMs }: ResolverTimes = defaultTimes): LookUp =>
  (given, type, signal) =>
    withDeadline(totalMs, signal, async (deadline) => {
      const name = given.toLowerCase()
      let failure: Answer<never> = { kind: 'failure', reason: 'no resolver is set' }
      let asked = (servers.length > 0 ? servers : getServers()).map(parseServer)
      for (let round = 0; round < tries && asked.length > 0; round++) {
        const silent: typeof asked = []
        for (const server of asked) {
          // The question is sent a second time in the middle of a try.
          const ask = createAskServer({ port: server.port, tryMs: (firstTryMs * 2 ** round) / 2, recursive: true })
          const heard = await ask(server.address, name, type, deadline)
          const answer = heard.ok ? read(heard.answer, name, type) : ({ kind: 'failure', reason: heard.reason } as const)
          if (answer.kind !== 'failure') return answer
          failure = answer
          if (deadline.aborted) return failure
          if (answer.reason === 'timeout') silent.push(server)
        }
        asked = silent
      }
      return failure
    })
