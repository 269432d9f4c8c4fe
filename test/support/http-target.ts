/** Servers on loopback for validation to look at: well-behaved ones, and raw ones for everything else. Each says who connected. */
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls'

export type Target = {
  port: number
  /** Connections so far. */
  readonly connections: number
  /** Connections that are open. */
  readonly open: number
  close(): Promise<void>
}

const listen = async (server: Server, host: string, port: number): Promise<Target> => {
  const sockets = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections++
    sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => {}))
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  return {
    port: (server.address() as { port: number }).port,
    get connections() {
      return connections
    },
    get open() {
      return sockets.size
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

type Where = { host?: string; port?: number }

/** An HTTP server. */
export const startHttpTarget = (handler: RequestListener, { host = '127.0.0.1', port = 0 }: Where = {}): Promise<Target> =>
  listen(createHttpServer(handler), host, port)

/** A TCP server that hands over each socket. */
export const startTcpTarget = (onConnection: (socket: Socket) => void, { host = '127.0.0.1', port = 0 }: Where = {}): Promise<Target> =>
  listen(createServer(onConnection), host, port)

/** A TLS server that hands over each socket after the handshake. */
export const startTlsTarget = (
  options: TlsOptions,
  onConnection: (socket: TLSSocket) => void,
  { host = '127.0.0.1', port = 0 }: Where = {},
): Promise<Target> =>
  listen(
    createTlsServer(options, (socket) => {
      socket.on('error', () => {})
      onConnection(socket)
    }).on('tlsClientError', () => {}),
    host,
    port,
  )
