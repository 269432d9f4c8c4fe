/** How the text of a setting is read. What a reader throws is the mistake that the operator is told. */
import ipaddr from 'ipaddr.js'
import { z } from 'zod'

/** Where to listen. Host `*` is every address of the machine, `localhost` is 127.0.0.1 and ::1. */
export type Address = { host: string; port: number }
/** An address with the length of its network part. */
export type Network = [ipaddr.IPv4 | ipaddr.IPv6, number]
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** Whether this CA writes mails, and which. */
export const mailModes = ['on', 'notices', 'off'] as const

/** A zod type of text that `read` understands; what `read` throws is the mistake. */
export const text = <T>(read: (value: string) => T) =>
  z.string().transform((value, context): T => {
    try {
      return read(value)
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message })
      return z.NEVER
    }
  })

export const list = (value: string): string[] => value.split(/[\s,]+/).filter((item) => item !== '')

export const readPort = (value: string): number => {
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65535) throw new Error(`"${value}" is not a port; a port is a number up to 65535`)
  return Number(value)
}

export const readAddress = (value: string): Address => {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(\d+)$/.exec(value)
  if (!match) throw new Error(`"${value}" is not host:port; examples: localhost:8080, 192.0.2.1:443, [::1]:8080, *:443 (every address)`)
  return { host: (match[1] ?? '').replace(/^\[|\]$/g, '').toLowerCase() || '*', port: readPort(match[2] ?? '') }
}

export const readBaseUrl = (value: string): URL => {
  const url = URL.canParse(value) ? new URL(value) : null
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new Error(`"${value}" is not a web address; it looks like https://ica.example.org or http://localhost:8080`)
  }
  if (url.username || url.password) throw new Error('must not carry a user name or password')
  if (url.pathname !== '/' || url.search || url.hash) throw new Error(`must end after host and port: ${url.origin} (a path is not supported)`)
  return url
}

/** Addresses and networks in CIDR notation; an address alone is a network of one. */
export const readNetworks = (value: string): Network[] =>
  list(value).map((item): Network => {
    if (ipaddr.isValidCIDR(item)) return ipaddr.parseCIDR(item)
    if (!ipaddr.isValid(item) || !/[.:]/.test(item)) throw new Error(`"${item}" is not an address or network; examples: 127.0.0.1, ::1, 10.0.0.0/8`)
    const address = ipaddr.process(item)
    return [address, address.kind() === 'ipv4' ? 32 : 128]
  })

export const readServers = (value: string): string[] =>
  list(value).map((item) => {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::(\d+))?$/.exec(item)
    const host = match?.[1] ?? match?.[2] ?? (ipaddr.IPv6.isValid(item) ? item : '')
    if (!ipaddr.isValid(host)) throw new Error(`"${item}" is not address:port; examples: 127.0.0.1:5353, [::1]:53, 9.9.9.9 (port 53)`)
    const port = match?.[3] ? readPort(match[3]) : 53
    return ipaddr.IPv6.isValid(host) ? `[${host}]:${port}` : `${host}:${port}`
  })

export const readDatabase = (value: string): string => {
  if (/^file:(?!\/\/).+/.test(value)) return value
  if (/^postgres(ql)?:\/\//.test(value) && URL.canParse(value)) return value
  throw new Error('is neither file:<path> (SQLite, in one file) nor postgresql://user:password@host/database')
}

export const readSmtp = (value: string): string => {
  if (/^smtps?:\/\//.test(value) && URL.canParse(value)) return value
  throw new Error('is not a mail server; it looks like smtps://user:password@mail.example.org or smtp://localhost:25')
}

export const readSwitch = (value: string): boolean => {
  if (value === '1' || value === '0') return value === '1'
  throw new Error(`"${value}" is neither 1 (on) nor 0 (off)`)
}

export const webUrl = (value: string): string => {
  if (URL.canParse(value) && /^https?:/.test(value)) return new URL(value).href
  throw new Error(`"${value}" is not a web address`)
}
