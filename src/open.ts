/** Opening what a command works on: configuration, log, keys, database. The keys and the database must belong together. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Core } from './build.js'
import { type Config, parseConfig, readEnvironment, withoutPassword } from './config.js'
import { IcaError } from './errors.js'
import { replaceFile } from './files.js'
import { files } from './keystore/inventory.js'
import { KeystoreError, readPem } from './keystore-files.js'
import { createCa } from './keystore-make.js'
import { type CaKeys, explainInventory, inspectKeystore, openKeystore, openRoot, readPassphrase, readServicePassphrase } from './keystore-open.js'
import { retiredCertificates } from './keystore-rollover.js'
import type { Log } from './log.js'
import { createLogging, type Logging, secretsOf } from './logging.js'
import { createMeter } from './metrics.js'
import type { AuditEntry } from './model.js'
import type { Issuer } from './pki/certificate.js'
import { readCertificate } from './pki/read-certificate.js'
import { statusUrls, statusUrlsName } from './status-urls.js'
import { openStore, type Store } from './store/store.js'
import { wallClock } from './wall-clock.js'

/** Something that an operator must put right before the program can work; said without a stack trace. */
export class OperatorError extends Error {}

/** The configuration of this process. Throws ConfigError. */
export const readConfig = (folder = process.cwd()): Config => parseConfig(readEnvironment(folder), folder)

export const openLogging = (config: Config): Logging => {
  const logging = createLogging(config.logLevel)
  for (const secret of secretsOf(config)) logging.hide(secret)
  return logging
}

/** Opens the database. `create`: where it may be made; other commands say that there is none. */
export const openDatabase = async (config: Config, log: Log, create: boolean): Promise<Store> => {
  if (config.database.startsWith('file:')) {
    const file = config.database.slice('file:'.length)
    if (!create && !existsSync(file)) {
      throw new OperatorError(
        `There is no database ${file}. Run this where the CA runs (its folder, its .env), or set DATABASE_URL; "xmpp-ica serve" makes a new one.`,
      )
    }
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  }
  try {
    const notices =
      config.mail.mode === 'off' ? null : { perRecipient: config.limits.noticesPerRecipient, perStranger: config.limits.noticesPerStranger }
    return await openStore({ url: config.database, log, notices })
  } catch (error) {
    const cause = (error as Error).cause instanceof Error ? ` (${((error as Error).cause as Error).message})` : ''
    throw new OperatorError(`The database ${withoutPassword(config.database)} cannot be opened: ${(error as Error).message}${cause}`)
  }
}

/** What the database calls its CA: the id of the root, so that an intermediate can be replaced. */
const bindingName = 'ca.root'
/** A note beside the keys, so that a CA that has issued is not started with an empty database by mistake: it would forget what it revoked. */
const markerName = 'in-use'

class Unbound extends Error {}

/** The id of the root of the CA that the database belongs to; null for a new one. */
export const boundRoot = async (store: Store): Promise<string | null> => {
  try {
    return await store.settingOnce(bindingName, () => {
      throw new Unbound()
    })
  } catch (error) {
    if (error instanceof Unbound) return null
    throw error
  }
}

/** Binds database and keys to each other; throws OperatorError where either belongs elsewhere. */
const bind = async (config: Config, store: Store, id: string, log: Log): Promise<void> => {
  const database = withoutPassword(config.database)
  const marker = path.join(config.keys, markerName)
  const mark = (): void => {
    if (existsSync(marker)) return
    try {
      replaceFile(marker, `${database}\nThe database of this CA. While this file is here, the CA refuses to start with an empty one.\n`)
    } catch (error) {
      log.warn({ reason: (error as Error).message }, `${marker} could not be written: nothing will notice a start with an empty database`)
    }
  }
  const bound = await boundRoot(store)
  if (bound === id) return mark()
  if (bound !== null) {
    throw new OperatorError(
      `The database ${database} belongs to the CA ${bound}, the keys in ${config.keys} to the CA ${id}. ` +
        'Set DATABASE_URL or ICA_KEYS so that they go together. Nothing was changed.',
    )
  }
  if (existsSync(marker)) {
    const before = readFileSync(marker, 'utf8').split('\n', 1)[0]
    throw new OperatorError(
      `The database ${database} is new, but the CA in ${config.keys} has issued before${before === database ? ', with a database in the same place' : `, with ${before}`}. ` +
        'With a new one every certificate would be unknown and every revocation forgotten. Set DATABASE_URL, or restore a backup. ' +
        `Only if the old database is lost for good: delete ${marker} and start again.`,
    )
  }
  await store.settingOnce(bindingName, () => id)
  mark()
}

/** Records an intermediate among the certificates, so that it is listed and the root can revoke it. */
export const registerIntermediate = async (
  store: Store,
  root: { id: string; issuer: Issuer | null },
  der: Uint8Array,
  { at, actor }: { at: number; actor: string },
): Promise<void> => {
  const { serial, notBefore, notAfter, publicKey } = readCertificate(der)
  if (await store.certificateBySerial(serial)) return
  const reservation = {
    serial,
    issuerId: root.id,
    kind: 'intermediate' as const,
    profile: 'intermediate',
    accountId: null,
    orderId: null,
    keyId: publicKey.keyId,
    crlShard: 0,
    notBefore,
    notAfter,
    names: [],
    createdAt: at,
  }
  await store.reserveCertificate(reservation).catch((error: unknown) => {
    // Reserved before, by a CRL that was imported, by a start that ended here, or by another process just now; only one of them stores the certificate.
    if (!(error instanceof IcaError) || error.code !== 'serverInternal') throw error
  })
  const detail = { kind: 'intermediate', issuer: root.id, keyId: publicKey.keyId, notBefore, notAfter }
  const action = root.issuer ? 'certificate.issued' : 'certificate.imported'
  await store.storeCertificate(serial, der, { at, actor, action, subject: `certificate:${serial}`, detail })
}

/** Makes the certificates of the user CA known to the database. */
export const registerUsers = async (store: Store, users: CaKeys | null, by: { at: number; actor: string }): Promise<void> => {
  if (!users) return
  await store.upsertIssuer({ id: users.root.id, kind: 'user-root', der: users.root.certificate })
  for (const issuer of [users.intermediate, ...users.retired]) {
    await store.upsertIssuer({ id: issuer.id, kind: 'user-intermediate', der: issuer.certificate })
    await registerIntermediate(store, users.root, issuer.certificate, by)
  }
}

/** Makes the CA certificates known to the database, and leaves a trace that the keys were opened. */
const register = async ({ clock, store, keystore }: Core, who: { actor: string; purpose: string }): Promise<void> => {
  const { root, intermediate } = keystore
  const at = clock.now()
  const audit = (action: string, subject: string, detail: Record<string, unknown>): AuditEntry => ({ at, actor: who.actor, action, subject, detail })
  await store.upsertIssuer({ id: root.id, kind: 'root', der: root.certificate })
  for (const issuer of [intermediate, ...keystore.retired]) {
    await store.upsertIssuer({ id: issuer.id, kind: 'intermediate', der: issuer.certificate })
    // Below another intermediate of somebody else it is not the root that could revoke it.
    if (issuer.chain.length === 1) await registerIntermediate(store, root, issuer.certificate, { at, actor: who.actor })
  }
  await registerUsers(store, keystore.users, { at, actor: who.actor })
  await store.audit(audit('key.opened', `issuer:${intermediate.id}`, { purpose: who.purpose, root: root.issuer !== null }))
}

/** The root at work: signing an intermediate, revoking one, publishing its CRL. */
export type RootCore = Pick<Core, 'config' | 'clock' | 'log' | 'store'> & { root: Issuer }

/**
 * Opens the root with its database: of a whole CA, or alone on the medium where it is kept, with a database of its own that remembers what it has signed and revoked.
 * @throws KeystoreError, OperatorError
 */
export const openRootCore = async (config: Config, logging: Logging, who: { actor: string; purpose: string }): Promise<RootCore> => {
  const { log } = logging
  const clock = wallClock
  const { passphrase } = readPassphrase(config, false)
  logging.hide(passphrase)
  const root = openRoot(config.keys, passphrase, clock.now())
  const store = await openDatabase(config, log, true)
  try {
    await bind(config, store, root.id, log)
    const at = clock.now()
    await store.upsertIssuer({ id: root.id, kind: 'root', der: root.certificate })
    const file = path.join(config.keys, files.intermediate)
    const known = [...(existsSync(file) ? readPem(file).slice(0, 1) : []), ...retiredCertificates(config.keys)]
    for (const der of known) await registerIntermediate(store, { id: root.id, issuer: root }, der, { at, actor: who.actor })
    await store.audit({ at, actor: who.actor, action: 'key.opened', subject: `issuer:${root.id}`, detail: { purpose: who.purpose, root: true } })
    return { config, clock, log, store, root }
  } catch (error) {
    await store.close()
    throw error
  }
}

export type Opened = Core & {
  /** This start made the CA. */
  created: boolean
  /** The passphrase was generated, not given. */
  passphraseFile: { file: string; generated: boolean }
}

/**
 * Opens keys and database.
 * @param options.create make both where there is nothing at all; `name` of the new CA, by default after the host of `ICA_URL`
 * @throws KeystoreError, OperatorError
 */
export const openCore = async (
  config: Config,
  logging: Logging,
  options: { create: boolean; name?: string | undefined; actor: string; purpose: string },
): Promise<Opened> => {
  const { log } = logging
  const clock = wallClock
  const inventory = inspectKeystore(config.keys)
  if (inventory.state !== 'complete' && !(inventory.state === 'empty' && options.create)) {
    throw new KeystoreError(explainInventory(config.keys, inventory) ?? '')
  }
  const create = inventory.state === 'empty'
  const { passphrase, ...passphraseFile } = create ? { passphrase: '', file: '', generated: false } : readPassphrase(config, false)
  const store = await openDatabase(config, log, options.create)
  try {
    if (create && (await boundRoot(store)) !== null) {
      throw new KeystoreError(
        `There are no keys in ${config.keys}, but the database ${withoutPassword(config.database)} belongs to a CA. Restore its keys from the backup, or check ICA_KEYS. ` +
          'For a new CA use a new database. Nothing was changed.',
      )
    }
    const opened = create ? readPassphrase(config, true) : { passphrase, ...passphraseFile }
    logging.hide(opened.passphrase)
    const servicePassphrase = readServicePassphrase(config.servicePassphraseFile, opened.passphrase)
    if (servicePassphrase !== null) logging.hide(servicePassphrase)
    const created =
      create &&
      (await createCa(config.keys, opened.passphrase, options.name ?? defaultName(config), clock.now(), (id) => statusUrls(config, id, null)))
    const keystore = openKeystore(config.keys, opened.passphrase, clock.now())
    await bind(config, store, keystore.root.id, log)
    const knownStatusUrls = await store.listUnder(statusUrlsName)
    const core: Core = {
      config,
      clock,
      log,
      store,
      keystore,
      passphrase: opened.passphrase,
      servicePassphrase,
      meter: createMeter(),
      knownStatusUrls,
    }
    await register(core, options)
    return { ...core, created, passphraseFile: { file: opened.file, generated: opened.generated } }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Named after its host, so that somebody who tries out several can tell them apart. */
export const defaultName = (config: Config): string => `XMPP CA ${new URL(config.url).hostname}`.slice(0, 51)
