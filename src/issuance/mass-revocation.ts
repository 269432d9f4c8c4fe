/** The operator revokes many certificates at once. Selecting is one thing, revoking another, so that a dry run shows exactly what would be revoked. */
import { setTimeout as pause } from 'node:timers/promises'
import { IcaError } from '../errors.js'
import { splitWildcard, toAscii, toUnicode } from '../identifier.js'
import type { RevocationReason } from '../model.js'
import type { CertificateSelector, RevocationCandidate } from '../store/store.js'
import { act, type Ica, type Who } from './ica.js'
import { afterRevocation, revocationAudit, revokedNow } from './revocation.js'

/** In one transaction: few milliseconds, in which a running CA on the same database can't write. */
const BATCH = 100
/** Between two transactions: everybody who waits to write gets a turn. */
const PAUSE_MS = 30

/** What the operator says: every condition that is given has to be met. */
export type RevocationSelector = Omit<CertificateSelector, 'names'> & { domain?: string; subdomains?: boolean }

/** What stands in certificates for a domain: the domain itself, its wildcard, its XMPP services, and the U-label form; with a suffix everything below it. */
const namesOf = (domain: string, subdomains: boolean): CertificateSelector['names'] => {
  const { base } = splitWildcard(domain.toLowerCase().replace(/\.$/, ''))
  const ascii = toAscii(base)
  if (ascii === null) throw new IcaError('malformed', `${JSON.stringify(domain)} is not a domain.`)
  const services = ['_xmpp-client.', '_xmpp-server.']
  const unicode = toUnicode(ascii)
  const values = ['', '*.', ...services, ...services.map((service) => `${service}*.`)].map((prefix) => prefix + ascii)
  // What ends with ".example.org" is below it, or one of its own services.
  const suffixes = subdomains ? [`.${ascii}`, ...(unicode === ascii ? [] : [`.${unicode}`])] : []
  return { values: [...new Set([...values, unicode])], suffixes }
}

/** The serials that a selector means, oldest first, and with keyCompromise those of all certificates that share a key with them. Revoked and expired ones are among them. */
export const selectForRevocation = async (ica: Ica, selector: RevocationSelector, reason: RevocationReason): Promise<string[]> => {
  const { domain, subdomains = false, ...rest } = selector
  const names = domain === undefined ? undefined : namesOf(domain, subdomains)
  const serials = await ica.store.selectCertificates({ ...rest, ...(names && { names }) })
  return reason === 'keyCompromise' ? ica.store.withSameKeys(serials) : serials
}

export type Standing = 'valid' | 'revoked' | 'expired'

/** What would become of a certificate: only what is valid can be revoked. */
export const standingOf = ({ revocation, notAfter }: RevocationCandidate, now: number): Standing =>
  revocation ? 'revoked' : notAfter < now ? 'expired' : 'valid'

/** The certificates of serials, batch by batch, in the order of the serials. */
export async function* candidatesOf(ica: Ica, serials: readonly string[]): AsyncIterable<RevocationCandidate[]> {
  for (let from = 0; from < serials.length; from += BATCH) {
    const batch = serials.slice(from, from + BATCH)
    const found = new Map((await ica.store.revocationCandidates(batch)).map((candidate) => [candidate.serial, candidate]))
    yield batch.flatMap((serial) => found.get(serial) ?? [])
  }
}

export type Tally = { revoked: number; already: number; expired: number }

/**
 * Revokes what is valid of the serials, in batches, each one a transaction; so it may be stopped and run again at any time: what is revoked already is counted. A running CA
 * on the same database goes on working meanwhile. Every certificate has its audit rows, the whole one more (`revocation.begun`) with what was selected.
 */
export const revokeSelected = async (
  ica: Ica,
  serials: readonly string[],
  reason: RevocationReason,
  selected: Record<string, unknown>,
  who: Who,
  onProgress: (tally: Tally) => void = () => undefined,
): Promise<Tally> => {
  const tally: Tally = { revoked: 0, already: 0, expired: 0 }
  const blockKey = reason === 'keyCompromise'
  await ica.store.audit(act(ica, who, 'revocation.begun', 'certificates', { ...selected, reason, certificates: serials.length }))
  for await (const batch of candidatesOf(ica, serials)) {
    const now = ica.clock.now()
    const revocation = revokedNow(ica, reason)
    const valid = batch.filter((candidate) => standingOf(candidate, now) === 'valid')
    const requests = valid.map((candidate) => ({
      serial: candidate.serial,
      revocation,
      blockKey,
      audit: revocationAudit(ica, who, candidate, { revocation, blockKey }),
    }))
    const revoked = new Set(requests.length === 0 ? [] : await ica.store.recordRevocations(requests))
    for (const candidate of valid) if (revoked.has(candidate.serial)) afterRevocation(ica, candidate, reason)
    tally.revoked += revoked.size
    tally.expired += batch.filter((candidate) => standingOf(candidate, now) === 'expired').length
    tally.already = tally.already + batch.filter(({ revocation: before }) => before).length + valid.length - revoked.size
    onProgress(tally)
    if (requests.length > 0) await pause(PAUSE_MS)
  }
  return tally
}
