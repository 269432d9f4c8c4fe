import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { buildCa, type Core } from '../build.js'
import { IcaError } from '../errors.js'
import { importCrl } from '../issuance/crl-import.js'
import { OperatorError, type RootCore, version } from '../open.js'
import type { CrlRow } from '../store/store.js'
import { isRootAlone, operator, withCore, withRoot } from './context.js'
import { print, printJson, say, table, when } from './output.js'
import { defaultRootCrlDays, publishRootCrl } from './root.js'

type Options = { show?: true; out?: string; json?: true; import?: string; days: number }

type Listed = { name: string; issuerId: string; shard: number | null; crl: CrlRow | null }

/** Every CRL that this CA should have, the root's at any rate, with what is published of it. */
const read = (core: Core): Promise<Listed[]> => {
  const { root, intermediate } = core.keystore
  const lists = buildCa(core, version).crls.states()
  if (!lists.some(({ issuerId }) => issuerId === root.id)) lists.push({ issuerId: root.id, shard: null } as (typeof lists)[number])
  const nameOf = (issuerId: string): string => (issuerId === root.id ? 'root' : issuerId === intermediate.id ? 'intermediate' : issuerId)
  return Promise.all(
    lists.map(async ({ issuerId, shard }) => ({
      name: `${nameOf(issuerId)}${shard === null ? '' : `-${shard}`}`,
      issuerId,
      shard,
      crl: await core.store.currentCrl(issuerId, shard),
    })),
  )
}

const stateOf = (crl: CrlRow | null, now: number): string => (!crl ? 'missing' : crl.nextUpdate <= now ? 'out of date' : 'current')

/** Writes the lists where that is wanted, and shows what there is. */
const present = (lists: Listed[], now: number, { out, json }: Options): void => {
  if (out !== undefined) {
    mkdirSync(out, { recursive: true })
    for (const list of lists) if (list.crl) writeFileSync(path.join(out, `${list.name}.crl`), list.crl.der)
    say(`Written to ${out} (DER).`)
  }
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
        bytes: row?.der.length ?? null,
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
    String(row?.der.length ?? '-'),
  ])
  print(table(['CRL', 'state', 'number', 'this update', 'next update', 'bytes'], rows))
}

/** Takes over the root's CRL. `root` is its certificate. */
const take = async (
  core: Pick<Core, 'clock' | 'store'>,
  root: { id: string; certificate: Uint8Array; notAfter: number },
  file: string,
): Promise<void> => {
  try {
    const { number, nextUpdate, entries } = await importCrl(core, root, readFileSync(file), { actor: operator() })
    say(`Imported: number ${number}, ${entries} revoked, the next one is due before ${when(nextUpdate)}. The running CA serves it in a few seconds.`)
  } catch (error) {
    if (error instanceof IcaError || (error as NodeJS.ErrnoException).code) throw new OperatorError(`${file}: ${(error as Error).message}`)
    throw error
  }
}

const ofRootAlone = (options: Options): Promise<void> =>
  withRoot('crl', async (core: RootCore) => {
    const { root, store, clock } = core
    if (options.import !== undefined) await take(core, root, options.import)
    else if (!options.show) {
      await publishRootCrl(core, options.days)
      say('Published.')
    }
    present([{ name: 'root', issuerId: root.id, shard: null, crl: await store.currentCrl(root.id, null) }], clock.now(), options)
  })

const crl = (options: Options): Promise<void> =>
  isRootAlone()
    ? ofRootAlone(options)
    : withCore('crl', async (core) => {
        if (options.import !== undefined) await take(core, core.keystore.root, options.import)
        else if (!options.show) {
          await buildCa(core, version).crls.publishAll()
          say('Published.')
        }
        present(await read(core), core.clock.now(), options)
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
    .option('--out <folder>', 'write them there as files')
    .option('--days <n>', 'where only the root is kept: how long its CRL lasts', readDays, defaultRootCrlDays)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe running CA does this by itself every day and after revocations.\n\nExamples:\n  $ xmpp-ica crl\n  $ xmpp-ica crl --show --json\n  $ xmpp-ica crl --out /var/www/crl\n  $ xmpp-ica crl --import /media/root/root.crl',
    )
    .action(crl)
}
