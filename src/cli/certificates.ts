import { existsSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import { parseIdentifier } from '../identifier.js'
import type { Certificate } from '../model.js'
import { OperatorError, readConfig } from '../open.js'
import type { Description } from '../pki/describe.js'
import { pemEncode } from '../pki/pem.js'
import type { Store } from '../store/store.js'
import { withStore } from './context.js'
import { namesOf, readCertificates, readSerial } from './names.js'
import { facts, print, printJson, say, table, when } from './output.js'

const statusOf = (certificate: Certificate, now: number): string =>
  certificate.revocation ? 'revoked' : certificate.notAfter < now ? 'expired' : 'valid'

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

/** The certificates that an argument means, newest first: a serial, or a domain. */
const find = async (store: Store, what: string, limit: number): Promise<Certificate[]> => {
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

const show = async (what: string, options: { json?: true; limit: number }): Promise<void> => {
  if (/[/.]/.test(what) && existsSync(what)) return showFile(what, options)
  await withStore(async (store) => {
    const now = Date.now()
    const found = await find(store, what, options.limit)
    if (options.json) printJson(found.map((certificate) => toJson(certificate, now)))
    else print(found.map((certificate) => detail(certificate, now)).join('\n'))
  })
}

/** What a certificate says that is not in the list of those issued. `whose`: of which CA it is. */
const foreignDetail = (d: Description, whose: string, now: number): string => {
  const forms = [...new Set(d.names.map(({ form }) => form))]
  const entries: [string, string | string[]][] = [
    ['subject', d.subject || '-'],
    ['issuer', d.issuer],
    ['serial', d.serial],
    ['status', `${whose}; ${now > d.notAfter ? 'expired' : now < d.notBefore ? 'not valid yet' : 'within its validity'}`],
    ...forms.map((form): [string, string[]] => [form, d.names.filter((name) => name.form === form).map(({ value }) => value)]),
    ['valid', `${when(d.notBefore)} to ${when(d.notAfter)}`],
    ['CA', d.isCa ? `yes${d.pathLength === null ? '' : `, path length ${d.pathLength}`}` : 'no'],
    ['key', d.key],
    ['signature', d.signature],
    ['key usage', d.keyUsage.join(', ')],
    ['purposes', d.extendedKeyUsage.join(', ')],
    ['SHA-256', d.sha256],
  ]
  return facts(entries.filter(([, value]) => value.length > 0))
}

/** The certificates in a file: what the database knows of ours, what a library reads in those of others. */
const showFile = async (file: string, options: { json?: true }): Promise<void> => {
  const ders = readCertificates(file)
  const now = Date.now()
  const config = readConfig()
  // Files of others can be read without a CA.
  const none = config.database.startsWith('file:') && !existsSync(config.database.slice('file:'.length))
  const { known, issuers } = none
    ? { known: ders.map(() => null), issuers: [] }
    : await withStore(async (store) => ({ known: await Promise.all(ders.map((der) => store.certificateByDer(der))), issuers: await store.issuers() }))
  const { describeCertificate } = await import('../pki/describe.js')
  const described = async (der: Uint8Array): Promise<Description> => {
    try {
      return await describeCertificate(der)
    } catch (error) {
      throw new OperatorError(`${file} holds something that is no certificate: ${(error as Error).message}`)
    }
  }
  const texts: string[] = []
  const values: unknown[] = []
  for (const [index, der] of ders.entries()) {
    const ours = known[index]
    if (ours) {
      texts.push(detail(ours, now))
      values.push(toJson(ours, now))
    } else {
      const foreign = await described(der)
      // The root is signed elsewhere, or by itself: it is no row of the list.
      const isRoot = issuers.some((issuer) => issuer.kind === 'root' && Buffer.compare(issuer.der, der) === 0)
      texts.push(`${foreignDetail(foreign, isRoot ? 'the root of this CA' : 'not of this CA', now)}\n`)
      const { notBefore, notAfter, ...rest } = foreign
      values.push({
        ...rest,
        status: isRoot ? 'root' : 'foreign',
        notBefore: new Date(notBefore).toISOString(),
        notAfter: new Date(notAfter).toISOString(),
      })
    }
  }
  if (options.json) printJson(values)
  else print(texts.join('\n'))
}

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
    .argument('<serial|domain|file>', 'a serial, a name in a certificate, or a PEM or DER file, also of another CA')
    .option('--limit <n>', 'of a domain, at most so many', limitOf, 10)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ xmpp-ica show example.org\n  $ xmpp-ica show 5f0c8a…\n  $ xmpp-ica show /etc/prosody/certs/example.org.crt',
    )
    .action(show)
}
