/** What a check reaches the world through. */
import { getServers } from 'node:dns'
import { createDial } from '../validation/dial.js'
import { createFetch } from '../validation/fetcher.js'
import { createResolver, type Resolver } from '../validation/resolver.js'
import { createDnsClient, type DnsClient } from './dns-query.js'

export type Got = { ok: true; body: Buffer; status: number } | { ok: false; detail: string }

export type CheckPorts = {
  dns: DnsClient
  /** For CAA alone. */
  resolver: Pick<Resolver, 'caa'>
  /** GET of a URL, at most `maxBody` octets. A longer body is a failure, any status is not. */
  get(url: string, maxBody: number, signal: AbortSignal): Promise<Got>
  /** Milliseconds since the epoch. */
  now(): number
  /** Whether private addresses may be connected to, and URLs have any port. */
  lab: boolean
  /** Where https:// of the domain itself is; 443 but in a lab. */
  httpsPort: number
}

export type CheckPortOptions = {
  /** `address:port` of recursive resolvers, at least one. */
  servers: readonly string[]
  /** Private addresses may be connected to: on the machine of an operator, never for anybody from outside. */
  lab: boolean
  now: () => number
  httpsPort?: number | undefined
  dnsTryMs?: number | undefined
}

const getMs = 3_000

/** The same ports for one check: what several certificates point to is fetched once. */
export const fetchOnce = (ports: CheckPorts): CheckPorts => {
  const known = new Map<string, Promise<Got>>()
  const get: CheckPorts['get'] = (url, maxBody, signal) => {
    const before = known.get(url) ?? ports.get(url, maxBody, signal)
    known.set(url, before)
    return before
  }
  return { ...ports, get }
}

/** The resolvers of the system, in the form that ports take. */
export const systemServers = (): string[] =>
  getServers().map((server) => (server.split(':').length > 2 && !server.startsWith('[') ? `[${server}]` : server))

/** Wires the ports. */
export const createCheckPorts = ({ servers, lab, now, httpsPort = 443, dnsTryMs }: CheckPortOptions): CheckPorts => {
  const resolver = createResolver(servers, { firstTryMs: 1_000, tries: 2, totalMs: 3_000 })
  const dial = createDial({ resolver, lab, connectMs: 2_000 })
  return {
    dns: createDnsClient(servers, dnsTryMs),
    resolver,
    async get(url, maxBody, signal) {
      const { port, protocol } = new URL(url)
      if (port !== '' && !lab) return { ok: false, detail: `${url.slice(0, 200)} has a port of its own, which is not connected to` }
      const own = port === '' ? undefined : Number(port)
      const ports = { httpPort: protocol === 'http:' ? (own ?? 80) : 80, httpsPort: protocol === 'https:' ? (own ?? httpsPort) : httpsPort }
      const fetched = await createFetch({ dial, lab, ...ports, totalMs: getMs })(url, maxBody, signal)
      if (!fetched.ok) return { ok: false, detail: fetched.detail }
      if (fetched.page.more) return { ok: false, detail: `${url.slice(0, 200)} has more than ${maxBody} octets` }
      return { ok: true, body: fetched.page.body, status: fetched.page.status }
    },
    now,
    lab,
    httpsPort,
  }
}
