import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { buildCa, type Core } from '../build.js'
import { version } from '../open.js'
import type { CrlRow } from '../store/store.js'
import { withCore } from './context.js'
import { print, printJson, say, table, when } from './output.js'

type Options = { show?: true; out?: string; json?: true }

/** Every CRL that this CA should have, with what is published of it. */
const read = (core: Core): Promise<{ name: string; issuerId: string; shard: number | null; crl: CrlRow | null }[]> => {
  const { crls } = buildCa(core, version)
  return Promise.all(
    crls.states().map(async ({ issuerId, shard }) => ({
      name: `${issuerId === core.keystore.root.id ? 'root' : 'intermediate'}${shard === null ? '' : `-${shard}`}`,
      issuerId,
      shard,
      crl: await core.store.currentCrl(issuerId, shard),
    })),
  )
}

const stateOf = (crl: CrlRow | null, now: number): string => (!crl ? 'missing' : crl.nextUpdate <= now ? 'out of date' : 'current')

const crl = (options: Options): Promise<void> =>
  withCore('crl', async (core) => {
    if (!options.show) {
      await buildCa(core, version).crls.publishAll()
      say('Published.')
    }
    const now = core.clock.now()
    const lists = await read(core)
    const { out } = options
    if (out !== undefined) {
      mkdirSync(out, { recursive: true })
      for (const list of lists) if (list.crl) writeFileSync(path.join(out, `${list.name}.crl`), list.crl.der)
      say(`Written to ${out} (DER).`)
    }
    if (options.json) {
      return printJson(
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
  })

export const addCrl = (program: Command): void => {
  program
    .command('crl')
    .description('publish all CRLs now, and show them')
    .option('--show', 'only show what is published')
    .option('--out <folder>', 'write them there as files')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe running CA does this by itself every day and after revocations.\n\nExamples:\n  $ xmpp-ica crl\n  $ xmpp-ica crl --show --json\n  $ xmpp-ica crl --out /var/www/crl',
    )
    .action(crl)
}
