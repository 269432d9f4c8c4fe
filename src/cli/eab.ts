import { type Command, InvalidArgumentError } from 'commander'
import { buildIca } from '../build.js'
import { makeExternalAccountKey, revokeExternalAccountKey } from '../issuance/external-accounts.js'
import { parseDuration } from '../issuance/limits.js'
import type { ExternalAccountKey } from '../model.js'
import { wallClock } from '../wall-clock.js'
import { operator, withCore, withStore } from './context.js'
import { facts, print, printJson, say, table, when } from './output.js'

type CreateOptions = { note: string; uses: number; expires?: number; json?: true }

const create = (options: CreateOptions): Promise<void> =>
  withCore('eab', async (core) => {
    const expiresAt = options.expires === undefined ? null : core.clock.now() + options.expires
    const { key, secret } = await makeExternalAccountKey(
      buildIca(core, () => undefined),
      { note: options.note, uses: options.uses, expiresAt },
      { actor: operator() },
    )
    const hmacKey = secret.toString('base64url')
    if (options.json)
      return printJson({ kid: key.id, hmacKey, note: key.note, uses: key.usesLeft, expiresAt: expiresAt && new Date(expiresAt).toISOString() })
    print(
      facts([
        ['key id', key.id],
        ['MAC key', hmacKey],
        ['', ''],
        ['certbot', `--eab-kid ${key.id} --eab-hmac-key ${hmacKey}`],
        ['lego', `--eab --kid ${key.id} --hmac ${hmacKey}`],
        ['acme.sh', `--register-account --eab-kid ${key.id} --eab-hmac-key ${hmacKey}`],
      ]),
    )
    say('The MAC key is not shown again.')
    if (core.config.externalAccounts === 'off') say('ICA_EAB is "off": bindings are ignored. Set it to "optional" or "required".')
  })

const stateOf = (key: ExternalAccountKey, now: number): string =>
  (key.revokedAt !== null && 'revoked') || (key.expiresAt !== null && key.expiresAt <= now && 'expired') || (key.usesLeft === 0 && 'used') || 'usable'

const list = (options: { json?: true }): Promise<void> =>
  withStore(async (store) => {
    const now = Date.now()
    const keys = await store.externalAccountKeys()
    if (options.json) return printJson(keys.map((key) => ({ ...key, state: stateOf(key, now) })))
    if (keys.length === 0) return say('There is no external account key; "xmpp-ica eab create" makes one.')
    const rows = keys.map((key) => [
      key.id,
      stateOf(key, now),
      String(key.usesLeft),
      key.expiresAt === null ? 'never' : when(key.expiresAt),
      key.accounts.join(' ') || '-',
      key.note,
    ])
    print(table(['key id', 'state', 'uses left', 'expires', 'accounts', 'note'], rows))
  })

const revoke = (id: string): Promise<void> =>
  withStore(async (store) => {
    await revokeExternalAccountKey({ store, clock: wallClock }, id, { actor: operator() })
    say('No account can be made with this key any more. Those that were stay; "xmpp-ica account deactivate" closes them.')
  })

const readUses = (text: string): number => {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('A number from 1 is expected.')
  return Number(text)
}

const readTime = (text: string): number => {
  try {
    return parseDuration(text)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

export const addEab = (program: Command): void => {
  const eab = program
    .command('eab')
    .description('external account keys: who has one may have an account (ICA_EAB)')
    .addHelpText('after', '\nExamples:\n  $ xmpp-ica eab create --note "Jane, example.org" --expires 14d\n  $ xmpp-ica eab list')
  eab
    .command('create')
    .description('makes a key; its secret is shown this once')
    .requiredOption('--note <text>', 'who it is for')
    .option('--uses <n>', 'how many accounts can be made with it', readUses, 1)
    .option('--expires <time>', 'after this time no account can be made with it, e.g. 14d', readTime)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ xmpp-ica eab create --note "Jane, example.org" --expires 14d
  $ xmpp-ica eab create --note "hosting provider" --uses 200 --json`,
    )
    .action(create)
  eab
    .command('list')
    .description('all keys, with the accounts that were made with them')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica eab list')
    .action(list)
  eab
    .command('revoke')
    .description('keeps a key from being used for more accounts')
    .argument('<key id>', 'as "list" prints it')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica eab revoke 0193c2f4…')
    .action(revoke)
}
