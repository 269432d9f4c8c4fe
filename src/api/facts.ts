/**
 * What anybody may know of this CA, and the command lines that follow from it: the page, the start of the program and `GET /api/ca` show the same. Imports
 * nothing but types, because the page shares it.
 */
import type { ProfileShape } from '../pki/expected-leaf.js'

export type CertificateFacts = {
  /** The common name. */
  name: string
  /** SHA-256 of the DER, upper-case hex in pairs with colons, as browsers and openssl show it. */
  sha256: string
  /** Milliseconds since the epoch. */
  notAfter: number
  /** Absolute URLs. */
  der: string
  pem: string
}

export type Facts = {
  version: string
  /** What the CA is called. */
  name: string
  /** The ACME directory. */
  directory: string
  root: CertificateFacts
  intermediate: CertificateFacts
  /** The CA of users (docs/users.md), where there is one: never to be trusted for servers, nor the other for users. */
  users: { root: CertificateFacts; intermediate: CertificateFacts } | null
  ocsp: string
  /** Of the intermediate, its shards one by one, then of the root where this CA publishes it. */
  crls: string[]
  terms: string
  cps: string
  /** `services`: for `srv` identifiers, not for domains. */
  profiles: {
    name: string
    description: string
    isDefault: boolean
    services: boolean
    nameForms: ProfileShape['nameForms'][number][]
    extendedKeyUsage: ProfileShape['extendedKeyUsage'][number][]
    validityMs: number
  }[]
  /** Names can be proven by e-mail (email-link-01). */
  mail: boolean
  /** Validation may look at private addresses: certificates prove nothing. */
  lab: boolean
  /** The web side shows a certificate of this very CA, so that ACME clients must be told of the root first. */
  needsRoot: boolean
}

/** What XMPP servers call their services: names to suggest. */
export const usualServices = ['conference', 'upload', 'proxy', 'pubsub', 'muc', 'chat', 'xmpp'] as const

export type Step = { title: string; lines: string[] }

const rootFile = 'ica-root.pem'

/** How to get and check the root certificate. */
export const rootSteps = ({ root }: Facts): string[] => [
  `curl -o ${rootFile} ${root.pem}`,
  `openssl x509 -in ${rootFile} -noout -fingerprint -sha256`,
]

/** What an ACME client is to get, and for which server's software (a kit of `xmpp-ica deploy`) it is. */
export type Automation = {
  /** dNSNames: what stock clients can order. */
  names: readonly string[]
  /** Null: the default. Older clients have no option for it, so it is named only where it has to be. */
  profile: string | null
  /** Null: nothing installs what the client gets. */
  server: string | null
}

const anybody: Automation = { names: ['example.org'], profile: null, server: null }

/** What goes on as it began, one line for each of the usual ACME clients. Without `automation` for example.org, which stands for the XMPP domain. */
export const clientSteps = ({ directory, needsRoot }: Facts, { names, profile, server }: Automation = anybody): Step[] => {
  const trust = (variable: string): string => (needsRoot ? `${variable}=${rootFile} ` : '')
  const each = (option: string): string => names.map((name) => ` ${option} ${name}`).join('')
  const kind = (option: string): string => (profile === null ? '' : ` ${option} ${profile}`)
  const hook = (option: string): string => (server === null ? '' : ` ${option} "xmpp-ica deploy ${server}"`)
  const lego = `${trust('LEGO_CA_CERTIFICATES')}lego --server ${directory} --accept-tos --email you@example.org${each('--domains')} --http`
  return [
    {
      title: 'certbot',
      lines: [
        `${trust('REQUESTS_CA_BUNDLE')}certbot certonly --standalone --server ${directory}${each('-d')}${kind('--preferred-profile')}${hook('--deploy-hook')}`,
      ],
    },
    {
      title: 'lego',
      // It has no timer of its own.
      lines: [
        `${lego} run${kind('--profile')}${hook('--run-hook')}`,
        ...(server === null ? [] : ['# and every day by a timer:', `${lego} renew${kind('--profile')}${hook('--renew-hook')}`]),
      ],
    },
    {
      title: 'acme.sh',
      lines: [
        `acme.sh --issue --standalone --server ${directory}${each('-d')}${kind('--cert-profile')}${hook('--reloadcmd')}${needsRoot ? ` --ca-bundle ${rootFile}` : ''}`,
      ],
    },
  ]
}
