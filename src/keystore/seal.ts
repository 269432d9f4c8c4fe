/**
 * Small secrets that lie in the database, closed with a key made of the CA's passphrase: who has a copy of the database alone has none of them.
 *
 * version[1] = 1 || nonce[12] || AES-256-GCM ciphertext || tag[16]; key = scrypt(passphrase, salt, N 2^15, r 8, p 1).
 */
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { IcaError } from '../errors.js'

export type Sealer = {
  /** `context` says what the secret is for; it must be the same to open it, so that no row can be passed off as another. */
  seal(secret: Uint8Array, context: string): Promise<Uint8Array>
  /** Throws serverInternal for what was sealed with another passphrase, for another context, or was changed. */
  open(sealed: Uint8Array, context: string): Promise<Buffer>
}

const VERSION = 1
const NONCE_LENGTH = 12
const TAG_LENGTH = 16
const cost = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 2 ** 20 }

const derive = promisify<string, Uint8Array, number, typeof cost, Buffer>(scrypt)

/** `salt` is asked for once, when the first secret comes: most CAs have none. */
export const createSealer = (passphrase: string, salt: () => Promise<Uint8Array>): Sealer => {
  let key: Promise<Buffer> | undefined
  const keyOnce = (): Promise<Buffer> => {
    key ??= salt()
      .then((bytes) => derive(passphrase, bytes, 32, cost))
      .catch((error: unknown) => {
        key = undefined
        throw error
      })
    return key
  }
  return {
    async seal(secret, context) {
      const nonce = randomBytes(NONCE_LENGTH)
      const cipher = createCipheriv('aes-256-gcm', await keyOnce(), nonce).setAAD(Buffer.from(context))
      return Buffer.concat([Buffer.of(VERSION), nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
    },
    async open(sealed, context) {
      const bytes = Buffer.from(sealed)
      const end = bytes.length - TAG_LENGTH
      try {
        if (bytes[0] !== VERSION) throw new Error(`version ${bytes[0]}`)
        const decipher = createDecipheriv('aes-256-gcm', await keyOnce(), bytes.subarray(1, 1 + NONCE_LENGTH), { authTagLength: TAG_LENGTH })
        decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(end))
        return Buffer.concat([decipher.update(bytes.subarray(1 + NONCE_LENGTH, end)), decipher.final()])
      } catch (error) {
        if (error instanceof IcaError) throw error
        throw new IcaError('serverInternal', `A secret in the database (${context}) can't be opened; it was sealed with another passphrase.`, {
          cause: error,
        })
      }
    },
  }
}
