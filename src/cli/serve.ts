import cluster from 'node:cluster'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { buildCa, crlShards } from '../build.js'
import { nameOf } from '../ca-facts.js'
import type { Config } from '../config.js'
import type { Logging } from '../logging.js'
import { checkMail, openTransport } from '../mail-build.js'
import { OperatorError, openCore, openLogging, readConfig } from '../open.js'
import { type Running, startCa } from '../running.js'
import { startStatusSide } from '../status-side.js'
import { version } from '../version.js'
import { createNeighbours, figuresOfAll, runWorkers, tellReady } from '../workers.js'
import { banner } from './banner.js'
import { print } from './output.js'

/** SIGTERM is obeyed within 5 s, whatever hangs. */
const stopWithinMs = 4700

const webFolder = (): string => new URL('../../dist/web', import.meta.url).pathname

/** Exits the process when told to: at once while it starts, in good order when it runs. A second signal does not wait. */
const obeySignals = (logging: Logging): { running(running: Pick<Running, 'stop'>): void } => {
  const { log } = logging
  let up: Pick<Running, 'stop'> | null = null
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
  // What is durable is consistent, whatever one request met with: a forgotten rejection is a fault to be mended, not a reason to turn all others away.
  process.on('unhandledRejection', (error: unknown) => log.error({ err: error }, 'a fault in the program: a rejection that nobody handled'))
  process.on('uncaughtException', (error: unknown) => {
    log.error({ err: error }, 'a fault in the program: ending')
    exit(70)
  })
  return {
    running: (running) => {
      up = running
    },
  }
}

type Options = { only?: 'status'; workers?: number }

/** Without the CA's keys, and without a right to write anything. */
const serveStatus = async (logging: Logging, config: Config, signals: ReturnType<typeof obeySignals>, workers: number | undefined): Promise<void> => {
  const { log } = logging
  if (workers !== undefined && cluster.isPrimary) {
    const running = runWorkers(workers, log)
    signals.running(running)
    const listen = await running.ready.catch(async (error: Error) => {
      await running.stop()
      throw new OperatorError(`${error.message}; its message is above.`)
    })
    log.info({ version, listen, only: 'status', workers, pid: process.pid }, 'ready')
    return
  }
  const running = await startStatusSide(
    config,
    logging,
    crlShards,
    cluster.isWorker ? { renderOf: figuresOfAll, neighbours: createNeighbours() } : null,
  )
  signals.running(running)
  const listen = running.listeners.flatMap((listener) => listener.addresses)
  if (cluster.isWorker) tellReady(listen)
  log.info({ version, listen, only: 'status', pid: process.pid }, cluster.isWorker ? 'a status process is ready' : 'ready')
}

const serve = async (options: Options): Promise<void> => {
  if (options.workers !== undefined && options.only === undefined) {
    throw new OperatorError('--workers is for the status side: xmpp-ica serve --only status --workers 4. What else a CA does, one process does.')
  }
  const config = readConfig()
  const logging = openLogging(config)
  const signals = obeySignals(logging)
  if (options.only === 'status') return serveStatus(logging, config, signals, options.workers)
  checkMail(config)
  const core = await openCore(config, logging, { create: true, actor: 'system', purpose: 'serve' })
  try {
    const transport = openTransport(config, nameOf(core.keystore), print)
    const ca = buildCa(core, version, { transport })
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

const readWorkers = (text: string): number => {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > 256) throw new InvalidArgumentError('A number from 1 to 256 is expected.')
  return count
}

export const addServe = (program: Command): void => {
  program
    .command('serve')
    .description('run the CA; the first time, make it')
    .addOption(new Option('--only <side>', 'only OCSP, CRLs and CA certificates; beside a "serve" that does the rest').choices(['status']))
    .addOption(new Option('--workers <n>', 'with --only status: so many processes on one port').argParser(readWorkers))
    .addHelpText(
      'after',
      `
Examples:
  $ xmpp-ica serve
      On http://localhost:8080, with everything in this folder: for trying out.
  $ ICA_URL=https://ica.example.org ICA_KEY_PASSPHRASE_FILE=/run/credentials/passphrase ICA_MAIL=off xmpp-ica serve
      By https on port 443, with a certificate of its own; OCSP and CRLs on port 80. Mail needs SMTP_URL and ICA_MAIL_FROM.
  $ ICA_URL=https://ica.example.org ICA_TRUST_PROXY=127.0.0.1 ICA_MAIL=off xmpp-ica serve
      Behind nginx or another proxy on this machine, on localhost:8080.
  $ ICA_STATUS_LISTEN=*:8888 xmpp-ica serve --only status --workers 4
      OCSP and CRLs in processes of their own. They read the database and the keys of the OCSP responders in its folder, never those of the CA.

Settings come from the environment and from .env in this folder: xmpp-ica config --help`,
    )
    .action(serve)
}
