/**
 * The configuration: environment variables, and a `.env` file in the working directory for those that the environment does not have. Here the settings of
 * config-keys.ts become one consistent whole. Mistakes are reported all at once.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import dotenv from 'dotenv'
import ipaddr from 'ipaddr.js'
import { readValues, unknownKeys, type Values } from './config-keys.js'
import { type Address, type logLevels, type mailModes, type Network, readNetworks } from './config-values.js'
import type { ExternalAccountMode } from './issuance/ica.js'
import { defaultLimits, type Limits } from './issuance/limits.js'
import type { Profile } from './pki/profile.js'
import { readWeakKeyList, type WeakKeyList } from './pki/weak-key-list.js'
import { readProfiles } from './profiles.js'

export type MailConfig = {
  mode: (typeof mailModes)[number]
  from: string
  bounce: string | null
  dkim: { keyFile: string; selector: string; domain: string } | null
  /** Mails may be kept as files where there is no mail server: nobody else relies on this CA. */
  mayBeKept: boolean
}

export type Config = {
  /** Base URL of web and ACME, without a slash at the end. */
  url: string
  /** Base URL of OCSP, CRLs and CA certificates as it goes into certificates; always http, without a slash at the end. */
  statusUrl: string
  listen: Address
  statusListen: Address
  /** The same listener carries both sides. */
  oneListener: boolean
  /** How the web side is served: plain, by a certificate that the CA issues to itself, or by given files. */
  tls: { mode: 'none' } | { mode: 'own' } | { mode: 'files'; cert: string; key: string }
  trustedProxies: Network[]
  metricsFrom: Network[]
  database: string
  /** Where what the program makes for itself lies. */
  dataFolder: string
  keys: string
  passphraseFile: string | null
  /** Null: service keys are sealed with the passphrase of the CA's. */
  servicePassphraseFile: string | null
  /** Where responders lie for another user to read; null: in `dataFolder`. */
  statusKeys: string | null
  /** `address:port` each; empty: the system's. */
  dnsServers: string[]
  lab: boolean
  http01Port: number
  dnsPort: number
  tlsAlpn01Port: number
  smtpUrl: string | null
  mail: MailConfig
  logLevel: (typeof logLevels)[number]
  /** By name, in the order in which they are shown. */
  profiles: ReadonlyMap<string, Profile>
  /** Lists of RSA keys that are refused. */
  weakKeys: WeakKeyList
  defaultProfile: string
  caaIdentities: string[]
  termsUrl: string
  cpsUrl: string
  externalAccounts: ExternalAccountMode
  limits: Limits
}

/** What is wrong with a configuration: one line for each mistake. */
export class ConfigError extends Error {
  constructor(readonly mistakes: string[]) {
    super(mistakes.join('\n'))
    this.name = 'ConfigError'
  }
}
const isLoopback = (host: string): boolean => {
  const bare = host.replace(/^\[|\]$/g, '')
  if (bare === 'localhost' || bare.endsWith('.localhost')) return true
  return ipaddr.isValid(bare) && ipaddr.process(bare).range() === 'loopback'
}
const portOf = (url: URL): number => Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
const sameAddress = (a: Address, b: Address): boolean => a.host === b.host && a.port === b.port
const show = ({ host, port }: Address): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

/** URLs and listeners, each with its default derived from the others; what does not go together is added to `mistakes`. */
const readPlaces = (values: Values, mistakes: string[]) => {
  const proxied = values.ICA_TRUST_PROXY !== undefined
  const url = values.ICA_URL ?? new URL(`http://localhost:${values.ICA_LISTEN?.port || 8080}`)
  const secure = url.protocol === 'https:'
  const plain = !secure || proxied
  const listen =
    values.ICA_LISTEN ??
    (secure ? (proxied ? { host: 'localhost', port: 8080 } : { host: '*', port: portOf(url) }) : { host: 'localhost', port: portOf(url) })
  if (!secure && !isLoopback(url.hostname)) {
    mistakes.push(
      `ICA_URL: ${url.origin} is plain http, which is for loopback only: anybody on the way could read and change ACME. Use https://${url.host}`,
    )
  } else if (plain && !proxied && !isLoopback(listen.host)) {
    mistakes.push(
      `ICA_LISTEN: ${show(listen)} would serve ACME by plain http to others. Use localhost:${listen.port}, an https ICA_URL, or ICA_TRUST_PROXY`,
    )
  }
  const statusPort = values.ICA_STATUS_LISTEN?.port || 80
  const statusUrl = values.ICA_STATUS_URL ?? (secure ? new URL(`http://${url.hostname}:${proxied ? 80 : statusPort}`) : url)
  if (statusUrl.protocol !== 'http:') {
    mistakes.push(
      'ICA_STATUS_URL: must be http: OCSP answers and CRLs are signed themselves, and fetching them by https would need the status of another certificate',
    )
  }
  const shared = plain && (proxied || portOf(statusUrl) === listen.port || values.ICA_STATUS_URL === undefined)
  const statusListen =
    values.ICA_STATUS_LISTEN ?? (shared ? listen : { host: isLoopback(statusUrl.hostname) ? 'localhost' : '*', port: portOf(statusUrl) })
  if (
    !plain &&
    listen.port !== 0 &&
    listen.port === statusListen.port &&
    (sameAddress(listen, statusListen) || listen.host === '*' || statusListen.host === '*')
  ) {
    mistakes.push(
      `ICA_STATUS_LISTEN: ${show(statusListen)} is taken by ICA_LISTEN for https; OCSP and CRLs are served by plain http on a port of their own`,
    )
  }
  return { url, statusUrl, listen, statusListen, plain, proxied, secure }
}

const readTls = (values: Values, plain: boolean, proxied: boolean, mistakes: string[], file: (name: string) => string): Config['tls'] => {
  const { ICA_TLS_CERT: cert, ICA_TLS_KEY: key } = values
  if (cert && !key) mistakes.push('ICA_TLS_KEY: is missing; ICA_TLS_CERT needs it')
  if (key && !cert) mistakes.push('ICA_TLS_CERT: is missing; ICA_TLS_KEY needs it')
  if ((cert || key) && plain) {
    mistakes.push(
      `${cert ? 'ICA_TLS_CERT' : 'ICA_TLS_KEY'}: has no use ${proxied ? 'behind ICA_TRUST_PROXY, which ends TLS' : 'with a plain http ICA_URL'}; remove it`,
    )
  }
  if (plain) return { mode: 'none' }
  return cert && key ? { mode: 'files', cert: file(cert), key: file(key) } : { mode: 'own' }
}

const loadProfiles = (file: string | null, mistakes: string[]): ReadonlyMap<string, Profile> => {
  let text: string | null = null
  try {
    text = file && readFileSync(file, 'utf8')
  } catch (error) {
    mistakes.push(`ICA_PROFILES: ${file} cannot be read (${(error as Error).message})`)
  }
  const read = readProfiles(text)
  mistakes.push(...read.mistakes.map((mistake) => `ICA_PROFILES: ${mistake}`))
  return read.profiles
}

const loadWeakKeys = (files: string[], mistakes: string[]): WeakKeyList => {
  const lists = files.flatMap((file) => {
    try {
      return [readWeakKeyList(readFileSync(file, 'latin1'))]
    } catch (error) {
      mistakes.push(`ICA_WEAK_KEYS: ${file} ${error instanceof RangeError ? '' : 'cannot be read: '}${(error as Error).message}`)
      return []
    }
  })
  return { size: lists.reduce((sum, { size }) => sum + size, 0), has: (modulus) => lists.some((one) => one.has(modulus)) }
}

const readMail = (values: Values, url: URL, mistakes: string[], file: (name: string) => string): MailConfig => {
  const { ICA_MAIL_FROM: from, ICA_DKIM_KEY: key, ICA_DKIM_SELECTOR: selector } = values
  if (values.SMTP_URL && !from) mistakes.push('ICA_MAIL_FROM: is missing; SMTP_URL needs a sender')
  if (key && !selector) mistakes.push('ICA_DKIM_SELECTOR: is missing; ICA_DKIM_KEY needs it')
  if (!key && (selector || values.ICA_DKIM_DOMAIN)) mistakes.push('ICA_DKIM_KEY: is missing; the other settings of DKIM need it')
  const sender = from ?? `ca@${url.hostname}`
  return {
    mode: values.ICA_MAIL ?? 'on',
    from: sender,
    bounce: values.ICA_MAIL_BOUNCE ?? null,
    dkim: key && selector ? { keyFile: file(key), selector, domain: values.ICA_DKIM_DOMAIN ?? sender.slice(sender.lastIndexOf('@') + 1) } : null,
    mayBeKept: values.ICA_LAB === true || isLoopback(url.hostname),
  }
}

/** Why this configuration can't send the mails that it wants to; null where it can, or wants none. */
export const mailProblem = ({ mail, smtpUrl, url }: Pick<Config, 'mail' | 'smtpUrl' | 'url'>): string | null =>
  mail.mode === 'off' || smtpUrl !== null || mail.mayBeKept
    ? null
    : `SMTP_URL is missing: ${url} is for others, and proves names and tells its subscribers by mail. Set SMTP_URL and ICA_MAIL_FROM, or ICA_MAIL=off.`

/**
 * The configuration that an environment says.
 * @param environment variables by name; empty ones count as not given
 * @param folder what relative paths are relative to
 * @throws ConfigError with every mistake
 */
export const parseConfig = (environment: Record<string, string | undefined>, folder: string): Config => {
  const mistakes = unknownKeys(environment)
  const values = readValues(environment, mistakes)
  const file = (name: string): string => path.resolve(folder, name)
  const { url, statusUrl, listen, statusListen, plain, proxied } = readPlaces(values, mistakes)
  const tls = readTls(values, plain, proxied, mistakes, file)
  const database = values.DATABASE_URL ?? 'file:./data/ica.db'
  const databaseFile = database.startsWith('file:') ? file(database.slice('file:'.length)) : null
  const profiles = loadProfiles(values.ICA_PROFILES ? file(values.ICA_PROFILES) : null, mistakes)
  const weakKeys = loadWeakKeys((values.ICA_WEAK_KEYS ?? []).map(file), mistakes)
  const defaultProfile = values.ICA_DEFAULT_PROFILE ?? 'xmpp-server'
  if (!profiles.has(defaultProfile)) {
    mistakes.push(`ICA_DEFAULT_PROFILE: there is no profile "${defaultProfile}"; there are ${[...profiles.keys()].join(', ')}`)
  }
  const mail = readMail(values, url, mistakes, file)
  if (values.ICA_KEY_PASSPHRASE_FILE && file(values.ICA_KEY_PASSPHRASE_FILE).startsWith(file(values.ICA_KEYS ?? './ca-keys') + path.sep)) {
    mistakes.push('ICA_KEY_PASSPHRASE_FILE: lies in the folder of the keys that it protects; keep it elsewhere')
  }
  if (values.ICA_SERVICE_PASSPHRASE_FILE && values.ICA_SERVICE_PASSPHRASE_FILE === values.ICA_KEY_PASSPHRASE_FILE) {
    mistakes.push('ICA_SERVICE_PASSPHRASE_FILE: is that of ICA_KEY_PASSPHRASE_FILE; leave it out, or use another passphrase')
  }
  if (values.ICA_STATUS_KEYS && !values.ICA_SERVICE_PASSPHRASE_FILE) {
    mistakes.push('ICA_STATUS_KEYS: needs ICA_SERVICE_PASSPHRASE_FILE; otherwise its readers need the passphrase of the CA keys')
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return {
    url: url.origin,
    statusUrl: statusUrl.origin,
    listen,
    statusListen,
    oneListener: plain && sameAddress(listen, statusListen),
    tls,
    trustedProxies: values.ICA_TRUST_PROXY ?? [],
    metricsFrom: values.ICA_METRICS_FROM ?? readNetworks('127.0.0.0/8, ::1'),
    database: databaseFile ? `file:${databaseFile}` : database,
    dataFolder: values.ICA_DATA ? file(values.ICA_DATA) : databaseFile ? path.dirname(databaseFile) : file('./data'),
    keys: file(values.ICA_KEYS ?? './ca-keys'),
    passphraseFile: values.ICA_KEY_PASSPHRASE_FILE ? file(values.ICA_KEY_PASSPHRASE_FILE) : null,
    servicePassphraseFile: values.ICA_SERVICE_PASSPHRASE_FILE ? file(values.ICA_SERVICE_PASSPHRASE_FILE) : null,
    statusKeys: values.ICA_STATUS_KEYS ? file(values.ICA_STATUS_KEYS) : null,
    dnsServers: values.ICA_DNS_SERVERS ?? [],
    lab: values.ICA_LAB ?? false,
    http01Port: values.ICA_HTTP01_PORT ?? 80,
    dnsPort: values.ICA_DNS_PORT ?? 53,
    tlsAlpn01Port: values.ICA_TLSALPN01_PORT ?? 443,
    smtpUrl: values.SMTP_URL ?? null,
    mail,
    logLevel: values.ICA_LOG_LEVEL ?? 'info',
    profiles,
    defaultProfile,
    weakKeys,
    caaIdentities: values.ICA_CAA_IDENTITIES ?? [url.hostname],
    termsUrl: values.ICA_TERMS_URL ?? `${url.origin}/terms`,
    cpsUrl: values.ICA_CPS_URL ?? `${url.origin}/cps`,
    externalAccounts: values.ICA_EAB ?? 'off',
    limits: values.ICA_LIMITS ?? defaultLimits,
  }
}

/** The process's environment over the `.env` file of `folder`. */
export const readEnvironment = (folder: string): Record<string, string | undefined> => {
  let fromFile: Record<string, string> = {}
  try {
    fromFile = dotenv.parse(readFileSync(path.join(folder, '.env')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new ConfigError([`.env: cannot be read (${(error as Error).message})`])
  }
  return { ...fromFile, ...process.env }
}

/** A database URL that may be shown: without its password. */
export const withoutPassword = (url: string): string => {
  if (!URL.canParse(url)) return url
  const parsed = new URL(url)
  if (parsed.password) parsed.password = '***'
  return parsed.protocol === 'file:' ? url : parsed.href
}
