/** The resources of RFC 8555 §7.1 as JSON, from the model's rows and the time. */
import type { Ica } from '../issuance/ica.js'
import type { RenewalInfo } from '../issuance/renewal.js'
import { type AuthorizationStatus, authorizationStatus, orderStatus } from '../issuance/status.js'
import { type Account, type Authorization, byChallengeType, type Challenge, type Order } from '../model.js'
import type { Urls } from './urls.js'

/** RFC 3339, in whole seconds of UTC. */
export const renderTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`

/** §7.1.2, with the binding as it was sent (§7.3.4). The key is left out: its holder has it. */
export const renderAccount = (urls: Urls, account: Account) => ({
  status: account.status,
  contact: account.contact,
  termsOfServiceAgreed: account.termsAgreedAt !== null,
  orders: urls.orders(account.id),
  ...(account.externalAccount && { externalAccountBinding: account.externalAccount.binding }),
})

/** §7.1.3, with the `profile` of draft-ietf-acme-profiles and the `replaces` of RFC 9773 §5. */
export const renderOrder = (urls: Urls, order: Order, now: number) => ({
  status: orderStatus(order, now),
  expires: renderTime(order.expiresAt),
  identifiers: order.identifiers,
  profile: order.profile,
  ...(order.notBefore !== null && { notBefore: renderTime(order.notBefore) }),
  ...(order.notAfter !== null && { notAfter: renderTime(order.notAfter) }),
  ...(order.error && { error: order.error }),
  ...(order.replaces !== null && { replaces: order.replaces }),
  authorizations: order.authorizations.map((a) => urls.authorization(a.id)),
  finalize: urls.finalize(order.id),
  ...(order.certificateSerial !== null && { certificate: urls.certificate(order.certificateSerial) }),
})

/** RFC 9773 §4.2. */
export const renderRenewalInfo = ({ start, end, explanationUrl }: RenewalInfo) => ({
  suggestedWindow: { start: renderTime(start), end: renderTime(end) },
  ...(explanationUrl !== null && { explanationURL: explanationUrl }),
})

/** §7.1.4: of an authorization that is decided, what decided it. */
const shownChallenges = (challenges: Challenge[], status: AuthorizationStatus): Challenge[] =>
  status === 'valid' || status === 'invalid' ? challenges.filter((c) => c.status === status) : challenges

/** What challenges are rendered with; `email`: the fields of the challenge by mail (issuance/email.ts). */
type Challenged = { ica: Pick<Ica, 'validators' | 'accountUri'>; urls: Urls; email?: Record<string, unknown> | undefined }

/** §7.1.4. */
export const renderAuthorization = (acme: Challenged, authorization: Authorization, now: number) => {
  const status = authorizationStatus(authorization, now)
  return {
    identifier: authorization.identifier,
    status,
    expires: renderTime(authorization.expiresAt),
    challenges: shownChallenges(authorization.challenges, status)
      .toSorted(byChallengeType)
      .map((c) => renderChallenge(acme, c, authorization.accountId)),
    ...(authorization.wildcard && { wildcard: true }),
  }
}

/** §7.1.5, §8, with the fields of its type. The error of a challenge that is still processing tells of the last attempt (§8.2). */
export const renderChallenge = ({ ica, urls, email = {} }: Challenged, challenge: Challenge, accountId: string) => ({
  type: challenge.type,
  url: urls.challenge(challenge.id),
  status: challenge.status,
  ...(challenge.type === 'email-link-01'
    ? email
    : (ica.validators
        .find(({ type }) => type === challenge.type)
        ?.challengeFields?.({ token: challenge.token, accountUri: ica.accountUri(accountId) }) ?? { token: challenge.token })),
  ...(challenge.validatedAt !== null && { validated: renderTime(challenge.validatedAt) }),
  ...(challenge.error && { error: challenge.error }),
})

const LONGEST_WAIT_S = 30
/** Somebody is looking into their mailbox. */
const READER_S = 3

/**
 * Seconds until another look at a challenge is worth its while (`Retry-After`, §7.5.1, §8.2); undefined where nothing is under way. The first attempt takes no
 * time worth waiting for; after one that failed, the next is planned.
 */
export const challengeRetryAfter = (challenges: readonly Challenge[], now: number): number | undefined => {
  const processing = challenges.find((c) => c.status === 'processing')
  if (!processing) return undefined
  if (processing.type === 'email-link-01') return READER_S
  const wait = processing.error && processing.nextAttemptAt !== null ? Math.ceil((processing.nextAttemptAt - now) / 1000) : 1
  return Math.min(Math.max(wait, 1), LONGEST_WAIT_S)
}
