import type { Command } from 'commander'
import { buildCa } from '../build.js'
import type { Logging } from '../logging.js'
import { openCore, openLogging, readConfig, version } from '../open.js'
import { type Running, startCa } from '../running.js'
import { banner } from './banner.js'
import { print } from './output.js'

/** SIGTERM is obeyed within 5 s, whatever hangs. */
const stopWithinMs = 4700

const webFolder = (): string => new URL('../../dist/web', import.meta.url).pathname

/** Exits the process when told to: at once while it starts, in good order when it runs. A second signal does not wait. */
const obeySignals = (logging: Logging): { running(running: Running): void } => {
  const { log } = logging
  let up: Running | null = null
  let stopping = false
  const exit = (code: number): never => {
    logging.flush()
    process.exit(code)
  }
  const end = (signal: NodeJS.Signals): void => {
    if (stopping || !up) exit(up ? 1 : 0)
    stopping = true
    log.info({ signal }, 'stopping')
    setTimeout(() => {
      log.error({}, 'not everything ended in time')
      exit(1)
    }, stopWithinMs).unref()
    up?.stop().then(
      () => {
        log.info({}, 'stopped')
        exit(0)
      },
      (error: unknown) => {
        log.error({ err: error }, 'could not stop in good order')
        exit(1)
      },
    )
  }
  process.on('SIGTERM', end).on('SIGINT', end)
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.error({ err: error }, 'a fault in the program: ending')
      exit(70)
    })
  }
  return {
    running: (running) => {
      up = running
    },
  }
}

const serve = async (): Promise<void> => {
  const config = readConfig()
  const logging = openLogging(config)
  const signals = obeySignals(logging)
  const core = await openCore(config, logging, { create: true, actor: 'system', purpose: 'serve' })
  try {
    const ca = buildCa(core, version)
    const running = await startCa(core, ca, webFolder())
    signals.running(running)
    const listen = running.listeners.flatMap((listener) => listener.addresses)
    core.log.info(
      { version, listen, created: core.created, database: core.store.engine, issuer: ca.ica.issuer.id, lab: config.lab, pid: process.pid },
      'ready',
    )
    print(banner(ca.facts, config, core.passphraseFile, core.keystore.notes))
  } catch (error) {
    await core.store.close()
    throw error
  }
}

export const addServe = (program: Command): void => {
  program
    .command('serve')
    .description('run the CA; the first time, make it')
    .addHelpText(
      'after',
      `
Examples:
  $ xmpp-ica serve
      On http://localhost:8080, with everything in this folder: for trying out.
  $ ICA_URL=https://ica.example.org ICA_KEY_PASSPHRASE_FILE=/run/credentials/passphrase xmpp-ica serve
      By https on port 443, with a certificate of its own; OCSP and CRLs on port 80.
  $ ICA_URL=https://ica.example.org ICA_TRUST_PROXY=127.0.0.1 xmpp-ica serve
      Behind nginx or another proxy on this machine, on localhost:8080.

Settings come from the environment and from .env in this folder: xmpp-ica config --help`,
    )
    .action(serve)
}
