/** What the operator decides while the CA runs: lists of names, limits of their own, marks for early renewal, blocked keys, paused accounts. */
import type { AuditEntry, LimitOverride, NameList, NameRule, RenewalMark } from '../model.js'
import { record } from './rows.js'
import { change, type Runner, row, rows, type Steps } from './sql.js'

/** Everything of it that processes keep in memory; `version` grows with each change. */
export type PolicyData = { version: number; rules: NameRule[]; overrides: LimitOverride[]; marks: RenewalMark[] }

const versionName = 'policy-version'

/** Tells every process that keeps a copy. On PostgreSQL changes take turns on this row, so that a later version has seen every earlier one. */
function* changed(audit: AuditEntry): Steps<void> {
  yield* change(
    `INSERT INTO setting (name, value) VALUES (?, '1') ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(setting.value AS BIGINT) + 1 AS TEXT)`,
    versionName,
  )
  yield* record(audit)
}

function* findVersion(): Steps<number> {
  return Number((yield* row<{ value: string }>('SELECT value FROM setting WHERE name = ?', versionName))?.value ?? 0)
}

type MarkRow = { id: string; selector: string; reason: string; explanation_url: string | null; spread_ms: number; marked_at: number }

export const policyStore = ({ read, write }: Runner) => ({
  /** Grows with each change of {@link policies}; cheap. */
  policyVersion: (): Promise<number> => read(findVersion),

  policies: (): Promise<PolicyData> =>
    read(function* () {
      // First: what changes while the rest is read has a later version, and is read again.
      const version = yield* findVersion()
      const rules = yield* rows<{ list: NameList; name: string; reason: string; created_at: number }>(
        'SELECT list, name, reason, created_at FROM name_rule ORDER BY list, name',
      )
      const overrides = yield* rows<{ limit_name: string; subject: string; count: number; window_ms: number }>(
        'SELECT limit_name, subject, count, window_ms FROM limit_override ORDER BY limit_name, subject',
      )
      const marks = yield* rows<MarkRow>('SELECT id, selector, reason, explanation_url, spread_ms, marked_at FROM renewal_mark ORDER BY id')
      return {
        version,
        rules: rules.map((r) => ({ list: r.list, name: r.name, reason: r.reason, createdAt: r.created_at })),
        overrides: overrides.map((r) => ({ limit: r.limit_name, subject: r.subject, count: r.count < 0 ? null : r.count, windowMs: r.window_ms })),
        marks: marks.map((r) => ({
          id: r.id,
          selector: JSON.parse(r.selector),
          reason: r.reason,
          explanationUrl: r.explanation_url,
          spreadMs: r.spread_ms,
          markedAt: r.marked_at,
        })),
      }
    }),

  /** Adds a rule, or gives one that is there another reason. */
  putNameRule: (rule: NameRule, audit: AuditEntry): Promise<void> =>
    write(function* () {
      yield* change(
        `INSERT INTO name_rule (list, name, reason, created_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (list, name) DO UPDATE SET reason = excluded.reason, created_at = excluded.created_at`,
        rule.list,
        rule.name,
        rule.reason,
        rule.createdAt,
      )
      yield* changed(audit)
    }),

  /** False where there is no such rule. */
  removeNameRule: (list: NameList, name: string, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      if ((yield* change('DELETE FROM name_rule WHERE list = ? AND name = ?', list, name)) === 0) return false
      yield* changed(audit)
      return true
    }),

  putLimitOverride: ({ limit, subject, count, windowMs }: LimitOverride, audit: AuditEntry): Promise<void> =>
    write(function* () {
      yield* change(
        `INSERT INTO limit_override (limit_name, subject, count, window_ms) VALUES (?, ?, ?, ?)
         ON CONFLICT (limit_name, subject) DO UPDATE SET count = excluded.count, window_ms = excluded.window_ms`,
        limit,
        subject,
        count ?? -1,
        windowMs,
      )
      yield* changed(audit)
    }),

  removeLimitOverride: (limit: string, subject: string, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      if ((yield* change('DELETE FROM limit_override WHERE limit_name = ? AND subject = ?', limit, subject)) === 0) return false
      yield* changed(audit)
      return true
    }),

  addRenewalMark: (mark: RenewalMark, audit: AuditEntry): Promise<void> =>
    write(function* () {
      yield* change(
        'INSERT INTO renewal_mark (id, selector, reason, explanation_url, spread_ms, marked_at) VALUES (?, ?, ?, ?, ?, ?)',
        mark.id,
        JSON.stringify(mark.selector),
        mark.reason,
        mark.explanationUrl,
        mark.spreadMs,
        mark.markedAt,
      )
      yield* changed(audit)
    }),

  removeRenewalMark: (id: string, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      if ((yield* change('DELETE FROM renewal_mark WHERE id = ?', id)) === 0) return false
      yield* changed(audit)
      return true
    }),

  /** Pauses an account that is valid, or ends that (`paused` null). False where the account is not valid or it changes nothing. */
  pauseAccount: (id: string, paused: { at: number; reason: string } | null, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      const updated = yield* change(
        `UPDATE account SET paused_at = ?, paused_reason = ? WHERE id = ? AND status = 'valid' AND (paused_at IS NULL) = ?`,
        paused?.at ?? null,
        paused?.reason ?? null,
        id,
        paused !== null,
      )
      if (updated === 1) yield* record(audit)
      return updated === 1
    }),

  /** valid → revoked: the server's side of RFC 8555 §7.1.6. False where it was not valid. */
  revokeAccount: (id: string, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      const updated = yield* change(`UPDATE account SET status = 'revoked' WHERE id = ? AND status = 'valid'`, id)
      if (updated === 1) yield* record(audit)
      return updated === 1
    }),

  /** Lets a key be certified again. False where it was not blocked. */
  unblockKey: (keyId: string, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      if ((yield* change('DELETE FROM blocked_key WHERE key_id = ?', keyId)) === 0) return false
      yield* record(audit)
      return true
    }),

  /** Blocked keys by their id; `after`: the last of the page before. */
  blockedKeys: (after: string, limit: number): Promise<{ keyId: string; reason: string; blockedAt: number }[]> =>
    read(function* () {
      const found = yield* rows<{ key_id: string; reason: string; blocked_at: number }>(
        'SELECT key_id, reason, blocked_at FROM blocked_key WHERE key_id > ? ORDER BY key_id LIMIT ?',
        after,
        limit,
      )
      return found.map((r) => ({ keyId: r.key_id, reason: r.reason, blockedAt: r.blocked_at }))
    }),
})
