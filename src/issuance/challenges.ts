import { IcaError, type Problem, toProblem } from '../errors.js'
import type { Identifier } from '../identifier.js'
import type { Account, Authorization, Challenge } from '../model.js'
import type { ChallengeInContext } from '../store/store.js'
import type { ValidationResult } from '../validation/validator.js'
import { requireActive } from './accounts.js'
import { askByMail } from './email.js'
import { act, type Ica, owned, type Who } from './ica.js'
import { failureCharges } from './limits.js'
import { authorizationStatus } from './status.js'

/** A challenge with what is needed to validate it. */
export type Work = ChallengeInContext

export type ValidationQueue = {
  /** Validates soon, in the background. The caller holds the lease until `leaseUntil`. */
  add(work: Work, leaseUntil: number): void
  /** Validates before its time what waits for another attempt, where the client asks for it (RFC 8555 §8.2), but not at once again. */
  hurry(work: Work): Promise<void>
  /** Begins to look for work that is due: retries, and what a crash left behind. */
  start(): void
  /** Ends running validations; what was not finished is due again at once. */
  stop(): Promise<void>
}

const CONCURRENT = 64
const WAITING = 10_000
const VALIDATION_MS = 15_000
/** Longer than one validation, so that no two processes work on the same challenge; short, so that a crash delays nobody for long. */
const LEASE_MS = 20_000
const POLL_MS = 1_000
/** What a client gains by asking for another attempt is bounded: by this pause, and by the number of attempts that there are. */
const HURRY_MS = 5_000
/** So many failures are told of one challenge. */
const TOLD_FAILURES = 20

/** The authorization `id` of this account. Throws notFound. */
export const authorizationOf = async (ica: Ica, account: Account, id: string): Promise<Authorization> =>
  owned(await ica.store.authorizationById(id), account.id, 'authorization')

/** Deactivates an authorization (RFC 8555 §7.5.2). Throws malformed where it is neither pending nor valid. */
export const deactivateAuthorization = async (ica: Ica, account: Account, id: string, who: Who): Promise<Authorization> => {
  const authorization = await authorizationOf(ica, account, id)
  const now = ica.clock.now()
  const status = authorizationStatus(authorization, now)
  if (status !== 'pending' && status !== 'valid') throw new IcaError('malformed', `The authorization is ${status}; it can't be deactivated.`)
  const audit = act(ica, who, 'authorization.deactivated', `authorization:${id}`, { identifier: authorization.identifier })
  if (!(await ica.store.deactivateAuthorization(id, now, audit))) throw new IcaError('malformed', 'The authorization was deactivated before.')
  return { ...authorization, deactivatedAt: now }
}

/** A challenge of this account with its authorization. Throws notFound. */
export const challengeOf = async (ica: Ica, account: Account, id: string): Promise<Work> => {
  const found = await ica.store.challengeById(id)
  if (!found || found.account.id !== account.id) throw new IcaError('notFound', 'This account has no such challenge.')
  return found
}

/**
 * The client says that it is ready (RFC 8555 §7.5.1): the challenge becomes `processing` and is validated in the background.
 * Said again while it waits for another attempt, that attempt is made now; else it changes nothing. `payload` matters to email-link-01 alone: see {@link askByMail}. Throws malformed where the authorization can't be validated any
 * more.
 */
export const respondToChallenge = async (
  ica: Ica,
  queue: ValidationQueue,
  account: Account,
  id: string,
  payload: Record<string, unknown>,
  who: Who,
): Promise<Work> => {
  const work = await challengeOf(ica, account, id)
  if (work.challenge.type === 'email-link-01') return (await askByMail(ica, work, payload, who)) ?? challengeOf(ica, account, id)
  if (work.challenge.status === 'processing') {
    requireActive(account)
    await queue.hurry(work)
    return work
  }
  if (work.challenge.status !== 'pending') return work
  const now = ica.clock.now()
  requireActive(account)
  const status = authorizationStatus(work.authorization, now)
  if (status !== 'pending') throw new IcaError('malformed', `The authorization is ${status}; make a new order.`)
  const leaseUntil = now + LEASE_MS
  const audit = act(ica, who, 'challenge.accepted', `challenge:${id}`, {
    type: work.challenge.type,
    identifier: work.authorization.identifier,
    authorization: work.authorization.id,
  })
  if (!(await ica.store.startChallenge(id, leaseUntil, audit))) return challengeOf(ica, account, id)
  const challenge: Challenge = { ...work.challenge, status: 'processing', attempts: 1, nextAttemptAt: leaseUntil }
  const authorization = {
    ...work.authorization,
    challenges: work.authorization.challenges.map((c) => (c.id === id ? challenge : c)),
  }
  const started = { ...work, challenge, authorization }
  queue.add(started, leaseUntil)
  return started
}

/** The `error` of a challenge after another failure: that one, with every one so far as a subproblem (RFC 8555 §8.2, §6.7.1). */
const withFailure = (before: Problem | null, failure: Problem, { type, value }: Identifier): Problem => {
  const entry = (problem: Problem) => ({ type: problem.type, detail: problem.detail, identifier: { type, value } })
  if (before === null) return failure
  return { ...failure, subproblems: [...(before.subproblems ?? [entry(before)]), entry(failure)].slice(-TOLD_FAILURES) }
}

/** One validation, with its outcome recorded. `attempts` of the challenge counts this one. */
const validate = async (ica: Ica, work: Work, signal: AbortSignal): Promise<void> => {
  const { challenge, authorization, account } = work
  const validator = ica.validators.find((v) => v.type === challenge.type)
  const result: ValidationResult = validator
    ? await validator.validate(
        {
          identifier: authorization.identifier,
          wildcard: authorization.wildcard,
          token: challenge.token,
          keyAuthorization: `${challenge.token}.${account.thumbprint}`,
          thumbprint: account.thumbprint,
          accountUri: ica.accountUri(account.id),
        },
        AbortSignal.any([signal, AbortSignal.timeout(VALIDATION_MS)]),
      )
    : { ok: false, code: 'serverInternal', detail: `This CA no longer validates by ${challenge.type}.`, retryable: false, evidence: {} }
  if (signal.aborted) return
  const now = ica.clock.now()
  const audit = (action: string) =>
    act(ica, { actor: 'system' }, action, `challenge:${challenge.id}`, {
      account: account.id,
      authorization: authorization.id,
      type: challenge.type,
      identifier: authorization.identifier,
      attempt: challenge.attempts,
      ...(!result.ok && { code: result.code, detail: result.detail }),
      evidence: result.evidence,
    })
  ica.metrics.count('validations', { type: challenge.type, result: result.ok ? 'valid' : result.code })
  if (result.ok) {
    const authorizationExpiresAt = Math.min(now + ica.settings.authorizationReuseMs, result.validUntil ?? Number.POSITIVE_INFINITY)
    await ica.store.completeChallenge(challenge.id, { status: 'valid', validatedAt: now, authorizationExpiresAt }, audit('challenge.validated'))
    return
  }
  const error = withFailure(challenge.error, toProblem(new IcaError(result.code, result.detail)), authorization.identifier)
  const delay = result.retryable ? ica.settings.validationDelaysMs[challenge.attempts - 1] : undefined
  if (delay !== undefined) await ica.store.retryChallenge(challenge.id, now + delay, error, audit('challenge.attemptFailed'))
  else
    await ica.store.completeChallenge(
      challenge.id,
      { status: 'invalid', error },
      audit('challenge.failed'),
      await failureCharges(ica, account.id, authorization.identifier),
    )
}

/** Makes the queue that validates in the background. Bounded: what does not fit is found again by its lease. */
export const createValidationQueue = (ica: Ica): ValidationQueue => {
  const waiting: { work: Work; leaseUntil: number }[] = []
  const running = new Map<string, Promise<void>>()
  /** When the last attempts ended; those that matter no more are dropped. */
  const ended = new Map<string, number>()
  const stopping = new AbortController()
  let timer: NodeJS.Timeout | undefined

  const noteEnd = (id: string): void => {
    const now = ica.clock.now()
    ended.delete(id)
    ended.set(id, now)
    for (const [first, at] of ended) {
      if (at > now - HURRY_MS && ended.size <= WAITING) break
      ended.delete(first)
    }
  }

  const run = (work: Work): void => {
    const id = work.challenge.id
    const done = validate(ica, work, stopping.signal)
      .catch((error: unknown) => ica.log.error({ err: error, challenge: id }, 'validation could not be recorded; it will be tried again'))
      .finally(() => {
        running.delete(id)
        noteEnd(id)
        next()
      })
    running.set(id, done)
  }

  const next = (): void => {
    while (!stopping.signal.aborted && running.size < CONCURRENT) {
      const entry = waiting.shift()
      if (!entry) return
      if (entry.leaseUntil > ica.clock.now() + VALIDATION_MS) run(entry.work)
    }
  }

  const poll = async (): Promise<void> => {
    const free = CONCURRENT - running.size
    if (free <= 0) return
    for (const id of await ica.store.dueChallenges(ica.clock.now(), free)) {
      const now = ica.clock.now()
      const work = await ica.store.leaseChallenge(id, now, now + LEASE_MS)
      if (work && !stopping.signal.aborted) run(work)
    }
  }

  const loop = (): void => {
    timer = setTimeout(async () => {
      await poll().catch((error: unknown) => ica.log.error({ err: error }, 'could not look for due validations'))
      if (!stopping.signal.aborted) loop()
    }, POLL_MS)
  }

  return {
    add(work, leaseUntil) {
      if (waiting.length >= WAITING) return
      waiting.push({ work, leaseUntil })
      next()
    },
    async hurry({ challenge }) {
      const now = ica.clock.now()
      const isWaiting = !running.has(challenge.id) && !waiting.some(({ work }) => work.challenge.id === challenge.id)
      const { nextAttemptAt } = challenge
      if (stopping.signal.aborted || !isWaiting || nextAttemptAt === null || nextAttemptAt <= now || challenge.error === null) return
      if ((ended.get(challenge.id) ?? 0) > now - HURRY_MS) return
      const work = await ica.store.leaseChallenge(challenge.id, nextAttemptAt, now + LEASE_MS)
      if (work) run(work)
    },
    start() {
      // A database of one process: what another one held, it held before it died.
      if (ica.store.engine === 'sqlite') {
        ica.store
          .releaseChallenges(ica.clock.now())
          .catch((error: unknown) => ica.log.error({ err: error }, 'validations of before wait for their lease'))
      }
      loop()
    },
    async stop() {
      clearTimeout(timer)
      const unfinished = [...running.keys(), ...waiting.map((w) => w.work.challenge.id)]
      stopping.abort()
      await Promise.all(running.values())
      const now = ica.clock.now()
      await Promise.all(unfinished.map((id) => ica.store.releaseChallenge(id, now)))
    },
  }
}
