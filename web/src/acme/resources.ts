/** The resources of RFC 8555 §7.1 as they come over the wire, reduced to what the form uses. */

export type Directory = {
  newNonce: string
  newAccount: string
  newOrder: string
  revokeCert: string
  keyChange: string
  renewalInfo?: string
  meta: { termsOfService?: string; profiles?: Record<string, string>; externalAccountRequired?: boolean; caaIdentities?: string[] }
}

export type AcmeIdentifier = { type: 'dns' | 'srv'; value: string }

export type Problem = { type: string; detail: string; subproblems?: Problem[]; identifier?: AcmeIdentifier }

export type AccountResource = { status: 'valid' | 'deactivated' | 'revoked'; contact?: string[]; orders: string }

export type OrderStatus = 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'

export type OrderResource = {
  url: string
  status: OrderStatus
  expires: string
  identifiers: AcmeIdentifier[]
  profile?: string
  error?: Problem
  authorizations: string[]
  finalize: string
  certificate?: string
}

/** An address that may confirm by e-mail, and where it comes from (docs/acme-xmpp.md, email-link-01). */
export type MailAddress = { address: string; source: 'constructed' | 'caa' | 'txt'; at: string }
export type MailState = {
  address: string
  state: 'queued' | 'sent' | 'deferred' | 'failed' | 'bounced'
  detail: string
  at: string
  expires: string
}

export type ChallengeResource = {
  type: string
  url: string
  status: 'pending' | 'processing' | 'valid' | 'invalid'
  token?: string
  error?: Problem
  addresses?: MailAddress[]
  /** Sentences about addresses that are missing. */
  problems?: string[]
  mail?: MailState
}

export type AuthorizationResource = {
  url: string
  identifier: AcmeIdentifier
  status: 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired' | 'revoked'
  expires: string
  wildcard?: boolean
  challenges: ChallengeResource[]
}

/** RFC 9773 §4.2, times in milliseconds since the epoch. */
export type RenewalWindow = { start: number; end: number; explanationUrl: string | null }
