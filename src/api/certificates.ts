/** Certificates: one by its serial, those of a domain, the one with a fingerprint. Nothing of accounts, and nothing of people. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import { parseIdentifier, splitWildcard, toAscii } from '../identifier.js'
import type { Certificate } from '../model.js'
import { lookIntoCrl } from '../pki/look-into-crl.js'
import { pemEncode } from '../pki/pem.js'
import { readCertificate } from '../pki/read-certificate.js'
import type { CertificateCursor, Store } from '../store/store.js'
import { type Route, route } from './route.js'
import { certificate, certificatePage, type certificateSummary, hexSerial, rfc3339 } from './schemas.js'

export type CertificateDeps = {
  clock: Clock
  store: Pick<Store, 'certificateBySerial' | 'certificateByFingerprint' | 'certificatesBelow'>
  lab: boolean
  /** The common name of an issuer. */
  issuerName(id: string): string
  /** What the OCSP responder answers a client; null where it has no answer. Times in milliseconds since the epoch. */
  ocsp(issuerId: string, serial: string): Promise<{ status: 'good' | 'revoked'; thisUpdate: number; nextUpdate: number } | null>
  /** The CRL that is served for certificates like this one; null where there is none. */
  crl(certificate: Pick<Certificate, 'issuerId' | 'crlShard'>): Promise<{ url: string; der: Uint8Array } | null>
}

const perPage = 50

const fingerprintOf = (der: Uint8Array): string => createHash('sha256').update(der).digest('hex')

const summaryOf = (found: Certificate, now: number): z.input<typeof certificateSummary> => ({
  serial: found.serial,
  names: found.names,
  profile: found.profile,
  notBefore: rfc3339(found.notBefore),
  notAfter: rfc3339(found.notAfter),
  status: found.revocation ? 'revoked' : found.notAfter <= now ? 'expired' : 'good',
  fingerprint: fingerprintOf(found.der),
})

/** A certificate with a JID of a person: that it exists is nobody's business but theirs. */
const isPersonal = ({ kind, names }: Certificate): boolean => kind === 'user' || names.some(({ value }) => value.includes('@'))

const crlOf = async (deps: CertificateDeps, found: Certificate): Promise<z.input<typeof certificate>['crl']> => {
  const crl = await deps.crl(found)
  if (!crl) return null
  const { number, thisUpdate, nextUpdate, listed } = lookIntoCrl(crl.der, found.serial)
  return { url: crl.url, number: String(number), thisUpdate: rfc3339(thisUpdate), nextUpdate: rfc3339(nextUpdate), listed }
}

const wholeOf = async (deps: CertificateDeps, found: Certificate): Promise<z.input<typeof certificate>> => {
  const [ocsp, crl] = await Promise.all([deps.ocsp(found.issuerId, found.serial), crlOf(deps, found)])
  const { commonName } = readCertificate(found.der)
  return {
    ...summaryOf(found, deps.clock.now()),
    issuer: { id: found.issuerId, name: deps.issuerName(found.issuerId) },
    subject: commonName === null ? '' : `CN=${commonName}`,
    issuedAt: rfc3339(found.createdAt),
    keyId: found.keyId,
    revocation: found.revocation && { at: rfc3339(found.revocation.revokedAt), reason: found.revocation.reason },
    pem: pemEncode('CERTIFICATE', found.der),
    ocsp: ocsp && { status: ocsp.status, thisUpdate: rfc3339(ocsp.thisUpdate), nextUpdate: rfc3339(ocsp.nextUpdate) },
    crl,
  }
}

/** What a person may type: in any form and case, with a wildcard label. Gives A-labels without it. Throws IcaError with a sentence for what is no domain. */
export const readDomain = (given: string, lab: boolean): { value: string; base: string; wildcard: boolean } => {
  const { base, wildcard } = splitWildcard(given.trim())
  const ascii = /[^\0-\x7f]/.test(base) && !/[/:@\\]/.test(base) ? toAscii(base) : null
  const { value } = parseIdentifier('dns', `${wildcard ? '*.' : ''}${ascii ?? base}`, { lab })
  return { value, base: splitWildcard(value).base, wildcard }
}

const showCursor = ({ createdAt, serial }: CertificateCursor): string => `${createdAt}-${serial}`

const readCursor = (text: string): CertificateCursor => {
  const [createdAt = '', serial = ''] = text.split('-')
  return { createdAt: Number(createdAt), serial }
}

const bySerial = (deps: CertificateDeps): Route =>
  route({
    path: '/api/certificates/{serial}',
    summary: 'A certificate, with what OCSP and the revocation list say of it',
    description: 'OCSP and the list are asked as a client would ask them, so that this shows what clients see.',
    parameters: z.object({
      serial: z
        .string()
        .regex(/^[0-9a-fA-F]{1,40}$/, 'is not a serial number: up to 40 hexadecimal digits, without colons.')
        .meta({ description: 'Hexadecimal, as the certificate has it.', examples: [hexSerial] }),
    }),
    answer: certificate,
    weight: 'light',
    maxAge: 0,
    async handle({ serial }) {
      const given = serial.toLowerCase()
      // Some tools show the sign octet of DER.
      const found = (await deps.store.certificateBySerial(given)) ?? (await deps.store.certificateBySerial(given.replace(/^00/, '')))
      if (!found || isPersonal(found)) {
        throw new IcaError('notFound', `This CA has no certificate with the serial ${serial}. Is it one of this CA, and the whole number?`)
      }
      return wholeOf(deps, found)
    },
  })

const list = (deps: CertificateDeps): Route =>
  route({
    path: '/api/certificates',
    summary: 'The certificates of a domain, or the one with a fingerprint',
    description:
      'Give either `domain` or `fingerprint`. A domain finds every certificate with a name equal to it or below it, newest first, 50 to a page. ' +
      'For a fingerprint that is not known here the list is empty.',
    parameters: z.object({
      domain: z
        .string()
        .min(1, 'is empty.')
        .max(260, 'is longer than a domain can be.')
        .meta({ examples: ['example.org'] })
        .optional(),
      fingerprint: z
        .string()
        .max(128, 'is not a SHA-256 fingerprint: 64 hexadecimal digits.')
        .transform((text) => text.replace(/[:\s]/g, '').toLowerCase())
        .refine((text) => /^[0-9a-f]{64}$/.test(text), 'is not a SHA-256 fingerprint: 64 hexadecimal digits.')
        .meta({ description: 'SHA-256 of the DER certificate; colons and case do not matter.' })
        .optional(),
      cursor: z
        .string()
        .regex(/^\d{1,15}-[0-9a-f]{1,40}$/, 'is not the `next` of a page before.')
        .meta({ description: 'The `next` of the page before.' })
        .optional(),
    }),
    answer: certificatePage,
    weight: 'light',
    maxAge: 10,
    async handle({ domain, fingerprint, cursor }) {
      if ((domain === undefined) === (fingerprint === undefined)) throw new IcaError('malformed', 'Give either "domain" or "fingerprint".')
      const now = deps.clock.now()
      if (fingerprint !== undefined) {
        if (cursor !== undefined) throw new IcaError('malformed', 'A "cursor" goes with a "domain" only.')
        const found = await deps.store.certificateByFingerprint(fingerprint)
        return { certificates: found && !isPersonal(found) ? [summaryOf(found, now)] : [], next: null }
      }
      const { base } = readDomain(domain ?? '', deps.lab)
      const found = await deps.store.certificatesBelow(base, cursor === undefined ? null : readCursor(cursor), perPage + 1)
      const page = found.slice(0, perPage)
      const last = page.at(-1)
      return {
        certificates: page.map((one) => summaryOf(one, now)),
        next: found.length > perPage && last ? showCursor(last) : null,
      }
    },
  })

export const certificateRoutes = (deps: CertificateDeps): Route[] => [list(deps), bySerial(deps)]

/** The newest certificates of a domain and everything below it. */
export const newestOf = async (
  { store, clock }: Pick<CertificateDeps, 'store' | 'clock'>,
  base: string,
): Promise<z.input<typeof certificateSummary>[]> => (await store.certificatesBelow(base, null, perPage)).map((one) => summaryOf(one, clock.now()))
