/** The wiring: everything that the program consists of is made here and handed to what needs it. Nothing else makes anything for others. */
import { createHash, randomBytes } from 'node:crypto'
import type { Router } from 'express'
import { createAcmeRouter } from './acme/router.js'
import type { Facts } from './api/facts.js'
import type { Clock } from './clock.js'
import type { Config } from './config.js'
import { createValidationQueue, type ValidationQueue } from './issuance/challenges.js'
import { type CrlWatch, createCrlWatch } from './issuance/crl-watch.js'
import { type CrlPublisher, createCrlPublisher, crlDefaults } from './issuance/crls.js'
import type { Ica } from './issuance/ica.js'
import { createPolicies } from './issuance/policies.js'
import { createResponders, type Responders } from './issuance/responder.js'
import { createSealer } from './keystore/seal.js'
import type { Keystore } from './keystore-open.js'
import { openServiceKeys, type ServiceKeys } from './keystore-service.js'
import type { Log } from './log.js'
import type { Meter } from './metrics.js'
import type { Issuer, StatusUrls } from './pki/certificate.js'
import { readCertificate } from './pki/read-certificate.js'
import { limits } from './server.js'
import type { ServedCertificate } from './status/ca-certificates.js'
import { createCrlShelf } from './status/crl-shelf.js'
import { createFastPath, type FastPath } from './status/fast-path.js'
import { createStatusHandler, type StatusHandler } from './status/handler.js'
import { createOcspService, type OcspService } from './status/ocsp.js'
import { createRevocationFeed, type RevocationFeed } from './status/revocation-feed.js'
import type { Store } from './store/store.js'
import { dns01 } from './validation/dns-01.js'
import { dnsAccount01 } from './validation/dns-account-01.js'
import { dnsPersist01 } from './validation/dns-persist-01.js'
import { http01 } from './validation/http-01.js'
import { createPorts } from './validation/net.js'
import { tlsAlpn01 } from './validation/tls-alpn-01.js'

const hour = 3_600_000
const day = 24 * hour

/** Never less than before: certificates that are out point to their shard. */
export const crlShards = 16

/** The wall clock: the only place where the time is read. */
export const wallClock: Clock = { now: () => Date.now() }

/** Where an issuer's status is published (src/status/handler.ts has the paths). */
export const statusUrls = (config: Pick<Config, 'statusUrl' | 'cpsUrl'>, issuerId: string, shard: number | null): StatusUrls => ({
  ocsp: `${config.statusUrl}/ocsp`,
  caIssuers: `${config.statusUrl}/ca/${issuerId}.cer`,
  crl: `${config.statusUrl}/crl/${issuerId}${shard === null ? '' : `/${shard}`}.crl`,
  cps: config.cpsUrl,
})

/** What everything below is made from. */
export type Core = { config: Config; clock: Clock; log: Log; store: Store; keystore: Keystore; passphrase: string; meter: Meter }

export type Ca = {
  ica: Ica
  queue: ValidationQueue
  responders: Responders
  crls: CrlPublisher
  feed: RevocationFeed
  ocsp: OcspService
  serviceKeys: ServiceKeys
  status: StatusHandler
  fastPath: FastPath
  watch: CrlWatch
  facts: Facts
  /** The ACME side; made last, because its nonces live in the database. */
  createAcme(): Promise<Router>
}

/** What anybody may know of this CA. */
export const factsOf = (config: Config, keystore: Keystore, version: string): Facts => {
  const { root, intermediate } = keystore
  const certificate = (role: string, der: Uint8Array) => ({
    name: readCertificate(der).commonName ?? role,
    sha256: (createHash('sha256').update(der).digest('hex').toUpperCase().match(/../g) ?? []).join(':'),
    notAfter: readCertificate(der).notAfter,
    der: `${config.statusUrl}/ca/${role}.cer`,
    pem: `${config.statusUrl}/ca/${role}.pem`,
  })
  const crl = (id: string) => statusUrls(config, id, null).crl
  return {
    version,
    name: root.commonName.replace(/ Root$/, ''),
    directory: `${config.url}/acme/directory`,
    root: certificate('root', root.certificate),
    intermediate: certificate('intermediate', intermediate.certificate),
    ocsp: statusUrls(config, intermediate.id, null).ocsp,
    crls: [crl(intermediate.id), ...(root.issuer ? [crl(root.id)] : [])],
    terms: config.termsUrl,
    cps: config.cpsUrl,
    profiles: [...config.profiles.values()].map(({ name, description }) => ({ name, description, isDefault: name === config.defaultProfile })),
    lab: config.lab,
    needsRoot: config.tls.mode === 'own',
  }
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

/** The pipeline. `afterRevocation` is called when a revocation is durable. */
export const buildIca = (core: Core, afterRevocation: Ica['afterRevocation']): Ica => {
  const { config, clock, log, store, keystore, meter } = core
  const { intermediate, root } = keystore
  const ports = createPorts({ servers: config.dnsServers, lab: config.lab, http01Port: config.http01Port, tlsAlpn01Port: config.tlsAlpn01Port })
  const persist = { clock, issuerDomainNames: config.caaIdentities, accountHashPrefix: `${config.url}/acme/account-hash/` }
  const issuers = [intermediate, ...keystore.retired]
  const ownKeys = new Set([...issuers, root].map(({ publicKey }) => publicKey.keyId))
  return {
    clock,
    log,
    store,
    metrics: meter,
    issuer: intermediate,
    chainsOf: (issuerId) => [(issuers.find(({ id }) => id === issuerId) ?? intermediate).chain],
    profiles: config.profiles,
    defaultProfile: config.defaultProfile,
    validators: [http01(ports), dns01(ports), tlsAlpn01(ports), dnsAccount01(ports), dnsPersist01({ ...persist, resolver: ports.resolver })],
    lookUpCaa: ports.resolver.caa,
    accountUri: (id) => `${config.url}/acme/account/${id}`,
    statusUrls: (shard) => statusUrls(config, intermediate.id, shard),
    isOwnKey: (keyId) => ownKeys.has(keyId),
    settings: settingsOf(config),
    policies: createPolicies(store, clock),
    sealer: createSealer(core.passphrase, () => sealingSalt(store)),
    afterRevocation,
  }
}

/** The OCSP responders of one of the CA's issuers. */
export const respondersOf = ({ clock, log, store }: Core, issuer: Issuer, serviceKeys: ServiceKeys, onReplaced?: () => void): Responders =>
  createResponders({ clock, log, issuer, issuing: { issuer, store }, keys: serviceKeys.respondersOf(issuer), ...(onReplaced && { onReplaced }) })

/** The first, which is the issuer's that signs leaves, with the maintenance of all. */
const togetherWithFirst = (all: Responders[]): Responders => ({
  ...(all[0] as Responders),
  maintain: async () => {
    for (const one of all) await one.maintain()
  },
})

/** The certificates that are served below `/ca/`. */
export const servedCertificates = ({ intermediate, root, retired }: Keystore): ServedCertificate[] => [
  { id: root.id, role: 'root', der: root.certificate, notBefore: readCertificate(root.certificate).notBefore },
  { id: intermediate.id, role: 'intermediate', der: intermediate.certificate, notBefore: intermediate.notBefore },
  ...retired.map(({ id, certificate, notBefore }) => ({ id, der: certificate, notBefore })),
]

/** Everything that the running CA consists of, not yet started. `onProgress`: told before each list that is published on command. */
export const buildCa = (core: Core, version: string, onProgress?: (done: number, of: number) => void): Ca => {
  const { config, clock, log, store, keystore, passphrase } = core
  const { intermediate, root, retired } = keystore
  const serviceKeys = openServiceKeys(config.dataFolder, passphrase, log)
  const issuers = [intermediate, ...retired].map((issuer) => ({
    ...issuer,
    responders: respondersOf(core, issuer, serviceKeys, () => ocsp.clear()),
  }))
  const responders = togetherWithFirst(issuers.map((issuer) => issuer.responders))
  const ocsp = createOcspService({ clock, log, store, issuers })
  const shelf = createCrlShelf({ clock, log, store })
  const shards = Array.from({ length: crlShards }, (_, shard) => shard)
  const crls = createCrlPublisher({
    clock,
    log,
    store,
    sources: [
      ...issuers.map((issuer) => ({ issuer, shards, shardUrl: (shard: number) => statusUrls(config, issuer.id, shard).crl })),
      ...(root.issuer ? [{ issuer: root.issuer, shards: [], shardUrl: () => '' }] : []),
    ],
    onPublished: (crl) => shelf.put(crl),
    ...(onProgress && { onProgress }),
  })
  const feed = createRevocationFeed({
    log,
    store,
    onBegin: () => ocsp.clear(),
    onRevoked: ({ issuerId, serial, crlShard, seq }) => {
      ocsp.invalidate(issuerId, serial)
      crls.publishAfterRevocation(issuerId, crlShard, seq)
    },
  })
  // A revocation by this process goes the same way as one by another; only sooner.
  const ica = buildIca(core, (issuerId, serial) => {
    ocsp.invalidate(issuerId, serial)
    void feed.poll()
  })
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
      ...(root.issuer ? [] : [{ issuerId: root.id, shard: null, republishMs: null }]),
    ],
  })
  const facts = factsOf(config, keystore, version)
  return {
    ica,
    queue,
    responders,
    crls,
    feed,
    ocsp,
    serviceKeys,
    status,
    fastPath,
    watch,
    facts,
    createAcme: () => createAcmeRouter(ica, queue, config.url),
  }
}
