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

/** The configuration in force as it may be shown: passwords left out. */
const current = () => {
  const { limits, database, smtpUrl, trustedProxies, profiles, metricsFrom, listen, statusListen, tls, ...rest } = readConfig()
  const networks = (list: typeof trustedProxies): string[] => list.map(([address, bits]) => `${address.toString()}/${bits}`)
  return {
    ...rest,
    limits: showLimits(limits),
    listen: `${listen.host}:${listen.port}`,
    statusListen: `${statusListen.host}:${statusListen.port}`,
    tls: tls.mode === 'files' ? `${tls.cert}, ${tls.key}` : tls.mode,
    database: withoutPassword(database),
    smtpUrl: smtpUrl && withoutPassword(smtpUrl),
    trustedProxies: networks(trustedProxies),
    metricsFrom: networks(metricsFrom),
    profiles: [...profiles.keys()],
  }
}

const config = (options: { json?: true; markdown?: true }): void => {
  if (options.markdown) print(configTable())
  else if (options.json) printJson(current())
  else {
    const text = (value: unknown): string => (value === null || String(value) === '' ? '-' : String(value).replaceAll(',', ', '))
    print(facts(Object.entries(current()).map(([name, value]): [string, string] => [name, text(value)])))
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
