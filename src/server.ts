/** Listeners: where sockets are opened, bounded in time and size, and closed without losing a request that was begun. */
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import type { Address } from './config-values.js'
import { type Connections, watchConnections } from './connections.js'
import type { Log } from './log.js'
import type { FastPath } from './status/fast-path.js'

/** Generous for honest clients on bad lines, short enough that idle sockets cost nothing. Node's own defaults: 60 s, 300 s, 5 s. */
export const limits = {
  headersTimeout: 15_000,
  requestTimeout: 30_000,
  /** Longer than the idle timeout of usual reverse proxies, so that they close first. */
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16 * 1024,
  maxHeadersCount: 64,
  connectionsCheckingInterval: 5_000,
  /** Without an octet in either direction while a request or its answer is under way. */
  timeout: 60_000,
  /** For a whole answer: 64 kB/s for a list of a million revocations. */
  responseTimeout: 600_000,
  maxPipelined: 8,
  /** Of one process. Each costs a few kilobytes while it waits. */
  maxConnections: 10_000,
}

type Limits = typeof limits

export type Door = {
  name: string
  address: Address
  handler: RequestListener
  /** Present: TLS is spoken, with this certificate until it is replaced. */
  tls?: SecureContextOptions
  /** Present, without TLS only: it gets the connections first and passes on what is not for it. */
  fastPath?: FastPath
}

export type Listener = {
  name: string
  /** host:port as bound. */
  addresses: string[]
  port: number
  /** From the next connection on, this certificate is shown. */
  setCertificate(tls: SecureContextOptions): void
  /** Accepts no more, lets begun requests finish for at most `graceMs`, then cuts. */
  close(graceMs: number): Promise<void>
}

/** A failure to listen, in words. */
export class ListenError extends Error {}

const show = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

const explain = (door: Door, error: NodeJS.ErrnoException): ListenError => {
  const place = show(door.address.host, door.address.port)
  const key = door.name === 'status' ? 'ICA_STATUS_LISTEN' : 'ICA_LISTEN'
  const reasons: Record<string, string> = {
    EADDRINUSE: `another program listens there, perhaps this CA already. Stop it, or choose another port (${key})`,
    EACCES: `this user may not use ports below 1024. Let systemd pass CAP_NET_BIND_SERVICE, use a reverse proxy, or choose another port (${key})`,
    EADDRNOTAVAIL: `this machine does not have that address (${key})`,
    ENOTFOUND: `that host name has no address (${key})`,
  }
  return new ListenError(`cannot listen on ${place} for ${door.name}: ${reasons[error.code ?? ''] ?? error.message}`)
}

/** localhost means both loopback addresses: clients differ in which of them they try. `undefined` is every address. */
const hostsOf = (address: Address): (string | undefined)[] => {
  if (address.host === '*') return [undefined]
  return address.host === 'localhost' ? ['127.0.0.1', '::1'] : [address.host]
}

const listen = (server: Server, host: string | undefined, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host, backlog: 1024 }, () => {
      server.off('error', reject)
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : port)
    })
  })

const closeServer = (server: Server, connections: Connections, fastPath: FastPath | undefined, graceMs: number): Promise<void> =>
  new Promise((resolve) => {
    const closeIdle = (): void => {
      server.closeIdleConnections()
      connections.closeSilent()
      fastPath?.closeIdle()
    }
    // A kept-alive connection becomes idle when its request is answered: closed then, not after its timeout.
    const idle = setInterval(closeIdle, 25)
    const cut = setTimeout(() => {
      connections.closeAll()
      fastPath?.closeAll()
    }, graceMs)
    server.close(() => {
      clearInterval(idle)
      clearTimeout(cut)
      resolve()
    })
    closeIdle()
  })

/** Puts the fast path between the listening socket and what node:http does with a new connection. */
const putBefore = (fastPath: FastPath, server: Server): void => {
  const [serve] = server.listeners('connection') as [(this: Server, socket: Socket) => void]
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => fastPath.accept(socket, (given) => serve.call(server, given)))
}

/** What is said, in ASCII, of requests that node:http refuses before anybody sees them. */
const refusals: Record<string, [string, string]> = {
  HPE_HEADER_OVERFLOW: [
    '431 Request Header Fields Too Large',
    'The address or the header fields of this request are too long. In a browser: delete the cookies of this site, and of others on its host.\n',
  ],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not arrive in time. Send it again.\n'],
}

/** Says at most once a minute that connections are turned away. */
const sayFull = (server: Server, door: Door, log: Log): void => {
  let said = -Infinity
  server.on('drop', () => {
    if (performance.now() - said < 60_000) return
    said = performance.now()
    log.warn({ door: door.name, maxConnections: server.maxConnections }, 'there are too many connections: further ones are refused')
  })
}

const createServerFor = (door: Door, options: ServerOptions, { timeout, maxConnections }: Limits, log: Log): Server | HttpsServer => {
  const server = door.tls ? createHttpsServer({ ...options, ...tlsDefaults, ...door.tls }, door.handler) : createHttpServer(options, door.handler)
  server.maxHeadersCount = limits.maxHeadersCount
  server.maxConnections = maxConnections
  server.timeout = timeout
  sayFull(server, door, log)
  if (door.fastPath && !door.tls) putBefore(door.fastPath, server)
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
    const [status, text] = refusals[error.code ?? ''] ?? ['400 Bad Request', 'This is not a request of HTTP/1.1.\n']
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${text.length}\r\n\r\n${text}`)
  })
  server.on('error', (error) => log.error({ err: error, door: door.name }, 'listener failed'))
  return server
}

const tlsDefaults = { minVersion: 'TLSv1.2' as const, ALPNProtocols: ['http/1.1'] }

/** Opens a door. Rejects with {@link ListenError}, with nothing left open. `change`: other limits, for tests. */
export const openDoor = async (door: Door, log: Log, change: Partial<Limits> = {}): Promise<Listener> => {
  const bounds: Limits = { ...limits, ...change }
  const { headersTimeout, requestTimeout, keepAliveTimeout, maxHeaderSize, connectionsCheckingInterval } = bounds
  const options = { headersTimeout, requestTimeout, keepAliveTimeout, maxHeaderSize, connectionsCheckingInterval, noDelay: true, keepAlive: true }
  const servers: { server: Server; connections: Connections }[] = []
  const addresses: string[] = []
  let port = door.address.port
  const close = async (graceMs: number): Promise<void> => {
    await Promise.all(servers.map(({ server, connections }) => closeServer(server, connections, door.fastPath, graceMs)))
  }
  for (const host of hostsOf(door.address)) {
    const server = createServerFor(door, options, bounds, log)
    try {
      port = await listen(server, host, port)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // A machine without IPv6 still has a localhost.
      if (host === '::1' && servers.length > 0 && (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')) continue
      await close(0)
      throw explain(door, error as NodeJS.ErrnoException)
    }
    servers.push({ server, connections: watchConnections(server, bounds) })
    addresses.push(show(host ?? '*', port))
  }
  const setCertificate = (tls: SecureContextOptions): void => {
    for (const { server } of servers) (server as HttpsServer).setSecureContext({ ...tlsDefaults, ...tls })
  }
  return { name: door.name, addresses, port, setCertificate, close }
}
