/** Bare JIDs of users (RFC 7622), as they stand in the XmppAddr of a user's certificate (RFC 6120 §13.7.1.4). Free of Node. */
import { IcaError } from './errors.js'
import { parseIdentifier, toAscii, toUnicode } from './identifier.js'

export type BareJid = {
  /** `localpart@domain` in its canonical form, the domain with U-labels. */
  jid: string
  /** The domain as lower-case A-labels. */
  domain: string
}

/** RFC 7622 §3.3: at most so many octets. */
const maxLocalpart = 1023

const show = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)

const refuse = (sentence: string): never => {
  throw new IcaError('malformed', sentence)
}

/** RFC 8264 §4.2: letters, digits and printable ASCII. What Unicode has not assigned, ignores or controls is in none of these classes. */
const identifierClass = /^[\x21-\x7e\p{Ll}\p{Lo}\p{Lm}\p{Mn}\p{Mc}\p{Nd}]+$/u
/** RFC 7622 §3.3.1. */
const excluded = /["&'/:<>@]/
/** Conjoining Hangul Jamo (RFC 8264 §9.9) and what is there to be ignored (§9.13). */
const disallowed = /[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]|\p{Default_Ignorable_Code_Point}/u
const rightToLeft = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u

/** The profile UsernameCaseMapped (RFC 8265 §3.3): full-width forms to ordinary ones, lower case, NFC. */
const mapLocalpart = (text: string): string =>
  text
    .replace(/[\uff01-\uffee\u3000]/gu, (c) => c.normalize('NFKC'))
    .toLowerCase()
    .normalize('NFC')

const parseLocalpart = (text: string, whole: string): string => {
  if (text === '') refuse(`${whole} has nothing before the "@": a user's certificate is for one user.`)
  const local = mapLocalpart(text)
  if (new TextEncoder().encode(local).length > maxLocalpart) refuse(`${whole} has more than ${maxLocalpart} octets before the "@" (RFC 7622).`)
  const strange = excluded.exec(local) ?? /\s/.exec(local)
  if (strange) refuse(`${whole} has the character ${JSON.stringify(strange[0])} before the "@", which no JID can have (RFC 7622).`)
  const allowed = identifierClass.test(local) && !disallowed.test(local) && local.normalize('NFKC') === local && mapLocalpart(local) === local
  if (!allowed) refuse(`${whole} has a character before the "@" that no JID can have (RFC 8265, UsernameCaseMapped).`)
  // Narrower than the bidi rule of RFC 5893 §2, whose exceptions would be read in another order than they are written.
  if (rightToLeft.test(local) && /[a-z]/.test(local)) refuse(`${whole} mixes letters of both writing directions before the "@".`)
  return local
}

/**
 * A bare JID as people write it, checked and in its canonical form. Domains that the public DNS does not have are taken too: nobody proves them, the operator answers for them.
 * @throws IcaError malformed, and rejectedIdentifier for a domain that nobody can have
 */
export const parseBareJid = (text: string): BareJid => {
  const whole = show(text)
  if (text.length > 2 * maxLocalpart) refuse(`${whole} is longer than a bare JID can be.`)
  if (text.includes('/')) refuse(`${whole} has a resource; a certificate is for the bare JID, user@example.org.`)
  const at = text.indexOf('@')
  if (at < 0) refuse(`${whole} is not a bare JID, user@example.org.`)
  const [local, domain] = [parseLocalpart(text.slice(0, at), whole), text.slice(at + 1)]
  if (domain.startsWith('*')) refuse(`${whole} has a wildcard; a certificate is for one user.`)
  const ascii = toAscii(domain)
  if (ascii === null) return refuse(`${whole} has no valid domain after the "@".`)
  const { value } = parseIdentifier('dns', ascii, { lab: true })
  return { jid: `${local}@${toUnicode(value)}`, domain: value }
}
