/** Keys that nobody may have, for what this CA knows of them beside their numbers (those are judged by pki/weak-keys.ts). */
import { keyBits, type PublicKeyInfo, readRsaNumbers } from '../pki/keys.js'
import type { Ica } from './ica.js'

/** The modulus of an RSA key, unsigned big-endian; null for other keys. */
export const modulusOf = ({ kind, spki }: PublicKeyInfo): Uint8Array | null => (kind === 'RSA' ? readRsaNumbers(keyBits(spki)).modulus : null)

/**
 * Why this key is refused, to be put behind "the key"; null where nothing is known against it.
 * @param keyId lower-case hex of the SHA-256 of its SubjectPublicKeyInfo
 * @param modulus of an RSA key
 */
export const refusalOf = async (
  ica: Pick<Ica, 'isOwnKey' | 'weakKeys' | 'store'>,
  keyId: string,
  modulus: Uint8Array | null,
): Promise<string | null> => {
  const [isServiceKey, isBlocked] = await Promise.all([ica.store.isServiceKey(keyId), ica.store.isKeyBlocked(keyId)])
  if (ica.isOwnKey(keyId) || isServiceKey) return 'belongs to this CA'
  if (modulus && ica.weakKeys.has(modulus)) return 'is one of those that anybody can make again (CVE-2008-0166: Debian’s OpenSSL of 2006 to 2008)'
  return isBlocked ? 'is blocked because it was compromised' : null
}
