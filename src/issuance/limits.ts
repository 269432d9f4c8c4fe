/**
 * Rate limits (RFC 8555 §6.6): what is counted, by what, and what a client is told. A limit of 50 in 7 days lets 50 acts through at once and then one for each 50th
 * of 7 days that passes; store/limits.ts has the arithmetic in the database.
 */
import { createHash } from 'node:crypto'
import ipaddr from 'ipaddr.js'
import { compareIdentifiers, domainOf, type Identifier, registrableDomain } from '../identifier.js'
import type { LimitOverride } from '../model.js'
import { type Charge, mailboxOf } from '../store/store.js'

/** `count` acts in `windowMs`; null: no limit. */
export type Rate = { count: number; windowMs: number } | null

export const limitNames = [
  'newAccountsPerAddress',
  'ordersPerAccount',
  'certificatesPerDomain',
  'certificatesPerExactSet',
  'failedValidations',
  'mailsPerAccount',
  'mailsPerRecipient',
  'mailsPerDomain',
  'noticesPerRecipient',
  'noticesPerStranger',
] as const
export type LimitName = (typeof limitNames)[number]
export type Limits = Readonly<Record<LimitName, Rate>>

const units: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `90s`, `15m`, `3h`, `7d` in milliseconds. Throws what is wrong with it. */
export const parseDuration = (text: string): number => {
  const [, number = '', unit = ''] = /^([1-9]\d{0,5})([smhd])$/.exec(text) ?? []
  const ms = Number(number) * (units[unit] ?? 0)
  if (ms === 0 || ms > 366 * 86_400_000) throw new Error(`"${text}" is not a time; examples: 90s, 15m, 3h, 7d (at most 366d)`)
  return ms
}

/** `50/7d`, or `off` for no limit. Throws what is wrong with it. */
export const parseRate = (text: string): Rate => {
  if (text === 'off') return null
  const [, count = '', window = ''] = /^(\d{1,9})\/(.+)$/.exec(text) ?? []
  if (count === '') throw new Error(`"${text}" is not a limit; examples: 50/7d (50 in 7 days), 300/3h, off`)
  const windowMs = parseDuration(window)
  if (Number(count) < 1 || Number(count) > windowMs)
    throw new Error(`"${text}": the number must lie between 1 and one in a millisecond; to stop everything, pause or deny`)
  return { count: Number(count), windowMs }
}

/** The inverse of {@link parseRate}. */
export const showRate = (rate: Rate): string => {
  if (rate === null) return 'off'
  const [unit = 's', ms = 1000] = Object.entries(units).findLast(([, size]) => rate.windowMs % size === 0) ?? []
  return `${rate.count}/${rate.windowMs / ms}${unit}`
}

/** For a federation: a hosting provider with a few hundred domains never meets them, a runaway script does in minutes. */
export const defaultLimits: Limits = {
  newAccountsPerAddress: parseRate('20/3h'),
  ordersPerAccount: parseRate('300/3h'),
  certificatesPerDomain: parseRate('50/7d'),
  certificatesPerExactSet: parseRate('5/7d'),
  failedValidations: parseRate('5/1h'),
  mailsPerAccount: parseRate('200/1d'),
  mailsPerRecipient: parseRate('20/1d'),
  mailsPerDomain: parseRate('50/1d'),
  noticesPerRecipient: parseRate('100/1d'),
  noticesPerStranger: parseRate('5/1d'),
}

export const noLimits: Limits = {
  newAccountsPerAddress: null,
  ordersPerAccount: null,
  certificatesPerDomain: null,
  certificatesPerExactSet: null,
  failedValidations: null,
  mailsPerAccount: null,
  mailsPerRecipient: null,
  mailsPerDomain: null,
  noticesPerRecipient: null,
  noticesPerStranger: null,
}

/** The limits of a text like `ordersPerAccount=1000/3h, failedValidations=off`; those that it leaves out are the default ones. Throws what is wrong with it. */
export const parseLimits = (text: string): Limits => {
  if (text.trim() === 'off') return noLimits
  const limits: Record<LimitName, Rate> = { ...defaultLimits }
  for (const item of text.split(/[\s,]+/).filter((part) => part !== '')) {
    const [name = '', rate = ''] = item.split('=', 2)
    const limit = limitNames.find((known) => known === name)
    if (!limit) throw new Error(`there is no limit "${name}"; there are ${limitNames.join(', ')}`)
    limits[limit] = parseRate(rate)
  }
  return limits
}

/** The inverse of {@link parseLimits}. */
export const showLimits = (limits: Limits): string => limitNames.map((name) => `${name}=${showRate(limits[name])}`).join(' ')

/** One limit as one act meets it. */
export type Counter = {
  limit: LimitName
  rate: Rate
  key: string
  /** What is counted and by what, for the sentence: `orders of this account`. */
  what: string
  /** Only looked at now, counted later. */
  later?: boolean
  /** Does not apply to who renews: where something was counted under this key before. */
  sparesRenewal?: string
  /** What was counted is remembered so long, also where there is no limit: by it a renewal is told from a new certificate. */
  keepMs?: number
  /** Counts against this instead, as long as there is room in it. */
  instead?: Allowance
}

/** Acts that do not count against their limit, up to a number of them. */
export type Allowance = {
  key: string
  rate: NonNullable<Rate>
  keepMs: number
  /** Is there only where something left its trace under the key. */
  earned: boolean
}

/** How long a certificate is remembered by what it was counted under; longer than any lives. */
const RENEWABLE_MS = 400 * 86_400_000

/** The overrides that the operator made, by `<limit> <subject>`. */
export type Overrides = ReadonlyMap<string, Rate>

export const compileOverrides = (overrides: readonly LimitOverride[]): Overrides =>
  new Map(overrides.map(({ limit, subject, count, windowMs }) => [`${limit} ${subject}`, count === null ? null : { count, windowMs }]))

/** The first override for one of the subjects, or else the CA's own limit. */
const rateFor = (limits: Limits, overrides: Overrides, limit: LimitName, ...subjects: string[]): Rate => {
  for (const subject of subjects) {
    const rate = overrides.get(`${limit} ${subject}`)
    if (rate !== undefined) return rate
  }
  return limits[limit]
}

/** What a client's address is counted by: IPv4 whole, IPv6 by its /64, which is what one subscriber has. */
export const addressKey = (address: string): string => {
  if (!ipaddr.isValid(address)) return address
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  return `${(parsed as ipaddr.IPv6).parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':')}::/64`
}

/** Names the set of identifiers, whatever their order. */
export const exactSetKey = (identifiers: readonly Identifier[]): string => {
  const names = [...identifiers].sort(compareIdentifiers).map(({ type, value }) => `${type}:${value}`)
  return `certificatesPerExactSet:${createHash('sha256').update(names.join('\n')).digest('base64url')}`
}

export const accountCounters = (limits: Limits, overrides: Overrides, address: string | undefined): Counter[] => {
  if (address === undefined) return []
  const from = addressKey(address)
  const rate = rateFor(limits, overrides, 'newAccountsPerAddress', from)
  return [{ limit: 'newAccountsPerAddress', rate, key: `newAccountsPerAddress:${from}`, what: `new accounts from the address ${from}` }]
}

export const failureCounter = (limits: Limits, overrides: Overrides, accountId: string, identifier: Identifier): Counter => ({
  limit: 'failedValidations',
  rate: rateFor(limits, overrides, 'failedValidations', accountId, registrableDomain(domainOf(identifier))),
  key: `failedValidations:${accountId}:${identifier.value}`,
  what: `failed validations of "${identifier.value}" by this account`,
  later: true,
})

export const orderCounter = (limits: Limits, overrides: Overrides, accountId: string): Counter => ({
  limit: 'ordersPerAccount',
  rate: rateFor(limits, overrides, 'ordersPerAccount', accountId),
  key: `ordersPerAccount:${accountId}`,
  what: 'orders of this account',
})

/** So many orders for what it renews an account has before they count like all others: without an end to it, who has one certificate could order for ever. */
const renewalOrders = { count: 5, windowMs: 7 * 86_400_000 }

/** The orders of an account that renew: for the names of a certificate that it got ({@link renewalTrace}), or in place of one that is due by ARI. */
export const renewalAllowance = (accountId: string, identifiers: readonly Identifier[], dueCertificate: string | null): Allowance => ({
  key: `renewalOrders:${accountId}:${dueCertificate ?? exactSetKey(identifiers)}`,
  rate: renewalOrders,
  keepMs: RENEWABLE_MS,
  earned: dueCertificate === null,
})

/** Left when a certificate is issued; it uses nothing of the allowance up. */
export const renewalTrace = (accountId: string, identifiers: readonly Identifier[]): Charge => {
  const { key, rate, keepMs } = renewalAllowance(accountId, identifiers, null)
  return { key, ...rate, cost: 0, keepMs }
}

/** A message that asks somebody to confirm control of a domain: nobody's mailbox is filled through this CA. */
export const mailCounters = (limits: Limits, overrides: Overrides, accountId: string, domain: string, recipient: string): Counter[] => {
  const registrable = registrableDomain(domain)
  const mailbox = mailboxOf(recipient)
  return [
    {
      limit: 'mailsPerAccount',
      rate: rateFor(limits, overrides, 'mailsPerAccount', accountId),
      key: `mailsPerAccount:${accountId}`,
      what: 'messages that this account asked for',
    },
    {
      limit: 'mailsPerRecipient',
      rate: rateFor(limits, overrides, 'mailsPerRecipient', mailbox),
      key: `mailsPerRecipient:${mailbox}`,
      what: `messages to the mailbox ${mailbox}`,
    },
    {
      limit: 'mailsPerDomain',
      rate: rateFor(limits, overrides, 'mailsPerDomain', registrable, accountId),
      key: `mailsPerDomain:${registrable}`,
      what: `messages about the registered domain ${registrable}`,
    },
  ]
}

/** What a certificate for these identifiers counts against. `exempt`: nothing, but it is remembered. */
export const certificateCounters = (
  limits: Limits,
  overrides: Overrides,
  accountId: string,
  identifiers: readonly Identifier[],
  exempt: boolean,
): Counter[] => {
  const used = [limits.ordersPerAccount, limits.certificatesPerDomain, limits.certificatesPerExactSet].some((rate) => rate !== null)
  if (!used && overrides.size === 0) return []
  const domains = [...new Set(identifiers.map((identifier) => registrableDomain(domainOf(identifier))))]
  const set = exactSetKey(identifiers)
  const exactSet: Counter = {
    limit: 'certificatesPerExactSet',
    rate: exempt ? null : rateFor(limits, overrides, 'certificatesPerExactSet', accountId, ...domains),
    key: set,
    what: 'certificates for exactly these names',
    keepMs: RENEWABLE_MS,
  }
  const perDomain = domains.map(
    (domain): Counter => ({
      limit: 'certificatesPerDomain',
      rate: exempt ? null : rateFor(limits, overrides, 'certificatesPerDomain', domain, accountId),
      key: `certificatesPerDomain:${domain}`,
      what: `new certificates for the registered domain ${domain}`,
      sparesRenewal: set,
    }),
  )
  return [exactSet, ...perDomain]
}

/** How an act is counted. */
export const chargeOf = ({ key, rate, keepMs = 0 }: Pick<Counter, 'key' | 'keepMs'> & { rate: NonNullable<Rate> }): Charge => ({
  key,
  ...rate,
  cost: 1,
  keepMs,
})

/** What failed validations of these names count against, each name once. */
export const failureCharges = async (
  ica: { policies: { current(): Promise<{ overrides: Overrides }> }; settings: { limits: Limits } },
  accountId: string,
  identifiers: readonly Identifier[],
): Promise<Charge[]> => {
  const { overrides } = await ica.policies.current()
  const counters = identifiers.map((identifier) => failureCounter(ica.settings.limits, overrides, accountId, identifier))
  const byKey = new Map(counters.flatMap(({ key, rate }) => (rate === null ? [] : [[key, chargeOf({ key, rate })] as const])))
  return [...byKey.values()]
}
