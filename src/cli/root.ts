/** What the root does, on the machine that has its key: signing, revoking and listing intermediates. */

import { IcaError } from '../errors.js'
import { createCrlPublisher } from '../issuance/crls.js'
import { revocationAudit, revokedNow } from '../issuance/revocation.js'
import type { Certificate, RevocationReason } from '../model.js'
import { OperatorError, type RootCore, registerIntermediate } from '../open.js'
import { issuerId, readCertificate } from '../pki/read-certificate.js'
import { operator } from './context.js'

const day = 86_400_000
/** Nobody fetches the root for its CRL every week. */
export const defaultRootCrlDays = 90

/** Publishes the root's CRL into its database. Rejects where that fails. */
export const publishRootCrl = async ({ clock, log, store, root }: RootCore, days: number): Promise<void> => {
  const source = { issuer: root, shards: [], shardUrls: () => [] }
  const publisher = createCrlPublisher({ clock, log, store, sources: [source], settings: { lifetimeMs: days * day } })
  await publisher.publishAll()
  await publisher.stop()
}

/** The intermediate with these bytes, recorded where the database of the root does not know it: one made before the root was taken away. */
export const intermediateOf = async ({ clock, store, root }: RootCore, der: Uint8Array): Promise<Certificate> => {
  const info = readCertificate(der)
  const signed = info.aki && issuerId(info.aki) === root.id && info.isCa
  if (!signed) throw new OperatorError(`The certificate ${info.serial} (${info.commonName ?? 'no common name'}) is not an intermediate of this root.`)
  await registerIntermediate(store, { id: root.id, issuer: root }, der, { at: clock.now(), actor: operator() })
  return (await store.certificateBySerial(info.serial)) as Certificate
}

/** Revokes an intermediate. Throws alreadyRevoked. */
export const revokeIntermediate = async (core: RootCore, certificate: Certificate, reason: RevocationReason): Promise<void> => {
  const revocation = revokedNow(core, reason)
  const audit = revocationAudit(core, { actor: operator() }, certificate, { revocation, blockKey: false })
  if (!(await core.store.recordRevocation(certificate.serial, revocation, false, ...audit))) {
    throw new IcaError('alreadyRevoked', `The intermediate ${certificate.serial} was revoked before.`)
  }
}
