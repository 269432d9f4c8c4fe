/** Notices to subscribers: a mail to each contact of the account, in the transaction of what it tells of, unless nobody wants it. */
import type { AuditEntry } from '../model.js'
import { type Charge, note, spendIfRoom } from './limits.js'
import { type MailKind, newMailId, queueMail } from './outbox.js'
import { record } from './rows.js'
import { change, type Runner, row, rows, type Steps } from './sql.js'

export type NoticeKind = Exclude<MailKind, 'validation'>

/** Whether and how much this CA tells its subscribers. */
export type NoticeOptions = {
  /** How many notices one mailbox is sent; null: no limit. */
  perRecipient: Rate | null
  /** The same for a mailbox at which nobody has ever pressed a button of ours: anybody can name it as a contact. Null: as `perRecipient`. */
  perStranger: Rate | null
}

type Rate = { count: number; windowMs: number }

export type Notice = {
  kind: NoticeKind
  accountId: string
  /** What it is about; told once to each address. */
  about: string
  data: Record<string, unknown>
  at: number
}

/** A notice that could not be delivered for so long is news no more. */
const USEFUL_MS = 5 * 86_400_000

/**
 * What a mailbox is counted by: lower case, and without what most mail servers let its owner put behind a "+" (RFC 5233), so that nobody fills one under a
 * hundred addresses.
 */
export const mailboxOf = (address: string): string => address.toLowerCase().replace(/\+[^@]*(?=@)/, '')

/** How long a mailbox is no stranger after somebody has pressed a button there: longer than any certificate lives. */
const KNOWN_MS = 400 * 86_400_000

const knownKey = (address: string): string => `mailboxKnown:${mailboxOf(address)}`

/** Whether somebody at this mailbox has proved a name by mail, or has said that notices are wanted. */
function* isKnown(address: string, at: number): Steps<boolean> {
  return (yield* row('SELECT 1 AS known FROM rate_limit WHERE key = ? AND expires_at > ?', knownKey(address), at)) !== undefined
}

/** Somebody at this mailbox has pressed a button that only its mails lead to. */
export function* meetMailbox(address: string, at: number): Steps<void> {
  yield* note([{ key: knownKey(address), count: 1, windowMs: KNOWN_MS, cost: 0, keepMs: KNOWN_MS }], at)
}

/** What a notice to an address counts against; null where nothing is limited. */
function* chargeFor(address: string, { perRecipient, perStranger }: NoticeOptions, at: number): Steps<Charge | null> {
  const stranger = perStranger !== null && !(yield* isKnown(address, at))
  const rate = stranger ? perStranger : perRecipient
  return rate && { key: `${stranger ? 'noticesPerStranger' : 'noticesPerRecipient'}:${mailboxOf(address)}`, ...rate, cost: 1, keepMs: 0 }
}

/** The addresses among the contacts of an account that may be told: no other kind of contact, nobody who has asked not to be. Lower case. */
function* recipientsOf(accountId: string): Steps<string[]> {
  const account = yield* row<{ contact: string }>(`SELECT contact FROM account WHERE id = ? AND status = 'valid'`, accountId)
  const contacts = account ? (JSON.parse(account.contact) as string[]) : []
  const addresses = new Set(contacts.filter((url) => url.startsWith('mailto:')).map((url) => url.slice('mailto:'.length).toLowerCase()))
  const wanted: string[] = []
  for (const address of addresses) {
    const refused = yield* row('SELECT 1 AS refused FROM mail_opt_out WHERE address = ? AND account_id IN (?, ?) LIMIT 1', address, accountId, '')
    if (!refused) wanted.push(address)
  }
  return wanted
}

/** Puts a notice into the outbox, within the caller's transaction. Gives the number of mails. */
export function* queueNotice({ kind, accountId, about, data, at }: Notice, options: NoticeOptions): Steps<number> {
  let queued = 0
  for (const recipient of yield* recipientsOf(accountId)) {
    const once = `${kind} ${about} ${recipient}`
    if (yield* row('SELECT 1 AS told FROM mail WHERE once = ?', once)) continue
    const charge = yield* chargeFor(recipient, options, at)
    if (charge && !(yield* spendIfRoom(charge, at))) continue
    const mail = { id: newMailId(at), kind, recipient, accountId, data, sealed: null, urgent: false, once, createdAt: at, expiresAt: at + USEFUL_MS }
    if (yield* queueMail(mail)) queued++
  }
  return queued
}

/** Records what was done; for each row `notice.due` (issuance/revocation.ts) its account is told. */
export function* recordAndTell(audit: readonly AuditEntry[], options: NoticeOptions | null): Steps<void> {
  for (const entry of audit) {
    yield* record(entry)
    const [, accountId] = /^account:(.+)$/.exec(entry.subject) ?? []
    if (!options || entry.action !== 'notice.due' || accountId === undefined) continue
    const about = String(entry.detail.certificate ?? entry.detail.keyId)
    yield* queueNotice({ kind: entry.detail.about as NoticeKind, accountId, about, data: entry.detail, at: entry.at }, options)
  }
}

type Life = { notBefore: number; notAfter: number }

/**
 * When the owner of a certificate is told that it expires: when a quarter of its life is left, and when a tenth is. Clients renew by themselves when a third is left (the
 * middle of ARI's window, issuance/renewal.ts): of 90 days a week is in between, so that one that runs once a week, or fails for a few days, worries nobody.
 */
export const noticeTimes = ({ notBefore, notAfter }: Life): { quarter: number; tenth: number } => {
  const life = notAfter - notBefore
  return { quarter: notAfter - Math.floor(life / 4), tenth: notAfter - Math.floor(life / 10) }
}

export type ExpiringCertificate = Life & { serial: string; accountId: string | null; noticeAt: number }

/** Whether a newer certificate that is not revoked has every name of this one. */
function* isRenewed(serial: string): Steps<boolean> {
  const names = yield* rows<{ form: string; value: string }>('SELECT form, value FROM certificate_name WHERE serial = ? ORDER BY form, value', serial)
  const [first] = names
  if (!first) return false
  // Of those with one name in common the newest few: who has a hundred newer ones has renewed.
  const newer = yield* rows<{ serial: string }>(
    `SELECT c.serial FROM certificate_name n JOIN certificate c ON c.serial = n.serial JOIN certificate o ON o.serial = ?
     WHERE n.value = ? AND n.form = ? AND c.not_after > o.not_after AND c.fingerprint IS NOT NULL AND c.kind = 'leaf'
       AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.serial = c.serial)
     ORDER BY c.not_after + 0 DESC LIMIT 20`,
    serial,
    first.value,
    first.form,
  )
  for (const candidate of newer) {
    const missing = yield* row(
      `SELECT 1 AS missing FROM certificate_name n WHERE n.serial = ?
         AND NOT EXISTS (SELECT 1 FROM certificate_name m WHERE m.serial = ? AND m.form = n.form AND m.value = n.value) LIMIT 1`,
      serial,
      candidate.serial,
    )
    if (!missing) return true
  }
  return false
}

/** Whether there is anything to be told of a certificate that ends: not where it was revoked, never signed, or renewed. */
function* isMissed(serial: string): Steps<boolean> {
  const living = yield* row(
    `SELECT 1 AS living FROM certificate c WHERE c.serial = ? AND c.fingerprint IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.serial = c.serial)`,
    serial,
  )
  return living !== undefined && !(yield* isRenewed(serial))
}

export const noticeStore = ({ read, write }: Runner) => ({
  /** Certificates whose owner is due to be told at `now` that they expire, oldest first. */
  expiringCertificates: (now: number, limit: number): Promise<ExpiringCertificate[]> =>
    read(function* () {
      const found = yield* rows<{ serial: string; account_id: string | null; not_before: number; not_after: number; notice_at: number }>(
        'SELECT serial, account_id, not_before, not_after, notice_at FROM certificate WHERE notice_at IS NOT NULL AND notice_at <= ? ORDER BY notice_at LIMIT ?',
        now,
        limit,
      )
      return found.map((r) => ({
        serial: r.serial,
        accountId: r.account_id,
        notBefore: r.not_before,
        notAfter: r.not_after,
        noticeAt: r.notice_at,
      }))
    }),

  /**
   * Tells the owner of a certificate that it expires, and sets when to do so again (null: never). Once for each time, however many processes try: the one that moves
   * the time on does it. Gives the number of mails; 0 also where it was renewed, revoked, or nobody wants to know.
   */
  tellOfExpiry: (due: ExpiringCertificate, next: number | null, at: number, options: NoticeOptions): Promise<number> =>
    write(function* () {
      const { serial, accountId, noticeAt, notAfter } = due
      if ((yield* change('UPDATE certificate SET notice_at = ? WHERE serial = ? AND notice_at = ?', next, serial, noticeAt)) === 0) return 0
      if (accountId === null || notAfter <= at || !(yield* isMissed(serial))) return 0
      const about = `${serial} ${next === null ? 'tenth' : 'quarter'}`
      return yield* queueNotice({ kind: 'certificate.expiring', accountId, about, data: { certificate: serial }, at }, options)
    }),

  /** Whether a certificate that was to be renewed still has to be: asked again when the mail is sent. */
  isExpiryMissed: (serial: string): Promise<boolean> => read(() => isMissed(serial)),

  /** Whether an address takes notices for an account ('' : for any). */
  isOptedOut: (address: string, accountId: string): Promise<boolean> =>
    read(function* () {
      return (
        (yield* row('SELECT 1 AS refused FROM mail_opt_out WHERE address = ? AND account_id IN (?, ?) LIMIT 1', address, accountId, '')) !== undefined
      )
    }),

  /** No more notices to this address for this account, or ('') for any. False where it was said before. */
  optOut: (address: string, accountId: string, at: number, audit: AuditEntry): Promise<boolean> =>
    write(function* () {
      const sql = 'INSERT INTO mail_opt_out (address, account_id, created_at) VALUES (?, ?, ?) ON CONFLICT (address, account_id) DO NOTHING'
      if ((yield* change(sql, address, accountId, at)) === 0) return false
      yield* record(audit)
      return true
    }),

  /** Whether somebody at this address has said that notices are wanted, or has proved a name by mail. */
  isKnownMailbox: (address: string, now: number): Promise<boolean> => read(() => isKnown(address, now)),

  /** The reader of a notice wants them: again, or more than a stranger is sent. */
  optIn: (address: string, accountId: string, audit: AuditEntry): Promise<void> =>
    write(function* () {
      const again = yield* change('DELETE FROM mail_opt_out WHERE address = ? AND account_id IN (?, ?)', address, accountId, '')
      if (again > 0 || !(yield* isKnown(address, audit.at))) yield* record(audit)
      yield* meetMailbox(address, audit.at)
    }),
})
