/** Certificates of users (XEP-0178): issued by the operator, who answers for the user, below a root that stands for nothing else. */
import { randomBytes } from 'node:crypto'
import { IcaError } from '../errors.js'
import type { BareJid } from '../jid.js'
import type { CertificateReservation } from '../model.js'
import { type Issuer, newSerial, issueLeaf as signLeaf } from '../pki/certificate.js'
import type { CertificateRequest } from '../pki/csr.js'
import type { PublicKeyInfo } from '../pki/keys.js'
import { lintLeaf } from '../pki/lint.js'
import { userProfile } from '../pki/profile.js'
import { checkSubscriberKey } from '../pki/weak-keys.js'
import { act, type Ica, type Who } from './ica.js'

/** `statusUrls` are those of the user CA's intermediate. */
export type UserCaDeps = Pick<Ica, 'clock' | 'store' | 'log' | 'isOwnKey' | 'statusUrls'> & { issuer: Issuer; crlShards: number }

/** A CSR gives its key; of names it may only ask for the one that is certified. Throws badCSR. */
export const keyOfUserRequest = ({ jid }: BareJid, csr: CertificateRequest): PublicKeyInfo => {
  const stranger = [...csr.dNSNames, ...csr.sRVNames].at(0) ?? csr.xmppAddrs.find((address) => address !== jid)
  if (stranger !== undefined)
    throw new IcaError('badCSR', `The CSR asks for "${stranger}"; the certificate of a user has the XmppAddr ${jid} and no other name.`)
  return csr.publicKey
}

/** Throws badCSR for a key that may not be certified. */
const checkKey = async ({ store, isOwnKey }: UserCaDeps, key: PublicKeyInfo): Promise<void> => {
  try {
    checkSubscriberKey(key, userProfile.keyKinds)
  } catch (error) {
    throw error instanceof IcaError ? new IcaError('badCSR', error.message) : error
  }
  if (isOwnKey(key.keyId) || (await store.isServiceKey(key.keyId))) throw new IcaError('badCSR', 'The key is one of this CA.')
  if (await store.isKeyBlocked(key.keyId)) throw new IcaError('badCSR', 'The key is blocked because it was compromised. Make a new one.')
}

/** RFC 5280 appendix A: at most 64 characters. Never a part of a JID, which would be the JID of somebody else. */
const commonNameOf = ({ jid }: BareJid): string => ([...jid].length <= 64 ? jid : 'XMPP user')

/**
 * Issues and stores a certificate for a user: serial first, then the signature, the lint, and the certificate with its audit row.
 * @param wish.validityMs at most that of the profile; ends with the issuer at the latest
 * @returns DER, leaf first, root left out
 * @throws IcaError badCSR for the key, malformed for the validity, serverInternal where the lint finds anything
 */
export const issueUserCertificate = async (
  deps: UserCaDeps,
  user: BareJid,
  wish: { publicKey: PublicKeyInfo; validityMs?: number },
  who: Who,
): Promise<{ serial: string; notAfter: number; chain: Uint8Array[] }> => {
  const { store, clock, issuer } = deps
  const { publicKey, validityMs = userProfile.validityMs } = wish
  if (!(validityMs > 0 && validityMs <= userProfile.maxValidityMs))
    throw new IcaError('malformed', `The certificate of a user is valid for at most ${userProfile.maxValidityMs / 86_400_000} days.`)
  await checkKey(deps, publicKey)
  const now = clock.now()
  const second = Math.floor(now / 1000) * 1000
  const serial = newSerial(randomBytes)
  const crlShard = Number.parseInt(serial.slice(-8), 16) % deps.crlShards
  const validity = {
    notBefore: Math.max(second - userProfile.backdateMs, issuer.notBefore),
    notAfter: Math.min(second + validityMs, issuer.notAfter),
  }
  const names = [{ form: 'XmppAddr' as const, value: user.jid }]
  const reservation: CertificateReservation = {
    serial,
    issuerId: issuer.id,
    kind: 'user',
    profile: userProfile.name,
    accountId: null,
    orderId: null,
    keyId: publicKey.keyId,
    crlShard,
    ...validity,
    names,
    createdAt: now,
  }
  await store.reserveCertificate(reservation)
  const leaf = {
    profile: userProfile,
    names,
    publicKey,
    serial,
    ...validity,
    issuer,
    urls: deps.statusUrls(crlShard),
    mustStaple: false,
    commonName: commonNameOf(user),
  }
  const der = await signLeaf(leaf)
  const findings = lintLeaf(der, leaf, clock.now())
  if (findings.length > 0) {
    deps.log.error({ serial, findings }, 'lint refused the certificate of a user; it was not released')
    throw new IcaError('serverInternal', `The CA refused its own certificate: ${findings.join('; ')}.`)
  }
  const detail = { kind: 'user', profile: userProfile.name, issuer: issuer.id, keyId: publicKey.keyId, names: [`XmppAddr:${user.jid}`], ...validity }
  await store.storeCertificate(serial, der, act(deps, who, 'certificate.issued', `certificate:${serial}`, detail))
  return { serial, notAfter: validity.notAfter, chain: [der, ...issuer.chain] }
}
