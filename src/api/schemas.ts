/** The parts that answers are made of. */
import { z } from 'zod'

/** Milliseconds since the epoch as answers have them. */
export const rfc3339 = (ms: number): string => new Date(ms).toISOString()

export const time = z.iso.datetime()

export const hexSerial = 'e3b0c44298fc1c149afbf4c8996fb924'
const hexFingerprint = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

export const certificateName = z.object({
  form: z.enum(['dNSName', 'SRVName', 'XmppAddr']),
  value: z.string(),
})

const status = z.enum(['good', 'revoked', 'expired']).describe('A certificate that was revoked stays `revoked` when it has expired.')

export const certificateSummary = z.object({
  serial: z.string().meta({ description: 'Lower-case hex.', examples: [hexSerial] }),
  names: z.array(certificateName),
  profile: z.string().meta({ examples: ['xmpp-server'] }),
  notBefore: time,
  notAfter: time,
  status,
  fingerprint: z.string().meta({ description: 'SHA-256 of the DER, lower-case hex.', examples: [hexFingerprint] }),
})

export const certificate = certificateSummary.extend({
  issuer: z.object({ id: z.string(), name: z.string() }),
  subject: z.string().describe('Empty where the certificate has no subject.'),
  issuedAt: time,
  keyId: z.string().describe('SHA-256 of the SubjectPublicKeyInfo, lower-case hex.'),
  revocation: z.object({ at: time, reason: z.string().meta({ examples: ['keyCompromise'] }) }).nullable(),
  pem: z.string(),
  ocsp: z
    .object({ status: z.enum(['good', 'revoked']), thisUpdate: time, nextUpdate: time })
    .nullable()
    .describe('What the OCSP responder answers for it now; null where there is no answer, as for certificates of the root.'),
  crl: z
    .object({
      url: z.string(),
      number: z.string().describe('Decimal.'),
      thisUpdate: time,
      nextUpdate: time,
      listed: z.boolean().describe('Whether the list has it. A revocation is on it within minutes; what has expired leaves it.'),
    })
    .nullable()
    .describe('The revocation list that is served for it now.'),
})

export const certificatePage = z.object({
  certificates: z.array(certificateSummary),
  next: z.string().nullable().describe('The `cursor` of the next page; null on the last.'),
})

export const statistics = z.object({
  certificates: z.object({
    issued: z.int(),
    valid: z.int(),
    revoked: z.int().describe('Ever, also those that have expired since.'),
    expired: z.int().describe('Without those that were revoked.'),
  }),
  accounts: z.int(),
  domains: z.int().describe('Different domains that certificates name.'),
  perDay: z.array(z.object({ day: z.iso.date(), issued: z.int(), revoked: z.int() })).describe('The last 90 days (UTC), oldest first.'),
})

export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string().describe('What happened, and what to do next.'),
})

const addresses = z.array(z.string())

export const domain = z.object({
  name: z.string().describe('As it was given.'),
  ascii: z.string().nullable().describe('With A-labels, without the wildcard label; null where it is no name.'),
  unicode: z.string().nullable(),
  wildcard: z.boolean(),
  problem: z
    .object({ code: z.string(), detail: z.string().describe('A sentence for a person.') })
    .nullable()
    .describe('Why this CA would not certify the name.'),
  registrable: z.string().nullable().describe('The domain that one registers to own the name.'),
  srv: z.array(
    z.object({
      service: z.enum(['_xmpp-client._tcp', '_xmpp-server._tcp', '_xmpps-client._tcp', '_xmpps-server._tcp']),
      target: z.string().describe('`.` says that the service is not offered.'),
      port: z.int(),
      priority: z.int(),
      weight: z.int(),
      addresses,
    }),
  ),
  suggestions: z
    .array(z.object({ name: z.string(), resolves: z.boolean().nullable().describe('null: not known.') }))
    .describe('Names that an XMPP server commonly has beside the domain.'),
  caa: z
    .object({
      allowed: z.boolean(),
      methods: z.array(z.string()).describe('The challenge types after which it may be issued.'),
      at: z.string().nullable().describe('The domain whose records decide.'),
      records: z.array(z.string()),
      detail: z.string(),
    })
    .nullable(),
  mx: z.object({ null: z.boolean().describe('The domain takes no mail (RFC 7505).'), hosts: z.array(z.string()) }).nullable(),
  certificates: z.array(certificateSummary).describe('The newest of the name and everything below it.'),
  limits: z
    .object({ detail: z.string(), retryAt: time })
    .nullable()
    .describe('The rate limit that a new certificate for this name alone would meet now.'),
  incomplete: z.array(z.string()).describe('Look-ups that failed or took too long, each a sentence: what depends on them is left out above.'),
})

const recordState = z.enum(['right', 'missing', 'wrong', 'unreachable'])

export const dnsLook = z.object({
  name: z.string(),
  cname: z.string().nullable().describe('Where the aliases from the name end.'),
  zone: z.string().nullable(),
  servers: z.array(
    z.object({
      server: z.string(),
      address: z.string().nullable(),
      state: recordState,
      values: z.array(z.string()),
      ttl: z.int().nullable().describe('Seconds.'),
      detail: z.string(),
    }),
  ),
  resolver: z
    .object({
      state: z.enum([...recordState.options, 'notAsked']),
      values: z.array(z.string()),
      detail: z.string(),
    })
    .describe(
      "The CA's own resolver, which validates. It is asked only when the servers are right, because it would remember that there is nothing.",
    ),
  complete: z.boolean().describe('Every server that answers and the resolver have the expected value: the challenge can be answered now.'),
  problem: z.string().nullable().describe('Why the servers could not be found.'),
})
