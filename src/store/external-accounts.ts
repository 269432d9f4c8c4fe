/** MAC keys for external account bindings (RFC 8555 §7.3.4). What is stored of a key is sealed; who may open it is not this folder's business. */
import { IcaError } from '../errors.js'
import type { AuditEntry, ExternalAccountKey } from '../model.js'
import { type Blob, bytes, record } from './rows.js'
import { change, type Runner, row, rows, type Steps } from './sql.js'

type KeyRow = {
  id: string
  sealed_key: Blob
  note: string
  uses_left: number
  created_at: number
  expires_at: number | null
  revoked_at: number | null
}

const toKey = (r: KeyRow): ExternalAccountKey => ({
  id: r.id,
  note: r.note,
  usesLeft: r.uses_left,
  createdAt: r.created_at,
  expiresAt: r.expires_at,
  revokedAt: r.revoked_at,
})

const columns = 'id, sealed_key, note, uses_left, created_at, expires_at, revoked_at'

/** Uses a key up for one account. Throws unauthorized where it can't be used (any more): two accounts may have come at once. */
export function* bindExternalAccount(id: string, now: number): Steps<void> {
  const bound = yield* change(
    'UPDATE external_account_key SET uses_left = uses_left - 1 WHERE id = ? AND uses_left > 0 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)',
    id,
    now,
  )
  if (bound === 0)
    throw new IcaError('unauthorized', 'The external account key has been used, revoked or has expired. Ask the operator for another one.')
}

export const externalAccountStore = ({ read, write }: Runner) => ({
  addExternalAccountKey: (key: ExternalAccountKey, sealedKey: Uint8Array, audit: AuditEntry): Promise<void> =>
    write(function* () {
      yield* change(
        `INSERT INTO external_account_key (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?)`,
        key.id,
        sealedKey,
        key.note,
        key.usesLeft,
        key.createdAt,
        key.expiresAt,
        key.revokedAt,
      )
      yield* record(audit)
    }),

  externalAccountKey: (id: string): Promise<(ExternalAccountKey & { sealedKey: Uint8Array }) | null> =>
    read(function* () {
      const found = yield* row<KeyRow>(`SELECT ${columns} FROM external_account_key WHERE id = ?`, id)
      return found ? { ...toKey(found), sealedKey: bytes(found.sealed_key) } : null
    }),

  /** False where it was revoked before, or there is none. Accounts that were made with it stay. */
  revokeExternalAccountKey: (id: string, at: number, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      if ((yield* change('UPDATE external_account_key SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL', at, id)) === 0) return false
      yield* record(audit)
      return true
    }),

  /** All of them, oldest first, with the accounts that were made with each. */
  externalAccountKeys: (): Promise<(ExternalAccountKey & { accounts: string[] })[]> =>
    read(function* () {
      const found = yield* rows<KeyRow & { account_id: string | null }>(
        `SELECT k.id, k.sealed_key, k.note, k.uses_left, k.created_at, k.expires_at, k.revoked_at, a.id AS account_id
         FROM external_account_key k LEFT JOIN account a ON a.external_account_key_id = k.id ORDER BY k.created_at, k.id, a.id`,
      )
      const keys = new Map<string, ExternalAccountKey & { accounts: string[] }>()
      for (const r of found) {
        const key = keys.get(r.id) ?? { ...toKey(r), accounts: [] }
        if (r.account_id !== null) key.accounts.push(r.account_id)
        keys.set(r.id, key)
      }
      return [...keys.values()]
    }),
})
