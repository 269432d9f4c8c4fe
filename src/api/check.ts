/** What `xmpp-ica check` says of a domain, for the page. It connects to others on behalf of strangers, so it is rarer than anything else here. */
import { z } from 'zod'
import { type CheckOptions, checkDomain } from '../check/check.js'
import type { CheckPorts } from '../check/ports.js'
import type { Report } from '../check/report.js'
import { catalogue, type FindingId } from '../check/words.js'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import { parseIdentifier } from '../identifier.js'
import { createMemo } from './memo.js'
import { type Route, route } from './route.js'
import { time } from './schemas.js'

export type CheckDeps = { clock: Clock; ports: CheckPorts; options: CheckOptions }

/** Checks that run at one time; each has up to 32 sockets. */
const mostChecks = 4
const rememberedMs = 60_000

const finding = z.object({
  id: z.enum(Object.keys(catalogue) as [FindingId, ...FindingId[]]).describe('Stays the same between versions.'),
  level: z.enum(['good', 'info', 'warning', 'failing']),
  where: z.string(),
  title: z.string(),
  detail: z.string(),
  advice: z.string().describe('What to do; empty where there is nothing to be done.'),
})

const certificate = z.object({
  fingerprint: z.string().describe('SHA-256 of the DER of the first one, lower-case hex.'),
  chain: z.array(
    z.object({
      subject: z.string(),
      issuer: z.string(),
      serial: z.string(),
      notBefore: time,
      notAfter: time,
      key: z.string(),
      signature: z.string(),
      fingerprint: z.string(),
    }),
  ),
  trust: z.enum(['own', 'public', 'none']).describe('`own`: it leads to the root of this CA; `public`: to one that systems trust.'),
  names: z.array(z.object({ form: z.string(), value: z.string() })),
  judgements: z.array(
    z.object({
      verifier: z.enum(['prosody', 'ejabberd', 'openfire', 'conversations', 'dino', 'gajim']),
      label: z.string(),
      role: z.enum(['s2s', 'c2s']),
      accepted: z.boolean(),
      by: z.enum(['dNSName', 'SRVName', 'XmppAddr', 'CN']).nullable(),
      why: z.string(),
    }),
  ),
})

const report = z.object({
  domain: z.string(),
  unicode: z.string(),
  checkedAt: time,
  verdict: z.enum(['good', 'warnings', 'failing']),
  services: z.array(
    z.object({
      service: z.string(),
      state: z.enum(['offered', 'not offered', 'not published', 'unknown']),
      records: z.array(z.object({ target: z.string(), port: z.int(), priority: z.int(), weight: z.int() })),
    }),
  ),
  endpoints: z.array(
    z.object({
      role: z.enum(['c2s', 's2s']),
      direct: z.boolean().describe('TLS from the first octet (XEP-0368), not STARTTLS.'),
      host: z.string(),
      address: z.string(),
      port: z.int(),
      reached: z.boolean().describe('Whether a stream came about, up to its features after TLS.'),
      tls: z.object({ protocol: z.string(), cipher: z.string(), alpn: z.string().nullable(), stapled: z.boolean() }).nullable(),
      mechanisms: z.array(z.string()),
      certificate: z.string().nullable().describe('The fingerprint of one of `certificates`.'),
    }),
  ),
  certificates: z.array(certificate),
  findings: z.array(finding).describe('The worst first.'),
})

/** Checks, of which only so many run at once. */
const createChecker = ({ ports, options }: CheckDeps): ((domain: string) => Promise<Report>) => {
  let running = 0
  return async (domain) => {
    if (running >= mostChecks)
      throw new IcaError('unavailable', 'Too many servers are being checked. Ask again in a few seconds.', { retryAfter: 15 })
    running++
    try {
      return await checkDomain(domain, ports, options)
    } finally {
      running--
    }
  }
}

export const checkRoutes = (deps: CheckDeps): Route[] => {
  const memo = createMemo<Report>(deps.clock, rememberedMs, 200)
  const check = createChecker(deps)
  return [
    route({
      path: '/api/check',
      summary: "How a domain's XMPP servers look from outside",
      description:
        'Looks at DNS, streams, TLS, certificates, OCSP, CRL, DANE and POSH as clients and peers do, and says what is wrong and what to do. Takes up to 15 seconds. ' +
        'Public addresses only. The answer is remembered for a minute.',
      parameters: z.object({
        domain: z
          .string()
          .min(1, 'is empty: give a domain.')
          .max(300, 'is longer than a name can be.')
          .meta({ description: 'The XMPP domain.', examples: ['example.org'] }),
      }),
      answer: report,
      weight: 'probe',
      maxAge: null,
      handle({ domain }) {
        const { value } = parseIdentifier('dns', domain.trim().replace(/\.$/, ''), { lab: deps.ports.lab })
        if (value.startsWith('*.')) throw new IcaError('malformed', 'The parameter "domain" is a wildcard; a server has a domain.')
        return memo(value, () => check(value))
      },
    }),
  ]
}
