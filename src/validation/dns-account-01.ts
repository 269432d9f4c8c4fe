import { createHash } from 'node:crypto'
import { findDigest } from './dns-01.js'
import type { Resolver } from './resolver.js'
import { hasRecords, type Validator } from './validator.js'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'
/** 80 bits of the digest are 16 characters without padding. */
const DIGEST_OCTETS = 10
const BITS = 5

/** RFC 4648 §6 in lower case, for octets whose bits come out even. */
const base32 = (bytes: Buffer): string => {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('')
  return (bits.match(new RegExp(`.{${BITS}}`, 'g')) ?? []).map((group) => ALPHABET[Number.parseInt(group, 2)]).join('')
}

/** The label of an account (draft-ietf-acme-dns-account-label §3.2): `_` and the base32 of the first ten octets of SHA-256(account URL). */
export const accountLabel = (accountUri: string): string => `_${base32(createHash('sha256').update(accountUri).digest().subarray(0, DIGEST_OCTETS))}`

/**
 * dns-account-01 (draft-ietf-acme-dns-account-label): dns-01 under a label of the account, so that several accounts can each have the name delegated to them for
 * good, where `_acme-challenge` can be an alias to one only.
 */
export const dnsAccount01 = ({ resolver }: { resolver: Pick<Resolver, 'txt'> }): Validator => ({
  type: 'dns-account-01',
  appliesTo: hasRecords,
  validate(input, signal) {
    const name = `${accountLabel(input.accountUri)}._acme-challenge.${input.identifier.value}`
    return findDigest(name, input.keyAuthorization, resolver, signal)
  },
})
