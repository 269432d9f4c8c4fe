/** RSA keys that everybody can make again: those of Debian's OpenSSL between 2006 and 2008 (CVE-2008-0166), in the form in which Debian published them. */
import { hash } from 'node:crypto'
import { bytesToHex } from './bytes.js'

/** A list holds 32,768 keys of each size and architecture. */
const maxLines = 2_000_000
/** The last 80 bits of a SHA-1, as the files of Debian's `openssl-blacklist` have it; whole SHA-1 values are understood too. */
const kept = 20

export type WeakKeyList = {
  /** How many keys it names. */
  size: number
  /** Whether it names the RSA key with this modulus (unsigned, big-endian, without leading zeros). */
  has(modulus: Uint8Array): boolean
}

/**
 * Reads a file of Debian's `openssl-blacklist`: a line for each key with the last 20 hex digits of the SHA-1 of what `openssl rsa -noout -modulus` prints; lines that
 * begin with `#` are comments.
 * @throws RangeError for anything else, with the number of the line
 */
export const readWeakKeyList = (text: string): WeakKeyList => {
  const lines = text.split(/\r?\n/, maxLines + 1)
  if (lines.length > maxLines) throw new RangeError(`has more than ${maxLines} lines`)
  const suffixes = new Set<string>()
  for (const [index, line] of lines.entries()) {
    const entry = line.trim().toLowerCase()
    if (entry === '' || entry.startsWith('#')) continue
    if (!/^(?:[0-9a-f]{20}|[0-9a-f]{40})$/.test(entry)) throw new RangeError(`line ${index + 1} is neither 20 nor 40 hex digits`)
    suffixes.add(entry.slice(-kept))
  }
  return {
    size: suffixes.size,
    has: (modulus) => suffixes.size > 0 && suffixes.has(hash('sha1', `Modulus=${bytesToHex(modulus).toUpperCase()}\n`).slice(-kept)),
  }
}
