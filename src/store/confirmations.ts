/**
 * Links by which the reader of a mail confirms a challenge (email-link-01). A challenge has at most one that is open; asking for another supersedes it. The
 * random value of a link is not here, only its hash.
 */
import type { AuditEntry } from '../model.js'
import { type ChallengeInContext, type ChallengeResult, findChallenge, finishChallenge } from './challenges.js'
import { type Charge, note, spend } from './limits.js'
import { meetMailbox } from './notices.js'
import { type Mail, type MailStatus, type NewMail, queueMail } from './outbox.js'
import { record } from './rows.js'
import { change, lock, type Runner, row, rows, type Steps } from './sql.js'

export type ConfirmationOutcome = 'confirmed' | 'denied' | 'expired' | 'superseded'

export type Confirmation = {
  /** That of its mail. */
  id: string
  challengeId: string
  address: string
  /** The network address of who asked. */
  requester: string | null
  createdAt: number
  expiresAt: number
  /** Null while it is open. */
  outcome: ConfirmationOutcome | null
  decidedAt: number | null
}

/** What became of the mail of a confirmation. */
export type Delivery = Pick<Mail, 'status' | 'attempts' | 'changedAt' | 'detail'>

type ConfirmationRow = {
  id: string
  challenge_id: string
  address: string
  requester: string | null
  created_at: number
  expires_at: number
  outcome: ConfirmationOutcome | null
  decided_at: number | null
}
type DeliveryRow = { status: MailStatus | null; attempts: number; changed_at: number; detail: string }

const columns = ['id', 'challenge_id', 'address', 'requester', 'created_at', 'expires_at', 'outcome', 'decided_at'].map((c) => `f.${c}`).join(', ')

const toConfirmation = (r: ConfirmationRow): Confirmation => ({
  id: r.id,
  challengeId: r.challenge_id,
  address: r.address,
  requester: r.requester,
  createdAt: r.created_at,
  expiresAt: r.expires_at,
  outcome: r.outcome,
  decidedAt: r.decided_at,
})

/** The open confirmation with this value in `column` → `outcome`; its challenge, or null where there is none. */
function* decide(column: 'id' | 'token_hash', value: string, outcome: ConfirmationOutcome, at: number): Steps<string | null> {
  const decided = yield* row<{ challenge_id: string }>(
    `UPDATE confirmation SET outcome = ?, decided_at = ? WHERE ${column} = ? AND outcome IS NULL AND expires_at ${outcome === 'expired' ? '<=' : '>'} ?
     RETURNING challenge_id`,
    outcome,
    at,
    value,
    at,
  )
  return decided?.challenge_id ?? null
}

/** A mail that was not sent yet has nothing to say any more. */
function* cancelMails(challengeId: string, at: number): Steps<void> {
  yield* change(
    `UPDATE mail SET status = 'canceled', changed_at = ?, detail = 'Nobody needs it any more.', next_attempt_at = NULL, sealed = NULL
     WHERE status = 'queued' AND id IN (SELECT id FROM confirmation WHERE challenge_id = ?)`,
    at,
    challengeId,
  )
}

export const confirmationStore = ({ read, write }: Runner) => ({
  /**
   * A challenge that waits for the reader of a mail: pending or processing → processing, with a new link in place of `instead` (the id of the open one that the
   * caller saw) and its mail in the outbox. The queue of validations never sees it: nothing is due. False where another challenge of the authorization is under way or
   * has decided it, or another request was first. Rejects with {@link LimitExceeded}.
   */
  askForConfirmation: (
    asked: Confirmation & { tokenHash: string; instead: string | null },
    mail: NewMail,
    audit: AuditEntry,
    charges: readonly Charge[] = [],
  ): Promise<boolean> =>
    write(function* () {
      const { challengeId, createdAt } = asked
      yield* lock(`SELECT id FROM "authorization" WHERE id = (SELECT authorization_id FROM challenge WHERE id = ?) FOR UPDATE`, challengeId)
      const open = yield* row<{ id: string }>('SELECT id FROM confirmation WHERE challenge_id = ? AND outcome IS NULL', challengeId)
      if ((open?.id ?? null) !== asked.instead) return false
      const started = yield* change(
        `UPDATE challenge SET status = 'processing', attempts = attempts + 1, next_attempt_at = NULL, error = NULL
         WHERE id = ? AND status IN ('pending', 'processing')
           AND NOT EXISTS (SELECT 1 FROM challenge s WHERE s.authorization_id = challenge.authorization_id AND s.id <> challenge.id AND s.status <> 'pending')`,
        challengeId,
      )
      if (started === 0) return false
      if (open) yield* change(`UPDATE confirmation SET outcome = 'superseded', decided_at = ? WHERE id = ?`, createdAt, open.id)
      yield* cancelMails(challengeId, createdAt)
      yield* change(
        'INSERT INTO confirmation (id, challenge_id, token_hash, address, requester, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
        asked.id,
        challengeId,
        asked.tokenHash,
        asked.address,
        asked.requester,
        createdAt,
        asked.expiresAt,
      )
      yield* queueMail(mail)
      yield* record(audit)
      yield* spend(charges, createdAt)
      return true
    }),

  /** The last link of a challenge, with what became of its mail. */
  confirmationOf: (challengeId: string): Promise<{ confirmation: Confirmation; delivery: Delivery | null } | null> =>
    read(function* () {
      const found = yield* row<ConfirmationRow & DeliveryRow>(
        `SELECT ${columns}, m.status, m.attempts, m.changed_at, m.detail FROM confirmation f LEFT JOIN mail m ON m.id = f.id
         WHERE f.challenge_id = ? ORDER BY f.created_at DESC, f.id DESC LIMIT 1`,
        challengeId,
      )
      if (!found) return null
      const { status, attempts, changed_at: changedAt, detail } = found
      return { confirmation: toConfirmation(found), delivery: status && { status, attempts, changedAt, detail } }
    }),

  /** The link with this hash of its random value, and its challenge. */
  confirmationByToken: (tokenHash: string): Promise<(ChallengeInContext & { confirmation: Confirmation }) | null> =>
    read(function* () {
      const found = yield* row<ConfirmationRow>(`SELECT ${columns} FROM confirmation f WHERE f.token_hash = ?`, tokenHash)
      const context = found && (yield* findChallenge(found.challenge_id))
      return found && context ? { ...context, confirmation: toConfirmation(found) } : null
    }),

  /**
   * The reader of a mail decides: the open link is used up, and its challenge ends with `result`. False, with nothing changed, where the link is not open any more
   * or its authorization can't be decided any more, or its account was closed.
   */
  decideConfirmation: (
    tokenHash: string,
    outcome: 'confirmed' | 'denied',
    at: number,
    result: ChallengeResult,
    audit: AuditEntry,
    charges: readonly Charge[] = [],
  ): Promise<boolean> =>
    write(function* () {
      const usable = yield* row<{ address: string }>(
        `SELECT f.address FROM confirmation f JOIN challenge c ON c.id = f.challenge_id JOIN "authorization" z ON z.id = c.authorization_id
           JOIN account a ON a.id = z.account_id
         WHERE f.token_hash = ? AND c.status = 'processing' AND z.deactivated_at IS NULL AND z.expires_at > ? AND a.status = 'valid'`,
        tokenHash,
        at,
      )
      if (!usable) return false
      const challengeId = yield* decide('token_hash', tokenHash, outcome, at)
      if (challengeId === null || !(yield* finishChallenge(challengeId, result))) return false
      yield* cancelMails(challengeId, at)
      if (outcome === 'confirmed') yield* meetMailbox(usable.address, at)
      yield* record(audit)
      yield* note(charges, at)
      return true
    }),

  /** Open links whose time is up at `now`, oldest first. */
  overdueConfirmations: (now: number, limit: number): Promise<Confirmation[]> =>
    read(function* () {
      const found = yield* rows<ConfirmationRow>(
        `SELECT ${columns} FROM confirmation f WHERE f.outcome IS NULL AND f.expires_at <= ? ORDER BY f.expires_at LIMIT ?`,
        now,
        limit,
      )
      return found.map(toConfirmation)
    }),

  /** Ends a link whose time is up, and its challenge, where that still waits, with `result`. False where it was not open any more. */
  expireConfirmation: (id: string, at: number, result: ChallengeResult, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      const challengeId = yield* decide('id', id, 'expired', at)
      if (challengeId === null) return false
      yield* finishChallenge(challengeId, result)
      yield* cancelMails(challengeId, at)
      yield* record(audit)
      return true
    }),
})
