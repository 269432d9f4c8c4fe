/**
 * The delegated OCSP responders (RFC 6960 §4.2.2.2): keys that sign nothing but status, with short-lived certificates that the CA issues to itself and replaces
 * halfway through their lives. So the CA's own key is not needed where answers are signed, and an answer that was signed by the old generation stays valid.
 */
import { generateKeyPair, type KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import type { Log } from '../log.js'
import { type Issuer, newSerial } from '../pki/certificate.js'
import { makeResponder } from '../pki/hierarchy.js'
import { nodeSigner } from '../pki/keys.js'
import { type OcspResponder, ocspResponder } from '../pki/ocsp-response.js'
import { oids } from '../pki/oids.js'
import type { Store } from '../store/store.js'

/** A responder's private key with its DER certificate. */
export type ResponderKey = { key: KeyObject; certificate: Uint8Array }

/** Where generations are kept between starts; file I/O and encryption are the implementer's. Calls never overlap. */
export type ResponderKeys = {
  /** All that are kept for this issuer. Called at each `maintain`, because another process may have made one; so what was opened before must cost nothing. */
  load(): Promise<ResponderKey[]>
  save(generation: ResponderKey): Promise<void>
  /** Forgets an expired one. */
  remove(generation: ResponderKey): Promise<void>
}

export type RespondersDeps = {
  clock: Clock
  log: Log
  /** Whose certificates the answers are about. */
  issuer: Pick<Issuer, 'id' | 'certificate' | 'notAfter'>
  /** What is needed to make a new generation; null in a process without the CA's key, which only loads what others have made. */
  issuing: { issuer: Issuer; store: Pick<Store, 'reserveCertificate' | 'storeCertificate'> } | null
  keys: ResponderKeys
  /** Told when answers are signed by another one than before, so that those of the old one are not given out for longer than there is need. */
  onReplaced?(): void
  /** Of a new certificate. */
  lifetimeMs?: number
}

/** A responder and the time in which it may sign, in milliseconds since the epoch, both ends included. */
export type Responder = OcspResponder & { notBefore: number; notAfter: number }

export type Responders = {
  /** The one to sign with; null where none is valid: then nothing may be signed. */
  current(now: number): Responder | null
  /** Loads, rotates, forgets. Call it at the start and every few minutes. Never rejects: a failure is logged and tried again, the last generation goes on meanwhile. */
  maintain(): Promise<void>
  /**
   * Makes a new one at once, whatever the age of the last, and keeps it; where the last one's key may have leaked. Answers that are out stay valid, and so do new ones by whoever
   * has the key, until its certificate ends: nobody asks for the status of a responder. Gives its certificate (DER). Rejects where it can't be made.
   */
  rotate(): Promise<Uint8Array>
}

type Generation = ResponderKey & { responder: Responder; saved: boolean }

const day = 86_400_000
/** Certificates are back-dated for verifiers whose clocks are behind (PKI.md: at most an hour). */
const backdate = day / 48

const newKeyPair = promisify(generateKeyPair)

export const createResponders = (deps: RespondersDeps): Responders => {
  const { clock, log, issuer, issuing, keys, lifetimeMs = 30 * day } = deps
  /** The newest first. */
  let generations: Generation[] = []
  let running: Promise<void> | null = null
  /** What can't be used, so that it is said once. */
  const refused = new Set<string>()
  /** Who signed last. */
  let signing: Responder | null = null

  const current = (now: number): Responder | null =>
    generations.find(({ responder }) => responder.notBefore <= now && now <= responder.notAfter)?.responder ?? null

  const add = (generation: Generation): void => {
    if (isKnown(generation.certificate)) return
    generations = [...generations, generation].sort(newestFirst)
  }

  const isKnown = (certificate: Uint8Array): boolean => generations.some((one) => Buffer.compare(one.certificate, certificate) === 0)

  const load = async (): Promise<void> => {
    for (const kept of await keys.load()) {
      const name = Buffer.from(kept.certificate).toString('latin1')
      if (isKnown(kept.certificate) || refused.has(name)) continue
      try {
        const generation = readGeneration(issuer, kept)
        if (generation.responder.notAfter >= clock.now() || issuing) add(generation)
      } catch (err) {
        refused.add(name)
        log.warn({ err }, 'an OCSP responder certificate can’t be used and is left alone')
      }
    }
  }

  const forgetExpired = async (now: number): Promise<void> => {
    const expired = generations.filter(({ responder }) => responder.notAfter < now)
    generations = generations.filter((generation) => !expired.includes(generation))
    if (issuing) for (const generation of expired) await keys.remove(generation)
  }

  const saveUnsaved = async (): Promise<void> => {
    for (const generation of generations) {
      if (generation.saved) continue
      await keys.save(generation)
      generation.saved = true
    }
  }

  /** Past half of its life, and a new one would live longer. */
  const wantsRotation = (now: number): boolean => {
    const responder = current(now)
    if (!responder) return true
    return now >= (responder.notBefore + responder.notAfter) / 2 && Math.min(now + lifetimeMs, issuer.notAfter) > responder.notAfter
  }

  const work = async (now: number): Promise<void> => {
    await load()
    if (wantsRotation(now) && issuing) await make(issuing, now)
    await saveUnsaved()
    await forgetExpired(now)
    const before = signing
    signing = current(now)
    if (before && signing !== before) deps.onReplaced?.()
  }

  const make = async (by: NonNullable<RespondersDeps['issuing']>, now: number): Promise<Uint8Array> => {
    const made = await issueResponder(by, now, lifetimeMs)
    add(readGeneration(issuer, made, false))
    log.info({ issuer: issuer.id, notAfter: current(now)?.notAfter }, 'made a new OCSP responder')
    return made.certificate
  }

  const rotate = async (): Promise<Uint8Array> => {
    if (!issuing) throw new IcaError('serverInternal', 'The key of the CA is not here: a new OCSP responder can’t be certified.')
    await running
    const now = clock.now()
    await load()
    const certificate = await make(issuing, now)
    await saveUnsaved()
    return certificate
  }

  const maintain = async (): Promise<void> => {
    const now = clock.now()
    try {
      await work(now)
    } catch (err) {
      log.error({ err, issuer: issuer.id }, 'the OCSP responder could not be maintained')
    }
    if (!current(now)) log.error({ issuer: issuer.id }, 'there is no valid OCSP responder: OCSP can’t be answered')
  }

  return {
    current,
    rotate,
    maintain: () => {
      running ??= maintain().finally(() => {
        running = null
      })
      return running
    },
  }
}

/** When the first of several issuers has nobody to sign with, as far as is known; 0 where one has nobody now. */
export const firstEnd = (all: readonly Pick<Responders, 'current'>[], now: number): number =>
  Math.min(...all.map((one) => one.current(now)?.notAfter ?? 0))

/** The one that was made last; all that end with their issuer end together. */
const newestFirst = (a: Generation, b: Generation): number =>
  b.responder.notAfter - a.responder.notAfter || b.responder.notBefore - a.responder.notBefore

/** Checks that a generation is what it should be before anything is signed with it. Throws serverInternal that says what is wrong. */
const readGeneration = (issuer: RespondersDeps['issuer'], { key, certificate }: ResponderKey, saved = true): Generation => {
  const read = new X509Certificate(certificate)
  const parent = new X509Certificate(issuer.certificate)
  const problem =
    (!read.checkPrivateKey(key) && 'its key is another') ||
    (!(read.checkIssued(parent) && read.verify(parent.publicKey)) && `it was not issued by ${issuer.id}`) ||
    (read.keyUsage?.join() !== oids.ocspSigning && 'it is not for OCSP signing')
  if (problem) throw new IcaError('serverInternal', `The OCSP responder certificate ${read.serialNumber.toLowerCase()} is wrong: ${problem}.`)
  const responder = { ...ocspResponder(nodeSigner(key), certificate), notBefore: Date.parse(read.validFrom), notAfter: Date.parse(read.validTo) }
  return { key, certificate, responder, saved }
}

/** A new P-256 key and its certificate, recorded like every other: serial first, then the certificate with its audit row. */
const issueResponder = async ({ issuer, store }: NonNullable<RespondersDeps['issuing']>, now: number, lifetimeMs: number): Promise<ResponderKey> => {
  const { privateKey: key } = await newKeyPair('ec', { namedCurve: 'P-256' })
  const { publicKey } = nodeSigner(key)
  const second = Math.floor(now / 1000) * 1000
  const validity = { notBefore: second - backdate, notAfter: Math.min(second + lifetimeMs, issuer.notAfter) }
  const serial = newSerial(randomBytes)
  await store.reserveCertificate({
    serial,
    issuerId: issuer.id,
    kind: 'responder',
    profile: 'ocsp-responder',
    accountId: null,
    orderId: null,
    keyId: publicKey.keyId,
    // It has no pointers, so nobody looks for it in a shard.
    crlShard: 0,
    ...validity,
    names: [],
    createdAt: now,
  })
  const certificate = await makeResponder({ serial, publicKey, issuer, ...validity, subject: { commonName: `OCSP responder ${serial.slice(0, 8)}` } })
  const detail = { kind: 'responder', issuer: issuer.id, keyId: publicKey.keyId, ...validity }
  await store.storeCertificate(serial, certificate, {
    at: now,
    actor: 'system',
    action: 'certificate.issued',
    subject: `certificate:${serial}`,
    detail,
  })
  return { key, certificate }
}
