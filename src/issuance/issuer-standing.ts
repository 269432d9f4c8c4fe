/** Whether the intermediate may sign at all. A certificate by one that is revoked, or that ends before its certificates do, would be refused by whoever looks. */
import { IcaError } from '../errors.js'
import { issuerId, readCertificate } from '../pki/read-certificate.js'
import type { Ica } from './ica.js'

type Identity = { serial: string; signedBy: string; saidAt: number }

/** What is read from an issuer's certificate, once. */
const identities = new WeakMap<Ica['issuer'], Identity>()

const identityOf = (issuer: Ica['issuer']): Identity => {
  const known = identities.get(issuer)
  if (known) return known
  const { serial, aki } = readCertificate(issuer.certificate)
  const identity = { serial, signedBy: aki ? issuerId(aki) : '', saidAt: Number.NEGATIVE_INFINITY }
  identities.set(issuer, identity)
  return identity
}

const help = 'The operator makes a new one: xmpp-ica init --new-intermediate, and a restart.'
const date = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

/**
 * Why nothing may be signed that is valid until `until` (milliseconds since the epoch); null where nothing speaks against it. The root's word counts as the database has it: from
 * its own revocations or from an imported CRL.
 */
export const issuerTrouble = async ({ clock, store, issuer }: Pick<Ica, 'clock' | 'store' | 'issuer'>, until: number): Promise<string | null> => {
  const { serial, signedBy } = identityOf(issuer)
  if (issuer.notAfter <= clock.now()) return `The intermediate certificate expired on ${date(issuer.notAfter)}. ${help}`
  const revocation = await store.revocationOf(signedBy, serial)
  if (revocation) return `The intermediate certificate was revoked on ${date(revocation.revokedAt)} (${revocation.reason}). ${help}`
  return until > issuer.notAfter ? `The intermediate certificate ends on ${date(issuer.notAfter)}, before what it would sign. ${help}` : null
}

const repeatMs = 60_000

/** Refuses to go on where the issuer may not sign. Throws unavailable; says so in the log, at most once a minute. */
export const checkIssuer = async (ica: Pick<Ica, 'clock' | 'log' | 'store' | 'issuer'>, until: number): Promise<void> => {
  const trouble = await issuerTrouble(ica, until)
  if (trouble === null) return
  const identity = identityOf(ica.issuer)
  if (ica.clock.now() - identity.saidAt >= repeatMs) {
    identity.saidAt = ica.clock.now()
    ica.log.error({ issuer: ica.issuer.id, serial: identity.serial, trouble }, 'nothing can be issued')
  }
  throw new IcaError('unavailable', `This CA can issue nothing now. ${trouble}`)
}
