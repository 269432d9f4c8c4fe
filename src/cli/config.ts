import type { Command } from 'commander'
import { withoutPassword } from '../config.js'
import { configKeys, configTable } from '../config-keys.js'
import { showLimits } from '../issuance/limits.js'
import { readConfig } from '../open.js'
import { facts, print, printJson } from './output.js'

const settings = (): string =>
  configKeys
    .map(
      ({ name, purpose, standard, trust }) =>
        `  ${name}\n      ${[purpose, standard && `Default: ${standard}.`, trust].filter(Boolean).join('\n      ')}`,
    )
    .join('\n')
    .replaceAll('`', '')

/** Which setting decides a value of the configuration. What is not here follows from others. */
const settingOf: Record<string, string> = {
  url: 'ICA_URL',
  statusUrl: 'ICA_STATUS_URL',
  listen: 'ICA_LISTEN',
  statusListen: 'ICA_STATUS_LISTEN',
  tls: 'ICA_TLS_CERT, ICA_TLS_KEY',
  trustedProxies: 'ICA_TRUST_PROXY',
  database: 'DATABASE_URL',
  dataFolder: 'ICA_DATA',
  keys: 'ICA_KEYS',
  passphraseFile: 'ICA_KEY_PASSPHRASE_FILE',
  servicePassphraseFile: 'ICA_SERVICE_PASSPHRASE_FILE',
  statusKeys: 'ICA_STATUS_KEYS',
  dnsServers: 'ICA_DNS_SERVERS',
  lab: 'ICA_LAB',
  http01Port: 'ICA_HTTP01_PORT',
  tlsAlpn01Port: 'ICA_TLSALPN01_PORT',
  dnsPort: 'ICA_DNS_PORT',
  mail: 'ICA_MAIL',
  smtpUrl: 'SMTP_URL',
  mailFrom: 'ICA_MAIL_FROM',
  mailBounce: 'ICA_MAIL_BOUNCE',
  dkim: 'ICA_DKIM_…',
  logLevel: 'ICA_LOG_LEVEL',
  metricsFrom: 'ICA_METRICS_FROM',
  defaultProfile: 'ICA_DEFAULT_PROFILE',
  profiles: 'ICA_PROFILES',
  weakKeys: 'ICA_WEAK_KEYS',
  caaIdentities: 'ICA_CAA_IDENTITIES',
  externalAccounts: 'ICA_EAB',
  limits: 'ICA_LIMITS',
  termsUrl: 'ICA_TERMS_URL',
  cpsUrl: 'ICA_CPS_URL',
}

/** The configuration in force as it may be shown: passwords left out. */
const current = () => {
  const { limits, database, smtpUrl, trustedProxies, profiles, weakKeys, metricsFrom, listen, statusListen, tls, mail, ...rest } = readConfig()
  const networks = (list: typeof trustedProxies): string[] => list.map(([address, bits]) => `${address.toString()}/${bits}`)
  return {
    ...rest,
    limits: showLimits(limits),
    listen: `${listen.host}:${listen.port}`,
    statusListen: `${statusListen.host}:${statusListen.port}`,
    tls: tls.mode === 'files' ? `${tls.cert}, ${tls.key}` : tls.mode,
    database: withoutPassword(database),
    smtpUrl: smtpUrl && withoutPassword(smtpUrl),
    mail: mail.mode,
    mailFrom: mail.from,
    mailBounce: mail.bounce,
    dkim: mail.dkim && `${mail.dkim.selector}._domainkey.${mail.dkim.domain}, ${mail.dkim.keyFile}`,
    trustedProxies: networks(trustedProxies),
    metricsFrom: networks(metricsFrom),
    profiles: [...profiles.keys()],
    weakKeys: `${weakKeys.size} known`,
  }
}

const config = (options: { json?: true; markdown?: true }): void => {
  if (options.markdown) print(configTable())
  else if (options.json) printJson(current())
  else {
    const text = (value: unknown): string => (value === null || String(value) === '' ? '-' : String(value).replaceAll(',', ', '))
    const order = Object.values(settingOf)
    const shown = Object.entries(current()).flatMap(([name, value]): [string, string][] => {
      const setting = settingOf[name]
      return setting === undefined ? [] : [[setting, text(value)]]
    })
    print(facts(shown.sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))))
  }
}

export const addConfig = (program: Command): void => {
  program
    .command('config')
    .description('show the configuration in force; with --help, every setting')
    .option('--json', 'print JSON')
    .option('--markdown', "print the README's table of settings")
    .addHelpText('after', () => `\nSettings, from the environment or from .env in the working folder:\n\n${settings()}`)
    .action(config)
}
