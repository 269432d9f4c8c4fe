import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { factsOf } from '../build.js'
import { files } from '../keystore/inventory.js'
import { importChain, requestIntermediate } from '../keystore-make.js'
import { inspectKeystore, readPassphrase } from '../keystore-open.js'
import { createLogging } from '../logging.js'
import { defaultName, openCore, readConfig, version } from '../open.js'
import { describe } from './banner.js'
import { operator } from './context.js'
import { print, say } from './output.js'

type Options = { name?: string; csr?: true | string; import?: string }

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

const install = (chain: string): void => {
  const config = readConfig()
  const { passphrase } = readPassphrase(config, false)
  importChain(config.keys, passphrase, path.resolve(chain), Date.now())
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
    .addHelpText(
      'after',
      `
Existing keys are never replaced.

Examples:
  $ xmpp-ica init --name "Example XMPP CA"
      A root and an intermediate, valid for 20 and 10 years.
  $ xmpp-ica init --csr intermediate.csr
  $ openssl x509 -req -in intermediate.csr -CA root.pem -CAkey root.key -copy_extensions copy -days 3650 -out intermediate.pem
  $ cat intermediate.pem root.pem > chain.pem; xmpp-ica init --import chain.pem
      An intermediate below a root that exists.`,
    )
    .action(async (options: Options) => {
      if (options.csr && options.import)
        throw new (await import('../open.js')).OperatorError('--csr and --import are two steps: first the one, then the other.')
      if (options.csr) await request(options)
      else if (options.import) install(options.import)
      else await make(options)
    })
}
