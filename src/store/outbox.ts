/**
 * The outbox: mails wait here until they are sent, written in the transaction of what they tell of. A sender claims a mail by putting its next attempt off (a lease),
 * so that several processes never have the same one, and what a crash left behind is due again by itself. `attempts` tells one claim from the next: what a
 * sender that lost its claim reports of its attempt is ignored, but for the fact that a mail was sent.
 */
import { randomBytes } from 'node:crypto'
import type { AuditEntry } from '../model.js'
import type { Pruned } from './pruning.js'
import { pruneBatch } from './pruning.js'
import { type Blob, bytes, record } from './rows.js'
import { change, type Runner, row, rows, type Steps } from './sql.js'

export const mailKinds = ['validation', 'certificate.issued', 'certificate.expiring', 'certificate.revoked', 'key.blocked'] as const
export type MailKind = (typeof mailKinds)[number]
export type MailStatus = 'queued' | 'sent' | 'failed' | 'bounced' | 'canceled'

export type Mail = {
  id: string
  kind: MailKind
  recipient: string
  accountId: string | null
  /** What the text is made of. */
  data: Record<string, unknown>
  /** What only the recipient may know. */
  sealed: Uint8Array | null
  status: MailStatus
  attempts: number
  createdAt: number
  expiresAt: number
  /** When it came to its status. */
  changedAt: number
  /** A sentence about its status; empty for a new one. */
  detail: string
}

export type NewMail = Omit<Mail, 'status' | 'attempts' | 'changedAt' | 'detail'> & {
  /** Sent before what is not. */
  urgent: boolean
  /** Nothing is written where a mail has the same. */
  once: string | null
}

type MailRow = {
  id: string
  kind: MailKind
  recipient: string
  account_id: string | null
  data: string
  sealed: Blob | null
  status: MailStatus
  attempts: number
  created_at: number
  expires_at: number
  changed_at: number
  detail: string
}

const columns = 'id, kind, recipient, account_id, data, sealed, status, attempts, created_at, expires_at, changed_at, detail'

const toMail = (r: MailRow): Mail => ({
  id: r.id,
  kind: r.kind,
  recipient: r.recipient,
  accountId: r.account_id,
  data: JSON.parse(r.data),
  sealed: r.sealed && bytes(r.sealed),
  status: r.status,
  attempts: r.attempts,
  createdAt: r.created_at,
  expiresAt: r.expires_at,
  changedAt: r.changed_at,
  detail: r.detail,
})

/** Milliseconds, then 80 random bits, in hex. Nobody who does not have the mail can guess it. */
export const newMailId = (now: number): string => now.toString(16).padStart(12, '0') + randomBytes(10).toString('hex')

/** Puts a mail into the outbox, within the caller's transaction; false where it is there already. */
export function* queueMail(mail: NewMail): Steps<boolean> {
  const inserted = yield* change(
    `INSERT INTO mail (id, kind, recipient, account_id, data, sealed, urgent, status, attempts, next_attempt_at, created_at, expires_at, changed_at, detail, once)
     VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', 0, ?, ?, ?, ?, '', ?) ON CONFLICT (once) DO NOTHING`,
    mail.id,
    mail.kind,
    mail.recipient,
    mail.accountId,
    JSON.stringify(mail.data),
    mail.sealed,
    mail.urgent,
    mail.createdAt,
    mail.createdAt,
    mail.expiresAt,
    mail.createdAt,
    mail.once,
  )
  return inserted === 1
}

/** Ends a mail; false where it was not in one of the statuses `from` any more. */
function* end(id: string, from: readonly MailStatus[], to: MailStatus, at: number, detail: string, attempts: number | null): Steps<boolean> {
  const ended = yield* change(
    `UPDATE mail SET status = ?, changed_at = ?, detail = ?, next_attempt_at = NULL, sealed = NULL
     WHERE id = ? AND status IN (${from.map(() => '?').join(', ')})${attempts === null ? '' : ' AND attempts = ?'}`,
    to,
    at,
    detail,
    id,
    ...from,
    ...(attempts === null ? [] : [attempts]),
  )
  return ended === 1
}

export const outboxStore = ({ read, write, writeOne }: Runner) => {
  const settle = (steps: () => Steps<boolean>, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      const done = yield* steps()
      if (done) yield* record(audit)
      return done
    })
  return {
    mailById: (id: string): Promise<Mail | null> =>
      read(function* () {
        const found = yield* row<MailRow>(`SELECT ${columns} FROM mail WHERE id = ?`, id)
        return found ? toMail(found) : null
      }),

    /** Ids of the mails that are due at `now`, the urgent ones first, then by age. */
    dueMails: (now: number, limit: number): Promise<string[]> =>
      read(function* () {
        const due: { id: string }[] = []
        for (const urgent of [true, false]) {
          const sql = `SELECT id FROM mail WHERE status = 'queued' AND urgent = ? AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ?`
          if (due.length < limit) due.push(...(yield* rows<{ id: string }>(sql, urgent, now, limit - due.length)))
        }
        return due.map(({ id }) => id)
      }),

    /** Claims one attempt at a mail that is due: counts it, and puts the next one off to `until`. Null where it is not due, be it that another process has it. */
    leaseMail: (id: string, now: number, until: number): Promise<Mail | null> =>
      writeOne(function* () {
        const leased = yield* row<MailRow>(
          `UPDATE mail SET next_attempt_at = ?, attempts = attempts + 1 WHERE id = ? AND status = 'queued' AND next_attempt_at <= ? RETURNING ${columns}`,
          until,
          id,
          now,
        )
        return leased ? toMail(leased) : null
      }),

    /** Puts the end of a claim off, while the attempt goes on; or, with `until` now, gives it back. False where it was lost. */
    extendMailLease: (id: string, attempts: number, until: number): Promise<boolean> =>
      writeOne(function* () {
        return (yield* change(`UPDATE mail SET next_attempt_at = ? WHERE id = ? AND status = 'queued' AND attempts = ?`, until, id, attempts)) === 1
      }),

    /** queued → sent. */
    mailSent: (id: string, at: number, detail: string, audit: AuditEntry): Promise<boolean> =>
      settle(() => end(id, ['queued'], 'sent', at, detail, null), audit),

    /** Stays queued; the next attempt is made at `nextAttemptAt`. */
    mailDeferred: (id: string, attempts: number, at: number, nextAttemptAt: number, detail: string, audit: AuditEntry): Promise<boolean> =>
      settle(function* () {
        const deferred = yield* change(
          `UPDATE mail SET next_attempt_at = ?, changed_at = ?, detail = ? WHERE id = ? AND status = 'queued' AND attempts = ?`,
          nextAttemptAt,
          at,
          detail,
          id,
          attempts,
        )
        return deferred === 1
      }, audit),

    /** queued → failed, or canceled where it is of no use any more. */
    mailFailed: (id: string, attempts: number, to: 'failed' | 'canceled', at: number, detail: string, audit: AuditEntry): Promise<boolean> =>
      settle(() => end(id, ['queued'], to, at, detail, attempts), audit),

    /** Whatever was thought of it → bounced. */
    mailBounced: (id: string, at: number, detail: string, audit: AuditEntry): Promise<boolean> =>
      settle(() => end(id, ['queued', 'sent'], 'bounced', at, detail, null), audit),

    /** Forgets mails that are of no use any more since `before`, among the `batch` after the id `after`. */
    pruneMails: (after: string, batch: number, before: number): Promise<Pruned> =>
      writeOne(() => pruneBatch('mail', 'id', after, batch, 'expires_at < ?', [before])),
  }
}
