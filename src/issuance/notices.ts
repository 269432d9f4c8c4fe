/** Notices to subscribers: when they are told that a certificate expires, what stands in a notice, and how one says that one wants no more of them. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { toUnicode } from '../identifier.js'
import { type CertificateFacts, expiringText, issuedText, keyBlockedText, type MailText, revokedText, type Sender } from '../mail/texts.js'
import type { Certificate } from '../model.js'
import { type Mail, type NoticeOptions, noticeTimes } from '../store/store.js'
import { readMailAddress } from '../validation/mail-addresses.js'
import { act, type Ica, type Who } from './ica.js'

const BATCH = 200

/**
 * Tells the owners of certificates that these expire, those that are due now. Returns the number of certificates looked at. Several processes may do it at once.
 */
export const tellOfExpiries = async (ica: Pick<Ica, 'store' | 'clock'>, options: NoticeOptions): Promise<number> => {
  const now = ica.clock.now()
  const due = await ica.store.expiringCertificates(now, BATCH)
  for (const certificate of due) {
    const { tenth } = noticeTimes(certificate)
    // After a long pause only the last of the two is news.
    await ica.store.tellOfExpiry(certificate, tenth > now ? tenth : null, now, options)
  }
  return due.length
}

const factsOf = ({ serial, names, profile, notBefore, notAfter }: Certificate): CertificateFacts => ({
  serial,
  // dNSNames say it all where there are any; the other forms repeat them.
  names: [
    ...new Set((names.some(({ form }) => form === 'dNSName') ? names.filter(({ form }) => form === 'dNSName') : names).map(({ value }) => value)),
  ].map((name) => (name.includes('xn--') ? `${toUnicode(name)} (${name})` : name)),
  profile,
  notBefore,
  notAfter,
})

/** The text of a notice as things stand now; null where it is of no use any more: a certificate was renewed, or nobody wants to know. */
export const noticeText = async (ica: Pick<Ica, 'store' | 'clock'>, sender: Sender, mail: Mail): Promise<MailText | null> => {
  const { kind, data, accountId, recipient } = mail
  if (accountId === null || (await ica.store.isOptedOut(recipient, accountId))) return null
  const reason = String(data.reason ?? 'unspecified')
  if (kind === 'key.blocked') return keyBlockedText(sender, String(data.keyId), reason)
  const certificate = await ica.store.certificateBySerial(String(data.certificate))
  if (!certificate) return null
  if (kind === 'certificate.issued') return issuedText(sender, factsOf(certificate))
  if (kind === 'certificate.revoked')
    return revokedText(sender, factsOf(certificate), reason, data.compromisedKey !== undefined || data.keyBlocked === true)
  const missed = certificate.notAfter > ica.clock.now() && (await ica.store.isExpiryMissed(certificate.serial))
  return missed ? expiringText(sender, factsOf(certificate), ica.clock.now()) : null
}

/** Whom an unsubscribe link is for. */
export type Subscription = { address: string; accountId: string }

export type Subscriptions = {
  /** The last part of the link in every notice: works without an account, for as long as the database lives. */
  token(subscription: Subscription): string
  /** Null for what no notice has. */
  read(token: string): Subscription | null
}

/** MAC over address and account with a key that the database keeps: no row is needed for each link. */
export const createSubscriptions = async (store: Pick<Ica['store'], 'settingOnce'>): Promise<Subscriptions> => {
  const key = Buffer.from(await store.settingOnce('unsubscribe-key', () => randomBytes(32).toString('base64url')), 'base64url')
  const mac = (content: string): Buffer => createHmac('sha256', key).update(content).digest().subarray(0, 16)
  return {
    token({ address, accountId }) {
      const content = Buffer.from(`${accountId} ${address}`).toString('base64url')
      return `${content}.${mac(content).toString('base64url')}`
    },
    read(token) {
      const [content = '', given = '', more] = token.split('.')
      const [expected, presented] = [mac(content), Buffer.from(given, 'base64url')]
      if (more !== undefined || presented.length !== expected.length || !timingSafeEqual(expected, presented)) return null
      const text = Buffer.from(content, 'base64url').toString()
      const space = text.indexOf(' ')
      const address = readMailAddress(text.slice(space + 1))
      return space < 0 || address === null ? null : { accountId: text.slice(0, space), address }
    },
  }
}

/** `few`: nobody at the address has said that they are wanted, so that it is sent little. */
export type NoticesAt = 'none' | 'few' | 'all'

/** Which notices an address gets for an account. */
export const noticesAt = async ({ store, clock }: Pick<Ica, 'store' | 'clock'>, { address, accountId }: Subscription): Promise<NoticesAt> => {
  if (await store.isOptedOut(address, accountId)) return 'none'
  return (await store.isKnownMailbox(address, clock.now())) ? 'all' : 'few'
}

/** Ends notices to an address: for one account, or (`all`) for whatever account has it among its contacts. */
export const unsubscribe = (ica: Pick<Ica, 'store' | 'clock'>, { address, accountId }: Subscription, all: boolean, who: Who): Promise<boolean> => {
  const audit = act(ica, who, 'notices.refused', `account:${accountId}`, { address, all })
  return ica.store.optOut(address, all ? '' : accountId, audit.at, audit)
}

/** The reader wants notices: again, or all of them. */
export const subscribe = (ica: Pick<Ica, 'store' | 'clock'>, { address, accountId }: Subscription, who: Who): Promise<void> =>
  ica.store.optIn(address, accountId, act(ica, who, 'notices.wanted', `account:${accountId}`, { address }))
