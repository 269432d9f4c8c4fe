/** A certificate that somebody gave, as bytes. Nothing of it is judged here: only its fingerprint is asked for. */
import { text } from '../text/en.js'

/** Far more than any certificate or chain. */
export const MAX_FILE = 256 * 1024

const fromBase64 = (base64: string): Uint8Array | null => {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))
  } catch {
    return null
  }
}

/** The DER of a file or a pasted text: the first certificate of PEM text, or bytes that begin as DER does. A sentence where it is no certificate. */
export const certificateIn = (bytes: Uint8Array): Uint8Array | string => {
  if (bytes.length > MAX_FILE) return text.lookup.tooLarge
  const content = new TextDecoder('latin1').decode(bytes)
  const [, body] = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END/.exec(content) ?? []
  if (body !== undefined) return fromBase64(body.replace(/\s/g, '')) ?? text.lookup.notPem
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(content)) return text.lookup.isKey
  if (/-----BEGIN (NEW )?CERTIFICATE REQUEST-----/.test(content)) return text.lookup.isRequest
  // A SEQUENCE with a length of two bytes: every certificate is one.
  return bytes[0] === 0x30 && bytes[1] === 0x82 && bytes.length > 100 ? bytes : text.lookup.notPem
}

/** SHA-256 in lower-case hex. */
export const sha256 = async (bytes: Uint8Array): Promise<string> => {
  const digest = await crypto.subtle.digest('SHA-256', bytes as BufferSource)
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
