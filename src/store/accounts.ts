/** Nonces and accounts: what authenticates a request. */
import type { Account, AuditEntry, PublicJwk } from '../model.js'
import { bindExternalAccount } from './external-accounts.js'
import { type Charge, spend } from './limits.js'
import { type AccountRow, record, selectAccount, toAccount } from './rows.js'
import { change, ifDone, must, notDone, type Runner, row, rows, type Steps, type Value } from './sql.js'

const selectBy = { id: `${selectAccount} WHERE a.id = ?`, thumbprint: `${selectAccount} WHERE a.thumbprint = ?` }

function* findAccount(column: keyof typeof selectBy, value: string): Steps<Account | null> {
  const found = yield* row<AccountRow>(selectBy[column], value)
  return found ? toAccount(found) : null
}

const insertNonce = 'INSERT INTO used_nonce (id, expires_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING'

function* spendNonce(id: Uint8Array, expiresAt: number): Steps<boolean> {
  return (yield* change(insertNonce, id, expiresAt)) === 1
}

/** {@link spendNonce} and {@link findAccount} in one statement, which SQLite does not have. */
const spendAndFind = `WITH fresh AS (${insertNonce} RETURNING 1)
  SELECT (SELECT count(*) FROM fresh) AS fresh, a.* FROM (SELECT 1) one LEFT JOIN (${selectBy.id}) a ON TRUE`

export const accountStore = ({ engine, read, readAccount, write, writeOne, writeTogether }: Runner) => ({
  /**
   * Records that a nonce was used (RFC 8555 §6.5). False where it was used before. `id` is the nonce's raw bytes; it is kept until `expiresAt` and a
   * {@link pruneNonces}.
   */
  useNonce: (id: Uint8Array, expiresAt: number): Promise<boolean> => writeTogether(() => spendNonce(id, expiresAt)),

  /** {@link useNonce} and {@link accountById} in one go: one commit and one round trip less for a request that needs both. */
  authenticate: (nonceId: Uint8Array, expiresAt: number, accountId: string): Promise<{ fresh: boolean; account: Account | null }> =>
    writeTogether(function* () {
      if (engine === 'sqlite') return { fresh: yield* spendNonce(nonceId, expiresAt), account: yield* findAccount('id', accountId) }
      const found = (yield* row<{ fresh: number } & (AccountRow | { a_id: null })>(spendAndFind, nonceId, expiresAt, accountId)) as AccountRow & {
        fresh: number
      }
      return { fresh: found.fresh === 1, account: found.a_id === null ? null : toAccount(found) }
    }),

  /** Forgets the nonces that expired before `now`, a thousand a transaction so that nobody waits long. Gives their number. */
  async pruneNonces(now: number): Promise<number> {
    const batch = 1000
    for (let total = 0; ; ) {
      const pruned = await writeOne(() =>
        change('DELETE FROM used_nonce WHERE id IN (SELECT id FROM used_nonce WHERE expires_at < ? ORDER BY expires_at LIMIT ?)', now, batch),
      )
      total += pruned
      if (pruned < batch) return total
    }
  },

  accountById: (id: string): Promise<Account | null> => readAccount(id, () => findAccount('id', id)),
  accountByThumbprint: (thumbprint: string): Promise<Account | null> => read(() => findAccount('thumbprint', thumbprint)),

  /** The thumbprints of the keys that an account had before its present one, the latest first. The audit log, which is kept for ever, has them. */
  priorThumbprints: (id: string): Promise<string[]> =>
    read(function* () {
      const changes = yield* rows<{ detail: string }>(
        `SELECT detail FROM audit WHERE subject = ? AND action = 'account.keyChanged' ORDER BY id DESC`,
        `account:${id}`,
      )
      return [...new Set(changes.map(({ detail }) => (JSON.parse(detail) as { from: string }).from))]
    }),

  /**
   * Creates the account, or returns the one that has this key already (`created: false`, nothing written; RFC 8555 §7.3.1). A new one uses up its
   * external account key and counts against limits; rejects with unauthorized and {@link LimitExceeded} where either does not allow it.
   */
  createAccount: (account: Account, audit: AuditEntry, charges: readonly Charge[] = []): Promise<{ account: Account; created: boolean }> =>
    write(function* () {
      const inserted = yield* change(
        `INSERT INTO account (id, jwk, thumbprint, status, contact, terms_agreed_at, created_at, external_account_key_id, external_account_binding)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (thumbprint) DO NOTHING`,
        account.id,
        JSON.stringify(account.jwk),
        account.thumbprint,
        account.status,
        JSON.stringify(account.contact),
        account.termsAgreedAt,
        account.createdAt,
        account.externalAccount?.keyId ?? null,
        account.externalAccount && JSON.stringify(account.externalAccount.binding),
      )
      if (inserted === 1) {
        if (account.externalAccount) yield* bindExternalAccount(account.externalAccount.keyId, account.createdAt)
        yield* record(audit)
        yield* spend(charges, account.createdAt)
      }
      const stored = yield* findAccount('thumbprint', account.thumbprint)
      return { account: stored as Account, created: inserted === 1 }
    }),

  /** Sets the contact, the time of agreement, or both; only while the account is valid. False otherwise. */
  updateAccount: (id: string, update: { contact?: string[]; termsAgreedAt?: number }, audit: AuditEntry): Promise<boolean> =>
    ifDone(
      write(function* () {
        const contact: Value = update.contact === undefined ? null : JSON.stringify(update.contact)
        yield* must(
          notDone,
          `UPDATE account SET contact = COALESCE(?, contact), terms_agreed_at = COALESCE(?, terms_agreed_at) WHERE id = ? AND status = 'valid'`,
          contact,
          update.termsAgreedAt ?? null,
          id,
        )
        yield* record(audit)
      }),
    ),

  /**
   * valid → deactivated (RFC 8555 §7.3.6). False where it was not valid. Its orders and authorizations stay as they are: nobody can use them any
   * more.
   */
  deactivateAccount: (id: string, _at: number, audit: AuditEntry): Promise<boolean> =>
    ifDone(
      write(function* () {
        yield* must(notDone, `UPDATE account SET status = 'deactivated' WHERE id = ? AND status = 'valid'`, id)
        yield* record(audit)
      }),
    ),

  /**
   * Key roll-over (RFC 8555 §7.3.5), conditional on the old thumbprint. `conflict` names the account that has the new key already; `stale`: the old
   * key is not the account's any more.
   */
  changeAccountKey: (
    id: string,
    fromThumbprint: string,
    jwk: PublicJwk,
    thumbprint: string,
    audit: AuditEntry,
  ): Promise<{ result: 'changed' } | { result: 'conflict'; accountId: string } | { result: 'stale' }> =>
    write(function* () {
      const owner = yield* row<{ id: string }>('SELECT id FROM account WHERE thumbprint = ?', thumbprint)
      if (owner) return { result: 'conflict', accountId: owner.id }
      const updated = yield* change(
        `UPDATE account SET jwk = ?, thumbprint = ? WHERE id = ? AND thumbprint = ? AND status = 'valid'`,
        JSON.stringify(jwk),
        thumbprint,
        id,
        fromThumbprint,
      )
      if (updated === 0) return { result: 'stale' }
      yield* record(audit)
      return { result: 'changed' }
    }),
})
