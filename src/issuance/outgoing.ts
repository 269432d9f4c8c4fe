/**
 * Sends what lies in the outbox. A mail is claimed, sent, and recorded as sent. A process that dies between the mail server's answer and that record leaves a mail that
 * is sent again a minute later, with the same Message-ID and Date, by which mail programs drop the second one; nothing is ever lost.
 */
import type { Clock } from '../clock.js'
import type { Sealer } from '../keystore/seal.js'
import type { Log } from '../log.js'
import { type MailText, noticeFooter, type Sender, validationText } from '../mail/texts.js'
import type { Attempt, Transport } from '../mail/transport.js'
import type { AuditEntry } from '../model.js'
import type { Mail, Store } from '../store/store.js'
import { linkContext } from './email.js'
import type { Metrics } from './ica.js'
import { noticeText, type Subscriptions } from './notices.js'

export type Outgoing = {
  /** Begins to look for mails that are due. */
  start(): void
  /** Something was put into the outbox just now. */
  kick(): void
  /** Finishes what is being sent, unless that takes seconds. */
  stop(): Promise<void>
}

export type OutgoingDeps = {
  clock: Clock
  log: Log
  store: Store
  metrics: Metrics
  sealer: Sealer
  transport: Transport
  sender: Sender
  subscriptions: () => Promise<Subscriptions>
  /** Milliseconds, shorter in tests. */
  times?: Partial<typeof defaultTimes>
}

/** `lease`: how long a mail waits whose sender has died; claims are extended while a sender lives. `firstRetry` grows fourfold each time, up to `longestRetry`. `patience`: of {@link Outgoing.stop}. */
const defaultTimes = { poll: 1_000, lease: 60_000, firstRetry: 30_000, longestRetry: 4 * 3_600_000, patience: 2_500 }
const CONCURRENT = 4

type Written = { content: MailText; unsubscribe: string | null }

/** What is to be sent, or null where it is of no use any more. */
const writeMail = async ({ store, clock, sealer, sender, subscriptions }: OutgoingDeps, mail: Mail): Promise<Written | null> => {
  if (mail.kind === 'validation') {
    if (!mail.sealed) return null
    const token = (await sealer.open(mail.sealed, linkContext(mail.id))).toString()
    const { name, thumbprint, requester } = mail.data as { name: string; thumbprint: string; requester: string | null }
    const facts = { name, thumbprint, requester, at: mail.createdAt, expiresAt: mail.expiresAt, link: `${sender.website}/confirm/${token}` }
    return { content: validationText(sender, facts), unsubscribe: null }
  }
  const text = await noticeText({ store, clock }, sender, mail)
  if (!text) return null
  const unsubscribe = `${sender.website}/unsubscribe/${(await subscriptions()).token({ address: mail.recipient, accountId: mail.accountId ?? '' })}`
  const known = await store.isKnownMailbox(mail.recipient, clock.now())
  return { content: { ...text, blocks: [...text.blocks, ...noticeFooter(sender, unsubscribe, known)] }, unsubscribe }
}

const auditOf = (mail: Mail, at: number, action: string, detail: string): AuditEntry => ({
  at,
  actor: 'system',
  action,
  subject: `mail:${mail.id}`,
  detail: { kind: mail.kind, recipient: mail.recipient, account: mail.accountId, attempt: mail.attempts, detail },
})

/** Makes what came of an attempt durable: sent, to be tried again, or given up. */
const recordAttempt = async (
  { store, clock, log, metrics }: OutgoingDeps,
  times: typeof defaultTimes,
  mail: Mail,
  attempt: Attempt,
): Promise<void> => {
  const { id, attempts, kind } = mail
  const { detail } = attempt
  const now = clock.now()
  const audit = (action: string) => auditOf(mail, now, action, detail)
  metrics.count('mails', { kind, result: attempt.ok ? 'sent' : attempt.permanent ? 'failed' : 'deferred' })
  if (attempt.ok) {
    await store.mailSent(id, now, detail, audit('mail.sent'))
    return
  }
  const next = now + Math.min(times.firstRetry * 4 ** (attempts - 1), times.longestRetry)
  if (attempt.permanent || next >= mail.expiresAt) await store.mailFailed(id, attempts, 'failed', now, detail, audit('mail.failed'))
  else await store.mailDeferred(id, attempts, now, next, detail, audit('mail.deferred'))
  log.warn({ mail: id, kind, attempt: attempts, permanent: attempt.permanent, detail }, 'a mail could not be sent')
}

export const createOutgoing = (deps: OutgoingDeps): Outgoing => {
  const { clock, log, store, transport } = deps
  const times = { ...defaultTimes, ...deps.times }
  const running = new Map<string, Promise<void>>()
  let timer: NodeJS.Timeout | undefined
  let polling: Promise<void> | null = null
  let stopped = false

  const process = async (mail: Mail): Promise<void> => {
    const now = clock.now()
    const useless = async (detail: string): Promise<void> => {
      await store.mailFailed(mail.id, mail.attempts, 'canceled', now, detail, auditOf(mail, now, 'mail.canceled', detail))
    }
    if (mail.expiresAt <= now) return useless('It could not be sent in time.')
    const written = await writeMail(deps, mail)
    if (!written) return useless('It is of no use any more.')
    const extend = setInterval(() => {
      store
        .extendMailLease(mail.id, mail.attempts, clock.now() + times.lease)
        .catch((err: unknown) => log.warn({ err, mail: mail.id }, 'a claim could not be extended'))
    }, times.lease / 3)
    try {
      await recordAttempt(deps, times, mail, await transport.send({ id: mail.id, to: mail.recipient, at: mail.createdAt, ...written }))
    } finally {
      clearInterval(extend)
    }
  }

  const poll = async (): Promise<void> => {
    for (const id of await store.dueMails(clock.now(), CONCURRENT - running.size)) {
      if (stopped || running.has(id)) continue
      const now = clock.now()
      const mail = await store.leaseMail(id, now, now + times.lease)
      if (!mail) continue
      const done = process(mail)
        .catch((err: unknown) => log.error({ err, mail: id }, 'a mail could not be processed; it is tried again'))
        .finally(() => {
          running.delete(id)
          look()
        })
      running.set(id, done)
    }
  }

  /** Looks for work, never twice at once. */
  const look = (): void => {
    if (stopped || polling || running.size >= CONCURRENT) return
    polling = poll()
      .catch((err: unknown) => log.error({ err }, 'could not look for mails'))
      .finally(() => {
        polling = null
      })
  }

  return {
    start() {
      timer = setInterval(look, times.poll)
      look()
    },
    kick: look,
    async stop() {
      stopped = true
      clearInterval(timer)
      await polling
      // A server that takes its time is not waited for: what it was given is due again when the claim ends.
      let waited: NodeJS.Timeout | undefined
      const patience = new Promise((resolve) => {
        waited = setTimeout(resolve, times.patience)
      })
      await Promise.race([Promise.all(running.values()), patience])
      clearTimeout(waited)
      transport.close()
    },
  }
}
