/**
 * The status side alone (`serve --only status`): OCSP, CRLs and CA certificates in a process of its own, as many as are wanted. It reads the database and the keys
 * of the OCSP responders, and can neither write the one nor open the keys of the CA: what it needs made, the main process makes.
 */

import type { Config } from './config.js'
import { type CrlWatch, createCrlWatch } from './issuance/crl-watch.js'
import { crlDefaults } from './issuance/crls.js'
import { createResponders, firstEnd, type Responders } from './issuance/responder.js'
import { readPassphrase, readServicePassphrase } from './keystore-open.js'
import { openServiceKeys, type ServiceKeys } from './keystore-service.js'
import type { Log } from './log.js'
import type { Logging } from './logging.js'
import { createMeter, type Meter } from './metrics.js'
import type { IssuerKind } from './model.js'
import { OperatorError } from './open.js'
import { type CertificateInfo, issuerId, readCertificate } from './pki/read-certificate.js'
import type { Running } from './running.js'
import { limits, openDoor } from './server.js'
import { createCrlShelf } from './status/crl-shelf.js'
import { createFastPath } from './status/fast-path.js'
import { createStatusHandler, type StatusHandler } from './status/handler.js'
import { createOcspService, type OcspService } from './status/ocsp.js'
import { createRevocationFeed } from './status/revocation-feed.js'
import { openStore, type Store } from './store/store.js'
import { createTasks } from './tasks.js'
import { wallClock } from './wall-clock.js'
import { createStatusListener, type Readiness } from './web.js'
import type { Neighbours } from './workers.js'

const second = 1000
const requestGraceMs = 3500

type Known = { id: string; kind: IssuerKind; certificate: CertificateInfo }

/** What is served for the issuers that the database knows. */
type Side = { issuers: string; ocsp: OcspService; responders: Responders[]; watch: CrlWatch; handler: StatusHandler; root: Known; newest: Known }

type Deps = { config: Config; log: Log; store: Store; serviceKeys: ServiceKeys; neighbours: Neighbours | null }

const readIssuers = async (store: Store): Promise<Known[]> =>
  (await store.issuers()).map(({ kind, der }) => {
    const certificate = readCertificate(der)
    return { id: issuerId(certificate.ski ?? certificate.publicKey.ski), kind, certificate }
  })

const isRoot = (kind: IssuerKind): boolean => kind === 'root' || kind === 'user-root'

/** Whoever signs leaves, the newest first, those of servers before those of users. */
const newestFirst = (a: Known, b: Known): number => a.kind.localeCompare(b.kind) || b.certificate.notBefore - a.certificate.notBefore

const crlShardsOf = (kind: Known['kind'], shards: number): (number | null)[] =>
  isRoot(kind) ? [null] : [null, ...Array.from({ length: shards }, (_, shard) => shard)]

const buildSide = ({ log, store, serviceKeys, neighbours }: Deps, known: Known[], shards: number): Side => {
  const clock = wallClock
  const intermediates = known.filter(({ kind, certificate }) => !isRoot(kind) && certificate.notAfter > clock.now()).sort(newestFirst)
  const root = known.find(({ kind }) => kind === 'root')
  const userRoot = known.filter(({ kind }) => kind === 'user-root')
  const [newest] = intermediates
  if (!root || newest?.kind !== 'intermediate')
    throw new OperatorError('The database knows no CA yet. Start "xmpp-ica serve" once, which makes it known.')

  const issuers = intermediates.map(({ id, certificate }) => {
    const ski = certificate.ski ?? certificate.publicKey.ski
    const keys = serviceKeys.respondersOf({ ski })
    const issuer = { id, certificate: certificate.der, notAfter: certificate.notAfter }
    const responders = createResponders({ clock, log, issuer, issuing: null, keys, onReplaced: () => ocsp.outdate() })
    return { id, subject: certificate.subject, publicKey: certificate.publicKey, responders }
  })
  const ocsp = createOcspService({ clock, log, store, issuers, ...(neighbours && { onMet: neighbours.tell }) })
  const expected = [root, ...userRoot, ...intermediates].flatMap(({ id, kind }) =>
    crlShardsOf(kind, shards).map((shard) => ({ issuerId: id, shard, republishMs: isRoot(kind) ? null : crlDefaults.republishMs })),
  )
  const newestUser = intermediates.find(({ kind }) => kind === 'user-intermediate')
  const certificates = [root, ...userRoot, ...intermediates].map((one) => ({
    id: one.id,
    ...([root, ...userRoot, newest, newestUser].includes(one) && { role: one.kind }),
    der: one.certificate.der,
    notBefore: one.certificate.notBefore,
  }))
  return {
    issuers: known.map(({ id, certificate }) => `${id} ${certificate.serial}`).join(),
    ocsp,
    responders: issuers.map(({ responders }) => responders),
    watch: createCrlWatch({ clock, log, store, expected }),
    handler: createStatusHandler({ clock, log, ocsp, crls: createCrlShelf({ clock, log, store }), certificates }),
    root,
    newest,
  }
}

const readinessOf = async (side: Side, store: Store, stopping: boolean): Promise<Readiness> => {
  const now = wallClock.now()
  const out = side.watch.standings().filter(({ state, republishMs }) => state === 'out' && republishMs !== null)
  const checks = {
    database: await store.lastRevocation().then(
      () => 'ok',
      (error: Error) => error.message,
    ),
    ocsp: side.responders.every((one) => one.current(now)) ? 'ok' : 'an issuer has no valid OCSP responder; the main process makes them',
    crl: out.length === 0 ? 'ok' : `${out.length} CRLs are not published or out of date`,
    server: stopping ? 'stopping' : 'ok',
  }
  // Without the database it goes on with what it holds, so that alone is no reason to send nobody here.
  const ready = checks.ocsp === 'ok' && checks.server === 'ok'
  return { ready, checks, warnings: side.watch.standings().flatMap(({ name, state }) => (state === 'current' ? [] : [`CRL ${name}: ${state}`])) }
}

const watchFigures = (meter: Meter, side: () => Side, followed: () => number | null): void => {
  meter.moments(() => ({
    root_expires: side().root.certificate.notAfter,
    intermediate_expires: side().newest.certificate.notAfter,
    ocsp_responder_expires: firstEnd(side().responders, wallClock.now()),
    crl_next_update: Math.min(
      ...side()
        .watch.standings()
        .map(({ current }) => current?.nextUpdate ?? 0),
    ),
    revocations_followed: followed(),
  }))
  meter.ocsp(
    () => side().ocsp.counts,
    () => side().ocsp.size(),
  )
  meter.crls(() => ({
    failures: 0,
    late: side()
      .watch.standings()
      .filter(({ state }) => state !== 'current').length,
  }))
}

const openReadOnly = async (config: Config, log: Log): Promise<Store> => {
  try {
    return await openStore({ url: config.database, log, readOnly: true })
  } catch (error) {
    const { cause, message } = error as Error
    throw new OperatorError(`The database cannot be read: ${cause instanceof Error ? cause.message : message}. "xmpp-ica serve" makes it.`)
  }
}

/**
 * Starts the status side alone. `among`: where it is one of several processes, its ways to the others; `renderOf` makes what /metrics says of all.
 * @throws ListenError, OperatorError, KeystoreError
 */
export const startStatusSide = async (
  config: Config,
  logging: Logging,
  crlShards: number,
  among: { renderOf(meter: Meter): () => Promise<string>; neighbours: Neighbours } | null,
): Promise<Running> => {
  const { log } = logging
  const passphrase = readServicePassphrase(config.servicePassphraseFile, null) ?? readPassphrase(config, false).passphrase
  logging.hide(passphrase)
  const store = await openReadOnly(config, log)
  const deps: Deps = {
    config,
    log,
    store,
    serviceKeys: openServiceKeys(config, { passphrase, former: null }, log),
    neighbours: among?.neighbours ?? null,
  }
  const meter = createMeter()
  let side: Side
  let followed: number | null = null
  let stopping = false

  const maintain = async (): Promise<void> => {
    for (const responders of side.responders) await responders.maintain()
    await side.watch.look()
  }
  /** A new intermediate, or another certificate for an old one, is known to the database before it signs anything. */
  const follow = async (): Promise<void> => {
    const known = await readIssuers(store)
    const fresh = buildSide(deps, known, crlShards)
    if (fresh.issuers === side.issuers) return
    log.info({ issuers: fresh.issuers }, 'the CA has other certificates')
    for (const responders of fresh.responders) await responders.maintain()
    side = fresh
  }
  const feed = createRevocationFeed({
    log,
    store,
    onBegin: () => side.ocsp.clear(),
    onRevoked: ({ issuerId: issuer, serial }) => side.ocsp.invalidate(issuer, serial),
  })
  const poll = async (): Promise<void> => {
    await feed.poll()
    if (feed.isFollowing()) followed = wallClock.now()
  }
  /** A look of its own accord; what it finds the others are told, so that none of them says `good` for longer. */
  const pollFirst = async (): Promise<void> => {
    const told = feed.told()
    await poll()
    if (feed.told() > told) among?.neighbours.tell()
  }

  try {
    side = buildSide(deps, await readIssuers(store), crlShards)
    await maintain()
    await poll()
    const fastPath = createFastPath({
      clock: wallClock,
      ocsp: { held: (octets) => side.ocsp.held(octets), make: (octets) => side.ocsp.make(octets) },
      limits,
    })
    const handler = createStatusListener({
      config,
      log,
      meter: among ? { ...meter, render: among.renderOf(meter) } : meter,
      status: (req, res) => side.handler(req, res),
      readiness: () => readinessOf(side, store, stopping),
    })
    const listener = await openDoor({ name: 'status', address: config.statusListen, handler, fastPath }, log)
    watchFigures(
      meter,
      () => side,
      () => followed,
    )
    const tasks = createTasks(log)
    tasks.every('follow revocations', second, pollFirst)
    among?.neighbours.listen(() => void poll())
    tasks.every('OCSP responders and CRLs', 10 * second, maintain)
    tasks.every('issuers', 10 * second, follow)

    let stopped: Promise<void> | null = null
    const stop = async (): Promise<void> => {
      stopping = true
      await listener.close(requestGraceMs)
      await tasks.stop()
      await store.close()
    }
    return {
      listeners: [listener],
      readiness: () => readinessOf(side, store, stopping),
      stop: () => {
        stopped ??= stop()
        return stopped
      },
    }
  } catch (error) {
    await store.close()
    throw error
  }
}
