/** Whether anything that was sent holds a private key. */
import { createPrivateKey, createPublicKey } from 'node:crypto'

/** The octets of a private key that its public key does not have: d of ECDSA; d, the primes and what is made of them of RSA. */
const secretsOf = (pkcs8: Uint8Array): Buffer[] => {
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' })
  const open = createPublicKey(key).export({ format: 'jwk' })
  return Object.entries(key.export({ format: 'jwk' })).flatMap(([name, value]) => (name in open ? [] : [Buffer.from(String(value), 'base64url')]))
}

/** Every reading of a text: itself, and what its long runs of base64url, base64 and hex stand for, to the third level (a JWS in a JWS, a CSR in its payload). */
const readings = (text: Buffer, depth = 3): Buffer[] => {
  if (depth === 0) return [text]
  const runs = text.toString('latin1').match(/[A-Za-z0-9+/_-]{24,}/g) ?? []
  const decoded = runs.flatMap((run) => [Buffer.from(run, 'base64url'), ...(/^[0-9a-f]+$/i.test(run) ? [Buffer.from(run, 'hex')] : [])])
  return [text, ...decoded.flatMap((octets) => readings(octets, depth - 1))]
}

/** The sent texts that give away the PKCS #8 key, each by its beginning. None is what is wanted. */
export const exposures = (pkcs8: Uint8Array, sent: readonly string[]): string[] => {
  const secrets = secretsOf(pkcs8)
  if (secrets.length === 0 || secrets.some(({ length }) => length === 0)) throw new Error('a key without secrets')
  return sent
    .filter((text) => readings(Buffer.from(text)).some((octets) => secrets.some((secret) => octets.includes(secret))))
    .map((text) => text.slice(0, 120))
}
