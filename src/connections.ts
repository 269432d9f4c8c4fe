/**
 * The connections of a server, and what node:http does not bound by itself: requests that are sent without waiting for answers (it begins every one that it has read), and
 * answers that nobody takes.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export type ConnectionLimits = {
  /** Requests of one connection that are worked on; while there are more, no further ones are read. */
  maxPipelined: number
  /** Milliseconds in which an answer must have been taken, from when its turn came. */
  responseTimeout: number
  connectionsCheckingInterval: number
}

export type Connections = {
  /** Ends those on which nothing was said yet (browsers open such), and unfinished TLS handshakes. */
  closeSilent(): void
  closeAll(): void
}

/** `turn`: when the answer that is due next could begin. */
type State = { begun: number; turn: number; isWatched: boolean }

/** Watches a server that has just begun to listen until it is closed. */
export const watchConnections = (server: Server, { maxPipelined, responseTimeout, connectionsCheckingInterval }: ConnectionLimits): Connections => {
  const sockets = new Map<Socket, State>()

  /** Reads no further; also where node:http wants to, for a body or because answers have been taken. */
  const hold = (socket: Socket, state: State): void => {
    socket.pause()
    if (state.isWatched) return
    state.isWatched = true
    socket.on('resume', () => {
      if (state.begun > maxPipelined) socket.pause()
    })
  }

  const onRequest = ({ socket }: IncomingMessage, res: ServerResponse): void => {
    const state = sockets.get(socket)
    if (!state) return
    if (state.begun++ === 0) state.turn = performance.now()
    if (state.begun > maxPipelined) hold(socket, state)
    res.once('close', () => {
      state.turn = performance.now()
      if (state.begun-- === maxPipelined + 1) socket.resume()
    })
  }

  const cutOverdue = (): void => {
    const since = performance.now() - responseTimeout
    for (const [socket, { begun, turn }] of sockets) if (begun > 0 && turn < since) socket.destroy()
  }
  const patrol = setInterval(cutOverdue, connectionsCheckingInterval).unref()

  const watch = (socket: Socket): void => {
    sockets.set(socket, { begun: 0, turn: 0, isWatched: false })
    socket.once('close', () => sockets.delete(socket))
  }
  // The same connection twice where TLS is spoken: what was said in clear, and what inside.
  server.on('connection', watch).on('secureConnection', watch)
  server.prependListener('request', onRequest)
  server.once('close', () => clearInterval(patrol))
  return {
    closeSilent: () => {
      for (const socket of sockets.keys()) if (socket.bytesRead === 0) socket.destroy()
    },
    closeAll: () => {
      for (const socket of sockets.keys()) socket.destroy()
    },
  }
}
