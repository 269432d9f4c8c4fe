/** Whether a public key is a point of its curve: an answer that does not depend on OpenSSL's. */
import { bytesToHex } from './bytes.js'
import { oids } from './oids.js'

/** y² = x³ − 3x + b over the field of p elements, cofactor 1: every point but infinity has the full order (FIPS 186-5, SP 800-186 §3.2.1). */
export type Curve = { kind: 'P-256' | 'P-384' | 'P-521'; oid: string; bits: number; p: bigint; b: bigint }

export const curves: readonly Curve[] = [
  {
    kind: 'P-256',
    oid: oids.secp256r1,
    bits: 256,
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
  },
  {
    kind: 'P-384',
    oid: oids.secp384r1,
    bits: 384,
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  },
  {
    kind: 'P-521',
    oid: oids.secp521r1,
    bits: 521,
    p: 2n ** 521n - 1n,
    b: 0x0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
  },
]

const toBigInt = (bytes: Uint8Array): bigint => (bytes.length === 0 ? 0n : BigInt(`0x${bytesToHex(bytes)}`))

/** Whether `point` is the uncompressed form (SEC 1 §2.3.3) of a point of the curve. */
export const isOnCurve = ({ p, b, bits }: Curve, point: Uint8Array): boolean => {
  const size = Math.ceil(bits / 8)
  if (point.length !== 1 + 2 * size || point[0] !== 4) return false
  const x = toBigInt(point.subarray(1, 1 + size))
  const y = toBigInt(point.subarray(1 + size))
  return x < p && y < p && (y * y - (x * x * x - 3n * x + b)) % p === 0n
}

const p25519 = 2n ** 255n - 19n
const d25519 = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

const power = (base: bigint, exponent: bigint, modulus: bigint): bigint => {
  let result = 1n
  let square = base % modulus
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % modulus
    square = (square * square) % modulus
  }
  return result
}

/** y of the points whose order divides 8: with such a key everybody can make signatures that verify. */
const order8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022n
const smallOrder = new Set([0n, 1n, p25519 - 1n, order8, p25519 - order8])

/** Whether 32 octets are a point of Ed25519 in canonical form (RFC 8032 §5.1.3) that is not of small order. */
export const isOnEd25519 = (point: Uint8Array): boolean => {
  const y = toBigInt(Uint8Array.from(point).reverse()) & (2n ** 255n - 1n)
  if (y >= p25519 || smallOrder.has(y)) return false
  // x² = (y² − 1) / (d·y² + 1) must be a square; Euler's criterion of the product decides, since a square times a square is one.
  const y2 = y * y
  return power((y2 - 1n) * (d25519 * y2 + 1n), (p25519 - 1n) / 2n, p25519) === 1n
}
