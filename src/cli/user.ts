/** `xmpp-ica user`: certificates with which users log in (docs/users.md). */
import { createHash, generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { buildCa, buildIca, type Core, crlShards } from '../build.js'
import { syncFolder, writeNewFile } from '../files.js'
import { revokeSelected, selectForRevocation } from '../issuance/mass-revocation.js'
import { issueUserCertificate, keyOfUserRequest, type UserCaDeps } from '../issuance/user-certificates.js'
import { type BareJid, parseBareJid } from '../jid.js'
import { usersFolder } from '../keystore/inventory.js'
import { createCa, subjectsOf } from '../keystore-make.js'
import { type CaKeys, inspectKeystore, openKeystore } from '../keystore-open.js'
import { awaitsNext } from '../keystore-rollover.js'
import { type Certificate, type RevocationReason, revocationReasons } from '../model.js'
import { OperatorError, readConfig, registerUsers } from '../open.js'
import { readCertificateRequest } from '../pki/csr.js'
import { nodeSigner, type PublicKeyInfo } from '../pki/keys.js'
import { pemDecode, pemEncode } from '../pki/pem.js'
import { userProfile } from '../pki/profile.js'
import { statusUrls } from '../status-urls.js'
import { version } from '../version.js'
import { operator, withCore, withStore } from './context.js'
import { readSerial } from './names.js'
import { facts, print, printJson, say, table, when } from './output.js'
import { followUp, signNext, takeNext } from './roll-over.js'

const day = 86_400_000

const fingerprintOf = (der: Uint8Array): string => (createHash('sha256').update(der).digest('hex').toUpperCase().match(/../g) ?? []).join(':')

/** The name of the CA with room for " User Intermediate". */
const planFor = (core: Core) => {
  const name = core.keystore.root.commonName.replace(/ Root$/, '')
  return { subjects: subjectsOf(`${[...name].slice(0, 46).join('').trim()} User`), clientele: 'users' as const }
}

const describe = (users: CaKeys, config: Core['config']): string =>
  facts([
    ['user root', `${config.statusUrl}/ca/user-root.pem`],
    ['SHA-256', fingerprintOf(users.root.certificate)],
    ['CRL', [statusUrls(config, users.intermediate.id, null).crl, statusUrls(config, users.root.id, null).crl]],
  ])

/** The lists of the user CA, published before the first certificate that points to them. */
const publishLists = async (core: Core): Promise<void> => {
  const { crls } = buildCa(core, version)
  await crls.publishDue()
  await crls.stop()
}

const make = (): Promise<void> =>
  withCore('user init', async (core) => {
    const { config, clock, store, passphrase, keystore } = core
    if (keystore.users) {
      say(`There is a user CA in ${path.join(config.keys, usersFolder)} already; nothing was changed.`)
      return print(describe(keystore.users, config))
    }
    const folder = path.join(config.keys, usersFolder)
    await createCa(folder, passphrase, planFor(core), clock.now(), (id) => statusUrls(config, id, null))
    const fresh = openKeystore(config.keys, passphrase, clock.now())
    const users = fresh.users as CaKeys
    await registerUsers(store, users, { at: clock.now(), actor: operator() })
    await publishLists({ ...core, keystore: fresh })
    say(`Made a root and an intermediate for users in ${folder}.`)
    print(describe(users, config))
    say(
      'Start the CA again, so that it answers for what the new intermediate signs. XMPP servers trust this root for client certificates, and the other one never.',
    )
  })

const none = 'There is no user CA yet. It is made by: xmpp-ica user init'

type InitOptions = { newIntermediate?: true; csr?: true | string; import?: string; sign?: string; out?: string }

const init = async (options: InitOptions): Promise<void> => {
  const config = readConfig()
  const succession = { folder: path.join(config.keys, usersFolder), clientele: 'users', command: 'user init' } as const
  if (options.sign !== undefined) return signNext(options.sign, options.out, succession)
  if (options.csr && !options.newIntermediate) throw new OperatorError('--csr goes with --new-intermediate.')
  const isFirst = !options.newIntermediate && options.import === undefined
  if (isFirst) return make()
  if (inspectKeystore(succession.folder).state === 'empty') throw new OperatorError(none)
  if (options.newIntermediate) await followUp(config, succession, options.csr)
  else if (!awaitsNext(succession.folder))
    throw new OperatorError('No intermediate of users waits for its certificate. First: xmpp-ica user init --new-intermediate --csr next.csr')
  else await takeNext(config, succession, options.import as string)
  if (!options.csr) await withCore('user init', publishLists)
}

/** Throws OperatorError where there is no user CA. */
const usersOf = ({ keystore }: Core): CaKeys => {
  if (!keystore.users) throw new OperatorError(none)
  return keystore.users
}

const depsOf = (core: Core): UserCaDeps => {
  const { config, clock, store, log } = core
  const { intermediate } = usersOf(core)
  const { isOwnKey } = buildIca(core, () => undefined)
  return { clock, store, log, isOwnKey, issuer: intermediate, crlShards, statusUrls: (shard) => statusUrls(config, intermediate.id, shard) }
}

const keyInRequest = async (file: string, user: BareJid): Promise<PublicKeyInfo> => {
  let content: Buffer
  try {
    content = readFileSync(file)
  } catch (error) {
    throw new OperatorError(`${file} cannot be read: ${(error as Error).message}`)
  }
  const der =
    content[0] === 0x30 ? content : pemDecode('CERTIFICATE REQUEST', content.toString('latin1').replaceAll('NEW CERTIFICATE', 'CERTIFICATE'))[0]
  return keyOfUserRequest(user, await readCertificateRequest(der as Uint8Array))
}

type IssueOptions = { csr?: string; out?: string; days: number; json?: true }

/** What a file of a user is called: a localpart may hold what means something to a file system. */
const fileNameOf = ({ jid }: BareJid): string => encodeURIComponent(jid).replaceAll('%40', '@').replace(/^\./, '%2E').slice(0, 200)

const issue = async (text: string, options: IssueOptions): Promise<void> => {
  if (options.csr === undefined && options.out === undefined)
    throw new OperatorError('Say where the key comes from: --csr FILE for one that the user has, --out FOLDER for one that is made here.')
  await withCore('user issue', async (core) => {
    const deps = depsOf(core)
    const user = parseBareJid(text)
    const name = fileNameOf(user)
    const file = (end: string): string => path.join(options.out ?? '.', `${name}.${end}`)
    const made = options.csr === undefined ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey : null
    if (options.out !== undefined) {
      const there = [file('pem'), ...(made ? [file('key')] : [])].find((one) => existsSync(one))
      if (there) throw new OperatorError(`${there} is there already; nothing is overwritten. Move it away, or give another folder.`)
      mkdirSync(options.out, { recursive: true, mode: 0o700 })
    }
    const publicKey = made ? nodeSigner(made).publicKey : await keyInRequest(options.csr as string, user)
    // The key is on disk before anything is certified for it.
    if (made) writeNewFile(file('key'), made.export({ type: 'pkcs8', format: 'pem' }) as string)
    const { serial, notAfter, chain } = await issueUserCertificate(deps, user, { publicKey, validityMs: options.days * day }, { actor: operator() })
    const pem = chain.map((der) => pemEncode('CERTIFICATE', der)).join('')
    if (options.out !== undefined) {
      writeFileSync(file('pem'), pem, { flag: 'wx' })
      syncFolder(options.out)
    }
    if (options.json) printJson({ serial, jid: user.jid, notAfter: new Date(notAfter).toISOString(), pem, ...(made && { key: file('key') }) })
    else if (options.out === undefined) process.stdout.write(pem)
    say(`${user.jid}: ${serial}, until ${when(notAfter)}${options.out === undefined ? '' : `, in ${file('pem')}`}`)
    if (made) say(`The key is in ${file('key')}, not encrypted: hand it over on a safe way, then delete it here.`)
  })
}

const statusOf = ({ revocation, notAfter }: Certificate, now: number): string => (revocation ? 'revoked' : notAfter < now ? 'expired' : 'valid')
const jidOf = ({ names }: Certificate): string => names[0]?.value ?? ''

const list = (options: { json?: true; limit: number }): Promise<void> =>
  withStore(async (store) => {
    const now = Date.now()
    const found = await store.listCertificates({ kind: 'user', limit: options.limit })
    if (options.json) {
      const of = (one: Certificate) => ({
        serial: one.serial,
        jid: jidOf(one),
        status: statusOf(one, now),
        notAfter: new Date(one.notAfter).toISOString(),
      })
      return printJson(found.map(of))
    }
    if (found.length === 0) return say('There is no certificate of a user; "xmpp-ica user issue" makes one.')
    print(
      table(
        ['serial', 'status', 'until', 'user'],
        found.map((one) => [one.serial, statusOf(one, now), when(one.notAfter), jidOf(one)]),
      ),
    )
    if (found.length === options.limit) say(`The newest ${options.limit}; more with --limit.`)
  })

/** The certificates of users that an argument means: one by its serial, all of a JID. */
const find = async ({ store }: Core, what: string): Promise<Certificate[]> => {
  const serial = readSerial(what)
  const found = what.includes('@')
    ? await store.certificatesByName(parseBareJid(what).jid, 500)
    : serial === null
      ? []
      : [await store.certificateBySerial(serial)]
  const users = found.filter((one) => one?.kind === 'user') as Certificate[]
  if (users.length === 0) throw new OperatorError(`There is no certificate of a user for "${what}". "xmpp-ica user list" shows them.`)
  return users
}

const revoke = (what: string, options: { reason: RevocationReason }): Promise<void> =>
  withCore('user revoke', async (core) => {
    const { reason } = options
    const ica = buildIca(core, () => undefined)
    const serials = (await find(core, what)).map(({ serial }) => serial)
    const tally = await revokeSelected(ica, await selectForRevocation(ica, { serials }, reason), reason, { user: what }, { actor: operator() })
    say(`${tally.revoked} revoked (${reason}), ${tally.already} before, ${tally.expired} expired.`)
    say('OCSP and CRL say so, but neither Prosody nor ejabberd asks by itself: docs/users.md says how to keep the user out there.')
  })

const readDays = (text: string): number => {
  const most = userProfile.maxValidityMs / day
  if (!/^[1-9]\d{0,3}$/.test(text) || Number(text) > most) throw new InvalidArgumentError(`A number from 1 to ${most} is expected.`)
  return Number(text)
}

const readLimit = (text: string): number => {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new InvalidArgumentError('A number from 1 to 999 is expected.')
  return Math.min(Number(text), 500)
}

const readReason = (text: string): RevocationReason => {
  if (!Object.hasOwn(revocationReasons, text)) throw new InvalidArgumentError(`One of ${Object.keys(revocationReasons).join(', ')} is expected.`)
  return text as RevocationReason
}

export const addUser = (program: Command): void => {
  const user = program
    .command('user')
    .description('certificates with which users log in: a CA of their own, issue, list, revoke')
    .addHelpText('after', '\nExamples:\n  $ xmpp-ica user init\n  $ xmpp-ica user issue juliet@example.org --out juliet')
  user
    .command('init')
    .description('make the root and the intermediate of users, apart from those of servers')
    .option('--new-intermediate', 'an intermediate that follows the one of users; with --csr only its key and request')
    .option('--csr [file]', 'the request, to stdout or a file')
    .option('--import <file>', 'check and install what the root made of the request')
    .option('--sign <file>', 'where the root.key of users is: sign the request')
    .option('--out <file>', 'write what was signed there')
    .addHelpText(
      'after',
      `
Examples:
  $ xmpp-ica user init
  $ xmpp-ica user init --new-intermediate
      Another intermediate, where ca-keys/users/root.key is on this machine. The one before is kept, for the status of what it has signed.
  $ xmpp-ica user init --new-intermediate --csr next.csr     # on the CA
  $ xmpp-ica user init --sign next.csr --out next.pem        # where the root of users is
  $ xmpp-ica user init --import next.pem                     # on the CA
      The same with a root that is kept elsewhere.`,
    )
    .action(init)
  user
    .command('issue')
    .description('issue a certificate for a user')
    .argument('<jid>', 'the bare JID, user@example.org')
    .option('--csr <file>', 'for the key of this request (PKCS #10)')
    .option('--out <folder>', 'write the certificate here, and without --csr a new key')
    .option('--days <n>', 'how long it is valid', readDays, userProfile.validityMs / day)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Whoever has the key logs in as this user, on every server that trusts the user root and has the user's domain: issue to nobody else.

Examples:
  $ xmpp-ica user issue juliet@example.org --out juliet
  $ xmpp-ica user issue juliet@example.org --csr juliet.csr > juliet.pem`,
    )
    .action(issue)
  user
    .command('list')
    .description('certificates of users, newest first')
    .option('--limit <n>', 'at most so many', readLimit, 50)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica user list')
    .action(list)
  user
    .command('revoke')
    .description('revoke one certificate of a user, or all of them')
    .argument('<jid|serial>', 'a bare JID means all of that user')
    .option('--reason <reason>', Object.keys(revocationReasons).join(', '), readReason, 'unspecified')
    .addHelpText('after', '\nExamples:\n  $ xmpp-ica user revoke juliet@example.org --reason keyCompromise\n  $ xmpp-ica user revoke 5f0c8a…')
    .action(revoke)
}
