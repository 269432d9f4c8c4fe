/** A request from the first field to the certificate: all that has to survive a reload. Pure; store.ts keeps it. */
import type { AcmeIdentifier } from '../acme/resources.js'
import type { KeyAlgorithm } from '../keys/private-keys.js'

export const steps = ['domain', 'names', 'key', 'proof', 'certificate'] as const
export type Step = (typeof steps)[number]

/** The ways of proof that the form knows, by their ACME challenge types, in the order in which they are offered. */
export const methods = ['dns-01', 'email-link-01', 'http-01'] as const
export type Method = (typeof methods)[number]

export type DraftKey =
  /** `pkcs8` null: not made yet, or taken away by its owner. */
  | { kind: 'new'; algorithm: KeyAlgorithm; pkcs8: Uint8Array | null }
  /** Of somebody's own CSR. */
  | { kind: 'csr'; der: Uint8Array }

export type Draft = {
  /** What the proof is for: a certificate, or the power over those that others got. */
  purpose: 'certificate' | 'manage'
  step: Step
  /** A-label. */
  domain: string
  /** A-labels besides `domain`, perhaps with a wildcard. */
  others: string[]
  /** The services of `xmpp-hosted`. */
  services: string[]
  /** Empty: the default of the CA. */
  profile: string
  key: DraftKey
  /** URLs of ACME resources. */
  account: string | null
  order: string | null
  /** The ARI identifier of the certificate that this one is to replace. */
  replaces: string | null
  /** By authorization URL. */
  methods: Record<string, Method>
  /** The chain, leaf first. */
  pem: string | null
  /** Whether the private key was saved to a file. */
  saved: boolean
}

export const allServices = ['_xmpp-client', '_xmpp-server'] as const

export const newDraft = (domain = ''): Draft => ({
  purpose: 'certificate',
  step: 'domain',
  domain,
  others: [],
  services: [...allServices],
  profile: '',
  key: { kind: 'new', algorithm: 'P-256', pkcs8: null },
  account: null,
  order: null,
  replaces: null,
  methods: {},
  pem: null,
  saved: false,
})

/** Whether a profile is about services, so that an order names these and not the domain. Built-in name; an operator may have others that take both. */
export const isHosted = (profile: string): boolean => profile === 'xmpp-hosted'

/** What to order. */
export const identifiersOf = ({ domain, others, services, profile }: Draft): AcmeIdentifier[] =>
  isHosted(profile)
    ? services.map((service) => ({ type: 'srv', value: `${service}.${domain}` }))
    : [...new Set([domain, ...others])].map((value) => ({ type: 'dns', value }))

/** A draft for the same names as these identifiers, at the step where it can be ordered. */
export const draftFor = (identifiers: readonly AcmeIdentifier[], profile: string, replaces: string | null): Draft => {
  const services = identifiers.filter(({ type }) => type === 'srv').map(({ value }) => value)
  const domains = identifiers.filter(({ type }) => type === 'dns').map(({ value }) => value)
  // A wildcard names no file and no path: the domain is a name without.
  const domain = services[0]?.replace(/^[^.]*\./, '') ?? domains.find((name) => !name.startsWith('*.')) ?? domains[0] ?? ''
  return {
    ...newDraft(domain),
    step: 'key',
    others: domains.filter((name) => name !== domain),
    services: services.length > 0 ? services.map((value) => value.slice(0, value.indexOf('.'))) : [...allServices],
    profile: services.length > 0 ? 'xmpp-hosted' : profile,
    replaces,
  }
}

/** The same inputs, before anything was ordered: for an order that expired or failed. The key stays. */
export const startOver = (draft: Draft): Draft => ({ ...draft, step: 'key', order: null, methods: {}, pem: null })

/** The same names with the choice of a key open again: for a key that the CA refuses. */
export const withoutKey = (draft: Draft): Draft => ({
  ...startOver(draft),
  key: draft.key.kind === 'csr' ? { kind: 'csr', der: new Uint8Array() } : { ...draft.key, pkcs8: null },
  saved: false,
})
