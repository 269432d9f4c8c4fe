/** How people write what certificates are called by. */
import { readFileSync } from 'node:fs'
import type { CertificateName } from '../model.js'
import { OperatorError } from '../open.js'
import { pemDecode } from '../pki/pem.js'

/** A serial as people paste it: colons, upper case, `serial=` of openssl, zeros in front. Null for what is none. */
export const readSerial = (text: string): string | null => {
  const hex = text
    .replace(/^(serial=|0x)/i, '')
    .replaceAll(':', '')
    .toLowerCase()
    .replace(/^0+/, '')
  return /^[0-9a-f]{1,40}$/.test(hex) ? hex.padStart(hex.length + (hex.length % 2), '0') : null
}

/** The certificates in a DER or PEM file, at least one. Throws OperatorError. */
export const readCertificates = (file: string): Uint8Array[] => {
  try {
    const content = readFileSync(file)
    return content[0] === 0x30 ? [content] : pemDecode('CERTIFICATE', content.toString('latin1'))
  } catch (error) {
    throw new OperatorError(`${file} is not a certificate: ${(error as Error).message}`)
  }
}

/** The first of them. */
export const readCertificateFile = (file: string): Uint8Array => readCertificates(file)[0] as Uint8Array

/** The domains of a certificate; for one without any, what else it has. */
export const namesOf = ({ names }: { names: readonly CertificateName[] }): string => {
  const domains = names.filter(({ form }) => form === 'dNSName')
  return [...new Set((domains.length > 0 ? domains : names).map(({ value }) => value))].join(' ')
}
