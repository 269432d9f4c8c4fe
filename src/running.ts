/** The running program: what is started in which order, what comes round, and the way down. */
import type { Ca, Core } from './build.js'
import { expireLinks } from './issuance/confirm.js'
import { profileOf } from './issuance/issue.js'
import { issuerTrouble } from './issuance/issuer-standing.js'
import { createMaintenance } from './issuance/maintenance.js'
import { tellOfExpiries } from './issuance/notices.js'
import { resumeOrders } from './issuance/orders.js'
import { revokeCompromisedKeys } from './issuance/revocation.js'
import { createPages } from './pages.js'
import { buildPublicApi } from './public-api.js'
import { type Listener, openDoor } from './server.js'
import { type CertificateSource, certificateFromFiles, ownCertificate } from './server-certificate.js'
import { knownStatusUrlsMost, statusUrlsName } from './status-urls.js'
import { createTasks } from './tasks.js'
import { createStatusListener, createWebListener, type Readiness } from './web.js'

const second = 1000
const minute = 60 * second
const hour = 60 * minute

/** Of the 5 s in which SIGTERM is obeyed, for requests that were begun. */
const requestGraceMs = 3500
/** An order that was claimed so long ago and not finished was left behind by a crash. */
const stalledAfterMs = 15 * second

export type Running = {
  listeners: Listener[]
  readiness(): Promise<Readiness>
  /** Stops accepting, finishes what was begun, closes the database. Once. */
  stop(): Promise<void>
}

const certificateSource = async (core: Core, ca: Ca): Promise<CertificateSource | null> => {
  const { tls } = core.config
  if (tls.mode === 'none') return null
  return tls.mode === 'files' ? certificateFromFiles(tls) : ownCertificate(core.config, ca.ica, ca.serviceKeys)
}

/** What /readyz says. What the database answers is kept for a second, because anybody may ask. */
const createReadiness = ({ clock, store }: Core, ca: Ca) => {
  let asked = 0
  let database: Promise<string> = Promise.resolve('not asked yet')
  let issuer: Promise<string> = Promise.resolve('not asked yet')
  let stopping = false
  const ping = (): Promise<string> =>
    store.ping().then(
      () => 'ok',
      (error: Error) => error.message,
    )
  return {
    stopping: () => {
      stopping = true
    },
    ask: async (): Promise<Readiness> => {
      const now = clock.now()
      if (now - asked >= second) {
        asked = now
        database = ping()
        const { validityMs } = profileOf(ca.ica, ca.ica.defaultProfile)
        // Without the database it says so above, and nothing is known against the issuer.
        issuer = issuerTrouble(ca.ica, now + validityMs).then(
          (trouble) => trouble ?? 'ok',
          () => 'ok',
        )
      }
      const standings = ca.watch.standings()
      const overdue = standings.filter(({ state, republishMs }) => state === 'out' && republishMs !== null)
      const checks = {
        database: await database,
        issuer: await issuer,
        ocsp: ca.responders.expires(now) > 0 ? 'ok' : 'an issuer has no valid OCSP responder',
        crl: overdue.length === 0 ? 'ok' : `${overdue.length} CRLs are not published or out of date`,
        server: stopping ? 'stopping' : 'ok',
      }
      const warnings = standings.flatMap(({ name, state }) => (state === 'current' ? [] : [`CRL ${name}: ${state}`]))
      return { ready: Object.values(checks).every((check) => check === 'ok'), checks, warnings }
    },
  }
}

const watchMoments = (core: Core, ca: Ca): void => {
  core.meter.moments(() => ({
    root_expires: core.keystore.root.notAfter,
    intermediate_expires: core.keystore.intermediate.notAfter,
    ocsp_responder_expires: ca.responders.expires(core.clock.now()),
    crl_next_update: Math.min(...ca.watch.standings().map(({ current }) => current?.nextUpdate ?? 0)),
  }))
  core.meter.ocsp(
    () => ca.ocsp.counts,
    () => ca.ocsp.size(),
  )
  core.meter.crls(() => ({
    failures: ca.crls.states().reduce((sum, { failures }) => sum + failures, 0),
    late: ca.watch.standings().filter(({ state }) => state !== 'current').length,
  }))
}

/** Whether a list of this CA was never made: at the first start, or where that was cut short. */
const lacksCrls = async ({ store }: Core, ca: Ca): Promise<boolean> => {
  const known = new Set((await store.crlFacts()).map(({ issuerId, shard }) => `${issuerId}/${shard}`))
  return ca.crls.states().some(({ issuerId, shard }) => !known.has(`${issuerId}/${shard}`))
}

/**
 * With another `ICA_STATUS_URL`, lists have to name it before a certificate does. It is remembered after that, so that a start that is cut short does it again; and a list
 * names what was remembered, for the certificates of before.
 */
const followStatusUrl = async ({ config, log, store, knownStatusUrls }: Core, ca: Ca): Promise<void> => {
  const [last] = knownStatusUrls
  if (last === config.statusUrl) return
  if (last !== undefined) {
    log.warn({ before: last, now: config.statusUrl }, 'ICA_STATUS_URL was changed: certificates of before go on asking there, so keep it reachable')
    await ca.crls.publishAll()
  }
  await store.putFirst(statusUrlsName, config.statusUrl, knownStatusUrlsMost)
}

/** Starts everything. `webFolder` has the built page. Rejects with ListenError, with everything closed but the database. */
export const startCa = async (core: Core, ca: Ca, webFolder: string): Promise<Running> => {
  const { config, clock, log, store, meter } = core
  const readiness = createReadiness(core, ca)
  await ca.responders.maintain()
  await ca.feed.poll()
  // A new CA has its lists before anybody can ask for them; an old one goes on with those it has while new ones are made.
  if (await lacksCrls(core, ca)) await ca.crls.publishDue()
  await followStatusUrl(core, ca)
  await ca.watch.look()
  const source = await certificateSource(core, ca)
  const webDeps = {
    config,
    log,
    meter,
    acme: await ca.createAcme(),
    api: buildPublicApi(core, ca),
    pages: createPages(webFolder),
    confirm: ca.confirm,
    status: ca.status,
    readiness: readiness.ask,
  }
  const web = await openDoor(
    {
      name: 'web',
      address: config.listen,
      handler: createWebListener(webDeps),
      ...(config.oneListener && { fastPath: ca.fastPath }),
      ...(source && { tls: source.current() }),
    },
    log,
  )
  const listeners = [web]
  try {
    if (!config.oneListener)
      listeners.push(
        await openDoor({ name: 'status', address: config.statusListen, handler: createStatusListener(webDeps), fastPath: ca.fastPath }, log),
      )
  } catch (error) {
    await web.close(0)
    throw error
  }
  watchMoments(core, ca)
  ca.queue.start()
  ca.outgoing?.start()

  const tasks = createTasks(log)
  tasks.every('publish CRLs', minute, () => ca.crls.publishDue().then(() => ca.watch.look()), 0)
  tasks.every('follow revocations', second, () => ca.feed.poll())
  tasks.every('OCSP responders', 10 * second, () => ca.responders.maintain())
  // At the start all of it, then what has been blocked lately: certificates that were being issued at that moment.
  let swept = 0
  tasks.every(
    'compromised keys',
    5 * minute,
    async () => {
      const since = swept
      const began = clock.now()
      await revokeCompromisedKeys(ca.ica, since)
      swept = began - hour
    },
    0,
  )
  tasks.every('resume orders', 5 * second, () => resumeOrders(ca.ica, clock.now() - stalledAfterMs), 0)
  tasks.every('unanswered mails', 30 * second, () => expireLinks(ca.ica), 0)
  if (config.mail.mode !== 'off') {
    const notices = { perRecipient: config.limits.noticesPerRecipient, perStranger: config.limits.noticesPerStranger }
    tasks.every('certificates that expire', minute, () => tellOfExpiries(ca.ica, notices), 10 * second)
  }
  const maintain = createMaintenance(store, log)
  tasks.every('clean up', 10 * minute, (stopping) => maintain(clock.now(), stopping))
  if (source) {
    tasks.every('web certificate', config.tls.mode === 'files' ? 10 * second : hour, async () => {
      const fresh = await source.refresh()
      if (!fresh) return
      web.setCertificate(fresh)
      log.info({}, 'the web side shows a new certificate')
    })
  }

  let stopped: Promise<void> | null = null
  const stop = async (): Promise<void> => {
    readiness.stopping()
    await Promise.all(listeners.map((listener) => listener.close(requestGraceMs)))
    await Promise.all([tasks.stop(), ca.queue.stop(), ca.crls.stop(), ca.outgoing?.stop()])
    await store.close()
  }
  return {
    listeners,
    readiness: readiness.ask,
    stop: () => {
      stopped ??= stop()
      return stopped
    },
  }
}
