import { randomBytes } from 'node:crypto'
import { IcaError, toProblem } from '../errors.js'
import type { CertificateKind, Order } from '../model.js'
import { newSerial, issueLeaf as signLeaf } from '../pki/certificate.js'
import { lintLeaf } from '../pki/lint.js'
import type { Profile } from '../pki/profile.js'
import type { Evidence } from '../validation/validator.js'
import { act, type Ica, type Who } from './ica.js'
import type { Approved } from './policy.js'

/** A configured profile by name. Throws serverInternal for one that orders still name but the configuration lost. */
export const profileOf = (ica: Ica, name: string): Profile => {
  const profile = ica.profiles.get(name)
  if (!profile) throw new IcaError('serverInternal', `The profile "${name}" is no longer configured.`)
  return profile
}

/** What a leaf is made of; everything in it was validated or decided by the CA. */
export type LeafRequest = Approved & {
  kind: CertificateKind
  profile: Profile
  notBefore: number
  notAfter: number
  accountId: string | null
  orderId: string | null
  /** What the DNS said of CAA, where it was asked. */
  caa?: Evidence[]
}

/** The profile's validity within what the issuer has left; seconds, because X.509 knows no smaller unit. */
const validity = (ica: Ica, order: Order, profile: Profile): { notBefore: number; notAfter: number } => {
  const now = Math.floor(ica.clock.now() / 1000) * 1000
  const notBefore = order.notBefore ?? now - profile.backdateMs
  const notAfter = order.notAfter ?? (order.notBefore ?? now) + profile.validityMs
  return { notBefore, notAfter: Math.min(notAfter, ica.issuer.notAfter) }
}

/**
 * THE way to a leaf: reserve the serial, encode and sign, read the result back, store it (with its order in one transaction).
 * Returns serial and DER once they are durable. Throws serverInternal where the lint finds anything: such a certificate is never stored or shown.
 */
export const issueLeaf = async (ica: Ica, request: LeafRequest, who: Who): Promise<{ serial: string; der: Uint8Array }> => {
  const serial = newSerial(randomBytes)
  const shard = Number.parseInt(serial.slice(-8), 16) % ica.settings.crlShards
  const { profile, names, publicKey, notBefore, notAfter } = request
  await ica.store.reserveCertificate({
    serial,
    issuerId: ica.issuer.id,
    kind: request.kind,
    profile: profile.name,
    accountId: request.accountId,
    orderId: request.orderId,
    keyId: publicKey.keyId,
    crlShard: shard,
    notBefore,
    notAfter,
    names,
    createdAt: ica.clock.now(),
  })
  const leaf = {
    profile,
    names,
    publicKey,
    serial,
    notBefore,
    notAfter,
    issuer: ica.issuer,
    urls: ica.statusUrls(shard),
    mustStaple: request.mustStaple,
  }
  const der = await signLeaf(leaf)
  const findings = lintLeaf(der, leaf)
  if (findings.length > 0) {
    ica.log.error({ serial, findings }, 'lint refused a certificate; it was not released')
    throw new IcaError('serverInternal', 'The CA refused its own certificate because it did not match its profile. The operator has been told.')
  }
  const audit = act(ica, who, 'certificate.issued', `certificate:${serial}`, {
    kind: request.kind,
    profile: profile.name,
    issuer: ica.issuer.id,
    order: request.orderId,
    account: request.accountId,
    keyId: publicKey.keyId,
    names: names.map((name) => `${name.form}:${name.value}`),
    notBefore,
    notAfter,
    ...(request.caa && { caa: request.caa }),
  })
  if (!(await ica.store.storeCertificate(serial, der, audit))) throw new IcaError('conflict', 'The order was finished by another request meanwhile.')
  ica.metrics.count('certificates', { kind: request.kind, profile: profile.name })
  return { serial, der }
}

/**
 * Issues for an order that the caller has claimed. Every failure after the claim ends here: the order becomes invalid with its reason, except where the
 * database is away: then the order stays `processing` and is resumed.
 */
export const issueForOrder = async (ica: Ica, order: Order, profile: Profile, approved: Approved & { caa: Evidence[] }, who: Who): Promise<Order> => {
  try {
    const { serial } = await issueLeaf(
      ica,
      {
        kind: 'leaf',
        profile,
        ...approved,
        ...validity(ica, order, profile),
        accountId: order.accountId,
        orderId: order.id,
      },
      who,
    )
    return { ...order, certificateSerial: serial }
  } catch (error) {
    return failOrder(ica, order, error, who)
  }
}

/** Ends a claimed order with the problem that `error` is, unless the failure passes by itself. */
export const failOrder = async (ica: Ica, order: Order, error: unknown, who: Who): Promise<Order> => {
  if (error instanceof IcaError && error.code === 'unavailable') return order
  if (error instanceof IcaError && error.code === 'conflict') return (await ica.store.orderById(order.id)) ?? order
  ica.log.error({ err: error, order: order.id }, 'issuance failed')
  ica.metrics.count('failures', { stage: 'issuance' })
  const problem = toProblem(error)
  await ica.store.failOrder(order.id, problem, act(ica, who, 'order.failed', `order:${order.id}`, { problem }))
  return { ...order, error: problem }
}
