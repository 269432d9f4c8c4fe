/** Private keys at rest: encrypted PKCS #8 (RFC 5958) with PBES2 (RFC 8018 §6.2) in PEM, as `openssl pkey` reads and writes it. */
import { createCipheriv, createPrivateKey, type KeyObject, pbkdf2Sync, randomBytes } from 'node:crypto'
import { IcaError } from '../errors.js'
import { integer, nullValue, octetString, oid, sequence } from './der.js'
import { oids } from './oids.js'
import { pemEncode } from './pem.js'

/** OWASP's figure for PBKDF2-HMAC-SHA256 (2023); about a tenth of a second. OpenSSL's own export stops at 2048. */
const iterations = 600_000

/** PEM `ENCRYPTED PRIVATE KEY`: PBKDF2-HMAC-SHA256 with 600,000 iterations and a salt of 16 octets, AES-256-CBC. `passphrase` is taken as UTF-8. */
export const encryptPrivateKey = (key: KeyObject, passphrase: string): string => {
  if (passphrase === '') throw new IcaError('malformed', 'A private key can’t be encrypted with an empty passphrase.')
  const salt = randomBytes(16)
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-cbc', pbkdf2Sync(passphrase, salt, iterations, 32, 'sha256'), iv)
  const encrypted = Buffer.concat([cipher.update(key.export({ type: 'pkcs8', format: 'der' })), cipher.final()])
  const pbkdf2 = sequence(oid(oids.pbkdf2), sequence(octetString(salt), integer(iterations), sequence(oid(oids.hmacWithSHA256), nullValue())))
  const aes = sequence(oid(oids.aes256Cbc), octetString(iv))
  return pemEncode('ENCRYPTED PRIVATE KEY', sequence(sequence(oid(oids.pbes2), sequence(pbkdf2, aes)), octetString(encrypted)))
}

/**
 * The key in a PEM `ENCRYPTED PRIVATE KEY` of any PBES2 scheme that OpenSSL knows. Throws malformed where the text is something else (an unencrypted key too:
 * the CA's keys are never kept so) and unauthorized where the passphrase does not open it.
 */
export const decryptPrivateKey = (pem: string, passphrase: string): KeyObject => {
  if (!pem.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----')) {
    throw new IcaError('malformed', 'This is not an encrypted private key: a PEM block "ENCRYPTED PRIVATE KEY" (PKCS #8) is expected.')
  }
  try {
    return createPrivateKey({ key: pem, format: 'pem', passphrase })
  } catch (cause) {
    throw new IcaError('unauthorized', 'The private key can’t be opened: the passphrase is wrong or the file is damaged.', { cause })
  }
}
