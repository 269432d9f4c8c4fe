/** The way out that the configuration chooses: a mail server, or files for trying out. */
import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type Config, ConfigError, mailProblem } from './config.js'
import { makePrivateFolder, replaceFile } from './files.js'
import type { Envelope } from './mail/message.js'
import { createKeepingTransport, createSmtpTransport, type Dkim, type Transport } from './mail/transport.js'

const readDkim = ({ mail }: Pick<Config, 'mail'>): Dkim | null => {
  if (!mail.dkim) return null
  const { keyFile, selector, domain } = mail.dkim
  try {
    const privateKey = readFileSync(keyFile, 'utf8')
    createPrivateKey(privateKey)
    return { domainName: domain, keySelector: selector, privateKey }
  } catch (error) {
    throw new ConfigError([`ICA_DKIM_KEY: ${keyFile} is no private key that can be read (${(error as Error).message})`])
  }
}

/** Throws ConfigError where the configuration wants mails and has no way out for them. */
export const checkMail = (config: Config): void => {
  const problem = mailProblem(config)
  if (problem) throw new ConfigError([problem])
}

const isLocal = (host: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(host)

/**
 * The transport; null where mail is off. `say` shows a person where a mail that was not sent lies, and the link in it.
 * @param name what the CA is called
 * @throws ConfigError where the key of DKIM can't be read
 */
export const openTransport = (config: Config, name: string, say: (text: string) => void): Transport | null => {
  if (config.mail.mode === 'off') return null
  const envelope: Envelope = { from: { name, address: config.mail.from }, bounce: config.mail.bounce }
  const dkim = readDkim(config)
  const { hostname } = new URL(config.url)
  if (config.smtpUrl !== null) return createSmtpTransport({ url: config.smtpUrl, envelope, dkim, hostname }, isLocal)
  const folder = path.join(config.dataFolder, 'mail')
  return createKeepingTransport(envelope, dkim, async ({ id, to, content }, raw) => {
    makePrivateFolder(folder)
    const file = path.join(folder, `${id}.eml`)
    replaceFile(file, raw)
    const link = content.blocks.find((block) => typeof block !== 'string' && 'link' in block && block.link.includes('/confirm/'))
    say(`Mail to ${to}: "${content.subject}", kept in ${file}${typeof link === 'object' && 'link' in link ? `\n  ${link.link}` : ''}`)
    return `There is no mail server: it was kept in ${file}.`
  })
}
