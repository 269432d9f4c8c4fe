/** Keys that a subscriber may not use (PKI.md "Keys refused", BR 6.1.1.3). What needs state (compromised, own and account keys) is checked by issuance/. */
import { IcaError } from '../errors.js'
import { bytesToHex } from './bytes.js'
import { type KeyKind, keyBits, type PublicKeyInfo, readRsaNumbers } from './keys.js'

/**
 * Throws badCSR (RFC 8555 §6.7: "e.g., due to a short key"), in words that tell the subscriber what to change, unless the key is of an allowed kind and none of
 * the known weak ones.
 */
export const checkSubscriberKey = (key: PublicKeyInfo, allowed: readonly KeyKind[]): void => {
  if (!allowed.includes(key.kind)) throw new IcaError('badCSR', `Keys of the kind ${key.kind} are not accepted here; use ${allowed.join(' or ')}.`)
  const weakness = weaknessOf(key)
  if (weakness !== null) throw new IcaError('badCSR', weakness)
}

const newKey = 'Make a new key with up-to-date software.'

/** What is wrong with an RSA key, in a sentence; null for a good one. Keys of the other kinds have their checks in {@link readPublicKey}. */
export const weaknessOf = (key: PublicKeyInfo): string | null => {
  if (key.kind !== 'RSA') return null
  const { modulus, exponent } = readRsaNumbers(keyBits(key.spki))
  const n = BigInt(`0x${bytesToHex(modulus)}`)
  const e = BigInt(`0x${bytesToHex(exponent)}`)
  if (key.bits < 2048 || key.bits > 4096) return `The RSA key has ${key.bits} bits; between 2048 and 4096 are accepted.`
  if (key.bits % 8 !== 0) return `The RSA key has ${key.bits} bits; only multiples of 8 are accepted.`
  if (e !== 65537n) return `The RSA key has the public exponent ${bitsOf(e) > 64 ? 'of more than 64 bits' : e}; only 65537 is accepted.`
  const factor = smallPrimes.find((p) => n % p === 0n)
  if (factor !== undefined) return `The RSA modulus is divisible by ${factor}. ${newKey}`
  if (hasRocaFingerprint(n)) return `The RSA key has the ROCA weakness (CVE-2017-15361). ${newKey}`
  if (hasClosePrimes(n, 100)) return `The RSA modulus is a product of two primes that are too close together (Fermat factorisation). ${newKey}`
  return null
}

const bitsOf = (value: bigint): number => value.toString(2).length

const primesUpTo = (limit: number): bigint[] => {
  const primes: bigint[] = []
  for (let n = 2n; n <= limit; n++) if (primes.every((p) => n % p !== 0n)) primes.push(n)
  return primes
}

/** 2 to 751, as NIST SP 800-89 §5.3.3 asks. */
const smallPrimes = primesUpTo(751)

/**
 * ROCA (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017 §2): the library made primes of the form k·M + (65537^a mod M), M a product of the first
 * primes, so modulo each of them the modulus is a power of 65537. Here for each odd prime up to 167 (they divide M at every key size) those powers; primes
 * where 65537 generates everything prove nothing and are left out. A random modulus passes for one with a probability of about 2^-27.
 */
const rocaResidues: [prime: bigint, powers: Set<bigint>][] = smallPrimes
  .filter((p) => p > 2n && p <= 167n)
  .map((p): [bigint, Set<bigint>] => {
    const powers = new Set<bigint>()
    for (let power = 1n; !powers.has(power); power = (power * 65537n) % p) powers.add(power)
    return [p, powers]
  })
  .filter(([p, powers]) => powers.size < Number(p) - 1)

const hasRocaFingerprint = (n: bigint): boolean => rocaResidues.every(([p, powers]) => powers.has(n % p))

/** Rounded down. Newton's method from above. */
const squareRoot = (n: bigint): bigint => {
  let root = 1n << BigInt(Math.ceil(bitsOf(n) / 2))
  for (;;) {
    const next = (root + n / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

/** The squares modulo 64, 63 and 65; a number that is not a square fails one of them in 98 of 100 cases, which saves the root. */
const squaresModulo = [64n, 63n, 65n].map((m): [bigint, Set<bigint>] => [m, new Set(Array.from({ length: Number(m) }, (_, i) => BigInt(i * i) % m))])

const isSquare = (n: bigint): boolean => {
  if (!squaresModulo.every(([m, squares]) => squares.has(n % m))) return false
  const root = squareRoot(n)
  return root * root === n
}

/** Fermat: n = a² − b² for an a just above the root of n when the primes are close (CVE-2022-26320; the number of rounds is BR 6.1.1.3's). */
const hasClosePrimes = (n: bigint, rounds: number): boolean => {
  let a = squareRoot(n)
  if (a * a === n) return true
  a += 1n
  let b2 = a * a - n
  for (let round = 0; round < rounds; round++) {
    if (isSquare(b2)) return true
    b2 += 2n * a + 1n
    a += 1n
  }
  return false
}
