/** The operator's lists of names: how a rule is written, and which one decides. */
import { IcaError, type Subproblem } from '../errors.js'
import { domainOf, type Identifier, splitWildcard, toAscii } from '../identifier.js'
import type { NameList, NameRule } from '../model.js'

/**
 * The name of a rule as it is stored: `example.com` for this name alone, `.example.com` for it and everything below, `.` for every name. IDNs may be given as they are
 * written. Throws what is wrong with it.
 */
export const parseRuleName = (text: string): string => {
  const suffix = text.startsWith('.')
  const given = suffix ? text.slice(1) : text
  if (suffix && given === '') return '.'
  if (given.startsWith('*.')) throw new Error(`"${text}": write ".${given.slice(2)}" for a domain and everything below it`)
  const name = toAscii(given.toLowerCase())
  if (name === null || name === '' || !/^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$/.test(name) || name.length > 253) {
    throw new Error(`"${text}" is not a name; examples: example.com (this name alone), .example.com (and everything below), . (every name)`)
  }
  return suffix ? `.${name}` : name
}

export type NameRules = {
  /** The rule that refuses an identifier; null where none does. */
  refusing(identifier: Identifier): NameRule | null
}

/** Where a name stands in two lists by rules of the same reach, the first of these decides: an approval beats the need for one, a refusal beats both. */
const precedence: readonly NameList[] = ['deny', 'allow', 'high-risk']

/** `a.b.c` → `a.b.c`, `.a.b.c`, `.b.c`, `.c`, `.`: from the closest rule to the widest. */
const reaching = (name: string): string[] => {
  const labels = name.split('.')
  return [name, ...labels.map((_, index) => `.${labels.slice(index).join('.')}`), '.']
}

/** Rules as they are asked: the closest one to a name decides, so that what is denied widely can be allowed in parts, and the other way round. */
export const compileNameRules = (rules: readonly NameRule[]): NameRules => {
  const byName = new Map<string, NameRule>()
  for (const rule of rules) {
    const other = byName.get(rule.name)
    if (!other || precedence.indexOf(rule.list) < precedence.indexOf(other.list)) byName.set(rule.name, rule)
  }
  /** The names right below a domain that have rules: a wildcard would cover them too. */
  const below = new Map<string, string[]>()
  for (const name of byName.keys()) {
    const bare = name.replace(/^\./, '')
    const dot = bare.indexOf('.')
    if (dot > 0) below.set(bare.slice(dot + 1), [...(below.get(bare.slice(dot + 1)) ?? []), bare])
  }
  const deciding = (name: string): NameRule | null => {
    for (const candidate of reaching(name)) {
      const rule = byName.get(candidate)
      if (rule) return rule.list === 'allow' ? null : rule
    }
    return null
  }
  return {
    refusing(identifier) {
      if (byName.size === 0) return null
      const domain = domainOf(identifier)
      const names = [domain, ...(splitWildcard(identifier.value).wildcard ? (below.get(domain) ?? []) : [])]
      for (const name of names) {
        const rule = deciding(name)
        if (rule) return rule
      }
      return null
    },
  }
}

const sentence = (value: string, { list, reason }: NameRule, website: string): string => {
  const because = reason === '' ? '' : ` (${reason})`
  return list === 'deny'
    ? `This CA does not certify "${value}"${because}.`
    : `"${value}" needs the approval of the operator${because}. Ask for it; ${website} says where, and order again then.`
}

/** Throws rejectedIdentifier, with a subproblem for each name that the lists refuse (RFC 8555 §6.7.1). */
export const checkNames = (rules: NameRules, identifiers: readonly Identifier[], website: string): void => {
  const subproblems = identifiers.flatMap((identifier): Subproblem[] => {
    const rule = rules.refusing(identifier)
    return rule ? [{ code: 'rejectedIdentifier', detail: sentence(identifier.value, rule, website), identifier }] : []
  })
  if (subproblems.length > 0)
    throw new IcaError(
      'rejectedIdentifier',
      subproblems
        .slice(0, 3)
        .map(({ detail }) => detail)
        .join(' '),
      { subproblems },
    )
}
