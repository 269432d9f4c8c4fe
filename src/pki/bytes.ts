/** Octet strings, without Node, so that the web form can share them. */

/** Ascending order of octet strings, as X.690 §11.6 sorts. */
export const compareBytes = (a: Uint8Array, b: Uint8Array): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Equality of public octets (not constant-time). */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && compareBytes(a, b) === 0

const hexDigits = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, '0'))

/** Lower-case hex, two digits an octet. */
export const bytesToHex = (bytes: Uint8Array): string => {
  let hex = ''
  for (let i = 0; i < bytes.length; i++) hex += hexDigits[bytes[i] ?? 0]
  return hex
}

/** The value of a hex digit by its character code; 255 for other characters. */
const nibbles = Uint8Array.from({ length: 256 }, (_, code) =>
  /[0-9a-fA-F]/.test(String.fromCharCode(code)) ? Number.parseInt(String.fromCharCode(code), 16) : 255,
)

/** Octets of an even number of hex digits; anything else is a RangeError. */
export const hexToBytes = (hex: string): Uint8Array => {
  const out = new Uint8Array(hex.length >> 1)
  let bad = hex.length & 1
  for (let i = 0; i < out.length; i++) {
    const high = nibbles[hex.charCodeAt(2 * i)] ?? 255
    const low = nibbles[hex.charCodeAt(2 * i + 1)] ?? 255
    if (high === 255 || low === 255) bad = 1
    out[i] = (high << 4) | low
  }
  if (bad) throw new RangeError('not an even number of hex digits')
  return out
}
