/** What a certificate will say, before it is made: so that it can be judged where it is chosen. Free of Node, so that the web form can share it. */
import { toUnicode } from '../idna.js'
import type { CertificateName } from '../model.js'
import type { LeafFacts } from './verifiers.js'

/** What of a profile decides how verifiers see its certificates. */
export type ProfileShape = {
  nameForms: readonly CertificateName['form'][]
  extendedKeyUsage: readonly ('serverAuth' | 'clientAuth')[]
  validityMs: number
}

/** A-labels of the domains (`dns` identifiers, wildcards too), and services as `_xmpp-server.example.org` (`srv` identifiers). */
export type ExpectedNames = { domains: readonly string[]; services: readonly string[] }

/** The SRVNames of a domain: `_xmpp-client.` and `_xmpp-server.` before the A-label (RFC 4985 §2: no `_tcp`). */
export const srvNamesOf = (domain: string): string[] => [`_xmpp-client.${domain}`, `_xmpp-server.${domain}`]

/** The facts of a certificate of this profile that is issued at `now` (milliseconds since the epoch): the names are those of `namesFor` (profile.ts). */
export const expectedLeaf = (
  { nameForms, extendedKeyUsage, validityMs }: ProfileShape,
  { domains, services }: ExpectedNames,
  now: number,
): LeafFacts => {
  const has = (form: CertificateName['form']): boolean => nameForms.includes(form)
  const plain = domains.filter((name) => !name.startsWith('*.'))
  const dnsNames = has('dNSName') ? [...domains] : []
  return {
    dnsNames,
    srvNames: has('SRVName') ? [...plain.flatMap(srvNamesOf), ...services] : [],
    xmppAddrs: has('XmppAddr') ? plain.map(toUnicode) : [],
    commonName: dnsNames.find((name) => name.length <= 64) ?? null,
    serverAuth: extendedKeyUsage.includes('serverAuth'),
    clientAuth: extendedKeyUsage.includes('clientAuth'),
    notBefore: now,
    notAfter: now + validityMs,
    keyKind: 'P-256',
  }
}
