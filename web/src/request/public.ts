/** What the form reads of the CA's public JSON (src/api/schemas.ts). */

export type DomainFacts = {
  ascii: string | null
  unicode: string | null
  problem: { detail: string } | null
  srv: { service: string; target: string; port: number }[]
  suggestions: { name: string; resolves: boolean | null }[]
  caa: { allowed: boolean; detail: string } | null
  certificates: { serial: string; notAfter: string; status: string }[]
  limits: { detail: string; retryAt: string } | null
  incomplete: string[]
}

export type RecordState = 'right' | 'missing' | 'wrong' | 'unreachable'

export type DnsLook = {
  cname: string | null
  servers: { server: string; address: string | null; state: RecordState; values: string[]; detail: string }[]
  resolver: { state: RecordState | 'notAsked'; values: string[]; detail: string }
  complete: boolean
  problem: string | null
}

export const domainPath = (name: string): string => `/api/domain?name=${encodeURIComponent(name)}`
export const dnsPath = (name: string, expect: string): string => `/api/dns?name=${encodeURIComponent(name)}&expect=${encodeURIComponent(expect)}`
