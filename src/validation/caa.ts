/**
 * CAA (RFC 8659) with the parameters of RFC 8657: whether a domain lets this CA issue, to this account, after this kind of validation. Fails closed: what can't be
 * looked up, read or understood forbids.
 */
import type { Answer } from './recursive.js'
import type { CaaRecord, Resolver } from './resolver.js'
import { type Evidence, printable } from './validator.js'

export type CaaQuestion = {
  /** An A-label name in lower case, without the wildcard label. */
  name: string
  wildcard: boolean
  /** The issuer domain names by which domains may call this CA (the directory's `caaIdentities`). */
  identities: readonly string[]
  accountUri: string
  /** The challenge type that proved control, e.g. `dns-01`. */
  validationMethod: string
}

export type CaaResult = { allowed: true; evidence: Evidence } | { allowed: false; code: 'caa' | 'dns'; detail: string; evidence: Evidence }

/** Properties that this CA understands. Those beside `issue` and `issuewild` (RFC 8659 §4, RFC 9495, CA/B Forum) don't restrict what it issues. */
const understood = new Set(['issue', 'issuewild', 'iodef', 'issuemail', 'issuevmc', 'contactemail', 'contactphone'])
/** Characters of a value that anybody could mean; beyond it is malformed, before a pattern spends time on it. */
const MAX_VALUE = 2_000
const SHOWN_RECORDS = 20
const SHOWN_REASONS = 3

export type IssueValue = { issuer: string; parameters: { tag: string; value: string }[] }

const TAG = '[a-z0-9](?:-*[a-z0-9])*'
const issueValue = new RegExp(`^[ \\t]*(${TAG}(?:\\.${TAG})*)?[ \\t]*(?:;(.*))?$`, 'is')
const parameterForm = new RegExp(`^[ \\t]*(${TAG})[ \\t]*=[ \\t]*([\\x21-\\x3a\\x3c-\\x7e]*)[ \\t]*$`, 'i')

/** Reads the value of an `issue` or `issuewild` property (RFC 8659 §4.2), issuer and tags in lower case; the issuer may be empty. Null where malformed. */
export const parseIssueValue = (text: string): IssueValue | null => {
  const found = text.length > MAX_VALUE ? null : issueValue.exec(text)
  if (!found) return null
  const rest = found[2] ?? ''
  const pieces = rest.trim() === '' ? [] : rest.split(';')
  const parameters = pieces.map((piece) => parameterForm.exec(piece))
  if (!parameters.every((parameter) => parameter !== null)) return null
  return {
    issuer: (found[1] ?? '').toLowerCase(),
    parameters: parameters.map(([, tag = '', value = '']) => ({ tag: tag.toLowerCase(), value })),
  }
}

/** Ways to validate that no RFC and no draft registers: RFC 8657 §4 has the labels of those begin with "ca-". Without it they can mean nothing else here. */
const ownMethods = new Set(['email-link-01'])

/** What `validationmethods` may call a way to validate, the right name first. */
const labelsOf = (method: string): [string, ...string[]] => (ownMethods.has(method) ? [`ca-${method}`, method] : [method])

/** Why a property doesn't let us issue, in words that go behind `"<value>"`; null where it does. */
const objection = (value: string, { identities, accountUri, validationMethod }: CaaQuestion): string | null => {
  const parsed = parseIssueValue(value)
  if (!parsed) return 'is malformed'
  if (parsed.issuer === '') return 'lets nobody issue'
  if (!identities.some((identity) => identity.toLowerCase() === parsed.issuer)) return 'is for another CA'
  const seen = new Set<string>()
  for (const { tag, value: wanted } of parsed.parameters) {
    // RFC 8657 §3 and §4: more than one of a kind can't be satisfied.
    if (seen.has(tag)) return `has the parameter "${tag}" twice`
    seen.add(tag)
    if (tag === 'accounturi') {
      if (wanted !== accountUri) return `is for another account than ${accountUri}`
    } else if (tag === 'validationmethods') {
      const [label, ...others] = labelsOf(validationMethod)
      const listed = wanted.split(',')
      if (![label, ...others].some((name) => listed.includes(name))) return `does not list the validation method ${label}`
    } else {
      // What a parameter means is the issuer's to say (RFC 8659 §4.2): this one says that a restriction it doesn't know is kept by not issuing.
      return `has the parameter "${tag}", which this CA does not know`
    }
  }
  return null
}

const show = ({ critical, tag, value }: CaaRecord): string => `${critical ? 128 : 0} ${printable(tag, 32)} "${printable(value)}"`

/** The verdict of the relevant record set (RFC 8659 §3), found at `at`. */
const judge = (question: CaaQuestion, at: string, records: CaaRecord[]): CaaResult => {
  const evidence = { at, records: records.slice(0, SHOWN_RECORDS).map(show) }
  const forbidden = (detail: string): CaaResult => ({ allowed: false, code: 'caa', detail, evidence })
  const unknown = records.find(({ critical, tag }) => critical && !understood.has(tag))
  if (unknown) return forbidden(`${at} has the critical CAA record ${show(unknown)}, which this CA does not understand.`)
  const having = (tag: string) => records.filter((record) => record.tag === tag)
  // RFC 8659 §4.3: where there is an issuewild, it alone decides on wildcards; elsewhere it counts for nothing.
  const wild = question.wildcard ? having('issuewild') : []
  const deciding = wild.length > 0 ? wild : having('issue')
  if (deciding.length === 0) return { allowed: true, evidence }
  const objections = deciding.map((record) => ({ record, why: objection(record.value, question) }))
  const matched = objections.find(({ why }) => why === null)
  if (matched) return { allowed: true, evidence: { ...evidence, matched: show(matched.record) } }
  const reasons = objections.slice(0, SHOWN_REASONS).map(({ record, why }) => `"${printable(record.value)}" ${why}`)
  const advice = question.identities[0] ? ` A record that would: ${at} CAA 0 ${deciding[0]?.tag} "${question.identities[0]}".` : ''
  return forbidden(`No CAA record at ${at} lets this CA issue for ${question.wildcard ? '*.' : ''}${question.name}: ${reasons.join('; ')}.${advice}`)
}

/** `a.b.test` → `a.b.test`, `b.test`, `test`: RFC 8659 §3 climbs to the top-level domain. */
const climb = (name: string): string[] => {
  const labels = name.split('.')
  return labels.map((_, depth) => labels.slice(depth).join('.'))
}

/**
 * Asks the DNS whether `question` may be issued. The nearest domain with CAA records decides (aliases are the resolver's to follow); none anywhere allows. A
 * look-up that fails forbids, with the code `dns`, unless a domain nearer to the name has decided. All levels are asked at once: one round trip, ten seconds at most.
 */
export const checkCaa = async (question: CaaQuestion, resolver: Pick<Resolver, 'caa'>, signal: AbortSignal): Promise<CaaResult> => {
  const levels = climb(question.name)
  const answers = await Promise.all(levels.map(async (at): Promise<[string, Answer<CaaRecord>]> => [at, await resolver.caa(at, signal)]))
  for (const [at, answer] of answers) {
    if (answer.kind === 'records') return judge(question, at, answer.records)
    if (answer.kind === 'failure') {
      const detail = `The look-up of CAA records at ${at} failed: ${answer.reason}. Without an answer this CA does not issue.`
      return { allowed: false, code: 'dns', detail, evidence: { at, outcome: answer.reason } }
    }
  }
  return { allowed: true, evidence: { asked: levels, outcome: 'no CAA records' } }
}
