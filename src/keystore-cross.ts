/** Cross-certificates: what other roots have signed for this CA, in files of the key folder. They become the alternate chains of certificates (RFC 8555 §7.4.2). */
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { crossFolder } from './keystore/inventory.js'
import { about, KeystoreError, readPem } from './keystore-files.js'
import { equalBytes } from './pki/bytes.js'
import type { Issuer } from './pki/certificate.js'
import { checkChain } from './pki/issuer.js'
import type { PublicKeyInfo } from './pki/keys.js'
import { readCertificate } from './pki/read-certificate.js'

/** Whom a cross-certificate may be of: the root, the intermediate that signs, those that were followed. */
type Authority = { name: string; subject: Uint8Array; publicKey: PublicKeyInfo; ski: Uint8Array }

/** A way to another root. */
export type CrossChain = {
  /** The key whose certificate this is another of, as certificates' keys are known by. */
  keyId: string
  /** That certificate, then those above it, the other root left out. */
  chain: Uint8Array[]
}

type Authorities = { intermediate: Issuer; retired: readonly Issuer[]; root: { certificate: Uint8Array; publicKey: PublicKeyInfo } }

const authoritiesOf = ({ intermediate, retired, root }: Authorities): Authority[] => {
  const { subject, ski } = readCertificate(root.certificate)
  return [
    ...[intermediate, ...retired].map((issuer) => ({ name: `the intermediate ${issuer.id}`, ...issuer })),
    { name: 'the root', subject, publicKey: root.publicKey, ski: ski ?? root.publicKey.ski },
  ]
}

/**
 * The chains in `cross/*.pem`, in the order of the files' names. Each file has the cross-certificate first, whatever stands above it, and the other root last, which must lead
 * from one to the next. One that has expired is left out, and noted.
 * @throws KeystoreError for a file that has no chain, or a certificate of nobody here
 */
export const openCross = (folder: string, own: Authorities, now: number, notes: string[]): CrossChain[] => {
  const at = path.join(folder, crossFolder)
  if (!existsSync(at)) return []
  const authorities = authoritiesOf(own)
  const names = readdirSync(at).filter((name) => name.endsWith('.pem'))
  return names.sort().flatMap((name): CrossChain[] => {
    const file = path.join(at, name)
    const certificates = about(file, () => readPem(file).map(readCertificate))
    const [first, ...above] = certificates
    if (!first || above.length === 0)
      throw new KeystoreError(
        `${file} must hold a cross-certificate, the certificates above it, and the other root last; it holds ${certificates.length}.`,
      )
    const authority = authorities.find(({ publicKey }) => publicKey.keyId === first.publicKey.keyId)
    if (!authority)
      throw new KeystoreError(`${file} begins with a certificate for a key that is neither the root's nor an intermediate's of this CA.`)
    if (!equalBytes(first.subject, authority.subject) || (first.ski !== null && !equalBytes(first.ski, authority.ski)))
      throw new KeystoreError(
        `${file} begins with a certificate for the key of ${authority.name}, but with another subject or key identifier: no chain can use it.`,
      )
    const expired = certificates.find(({ notAfter }) => notAfter <= now)
    if (expired) {
      notes.push(`${file} has expired ("${expired.commonName ?? expired.serial}"): certificates have one alternate chain less. Remove or replace it.`)
      return []
    }
    about(file, () => checkChain(certificates, now))
    return [{ keyId: authority.publicKey.keyId, chain: certificates.slice(0, -1).map(({ der }) => der) }]
  })
}

/** Every chain that a leaf of one of this CA's intermediates may come with, the CA's own first, roots left out. Undefined for an issuer that is none of them. */
export const chainsThrough = (own: Authorities & { cross: readonly CrossChain[] }, issuerId: string): Uint8Array[][] | undefined => {
  const issuer = [own.intermediate, ...own.retired].find(({ id }) => id === issuerId)
  if (!issuer) return undefined
  const crossOf = (keyId: string) => own.cross.filter((cross) => cross.keyId === keyId).map(({ chain }) => chain)
  return [issuer.chain, ...crossOf(issuer.publicKey.keyId), ...crossOf(own.root.publicKey.keyId).map((chain) => [...issuer.chain, ...chain])]
}
