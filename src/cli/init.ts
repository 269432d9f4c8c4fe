import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { factsOf } from '../ca-facts.js'
import type { Config } from '../config.js'
import { files } from '../keystore/inventory.js'
import { importChain, requestIntermediate } from '../keystore-make.js'
import { inspectKeystore, readPassphrase } from '../keystore-open.js'
import { awaitsNext } from '../keystore-rollover.js'
import { createLogging } from '../logging.js'
import { defaultName, OperatorError, openCore, readConfig } from '../open.js'
import { version } from '../version.js'
import { describe } from './banner.js'
import { operator } from './context.js'
import { print, say } from './output.js'
import { followUp, type Succession, signNext, takeNext } from './roll-over.js'

type Options = { name?: string; csr?: true | string; import?: string; newIntermediate?: true; sign?: string; out?: string }

const passphraseNote = ({ file, generated }: { file: string; generated: boolean }): void => {
  if (generated) say(`The passphrase was generated: ${file}. Keep it apart from the keys, and say where with ICA_KEY_PASSPHRASE_FILE.`)
}

const request = async (options: Options): Promise<void> => {
  const config = readConfig()
  const passphrase = readPassphrase(config, inspectKeystore(config.keys).state === 'empty')
  const pem = await requestIntermediate(config.keys, passphrase.passphrase, options.name ?? defaultName(config))
  if (typeof options.csr === 'string') writeFileSync(options.csr, pem)
  else process.stdout.write(pem)
  passphraseNote(passphrase)
  say(
    `Let the root sign this request for a CA (basicConstraints CA:TRUE, pathlen 0; keyUsage keyCertSign, cRLSign). The key is ${path.join(config.keys, files.intermediateKey)}.\n` +
      'Then put its certificate, and those above it up to the root, into one file: xmpp-ica init --import chain.pem',
  )
}

/** What follows the intermediate of servers. */
const succession = (config: Config): Succession => ({ folder: config.keys, clientele: 'servers', command: 'init' })

const install = async (chain: string): Promise<void> => {
  const config = readConfig()
  if (awaitsNext(config.keys)) return takeNext(config, succession(config), chain)
  const { passphrase } = readPassphrase(config, false)
  await importChain(config.keys, passphrase, path.resolve(chain), Date.now())
  say(`Installed in ${config.keys}. Start with: xmpp-ica serve`)
}

const make = async (options: Options): Promise<void> => {
  const config = readConfig()
  const existed = inspectKeystore(config.keys).state === 'complete'
  const core = await openCore(config, createLogging('warn'), { create: true, name: options.name, actor: operator(), purpose: 'init' })
  await core.store.close()
  say(existed ? `There is a CA in ${config.keys} already; nothing was changed.` : `Made a root and an intermediate in ${config.keys}.`)
  print(describe(factsOf(config, core.keystore, version)))
  passphraseNote(core.passphraseFile)
  if (!existed) say(`For real use take ${files.rootKey} to a medium that is not connected, with a copy of its passphrase; the CA runs without it.`)
}

export const addInit = (program: Command): void => {
  program
    .command('init')
    .description('make the keys of the CA, or have its intermediate signed by another root')
    .option('--name <name>', 'what the CA is called in its certificates; by default after the host of ICA_URL')
    .option('--csr [file]', "make only the intermediate's key and a request (PKCS #10) for somebody else's root, to stdout or a file")
    .option('--import <chain.pem>', 'check and install what the root made of the request')
    .option('--new-intermediate', 'for a CA that works: an intermediate that follows the one it has; with --csr only its key and request')
    .option('--sign <file>', 'where root.key is: sign the request of an intermediate')
    .option('--out <file>', 'write what was signed there')
    .addHelpText(
      'after',
      `
Existing keys are never replaced; an intermediate that is followed by another is kept, for the status of what it has signed.

Examples:
  $ xmpp-ica init --name "Example XMPP CA"
      A root and an intermediate, valid for 20 and 10 years.
  $ xmpp-ica init --csr intermediate.csr
  $ openssl x509 -req -in intermediate.csr -CA root.pem -CAkey root.key -copy_extensions copy -days 3650 -out intermediate.pem
  $ cat intermediate.pem root.pem > chain.pem; xmpp-ica init --import chain.pem
      An intermediate below a root that exists.
  $ xmpp-ica init --new-intermediate
      Another intermediate, where root.key is on this machine.
  $ xmpp-ica init --new-intermediate --csr next.csr      # on the CA
  $ xmpp-ica init --sign next.csr --out next.pem         # where the root is
  $ xmpp-ica init --import next.pem                      # on the CA
      The same with a root that is kept elsewhere.`,
    )
    .action(async (options: Options) => {
      if (options.csr && options.import) throw new OperatorError('--csr and --import are two steps: first the one, then the other.')
      if (options.sign !== undefined) await signNext(options.sign, options.out, { clientele: 'servers', command: 'init' })
      else if (options.newIntermediate) await followUp(readConfig(), succession(readConfig()), options.csr)
      else if (options.csr) await request(options)
      else if (options.import) await install(options.import)
      else await make(options)
    })
}
