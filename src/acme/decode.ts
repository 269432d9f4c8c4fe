/** Strict decoders for what clients send. Lenient ones would let two programs read one signed message differently. */
import { isUtf8 } from 'node:buffer'
import { IcaError } from '../errors.js'

export type JsonObject = Record<string, unknown>

/** The octets of unpadded base64url in its one canonical form (RFC 7515 §2, RFC 4648 §3.5); null for anything else. */
export const decodeBase64url = (text: string): Buffer | null => {
  const bytes = Buffer.from(text, 'base64url')
  // Node skips what is not in the alphabet and drops stray bits, so only the way back tells.
  return bytes.toString('base64url') === text ? bytes : null
}

/** A member that must be canonical base64url. Throws malformed; `what` names it there. */
export const readBase64url = (value: unknown, what: string): Buffer => {
  const bytes = typeof value === 'string' ? decodeBase64url(value) : null
  if (!bytes) throw new IcaError('malformed', `${what} must be a string of base64url without padding (RFC 7515 §2).`)
  return bytes
}

export const isJsonObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * A JSON object (RFC 8259) in UTF-8 in which no object names a member twice: parsers differ in which one they believe (RFC 8259 §4). Throws malformed; `what`
 * begins the sentence there.
 */
export const decodeJsonObject = (bytes: Buffer, what: string): JsonObject => {
  if (!isUtf8(bytes)) throw new IcaError('malformed', `${what} is not UTF-8.`)
  const text = bytes.toString()
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new IcaError('malformed', `${what} is not JSON.`)
  }
  if (!isJsonObject(value)) throw new IcaError('malformed', `${what} is not a JSON object.`)
  const duplicate = duplicateMember(text)
  if (duplicate !== null) throw new IcaError('malformed', `${what} has the member ${JSON.stringify(duplicate.slice(0, 40))} twice.`)
  return value
}

/** The structure of a text that is known to be JSON: braces, brackets, and strings, with the colon that makes a string a name. */
const token = /[{}[\]]|"(?:[^"\\]+|\\.)*"(\s*:)?/g

const duplicateMember = (json: string): string | null => {
  const open: (Set<string> | null)[] = []
  for (const [text, colon] of json.matchAll(token)) {
    if (text === '{') open.push(new Set())
    else if (text === '[') open.push(null)
    else if (text === '}' || text === ']') open.pop()
    else if (colon !== undefined) {
      const name: string = JSON.parse(text.slice(0, -colon.length))
      const names = open.at(-1)
      if (names?.has(name)) return name
      names?.add(name)
    }
  }
  return null
}
