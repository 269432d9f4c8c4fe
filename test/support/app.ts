/**
 * A whole CA for tests: the real ACME side on a port of its own, real issuance, a fresh database (SQLite, or PostgreSQL where ICA_TEST_POSTGRES_URL names a server),
 * P-256 keys in memory. Only the clock and the validators are played: a name is validated as the test says, and refused where it says nothing.
 */
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type AcmeHandler, createAcmeHandler } from '../../src/acme/router.js'
import { type ConfirmHandler, createConfirmHandler } from '../../src/confirm/handler.js'
import { createAddressBook } from '../../src/issuance/addresses.js'
import type { Ica, Settings } from '../../src/issuance/ica.js'
import { noLimits } from '../../src/issuance/limits.js'
import { createSubscriptions } from '../../src/issuance/notices.js'
import { createOutgoing, type OutgoingDeps } from '../../src/issuance/outgoing.js'
import { createPolicies } from '../../src/issuance/policies.js'
import { createValidationQueue } from '../../src/issuance/validation-queue.js'
import { createSealer } from '../../src/keystore/seal.js'
import type { Log } from '../../src/log.js'
import type { Transport } from '../../src/mail/transport.js'
import type { ChallengeType } from '../../src/model.js'
import { type Issuer, newSerial, type StatusUrls } from '../../src/pki/certificate.js'
import { makeIntermediate, makeRoot } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { builtinProfiles, type Profile } from '../../src/pki/profile.js'
import { type NoticeOptions, openStore } from '../../src/store/store.js'
import type { ValidationInput, ValidationResult, Validator } from '../../src/validation/validator.js'
import { appDatabase } from '../store/fixtures.js'

const DAY = 86_400_000

/** What the played network says of a name. Nothing said: refused, not retryable. */
export type Played = (input: ValidationInput, type: ChallengeType) => ValidationResult | Promise<ValidationResult>

export const proven: Played = () => ({ ok: true, evidence: { played: true } })

export type LogLine = { level: string; message: string } & Record<string, unknown>

const createTestLog = (lines: LogLine[]): Log => {
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, message, ...fields })
  }
  const log: Log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: () => log }
  return log
}

const newSigner = () => nodeSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
const urlsFor = (base: string): StatusUrls => ({ ocsp: `${base}/ocsp`, caIssuers: `${base}/ca/i.cer`, crl: `${base}/crl/0.crl`, cps: null })

/** A root, an intermediate, and the same intermediate under another root: two chains. */
const createHierarchy = async (now: number, base: string): Promise<{ issuer: Issuer; chains: Uint8Array[][]; roots: Uint8Array[] }> => {
  const validity = { notBefore: now - DAY, notAfter: now + 3650 * DAY }
  const subject = { commonName: 'Test Intermediate' }
  const signer = newSigner()
  const under = async (commonName: string) => {
    const rootSigner = newSigner()
    const root = await makeRoot({ ...validity, serial: newSerial(randomBytes), subject: { commonName }, signer: rootSigner })
    const issuer = readIssuer([root], rootSigner, now)
    const facts = { ...validity, serial: newSerial(randomBytes), publicKey: signer.publicKey, issuer, urls: urlsFor(base), subject }
    return { root, intermediate: await makeIntermediate(facts) }
  }
  const [first, second] = [await under('Test Root'), await under('Other Root')]
  const issuer = readIssuer([first.intermediate, first.root], signer, now)
  return { issuer, chains: [issuer.chain, [second.intermediate]], roots: [first.root, second.root] }
}

const validators = (played: Map<string, Played>): Validator[] => {
  const validator = (type: ChallengeType, wildcards: boolean): Validator => ({
    type,
    appliesTo: (identifier, wildcard) => wildcards || (identifier.type === 'dns' && !wildcard),
    validate: async (input) =>
      (await (played.get(input.identifier.value) ?? played.get('*'))?.(input, type)) ?? {
        ok: false,
        code: 'unauthorized',
        detail: `The test says nothing of ${input.identifier.value}.`,
        retryable: false,
        evidence: {},
      },
  })
  return [validator('http-01', false), validator('dns-01', true)]
}

export type TestApp = Awaited<ReturnType<typeof createTestApp>>

export type TestAppOptions = {
  settings?: Partial<Settings>
  trustProxy?: boolean
  baseUrl?: string
  /** Beside the built-in ones, or in place of one of the same name. */
  profiles?: Profile[]
  /** Real ones, say, in place of the played ones. */
  validators?: (base: string, clock: Ica['clock']) => Validator[]
  weakKeys?: Ica['weakKeys']
  /** No name has CAA records unless this says otherwise. */
  lookUpCaa?: Ica['lookUpCaa']
  /** Validation and notices by mail, as they leave by this transport. */
  mail?: {
    transport: Transport
    resolver: Parameters<typeof createAddressBook>[0]
    times?: OutgoingDeps['times']
    notices?: NoticeOptions
  }
}

export const createTestApp = async (options: TestAppOptions = {}) => {
  const lines: LogLine[] = []
  const log = createTestLog(lines)
  const database = appDatabase()
  await database.create()
  const store = await openStore({ url: database.url, log, notices: options.mail?.notices ?? null })
  const clock = { skew: 0, now: () => Date.now() + clock.skew }
  const played = new Map<string, Played>()
  let acme: AcmeHandler | undefined
  let confirm: ConfirmHandler | undefined
  const server = createServer((request, response) => {
    const forwarded = options.trustProxy ? request.headers['x-forwarded-for'] : undefined
    const from = { requestId: randomUUID(), address: forwarded?.toString().split(',')[0]?.trim() ?? request.socket.remoteAddress }
    const path = (request.url ?? '/').split('?', 1)[0] as string
    if (!confirm?.(request, response, path, from)) acme?.(request, response, from)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const local = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const base = options.baseUrl ?? local
  const { issuer, chains, roots } = await createHierarchy(clock.now(), local)
  await store.upsertIssuer({ id: issuer.id, kind: 'intermediate', der: issuer.certificate })
  const revoked: string[] = []
  const ica: Ica = {
    clock,
    log,
    store,
    metrics: { count() {} },
    issuer,
    chainsOf: () => chains,
    issuerUrl: (issuerId) => `${local}/ca/${issuerId}.cer`,
    profiles: new Map([...builtinProfiles, ...(options.profiles ?? [])].map((profile) => [profile.name, profile])),
    defaultProfile: 'xmpp-server',
    validators: options.validators?.(base, clock) ?? validators(played),
    email: options.mail
      ? {
          type: 'email-link-01',
          appliesTo: ({ type }) => type === 'dns',
          addresses: createAddressBook(options.mail.resolver, clock),
          onMail: () => outgoing?.kick(),
        }
      : null,
    lookUpCaa: options.lookUpCaa ?? (async () => ({ kind: 'none', reason: 'NODATA' })),
    accountUri: (id) => `${base}/acme/account/${id}`,
    statusUrls: () => urlsFor(local),
    isOwnKey: (keyId) => keyId === issuer.publicKey.keyId,
    weakKeys: options.weakKeys ?? { has: () => false },
    settings: {
      lab: true,
      termsOfService: `${base}/terms`,
      website: base,
      caaIdentities: ['ca.test'],
      orderLifetimeMs: 7 * DAY,
      pendingLifetimeMs: 7 * DAY,
      authorizationReuseMs: 30 * DAY,
      validationDelaysMs: [50],
      maxIdentifiers: 100,
      crlShards: 1,
      externalAccounts: 'off',
      // Tests have one address and few accounts; those of the limits say which they want.
      limits: noLimits,
      ...options.settings,
    },
    policies: createPolicies(store, clock),
    sealer: createSealer('a passphrase of the tests', async () => Buffer.from('salt')),
    afterRevocation: (_, serial) => revoked.push(serial),
  }
  const subscriptions = () => createSubscriptions(store)
  const sender = { name: 'Test CA', website: base }
  const startSending = (transport: Transport) => {
    const { metrics, sealer } = ica
    const made = createOutgoing({
      clock,
      log,
      store,
      metrics,
      sealer,
      transport,
      sender,
      subscriptions,
      ...(options.mail?.times && { times: options.mail.times }),
    })
    made.start()
    return made
  }
  let outgoing = options.mail ? startSending(options.mail.transport) : null
  const queue = createValidationQueue(ica)
  queue.start()
  confirm = createConfirmHandler({ ica, ca: sender, subscriptions })
  acme = await createAcmeHandler(ica, queue, base)
  return {
    /** Where it listens, without a final slash; `base` is what it calls itself. */
    local,
    base,
    directory: `${local}/acme/directory`,
    ica,
    store,
    clock,
    roots,
    /** By name, or `*` for every name that has no entry. */
    played,
    log: lines,
    /** Serials, in order. */
    revoked,
    subscriptions,
    /** Ends the sender, and begins another one where `transport` is given. */
    async restartSender(transport?: Transport) {
      await outgoing?.stop()
      outgoing = transport ? startSending(transport) : null
    },
    async close() {
      server.close()
      server.closeAllConnections()
      await Promise.all([queue.stop(), outgoing?.stop()])
      await store.close()
      await database.drop()
    },
  }
}
