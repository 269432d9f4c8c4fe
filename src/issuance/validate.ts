/** One look of a validator, and what becomes of the challenge by it. */
import { IcaError, type Problem, toProblem } from '../errors.js'
import type { Identifier } from '../identifier.js'
import type { ChallengeInContext } from '../store/store.js'
import { withDeadline } from '../validation/deadline.js'
import type { ValidationResult } from '../validation/validator.js'
import { act, type Ica } from './ica.js'
import { failureCharges } from './limits.js'

/** A challenge with what is needed to validate it. */
export type Work = ChallengeInContext

export const VALIDATION_MS = 15_000
/**
 * How long a proof that must not be reused still counts in the order it was made for, so that the client can prove the other names and finalize. No other order is
 * given it: authorizationsFor() wants a day to be left.
 */
const ORDER_AT_HAND_MS = 8 * 3_600_000
/** So many failures are told of one challenge. */
const TOLD_FAILURES = 20

/** The `error` of a challenge after another failure: that one, with every one so far as a subproblem (RFC 8555 §8.2, §6.7.1). */
const withFailure = (before: Problem | null, failure: Problem, { type, value }: Identifier): Problem => {
  const entry = (problem: Problem) => ({ type: problem.type, detail: problem.detail, identifier: { type, value } })
  if (before === null) return failure
  return { ...failure, subproblems: [...(before.subproblems ?? [entry(before)]), entry(failure)].slice(-TOLD_FAILURES) }
}

/** One validation, with its outcome recorded. `attempts` of the challenge counts this one. */
export const validate = async (ica: Ica, work: Work, signal: AbortSignal): Promise<void> => {
  const { challenge, authorization, account } = work
  const validator = ica.validators.find((v) => v.type === challenge.type)
  const result: ValidationResult = validator
    ? await withDeadline(VALIDATION_MS, signal, (deadline) =>
        validator.validate(
          {
            identifier: authorization.identifier,
            wildcard: authorization.wildcard,
            token: challenge.token,
            keyAuthorization: `${challenge.token}.${account.thumbprint}`,
            thumbprint: account.thumbprint,
            priorThumbprints: () => ica.store.priorThumbprints(account.id),
            accountUri: ica.accountUri(account.id),
          },
          deadline,
        ),
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
    const { validUntil = Number.POSITIVE_INFINITY, once = false } = result
    const countsMs = Math.min(ica.settings.authorizationReuseMs, once ? ORDER_AT_HAND_MS : Number.POSITIVE_INFINITY)
    const authorizationExpiresAt = Math.min(now + countsMs, validUntil)
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
      await failureCharges(ica, account.id, [authorization.identifier]),
    )
}
