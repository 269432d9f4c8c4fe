/** Certificates without the way through an order: reserved, signed and stored as the pipeline does it. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { Ica } from '../../src/issuance/ica.js'
import type { CertificateName } from '../../src/model.js'
import { issueLeaf, newSerial } from '../../src/pki/certificate.js'
import { nodeSigner, type PublicKeyInfo } from '../../src/pki/keys.js'
import { namesFor, type Profile } from '../../src/pki/profile.js'

export type Wish = {
  names?: CertificateName[]
  publicKey?: PublicKeyInfo
  accountId?: string | null
  createdAt?: number
  notAfter?: number
  profile?: string
}

export const newPublicKey = (): PublicKeyInfo => nodeSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey).publicKey

/** A leaf of the issuer that signs now. */
export const issueDirectly = async (ica: Ica, domain: string, wish: Wish = {}): Promise<{ serial: string; der: Uint8Array }> => {
  const profile = ica.profiles.get(wish.profile ?? 'xmpp-server') as Profile
  const now = Math.floor(ica.clock.now() / 1000) * 1000
  const { names = namesFor(profile, [{ type: 'dns', value: domain }]), publicKey = newPublicKey(), notAfter = now + 86_400_000 } = wish
  const serial = newSerial(randomBytes)
  const crlShard = Number.parseInt(serial.slice(-8), 16) % ica.settings.crlShards
  const validity = { notBefore: Math.min(now, notAfter) - 60_000, notAfter }
  await ica.store.reserveCertificate({
    serial,
    issuerId: ica.issuer.id,
    kind: 'leaf',
    profile: profile.name,
    accountId: wish.accountId ?? null,
    orderId: null,
    keyId: publicKey.keyId,
    crlShard,
    ...validity,
    names,
    createdAt: wish.createdAt ?? ica.clock.now(),
  })
  const der = await issueLeaf({
    profile,
    names,
    publicKey,
    serial,
    ...validity,
    issuer: ica.issuer,
    urls: ica.statusUrls(crlShard),
    mustStaple: false,
  })
  const audit = { at: ica.clock.now(), actor: 'system', action: 'certificate.issued', subject: `certificate:${serial}`, detail: {} }
  await ica.store.storeCertificate(serial, der, audit)
  return { serial, der }
}
