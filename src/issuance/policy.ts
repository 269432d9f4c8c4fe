import { IcaError } from '../errors.js'
import { type Identifier, toUnicode } from '../identifier.js'
import type { Account, CertificateName, Order } from '../model.js'
import type { CertificateRequest } from '../pki/csr.js'
import { srvNamesOf } from '../pki/expected-leaf.js'
import type { PublicKeyInfo } from '../pki/keys.js'
import { mustStapleFor, namesFor, type Profile } from '../pki/profile.js'
import { checkSubscriberKey } from '../pki/weak-keys.js'
import type { Ica } from './ica.js'
import { modulusOf, refusalOf } from './refused-keys.js'

const MAX_LISTED = 5

const list = (names: string[]): string =>
  names.slice(0, MAX_LISTED).join(', ') + (names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : '')

const badCsr = (detail: string) => new IcaError('badCSR', detail)

/** Throws badCSR unless the dNSNames and the CN of the request are exactly the names of the order (RFC 8555 §7.4). */
const checkDnsNames = (ordered: readonly Identifier[], csr: CertificateRequest): void => {
  const wanted = new Set(ordered.filter((i) => i.type === 'dns').map((i) => i.value))
  const asked = new Set(csr.dNSNames)
  if (csr.commonName !== null) {
    const commonName = csr.commonName.toLowerCase()
    const advice = wanted.size > 0 ? 'Use one of its names, or none.' : 'Leave it out: an SRVName can’t be one.'
    if (!wanted.has(commonName)) throw badCsr(`The common name "${csr.commonName}" is not a name of the order. ${advice}`)
    asked.add(commonName)
  }
  const surplus = [...asked].filter((name) => !wanted.has(name))
  if (surplus.length > 0) throw badCsr(`The CSR asks for ${list(surplus)}, which the order does not hold. Ask for the names of the order only.`)
  const missing = [...wanted].filter((name) => !asked.has(name))
  if (missing.length > 0) throw badCsr(`The CSR lacks ${list(missing)}, which the order holds. Ask for every name of the order.`)
}

/** Throws badCSR unless the SRVNames of the request are the services of the order, and besides at most those of its domains. */
const checkSrvNames = (ordered: readonly Identifier[], domains: readonly string[], csr: CertificateRequest): void => {
  const wanted = ordered.filter((i) => i.type === 'srv').map((i) => i.value)
  const allowed = new Set([...wanted, ...domains.flatMap(srvNamesOf)])
  const strangers = csr.sRVNames.filter((name) => !allowed.has(name))
  if (strangers.length > 0) throw badCsr(`The CSR asks for the SRVName ${list(strangers)}, which is not an XMPP service of the order.`)
  const missing = wanted.filter((name) => !csr.sRVNames.includes(name))
  if (missing.length > 0) throw badCsr(`The CSR lacks the SRVName ${list(missing)}, which the order holds. Ask for every service of the order.`)
}

/**
 * The XMPP names that the request asks for beside those that the profile derives: of a domain of the order (PKI.md), in a form that the profile has. Who ordered
 * but a service of a domain gets no other name of it.
 */
const askedXmppNames = (ordered: readonly Identifier[], profile: Profile, csr: CertificateRequest): CertificateName[] => {
  const domains = ordered.filter((i) => i.type === 'dns' && !i.value.startsWith('*.')).map((i) => i.value)
  checkSrvNames(ordered, domains, csr)
  const addresses = new Set(domains.map(toUnicode))
  const foreign = csr.xmppAddrs.filter((address) => !addresses.has(address))
  if (foreign.length > 0) throw badCsr(`The CSR asks for the XmppAddr ${list(foreign)}, which is not a domain of the order.`)
  const asked = [
    ...csr.sRVNames.map((value) => ({ form: 'SRVName' as const, value })),
    ...csr.xmppAddrs.map((value) => ({ form: 'XmppAddr' as const, value })),
  ]
  const forms = [...profile.nameForms, ...profile.requestableNameForms]
  const alien = asked.find(({ form }) => !forms.includes(form))
  if (alien) throw badCsr(`The CSR asks for the ${alien.form} ${alien.value}; the profile "${profile.name}" has no names of this form.`)
  return asked
}

/** The account's key must not become a certificate's key: one leak would cost both. */
const isAccountKey = (account: Account, spki: Uint8Array): boolean => {
  const part = account.jwk.x ?? account.jwk.n
  return part !== undefined && Buffer.from(spki).includes(Buffer.from(part, 'base64url'))
}

/** What a certificate will have, once its CSR was judged. */
export type Approved = { names: CertificateName[]; publicKey: PublicKeyInfo; mustStaple: boolean }

/**
 * Judges a CSR against its order, its profile and the blocked keys. The names are those that the profile derives from the validated identifiers, and the
 * XMPP names of the same domains that the CSR asks for. Throws badCSR naming the culprit.
 */
export const checkRequest = async (ica: Ica, account: Account, order: Order, profile: Profile, csr: CertificateRequest): Promise<Approved> => {
  checkDnsNames(order.identifiers, csr)
  const asked = askedXmppNames(order.identifiers, profile, csr)
  try {
    checkSubscriberKey(csr.publicKey, profile.keyKinds)
  } catch (error) {
    throw error instanceof IcaError ? badCsr(error.message) : error
  }
  if (isAccountKey(account, csr.publicKey.spki)) throw badCsr('The CSR uses the key of the ACME account. Make a key of its own for the certificate.')
  const refusal = await refusalOf(ica, csr.publicKey.keyId, modulusOf(csr.publicKey))
  if (refusal !== null) throw badCsr(`The key of the CSR ${refusal}. Make a new key.`)
  const derived = namesFor(profile, order.identifiers)
  const seen = new Set(derived.map((name) => `${name.form} ${name.value}`))
  const names = [...derived, ...asked.filter((name) => !seen.has(`${name.form} ${name.value}`))]
  return { names, publicKey: csr.publicKey, mustStaple: mustStapleFor(profile, csr.mustStaple) }
}
