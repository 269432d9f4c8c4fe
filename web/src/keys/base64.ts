/** Base64, base64url and PEM without Node's Buffer. */

/** Octets in pieces, because `String.fromCharCode` takes its arguments from the stack. */
const toBinary = (bytes: Uint8Array): string => {
  let text = ''
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096))
  return text
}

export const base64 = (bytes: Uint8Array): string => btoa(toBinary(bytes))

/** Without padding (RFC 7515 §2). */
export const base64url = (bytes: Uint8Array): string => base64(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')

/** The octets of base64 or base64url, white space ignored; null for what is neither. */
export const fromBase64 = (text: string): Uint8Array<ArrayBuffer> | null => {
  const plain = text.replace(/\s/g, '').replaceAll('-', '+').replaceAll('_', '/')
  try {
    return Uint8Array.from(atob(plain), (character) => character.charCodeAt(0))
  } catch {
    return null
  }
}

/** One block of PEM (RFC 7468) with lines of 64 characters and a final line feed. */
export const pemEncode = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${base64(der).replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`

const block = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----/g

/** Nothing that belongs into the form is longer. */
const longest = 256 * 1024

/** Every block of PEM in a text with its label, in order. */
export const pemBlocks = (text: string): { label: string; der: Uint8Array<ArrayBuffer> }[] =>
  [...text.slice(0, longest).matchAll(block)].flatMap(([, label = '', body = '']) => {
    const der = fromBase64(body)
    return der && der.length > 0 ? [{ label, der }] : []
  })

/** The leaf of a chain in PEM. */
export const firstDer = (chain: string): Uint8Array => pemBlocks(chain)[0]?.der ?? new Uint8Array()

/**
 * The DER of what somebody pasted or dropped: the first PEM block with one of the labels, or DER itself, or its base64 without the lines around it; null where it is
 * none of these.
 */
export const derFrom = (given: Uint8Array, ...labels: string[]): Uint8Array<ArrayBuffer> | null => {
  if (given.length > longest) return null
  // Every structure of PKIX is a SEQUENCE of more than 127 octets.
  if (given[0] === 0x30 && (given[1] ?? 0) >= 0x81) return new Uint8Array(given)
  const text = new TextDecoder().decode(given)
  const found = pemBlocks(text).find(({ label }) => labels.includes(label))
  if (found) return found.der
  const bare = text.includes('-----') ? null : fromBase64(text)
  return bare?.[0] === 0x30 ? bare : null
}
