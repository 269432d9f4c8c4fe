import { Resolver } from 'node:dns/promises'
import { existsSync, statfsSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Command } from 'commander'
import { type Config, ConfigError, mailProblem, withoutPassword } from '../config.js'
import type { Address } from '../config-values.js'
import { explainInventory, inspectKeystore, type Keystore, openKeystore, readPassphrase } from '../keystore-open.js'
import { boundRoot, openDatabase, readConfig } from '../open.js'
import { oids } from '../pki/oids.js'
import { readCertificate } from '../pki/read-certificate.js'
import { statusUrls } from '../status-urls.js'
import type { Store } from '../store/store.js'
import { explain, quietLog } from './context.js'
import { checkPaths } from './doctor-paths.js'
import { checkServiceKeys } from './doctor-service-keys.js'
import { print, printJson, say, when } from './output.js'

type Finding = { check: string; result: 'ok' | 'warning' | 'error'; detail: string }
type Report = (check: string, result: Finding['result'], detail: string) => void

const day = 86_400_000
const smallDiskBytes = 200 * 1024 * 1024

const message = (error: unknown): string => explain(error) ?? (error as Error).message

const checkKeys = (config: Config, report: Report): Keystore | null => {
  try {
    const inventory = inspectKeystore(config.keys)
    if (inventory.state !== 'complete') {
      report('keys', inventory.state === 'empty' ? 'warning' : 'error', explainInventory(config.keys, inventory) ?? '')
      return null
    }
    const passphrase = readPassphrase(config, false)
    const keystore = openKeystore(config.keys, passphrase.passphrase, Date.now())
    report('keys', 'ok', `${config.keys}: they open, and go with their certificates`)
    if (passphrase.generated)
      report(
        'keys',
        'warning',
        `The passphrase was generated (${passphrase.file}): for trying out. Keep it apart from the keys and set ICA_KEY_PASSPHRASE_FILE.`,
      )
    if (keystore.root.issuer)
      report('keys', 'warning', 'root.key is on this machine. Once the CA is in earnest, take it to a medium that is not connected.')
    for (const note of keystore.notes) report('keys', 'warning', note)
    checkPointers(config, keystore, report)
    checkServiceKeys(config, passphrase.passphrase, report)
    return keystore
  } catch (error) {
    report('keys', 'error', message(error))
    return null
  }
}

/** The intermediate carries the address of the root's CRL; a status URL that was changed since does not serve it. */
const checkPointers = (config: Config, { intermediate, root }: Keystore, report: Report): void => {
  if (!root.issuer) return
  const pointer = readCertificate(intermediate.certificate).extensions.get(oids.cRLDistributionPoints)
  const wanted = statusUrls(config, root.id, null).crl
  if (pointer && !Buffer.from(intermediate.certificate).includes(wanted)) {
    report(
      'keys',
      'warning',
      `The intermediate certificate does not point to ${wanted}: it was made with another ICA_STATUS_URL, which must stay reachable.`,
    )
  }
}

const checkDatabase = async (config: Config, keystore: Keystore | null, report: Report): Promise<void> => {
  const file = config.database.startsWith('file:') ? config.database.slice('file:'.length) : null
  if (file && !existsSync(file)) {
    if (keystore) await checkPaths(keystore, null, Date.now(), report)
    return report('database', 'warning', `${file} does not exist yet; the first start makes it.`)
  }
  let store: Store | undefined
  try {
    store = await openDatabase(config, quietLog(config), false)
    await store.ping()
    report('database', 'ok', `${withoutPassword(config.database)}: ${store.engine}, can be written`)
    const bound = await boundRoot(store)
    if (keystore && bound && bound !== keystore.root.id) {
      report(
        'database',
        'error',
        `It belongs to the CA ${bound}, the keys are of ${keystore.root.id}. Set DATABASE_URL or ICA_KEYS so that they go together.`,
      )
    }
    await checkClock(store, report)
    if (keystore) await checkPaths(keystore, store, Date.now(), report)
  } catch (error) {
    report('database', 'error', message(error))
  } finally {
    await store?.close()
  }
  if (file) {
    const { bavail, bsize } = statfsSync(config.dataFolder)
    const free = Math.round((bavail * bsize) / 1024 / 1024)
    if (bavail * bsize < smallDiskBytes)
      report('disk', 'error', `Only ${free} MB are free in ${config.dataFolder}: when it is full, nothing can be issued or revoked.`)
    else report('disk', 'ok', `${free} MB free in ${config.dataFolder}`)
  }
}

/** Without asking anybody: time must not have gone back since the last thing that was recorded. */
const checkClock = async (store: Store, report: Report): Promise<void> => {
  const [last] = await store.auditLog({ limit: 1 })
  const now = Date.now()
  if (last && last.at > now + 60_000)
    report('clock', 'error', `It says ${when(now)}, but the last audit row is of ${when(last.at)}. Set the clock (chrony, systemd-timesyncd).`)
  else report('clock', 'ok', `${when(now)}${last ? `, ${Math.max(0, Math.round((now - last.at) / day))} days after the last audit row` : ''}`)
}

const checkDns = async (config: Config, report: Report): Promise<void> => {
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  if (config.dnsServers.length > 0) resolver.setServers(config.dnsServers)
  for (const server of resolver.getServers()) {
    const one = new Resolver({ timeout: 2000, tries: 2 })
    one.setServers([server])
    try {
      await one.resolveNs('.')
      report('DNS', 'ok', `${server} answers`)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (['ETIMEOUT', 'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ECANCELLED'].includes(code ?? '')) {
        report('DNS', 'error', `${server} does not answer (${code}): nothing can be validated. Set ICA_DNS_SERVERS.`)
      } else report('DNS', 'warning', `${server} answers, but not for the root zone (${code}): can it resolve names of the world?`)
    }
  }
}

/** The certificate authority that runs already, or the possibility to listen. */
const checkListener = async (name: string, key: string, address: Address, isOurs: () => Promise<boolean>, report: Report): Promise<void> => {
  const place = `${address.host}:${address.port}`
  if (await isOurs()) return report('ports', 'ok', `${place} (${name}): this CA is running`)
  const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    const server = createServer()
    server.once('error', resolve)
    server.listen({ port: address.port, host: address.host === '*' ? undefined : address.host }, () => server.close(() => resolve(null)))
  })
  if (!error) report('ports', 'ok', `${place} (${name}) is free`)
  else if (error.code === 'EADDRINUSE') report('ports', 'error', `${place} (${name}) is taken by another program. Stop it, or set ${key}.`)
  else if (error.code === 'EACCES')
    report('ports', 'error', `${place} (${name}): this user may not use ports below 1024. Set ${key}, or give CAP_NET_BIND_SERVICE.`)
  else report('ports', 'error', `${place} (${name}): ${error.message}. Set ${key}.`)
}

const checkPorts = async (config: Config, keystore: Keystore | null, report: Report): Promise<void> => {
  const host = ({ host: name }: Address): string => (name === '*' ? '127.0.0.1' : name.includes(':') ? `[${name}]` : name)
  const servesRoot = async (): Promise<boolean> => {
    try {
      // Long enough for a busy machine: a CA that is slow to answer is not another program.
      const response = await fetch(`http://${host(config.statusListen)}:${config.statusListen.port}/ca/root.cer`, {
        signal: AbortSignal.timeout(10_000),
      })
      return keystore !== null && Buffer.from(await response.arrayBuffer()).equals(keystore.root.certificate)
    } catch {
      return false
    }
  }
  await checkListener(
    config.oneListener ? 'everything' : 'status',
    config.oneListener ? 'ICA_LISTEN' : 'ICA_STATUS_LISTEN',
    config.statusListen,
    servesRoot,
    report,
  )
  // Where the status side is ours, the web side is, too: they are one process.
  if (!config.oneListener) await checkListener('web', 'ICA_LISTEN', config.listen, servesRoot, report)
}

const doctor = async (options: { json?: true }): Promise<void> => {
  const findings: Finding[] = []
  const report: Report = (check, result, detail) => void findings.push({ check, result, detail })
  let config: Config | null = null
  try {
    config = readConfig()
    report('configuration', 'ok', `${config.url}, status at ${config.statusUrl}`)
    if (config.weakKeys.size === 0)
      report(
        'configuration',
        'warning',
        'ICA_WEAK_KEYS is not set: keys that Debian’s OpenSSL of 2006 to 2008 made, and anybody can make again, are not recognised. docs/operations.md says where lists are.',
      )
    if (config.lab) report('configuration', 'warning', 'ICA_LAB=1: private addresses may be validated. Not for a CA that anybody relies on.')
    const mail = mailProblem(config)
    if (mail) report('configuration', 'error', mail)
    if (config.http01Port !== 80)
      report('configuration', 'warning', `http-01 connects to port ${config.http01Port}: anything but 80 proves less than RFC 8555 asks for.`)
  } catch (error) {
    for (const mistake of error instanceof ConfigError ? error.mistakes : [message(error)]) report('configuration', 'error', mistake)
  }
  if (config) {
    const keystore = checkKeys(config, report)
    await checkDatabase(config, keystore, report)
    await checkDns(config, report)
    await checkPorts(config, keystore, report)
  }
  const errors = findings.filter(({ result }) => result === 'error').length
  const warnings = findings.filter(({ result }) => result === 'warning').length
  if (options.json) printJson({ healthy: errors === 0, findings })
  else {
    for (const { check, result, detail } of findings) print(`${{ ok: 'ok     ', warning: 'WARNING', error: 'ERROR  ' }[result]}  ${check}: ${detail}`)
    say(errors > 0 ? `\n${errors} to put right.` : warnings > 0 ? '\nIt works; mind the warnings.' : '\nAll is well.')
  }
  if (errors > 0) process.exitCode = 1
}

export const addDoctor = (program: Command): void => {
  program
    .command('doctor')
    .description('check configuration, keys, certification paths, database, clock, DNS and ports; say what is wrong and what to do')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nChanges nothing, and may run beside the CA. The exit code is 1 where something must be put right.\n\nExamples:\n  $ xmpp-ica doctor\n  $ xmpp-ica doctor --json | jq .healthy',
    )
    .action(doctor)
}
