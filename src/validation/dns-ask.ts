/** Asks one DNS server, by its address, one question: by UDP, again by TCP where the answer does not fit (RFC 7766). */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { familyOf } from './address.js'
import { type DnsAnswer, encodeQuestion, type RecordType, readAnswer } from './dns-message.js'

/** An answer, or in a few words why there is none. */
export type Asked = { ok: true; answer: DnsAnswer } | { ok: false; reason: string }

/** A server as it is set or as node:dns names it: `address:port`, IPv6 in brackets, or an address alone, whose port is 53. */
export const parseServer = (server: string): { address: string; port: number } => {
  const [, six, four, port] = /^(?:\[([^\]]+)\]|([0-9.]+))(?::(\d+))?$/.exec(server) ?? []
  return { address: six ?? four ?? server, port: Number(port ?? 53) }
}

/** Asks the server at an address. Never rejects. The address must have been judged: this connects to whatever it is given. */
export type AskServer = (address: string, name: string, type: RecordType, signal: AbortSignal) => Promise<Asked>

/** Milliseconds until an unanswered UDP question is asked once more, and until that one is given up. */
const defaultTryMs = 1_000

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nobody listens there',
  ENETUNREACH: 'this CA has no way to that network',
  EHOSTUNREACH: 'the host cannot be reached',
  EADDRNOTAVAIL: 'this CA has no way to that network',
}

const ofError = (error: unknown): Asked => {
  const { code, message } = error as NodeJS.ErrnoException
  return { ok: false, reason: error instanceof RangeError ? message : (reasons[code ?? ''] ?? code ?? 'failed') }
}

type Question = { id: number; name: string; type: RecordType; octets: Buffer }
type Tell = (asked: Asked) => void

/** What a message comes to; null for one that is not the answer, which may still come. */
const judge = ({ id, name, type }: Question, message: Buffer): Asked | null => {
  try {
    const answer = readAnswer(message, id, name, type)
    return answer && { ok: true, answer }
  } catch (error) {
    return ofError(error)
  }
}

/** Runs until `begin` tells, the time is up or the signal aborts; then `end` is called, once. */
const untilTold = (ms: number, signal: AbortSignal, begin: (tell: Tell) => () => void): Promise<Asked> =>
  new Promise((resolve) => {
    let done = false
    let end = (): void => {}
    const tell: Tell = (asked) => {
      if (done) return
      done = true
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      end()
      resolve(asked)
    }
    const timer = setTimeout(() => tell({ ok: false, reason: 'timeout' }), ms)
    const abort = (): void => tell({ ok: false, reason: 'timeout' })
    signal.addEventListener('abort', abort, { once: true })
    end = begin(tell)
    if (done) end()
    else if (signal.aborted) abort()
  })

const byUdp = (address: string, port: number, question: Question, tryMs: number, signal: AbortSignal): Promise<Asked> =>
  untilTold(2 * tryMs, signal, (tell) => {
    // Connected, so that only this server is heard; its own port, so that nobody else can answer in its place (RFC 5452 §9.2).
    const socket = createSocket(familyOf(address) === 6 ? 'udp6' : 'udp4')
    let closed = false
    const send = (): void => {
      if (!closed) socket.send(question.octets)
    }
    const again = setTimeout(send, tryMs)
    socket.on('error', (error) => tell(ofError(error)))
    socket.on('message', (message) => {
      const asked = judge(question, message)
      if (asked) tell(asked)
    })
    socket.connect(port, address, ((error?: Error) => (error ? tell(ofError(error)) : send())) as () => void)
    return () => {
      if (closed) return
      closed = true
      clearTimeout(again)
      socket.close()
    }
  })

const byTcp = (address: string, port: number, question: Question, tryMs: number, signal: AbortSignal): Promise<Asked> =>
  untilTold(2 * tryMs, signal, (tell) => {
    const socket = connect({ host: address, port })
    let received = Buffer.alloc(0)
    socket.on('error', (error) => tell(ofError(error)))
    socket.on('close', () => tell({ ok: false, reason: 'closed the connection' }))
    socket.on('connect', () => socket.write(Buffer.concat([Buffer.of(question.octets.length >> 8, question.octets.length & 0xff), question.octets])))
    socket.on('data', (chunk) => {
      // At most the 64 KiB of one message and what came with its end.
      received = Buffer.concat([received, chunk])
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return
      tell(judge(question, received.subarray(2, 2 + received.readUInt16BE(0))) ?? { ok: false, reason: 'malformed answer' })
    })
    return () => socket.destroy()
  })

/**
 * @param port where servers are asked: 53 but in a laboratory
 * @param recursive whether they are resolvers
 */
export const createAskServer =
  ({ port = 53, tryMs = defaultTryMs, recursive = false }: { port?: number; tryMs?: number; recursive?: boolean } = {}): AskServer =>
  async (address, name, type, signal) => {
    try {
      const id = randomInt(0x10000)
      const question = { id, name, type, octets: encodeQuestion(id, name, type, recursive) }
      const asked = await byUdp(address, port, question, tryMs, signal)
      return asked.ok && asked.answer.truncated ? await byTcp(address, port, question, tryMs, signal) : asked
    } catch (error) {
      return ofError(error)
    }
  }
