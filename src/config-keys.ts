/**
 * Every setting there is: what it is called, what it is for, what its default is, and what trusting it means. The README's table and
 * `xmpp-ica config` are made from here.
 */
import { z } from 'zod'
import {
  list,
  logLevels,
  mailModes,
  readAddress,
  readBaseUrl,
  readDatabase,
  readNetworks,
  readPort,
  readServers,
  readSmtp,
  readSwitch,
  text,
  webUrl,
} from './config-values.js'
import { externalAccountModes } from './issuance/ica.js'
import { defaultLimits, parseLimits, showLimits } from './issuance/limits.js'

/** `purpose`, `standard` (the default) and `trust` are Markdown for the README's table. `secret`: the value is never shown. */
const keys = {
  ICA_URL: {
    purpose: 'Base URL of the web page and of ACME. Its host is what clients connect to; an internationalised name may be given as written.',
    standard: '`http://localhost:8080`',
    trust:
      'Account URLs and signatures are bound to it: changing it later breaks the accounts of clients. Plain http is refused for anything but loopback.',
    type: text(readBaseUrl),
  },
  ICA_STATUS_URL: {
    purpose: 'Base URL that is written into certificates for OCSP, CRLs and CA certificates. Always http (RFC 5280 §8).',
    standard: 'the host of `ICA_URL`, by http',
    trust:
      'Cannot be changed in certificates that are out there: where you change it, keep the old one reachable (a DNS name is enough) as long as they live; CRLs go on naming it.',
    type: text(readBaseUrl),
  },
  ICA_LISTEN: {
    purpose: 'host:port for web and ACME. `*` is every address.',
    standard: '`localhost` and the port of `ICA_URL`; with https `*` and its port; behind a proxy `localhost:8080`',
    trust: 'Plain http only on loopback, or towards `ICA_TRUST_PROXY`.',
    type: text(readAddress),
  },
  ICA_STATUS_LISTEN: {
    purpose: 'host:port for OCSP, CRLs and CA certificates, by plain http. The same listener where it equals `ICA_LISTEN`.',
    standard: 'as `ICA_LISTEN`; with https `*` and the port of `ICA_STATUS_URL`',
    trust: 'Public by nature: what is served there is signed.',
    type: text(readAddress),
  },
  ICA_TLS_CERT: {
    purpose: 'PEM file with the certificate chain for https. Read again when it changes.',
    standard: 'a certificate that the CA issues to itself and renews',
    trust: 'With a publicly trusted one, browsers and ACME clients need not know the root before they connect.',
    type: z.string(),
  },
  ICA_TLS_KEY: {
    purpose: 'PEM file with the key of `ICA_TLS_CERT`.',
    standard: '',
    trust: 'Whoever reads it can pose as this web site.',
    type: z.string(),
  },
  ICA_TRUST_PROXY: {
    purpose: 'Addresses and networks of reverse proxies that end TLS. The web side then speaks plain http, and only with them.',
    standard: 'none',
    trust: 'Their `X-Forwarded-For` is believed: it becomes the address in the audit log.',
    type: text(readNetworks),
  },
  DATABASE_URL: {
    purpose: '`file:<path>` for SQLite in one file, or `postgresql://…`. Migrations are applied at start.',
    standard: '`file:./data/ica.db`',
    trust: 'Holds who proved what, every certificate and the audit log; no private key. Losing it means losing the power to revoke.',
    type: text(readDatabase),
    secret: true,
  },
  ICA_DATA: {
    purpose: 'Folder for what the program makes for itself: keys of the OCSP responders and of its own https certificate, both encrypted.',
    standard: 'that of the SQLite file, else `./data`',
    trust: 'Who has an OCSP key (and the passphrase) can call a revoked certificate good. The same folder for every process of this machine.',
    type: z.string(),
  },
  ICA_KEYS: {
    purpose: 'Folder with the keys and certificates of the CA.',
    standard: '`./ca-keys`',
    trust: 'The CA itself. Only the user that runs the program may read it; keep a copy offline.',
    type: z.string(),
  },
  ICA_KEY_PASSPHRASE_FILE: {
    purpose: 'File whose first line opens the keys in `ICA_KEYS`.',
    standard: 'one is generated in `ICA_DATA`, for trying out',
    trust: 'Keep it on another medium than the keys (systemd credential, secret mount): together they are the CA.',
    type: z.string(),
  },
  ICA_SERVICE_PASSPHRASE_FILE: {
    purpose: 'File whose first line seals the keys that the program makes for itself: of the OCSP responders and of its own https certificate.',
    standard: 'the passphrase of `ICA_KEYS`',
    trust:
      'With it the status side needs no passphrase of the CA. Another one than that of `ICA_KEYS`; who has it and a responder file can call a revoked certificate good.',
    type: z.string(),
  },
  ICA_STATUS_KEYS: {
    purpose:
      'Folder of the OCSP responders, which its group may read: for a status side that runs as another user. Needs `ICA_SERVICE_PASSPHRASE_FILE`.',
    standard: '`ICA_DATA`, for its owner alone',
    trust: 'Give it to the group of the status side, and nothing else to that group.',
    type: z.string(),
  },
  ICA_DNS_SERVERS: {
    purpose: 'Resolvers for validation, address:port, separated by commas.',
    standard: "the system's",
    trust: 'Who can forge their answers gets certificates for any name. Use a validating resolver on this machine.',
    type: text(readServers),
  },
  ICA_LAB: {
    purpose: '1: private and loopback addresses may be validated. For a laboratory.',
    standard: '`0`',
    trust: 'Lets clients make this machine connect to its own network. Never on a public CA.',
    type: text(readSwitch),
  },
  ICA_HTTP01_PORT: {
    purpose: 'Port that http-01 connects to.',
    standard: '`80`',
    trust: 'Anything else than 80 proves less than RFC 8555 asks for: for laboratories.',
    type: text(readPort),
  },
  ICA_TLSALPN01_PORT: {
    purpose: 'Port that tls-alpn-01 connects to.',
    standard: '`443`',
    trust: 'As above, with 443 (RFC 8737).',
    type: text(readPort),
  },
  ICA_DNS_PORT: {
    purpose: 'Port at which `/api/dns` asks authoritative servers.',
    standard: '`53`',
    trust: 'Anything else than 53 is for laboratories. Validation does not use it.',
    type: text(readPort),
  },
  ICA_MAIL: {
    purpose:
      '`on`: names can be proven by e-mail (email-link-01), and subscribers get notices. `notices`: the latter alone. `off`: no mail at all. Without `SMTP_URL` mails are kept as files in `mail/` beside the database, which only a laboratory or a CA on loopback may do.',
    standard: '`on`',
    trust: 'With `on`, whoever reads the mail of a domain gets certificates for it.',
    type: z.enum(mailModes, { error: `is none of ${mailModes.join(', ')}` }),
  },
  SMTP_URL: {
    purpose: 'Mail server, `smtp://` (with STARTTLS, but on loopback) or `smtps://`, with user and password where it wants them.',
    standard: 'none: mails are kept as files',
    trust: 'Sees the validation links that it carries.',
    type: text(readSmtp),
    secret: true,
  },
  ICA_MAIL_FROM: {
    purpose: 'Sender of the mails.',
    standard: 'needed with `SMTP_URL`',
    trust: '',
    type: z.email('is not a mail address'),
  },
  ICA_MAIL_BOUNCE: {
    purpose:
      'Where bounces go: with `bounce@ica.example.org` every mail has its own `bounce+<id>@ica.example.org`. Pipe what arrives there into `xmpp-ica bounce`.',
    standard: 'the sender; bounces are not read',
    trust: '',
    type: z.email('is not a mail address'),
  },
  ICA_DKIM_KEY: {
    purpose: 'PEM file with the RSA or Ed25519 key that signs mails (DKIM, RFC 6376).',
    standard: 'none: the mail server signs, or nobody',
    trust: 'Whoever reads it can sign mails of the domain.',
    type: z.string(),
  },
  ICA_DKIM_SELECTOR: {
    purpose: 'Selector of that key: its record is at `<selector>._domainkey.<domain>`.',
    standard: 'needed with `ICA_DKIM_KEY`',
    trust: '',
    type: z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/i, 'is not a DKIM selector; it is a DNS label like "ica2026"'),
  },
  ICA_DKIM_DOMAIN: {
    purpose: 'Domain that signs.',
    standard: 'that of `ICA_MAIL_FROM`',
    trust: '',
    type: z.string().regex(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i, 'is not a domain'),
  },
  ICA_LOG_LEVEL: {
    purpose: `One of ${logLevels.join(', ')}. The log is JSON, one object a line, on stderr.`,
    standard: '`info`',
    trust: 'No level logs keys, passphrases or tokens.',
    type: z.enum(logLevels, { error: `is none of ${logLevels.join(', ')}` }),
  },
  ICA_METRICS_FROM: {
    purpose: 'Addresses and networks that may read `/metrics`.',
    standard: '`127.0.0.0/8, ::1`',
    trust: 'Figures only, no names; still nothing for the public.',
    type: text(readNetworks),
  },
  ICA_DEFAULT_PROFILE: {
    purpose: 'Profile of orders that name none: `xmpp-server`, or `xmpp-server-3920` which adds XmppAddr.',
    standard: '`xmpp-server`',
    trust: 'An XmppAddr makes ejabberd (23.01 and later) end a server-to-server connection on sight.',
    type: z.string(),
  },
  ICA_PROFILES: {
    purpose: 'JSON file that changes the profiles of certificates or adds others: docs/profiles.md.',
    standard: 'the built-in ones',
    trust: 'Decides what certificates of this CA say and how names are proven.',
    type: z.string(),
  },
  ICA_WEAK_KEYS: {
    purpose: 'Files of Debian’s `openssl-blacklist`, separated by commas: RSA keys that anybody can make again (CVE-2008-0166) and that are refused.',
    standard: 'none',
    trust: 'A key that is missing there can be certified; one that is there by mistake cannot.',
    type: text(list),
  },
  ICA_CAA_IDENTITIES: {
    purpose: 'Domain names that allow this CA to issue in a CAA record (RFC 8659), separated by commas.',
    standard: 'the host of `ICA_URL`',
    trust: 'Use names that are yours.',
    type: text(list),
  },
  ICA_EAB: {
    purpose:
      'External account binding (RFC 8555 §7.3.4): `off`, `optional`, or `required` for a new account. Keys are made by `xmpp-ica eab create`.',
    standard: '`off`',
    trust: 'With `required`, only who was given a key can have an account.',
    type: z.enum(externalAccountModes, { error: `is none of ${externalAccountModes.join(', ')}` }),
  },
  ICA_LIMITS: {
    purpose: `Rate limits that differ from the defaults, as \`name=count/time\` or \`name=off\`, separated by commas; \`off\` alone for none. For one account or domain: \`xmpp-ica limit\`.`,
    standard: showLimits(defaultLimits).replaceAll(/[^ ]+/g, (limit) => `\`${limit}\``),
    trust: 'They keep one client from using up the CA, and the DNS of others, for all.',
    type: text(parseLimits),
  },
  ICA_TERMS_URL: {
    purpose: 'Terms of service that ACME clients agree to.',
    standard: '`/terms` here, from docs/terms.md',
    trust: 'Clients agree to what is there; keep old versions.',
    type: text(webUrl),
  },
  ICA_CPS_URL: {
    purpose: 'Certification practice statement; its address is written into certificates.',
    standard: '`/cps` here, from docs/cps.md',
    trust: 'What you promise to those who rely on certificates.',
    type: text(webUrl),
  },
} satisfies Record<string, { purpose: string; standard: string; trust: string; type: z.ZodType; secret?: boolean }>

export type Values = { [K in keyof typeof keys]?: z.output<(typeof keys)[K]['type']> }

/** Every key with what the README says of it. */
export const configKeys = Object.entries(keys).map(([name, { purpose, standard, trust, ...rest }]) => ({
  name,
  purpose,
  standard,
  trust,
  secret: 'secret' in rest,
}))

/** The README's table. */
export const configTable = (): string =>
  [
    '| variable | purpose | default | trust |',
    '| --- | --- | --- | --- |',
    ...configKeys.map((key) => `| \`${key.name}\` | ${key.purpose} | ${key.standard} | ${key.trust} |`),
  ].join('\n')
/** The number of single-letter edits between two words. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** A line for each ICA_ variable that is no setting: most are slips of the pen. ICA_TEST_ ones belong to the tests. */
export const unknownKeys = (environment: Record<string, string | undefined>): string[] =>
  Object.keys(environment)
    .filter((name) => name.startsWith('ICA_') && !(name in keys) && !name.startsWith('ICA_TEST_'))
    .map((name) => {
      const [near] = Object.keys(keys)
        .map((key) => ({ key, edits: distance(name, key) }))
        .sort((a, b) => a.edits - b.edits)
      return `${name}: no such setting${near && near.edits <= 3 ? `; is ${near.key} meant?` : ''}`
    })

/** The values of all settings that are given; for each that cannot be read a line is added to `mistakes`. */
export const readValues = (environment: Record<string, string | undefined>, mistakes: string[]): Values => {
  const values: Record<string, unknown> = {}
  for (const [name, key] of Object.entries(keys)) {
    const given = environment[name]?.trim()
    if (!given) continue
    const result = key.type.safeParse(given)
    if (result.success) values[name] = result.data
    else mistakes.push(`${name}: ${result.error.issues.map((issue) => issue.message).join('; ')}`)
  }
  return values as Values
}
