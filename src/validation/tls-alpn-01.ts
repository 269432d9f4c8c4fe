import type { X509Certificate } from 'node:crypto'
import { acmeIdentifierOf } from './acme-identifier.js'
import { withDeadline } from './deadline.js'
import type { Ports } from './net.js'
import {
  type Evidence,
  failure,
  keyAuthorizationDigest,
  printable,
  type ValidationInput,
  type ValidationResult,
  type Validator,
} from './validator.js'

/** RFC 8737 §6.2. */
const PROTOCOL = 'acme-tls/1'
/** A SAN can be long; this much of it is shown. */
const SHOWN_SAN = 200

const isSelfSigned = (certificate: X509Certificate): boolean => {
  try {
    return certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey)
  } catch {
    return false // a key of a kind that this machine can't use
  }
}

/** What RFC 8737 §3 wants of the certificate, as the first thing that is wrong with it; null where nothing is. */
const faultOf = (certificate: X509Certificate, name: string, digest: Buffer): string | null => {
  // Node writes the whole SAN as one line, quoting what could be mistaken for a separator: equal to one entry means exactly this entry.
  const san = certificate.subjectAltName ?? ''
  if (san.toLowerCase() !== `dns:${name}`) return `its SAN is not exactly the dNSName ${name}, but "${printable(san, SHOWN_SAN)}"`
  const extension = acmeIdentifierOf(certificate.raw)
  if (typeof extension === 'string') return extension
  if (!extension.equals(digest)) {
    return `its acmeIdentifier has the digest ${extension.toString('hex')} instead of the key authorization's, ${digest.toString('hex')}`
  }
  return isSelfSigned(certificate) ? null : 'it is not self-signed'
}

const judge = (input: ValidationInput, alpn: string | false | null, certificate: X509Certificate | undefined, seen: Evidence): ValidationResult => {
  const { value: name } = input.identifier
  const unauthorized = (detail: string, evidence: Evidence): ValidationResult => ({ ...failure('unauthorized', detail), evidence })
  const evidence = { ...seen, alpn: alpn || null }
  if (alpn !== PROTOCOL) return unauthorized(`The server of ${name} does not speak the protocol "${PROTOCOL}".`, evidence)
  if (!certificate) return unauthorized(`The server of ${name} showed no certificate.`, evidence)
  const fault = faultOf(certificate, name, keyAuthorizationDigest(input.keyAuthorization))
  const shown = { ...evidence, fingerprint: certificate.fingerprint256, subjectAltName: printable(certificate.subjectAltName ?? '', SHOWN_SAN) }
  if (fault !== null) return unauthorized(`The server of ${name} showed a certificate that does not answer the challenge: ${fault}.`, shown)
  return { ok: true, evidence: shown }
}

/** tls-alpn-01 (RFC 8737): a self-signed certificate with the digest of the key authorization, shown to who asks for the protocol `acme-tls/1`. */
export const tlsAlpn01 = ({ dial, tlsAlpn01Port, totalMs }: Pick<Ports, 'dial' | 'tlsAlpn01Port' | 'totalMs'>): Validator => ({
  type: 'tls-alpn-01',
  appliesTo: (identifier, wildcard) => identifier.type === 'dns' && !wildcard,
  async validate(input, signal) {
    const dialled = await withDeadline(totalMs, signal, (deadline) => dial.tls(input.identifier.value, tlsAlpn01Port, { alpn: [PROTOCOL] }, deadline))
    const { contact, ...outcome } = dialled
    if (!outcome.ok) return { ...outcome, evidence: { ...contact } }
    const { socket } = outcome
    const result = judge(input, socket.alpnProtocol, socket.getPeerX509Certificate(), { ...contact })
    socket.destroy()
    return result
  },
})
