import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { type Command, InvalidArgumentError } from 'commander'
import { buildIca } from '../build.js'
import { parseIdentifier } from '../identifier.js'
import { revokeByOperator } from '../issuance/revocation.js'
import { type Certificate, type RevocationReason, revocationReasons } from '../model.js'
import { OperatorError } from '../open.js'
import { pemDecode, pemEncode } from '../pki/pem.js'
import { readCertificate } from '../pki/read-certificate.js'
import type { Store } from '../store/store.js'
import { operator, withCore, withStore } from './context.js'
import { facts, print, printJson, say, table, when } from './output.js'

const statusOf = (certificate: Certificate, now: number): string =>
  certificate.revocation ? 'revoked' : certificate.notAfter < now ? 'expired' : 'valid'

const namesOf = (certificate: Certificate): string =>
  [...new Set(certificate.names.filter(({ form }) => form === 'dNSName').map(({ value }) => value))].join(' ')

/** What `--json` prints of a certificate. */
const toJson = (certificate: Certificate, now: number) => ({
  serial: certificate.serial,
  status: statusOf(certificate, now),
  kind: certificate.kind,
  profile: certificate.profile,
  names: certificate.names,
  notBefore: new Date(certificate.notBefore).toISOString(),
  notAfter: new Date(certificate.notAfter).toISOString(),
  revokedAt: certificate.revocation ? new Date(certificate.revocation.revokedAt).toISOString() : null,
  reason: certificate.revocation?.reason ?? null,
  issuer: certificate.issuerId,
  account: certificate.accountId,
  order: certificate.orderId,
  keyId: certificate.keyId,
  pem: pemEncode('CERTIFICATE', certificate.der),
})

const detail = (certificate: Certificate, now: number): string => {
  const { revocation } = certificate
  const form = (wanted: string): string[] => certificate.names.filter((name) => name.form === wanted).map(({ value }) => value)
  const entries: [string, string | string[]][] = [
    ['serial', certificate.serial],
    ['status', statusOf(certificate, now) + (revocation ? ` since ${when(revocation.revokedAt)}: ${revocation.reason}` : '')],
    ['kind', `${certificate.kind}, profile ${certificate.profile}`],
    ['dNSName', form('dNSName')],
    ['SRVName', form('SRVName')],
    ['XmppAddr', form('XmppAddr')],
    ['valid', `${when(certificate.notBefore)} to ${when(certificate.notAfter)}`],
    ['account', certificate.accountId ?? '-'],
    ['order', certificate.orderId ?? '-'],
    ['issuer', certificate.issuerId],
    ['key', certificate.keyId],
  ]
  return `${facts(entries.filter(([, value]) => value.length > 0))}\n${pemEncode('CERTIFICATE', certificate.der)}`
}

/** A serial as people paste it: colons, upper case, `serial=` of openssl, zeros in front. Null for what is none. */
export const readSerial = (text: string): string | null => {
  const hex = text
    .replace(/^(serial=|0x)/i, '')
    .replaceAll(':', '')
    .toLowerCase()
    .replace(/^0+/, '')
  return /^[0-9a-f]{1,40}$/.test(hex) ? hex.padStart(hex.length + (hex.length % 2), '0') : null
}

const readFile = (file: string): Uint8Array => {
  const content = readFileSync(file)
  try {
    return content[0] === 0x30 ? content : (pemDecode('CERTIFICATE', content.toString('latin1'))[0] as Uint8Array)
  } catch (error) {
    throw new OperatorError(`${file} is not a certificate: ${(error as Error).message}`)
  }
}

const findByFile = async (store: Store, file: string): Promise<Certificate[]> => {
  const der = readFile(file)
  const found = await store.certificateByDer(der)
  if (found) return [found]
  const { serial, commonName } = readCertificate(der)
  throw new OperatorError(`${file} (serial ${serial}, ${commonName ?? 'no common name'}) is not a certificate of this CA.`)
}

/** The certificates that an argument means, newest first: a file, a serial, or a domain. */
const find = async (store: Store, what: string, limit: number): Promise<Certificate[]> => {
  if (/[/.]/.test(what) && existsSync(what)) return findByFile(store, what)
  const serial = readSerial(what)
  const bySerial = serial && (await store.certificateBySerial(serial))
  if (bySerial) return [bySerial]
  let domain = what.toLowerCase()
  try {
    domain = parseIdentifier('dns', what, { lab: true }).value
  } catch {
    // Then it can still be a name as it stands in a certificate, such as an SRVName.
  }
  const found = await store.certificatesByName(domain, limit)
  if (found.length > 0) return found
  throw new OperatorError(`There is no certificate for "${what}": it is neither a file, nor the serial of a certificate, nor a name in one.`)
}

const limitOf = (text: string): number => {
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1 || limit > 100_000) throw new InvalidArgumentError('A number from 1 to 100000 is expected.')
  return limit
}

type ListOptions = { revoked?: true; expired?: true; valid?: true; limit: number; json?: true }

const list = (options: ListOptions): Promise<void> =>
  withStore(async (store) => {
    const now = Date.now()
    const found = await store.listCertificates({
      limit: options.limit,
      ...(options.revoked && { revoked: true }),
      ...(options.valid && { revoked: false, expired: { at: now, is: false } }),
      ...(options.expired && { expired: { at: now, is: true } }),
    })
    if (options.json) return printJson(found.map((certificate) => toJson(certificate, now)))
    if (found.length === 0) return say('There is no such certificate.')
    const rows = found.map((certificate) => [
      certificate.serial,
      statusOf(certificate, now),
      certificate.kind,
      when(certificate.notAfter),
      namesOf(certificate),
    ])
    print(table(['serial', 'status', 'kind', 'until', 'names'], rows))
    if (found.length === options.limit) say(`The newest ${options.limit}; more with --limit.`)
  })

const show = (what: string, options: { json?: true; limit: number }): Promise<void> =>
  withStore(async (store) => {
    const now = Date.now()
    const found = await find(store, what, options.limit)
    if (options.json) printJson(found.map((certificate) => toJson(certificate, now)))
    else print(found.map((certificate) => detail(certificate, now)).join('\n'))
  })

const confirmed = async (question: string): Promise<boolean> => {
  if (!process.stdin.isTTY) return true
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${question} [y/N] `)
  terminal.close()
  return /^y(es)?$/i.test(answer.trim())
}

const readReason = (text: string): RevocationReason => {
  const reason = (Object.keys(revocationReasons) as RevocationReason[]).find((name) => name.toLowerCase() === text.toLowerCase())
  if (!reason) throw new InvalidArgumentError(`One of ${Object.keys(revocationReasons).join(', ')} is expected.`)
  return reason
}

const revoke = (text: string, options: { reason: RevocationReason; yes?: true }): Promise<void> =>
  withCore('revoke', async (core) => {
    const serial = readSerial(text)
    const certificate = serial && (await core.store.certificateBySerial(serial))
    if (!certificate) throw new OperatorError(`There is no certificate with the serial ${text}. "xmpp-ica show <domain>" finds it by its name.`)
    say(`${certificate.serial}  ${statusOf(certificate, core.clock.now())}  until ${when(certificate.notAfter)}  ${namesOf(certificate)}`)
    if (!options.yes && !(await confirmed(`Revoke it for good (${options.reason})?`))) throw new OperatorError('Nothing was revoked.')
    await revokeByOperator(
      buildIca(core, () => undefined),
      certificate.serial,
      options.reason,
      { actor: operator() },
    )
    const key = options.reason === 'keyCompromise' ? ' Its key will not be certified again.' : ''
    say(
      `Revoked (${options.reason}).${key} The running CA says so by OCSP in a second and has it on its CRL in a few; if it does not run, it will when it starts.`,
    )
  })

export const addCertificates = (program: Command): void => {
  program
    .command('list')
    .description('list certificates, newest first')
    .option('--valid', 'only those that are neither revoked nor expired')
    .option('--revoked', 'only revoked ones')
    .option('--expired', 'only expired ones')
    .option('--limit <n>', 'at most so many', limitOf, 50)
    .option('--json', 'print JSON')
    .addHelpText('after', "\nExamples:\n  $ xmpp-ica list --valid\n  $ xmpp-ica list --revoked --json | jq -r '.[].serial'")
    .action(list)
  program
    .command('show')
    .description('show certificates')
    .argument('<serial|domain|file>', 'a serial, a name in a certificate, or a PEM or DER file')
    .option('--limit <n>', 'of a domain, at most so many', limitOf, 10)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ xmpp-ica show example.org\n  $ xmpp-ica show 5f0c8a…\n  $ xmpp-ica show /etc/prosody/certs/example.org.crt',
    )
    .action(show)
  program
    .command('revoke')
    .description('revoke a certificate; this cannot be undone')
    .argument('<serial>', 'as "list" and "show" print it, or openssl does')
    .option('--reason <reason>', Object.keys(revocationReasons).join(', '), readReason, 'unspecified')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      '\nkeyCompromise also blocks the key for ever.\n\nExamples:\n  $ xmpp-ica revoke 5f0c8a… --reason keyCompromise\n  $ xmpp-ica revoke 5f0c8a… --reason superseded --yes',
    )
    .action(revoke)
}
