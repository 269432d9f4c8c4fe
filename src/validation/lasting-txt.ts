/**
 * TXT records with how long they last, which node:dns does not tell: the recursive resolvers are asked without it. What is no answer is a failure, as in resolver.ts.
 */
import { getServers } from 'node:dns'
import { withDeadline } from './deadline.js'
import { createAskServer, parseServer } from './dns-ask.js'
import { aliasesFrom, type DnsAnswer, rcodeName, recordTypes } from './dns-message.js'
import { type Answer, defaultTimes, type ResolverTimes } from './resolver.js'

/** `text`: the strings of a record put together, as Latin-1. `ttl` in seconds: of the record, or of an alias on the way that ends sooner. */
export type LastingText = { text: string; ttl: number }

/** Looks TXT records up. Never rejects. */
export type LastingTxt = (name: string, signal: AbortSignal) => Promise<Answer<LastingText>>

const read = ({ rcode, truncated, answers }: DnsAnswer, name: string): Answer<LastingText> => {
  // Cut off by TCP too.
  if (truncated) return { kind: 'failure', reason: 'malformed answer' }
  if (rcode === 3) return { kind: 'none', reason: 'NXDOMAIN' }
  if (rcode !== 0) return { kind: 'failure', reason: rcodeName(rcode) }
  const aliases = aliasesFrom(answers, name)
  const end = aliases.at(-1)?.data ?? name
  const found = answers.filter((record) => record.type === recordTypes.TXT && record.name === end)
  if (found.length === 0) return { kind: 'none', reason: 'NODATA' }
  const ttl = Math.min(...[...aliases, ...found].map((record) => record.ttl))
  return { kind: 'records', records: found.map(({ data }) => ({ text: data ?? '', ttl })) }
}

/** Asks `servers` (`address:port`, IPv6 in brackets; the system's where there are none), one behind the other until one answers. Nothing is cached. */
export const createLastingTxt =
  (servers: readonly string[], { firstTryMs, totalMs }: Pick<ResolverTimes, 'firstTryMs' | 'totalMs'> = defaultTimes): LastingTxt =>
  (given, signal) =>
    withDeadline(totalMs, signal, async (deadline) => {
      const name = given.toLowerCase()
      let failure: Answer<LastingText> = { kind: 'failure', reason: 'no resolver is set' }
      for (const { address, port } of (servers.length > 0 ? servers : getServers()).map(parseServer)) {
        const asked = await createAskServer({ port, tryMs: firstTryMs, recursive: true })(address, name, 'TXT', deadline)
        const answer: Answer<LastingText> = asked.ok ? read(asked.answer, name) : { kind: 'failure', reason: asked.reason }
        if (answer.kind !== 'failure') return answer
        failure = answer
        if (deadline.aborted) break
      }
      return failure
    })
