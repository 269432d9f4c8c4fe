/** `xmpp-ica responder`: the keys that sign OCSP answers. */
import type { Command } from 'commander'
import { type Core, respondersOf, serviceKeysOf, statusIssuers } from '../build.js'
import { act } from '../issuance/ica.js'
import { readCertificate } from '../pki/read-certificate.js'
import { operator, withCore } from './context.js'
import { print, printJson, say, table, when } from './output.js'

type Options = { json?: true }

/** What is kept, newest first, of each issuer. */
const kept = async (core: Core) => {
  const keys = serviceKeysOf(core)
  const all = []
  for (const issuer of statusIssuers(core.keystore)) {
    const read = (await keys.respondersOf(issuer).load()).map(({ certificate }) => readCertificate(certificate))
    for (const { serial, notBefore, notAfter } of read.sort((a, b) => b.notAfter - a.notAfter || b.notBefore - a.notBefore)) {
      all.push({ issuer: issuer.id, serial, notBefore, notAfter })
    }
  }
  return all
}

const list = (options: Options): Promise<void> =>
  withCore('responder', async (core) => {
    const all = await kept(core)
    if (options.json)
      return printJson(
        all.map((one) => ({ ...one, notBefore: new Date(one.notBefore).toISOString(), notAfter: new Date(one.notAfter).toISOString() })),
      )
    print(
      table(
        ['issuer', 'serial', 'since', 'until'],
        all.map(({ issuer, serial, notBefore, notAfter }) => [issuer, serial, when(notBefore), when(notAfter)]),
      ),
    )
  })

const rotate = (options: Options): Promise<void> =>
  withCore('responder', async (core) => {
    const keys = serviceKeysOf(core)
    for (const issuer of statusIssuers(core.keystore)) {
      const { serial, notAfter } = readCertificate(await respondersOf(core, issuer, keys).rotate())
      await core.store.audit(act(core, { actor: operator() }, 'responder.rotated', `certificate:${serial}`, { issuer: issuer.id }))
      if (options.json) printJson({ issuer: issuer.id, serial, notAfter: new Date(notAfter).toISOString() })
      else say(`The issuer ${issuer.id} has a new OCSP responder: ${serial}, until ${when(notAfter)}.`)
    }
    say(
      'The running CA signs with it in a few seconds. The key of the one before is kept until its certificate ends; answers that it has signed stay valid.',
    )
  })

export const addResponder = (program: Command): void => {
  const responder = program
    .command('responder')
    .description('the keys that sign OCSP answers: list, rotate')
    .addHelpText('after', '\nExamples:\n  $ xmpp-ica responder list\n  $ xmpp-ica responder rotate')
  responder
    .command('list')
    .description('those that are kept, newest first')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica responder list')
    .action(list)
  responder
    .command('rotate')
    .description('make a new one at once, and sign with that')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe CA does this by itself every 15 days. By hand: where a key may have leaked, together with the cause. Whoever has the old key can go on answering until its\ncertificate ends, after at most 30 days; nobody can revoke a responder (id-pkix-ocsp-nocheck).\n\nExample:\n  $ xmpp-ica responder rotate',
    )
    .action(rotate)
}
