/**
 * Authorizations and the state machine of their challenges (RFC 8555 §7.1.6): pending → processing → valid or invalid, each step conditional on the
 * one before.
 */
import type { Problem } from '../errors.js'
import type { Account, AuditEntry, Authorization, Challenge } from '../model.js'
import { type Charge, note } from './limits.js'
import {
  type AccountRow,
  type AuthorizationRow,
  inOrder,
  record,
  selectAuthorization,
  selectAuthorizationAndAccount,
  toAccount,
  toAuthorizations,
} from './rows.js'
import { change, ifDone, lock, must, notDone, put, type Runner, rows, type Steps, type Value } from './sql.js'

/** A challenge with what validating it needs. */
export type ChallengeInContext = { challenge: Challenge; authorization: Authorization; account: Account }

export type ChallengeResult = { status: 'valid'; validatedAt: number; authorizationExpiresAt: number } | { status: 'invalid'; error: Problem }

const selectAuthorizationById = `${selectAuthorization} WHERE z.id = ? ${inOrder.authorizations}`
const selectByChallenge = `${selectAuthorizationAndAccount} WHERE z.id = (SELECT authorization_id FROM challenge WHERE id = ?) ${inOrder.authorizations}`

export function* findChallenge(id: string): Steps<ChallengeInContext | null> {
  const found = yield* rows<AuthorizationRow & AccountRow>(selectByChallenge, id)
  const [first] = found
  const [authorization] = toAuthorizations(found)
  const challenge = authorization?.challenges.find((c) => c.id === id)
  return first && authorization && challenge ? { challenge, authorization, account: toAccount(first) } : null
}

/** processing → `result`, of one challenge or none. */
const toFinish = (id: string, result: ChallengeResult): [sql: string, ...values: Value[]] => {
  const [validatedAt, error] = result.status === 'valid' ? [result.validatedAt, null] : [null, JSON.stringify(result.error)]
  const sql = `UPDATE challenge SET status = ?, validated_at = ?, error = ?, next_attempt_at = NULL WHERE id = ? AND status = 'processing'`
  return [sql, result.status, validatedAt, error, id]
}

/** How long the authorization of a finished challenge can be used. */
function* setExpiry(challengeId: string, result: ChallengeResult): Steps<void> {
  if (result.status !== 'valid') return
  const ofChallenge = '(SELECT authorization_id FROM challenge WHERE id = ?)'
  yield* put(`UPDATE "authorization" SET expires_at = ? WHERE id = ${ofChallenge}`, result.authorizationExpiresAt, challengeId)
}

/** processing → `result`; false where it was not processing. */
export function* finishChallenge(id: string, result: ChallengeResult): Steps<boolean> {
  if ((yield* change(...toFinish(id, result))) === 0) return false
  yield* setExpiry(id, result)
  return true
}

export const challengeStore = ({ read, write, writeOne }: Runner) => ({
  authorizationById: (id: string): Promise<Authorization | null> =>
    read(function* () {
      return toAuthorizations(yield* rows<AuthorizationRow>(selectAuthorizationById, id))[0] ?? null
    }),

  /** RFC 8555 §7.5.2. False where it was deactivated before. */
  deactivateAuthorization: (id: string, at: number, audit: AuditEntry): Promise<boolean> =>
    ifDone(
      write(function* () {
        yield* must(notDone, `UPDATE "authorization" SET deactivated_at = ? WHERE id = ? AND deactivated_at IS NULL`, at, id)
        yield* record(audit)
      }),
    ),

  challengeById: (id: string): Promise<ChallengeInContext | null> => read(() => findChallenge(id)),

  /**
   * pending → processing, with the first attempt counted and leased to the caller until `leaseUntil`. False where it was not pending, or another
   * challenge of the authorization is under way or has decided it.
   */
  startChallenge: (id: string, leaseUntil: number, audit: AuditEntry): Promise<boolean> =>
    ifDone(
      write(function* () {
        // Two challenges of one authorization started at once would not see each other on PostgreSQL: they take turns on the authorization.
        yield* lock(`SELECT id FROM "authorization" WHERE id = (SELECT authorization_id FROM challenge WHERE id = ?) FOR UPDATE`, id)
        yield* must(
          notDone,
          `UPDATE challenge SET status = 'processing', attempts = 1, next_attempt_at = ? WHERE id = ? AND status = 'pending'
             AND NOT EXISTS (SELECT 1 FROM challenge s WHERE s.authorization_id = challenge.authorization_id AND s.status <> 'pending')`,
          leaseUntil,
          id,
        )
        yield* record(audit)
      }),
    ),

  /** The challenges whose next attempt is due at `now`, oldest first, but those of the accounts `except`. */
  dueChallenges: (now: number, limit: number, except: readonly string[] = []): Promise<{ id: string; accountId: string }[]> =>
    read(function* () {
      const excluded = except.length > 0 ? `AND z.account_id NOT IN (${except.map(() => '?').join()})` : ''
      const due = yield* rows<{ id: string; account_id: string }>(
        `SELECT c.id, z.account_id FROM challenge c JOIN "authorization" z ON z.id = c.authorization_id
         WHERE c.status = 'processing' AND c.next_attempt_at <= ? ${excluded} ORDER BY c.next_attempt_at LIMIT ?`,
        now,
        ...except,
        limit,
      )
      return due.map(({ id, account_id }) => ({ id, accountId: account_id }))
    }),

  /**
   * Claims one attempt: counts it and puts the next one off to `leaseUntil`, when another worker may try if this one was never heard of again.
   * Null where the challenge is not due, be it that another worker has it.
   */
  leaseChallenge: (id: string, now: number, leaseUntil: number): Promise<ChallengeInContext | null> =>
    writeOne(function* () {
      const leased = yield* change(
        `UPDATE challenge SET next_attempt_at = ?, attempts = attempts + 1 WHERE id = ? AND status = 'processing' AND next_attempt_at <= ?`,
        leaseUntil,
        id,
        now,
      )
      return leased === 1 ? yield* findChallenge(id) : null
    }),

  /** Gives a lease back whose attempt was not made: it does not count, and the challenge is due at `now`. False where the lease is another's by now, or the challenge is decided. */
  returnChallenge: (id: string, leaseUntil: number, now: number): Promise<boolean> =>
    writeOne(function* () {
      const returned = yield* change(
        `UPDATE challenge SET next_attempt_at = ?, attempts = attempts - 1 WHERE id = ? AND status = 'processing' AND next_attempt_at = ?`,
        now,
        id,
        leaseUntil,
      )
      return returned === 1
    }),

  /** Ends every lease and every pause, for the one process that validates: whoever held them is no more. */
  releaseChallenges: (now: number): Promise<number> =>
    writeOne(() => change(`UPDATE challenge SET next_attempt_at = ? WHERE status = 'processing' AND next_attempt_at > ?`, now, now)),

  /**
   * processing → valid or invalid; valid also sets until when the authorization can be used, and `charges` count what failed. False where it was not
   * processing.
   */
  completeChallenge: (id: string, result: ChallengeResult, audit: AuditEntry, charges: readonly Charge[] = []): Promise<boolean> =>
    ifDone(
      write(function* () {
        yield* must(notDone, ...toFinish(id, result))
        yield* setExpiry(id, result)
        yield* record(audit)
        yield* note(charges, audit.at)
      }),
    ),

  /**
   * Puts another attempt off to `nextAttemptAt`; the challenge stays processing and shows `error` meanwhile (RFC 8555 §8.2). False where it was not
   * processing.
   */
  retryChallenge: (id: string, nextAttemptAt: number, error: Problem, audit: AuditEntry): Promise<boolean> =>
    ifDone(
      write(function* () {
        yield* must(
          notDone,
          `UPDATE challenge SET next_attempt_at = ?, error = ? WHERE id = ? AND status = 'processing'`,
          nextAttemptAt,
          JSON.stringify(error),
          id,
        )
        yield* record(audit)
      }),
    ),
})
