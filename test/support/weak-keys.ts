/** RSA keys with each of the known weaknesses, and signatures by them: plain arithmetic, because no library makes or uses such keys. */
import { checkPrimeSync, createHash, generateKeyPairSync, generatePrimeSync } from 'node:crypto'
import { bitString, integer, nullValue, oid, sequence } from '../../src/pki/der.js'
import { readPublicKey, type Signer } from '../../src/pki/keys.js'
import { oids } from '../../src/pki/oids.js'

const power = (base: bigint, exponent: bigint, modulus: bigint): bigint => {
  let result = 1n
  for (let square = base % modulus, left = exponent; left > 0n; left >>= 1n, square = (square * square) % modulus) {
    if (left & 1n) result = (result * square) % modulus
  }
  return result
}

const inverse = (a: bigint, modulus: bigint): bigint => {
  let [r, nextR, s, nextS] = [modulus, ((a % modulus) + modulus) % modulus, 0n, 1n]
  while (nextR !== 0n) {
    const quotient = r / nextR
    ;[r, nextR, s, nextS] = [nextR, r - quotient * nextR, nextS, s - quotient * nextS]
  }
  if (r !== 1n) throw new RangeError('not coprime')
  return ((s % modulus) + modulus) % modulus
}

const toBytes = (value: bigint): Buffer => {
  const hex = value.toString(16)
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
}
const toNumber = (bytes: ArrayBuffer | Buffer): bigint => BigInt(`0x${Buffer.from(bytes as ArrayBuffer).toString('hex')}`)
const prime = (bits: number): bigint => toNumber(generatePrimeSync(bits))
const bitsOf = (value: bigint): number => value.toString(2).length

/** A prime k·M + (65537^a mod M), as the library of CVE-2017-15361 made them; M is that of its 1024-bit primes. */
const rocaPrime = (): bigint => {
  const primes: bigint[] = []
  for (let n = 2n; primes.length < 126; n++) if (primes.every((p) => n % p !== 0n)) primes.push(n)
  const primorial = primes.reduce((a, b) => a * b)
  for (;;) {
    const candidate = prime(1024 - bitsOf(primorial)) * primorial + power(65537n, prime(64), primorial)
    if (bitsOf(candidate) === 1024 && checkPrimeSync(candidate)) return candidate
  }
}

/** Two primes next to each other, as the printers of CVE-2022-26320 chose them. */
const neighbours = (): [bigint, bigint] => {
  const p = prime(1024)
  let q = p + 2n
  while (!checkPrimeSync(q)) q += 2n
  return [p, q]
}

export type WeakKey = { n: bigint; e: bigint; jwk: { kty: 'RSA'; n: string; e: string }; signer: Signer }

/** A key of these primes. Signs by sha256WithRSAEncryption (RFC 8017 §8.2.1). */
const keyOf = (primes: bigint[], e = 65537n): WeakKey => {
  const n = primes.reduce((a, b) => a * b)
  const d = inverse(
    e,
    primes.reduce((phi, p) => phi * (p - 1n), 1n),
  )
  const spki = sequence(sequence(oid(oids.rsaEncryption), nullValue()), bitString(sequence(integer(n), integer(e))))
  const length = Math.ceil(bitsOf(n) / 8)
  const sign = async (data: Uint8Array): Promise<Uint8Array> => {
    const info = Buffer.concat([Buffer.from('3031300d060960864801650304020105000420', 'hex'), createHash('sha256').update(data).digest()])
    const padded = Buffer.concat([Buffer.of(0, 1), Buffer.alloc(length - info.length - 3, 0xff), Buffer.of(0), info])
    return Buffer.from(
      power(toNumber(padded), d, n)
        .toString(16)
        .padStart(2 * length, '0'),
      'hex',
    )
  }
  const jwk = { kty: 'RSA' as const, n: toBytes(n).toString('base64url'), e: toBytes(e).toString('base64url') }
  return { n, e, jwk, signer: { publicKey: readPublicKey(spki), algorithm: sequence(oid('1.2.840.113549.1.1.11'), nullValue()), sign } }
}

/** Until the modulus has 2048 bits and the exponent an inverse. */
const sized = (make: () => WeakKey): WeakKey => {
  for (;;) {
    try {
      const key = make()
      if (bitsOf(key.n) === 2048) return key
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
  }
}

const primesOf = (bits: number, publicExponent = 65537): [bigint, bigint] => {
  const { p = '', q = '' } = generateKeyPairSync('rsa', { modulusLength: bits, publicExponent }).privateKey.export({ format: 'jwk' })
  return [toNumber(Buffer.from(p, 'base64url')), toNumber(Buffer.from(q, 'base64url'))]
}

/** Each weakness of RSA keys that PKI.md names, with what a subscriber is told. */
export const weakRsaKeys = (): [what: string, key: WeakKey, detail: RegExp][] => [
  ['1024 bits', keyOf(primesOf(1024)), /has 1024 bits/],
  ['exponent 3', keyOf(primesOf(2048, 3), 3n), /exponent 3/],
  ['exponent 17', keyOf(primesOf(2048, 17), 17n), /exponent 17/],
  ['a small factor', sized(() => keyOf([751n, prime(1019), prime(1020)])), /divisible by 751/],
  ['ROCA (CVE-2017-15361)', sized(() => keyOf([rocaPrime(), rocaPrime()])), /ROCA/],
  ['close primes (CVE-2022-26320)', sized(() => keyOf(neighbours())), /too close together/],
]
