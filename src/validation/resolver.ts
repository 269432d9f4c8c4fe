/**
 * The DNS as validation sees it.
 *
 * The work is done by c-ares (node:dns) against a recursive resolver, which follows aliases, but for CAA (recursive.ts). An answer is bounded by the 64 KiB of a DNS message.
 */
import { Resolver as Channel } from 'node:dns/promises'
import { withDeadline } from './deadline.js'
import { type Answer, createLookUp, defaultTimes, type ResolverTimes } from './recursive.js'

/** A CAA record (RFC 8659 §4.1), its tag in lower case. */
export type CaaRecord = { critical: boolean; tag: string; value: string }

/** SRV (RFC 2782); the target `.` says that there is no such service. */
export type SrvRecord = { priority: number; weight: number; port: number; target: string }
/** An MX record; the exchange of a null MX (RFC 7505) is empty. */
export type MxRecord = { preference: number; exchange: string }

export type Resolver = {
  /** TXT records, the strings of each put together (RFC 7208 §3.3 style), as Latin-1. */
  txt(name: string, signal: AbortSignal): Promise<Answer<string>>
  /** AAAA, then A. One of the two is enough. */
  addresses(name: string, signal: AbortSignal): Promise<Answer<string>>
  caa(name: string, signal: AbortSignal): Promise<Answer<CaaRecord>>
  srv(name: string, signal: AbortSignal): Promise<Answer<SrvRecord>>
  mx(name: string, signal: AbortSignal): Promise<Answer<MxRecord>>
  /** The name servers of a zone, in lower case; none where no zone begins at this name. */
  ns(name: string, signal: AbortSignal): Promise<Answer<string>>
}

const failures: Record<string, string> = {
  ESERVFAIL: 'SERVFAIL',
  EREFUSED: 'REFUSED',
  EFORMERR: 'FORMERR',
  ENOTIMP: 'NOTIMP',
  ETIMEOUT: 'timeout',
  ECANCELLED: 'timeout',
  ECONNREFUSED: 'resolver unreachable',
  EBADRESP: 'malformed answer',
}

const ofError = (error: unknown): Answer<never> => {
  const { code } = error as { code?: unknown }
  if (code === 'ENOTFOUND') return { kind: 'none', reason: 'NXDOMAIN' }
  if (code === 'ENODATA') return { kind: 'none', reason: 'NODATA' }
  return { kind: 'failure', reason: failures[String(code)] ?? String(code ?? error) }
}

const caaRecord = (data: string): CaaRecord => {
  const [, flags, tag = '', value = ''] = /^(\d+) (\S*) (.*)$/s.exec(data) ?? []
  // Bit 0, the most significant, is Issuer Critical; the others are reserved and ignored (RFC 8659 §4.1).
  return { critical: (Number(flags) & 0x80) !== 0, tag, value }
}

/** Both families count as one question: records of either are enough, and only if neither failed there are none. */
const either = (v6: Answer<string>, v4: Answer<string>): Answer<string> => {
  const records = [v6, v4].flatMap((answer) => (answer.kind === 'records' ? answer.records : []))
  if (records.length > 0) return { kind: 'records', records }
  if (v6.kind === 'failure') return v6
  return v6.kind === 'none' && v6.reason === 'NXDOMAIN' && v4.kind === 'none' ? v6 : v4
}

/**
 * A resolver that asks `servers` (`address:port`, IPv6 in brackets; the system's where there are none). Throws on a server that is not an address.
 *
 * Each look-up has a channel of its own: it can be cancelled alone, and its questions leave from a port that nobody can guess (RFC 5452 §9.2). A channel costs
 * 20 µs. The addresses of nothing are cached.
 */
export const createResolver = (servers: readonly string[], times: ResolverTimes = defaultTimes): Resolver => {
  const open = (): Channel => {
    const channel = new Channel({ timeout: times.firstTryMs, tries: times.tries })
    if (servers.length > 0) channel.setServers(servers)
    return channel
  }
  open() // to refuse bad servers now, not at the first look-up

  const ask = <T>(signal: AbortSignal, question: (channel: Channel) => Promise<T[]>): Promise<Answer<T>> =>
    withDeadline(times.totalMs, signal, async (deadline) => {
      if (deadline.aborted) return { kind: 'failure', reason: 'timeout' }
      const channel = open()
      const cancel = () => channel.cancel()
      deadline.addEventListener('abort', cancel, { once: true })
      try {
        const records = await question(channel)
        // An alias that leads to a name without such records arrives as an empty list.
        return records.length > 0 ? { kind: 'records', records } : { kind: 'none', reason: 'NODATA' }
      } catch (error) {
        return ofError(error)
      }
    })

  const lookUp = createLookUp(servers, times)

  return {
    txt: (name, signal) => ask(signal, async (channel) => (await channel.resolveTxt(name)).map((strings) => strings.join(''))),
    async addresses(name, signal) {
      const [v6, v4] = await Promise.all([ask(signal, (channel) => channel.resolve6(name)), ask(signal, (channel) => channel.resolve4(name))])
      return either(v6, v4)
    },
    async caa(name, signal) {
      const answer = await lookUp(name, 'CAA', signal)
      return answer.kind === 'records' ? { kind: 'records', records: answer.records.map(caaRecord) } : answer
    },
    srv: (name, signal) =>
      ask(signal, async (channel) =>
        (await channel.resolveSrv(name)).map(({ name: target, ...record }) => ({ ...record, target: target.toLowerCase() || '.' })),
      ),
    mx: (name, signal) =>
      ask(signal, async (channel) =>
        (await channel.resolveMx(name)).map(({ priority, exchange }) => ({ preference: priority, exchange: exchange.replace(/\.$/, '') })),
      ),
    ns: (name, signal) => ask(signal, async (channel) => (await channel.resolveNs(name)).map((server) => server.toLowerCase())),
  }
}
