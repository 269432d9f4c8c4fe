/**
 * dns-persist-01 (draft-ietf-acme-dns-persist): a TXT record that stays, and names this CA and the account that may have certificates for the name. What the record
 * looks like is in persist-record.ts; here is what it takes to believe one.
 */
import type { Clock } from '../clock.js'
import type { PersistRecord, PersistRecordReader } from './persist-record.js'
import { hashedAccountUri, isAccountHash, readPersistRecord } from './persist-record.js'
import type { Answer } from './recursive.js'
import type { Resolver } from './resolver.js'
import { type Evidence, failure, hasRecords, printable, type ValidationInput, type ValidationResult, type Validator } from './validator.js'

export type DnsPersistOptions = {
  resolver: Pick<Resolver, 'txt'>
  clock: Clock
  /** The names by which records may call this CA: A-labels, at most ten (§3.1). */
  issuerDomainNames: readonly string[]
  /** What the hashed form of an account URI begins with (§4.1 of revision 02). */
  accountHashPrefix: string
  /** Reads a record; another one for another revision of the draft. */
  read?: PersistRecordReader
}

const MAX_ISSUERS = 10
const SHOWN_RECORDS = 20
const SHOWN_REASONS = 3
/** §3.1 and RFC 8659: lower case, no dot at the end. */
const normalized = (name: string): string => name.toLowerCase().replace(/\.$/, '')

type Verdict = { why: string; malformed: boolean } | { until: number | null }

/** Whether a well-formed record of this CA proves what `input` asks. */
const judgeRecord = (record: PersistRecord, input: ValidationInput, accounts: readonly string[], hashPrefix: string, now: number): Verdict => {
  const no = (why: string): Verdict => ({ why, malformed: false })
  if (record.accountUri.startsWith(hashPrefix) && !isAccountHash(record.accountUri.slice(hashPrefix.length)))
    return { why: 'has an "accounturi" whose hash is not "sha-256/" and 43 characters of base64url', malformed: true }
  // RFC 3986 §6.2.1: simple string comparison.
  if (!accounts.includes(record.accountUri)) return no(`is for another account than ${input.accountUri}`)
  if (input.wildcard && !record.wildcard) return no('does not have "policy=wildcard"')
  if (record.until !== null && now > record.until) return no(`was good until ${new Date(record.until).toISOString()} (persistUntil)`)
  return { until: record.until }
}

const judge = (
  name: string,
  answer: Answer<string>,
  input: ValidationInput,
  accounts: readonly string[],
  options: DnsPersistOptions & { issuers: string[] },
): ValidationResult => {
  const [issuer] = options.issuers
  const advice = `Publish: "${issuer}; accounturi=${input.accountUri}${input.wildcard ? '; policy=wildcard' : ''}".`
  const unproven = (code: 'dns' | 'malformed' | 'unauthorized', detail: string, evidence: Evidence): ValidationResult => ({
    ...failure(code, detail),
    evidence: { name, ...evidence },
  })
  if (answer.kind === 'failure') return unproven('dns', `The look-up of TXT records at ${name} failed: ${answer.reason}.`, { outcome: answer.reason })
  if (answer.kind === 'none') {
    return unproven('unauthorized', `There is no TXT record at ${name} (${answer.reason}). ${advice}`, { outcome: answer.reason })
  }
  const read = options.read ?? readPersistRecord
  // §4.3.2: records that name other CAs are none of our business, however broken they are.
  const ours = answer.records.map((text) => ({ text, ...read(text) })).filter((record) => options.issuers.includes(record.issuer))
  const judged = ours.map(({ text, fault, record }): Verdict & { text: string } => ({
    text,
    ...(record ? judgeRecord(record, input, accounts, options.accountHashPrefix, options.clock.now()) : { why: fault, malformed: true }),
  }))
  const evidence = {
    outcome: 'records',
    count: answer.records.length,
    records: answer.records.slice(0, SHOWN_RECORDS).map((text) => printable(text, 512)),
  }
  const [best] = judged
    .filter((verdict) => 'until' in verdict)
    .sort((a, b) => (b.until ?? Number.POSITIVE_INFINITY) - (a.until ?? Number.POSITIVE_INFINITY))
  if (best) {
    const matched = { name, ...evidence, matched: printable(best.text, 512) }
    // How long a proof is relied on must not depend on the TTL (revision 02 §7.9). Since each order looks again, an owner who removes the record is heard at once.
    return { ok: true, evidence: matched, once: true, ...(best.until !== null && { validUntil: best.until }) }
  }
  const objections = judged.filter((verdict) => 'why' in verdict)
  if (objections.length === 0) return unproven('unauthorized', `No TXT record at ${name} names this CA. ${advice}`, evidence)
  const reasons = objections.slice(0, SHOWN_REASONS).map(({ text, why }) => `"${printable(text, 256)}" ${why}`)
  const code = objections.every(({ malformed }) => malformed) ? 'malformed' : 'unauthorized'
  return unproven(code, `No TXT record at ${name} lets this account have a certificate: ${reasons.join('; ')}. ${advice}`, evidence)
}

/** Takes hashed account URIs (revision 02) and plain ones (revision 01); `policy=wildcard` is for wildcards of the name itself, not for names below it. */
export const dnsPersist01 = (options: DnsPersistOptions): Validator => {
  const { accountHashPrefix } = options
  const issuers = [...new Set(options.issuerDomainNames.map(normalized))].slice(0, MAX_ISSUERS)
  return {
    type: 'dns-persist-01',
    appliesTo: hasRecords,
    // Drafts call the same list differently, and some have the account too.
    challengeFields: ({ accountUri }) => ({ accounturi: accountUri, 'issuer-domain-names': issuers, issuerDomainNames: issuers }),
    directoryMeta: { issuerDomainNames: issuers, accountHashPrefix },
    async validate(input, signal) {
      const { value } = input.identifier
      const name = `_validation-persist.${value}`
      const answer = await options.resolver.txt(name, signal)
      const hashed = (thumbprint: string) => [value, '*'].map((domain) => hashedAccountUri(accountHashPrefix, domain, { ...input, thumbprint }))
      const present = [input.accountUri, ...hashed(input.thumbprint)]
      const result = judge(name, answer, input, present, { ...options, issuers })
      if (result.ok || answer.kind !== 'records' || !answer.records.some((text) => text.includes(accountHashPrefix))) return result
      // §4.2 of revision 02: a record that was published for a key that the account had before is as good.
      const prior = await input.priorThumbprints()
      return prior.length > 0 ? judge(name, answer, input, [...present, ...prior.flatMap(hashed)], { ...options, issuers }) : result
    },
  }
}
