/**
 * Where answers are made. What was asked for in one turn of the event loop is looked up and signed together at its end: one statement for all costs a fraction of
 * one for each, signing on the spot beats another thread where a signature takes 22 µs, and answers that are made together leave together. But only so many in
 * one turn, because libuv accepts one connection in each and others want theirs.
 */
import type { Clock } from '../clock.js'
import type { OcspRequest } from '../pki/ocsp-request.js'
import type { CertificateStatus, IssuedSerial, Store } from '../store/store.js'
import { completeAnswer, draftAnswer, type KnownIssuer, type OcspAnswer } from './ocsp-answer.js'
import { createSecondMemory, nameOf, type Statuses } from './second-memory.js'

/** What is to be answered. `flight`: the key that it is made for; null for an answer to one, who may ask for the same certificate again within the second. */
export type Task = { issuer: KnownIssuer; request: OcspRequest; flight: string | null }

export type Workshop = {
  /** Looks up and signs. Rejects with IcaError('unavailable') where the database or a valid responder is missing. */
  make(task: Task): Promise<OcspAnswer>
  /** Forgets what the database said within this second. Call it when a certificate was revoked. */
  forget(): void
}

export type WorkshopDeps = {
  clock: Clock
  store: Pick<Store, 'certificateStatuses'>
  validityMs: number
  /** Told of each revoked certificate before the answer that says so is signed. */
  onRevoked(serial: string, task: Task): void
}

type Job = Task & { resolve(answer: OcspAnswer): void; reject(error: unknown): void }
/** A job whose certificates were looked up. */
type Known = { job: Job; statuses: CertificateStatus[]; now: number }

/** Below two milliseconds with P-256. */
const perTurn = 32
/** Some 200 octets each. */
const maxRemembered = 20_000
/** Serials of this CA have at most 20 octets (RFC 5280 §4.1.2.2). */
const maxSerialDigits = 40

const notIssued: CertificateStatus = { status: 'unknown' }

export const createWorkshop = ({ clock, store, validityMs, onRevoked }: WorkshopDeps): Workshop => {
  const memory = createSecondMemory()
  const asked: Job[] = []
  const known: Known[] = []
  let isSigning = false

  /** On the spot, or in its own way with a key that can't (RSA, a token). */
  const sign = ({ job, statuses, now }: Known): void => {
    try {
      const { issuer, request } = job
      for (const [i, { status }] of statuses.entries()) if (status === 'revoked') onRevoked(request.certIds[i]?.serial as string, job)
      const draft = draftAnswer(issuer, request, statuses, { now, validityMs })
      const { signer } = draft.responder
      if (signer.signNow) job.resolve(completeAnswer(draft, signer.signNow(draft.data)))
      else
        signer
          .sign(draft.data)
          .then((signature) => job.resolve(completeAnswer(draft, signature)))
          .catch(job.reject)
    } catch (error) {
      job.reject(error)
    }
  }

  /** Signs what is known, as much as one turn may hold; only what fills it is followed by another. */
  const signKnown = (): void => {
    const load = known.splice(0, perTurn)
    isSigning = load.length === perTurn
    for (const each of load) sign(each)
    if (isSigning) setImmediate(signKnown)
  }

  const lookUp = (jobs: Job[]): void => {
    // Before the look-up: what is said was true at thisUpdate or later.
    const now = clock.now()
    const remembered = memory.at(now)
    const questions: IssuedSerial[] = []
    const answersOf = jobs.map(({ issuer, request, flight }) =>
      request.certIds.map(({ serial }): CertificateStatus | number => {
        if (serial.length > maxSerialDigits) return notIssued
        const status = flight === null ? remembered.get(nameOf(issuer.id, serial)) : undefined
        return status ?? questions.push({ issuerId: issuer.id, serial }) - 1
      }),
    )
    const goOn = (found: readonly CertificateStatus[]): void => {
      for (const [i, job] of jobs.entries()) {
        const answers = answersOf[i] as (CertificateStatus | number)[]
        const statuses = answers.map((answer) => (typeof answer === 'number' ? (found[answer] as CertificateStatus) : answer))
        if (job.flight === null) remember(remembered, job, statuses)
        known.push({ job, statuses, now })
      }
      if (!isSigning) signKnown()
    }
    if (questions.length === 0) goOn([])
    else
      store.certificateStatuses(questions).then(goOn, (error: unknown) => {
        for (const job of jobs) job.reject(error)
      })
  }

  const begin = (): void => {
    const jobs = asked.splice(0, perTurn)
    if (asked.length > 0) setImmediate(begin)
    lookUp(jobs)
  }

  return {
    make: (task) =>
      new Promise((resolve, reject) => {
        if (asked.push({ ...task, resolve, reject }) === 1) setImmediate(begin)
      }),
    forget: memory.clear,
  }
}

/** What was never issued may be issued next, so that it is not remembered. */
const remember = (statuses: Statuses, { issuer, request }: Job, found: readonly CertificateStatus[]): void => {
  for (const [i, status] of found.entries())
    if (status.status !== 'unknown' && statuses.size < maxRemembered) statuses.set(nameOf(issuer.id, request.certIds[i]?.serial as string), status)
}
