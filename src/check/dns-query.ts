/**
 * A DNS question to a resolver with the whole of its answer: what node:dns hides is what a check is about: aliases on the way, the AD flag (RFC 6840 §5.7), TLSA
 * records (RFC 6698).
 */
import { createAskServer, parseServer } from '../validation/dns-ask.js'
import { type DnsAnswer as Message, rcodeName, recordTypes } from '../validation/dns-message.js'

export type SrvRecord = { priority: number; weight: number; port: number; target: string }
export type TlsaRecord = { usage: number; selector: number; matching: number; data: string }

/** What records of each type are read as. The target of an SRV record is empty where it is the root. */
type Values = { A: string; AAAA: string; SRV: SrvRecord; TLSA: TlsaRecord }

const readers: { [T in keyof Values]: (data: string) => Values[T] } = {
  A: (data) => data,
  // In the usual short form.
  AAAA: (data) => new URL(`http://[${data}]`).hostname.slice(1, -1),
  SRV(data) {
    const [priority, weight, port, target = ''] = data.split(' ')
    return { priority: Number(priority), weight: Number(weight), port: Number(port), target: target === '.' ? '' : target }
  },
  TLSA(data) {
    const [usage, selector, matching, hex = ''] = data.split(' ')
    return { usage: Number(usage), selector: Number(selector), matching: Number(matching), data: hex }
  },
}

/** `aliases` are the CNAMEs on the way; `authentic` is what the resolver says of DNSSEC. A failure is anything but an answer. */
export type DnsAnswer<T> =
  | { kind: 'records'; records: T[]; aliases: string[]; authentic: boolean }
  | { kind: 'none'; aliases: string[]; authentic: boolean }
  | { kind: 'failure'; reason: string }

export type DnsClient = { query<T extends keyof Values>(name: string, type: T, signal: AbortSignal): Promise<DnsAnswer<Values[T]>> }

const answerOf = <T extends keyof Values>({ rcode, answers, authentic }: Message, type: T): DnsAnswer<Values[T]> => {
  if (rcode !== 0 && rcode !== 3) return { kind: 'failure', reason: rcodeName(rcode) }
  const of = (wanted: number): string[] => answers.flatMap((record) => (record.type === wanted && record.data !== null ? [record.data] : []))
  const records = of(recordTypes[type]).map(readers[type])
  const common = { aliases: of(recordTypes.CNAME), authentic }
  return records.length > 0 ? { kind: 'records', records, ...common } : { kind: 'none', ...common }
}

/**
 * Makes a client of resolvers (`address:port`, IPv6 in brackets), which are asked one behind the other until one answers. Nothing is cached, nothing is thrown.
 * @param tryMs until a question is asked once more, and until it is given up
 */
export const createDnsClient = (servers: readonly string[], tryMs = 1_000): DnsClient => {
  const resolvers = servers.map(parseServer).map(({ address, port }) => ({ address, ask: createAskServer({ port, tryMs, recursive: true }) }))
  return {
    async query<T extends keyof Values>(name: string, type: T, signal: AbortSignal) {
      let failure: DnsAnswer<Values[T]> = { kind: 'failure', reason: 'no resolver is set' }
      for (const { address, ask } of resolvers) {
        const asked = await ask(address, name, type, signal)
        const answer: DnsAnswer<Values[T]> = asked.ok ? answerOf(asked.answer, type) : { kind: 'failure', reason: asked.reason }
        if (answer.kind !== 'failure') return answer
        failure = answer
        if (signal.aborted) break
      }
      return failure
    },
  }
}
