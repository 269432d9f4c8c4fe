/** Authorizations and challenges as their clients handle them (RFC 8555 §7.5). */
import { IcaError } from '../errors.js'
import type { Account, Authorization, Challenge } from '../model.js'
import { requireActive } from './accounts.js'
import { askByMail } from './email.js'
import { act, type Ica, owned, type Who } from './ica.js'
import { authorizationStatus } from './status.js'
import type { Work } from './validate.js'
import { LEASE_MS, type ValidationQueue } from './validation-queue.js'

/** The authorization `id` of this account. Throws notFound. */
export const authorizationOf = async (ica: Ica, account: Account, id: string): Promise<Authorization> =>
  owned(await ica.store.authorizationById(id), account.id, 'authorization')

/** Deactivates an authorization (RFC 8555 §7.5.2). Throws malformed where it is neither pending nor valid. */
export const deactivateAuthorization = async (ica: Ica, account: Account, id: string, who: Who): Promise<Authorization> => {
  const authorization = await authorizationOf(ica, account, id)
  const now = ica.clock.now()
  const status = authorizationStatus(authorization, now)
  if (status !== 'pending' && status !== 'valid') throw new IcaError('malformed', `The authorization is ${status}; it can't be deactivated.`)
  const audit = act(ica, who, 'authorization.deactivated', `authorization:${id}`, { identifier: authorization.identifier })
  if (!(await ica.store.deactivateAuthorization(id, now, audit))) throw new IcaError('malformed', 'The authorization was deactivated before.')
  return { ...authorization, deactivatedAt: now }
}

/** A challenge of this account with its authorization. Throws notFound. */
export const challengeOf = async (ica: Ica, account: Account, id: string): Promise<Work> => {
  const found = await ica.store.challengeById(id)
  if (!found || found.account.id !== account.id) throw new IcaError('notFound', 'This account has no such challenge.')
  return found
}

/**
 * The client says that it is ready (RFC 8555 §7.5.1): the challenge becomes `processing` and is validated in the background.
 * Said again while it waits for another attempt, that attempt is made now; else it changes nothing. `payload` matters to email-link-01 alone: see {@link askByMail}. Throws malformed where the authorization can't be validated any
 * more.
 */
export const respondToChallenge = async (
  ica: Ica,
  queue: ValidationQueue,
  account: Account,
  id: string,
  payload: Record<string, unknown>,
  who: Who,
): Promise<Work> => {
  const work = await challengeOf(ica, account, id)
  if (work.challenge.type === 'email-link-01') return (await askByMail(ica, work, payload, who)) ?? challengeOf(ica, account, id)
  if (work.challenge.status === 'processing') {
    requireActive(account)
    await queue.hurry(work)
    return work
  }
  if (work.challenge.status !== 'pending') return work
  const now = ica.clock.now()
  requireActive(account)
  const status = authorizationStatus(work.authorization, now)
  if (status !== 'pending') throw new IcaError('malformed', `The authorization is ${status}; make a new order.`)
  const leaseUntil = now + LEASE_MS
  const audit = act(ica, who, 'challenge.accepted', `challenge:${id}`, {
    type: work.challenge.type,
    identifier: work.authorization.identifier,
    authorization: work.authorization.id,
  })
  if (!(await ica.store.startChallenge(id, leaseUntil, audit))) return challengeOf(ica, account, id)
  const challenge: Challenge = { ...work.challenge, status: 'processing', attempts: 1, nextAttemptAt: leaseUntil }
  const authorization = {
    ...work.authorization,
    challenges: work.authorization.challenges.map((c) => (c.id === id ? challenge : c)),
  }
  const started = { ...work, challenge, authorization }
  queue.add(started, leaseUntil)
  return started
}
