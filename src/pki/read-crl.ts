/** Reading a CRL that was made elsewhere (RFC 5280 §5), through `@peculiar/x509`: the root's, now and then. Load it with `import()`. */
import type { webcrypto } from 'node:crypto'
import { IcaError } from '../errors.js'
import { type RevocationReason, revocationReasons } from '../model.js'
import { equalBytes } from './bytes.js'
import type { CrlEntry } from './crl.js'
import { tags } from './der.js'
import { readHexInteger, readWhole } from './der-read.js'
import { oids } from './oids.js'
import { pemDecode } from './pem.js'
import { readCertificate } from './read-certificate.js'
import { crypto, x509 } from './x509.js'

export type Crl = { der: Uint8Array; number: bigint; thisUpdate: number; nextUpdate: number; entries: CrlEntry[] }

const refuse = (detail: string): never => {
  throw new IcaError('malformed', detail)
}

/** certificateHold and removeFromCRL: an entry that may go again. */
const temporary = [6, 8]

const toReason = (code: number): RevocationReason =>
  (Object.keys(revocationReasons) as RevocationReason[]).find((name) => revocationReasons[name] === code) ?? 'unspecified'

const toEntry = (entry: x509.X509CrlEntry): CrlEntry => {
  const code = entry.reason ?? 0
  if (temporary.includes(code)) refuse(`Its entry ${entry.serialNumber} is not for good (reason ${code}); this program knows no suspension.`)
  // Without sign octet, as serials are kept here.
  const serial = entry.serialNumber.toLowerCase().replace(/^(00)+(?=.)/, '')
  return { serial, revokedAt: entry.revocationDate.getTime(), reason: toReason(code) }
}

const numberOf = (crl: x509.X509Crl): bigint => {
  const extension = crl.getExtension(oids.cRLNumber) ?? refuse('It has no number (cRLNumber), so nobody could tell whether it is newer.')
  return BigInt(`0x${readHexInteger(readWhole(new Uint8Array(extension.value), 64, tags.integer), 'the number of the CRL')}`)
}

/** Given the certificate, the library would take its signature's hash for the list's, and a key of another provider. */
const isSignedBy = async (crl: x509.X509Crl, issuer: Uint8Array): Promise<boolean> => {
  const { publicKey } = new x509.X509Certificate(new Uint8Array(issuer))
  const key = await publicKey.export({ ...publicKey.algorithm, ...crl.signatureAlgorithm } as webcrypto.Algorithm, ['verify'], crypto)
  return crl.verify({ publicKey: key }, crypto)
}

type Parsed = { der: Uint8Array; crl: x509.X509Crl }

const parseCrl = (bytes: Uint8Array): Parsed => {
  try {
    const der = bytes[0] === 0x30 ? bytes : (pemDecode('X509 CRL', Buffer.from(bytes).toString('latin1'))[0] as Uint8Array)
    return { der, crl: new x509.X509Crl(new Uint8Array(der)) }
  } catch (error) {
    return refuse(`It is no CRL: ${(error as Error).message}`)
  }
}

const issuerOf = ({ crl }: Parsed): Uint8Array => new Uint8Array(crl.issuerName.toArrayBuffer())

/** Who says to have issued a CRL, DER or PEM: a DER Name. Nothing is checked. Throws malformed. */
export const crlIssuer = (bytes: Uint8Array): Uint8Array => issuerOf(parseCrl(bytes))

/**
 * The complete CRL of a CA certificate, from DER or PEM: its signature, issuer and times are checked. Throws malformed, in words for the operator.
 * @param now milliseconds since the epoch
 */
export const readCrl = async (bytes: Uint8Array, issuer: Uint8Array, now: number): Promise<Crl> => {
  const parsed = parseCrl(bytes)
  const { der, crl } = parsed
  const certificate = readCertificate(issuer)
  if (!equalBytes(issuerOf(parsed), certificate.subject)) refuse(`It was issued by "${crl.issuer}", not by "${certificate.commonName}".`)
  const signed = await isSignedBy(crl, issuer).catch(() => false)
  if (!signed) refuse(`Its signature was not made with the key of "${certificate.commonName}".`)
  const strange = crl.extensions.find(({ critical }) => critical)
  if (strange) refuse(`It is not the complete list: it has the critical extension ${strange.type}.`)
  const thisUpdate = crl.thisUpdate.getTime()
  const nextUpdate = crl.nextUpdate?.getTime() ?? refuse('It does not say when the next one comes (nextUpdate).')
  if (thisUpdate > now) refuse(`It is from the future (${crl.thisUpdate.toISOString()}); is the clock right?`)
  if (nextUpdate <= now) refuse(`It ran out on ${new Date(nextUpdate).toISOString()}. Make a new one where the root is: xmpp-ica crl --out FOLDER`)
  return { der, number: numberOf(crl), thisUpdate, nextUpdate, entries: crl.entries.map(toEntry) }
}
