/**
 * The usual OCSP request on a connection that is kept alive, answered without node:http, which would take half of the time. Everything that is not the plainest HTTP
 * (fast-head.ts), comes in pieces, or is not for OCSP is handed with its connection to the normal server, where it stays: so HTTP is complete, and nothing is
 * gathered here. A connection is either waiting for a request, or its reading is paused until what it asked for is signed and its answers are under way.
 */
import type { Socket } from 'node:net'
import type { Clock } from '../clock.js'
import { maxOcspRequest } from '../pki/ocsp-request.js'
import { type BoundedMap, createBoundedMap } from './bounded-map.js'
import { copyOf, createFieldReader, type HeadFields, maxHead, readPath } from './fast-head.js'
import { isUnchanged } from './http.js'
import type { OcspService } from './ocsp.js'
import type { OcspAnswer } from './ocsp-answer.js'
import { createWireWriter, forget } from './wire.js'

export type FastPathDeps = {
  clock: Clock
  ocsp: Pick<OcspService, 'make' | 'held'>
  /** The same as of the normal server, in milliseconds. */
  limits: { headersTimeout: number; keepAliveTimeout: number; connectionsCheckingInterval: number }
}

export type FastPath = {
  /** Takes a new connection; one that is not for here goes to `toHttp` with all that it said. */
  accept(socket: Socket, toHttp: (socket: Socket) => void): void
  /** Ends the connections that wait for a request. */
  closeIdle(): void
  /** Cuts all that are here. */
  closeAll(): void
  /** The connections that are here. */
  size(): number
}

type Connection = {
  socket: Socket
  /** It has not said anything yet. */
  isNew: boolean
  isBusy: boolean
  hasEnded: boolean
  /** The round of the patrol in which it last did something. */
  seen: number
  /** Takes the listeners of this file off the socket. */
  detach(): void
  toHttp(socket: Socket): void
}

/** A request in a chunk. `octets` has one character for each octet of the OCSP request, `end` is the offset of what follows. */
type Request = { fields: HeadFields; isGet: boolean; octets: string; end: number }

const posts = ['POST /ocsp HTTP/1.1', 'POST /ocsp/ HTTP/1.1']
const get = 'GET /ocsp/'
const version = ' HTTP/1.1'

/**
 * What whole chunks were read as, for those that are one request with its answer in memory: a program that asks again says the same, octet for octet, and
 * reading it costs more than the answer.
 */
type Known = BoundedMap<Request>
/** Some 700 octets each. */
const maxKnown = 20_000
/** Characters of one that is remembered. */
const maxKnownLength = 768

/** Reads one request at `at`; null where it is not for the fast path or not all there. */
const createRequestReader = () => {
  const readFieldLines = createFieldReader()
  return (text: string, at: number): Request | null => {
    const headEnd = text.indexOf('\r\n\r\n', at)
    if (headEnd < 0 || headEnd - at > maxHead) return null
    const lineEnd = text.indexOf('\r\n', at)
    const line = text.slice(at, lineEnd)
    const isPost = posts.includes(line)
    if (!isPost && !(line.startsWith(get) && line.endsWith(version))) return null
    const fields = readFieldLines(text.slice(lineEnd + 2, headEnd))
    if (!fields) return null
    const start = headEnd + 4
    if (!isPost) {
      if (fields.bodyLength !== null) return null
      const octets = readPath(line.slice(get.length, -version.length))
      return octets ? { fields, isGet: true, octets, end: start } : null
    }
    if (fields.bodyLength === null || fields.bodyLength > maxOcspRequest || !fields.isOcsp) return null
    const end = start + fields.bodyLength
    return end <= text.length ? { fields, isGet: false, octets: text.slice(start, end), end } : null
  }
}

/** What a client that says nothing is told before its connection ends. */
const requestTimeout = 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

export const createFastPath = ({ clock, ocsp, limits }: FastPathDeps): FastPath => {
  const known: Known = createBoundedMap(maxKnown)
  const readRequest = createRequestReader()
  const wire = createWireWriter(limits.keepAliveTimeout)
  const connections = new Set<Connection>()
  let round = 0
  let watch: NodeJS.Timeout | null = null

  const send = ({ socket }: Connection, { fields, isGet }: Request, answer: OcspAnswer): void => {
    const now = clock.now()
    if (isGet && answer.shared && isUnchanged(fields, answer.shared.etag, answer.shared.thisUpdate)) {
      socket.write(wire.unchanged(answer.shared, now))
      return
    }
    socket.write(wire.full(answer, now))
    if (socket.writableLength > 0) forget(answer)
  }

  /** Reads no further until {@link resume}; `rest` is read first then. */
  const pause = ({ socket }: Connection, rest: Buffer): void => {
    socket.pause()
    socket.unshift(rest)
  }

  /** Goes on when what was said is under way, so that a client that asks on without reading costs no memory. */
  const resume = (connection: Connection): void => {
    const { socket } = connection
    if (socket.writableNeedDrain) {
      socket.once('drain', () => resume(connection))
      return
    }
    connection.isBusy = false
    connection.seen = round
    if (connection.hasEnded) socket.end()
    else if (socket.isPaused()) socket.resume()
  }

  const onData = (connection: Connection, chunk: Buffer): void => {
    const { socket } = connection
    // Most wait for their answer, so reading is only paused for those that do not.
    if (connection.isBusy) {
      pause(connection, chunk)
      return
    }
    connection.isNew = false
    connection.seen = round
    const text = chunk.toString('latin1')
    const isShort = text.length <= maxKnownLength
    const remembered = isShort ? known.get(text) : undefined
    for (let at = 0; at < text.length; ) {
      const request = remembered ?? readRequest(text, at)
      if (!request) {
        handOver(connection, chunk.subarray(at))
        return
      }
      const isWhole = at === 0 && request.end === text.length
      at = request.end
      const held = ocsp.held(request.octets)
      if (held && isShort && isWhole && !remembered) known.set(text, { ...request, octets: copyOf(request.octets) })
      const given = held ?? ocsp.make(request.octets)
      if (given instanceof Promise) {
        connection.isBusy = true
        void given.then((answer) => {
          if (socket.destroyed) return
          send(connection, request, answer)
          resume(connection)
        })
      } else {
        send(connection, request, given)
        if (!socket.writableNeedDrain) continue
        connection.isBusy = true
        resume(connection)
      }
      if (at < text.length) pause(connection, chunk.subarray(at))
      return
    }
  }

  const handOver = (connection: Connection, rest: Buffer): void => {
    const { socket, toHttp, detach } = connection
    detach()
    // Paused meanwhile: a stream that flows already would not begin again for what is put back.
    socket.pause()
    socket.unshift(rest)
    toHttp(socket)
    socket.resume()
  }

  /** Ends what has been idle for too long: with a word for those that have not said anything, as the normal server does. */
  const patrol = (): void => {
    round++
    for (const { socket, isNew, isBusy, seen } of connections) {
      const idleMs = (round - 1 - seen) * limits.connectionsCheckingInterval
      if (isNew && idleMs >= limits.headersTimeout) socket.end(requestTimeout, () => socket.destroy())
      else if ((!isBusy || socket.writableLength > 0) && idleMs >= limits.keepAliveTimeout) socket.destroy()
    }
  }

  const accept = (socket: Socket, toHttp: (socket: Socket) => void): void => {
    const listeners = {
      data: (chunk: Buffer) => onData(connection, chunk),
      end: () => {
        connection.hasEnded = true
        if (!connection.isBusy) socket.end()
      },
      // A client that goes away is no event; 'close' follows.
      error: () => undefined,
      close: () => detach(),
    }
    const detach = (): void => {
      for (const [event, listener] of Object.entries(listeners)) socket.off(event, listener)
      connections.delete(connection)
      if (connections.size > 0 || !watch) return
      clearInterval(watch)
      watch = null
    }
    const connection: Connection = { socket, isNew: true, isBusy: false, hasEnded: false, seen: round, detach, toHttp }
    connections.add(connection)
    watch ??= setInterval(patrol, limits.connectionsCheckingInterval).unref()
    for (const [event, listener] of Object.entries(listeners)) socket.on(event, listener)
  }

  return {
    accept,
    closeIdle: () => {
      for (const { socket, isBusy } of connections) if (!isBusy) socket.end()
    },
    closeAll: () => {
      for (const { socket } of connections) socket.destroy()
    },
    size: () => connections.size,
  }
}
