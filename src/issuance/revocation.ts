/** Revoking one certificate, or all with one key. Many at once: mass-revocation.ts. */
import { IcaError } from '../errors.js'
import { splitWildcard, toAscii } from '../identifier.js'
import {
  type Account,
  type AuditEntry,
  type Certificate,
  type CertificateName,
  type Revocation,
  type RevocationReason,
  revocationReasons,
} from '../model.js'
import type { RevocationCandidate } from '../store/store.js'
import { act, type Ica, type Who } from './ica.js'

/** What a subscriber may give (PKI.md). The others are the operator's. */
const SUBSCRIBER_REASONS: readonly RevocationReason[] = ['unspecified', 'keyCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation']

/** Certificates with one key that are revoked in one transaction. More than that is nobody's renewals. */
const KEY_BATCH = 200

/** The reason code of a revokeCert payload (RFC 8555 §7.6, RFC 5280 §5.3.1). Throws badRevocationReason. */
export const readReason = (code: unknown): RevocationReason => {
  if (code === undefined) return 'unspecified'
  const reason = SUBSCRIBER_REASONS.find((name) => revocationReasons[name] === code)
  if (reason) return reason
  const allowed = SUBSCRIBER_REASONS.map((name) => `${revocationReasons[name]} (${name})`).join(', ')
  throw new IcaError('badRevocationReason', `The reason ${JSON.stringify(code).slice(0, 40)} can't be given. Allowed: ${allowed}.`)
}

/** The certificate of this CA that has exactly these bytes. Throws notFound. */
const certificateOf = async (ica: Ica, der: Uint8Array): Promise<Certificate> => {
  const certificate = await ica.store.certificateByDer(der)
  if (!certificate) throw new IcaError('notFound', 'This CA has not issued this certificate.')
  return certificate
}

/** Throws alreadyRevoked, and malformed for one that has expired. */
const checkRevocable = (ica: Ica, certificate: Certificate): Certificate => {
  if (certificate.revocation) {
    const { revokedAt, reason } = certificate.revocation
    throw new IcaError('alreadyRevoked', `The certificate ${certificate.serial} was revoked at ${new Date(revokedAt).toISOString()} (${reason}).`)
  }
  if (certificate.notAfter < ica.clock.now()) {
    throw new IcaError('malformed', `The certificate ${certificate.serial} has expired; there is nothing to revoke.`)
  }
  return certificate
}

/** What is told in the audit log of one revocation. */
export type RevocationFacts = { revocation: Revocation; blockKey: boolean; because?: Record<string, unknown> }

/** A revocation that happens now, to the second (RFC 5280 §5.1.2.4 knows no smaller unit). */
export const revokedNow = (ica: Pick<Ica, 'clock'>, reason: RevocationReason): Revocation => ({
  revokedAt: Math.floor(ica.clock.now() / 1000) * 1000,
  reason,
})

/**
 * The audit rows of a revocation. Where somebody else than the owner's own account revokes, the owner has to be told: that is the row `notice.due`, whose subject is the
 * account. It is written in the transaction of the revocation, so that no notice is lost; whoever sends mail takes these rows as the list of what is to be sent.
 */
export const revocationAudit = (
  ica: Pick<Ica, 'clock'>,
  who: Who,
  certificate: Pick<RevocationCandidate, 'serial' | 'accountId' | 'names'>,
  { revocation, blockKey, because }: RevocationFacts,
): AuditEntry[] => {
  const { serial, accountId } = certificate
  const detail = {
    reason: revocation.reason,
    keyBlocked: blockKey,
    account: accountId,
    names: certificate.names.map((name) => `${name.form}:${name.value}`),
    ...because,
  }
  const revoked = act(ica, who, 'certificate.revoked', `certificate:${serial}`, detail)
  if (accountId === null || who.actor === `account:${accountId}`) return [revoked]
  const { names, reason } = detail
  return [
    revoked,
    act(ica, who, 'notice.due', `account:${accountId}`, { about: 'certificate.revoked', certificate: serial, reason, names, ...because }),
  ]
}

/** Counts a revocation that is durable, and tells those who keep answers. */
export const afterRevocation = (ica: Ica, { issuerId, serial }: { issuerId: string; serial: string }, reason: RevocationReason): void => {
  ica.metrics.count('revocations', { reason })
  ica.afterRevocation(issuerId, serial)
}

const revoke = async (ica: Ica, certificate: Certificate, reason: RevocationReason, who: Who): Promise<void> => {
  const facts = { revocation: revokedNow(ica, reason), blockKey: false }
  if (!(await ica.store.recordRevocation(certificate.serial, facts.revocation, false, ...revocationAudit(ica, who, certificate, facts)))) {
    throw new IcaError('alreadyRevoked', `The certificate ${certificate.serial} was revoked before.`)
  }
  afterRevocation(ica, certificate, reason)
}

/**
 * Blocks a key for good and revokes every certificate that has it; `first`, the serial that showed it, before the others. In one transaction, but for a key with so many certificates that
 * others would wait for it: then {@link revokeCompromisedKeys} finishes what a crash leaves. Returns the serials.
 */
export const revokeKey = async (ica: Ica, keyId: string, first: string | null, who: Who): Promise<string[]> => {
  const revocation = revokedNow(ica, 'keyCompromise')
  const serials: string[] = []
  for (;;) {
    const revoked = await ica.store.revokeKey(keyId, revocation, { first, now: ica.clock.now(), limit: KEY_BATCH }, (certificate) =>
      revocationAudit(ica, who, certificate, {
        revocation,
        blockKey: true,
        ...(certificate.serial !== first && { because: { compromisedKey: keyId, ...(first !== null && { shownBy: first }) } }),
      }),
    )
    for (const certificate of revoked) afterRevocation(ica, certificate, 'keyCompromise')
    serials.push(...revoked.map(({ serial }) => serial))
    if (revoked.length < KEY_BATCH) return serials
  }
}

/** Keys in one round: a list of compromised keys may be long, and few of them are ever in use. */
const SWEEP = 100

/**
 * Revokes certificates whose keys were blocked at or after `since` for keyCompromise: those that a crash, or an operator who blocked the key alone, left behind. Returns how many.
 * Call it at the start with 0, then every few minutes.
 */
export const revokeCompromisedKeys = async (ica: Ica, since: number): Promise<number> => {
  let count = 0
  for (const keyId of await ica.store.compromisedKeysInUse(since, ica.clock.now(), SWEEP))
    count += (await revokeKey(ica, keyId, null, { actor: 'system' })).length
  if (count > 0) ica.log.warn({ count }, 'certificates with compromised keys were revoked')
  return count
}

type Wanted = Parameters<Ica['store']['reusableAuthorizations']>[1][number]

/** The identifiers of which any one proves a name: the domain itself, or for the service of a domain that service. An XmppAddr shows the domain as a U-label. */
const proofsOf = ({ form, value }: CertificateName): Wanted[] => {
  const dns = (name: string): Wanted => {
    const { base, wildcard } = splitWildcard(name)
    return { identifier: { type: 'dns', value: base }, wildcard }
  }
  if (form === 'dNSName') return [dns(value)]
  if (form === 'XmppAddr') return [dns(toAscii(value) ?? value)]
  return [dns(value.slice(value.indexOf('.') + 1)), { identifier: { type: 'srv', value }, wildcard: false }]
}

/**
 * True where the account holds valid authorizations for every name of the certificate (RFC 8555 §7.6). A certificate for services alone is in the hands of whoever proves
 * those, and of whoever proves the domain.
 */
const holdsAuthorizations = async (ica: Ica, account: Account, certificate: Certificate): Promise<boolean> => {
  const now = ica.clock.now()
  const asked = new Map<string, Promise<boolean>>()
  const holds = (wanted: Wanted): Promise<boolean> => {
    const key = `${wanted.identifier.type} ${wanted.wildcard} ${wanted.identifier.value}`
    const known = asked.get(key) ?? ica.store.reusableAuthorizations(account.id, [wanted], now).then((found) => found.length > 0)
    asked.set(key, known)
    return known
  }
  for (const name of certificate.names) {
    const held = await Promise.all(proofsOf(name).map(holds))
    if (!held.includes(true)) return false
  }
  return certificate.names.length > 0
}

/** revokeCert signed by an account: the one that ordered, or one that holds authorizations for all names. Throws unauthorized. */
export const revokeByAccount = async (
  ica: Ica,
  account: Account,
  request: { certificate: Uint8Array; reason?: unknown },
  who: Who,
): Promise<void> => {
  const reason = readReason(request.reason)
  const certificate = checkRevocable(ica, await certificateOf(ica, request.certificate))
  if (certificate.accountId !== account.id && !(await holdsAuthorizations(ica, account, certificate))) {
    throw new IcaError(
      'unauthorized',
      'This account has neither ordered the certificate nor valid authorizations for all of its names. Prove the names with a new order, or sign with the certificate key.',
    )
  }
  await revoke(ica, certificate, reason, who)
}

/**
 * revokeCert signed by the certificate's own key, which proves that it is out: the reason becomes keyCompromise, the key is blocked for ever, and every other certificate with
 * it is revoked. That is done also where this certificate was revoked before, or has expired, which then is the answer.
 */
export const revokeByKey = async (ica: Ica, keyId: string, request: { certificate: Uint8Array; reason?: unknown }, who: Who): Promise<void> => {
  readReason(request.reason)
  const certificate = await certificateOf(ica, request.certificate)
  if (certificate.keyId !== keyId) throw new IcaError('unauthorized', 'The request is not signed by the key of the certificate.')
  const revoked = await revokeKey(ica, keyId, certificate.serial, who)
  checkRevocable(ica, certificate)
  if (!revoked.includes(certificate.serial)) throw new IcaError('alreadyRevoked', `The certificate ${certificate.serial} was revoked before.`)
}
