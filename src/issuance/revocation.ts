import { IcaError } from '../errors.js'
import { splitWildcard } from '../identifier.js'
import { type Account, type Certificate, type RevocationReason, revocationReasons } from '../model.js'
import { act, type Ica, type Who } from './ica.js'

/** What a subscriber may give (PKI.md). The others are the operator's. */
const SUBSCRIBER_REASONS: readonly RevocationReason[] = ['unspecified', 'keyCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation']

/** The reason code of a revokeCert payload (RFC 8555 §7.6, RFC 5280 §5.3.1). Throws badRevocationReason. */
export const readReason = (code: unknown): RevocationReason => {
  if (code === undefined) return 'unspecified'
  const reason = SUBSCRIBER_REASONS.find((name) => revocationReasons[name] === code)
  if (reason) return reason
  const allowed = SUBSCRIBER_REASONS.map((name) => `${revocationReasons[name]} (${name})`).join(', ')
  throw new IcaError('badRevocationReason', `The reason ${JSON.stringify(code).slice(0, 40)} can't be given. Allowed: ${allowed}.`)
}

/** The certificate of this CA that has exactly these bytes. Throws notFound, alreadyRevoked, and malformed for one that has expired. */
const revocable = async (ica: Ica, der: Uint8Array): Promise<Certificate> => {
  const certificate = await ica.store.certificateByDer(der)
  if (!certificate) throw new IcaError('notFound', 'This CA has not issued this certificate.')
  return checkRevocable(ica, certificate)
}

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

const revoke = async (ica: Ica, certificate: Certificate, reason: RevocationReason, blockKey: boolean, who: Who): Promise<void> => {
  const revokedAt = Math.floor(ica.clock.now() / 1000) * 1000
  const audit = act(ica, who, 'certificate.revoked', `certificate:${certificate.serial}`, {
    reason,
    keyBlocked: blockKey,
    names: certificate.names.map((name) => `${name.form}:${name.value}`),
  })
  if (!(await ica.store.recordRevocation(certificate.serial, { revokedAt, reason }, blockKey, audit))) {
    throw new IcaError('alreadyRevoked', `The certificate ${certificate.serial} was revoked before.`)
  }
  ica.metrics.count('revocations', { reason })
  ica.afterRevocation(certificate.issuerId, certificate.serial)
}

/** True where the account holds valid authorizations for every name of the certificate (RFC 8555 §7.6). */
const holdsAuthorizations = async (ica: Ica, account: Account, certificate: Certificate): Promise<boolean> => {
  const wanted = certificate.names
    .filter((name) => name.form === 'dNSName')
    .map(({ value }) => {
      const { base, wildcard } = splitWildcard(value)
      return { identifier: { type: 'dns' as const, value: base }, wildcard }
    })
  const held = await ica.store.reusableAuthorizations(account.id, wanted, ica.clock.now())
  return wanted.length > 0 && held.length === wanted.length
}

/** revokeCert signed by an account: the one that ordered, or one that holds authorizations for all names. Throws unauthorized. */
export const revokeByAccount = async (
  ica: Ica,
  account: Account,
  request: { certificate: Uint8Array; reason?: unknown },
  who: Who,
): Promise<void> => {
  const reason = readReason(request.reason)
  const certificate = await revocable(ica, request.certificate)
  if (certificate.accountId !== account.id && !(await holdsAuthorizations(ica, account, certificate))) {
    throw new IcaError(
      'unauthorized',
      'This account has neither ordered the certificate nor valid authorizations for all of its names. Prove the names with a new order, or sign with the certificate key.',
    )
  }
  await revoke(ica, certificate, reason, false, who)
}

/** revokeCert signed by the certificate's own key, which proves that it is out: the reason becomes keyCompromise and the key is blocked for ever. */
export const revokeByKey = async (ica: Ica, keyId: string, request: { certificate: Uint8Array; reason?: unknown }, who: Who): Promise<void> => {
  readReason(request.reason)
  const certificate = await revocable(ica, request.certificate)
  if (certificate.keyId !== keyId) throw new IcaError('unauthorized', 'The request is not signed by the key of the certificate.')
  await revoke(ica, certificate, 'keyCompromise', true, who)
}

/** Revocation by the operator, with any reason of {@link revocationReasons}; keyCompromise blocks the key. Throws notFound and alreadyRevoked. */
export const revokeByOperator = async (ica: Ica, serial: string, reason: RevocationReason, who: Who): Promise<Certificate> => {
  const certificate = await ica.store.certificateBySerial(serial)
  if (!certificate) throw new IcaError('notFound', `There is no certificate with the serial ${serial}.`)
  await revoke(ica, checkRevocable(ica, certificate), reason, reason === 'keyCompromise', who)
  return certificate
}
