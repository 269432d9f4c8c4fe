/** Answers as they go over the wire, head and body in one piece, octet for octet as node:http would write them. */
import { httpDate } from './http.js'
import { cacheFieldsAt, headRoom, type OcspAnswer, type SharedAnswer, type Wire } from './ocsp-answer.js'

export type WireWriter = {
  /** 200 with the answer. What it returns may be changed with the next second: see {@link forget}. */
  full(answer: OcspAnswer, now: number): Buffer
  /** 304 (RFC 9110 §15.4.5). */
  unchanged(shared: SharedAnswer, now: number): Buffer
}

const dateLength = 'Thu, 01 Jan 1970 00:00:00 GMT'.length

const lines = (fields: readonly string[]): string => {
  let text = ''
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  return text
}

const cacheLines = (shared: SharedAnswer | null, now: number): string => (shared ? lines(cacheFieldsAt(shared, now)) : 'Cache-Control: no-store\r\n')

/** @param keepAliveMs how long a connection may be idle, as clients are told */
export const createWireWriter = (keepAliveMs: number): WireWriter => {
  const connection = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(keepAliveMs / 1000)}\r\n\r\n`
  let second = -1
  let date = ''

  const tick = (now: number): void => {
    const current = Math.floor(now / 1000)
    if (current === second) return
    second = current
    date = httpDate(now)
  }

  /** `isFirst`: nothing was ever written in front of the body. */
  const assemble = ({ body, shared }: OcspAnswer, now: number, isFirst: boolean): Wire => {
    const before = `HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: ${body.length}\r\n${cacheLines(shared, now)}Date: `
    const head = `${before}${date}\r\n${connection}`
    const size = head.length + body.length
    const inPlace = isFirst && head.length <= headRoom
    // What is kept must not keep a pool alive.
    const fresh = shared ? Buffer.allocUnsafeSlow : Buffer.allocUnsafe
    const octets = inPlace ? Buffer.from(body.buffer, body.byteOffset - head.length, size) : fresh(size)
    octets.write(head, 'latin1')
    if (!inPlace) octets.set(body, head.length)
    return { octets, dateAt: before.length, second }
  }

  return {
    full: (answer, now) => {
      tick(now)
      // What caches are told is the same until then.
      if (!answer.shared || now >= answer.shared.staleAt) return assemble(answer, now, false).octets
      let { wire } = answer
      if (!wire) {
        wire = assemble(answer, now, wire === undefined)
        // The only copy of the body from now on.
        answer.body = wire.octets.subarray(wire.octets.length - answer.body.length)
        answer.wire = wire
      } else if (wire.second !== second) {
        wire.octets.write(date, wire.dateAt, dateLength, 'latin1')
        wire.second = second
      }
      return wire.octets
    },
    unchanged: (shared, now) => {
      tick(now)
      return Buffer.from(`HTTP/1.1 304 Not Modified\r\n${cacheLines(shared, now)}Date: ${date}\r\n${connection}`, 'latin1')
    },
  }
}

/** Call it where the octets of an answer could not be handed to the system at once: the next one gets others, so that these are not changed on their way. */
export const forget = (answer: OcspAnswer): void => {
  answer.wire = null
}
