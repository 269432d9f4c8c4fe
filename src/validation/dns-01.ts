import type { Resolver } from './resolver.js'
import { failure, hasRecords, keyAuthorizationDigest, printable, type ValidationResult, type Validator } from './validator.js'

/** Other records are named in a detail and in the evidence up to these numbers; all are compared. */
const NAMED = 3
const SHOWN = 20

const judge = (name: string, expected: string, answer: Awaited<ReturnType<Resolver['txt']>>): ValidationResult => {
  if (answer.kind === 'failure') {
    return { ...failure('dns', `The look-up of TXT records at ${name} failed: ${answer.reason}.`), evidence: { name, outcome: answer.reason } }
  }
  const publish = `Publish one with the value "${expected}".`
  if (answer.kind === 'none') {
    const detail = `There is no TXT record at ${name} (${answer.reason}). ${publish}`
    return { ...failure('unauthorized', detail), evidence: { name, outcome: answer.reason } }
  }
  const { records } = answer
  const evidence = { name, outcome: 'records', count: records.length, records: records.slice(0, SHOWN).map((record) => printable(record)) }
  if (records.includes(expected)) return { ok: true, evidence: { ...evidence, matched: expected } }
  const found = records.slice(0, NAMED).map((record) => `"${printable(record)}"`)
  const more = records.length > NAMED ? ` and ${records.length - NAMED} more` : ''
  const what = records.length === 1 ? 'The TXT record' : `None of the ${records.length} TXT records`
  const detail = `${what} at ${name} ${records.length === 1 ? 'does not match' : 'matches'}: found ${found.join(', ')}${more}. ${publish}`
  return { ...failure('unauthorized', detail), evidence }
}

/**
 * Looks for the digest of the key authorization in the TXT records at `name`. The resolver follows aliases, so the record may be delegated by CNAME; of several
 * records (two orders at a time, a wildcard beside its base name) one must match.
 */
export const findDigest = async (name: string, keyAuthorization: string, resolver: Pick<Resolver, 'txt'>, signal: AbortSignal) =>
  judge(name, keyAuthorizationDigest(keyAuthorization).toString('base64url'), await resolver.txt(name, signal))

/** dns-01 (RFC 8555 §8.4), also for services: below `_acme-challenge._xmpp-server.` as draft-lebihan-srv-identifier-validation-extension has it. */
export const dns01 = ({ resolver }: { resolver: Pick<Resolver, 'txt'> }): Validator => ({
  type: 'dns-01',
  appliesTo: hasRecords,
  validate: (input, signal) => findDigest(`_acme-challenge.${input.identifier.value}`, input.keyAuthorization, resolver, signal),
})
