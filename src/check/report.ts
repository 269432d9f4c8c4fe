/** What a check says: the report that the terminal, the JSON and the web page show. Free of Node, so that the page can share it. */
import type { Judgement } from '../pki/verifiers.js'
import { catalogue, type FindingId, type Level } from './words.js'

export type Finding = {
  /** A key of {@link catalogue}; stays the same between versions, for monitoring. */
  id: FindingId
  level: Level
  /** Where it was seen: a DNS name, endpoints, a URL. */
  where: string
  /** What is so, in a few words; what exactly was seen, in a sentence; what to do, or an empty string. */
  title: string
  detail: string
  advice: string
}

export type ChainMember = {
  subject: string
  issuer: string
  serial: string
  notBefore: string
  notAfter: string
  key: string
  signature: string
  fingerprint: string
}

export type EndpointReport = {
  role: 'c2s' | 's2s'
  direct: boolean
  host: string
  address: string
  port: number
  /** Whether a stream came about up to its features after TLS, or would for a peer that the server knows. */
  reached: boolean
  tls: { protocol: string; cipher: string; alpn: string | null; stapled: boolean } | null
  mechanisms: string[]
  /** The fingerprint (SHA-256, hex) of the first certificate of `chains`. */
  certificate: string | null
}

export type CertificateReport = {
  fingerprint: string
  chain: ChainMember[]
  /** What leads to a trust anchor: `own` is the root of this CA (or that was given), `public` what systems trust, `none` neither. */
  trust: 'own' | 'public' | 'none'
  names: { form: string; value: string }[]
  judgements: Judgement[]
}

export type ServiceReport = {
  service: string
  state: 'offered' | 'not offered' | 'not published' | 'unknown'
  records: { target: string; port: number; priority: number; weight: number }[]
}

export type Report = {
  domain: string
  unicode: string
  /** RFC 3339. */
  checkedAt: string
  verdict: 'good' | 'warnings' | 'failing'
  services: ServiceReport[]
  endpoints: EndpointReport[]
  certificates: CertificateReport[]
  /** The worst first. */
  findings: Finding[]
}

/** A finding in the words of the catalogue. `level` where this once it is another. */
export const finding = (id: FindingId, where: string, detail: string, level: Level = catalogue[id][0]): Finding => {
  const [, title, advice] = catalogue[id]
  return { id, level, where, title, detail, advice }
}

const severity: Record<Level, number> = { failing: 0, warning: 1, info: 2, good: 3 }

/** Findings that say the same of several places become one; the worst first, otherwise in their order. */
export const gather = (findings: readonly Finding[]): Finding[] => {
  const merged = new Map<string, Finding>()
  for (const one of findings) {
    const key = JSON.stringify([one.id, one.level, one.detail])
    const before = merged.get(key)
    if (!before) merged.set(key, { ...one })
    else if (!before.where.split(', ').includes(one.where)) before.where += `, ${one.where}`
  }
  return [...merged.values()].sort((a, b) => severity[a.level] - severity[b.level])
}

/** The verdict over all findings. */
export const verdictOf = (findings: readonly Finding[]): Report['verdict'] =>
  findings.some(({ level }) => level === 'failing') ? 'failing' : findings.some(({ level }) => level === 'warning') ? 'warnings' : 'good'
