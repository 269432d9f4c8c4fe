import { z } from 'zod'
import type { Facts } from './facts.js'
import { type Route, route } from './route.js'

const certificateFacts = z.object({
  name: z.string(),
  sha256: z.string().describe('Fingerprint, upper-case hex with colons.'),
  notAfter: z.int().describe('Milliseconds since the epoch.'),
  der: z.url(),
  pem: z.url(),
})

/** Loose: what is added to the facts shows without being described here. */
const facts = z.looseObject({
  version: z.string(),
  name: z.string(),
  directory: z.url().describe('The ACME directory.'),
  root: certificateFacts,
  intermediate: certificateFacts,
  ocsp: z.url(),
  crls: z.array(z.url()),
  terms: z.string(),
  cps: z.string(),
  profiles: z.array(
    z.object({
      name: z.string(),
      description: z.string(),
      isDefault: z.boolean(),
      services: z.boolean().describe('For `srv` identifiers, not for domains.'),
      nameForms: z.array(z.enum(['dNSName', 'SRVName', 'XmppAddr'])),
      extendedKeyUsage: z.array(z.enum(['serverAuth', 'clientAuth'])),
      validityMs: z.number(),
    }),
  ),
  lab: z.boolean().describe('A laboratory: certificates prove nothing.'),
  needsRoot: z.boolean(),
})

export const factsRoute = (given: Facts): Route =>
  route({
    path: '/api/ca',
    summary: 'What this CA is',
    description: 'Its certificates, where its services are, and what it issues.',
    parameters: z.object({}),
    answer: facts,
    weight: 'free',
    // Facts change with a restart only, but then somebody looks at them.
    maxAge: 60,
    handle: () => given,
  })
