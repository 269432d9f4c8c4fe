import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { buildCa, type Core, servedCertificates } from '../build.js'
import { IcaError } from '../errors.js'
import { type FileContent, replaceFile } from '../files.js'
import { importCrl } from '../issuance/crl-import.js'
import type { CrlProgress } from '../issuance/crls.js'
import { OperatorError, type RootCore } from '../open.js'
import { readCertificate } from '../pki/read-certificate.js'
import { caResources, type ServedCertificate } from '../status/ca-certificates.js'
import { wholeBody } from '../status/http.js'
import type { CrlFacts } from '../store/store.js'
import { version } from '../version.js'
import { isRootAlone, operator, withCore, withRoot } from './context.js'
import { print, printJson, say, table, when } from './output.js'
import { createProgress } from './progress.js'
import { defaultRootCrlDays, publishRootCrl } from './root.js'

type Options = { show?: true; out?: string; json?: true; import?: string; days: number }

type Listed = { name: string; issuerId: string; shard: number | null; crl: CrlFacts | null }

/** Finds what is published of a list. */
const published = async ({ store }: Pick<Core, 'store'>): Promise<(list: Pick<CrlFacts, 'issuerId' | 'shard'>) => CrlFacts | null> => {
  const all = await store.crlFacts()
  return ({ issuerId, shard }) => all.find((crl) => crl.issuerId === issuerId && crl.shard === shard) ?? null
}

/** Every CRL that this CA should have, the root's at any rate, with what is published of it. */
const read = async (core: Core): Promise<Listed[]> => {
  const { root, intermediate, users } = core.keystore
  const lists = buildCa(core, version).crls.states()
  for (const { id } of users ? [root, users.root] : [root])
    if (!lists.some(({ issuerId }) => issuerId === id)) lists.push({ issuerId: id, shard: null } as (typeof lists)[number])
  const names = new Map([
    [root.id, 'root'],
    [intermediate.id, 'intermediate'],
    ...(users
      ? ([
          [users.root.id, 'user-root'],
          [users.intermediate.id, 'user-intermediate'],
        ] as const)
      : []),
  ])
  const nameOf = (issuerId: string): string => names.get(issuerId) ?? issuerId
  const crlOf = await published(core)
  return lists.map(({ issuerId, shard }) => ({
    name: `${nameOf(issuerId)}${shard === null ? '' : `-${shard}`}`,
    issuerId,
    shard,
    crl: crlOf({ issuerId, shard }),
  }))
}

const stateOf = (crl: CrlFacts | null, now: number): string => (!crl ? 'missing' : crl.nextUpdate <= now ? 'out of date' : 'current')

/** Everything that a static host needs, in files of the same paths as here; each appears as a whole or not at all. One list is in memory at a time. */
const write = async ({ store }: Pick<Core, 'store'>, out: string, lists: Listed[], certificates: ServedCertificate[]): Promise<void> => {
  let files = 0
  const put = (file: string, content: FileContent): void => {
    const target = path.join(out, file)
    mkdirSync(path.dirname(target), { recursive: true })
    replaceFile(target, content, { mode: 0o644 })
    files++
  }
  for (const { name, issuerId, shard } of lists) {
    const crl = await store.currentCrl(issuerId, shard)
    if (!crl) continue
    // For people, and to be carried from one machine to the other.
    put(`${name}.crl`, crl.der)
    put(`crl/${issuerId}${shard === null ? '' : `/${shard}`}.crl`, crl.der)
  }
  for (const [place, resource] of caResources(certificates)) put(place.slice(1), await wholeBody(resource))
  say(`Written to ${out}: ${files} files in crl/ and ca/, to be served below the address in ICA_STATUS_URL.`)
}

const publish = async (core: Core): Promise<void> => {
  const progress = createProgress()
  const onProgress = ({ list, lists, entries }: CrlProgress): void =>
    progress.show(() => `Publishing list ${list} of ${lists}: ${entries.toLocaleString('en')} entries`)
  try {
    await buildCa(core, version, { onProgress }).crls.publishAll()
  } finally {
    progress.end()
  }
  say('Published.')
}

/** Writes the lists where that is wanted, and shows what there is. */
const present = async (
  core: Pick<Core, 'clock' | 'store'>,
  lists: Listed[],
  { out, json }: Options,
  certificates: ServedCertificate[],
): Promise<void> => {
  const now = core.clock.now()
  if (out !== undefined) await write(core, out, lists, certificates)
  if (json) {
    printJson(
      lists.map(({ name, issuerId, shard, crl: row }) => ({
        name,
        issuer: issuerId,
        shard,
        state: stateOf(row, now),
        number: row?.number ?? null,
        thisUpdate: row ? new Date(row.thisUpdate).toISOString() : null,
        nextUpdate: row ? new Date(row.nextUpdate).toISOString() : null,
        bytes: row?.octets ?? null,
      })),
    )
    return
  }
  const rows = lists.map(({ name, crl: row }) => [
    name,
    stateOf(row, now),
    String(row?.number ?? '-'),
    row ? when(row.thisUpdate) : '-',
    row ? when(row.nextUpdate) : '-',
    String(row?.octets ?? '-'),
  ])
  print(table(['CRL', 'state', 'number', 'this update', 'next update', 'bytes'], rows))
}

type Root = { id: string; certificate: Uint8Array; notAfter: number }

/** The one whose CRL it says to be; the first for what is of none, to be refused with its name. */
const rootOf = async (roots: readonly [Root, ...Root[]], bytes: Uint8Array): Promise<Root> => {
  const { crlIssuer } = await import('../pki/read-crl.js')
  const issuer = crlIssuer(bytes)
  return roots.find(({ certificate }) => Buffer.compare(readCertificate(certificate).subject, issuer) === 0) ?? roots[0]
}

/** Takes over the CRL of one of these roots. */
const take = async (core: Pick<Core, 'clock' | 'store'>, roots: readonly [Root, ...Root[]], file: string): Promise<void> => {
  try {
    const bytes = readFileSync(file)
    const root = await rootOf(roots, bytes)
    const { number, nextUpdate, entries } = await importCrl(core, root, bytes, { actor: operator() })
    say(`Imported: number ${number}, ${entries} revoked, the next one is due before ${when(nextUpdate)}. The running CA serves it in a few seconds.`)
  } catch (error) {
    if (error instanceof IcaError || (error as NodeJS.ErrnoException).code) throw new OperatorError(`${file}: ${(error as Error).message}`)
    throw error
  }
}

const ofRootAlone = (options: Options): Promise<void> =>
  withRoot('crl', async (core: RootCore) => {
    const { root } = core
    if (options.import !== undefined) await take(core, [root], options.import)
    else if (!options.show) {
      await publishRootCrl(core, options.days)
      say('Published.')
    }
    const list = { issuerId: root.id, shard: null }
    const lists = [{ name: 'root', ...list, crl: (await published(core))(list) }]
    await present(core, lists, options, [{ id: root.id, role: 'root', der: root.certificate, notBefore: root.notBefore }])
  })

const crl = (options: Options): Promise<void> =>
  isRootAlone()
    ? ofRootAlone(options)
    : withCore('crl', async (core) => {
        const { root, users } = core.keystore
        if (options.import !== undefined) await take(core, users ? [root, users.root] : [root], options.import)
        else if (!options.show) await publish(core)
        await present(core, await read(core), options, servedCertificates(core.keystore))
      })

const readDays = (text: string): number => {
  const days = Number(text)
  if (!Number.isInteger(days) || days < 1 || days > 366) throw new InvalidArgumentError('A number from 1 to 366 is expected.')
  return days
}

export const addCrl = (program: Command): void => {
  program
    .command('crl')
    .description('publish all CRLs now, and show them')
    .option('--show', 'only show what is published')
    .option('--import <file>', 'check the CRL of a root whose key is elsewhere, and serve it')
    .option('--out <folder>', 'write them, and the certificates of the CA, for a static host')
    .option('--days <n>', 'where only the root is kept: how long its CRL lasts', readDays, defaultRootCrlDays)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe running CA does this by itself every day and after revocations.\n\nExamples:\n  $ xmpp-ica crl\n  $ xmpp-ica crl --show --json\n  $ xmpp-ica crl --out /var/www/crl\n  $ xmpp-ica crl --import /media/root/root.crl',
    )
    .action(crl)
}
