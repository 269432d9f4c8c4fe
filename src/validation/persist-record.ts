/** The record of dns-persist-01 (draft-ietf-acme-dns-persist §4.1): an issue-value of RFC 8659 with parameters of its own. Pure. */
import { createHash } from 'node:crypto'
import { parseIssueValue } from './caa.js'

export type PersistRecord = {
  /** The URI of an account, or its hashed form; case matters. */
  accountUri: string
  /** `policy=wildcard`. */
  wildcard: boolean
  /** `persistUntil`, in ms; null where the record is good for ever. */
  until: number | null
}

/** Whom a record names, in lower case, even where the rest of it is wrong: what is wrong with other CAs' records is no fault of ours. */
export type ReadRecord = { issuer: string } & ({ record: PersistRecord; fault?: never } | { fault: string; record?: never })
export type PersistRecordReader = (text: string) => ReadRecord

/** Parameters that mean something; others are ignored (§4.1, 1), be they there twice or not. */
const known = new Set(['accounturi', 'policy', 'persistuntil'])

/** Reads a TXT record. A fault is said in words that go behind `"<record>"`. */
export const readPersistRecord: PersistRecordReader = (text) => {
  const issuer = (text.split(';', 1)[0] ?? '').trim().toLowerCase()
  const value = parseIssueValue(text)
  if (!value) return { issuer, fault: 'is malformed' }
  const parameters = new Map<string, string>()
  for (const { tag, value: given } of value.parameters) {
    if (known.has(tag) && parameters.has(tag)) return { issuer, fault: `has the parameter "${tag}" twice` }
    parameters.set(tag, given)
  }
  const accountUri = parameters.get('accounturi')
  if (!accountUri) return { issuer, fault: 'has no "accounturi"' }
  const until = parameters.get('persistuntil')
  if (until !== undefined && !/^\d{1,15}$/.test(until)) return { issuer, fault: 'has a "persistUntil" that is no number of seconds' }
  return {
    issuer,
    record: {
      accountUri,
      wildcard: parameters.get('policy')?.toLowerCase() === 'wildcard',
      until: until === undefined ? null : Number(until) * 1000,
    },
  }
}

/** Whether what stands behind the prefix of hashed account URIs can be right: the one algorithm that this CA takes, and as many octets as it gives. */
export const isAccountHash = (text: string): boolean => /^sha-256\/[A-Za-z0-9_-]{43}$/.test(text)

/**
 * The form of an account URI that says nothing to others (revision 02 §4.1): the prefix, `sha-256/` and the base64url of SHA-256(length of domain, domain,
 * thumbprint, account URI). `domain` is the name that the record stands at, or `*` for a record that is the same for all of them.
 */
export const hashedAccountUri = (prefix: string, domain: string, account: { thumbprint: string; accountUri: string }): string => {
  const hash = createHash('sha256').update(Buffer.of(domain.length)).update(domain).update(account.thumbprint).update(account.accountUri)
  return `${prefix}sha-256/${hash.digest('base64url')}`
}
