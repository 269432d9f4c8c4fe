/** The wiring: everything that the program consists of is made here and handed to what needs it. Nothing else makes anything for others. */
import { randomBytes } from 'node:crypto'
import { type AcmeHandler, createAcmeHandler } from './acme/router.js'
import type { Facts } from './api/facts.js'
import { factsOf } from './ca-facts.js'
import type { Clock } from './clock.js'
import type { Config } from './config.js'
import { type ConfirmHandler, createConfirmHandler } from './confirm/handler.js'
import { IcaError } from './errors.js'
import { createAddressBook } from './issuance/addresses.js'
import { CONCURRENT_CAA } from './issuance/caa.js'
import { type CrlWatch, createCrlWatch } from './issuance/crl-watch.js'
import { type CrlProgress, type CrlPublisher, createCrlPublisher, crlDefaults } from './issuance/crls.js'
import type { Ica } from './issuance/ica.js'
import { createSubscriptions, type Subscriptions } from './issuance/notices.js'
import { createOutgoing, type Outgoing } from './issuance/outgoing.js'
import { createPolicies } from './issuance/policies.js'
import { createResponders, firstEnd, type Responders } from './issuance/responder.js'
import { createValidationQueue, type ValidationQueue } from './issuance/validation-queue.js'
import { createSealer } from './keystore/seal.js'
import { chainsThrough } from './keystore-cross.js'
import type { Keystore } from './keystore-open.js'
import { openServiceKeys, type ServiceKeys } from './keystore-service.js'
import type { Log } from './log.js'
import type { Transport } from './mail/transport.js'
import type { Meter } from './metrics.js'
import type { Issuer } from './pki/certificate.js'
import { readCertificate } from './pki/read-certificate.js'
import { limits } from './server.js'
import type { ServedCertificate } from './status/ca-certificates.js'
import { type CrlShelf, createCrlShelf } from './status/crl-shelf.js'
import { createFastPath, type FastPath } from './status/fast-path.js'
import { createStatusHandler, type StatusHandler } from './status/handler.js'
import { createOcspService, type OcspService } from './status/ocsp.js'
import { createRevocationFeed, type RevocationFeed } from './status/revocation-feed.js'
import { crlPointers, statusUrls } from './status-urls.js'
import type { Store } from './store/store.js'
import { dns01 } from './validation/dns-01.js'
import { dnsAccount01 } from './validation/dns-account-01.js'
import { dnsPersist01 } from './validation/dns-persist-01.js'
import { atMost } from './validation/gate.js'
import { http01 } from './validation/http-01.js'
import { createPorts } from './validation/net.js'
import { tlsAlpn01 } from './validation/tls-alpn-01.js'

const hour = 3_600_000
const day = 24 * hour

/** Never less than before: certificates that are out point to their shard. */
export const crlShards = 16

/** What everything below is made from. `servicePassphrase`: null where service keys are sealed with `passphrase`, as those of the CA are. */
export type Core = {
  config: Config
  clock: Clock
  log: Log
  store: Store
  keystore: Keystore
  passphrase: string
  servicePassphrase: string | null
  meter: Meter
  /** Every `ICA_STATUS_URL` that a certificate may have been issued with before this start, the last one first. */
  knownStatusUrls: readonly string[]
}

export type Ca = {
  ica: Ica
  queue: ValidationQueue
  responders: Pick<Responders, 'maintain'> & {
    /** When the first of the issuers has nobody to sign with; 0 where one has nobody at `now`. */
    expires(now: number): number
  }
  crls: CrlPublisher
  feed: RevocationFeed
  ocsp: OcspService
  crlShelf: CrlShelf
  serviceKeys: ServiceKeys
  status: StatusHandler
  fastPath: FastPath
  watch: CrlWatch
  facts: Facts
  /** The pages behind links in mails. */
  confirm: ConfirmHandler
  /** Sends mails by what `serve` opened; null without. */
  outgoing: Outgoing | null
  /** The ACME side; made last, because its nonces live in the database. */
  createAcme(): Promise<AcmeHandler>
}

const settingsOf = (config: Config): Ica['settings'] => ({
  lab: config.lab,
  termsOfService: config.termsUrl,
  website: config.url,
  caaIdentities: config.caaIdentities,
  orderLifetimeMs: 7 * day,
  pendingLifetimeMs: 7 * day,
  authorizationReuseMs: 30 * day,
  validationDelaysMs: config.lab ? [500, 1000, 2000] : [2000, 5000, 15_000, 30_000],
  maxIdentifiers: 100,
  crlShards,
  externalAccounts: config.externalAccounts,
  limits: config.limits,
})

/** The salt of what is sealed in this database; made when the first secret comes. */
const sealingSalt = async (store: Store): Promise<Uint8Array> =>
  Buffer.from(await store.settingOnce('sealing-salt', () => randomBytes(16).toString('base64url')), 'base64url')

/** The pipeline. `afterRevocation` is called when a revocation is durable, `onMail` when a mail that somebody waits for is. */
export const buildIca = (core: Core, afterRevocation: Ica['afterRevocation'], onMail: () => void = () => undefined): Ica => {
  const { config, clock, log, store, keystore, meter } = core
  const { intermediate, root } = keystore
  const ports = createPorts({ servers: config.dnsServers, lab: config.lab, http01Port: config.http01Port, tlsAlpn01Port: config.tlsAlpn01Port })
  const persist = { clock, issuerDomainNames: config.caaIdentities, accountHashPrefix: `${config.url}/acme/account-hash/` }
  const issuers = [intermediate, ...keystore.retired]
  const users = keystore.users ? [keystore.users.root, keystore.users.intermediate, ...keystore.users.retired] : []
  const ownKeys = new Set([...issuers, root, ...users].map(({ publicKey }) => publicKey.keyId))
  return {
    clock,
    log,
    store,
    metrics: meter,
    issuer: intermediate,
    chainsOf: (issuerId) => {
      const chains = chainsThrough(keystore, issuerId)
      if (!chains) throw new IcaError('notFound', `The intermediate ${issuerId} is not among the keys of this CA any more, and neither is its chain.`)
      return chains
    },
    issuerUrl: (issuerId) => statusUrls(config, issuerId, null).caIssuers,
    profiles: config.profiles,
    defaultProfile: config.defaultProfile,
    validators: [http01(ports), dns01(ports), tlsAlpn01(ports), dnsAccount01(ports), dnsPersist01({ ...persist, ...ports })],
    email:
      config.mail.mode === 'on'
        ? { type: 'email-link-01', appliesTo: ({ type }) => type === 'dns', addresses: createAddressBook(ports.resolver, clock), onMail }
        : null,
    lookUpCaa: atMost(CONCURRENT_CAA, ports.resolver.caa),
    accountUri: (id) => `${config.url}/acme/account/${id}`,
    statusUrls: (shard) => statusUrls(config, intermediate.id, shard),
    isOwnKey: (keyId) => ownKeys.has(keyId),
    weakKeys: config.weakKeys,
    settings: settingsOf(config),
    policies: createPolicies(store, clock),
    sealer: createSealer(core.passphrase, () => sealingSalt(store)),
    afterRevocation,
  }
}

/** Every issuer whose leaves have OCSP and CRLs: the one that signs for servers first, those before it, the one of users. */
export const statusIssuers = ({ intermediate, retired, users }: Keystore): Issuer[] => [
  intermediate,
  ...retired,
  ...(users ? [users.intermediate, ...users.retired] : []),
]

/** The service keys for whoever can open the CA: what is sealed with its passphrase, or lies where it was before, is taken over. */
export const serviceKeysOf = ({ config, passphrase, servicePassphrase, log }: Core): ServiceKeys =>
  openServiceKeys(config, { passphrase: servicePassphrase ?? passphrase, former: servicePassphrase === null ? null : passphrase }, log)

/** The OCSP responders of one of the CA's issuers. */
export const respondersOf = ({ clock, log, store }: Core, issuer: Issuer, serviceKeys: ServiceKeys, onReplaced?: () => void): Responders =>
  createResponders({ clock, log, issuer, issuing: { issuer, store }, keys: serviceKeys.respondersOf(issuer), ...(onReplaced && { onReplaced }) })

/** Those of all issuers. */
const together = (all: Responders[]): Ca['responders'] => ({
  expires: (now) => firstEnd(all, now),
  maintain: async () => {
    for (const one of all) await one.maintain()
  },
})

/** The certificates that are served below `/ca/`. */
export const servedCertificates = ({ intermediate, root, retired, users }: Keystore): ServedCertificate[] => [
  { id: root.id, role: 'root', der: root.certificate, notBefore: readCertificate(root.certificate).notBefore },
  { id: intermediate.id, role: 'intermediate', der: intermediate.certificate, notBefore: intermediate.notBefore },
  ...retired.map(({ id, certificate, notBefore }) => ({ id, der: certificate, notBefore })),
  ...(users
    ? [
        { id: users.root.id, role: 'user-root' as const, der: users.root.certificate, notBefore: readCertificate(users.root.certificate).notBefore },
        {
          id: users.intermediate.id,
          role: 'user-intermediate' as const,
          der: users.intermediate.certificate,
          notBefore: users.intermediate.notBefore,
        },
        ...users.retired.map(({ id, certificate, notBefore }) => ({ id, der: certificate, notBefore })),
      ]
    : []),
]

/** What is asked of the database once, when it is needed first. */
const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | undefined
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
}

/**
 * Everything that the running CA consists of, not yet started. `onProgress`: told how far CRLs are that are published on command. `transport`: by which mails
 * leave; without, they stay in the outbox.
 */
export const buildCa = (
  core: Core,
  version: string,
  { onProgress, transport = null }: { onProgress?: ((progress: CrlProgress) => void) | undefined; transport?: Transport | null } = {},
): Ca => {
  const { config, clock, log, store, keystore } = core
  const { root, users } = keystore
  const roots = [root.issuer, users?.root.issuer].filter((issuer) => issuer != null)
  const serviceKeys = serviceKeysOf(core)
  const issuers = statusIssuers(keystore).map((issuer) => ({
    ...issuer,
    responders: respondersOf(core, issuer, serviceKeys, () => ocsp.outdate()),
  }))
  const responders = together(issuers.map((issuer) => issuer.responders))
  const ocsp = createOcspService({ clock, log, store, issuers })
  const shelf = createCrlShelf({ clock, log, store })
  const shards = Array.from({ length: crlShards }, (_, shard) => shard)
  const crls = createCrlPublisher({
    clock,
    log,
    store,
    sources: [
      ...issuers.map((issuer) => ({
        issuer,
        shards,
        shardUrls: (shard: number) => crlPointers(config, core.knownStatusUrls, issuer.id, shard),
      })),
      ...roots.map((issuer) => ({ issuer, shards: [], shardUrls: () => [] })),
    ],
    onPublished: (crl) => shelf.put(crl),
    ...(onProgress && { onProgress }),
  })
  const feed = createRevocationFeed({
    log,
    store,
    onBegin: () => ocsp.clear(),
    onRevoked: ({ issuerId, serial, crlShard, seq }) => {
      log.info({ serial, issuer: issuerId }, 'certificate.revoked')
      ocsp.invalidate(issuerId, serial)
      crls.publishAfterRevocation(issuerId, crlShard, seq)
    },
  })
  // A revocation by this process goes the same way as one by another; only sooner.
  const ica = buildIca(
    core,
    (issuerId, serial) => {
      ocsp.invalidate(issuerId, serial)
      void feed.poll()
    },
    () => outgoing?.kick(),
  )
  const queue = createValidationQueue(ica)
  const status = createStatusHandler({
    clock,
    log,
    ocsp,
    crls: shelf,
    certificates: servedCertificates(keystore),
  })
  const fastPath = createFastPath({ clock, ocsp, limits })
  const watch = createCrlWatch({
    clock,
    log,
    store,
    expected: [
      ...crls.states().map(({ issuerId, shard }) => ({ issuerId, shard, republishMs: crlDefaults.republishMs })),
      // Made elsewhere and imported.
      ...[root, ...(users ? [users.root] : [])].filter(({ issuer }) => !issuer).map(({ id }) => ({ issuerId: id, shard: null, republishMs: null })),
    ],
  })
  const facts = factsOf(config, keystore, version)
  const sender = { name: facts.name, website: config.url }
  const subscriptions: () => Promise<Subscriptions> = once(() => createSubscriptions(store))
  const outgoing =
    transport &&
    createOutgoing({
      clock,
      log,
      store,
      metrics: core.meter,
      sealer: ica.sealer,
      transport,
      sender,
      subscriptions,
      times: config.lab ? { firstRetry: 2_000 } : {},
    })
  return {
    ica,
    queue,
    responders,
    crls,
    feed,
    ocsp,
    crlShelf: shelf,
    serviceKeys,
    status,
    fastPath,
    watch,
    facts,
    confirm: createConfirmHandler({ ica, ca: sender, subscriptions }),
    outgoing,
    createAcme: () => createAcmeHandler(ica, queue, config.url),
  }
}
