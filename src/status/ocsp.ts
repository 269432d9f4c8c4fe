/**
 * The OCSP service (RFC 6960, RFC 5019). The usual request, for one certificate and without a nonce, is answered from memory; everything else is signed.
 *
 * Memory is keyed by the request in the one canonical form that asks for this CertID and nothing else. Only what went through the strict decoder gets in, so a
 * hit needs no decoding, and a certificate has at most four keys: two hashes, with and without the NULL of their algorithm.
 */
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import type { Log } from '../log.js'
import { tlvSize } from '../pki/der.js'
import { certIdHashes, encodeCertId } from '../pki/ocsp-certid.js'
import { encodeOcspRequest, maxOcspRequest, type OcspRequest, readOcspRequest } from '../pki/ocsp-request.js'
import type { Store } from '../store/store.js'
import { createBoundedMap } from './bounded-map.js'
import { errorAnswers, issuerOf, type KnownIssuer, knownIssuer, type OcspAnswer, type OcspIssuer } from './ocsp-answer.js'
import { nameOf } from './second-memory.js'
import { createWorkshop, type Task } from './workshop.js'

export type OcspDeps = {
  clock: Clock
  log: Log
  store: Pick<Store, 'certificateStatuses'>
  issuers: readonly OcspIssuer[]
  /** Told when an answer says of a certificate for the first time that it is revoked, and nobody has told this service so: others that hold answers may not know of it either. */
  onMet?(): void
  settings?: Partial<OcspSettings>
}

export type OcspSettings = {
  /** nextUpdate - thisUpdate (PKI.md: 8 hours to 10 days). */
  validityMs: number
  /** Answers held in memory, of 1 to 2 KB. */
  cacheSize: number
  /** Answers that are being looked up and signed; who asks beyond that is told to try later. */
  maxInMaking: number
}

const hour = 3_600_000
/** 4096 signatures with P-256 take a tenth of a second. */
const defaults: OcspSettings = { validityMs: 24 * hour, cacheSize: 50_000, maxInMaking: 4096 }

/** How often each thing was said, and how it came about. Plain numbers, to be read by whatever collects metrics. */
export type OcspCounts = Record<OcspAnswer['says'] | 'hits' | 'signed' | 'overdue' | 'failures' | 'refused', number>

export type OcspService = {
  /** Never rejects: what can't be answered is answered with an OCSP error. Not a promise where the answer is in memory. */
  answer(request: Uint8Array): OcspAnswer | Promise<OcspAnswer>
  /** What is in memory for a request, given with one character for each octet, where that needs nothing further. */
  held(request: string): OcspAnswer | undefined
  /** {@link answer} for a request of which nothing is {@link held}, given in the same way. */
  make(request: string): OcspAnswer | Promise<OcspAnswer>
  /** Drops what is held of a certificate, and what is being signed of it. Call it when a revocation is durable. */
  invalidate(issuerId: string, serial: string): void
  /** Drops everything that is held. */
  clear(): void
  /** What is held is from now on only given to a client where a new answer can't be made. Call it when answers are signed by another responder. */
  outdate(): void
  counts: Readonly<OcspCounts>
  /** The number of answers in memory. */
  size(): number
}

const newCounts = (): OcspCounts => ({
  good: 0,
  revoked: 0,
  unknown: 0,
  several: 0,
  malformedRequest: 0,
  internalError: 0,
  tryLater: 0,
  unauthorized: 0,
  hits: 0,
  signed: 0,
  overdue: 0,
  failures: 0,
  refused: 0,
})

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')

/** A canonical request has at most 116 octets: SHA-256 and a serial of 20. */
const maxKey = 128

const keyOf = (certId: Uint8Array): string => latin1(encodeOcspRequest([certId]))

/** The length of a canonical request. In DER whatever else a request has makes it longer, so that one of this length is canonical. */
const canonicalLength = (certId: Uint8Array): number => tlvSize(tlvSize(tlvSize(tlvSize(certId.length))))

/** Answers in memory and signatures in the making. */
type Memory = ReturnType<typeof createMemory>

const createMemory = (size: number) => ({
  held: createBoundedMap<OcspAnswer>(size),
  /** Who wants what is being signed waits for it. */
  flights: new Map<string, Promise<OcspAnswer>>(),
  /** Keys of flights whose certificates were revoked after take-off. */
  outdated: new Set<string>(),
  /** Certificates of which it is known here that they are revoked, so that no answer in memory says otherwise. */
  revoked: createBoundedMap<true>(size),
})

/** Signs an answer for everybody, once for all who ask meanwhile. */
const signShared = (memory: Memory, key: string, sign: () => Promise<OcspAnswer>): Promise<OcspAnswer> => {
  const { held, flights, outdated } = memory
  const land = (answer: OcspAnswer): OcspAnswer | Promise<OcspAnswer> => {
    // The status may have been read before the revocation.
    if (outdated.delete(key)) return sign().then(land, crash)
    flights.delete(key)
    if (answer.shared) held.set(key, answer)
    return answer
  }
  const crash = (error: unknown): never => {
    flights.delete(key)
    outdated.delete(key)
    throw error
  }
  const inFlight = flights.get(key)
  if (inFlight) return inFlight
  const flight = sign().then(land, crash)
  flights.set(key, flight)
  return flight
}

/** After a failure, an answer that is still valid is given as it is for so long. */
const retryMs = 5000

export const createOcspService = (deps: OcspDeps): OcspService => {
  const { clock } = deps
  const { validityMs, cacheSize, maxInMaking } = { ...defaults, ...deps.settings }
  const issuers = deps.issuers.map(knownIssuer)
  const memory = createMemory(cacheSize)
  const counts = newCounts()
  const failure = createFailureLog(deps.log)
  let inMaking = 0

  /** A revocation that is met before the feed tells of it: what is held under other keys goes now, so that nobody hears `good` after `revoked`. */
  const meet = (serial: string, { issuer, flight }: Task): void => {
    const name = nameOf(issuer.id, serial)
    if (memory.revoked.get(name)) return
    memory.revoked.set(name, true)
    workshop.forget()
    for (const key of keysOf(issuer, serial)) if (key !== flight) invalidate(memory, key)
    deps.onMet?.()
  }

  const workshop = createWorkshop({ clock, store: deps.store, validityMs, onRevoked: meet })

  const made = (answer: OcspAnswer): OcspAnswer => {
    inMaking--
    counts.signed++
    failure.over()
    return answer
  }
  const failed = (error: unknown): never => {
    inMaking--
    counts.failures++
    failure.happened(error)
    throw error
  }
  const sign = (task: Task): Promise<OcspAnswer> => {
    if (inMaking >= maxInMaking) {
      counts.refused++
      return Promise.reject(new IcaError('unavailable', 'Too many OCSP answers are being made.'))
    }
    inMaking++
    return workshop.make(task).then(made, failed)
  }

  /** An answer from memory or signed now, for a request that many may make. */
  const answerShared = (issuer: KnownIssuer, request: OcspRequest, key: string): OcspAnswer | Promise<OcspAnswer> => {
    const now = clock.now()
    const held = memory.held.get(key)
    const signing = (): Promise<OcspAnswer> => signShared(memory, key, () => sign({ issuer, request, flight: key }))
    if (!held?.shared || now > held.shared.nextUpdate) return signing()
    if (now < held.shared.staleAt) counts.hits++
    if (now < held.shared.refreshAt) return held
    const { shared } = held
    const renewed = signing().catch((error: unknown) => {
      // Dropped meanwhile: its certificate was revoked.
      if (memory.held.get(key) !== held) throw error
      shared.refreshAt = Math.min(clock.now() + retryMs, shared.nextUpdate)
      return held
    })
    if (now >= shared.staleAt) return renewed
    renewed.catch(() => undefined)
    return held
  }

  const answerDecoded = (request: OcspRequest, text: string): OcspAnswer | Promise<OcspAnswer> => {
    const issuer = issuerOf(issuers, request.certIds)
    if (!issuer) return errorAnswers.unauthorized
    const [first] = request.certIds
    const isShared = request.certIds.length === 1 && request.nonce === null
    if (isShared && first) return answerShared(issuer, request, text.length === canonicalLength(first.der) ? text : keyOf(first.der))
    return sign({ issuer, request, flight: null })
  }

  const count = (answer: OcspAnswer): OcspAnswer => {
    counts[answer.says]++
    return answer
  }
  const countError = (error: unknown): OcspAnswer => count(asError(error))

  /** Past the memory: decode, and perhaps sign. */
  const make = (text: string): OcspAnswer | Promise<OcspAnswer> => {
    const decoded = decode(Buffer.from(text, 'latin1'))
    if (!decoded) return count(errorAnswers.malformedRequest)
    const answer = answerDecoded(decoded, text)
    return answer instanceof Promise ? answer.then(count, countError) : count(answer)
  }

  const held = (request: string): OcspAnswer | undefined => {
    const found = request.length <= maxKey ? memory.held.get(request) : undefined
    if (!found?.shared) return undefined
    const now = clock.now()
    if (now >= found.shared.refreshAt) return undefined
    counts.hits++
    if (now >= found.shared.staleAt) counts.overdue++
    return count(found)
  }

  return {
    answer: (request) => {
      // A longer one is refused for its length alone.
      const text = latin1(request.subarray(0, maxOcspRequest + 1))
      return held(text) ?? make(text)
    },
    held,
    make,
    invalidate: (issuerId, serial) => {
      workshop.forget()
      for (const issuer of issuers) if (issuer.id === issuerId) for (const key of keysOf(issuer, serial)) invalidate(memory, key)
    },
    clear: () => {
      workshop.forget()
      for (const key of memory.flights.keys()) memory.outdated.add(key)
      memory.held.clear()
    },
    outdate: () => {
      for (const key of memory.flights.keys()) memory.outdated.add(key)
      for (const { shared } of memory.held.values()) if (shared) Object.assign(shared, { refreshAt: 0, staleAt: 0 })
    },
    counts,
    size: memory.held.size,
  }
}

const decode = (request: Uint8Array): OcspRequest | null => {
  try {
    return readOcspRequest(request)
  } catch (error) {
    if (error instanceof IcaError) return null
    throw error
  }
}

const asError = (error: unknown): OcspAnswer =>
  error instanceof IcaError && error.code === 'unavailable' ? errorAnswers.tryLater : errorAnswers.internalError

/** Everything that a certificate may be held under. */
const keysOf = (issuer: KnownIssuer, serial: string): string[] =>
  certIdHashes.flatMap((hash) => (['null', 'absent'] as const).map((parameters) => keyOf(encodeCertId(issuer, hash, serial, parameters))))

const invalidate = ({ held, flights, outdated }: Memory, key: string): void => {
  held.delete(key)
  if (flights.has(key)) outdated.add(key)
}

/** Logs the first failure of a row of them and its end: with thousands of requests a second, each would be too many. */
const createFailureLog = (log: Log) => {
  let failing = false
  return {
    happened: (err: unknown): void => {
      if (!failing) log.error({ err }, 'OCSP answers can’t be signed; what is held goes on being given while it is valid')
      failing = true
    },
    over: (): void => {
      if (failing) log.info({}, 'OCSP answers are signed again')
      failing = false
    },
  }
}
