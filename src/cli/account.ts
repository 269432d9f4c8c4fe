import type { Command } from 'commander'
import { findAccount, pauseAccount, resumeAccount, revokeAccount } from '../issuance/operator.js'
import type { Account } from '../model.js'
import type { Store } from '../store/store.js'
import { wallClock } from '../wall-clock.js'
import { operator, withStore } from './context.js'
import { facts, print, printJson, say, when } from './output.js'

const statusOf = (account: Account): string => (account.paused && account.status === 'valid' ? 'paused' : account.status)

const show = (what: string, options: { json?: true }): Promise<void> =>
  withStore(async (store, { url }) => {
    const account = await findAccount({ store }, what)
    const { ids, next } = await store.ordersOfAccount(account.id, null, 10)
    const { overrides } = await store.policies()
    const limits = overrides.filter(({ subject }) => subject === account.id)
    if (options.json) {
      const { externalAccount, ...rest } = account
      return printJson({
        ...rest,
        externalAccountKey: externalAccount?.keyId ?? null,
        url: `${url}/acme/account/${account.id}`,
        limits,
        newestOrders: ids,
      })
    }
    const { paused, externalAccount } = account
    const entries: [string, string | string[]][] = [
      ['id', account.id],
      ['url', `${url}/acme/account/${account.id}`],
      ['status', statusOf(account) + (paused ? ` since ${when(paused.at)}: ${paused.reason}` : '')],
      ['contact', account.contact],
      ['thumbprint', account.thumbprint],
      ['key', `${account.jwk.kty} ${account.jwk.crv ?? ''}`],
      ['since', when(account.createdAt)],
      ['external account key', externalAccount?.keyId ?? '-'],
      ['newest orders', [...ids, ...(next === null ? [] : ['…'])]],
    ]
    print(facts(entries.filter(([, value]) => value.length > 0)))
  })

const acting = async (
  what: string,
  act: (ica: { store: Store; clock: typeof wallClock }, id: string) => Promise<void>,
  done: string,
): Promise<void> =>
  withStore(async (store) => {
    const { id } = await findAccount({ store }, what)
    await act({ store, clock: wallClock }, id)
    say(`The account ${id} ${done}.`)
  })

const pause = (what: string, { reason }: { reason: string }): Promise<void> =>
  acting(what, (ica, id) => pauseAccount(ica, id, reason, { actor: operator() }), 'is paused: it can read and revoke, but not order')

const resume = (what: string): Promise<void> => acting(what, (ica, id) => resumeAccount(ica, id, { actor: operator() }), 'can order again')

const deactivate = (what: string, { reason }: { reason: string }): Promise<void> =>
  acting(what, (ica, id) => revokeAccount(ica, id, reason, { actor: operator() }), 'is closed for good; its certificates stay valid')

export const addAccount = (program: Command): void => {
  const account = program
    .command('account')
    .description('ACME accounts: show, pause, resume, deactivate')
    .addHelpText(
      'after',
      '\nExamples:\n  $ xmpp-ica account show 0193c2f4…\n  $ xmpp-ica account pause 0193c2f4… --reason "its renewals have failed for a month"',
    )
  const which = 'its id, its URL, or the thumbprint of its key'
  account
    .command('show')
    .description('shows an account with its newest orders')
    .argument('<account>', which)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ xmpp-ica account show https://ica.example.org/acme/account/0193c2f4…\n  $ xmpp-ica account show 0193c2f4… --json',
    )
    .action(show)
  account
    .command('pause')
    .description('keeps an account from ordering, with an explanation')
    .argument('<account>', which)
    .requiredOption('--reason <text>', 'told to the client with every refusal')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica account pause 0193c2f4… --reason "its renewals have failed for a month; is the server gone?"')
    .action(pause)
  account
    .command('resume')
    .description('lets a paused account order again')
    .argument('<account>', which)
    .addHelpText('after', '\nExample:\n  $ xmpp-ica account resume 0193c2f4…')
    .action(resume)
  account
    .command('deactivate')
    .description('closes an account for good')
    .argument('<account>', which)
    .option('--reason <text>', 'for the audit log', '')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica account deactivate 0193c2f4… --reason "asked by its owner, ticket 4711"')
    .action(deactivate)
}
