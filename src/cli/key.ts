import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { blockKey, unblockKey } from '../issuance/operator.js'
import { OperatorError } from '../open.js'
import type { Store } from '../store/store.js'
import { wallClock } from '../wall-clock.js'
import { operator, withStore } from './context.js'
import { readSerial } from './names.js'
import { print, printJson, say, table, when } from './output.js'

/** The id of the key in a file: a certificate or a public or private key, PEM or DER. */
export const keyIdOfFile = (file: string): string => {
  const content = readFileSync(file)
  for (const read of [() => new X509Certificate(content).publicKey, () => createPublicKey(content)]) {
    try {
      return createHash('sha256')
        .update(read().export({ type: 'spki', format: 'der' }))
        .digest('hex')
    } catch {
      // Then it is the other.
    }
  }
  throw new OperatorError(`${file} is neither a certificate nor a key.`)
}

const keyIdOf = async (store: Store, what: string): Promise<string> => {
  if (/^[0-9a-f]{64}$/i.test(what)) return what.toLowerCase()
  if (existsSync(what)) return keyIdOfFile(what)
  const serial = readSerial(what)
  const certificate = serial && (await store.certificateBySerial(serial))
  if (certificate) return certificate.keyId
  throw new OperatorError(`"${what}" is neither a file, nor the SHA-256 of a public key (64 hex digits), nor the serial of a certificate.`)
}

const block = (what: string, { reason }: { reason: string }): Promise<void> =>
  withStore(async (store) => {
    const keyId = await keyIdOf(store, what)
    await blockKey({ store, clock: wallClock }, keyId, reason, { actor: operator() })
    say(`The key ${keyId} is blocked: nothing is certified with it any more.`)
    const certified = (await store.certificatesByKey(keyId)).filter(({ revocation, notAfter }) => !revocation && notAfter > Date.now())
    for (const { serial } of certified) say(`It is in a valid certificate. To revoke that: xmpp-ica revoke ${serial} --reason keyCompromise`)
  })

const unblock = (what: string): Promise<void> =>
  withStore(async (store) => {
    const keyId = await keyIdOf(store, what)
    await unblockKey({ store, clock: wallClock }, keyId, { actor: operator() })
    say(`The key ${keyId} may be certified again.`)
  })

const PAGE = 1000

const list = (options: { json?: true }): Promise<void> =>
  withStore(async (store) => {
    const keys: Awaited<ReturnType<Store['blockedKeys']>> = []
    for (let page = await store.blockedKeys('', PAGE); page.length > 0; page = await store.blockedKeys(page.at(-1)?.keyId ?? '', PAGE))
      keys.push(...page)
    if (options.json) return printJson(keys.map((key) => ({ ...key, blockedAt: new Date(key.blockedAt).toISOString() })))
    if (keys.length === 0) return say('No key is blocked.')
    print(
      table(
        ['key', 'since', 'reason'],
        keys.map(({ keyId, blockedAt, reason }) => [keyId, when(blockedAt), reason]),
      ),
    )
  })

export const addKey = (program: Command): void => {
  const key = program
    .command('key')
    .description('keys that are not certified: block, unblock, list')
    .addHelpText('after', '\nExamples:\n  $ xmpp-ica key block leaked.pem\n  $ xmpp-ica key list')
  const which = 'a file with a certificate or key, the SHA-256 of a public key, or the serial of a certificate'
  key
    .command('block')
    .description('keeps a key from being certified, and from having an account')
    .argument('<key>', which)
    .option('--reason <text>', 'for the audit log', 'blocked by the operator')
    .addHelpText('after', '\nExamples:\n  $ xmpp-ica key block leaked.pem --reason "found in a public repository"\n  $ xmpp-ica key block 5f0c8a…')
    .action(block)
  key
    .command('unblock')
    .description('lets a key be certified again')
    .argument('<key>', which)
    .addHelpText('after', '\nExample:\n  $ xmpp-ica key unblock 5f0c8a…')
    .action(unblock)
  key
    .command('list')
    .description('blocked keys')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica key list')
    .action(list)
}
