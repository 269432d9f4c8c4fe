/** The narrow ports through which validation meets the network, wired in one place. */
import { createDial, type Dial } from './dial.js'
import { createFetch, type Fetch } from './fetcher.js'
import type { ResolverTimes } from './recursive.js'
import { createResolver, type Resolver } from './resolver.js'

export type Ports = {
  resolver: Resolver
  dial: Dial
  fetch: Fetch
  /** Where tls-alpn-01 connects to. */
  tlsAlpn01Port: number
  /** What one validation may take; the fetcher keeps to it by itself. */
  totalMs: number
}

export type PortOptions = {
  /** `address:port` of recursive resolvers; none for the system's. */
  servers: readonly string[]
  /** Private addresses may be connected to. Never on a CA that anybody else trusts. */
  lab: boolean
  /** 80 but in a lab: where http-01 connects to, and what http:// redirects may name. */
  http01Port?: number
  /** 443 but in a lab: where tls-alpn-01 connects to, and what https:// redirects may name. */
  tlsAlpn01Port?: number
  /** Milliseconds, shorter in tests. */
  times?: { resolver?: ResolverTimes; connectMs?: number; totalMs?: number }
}

/** Throws where a server is not an address with a port. */
export const createPorts = ({ servers, lab, http01Port = 80, tlsAlpn01Port = 443, times = {} }: PortOptions): Ports => {
  const resolver = createResolver(servers, times.resolver)
  const dial = createDial({ resolver, lab, connectMs: times.connectMs ?? 5_000 })
  const totalMs = times.totalMs ?? 10_000
  const fetch = createFetch({ dial, lab, httpPort: http01Port, httpsPort: tlsAlpn01Port, totalMs })
  return { resolver, dial, fetch, tlsAlpn01Port, totalMs }
}
