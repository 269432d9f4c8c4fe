import { createHash } from 'node:crypto'
import type { Facts } from './api/facts.js'
import type { Config } from './config.js'
import type { Keystore } from './keystore-open.js'
import { readCertificate } from './pki/read-certificate.js'
import { statusUrls } from './status-urls.js'

/** What the CA is called. */
export const nameOf = ({ root }: Keystore): string => root.commonName.replace(/ Root$/, '')

/** What anybody may know of this CA. */
export const factsOf = (config: Config, keystore: Keystore, version: string): Facts => {
  const { root, intermediate, users } = keystore
  const certificate = (role: string, der: Uint8Array) => ({
    name: readCertificate(der).commonName ?? role,
    sha256: (createHash('sha256').update(der).digest('hex').toUpperCase().match(/../g) ?? []).join(':'),
    notAfter: readCertificate(der).notAfter,
    der: `${config.statusUrl}/ca/${role}.cer`,
    pem: `${config.statusUrl}/ca/${role}.pem`,
  })
  const crl = (id: string) => statusUrls(config, id, null).crl
  return {
    version,
    name: nameOf(keystore),
    directory: `${config.url}/acme/directory`,
    root: certificate('root', root.certificate),
    intermediate: certificate('intermediate', intermediate.certificate),
    users: users && {
      root: certificate('user-root', users.root.certificate),
      intermediate: certificate('user-intermediate', users.intermediate.certificate),
    },
    ocsp: statusUrls(config, intermediate.id, null).ocsp,
    crls: [crl(intermediate.id), ...(root.issuer ? [crl(root.id)] : [])],
    terms: config.termsUrl,
    cps: config.cpsUrl,
    profiles: [...config.profiles.values()].map(({ name, description, identifierTypes, nameForms, extendedKeyUsage, validityMs }) => ({
      name,
      description,
      isDefault: name === config.defaultProfile,
      services: !identifierTypes.includes('dns'),
      nameForms: [...nameForms],
      extendedKeyUsage: [...extendedKeyUsage],
      validityMs,
    })),
    mail: config.mail.mode === 'on',
    lab: config.lab,
    needsRoot: config.tls.mode === 'own',
  }
}
