/** email-link-01, the client's side: choosing an address, and what the challenge shows of the message. The reader's side is confirm.ts. */
import { createHash, randomBytes } from 'node:crypto'
import { IcaError } from '../errors.js'
import { toUnicode } from '../identifier.js'
import type { Authorization, Challenge } from '../model.js'
import { type ChallengeInContext, type Confirmation, type Delivery, type Mail, newMailId } from '../store/store.js'
import { readMailAddress } from '../validation/mail-addresses.js'
import { requireActive } from './accounts.js'
import { counted } from './counting.js'
import { act, type Ica, type Who } from './ica.js'
import { mailCounters } from './limits.js'
import { authorizationStatus } from './status.js'

/** How long a link is good (BR 3.2.2.4.4: at most 30 days; PKI.md: 24 hours). */
const LINK_MS = 24 * 3_600_000
/** 256 bits. */
const TOKEN_BYTES = 32

/** How the random value of a link is stored. */
export const hashOfToken = (token: string): string => createHash('sha256').update(token).digest('hex')

/** What the secret in the outbox is sealed for. */
export const linkContext = (mailId: string): string => `mail:${mailId}`

/** How a name stands in sentences: with its wildcard label, and an internationalised one in both forms. */
export const shownName = ({ identifier, wildcard }: Pick<Authorization, 'identifier' | 'wildcard'>): string => {
  const label = wildcard ? '*.' : ''
  const [ascii, unicode] = [label + identifier.value, label + toUnicode(identifier.value)]
  return ascii === unicode ? ascii : `${unicode} (${ascii})`
}

const time = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`

/** What the state of a mail is called in a challenge: one that waits after a failed attempt is deferred. */
const stateOf = (delivery: Delivery | null): 'queued' | 'sent' | 'deferred' | 'failed' | 'bounced' => {
  if (!delivery) return 'sent'
  const { status, detail } = delivery
  if (status === 'queued') return detail === '' ? 'queued' : 'deferred'
  return status === 'canceled' ? 'failed' : status
}

const sentences = { queued: 'The message is about to be sent.', sent: 'The message was sent.' }

/** What the client may know of an attempt: not what the mail server of this CA is called, where it stands, or what it said of its own affairs. */
const detailFor = (state: ReturnType<typeof stateOf>, detail: string): string => {
  if (state === 'queued' || state === 'sent') return sentences[state]
  if (/^The mail server \S+ could not be reached/.test(detail))
    return 'The mail server of this CA could not be reached; the message will be sent later.'
  return detail.replace(/^The mail server \S+ /, 'The mail server ')
}

/** The member `mail` of a challenge object. */
const mailField = ({ confirmation, delivery }: { confirmation: Confirmation; delivery: Delivery | null }) => {
  const state = stateOf(delivery)
  const detail = detailFor(state, delivery?.detail ?? '')
  return {
    address: confirmation.address,
    state,
    detail,
    at: time(delivery?.changedAt ?? confirmation.createdAt),
    expires: time(confirmation.expiresAt),
  }
}

/**
 * What the e-mail challenge of an authorization shows beside the fields of all: the addresses that may be chosen, and once one was, its message. Undefined where there is no
 * such challenge. `look`: the DNS is asked for the addresses; otherwise they are those that follow from the name, or were found lately.
 */
export const emailFields = async (ica: Ica, authorization: Authorization, look: boolean): Promise<Record<string, unknown> | undefined> => {
  const challenge = authorization.challenges.find(({ type }) => type === 'email-link-01')
  if (!challenge || !ica.email) return undefined
  const { value } = authorization.identifier
  const { addresses, problems } =
    look && (challenge.status === 'pending' || challenge.status === 'processing')
      ? await ica.email.addresses.find(value)
      : ica.email.addresses.known(value)
  const asked = challenge.status === 'pending' ? null : await ica.store.confirmationOf(challenge.id)
  return { addresses, ...(problems.length > 0 && { problems }), ...(asked && { mail: mailField(asked) }) }
}

/** The address of a response, which must be one that is offered and takes mail. */
const chooseAddress = async (ica: Ica, domain: string, payload: Record<string, unknown>) => {
  const chosen = typeof payload.address === 'string' ? readMailAddress(payload.address) : null
  if (!ica.email) throw new IcaError('malformed', 'This CA no longer validates by e-mail. Use another challenge.')
  if (chosen === null)
    throw new IcaError('malformed', 'The response to email-link-01 names one of the challenge\'s addresses: {"address": "hostmaster@…"}.')
  const { addresses, problems } = await ica.email.addresses.find(domain)
  const reach = await ica.email.addresses.reach(chosen)
  const found = addresses.find(({ address }) => address.toLowerCase() === chosen.toLowerCase())
  if (reach && (found || !reach.failed))
    throw new IcaError(reach.failed ? 'dns' : 'incorrectResponse', `No message can be sent to ${chosen}. ${reach.problem}`)
  if (found) return found
  throw new IcaError(
    'incorrectResponse',
    `${chosen} does not answer for ${domain}. Choose one of: ${addresses.map(({ address }) => address).join(', ') || 'none'}.${problems.map((p) => ` ${p}`).join('')}`.slice(
      0,
      2_000,
    ),
  )
}

/** Whether the message that is under way is the one that is asked for. */
const isSame = (asked: { confirmation: Confirmation; delivery: Delivery | null }, address: string, now: number): boolean => {
  const { confirmation, delivery } = asked
  const under =
    confirmation.outcome === null && confirmation.expiresAt > now && !['failed', 'bounced', 'canceled'].includes(delivery?.status ?? 'sent')
  return under && confirmation.address.toLowerCase() === address.toLowerCase()
}

/**
 * The client answers with an address: a message goes to it, and the challenge is `processing` until its reader decides. The same answer again changes nothing; another address,
 * or the same after the message could not be delivered, starts over with a new link. Null where another request was first: read the challenge again.
 * Throws malformed, incorrectResponse (no such address, or nobody there), dns, rateLimited, unauthorized.
 */
export const askByMail = async (
  ica: Ica,
  work: ChallengeInContext,
  payload: Record<string, unknown>,
  who: Who,
): Promise<ChallengeInContext | null> => {
  const { challenge, authorization, account } = work
  if (challenge.status !== 'pending' && challenge.status !== 'processing') return work
  const now = ica.clock.now()
  requireActive(account)
  const status = authorizationStatus(authorization, now)
  if (status !== 'pending') throw new IcaError('malformed', `The authorization is ${status}; make a new order.`)
  const { address, source, at } = await chooseAddress(ica, authorization.identifier.value, payload)
  const before = await ica.store.confirmationOf(challenge.id)
  if (before && isSame(before, address, now)) return work

  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  const id = newMailId(now)
  const confirmation: Confirmation = {
    id,
    challengeId: challenge.id,
    address,
    requester: who.address ?? null,
    createdAt: now,
    expiresAt: Math.min(now + LINK_MS, authorization.expiresAt),
    outcome: null,
    decidedAt: null,
  }
  const name = shownName(authorization)
  const mail: Pick<Mail, 'kind' | 'data'> = { kind: 'validation', data: { name, thumbprint: account.thumbprint, requester: confirmation.requester } }
  const sealed = await ica.sealer.seal(Buffer.from(token), linkContext(id))
  const audit = act(ica, who, 'challenge.accepted', `challenge:${challenge.id}`, {
    type: challenge.type,
    identifier: authorization.identifier,
    authorization: authorization.id,
    address,
    source,
    at,
    mail: id,
  })
  const { overrides } = await ica.policies.current()
  const counters = mailCounters(ica.settings.limits, overrides, account.id, authorization.identifier.value, address)
  const asked = await counted(ica, counters, (charges) =>
    ica.store.askForConfirmation(
      { ...confirmation, tokenHash: hashOfToken(token), instead: before?.confirmation.outcome === null ? before.confirmation.id : null },
      { ...mail, id, recipient: address, accountId: account.id, sealed, urgent: true, once: null, createdAt: now, expiresAt: confirmation.expiresAt },
      audit,
      charges,
    ),
  )
  if (!asked) return null
  ica.email?.onMail()
  const processing: Challenge = { ...challenge, status: 'processing', error: null, attempts: challenge.attempts + 1, nextAttemptAt: null }
  return {
    ...work,
    challenge: processing,
    authorization: { ...authorization, challenges: authorization.challenges.map((c) => (c.id === challenge.id ? processing : c)) },
  }
}
