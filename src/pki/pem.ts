/** PEM (RFC 7468). */
import { IcaError } from '../errors.js'

/** One block with lines of 64 characters and a final line feed. `label` is what stands behind BEGIN, e.g. `CERTIFICATE`. */
export const pemEncode = (label: string, der: Uint8Array): string => {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString('base64')
  let text = `-----BEGIN ${label}-----\n`
  for (let i = 0; i < base64.length; i += 64) text += `${base64.slice(i, i + 64)}\n`
  return `${text}-----END ${label}-----\n`
}

const block = /-----BEGIN ([A-Z0-9 ]{1,40})-----\s([A-Za-z0-9+/=\s]*)-----END ([A-Z0-9 ]{1,40})-----/g

/**
 * The DER of all blocks with `label`, in order; text between blocks and blocks with other labels are skipped (RFC 7468 §2 and §5.2). Throws malformed for more
 * than `maxLength` characters, where there is no such block, and for a broken one.
 */
export const pemDecode = (label: string, text: string, maxLength = 256 * 1024): Uint8Array[] => {
  if (text.length > maxLength) throw new IcaError('malformed', `The PEM text has ${text.length} characters; at most ${maxLength} are read.`)
  const found: Uint8Array[] = []
  for (const [, begin, body = '', end] of text.matchAll(block)) {
    if (begin !== end) throw new IcaError('malformed', `A PEM block begins as "${begin}" and ends as "${end}".`)
    if (begin !== label) continue
    const base64 = body.replace(/\s/g, '')
    const der = Buffer.from(base64, 'base64')
    if (der.length === 0 || der.toString('base64') !== base64) throw new IcaError('malformed', `A PEM block "${label}" is not valid base64.`)
    found.push(new Uint8Array(der))
  }
  if (found.length === 0) throw new IcaError('malformed', `There is no PEM block "${label}".`)
  return found
}
