/**
 * Any certificate in words, also those of other CAs, read through `@peculiar/x509`, which takes what the strict reader of this program refuses. Load it with `import()`.
 */
import { AsnConvert } from '@peculiar/asn1-schema'
import { type GeneralName, SubjectAlternativeName } from '@peculiar/asn1-x509'
import * as asn1js from 'asn1js'
import { oids } from './oids.js'
import { crypto, x509 } from './x509.js'

export type Description = {
  subject: string
  issuer: string
  /** Hex. */
  serial: string
  /** Milliseconds since the epoch. */
  notBefore: number
  notAfter: number
  key: string
  signature: string
  isCa: boolean
  pathLength: number | null
  keyUsage: string[]
  extendedKeyUsage: string[]
  /** `form value`, in the order of the certificate. */
  names: { form: string; value: string }[]
  /** OIDs of the extensions that are critical. */
  critical: string[]
  /** Upper-case hex in pairs with colons. */
  sha256: string
}

const purposes: Record<string, string> = { [oids.serverAuth]: 'serverAuth', [oids.clientAuth]: 'clientAuth', [oids.ocspSigning]: 'OCSPSigning' }
/** otherName forms: ours, and those that stand in certificates of others. */
const otherNames: Record<string, string> = {
  [oids.idOnDnsSrv]: 'SRVName',
  [oids.idOnXmppAddr]: 'XmppAddr',
  '1.3.6.1.4.1.311.20.2.3': 'UPN',
  '1.3.6.1.5.5.7.8.9': 'SmtpUTF8Mailbox',
  '1.3.6.1.5.5.7.8.11': 'BundleEID',
}

const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex')

/** The string in an otherName, whatever kind of string it is; hex of what is none. */
const otherValue = (value: ArrayBuffer): string => {
  const { result } = asn1js.fromBER(value)
  if (result instanceof asn1js.BaseStringBlock) return result.getValue()
  const inner = result instanceof asn1js.Constructed ? result.valueBlock.value[0] : undefined
  return inner instanceof asn1js.BaseStringBlock ? inner.getValue() : hex(value)
}

const nameOf = (name: GeneralName): { form: string; value: string } => {
  if (name.dNSName !== undefined) return { form: 'dNSName', value: name.dNSName }
  if (name.otherName)
    return { form: otherNames[name.otherName.typeId] ?? `otherName ${name.otherName.typeId}`, value: otherValue(name.otherName.value) }
  if (name.iPAddress !== undefined) return { form: 'iPAddress', value: String(name.iPAddress) }
  if (name.rfc822Name !== undefined) return { form: 'rfc822Name', value: name.rfc822Name }
  if (name.uniformResourceIdentifier !== undefined) return { form: 'URI', value: name.uniformResourceIdentifier }
  if (name.registeredID !== undefined) return { form: 'registeredID', value: name.registeredID }
  if (name.directoryName) return { form: 'directoryName', value: new x509.Name(AsnConvert.serialize(name.directoryName)).toString() }
  return { form: 'unknown', value: hex(AsnConvert.serialize(name)) }
}

const namesOf = (certificate: x509.X509Certificate): { form: string; value: string }[] => {
  const extension = certificate.getExtension(oids.subjectAltName)
  return extension ? [...AsnConvert.parse(extension.value, SubjectAlternativeName)].map(nameOf) : []
}

const keyOf = ({ publicKey }: x509.X509Certificate): string => {
  const { name, namedCurve, modulusLength } = publicKey.algorithm as { name: string; namedCurve?: string; modulusLength?: number }
  return [name, namedCurve ?? (modulusLength === undefined ? '' : `${modulusLength} bits`)].filter(Boolean).join(' ')
}

const algorithmOf = ({ signatureAlgorithm }: x509.X509Certificate): string => {
  const { name, hash } = signatureAlgorithm as { name: string; hash?: { name: string } }
  return [name, hash?.name].filter(Boolean).join(' with ')
}

const usagesOf = (usages: number): string[] =>
  Object.entries(x509.KeyUsageFlags).flatMap(([name, flag]) => (typeof flag === 'number' && (usages & flag) !== 0 ? [name] : []))

/** What a DER certificate says. Throws where the library can't read it. */
export const describeCertificate = async (der: Uint8Array): Promise<Description> => {
  const certificate = new x509.X509Certificate(new Uint8Array(der))
  const constraints = certificate.getExtension(x509.BasicConstraintsExtension)
  return {
    subject: certificate.subject,
    issuer: certificate.issuer,
    serial: certificate.serialNumber,
    notBefore: certificate.notBefore.getTime(),
    notAfter: certificate.notAfter.getTime(),
    key: keyOf(certificate),
    signature: algorithmOf(certificate),
    isCa: constraints?.ca ?? false,
    pathLength: constraints?.pathLength ?? null,
    keyUsage: usagesOf(certificate.getExtension(x509.KeyUsagesExtension)?.usages ?? 0),
    // The library's list is an array of its own kind, and stays one through map.
    extendedKeyUsage: Array.from(
      certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [],
      (usage) => purposes[String(usage)] ?? String(usage),
    ),
    names: namesOf(certificate),
    critical: certificate.extensions.filter(({ critical }) => critical).map(({ type }) => type),
    sha256: (
      hex(await certificate.getThumbprint('SHA-256', crypto))
        .toUpperCase()
        .match(/../g) ?? []
    ).join(':'),
  }
}
