/** Hex as tools show it: with colons or spaces, and what it is in front. */
const hexIn = (value: string): string =>
  value
    .replace(/^((serial(?:\s*number)?|(sha-?256\s*)?fingerprint)\s*[:=]\s*)?(0x)?/i, '')
    .replace(/[\s:]/g, '')
    .toLowerCase()

/** Where that is which somebody asks for: a certificate by serial number (at most 20 octets, RFC 5280 §4.1.2.2) or SHA-256 fingerprint, else those of a domain. */
export const placeOf = (asked: string): string => {
  const hex = hexIn(asked)
  if (/^[0-9a-f]{64}$/.test(hex)) return `/lookup?fingerprint=${hex}`
  return /^[0-9a-f]{16,40}$/.test(hex) ? `/lookup/${hex}` : `/lookup?domain=${encodeURIComponent(asked)}`
}
