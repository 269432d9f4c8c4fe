import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import type { Sealer } from '../keystore/seal.js'
import type { Log } from '../log.js'
import type { AuditEntry } from '../model.js'
import type { Issuer, StatusUrls } from '../pki/certificate.js'
import type { Profile } from '../pki/profile.js'
import type { WeakKeyList } from '../pki/weak-key-list.js'
import type { Store } from '../store/store.js'
import type { Resolver } from '../validation/resolver.js'
import type { Method, Validator } from '../validation/validator.js'
import type { AddressBook } from './addresses.js'
import type { Limits } from './limits.js'
import type { Policies } from './policies.js'

/** Who asks: goes into every audit row. */
export type Who = { actor: string; address?: string | undefined; requestId?: string | undefined }

/** Counters that the pipeline bumps; what collects them is wired in build.ts. */
export type Metrics = {
  count(name: 'accounts' | 'orders' | 'validations' | 'certificates' | 'revocations' | 'failures' | 'mails', labels?: Record<string, string>): void
}

/** The challenge that waits for the reader of a mail: nothing is looked at, so it has no {@link Validator}. */
export type EmailMethod = Method & {
  addresses: AddressBook
  /** A mail was put into the outbox just now. */
  onMail(): void
}

/** Whether a new account can or must bring an external account binding (RFC 8555 §7.3.4). */
export const externalAccountModes = ['off', 'optional', 'required'] as const
export type ExternalAccountMode = (typeof externalAccountModes)[number]

export type Settings = {
  /** Private and reserved names and addresses may be validated. */
  lab: boolean
  termsOfService: string
  website: string
  /** The issuer domain names that a CAA record may name (RFC 8659 §4.2). */
  caaIdentities: string[]
  orderLifetimeMs: number
  /** How long a pending authorization waits for its client. */
  pendingLifetimeMs: number
  /** How long a validation may be reused (PKI.md: at most 30 days). */
  authorizationReuseMs: number
  /** The pause before each further validation attempt; its length is the number of retries. */
  validationDelaysMs: readonly number[]
  maxIdentifiers: number
  crlShards: number
  externalAccounts: ExternalAccountMode
  limits: Limits
}

/** Everything that the pipeline is given. Made in build.ts. */
export type Ica = {
  clock: Clock
  log: Log
  store: Store
  metrics: Metrics
  /** The intermediate that signs leaves. */
  issuer: Issuer
  /** What follows a leaf of this issuer, issuer first, root left out; the first is the default, the others become `alternate` links. Throws notFound for an issuer that is none of this CA any more. */
  chainsOf(issuerId: string): Uint8Array[][]
  /** Where the certificate of an issuer of this CA is published. */
  issuerUrl(issuerId: string): string
  profiles: ReadonlyMap<string, Profile>
  defaultProfile: string
  validators: readonly Validator[]
  /** Validation by mail (email-link-01); null where this CA does not offer it. */
  email: EmailMethod | null
  /** Asks the DNS for the CAA records at one name. Keeps to its signal. */
  lookUpCaa: Resolver['caa']
  /** Absolute URL of an account, the `kid` of its requests and the `accounturi` of RFC 8657. */
  accountUri(id: string): string
  statusUrls(shard: number): StatusUrls
  /** True for the SPKI hash of the key of a root or intermediate of this CA; those that it makes and rotates by itself are known to the store. */
  isOwnKey(keyId: string): boolean
  /** RSA keys that are known to be guessable. */
  weakKeys: Pick<WeakKeyList, 'has'>
  settings: Settings
  /** What the operator decides while the CA runs. */
  policies: Policies
  /** Closes the small secrets that lie in the database. */
  sealer: Sealer
  /** Tells the CRL publisher and the OCSP cache. */
  afterRevocation(issuerId: string, serial: string): void
}

/** Every way to prove a name that this CA offers. */
export const methodsOf = ({ validators, email }: Pick<Ica, 'validators' | 'email'>): readonly Method[] =>
  email ? [...validators, email] : validators

const RANDOM_OCTETS = 10
/** Drawn for many ids at once: asking OpenSSL takes longer than the rest. Those before `drawn` are used. */
let random = Buffer.alloc(0)
let drawn = 0

/** A new opaque id: milliseconds then 80 random bits, in hex, so that rows that are made together lie together in an index. */
export const newId = (now: number): string => {
  if (drawn === random.length) {
    random = randomBytes(RANDOM_OCTETS * 256)
    drawn = 0
  }
  const from = drawn
  drawn += RANDOM_OCTETS
  return now.toString(16).padStart(12, '0') + random.toString('hex', from, drawn)
}

/** An audit row for what `who` does now. */
export const act = (ica: Pick<Ica, 'clock'>, who: Who, action: string, subject: string, detail: Record<string, unknown> = {}): AuditEntry => ({
  at: ica.clock.now(),
  actor: who.actor,
  action,
  subject,
  detail,
  address: who.address,
  requestId: who.requestId,
})

/** The same answer for what does not exist and what belongs to another account, so that ids can't be probed. */
export const owned = <T extends { accountId: string }>(found: T | null, accountId: string, what: string): T => {
  if (!found || found.accountId !== accountId) throw new IcaError('notFound', `This account has no such ${what}.`)
  return found
}
