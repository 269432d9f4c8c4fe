/** `xmpp-ica revoke`: one certificate, or all that a file, a key, a domain, an account, an intermediate or a span of time means. */
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { type Command, InvalidArgumentError } from 'commander'
import { buildIca, type Core } from '../build.js'
import type { Ica } from '../issuance/ica.js'
import { candidatesOf, type RevocationSelector, revokeSelected, selectForRevocation, standingOf } from '../issuance/mass-revocation.js'
import { type Certificate, type RevocationReason, revocationReasons } from '../model.js'
import { OperatorError, type RootCore } from '../open.js'
import { issuerId, readCertificate } from '../pki/read-certificate.js'
import type { RevocationCandidate } from '../store/store.js'
import { isRootAlone, operator, withCore, withRoot } from './context.js'
import { keyIdOfFile } from './key.js'
import { namesOf, readCertificateFile, readSerial } from './names.js'
import { print, printJson, say, when } from './output.js'
import { createProgress } from './progress.js'
import { defaultRootCrlDays, intermediateOf, publishRootCrl, revokeIntermediate } from './root.js'

type Options = {
  reason: RevocationReason
  file?: string
  key?: string
  domain?: string
  subdomains?: true
  account?: string
  issuer?: string
  from?: number
  to?: number
  dryRun?: true
  yes?: true
  json?: true
}

const readReason = (text: string): RevocationReason => {
  const reason = (Object.keys(revocationReasons) as RevocationReason[]).find((name) => name.toLowerCase() === text.toLowerCase())
  if (!reason) throw new InvalidArgumentError(`One of ${Object.keys(revocationReasons).join(', ')} is expected.`)
  return reason
}

/** A day or a moment in UTC. */
const readMoment = (text: string): number => {
  const iso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z?)?$/.test(text) ? Date.parse(/T/.test(text) ? `${text.replace(/Z$/, '')}Z` : text) : Number.NaN
  if (Number.isNaN(iso)) throw new InvalidArgumentError('A day (2026-11-21) or a moment in UTC (2026-11-21T08:30) is expected.')
  return iso
}

/** A span's last day is meant with all its hours. */
const readEnd = (text: string): number => readMoment(text) + (text.includes('T') ? 0 : 86_400_000)

const confirmed = async (question: string): Promise<boolean> => {
  if (!process.stdin.isTTY) return false
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${question} [y/N] `)
  terminal.close()
  return /^y(es)?$/i.test(answer.trim())
}

/** The serials in a file: the first word of each line, so that the output of `list` and `--dry-run` will do; `#` begins a comment. */
const serialsIn = (file: string): string[] => {
  let text: string
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw new OperatorError(`${file} cannot be read: ${(error as Error).message}`)
  }
  return text.split(/\r?\n/).flatMap((line, index) => {
    const [word = ''] = line.replace(/#.*/, '').trim().split(/\s+/)
    const serial = readSerial(word)
    if (serial) return [serial]
    if (word === '' || (index === 0 && word === 'serial')) return []
    throw new OperatorError(`${file}, line ${index + 1}: ${JSON.stringify(word.slice(0, 60))} is not a serial. Nothing was revoked.`)
  })
}

const keyIdOf = (key: string): string => {
  if (existsSync(key)) return keyIdOfFile(key)
  if (/^[0-9a-f]{64}$/i.test(key)) return key.toLowerCase()
  throw new OperatorError(`--key ${key}: neither a file nor a key id (the SHA-256 of the public key in 64 hex digits, as "show" prints it).`)
}

/** The id of an intermediate: as `show` prints it, or of the one in a file. */
const issuerIdOf = (issuer: string): string => {
  if (existsSync(issuer)) {
    const { ski, publicKey } = readCertificate(readCertificateFile(issuer))
    return issuerId(ski ?? publicKey.ski)
  }
  if (/^[0-9a-f]{16}$/.test(issuer)) return issuer
  throw new OperatorError(`--issuer ${issuer}: neither a file nor the id of an intermediate (16 hex digits, as "show" prints it).`)
}

/** What the options select, besides single certificates. */
const selectorOf = (options: Options): RevocationSelector => ({
  ...(options.key !== undefined && { keyId: keyIdOf(options.key) }),
  ...(options.domain !== undefined && { domain: options.domain, subdomains: options.subdomains ?? false }),
  ...(options.account !== undefined && { accountId: options.account.split('/').at(-1) as string }),
  ...(options.issuer !== undefined && { issuerId: issuerIdOf(options.issuer) }),
  ...(options.from !== undefined && { issuedFrom: options.from }),
  ...(options.to !== undefined && { issuedUntil: options.to }),
})

const line = (candidate: RevocationCandidate, now: number): string =>
  [candidate.serial, standingOf(candidate, now).padEnd(7), when(candidate.notAfter), namesOf(candidate)].join('  ')

type Survey = Record<'valid' | 'revoked' | 'expired', number>

/** Counts what was selected, and shows it where that is wanted. */
const survey = async (ica: Ica, serials: string[], show: (batch: RevocationCandidate[], now: number) => void): Promise<Survey> => {
  const counts: Survey = { valid: 0, revoked: 0, expired: 0 }
  for await (const batch of candidatesOf(ica, serials)) {
    const now = ica.clock.now()
    for (const candidate of batch) counts[standingOf(candidate, now)]++
    show(batch, now)
  }
  return counts
}

const mass = async (core: Core, selector: RevocationSelector, options: Options): Promise<void> => {
  const ica = buildIca(core, () => undefined)
  const { reason } = options
  const serials = await selectForRevocation(ica, selector, reason)
  const missing = selector.serials?.filter((serial) => !serials.includes(serial)) ?? []
  for (const serial of missing.slice(0, 10)) say(`There is no certificate with the serial ${serial}.`)
  if (missing.length > 10) say(`… and ${missing.length - 10} more.`)
  // A list is complete or a mistake; what is selected by a rule may well be nothing.
  if (missing.length > 0) throw new OperatorError('Nothing was revoked. "xmpp-ica show <domain>" finds certificates by their names.')
  const found: RevocationCandidate[] = []
  const counts = await survey(ica, serials, (batch, now) => {
    const others = batch.filter(({ kind }) => kind === 'intermediate')
    if (others[0]) throw new OperatorError(`${others[0].serial} is an intermediate: revoke it alone. Nothing was revoked.`)
    const responder = batch.find(({ kind }) => kind === 'responder')
    if (responder)
      throw new OperatorError(
        `${responder.serial} is an OCSP responder: nobody asks whether one is revoked. "xmpp-ica responder rotate" replaces it. Nothing was revoked.`,
      )
    if (options.dryRun && options.json) found.push(...batch)
    else if (options.dryRun) for (const candidate of batch) print(line(candidate, now))
  })
  const { valid, revoked: already, expired } = counts
  const summary = `${serials.length} selected: ${valid} valid, ${already} revoked before, ${expired} expired`
  if (options.dryRun) {
    if (options.json)
      printJson({
        dryRun: true,
        reason,
        ...counts,
        certificates: found.map(({ serial, kind, accountId, names }) => ({ serial, kind, account: accountId, names })),
      })
    else say(`${summary}. ${valid} would be revoked (${reason}). Nothing was revoked.`)
    return
  }
  if (serials.length > 1) say(`${summary}.`)
  if (serials.length > 1 && valid > 0 && !options.yes && !(await confirmed(`Revoke ${valid} certificates for good (${reason})?`))) {
    throw new OperatorError('Nothing was revoked. To do it without being asked: --yes; to see what it would be: --dry-run')
  }
  const { serials: list, ...selected } = selector
  const progress = createProgress()
  const tally = await revokeSelected(
    ica,
    serials,
    reason,
    { ...selected, ...(list && { listed: list.length }) },
    { actor: operator() },
    ({ revoked, already, expired }) => progress.show(() => `${revoked + already + expired} of ${serials.length}`),
  ).finally(progress.end)
  if (options.json) return printJson({ dryRun: false, reason, ...tally })
  const key = reason === 'keyCompromise' ? ' Their keys will not be certified again.' : ''
  say(`${tally.revoked} revoked (${reason}), ${tally.already} before, ${tally.expired} expired.${key}`)
  if (tally.revoked > 0)
    say('The running CA says so by OCSP in a second and has it on its CRLs in a few; if it does not run, it will when it starts.')
}

/** The root revokes an intermediate and publishes that. */
const revokeByRoot = async (core: RootCore, certificate: Certificate, options: Options, signsNow: boolean): Promise<void> => {
  const { serial, notAfter } = certificate
  say(`${serial}  intermediate ${readCertificate(certificate.der).commonName ?? ''}, until ${when(notAfter)}`)
  if (signsNow) say('It is the one that signs now: what the CA issues after this is worthless. A new one: xmpp-ica init --new-intermediate')
  if (options.dryRun) return say(`It would be revoked (${options.reason}). Nothing was revoked.`)
  if (!options.yes && !(await confirmed(`Revoke it, and with it everything that it has signed, for good (${options.reason})?`)))
    throw new OperatorError('Nothing was revoked. To do it without being asked: --yes')
  await revokeIntermediate(core, certificate, options.reason)
  await publishRootCrl(core, isRootAlone() ? defaultRootCrlDays : 7)
  if (options.json) printJson({ serial, reason: options.reason })
  say(
    `Revoked (${options.reason}); the CRL of the root says so.${isRootAlone() ? ' Take it to the CA: xmpp-ica crl --out FOLDER, and there xmpp-ica crl --import FOLDER/root.crl' : ''}`,
  )
}

const revokeRootAlone = (what: string, options: Options): Promise<void> =>
  withRoot('revoke', async (core) => {
    const serial = readSerial(what)
    const certificate = existsSync(what)
      ? await intermediateOf(core, readCertificateFile(what))
      : serial && (await core.store.certificateBySerial(serial))
    if (!certificate)
      throw new OperatorError(`This root has not signed ${what}, as far as its database knows. Give the file of the certificate instead.`)
    await revokeByRoot(core, certificate, options, false)
  })

const revokeOne = async (core: Core, what: string, options: Options): Promise<void> => {
  const serial = existsSync(what) ? readCertificate(readCertificateFile(what)).serial : readSerial(what)
  const certificate = serial && (await core.store.certificateBySerial(serial))
  if (!certificate) throw new OperatorError(`There is no certificate with the serial ${what}. "xmpp-ica show <domain>" finds it by its name.`)
  if (certificate.kind === 'intermediate') {
    const { users } = core.keystore
    const { root, intermediate } = users && certificate.issuerId === users.root.id ? users : core.keystore
    if (!root.issuer)
      throw new OperatorError('Only the root can revoke an intermediate. Do it where root.key is; then: xmpp-ica crl --import root.crl')
    return revokeByRoot({ ...core, root: root.issuer }, certificate, options, Buffer.compare(intermediate.certificate, certificate.der) === 0)
  }
  const { revocation } = certificate
  if (revocation) throw new OperatorError(`The certificate ${serial} was revoked at ${when(revocation.revokedAt)} (${revocation.reason}).`)
  if (certificate.notAfter < core.clock.now()) throw new OperatorError(`The certificate ${serial} has expired; there is nothing to revoke.`)
  say(`${certificate.serial}  until ${when(certificate.notAfter)}  ${namesOf(certificate)}`)
  await mass(core, { serials: [certificate.serial] }, options)
}

const revoke = async (what: string | undefined, options: Options): Promise<void> => {
  const selector = selectorOf(options)
  const ways = [what, options.file, ...Object.keys(selector)].filter((way) => way !== undefined)
  if (ways.length === 0) throw new OperatorError('Say which: a serial, or --file, --key, --domain, --account, --issuer, --from, --to.')
  if ((what !== undefined || options.file !== undefined) && ways.length > 1)
    throw new OperatorError('A serial or --file stands alone; other conditions narrow each other.')
  if (options.subdomains && options.domain === undefined) throw new OperatorError('--subdomains goes with --domain.')
  if (isRootAlone()) {
    if (what === undefined) throw new OperatorError('Here is only the root: it revokes one intermediate at a time, by its serial or its file.')
    return revokeRootAlone(what, options)
  }
  await withCore('revoke', async (core) => {
    if (what !== undefined) await revokeOne(core, what, options)
    else await mass(core, options.file === undefined ? selector : { serials: [...new Set(serialsIn(options.file))] }, options)
  })
}

export const addRevoke = (program: Command): void => {
  program
    .command('revoke')
    .description('revoke certificates; this cannot be undone')
    .argument('[serial|file]', 'as "list" and "show" print it, or openssl does; or the certificate in a file')
    .option('--reason <reason>', Object.keys(revocationReasons).join(', '), readReason, 'unspecified')
    .option('--file <file>', 'every serial in a file, one a line; - is the standard input')
    .option('--key <id|file>', 'with this key: the id that "show" prints, or a file with the key or a certificate')
    .option('--domain <domain>', 'with this domain, its wildcard or its services among their names')
    .option('--subdomains', 'and with anything below that domain')
    .option('--account <id>', 'ordered by this account')
    .option('--issuer <id|file>', 'signed by this intermediate')
    .option('--from <time>', 'issued on this day or later (2026-11-21, 2026-11-21T08:30; UTC)', readMoment)
    .option('--to <time>', 'issued on this day or before it; a moment itself is not meant any more', readEnd)
    .option('--dry-run', 'show what would be revoked, and revoke nothing')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Several conditions narrow each other. What is revoked or expired already is counted, so an interrupted run is simply done again. The CA goes on running.
keyCompromise also blocks the keys for ever, and revokes every other certificate with them.
An intermediate is revoked where root.key is, and then stands in the root's CRL.

Examples:
  $ xmpp-ica revoke 5f0c8a… --reason keyCompromise
  $ xmpp-ica revoke --domain example.org --subdomains --reason cessationOfOperation --dry-run
  $ xmpp-ica revoke --key /tmp/leaked.pem --reason keyCompromise --yes
  $ xmpp-ica revoke --from 2026-11-20T14:00 --to 2026-11-20T16:30 --reason superseded
  $ xmpp-ica list --valid --json | jq -r '.[].serial' | xmpp-ica revoke --file - --reason superseded --yes`,
    )
    .action(revoke)
}
