import { type Command, InvalidArgumentError } from 'commander'
import { toAscii } from '../identifier.js'
import { parseDuration } from '../issuance/limits.js'
import { markForRenewal, unmarkForRenewal } from '../issuance/operator.js'
import { renewalInfo } from '../issuance/renewal.js'
import type { RenewalMark, RenewalSelector } from '../model.js'
import { OperatorError } from '../open.js'
import { wallClock } from '../wall-clock.js'
import { operator, withStore } from './context.js'
import { readSerial } from './names.js'
import { facts, print, printJson, say, table, when } from './output.js'

type MarkOptions = {
  all?: true
  serial?: string
  key?: string
  domain?: string
  issuedFrom?: number
  issuedUntil?: number
  reason: string
  explanationUrl?: string
  spread: number
}

const selectorOf = (options: MarkOptions): Omit<RenewalSelector, 'issuedUntil'> & { issuedUntil?: number } => {
  const { all, serial, key, domain, issuedFrom, issuedUntil } = options
  const selector = {
    ...(serial !== undefined && { serial }),
    ...(key !== undefined && { keyId: key }),
    ...(domain !== undefined && { domain }),
    ...(issuedFrom !== undefined && { issuedFrom }),
    ...(issuedUntil !== undefined && { issuedUntil }),
  }
  if (all !== true && Object.keys(selector).length === 0) {
    throw new OperatorError('Which certificates? Give --serial, --key, --domain, --issued-from or --issued-until, or --all for every one of them.')
  }
  if (all === true && Object.keys(selector).length > 0) throw new OperatorError('--all goes with no other condition.')
  return selector
}

const conditions = ({ serial, keyId, domain, issuedFrom, issuedUntil }: RenewalSelector): string =>
  [
    serial && `serial ${serial}`,
    keyId && `key ${keyId}`,
    domain && `domain ${domain}`,
    issuedFrom !== undefined && `issued from ${when(issuedFrom)}`,
    `issued until ${when(issuedUntil)}`,
  ]
    .filter(Boolean)
    .join(', ')

const mark = (options: MarkOptions): Promise<void> =>
  withStore(async (store) => {
    const { reason, explanationUrl = null, spread } = options
    const made = await markForRenewal(
      { store, clock: wallClock },
      selectorOf(options),
      { reason, explanationUrl, spreadMs: spread },
      { actor: operator() },
    )
    print(made.id)
    say(`Certificates (${conditions(made.selector)}) are to be renewed ${spread === 0 ? 'at once' : `until ${when(made.markedAt + spread)}`}.`)
    say('Clients that know ARI (RFC 9773) do so within hours; others must be told. Nothing is revoked by this.')
  })

const toJson = ({ selector, markedAt, spreadMs, ...rest }: RenewalMark) => ({
  ...rest,
  selector,
  markedAt: new Date(markedAt).toISOString(),
  spreadSeconds: spreadMs / 1000,
})

const list = (options: { json?: true }): Promise<void> =>
  withStore(async (store) => {
    const { marks } = await store.policies()
    if (options.json) return printJson(marks.map(toJson))
    if (marks.length === 0) return say('Nothing is marked.')
    print(
      table(
        ['id', 'since', 'certificates', 'reason'],
        marks.map((m) => [m.id, when(m.markedAt), conditions(m.selector), m.reason]),
      ),
    )
  })

const unmark = (id: string): Promise<void> =>
  withStore(async (store) => {
    await unmarkForRenewal({ store, clock: wallClock }, id, { actor: operator() })
    say('The mark is gone; windows are as before.')
  })

const show = (text: string, options: { json?: true }): Promise<void> =>
  withStore(async (store) => {
    const serial = readSerial(text)
    const certificate = serial && (await store.certificateBySerial(serial))
    if (!certificate) throw new OperatorError(`There is no certificate with the serial ${text}.`)
    const { start, end, explanationUrl } = renewalInfo(certificate, (await store.policies()).marks)
    if (options.json) return printJson({ serial, start: new Date(start).toISOString(), end: new Date(end).toISOString(), explanationUrl })
    print(
      facts([
        ['serial', serial],
        ['renew', `${when(start)} to ${when(end)}`],
        ['explanation', explanationUrl ?? '-'],
      ]),
    )
  })

const reading =
  <T>(read: (text: string) => T | null, expected: string) =>
  (text: string): T => {
    let value: T | null = null
    try {
      value = read(text)
    } catch {
      // Said below.
    }
    if (value === null) throw new InvalidArgumentError(`${expected} is expected.`)
    return value
  }

const moment = reading(
  (text) => (/^\d{4}-\d\d-\d\d(T[\d:.]+Z)?$/.test(text) && !Number.isNaN(Date.parse(text)) ? Date.parse(text) : null),
  'A date like 2026-12-31 or 2026-12-31T12:00:00Z (UTC)',
)

export const addRenewal = (program: Command): void => {
  const renewal = program
    .command('renewal')
    .description('early renewal of certificates, told to clients by ARI (RFC 9773)')
    .addHelpText('after', '\nExamples:\n  $ xmpp-ica renewal mark --domain example.org --reason "moved"\n  $ xmpp-ica renewal list')
  renewal
    .command('mark')
    .description('asks for the early renewal of certificates that were issued so far')
    .option('--all', 'every certificate')
    .option('--serial <serial>', 'this one', reading(readSerial, 'A serial'))
    .option(
      '--key <sha256>',
      'with this public key',
      reading((text) => (/^[0-9a-f]{64}$/i.test(text) ? text.toLowerCase() : null), 'The SHA-256 of a public key (64 hex digits)'),
    )
    .option('--domain <domain>', 'with a name in this domain', reading(toAscii, 'A domain'))
    .option('--issued-from <date>', 'issued at or after', moment)
    .option('--issued-until <date>', 'issued at or before', moment)
    .requiredOption('--reason <text>', 'for the audit log')
    .option(
      '--explanation-url <url>',
      'shown to the user by clients',
      reading((text) => (/^https?:/.test(text) && URL.canParse(text) ? text : null), 'A web address'),
    )
    .option('--spread <time>', 'spread the renewals over this time, e.g. 24h', reading(parseDuration, 'A time like 6h or 2d'), 0)
    .addHelpText(
      'after',
      `
Several conditions must all be met. What is issued after the mark is not meant by it.

Examples:
  $ xmpp-ica renewal mark --serial 5f0c8a… --reason "wrong name form"
  $ xmpp-ica renewal mark --issued-from 2026-11-01 --issued-until 2026-11-07 --reason "bug 4711" \\
      --explanation-url https://ica.example.org/incident-4711 --spread 24h
  $ xmpp-ica renewal mark --all --reason "new intermediate" --spread 7d`,
    )
    .action(mark)
  renewal
    .command('list')
    .description('the marks')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica renewal list')
    .action(list)
  renewal
    .command('unmark')
    .description('takes a mark back')
    .argument('<id>', 'as "list" prints it')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica renewal unmark 0193c2f4…')
    .action(unmark)
  renewal
    .command('show')
    .description('when clients are told to renew a certificate')
    .argument('<serial>', 'of the certificate')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica renewal show 5f0c8a…')
    .action(show)
}
