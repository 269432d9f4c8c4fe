/** email-link-01, the reader's side: what a link is about, and what its reader decides. The client's side is email.ts. */
import { IcaError, toProblem } from '../errors.js'
import type { ChallengeInContext, ChallengeResult, Confirmation } from '../store/store.js'
import { hashOfToken, shownName } from './email.js'
import { act, type Ica, type Who } from './ica.js'
import { failureCharges } from './limits.js'
import { authorizationStatus } from './status.js'

/** `open`: can be decided. `void`: its challenge can't be any more, whatever the link says. */
export type LinkState = 'open' | 'confirmed' | 'denied' | 'expired' | 'superseded' | 'void'

/** What a link is about, for its reader. */
export type LinkFacts = {
  state: LinkState
  name: string
  address: string
  thumbprint: string
  requester: string | null
  askedAt: number
  expiresAt: number
  decidedAt: number | null
}

type Link = ChallengeInContext & { confirmation: Confirmation }

const stateOf = ({ confirmation, challenge, authorization, account }: Link, now: number): LinkState => {
  if (confirmation.outcome !== null) return confirmation.outcome
  if (confirmation.expiresAt <= now) return 'expired'
  return challenge.status === 'processing' && authorizationStatus(authorization, now) === 'pending' && account.status === 'valid' ? 'open' : 'void'
}

const factsOf = (link: Link, now: number): LinkFacts => ({
  state: stateOf(link, now),
  name: shownName(link.authorization),
  address: link.confirmation.address,
  thumbprint: link.account.thumbprint,
  requester: link.confirmation.requester,
  askedAt: link.confirmation.createdAt,
  expiresAt: link.confirmation.expiresAt,
  decidedAt: link.confirmation.decidedAt,
})

/** What the link with this random value is about; null where there is none. Changes nothing. */
export const linkOf = async (ica: Ica, token: string): Promise<LinkFacts | null> => {
  const link = await ica.store.confirmationByToken(hashOfToken(token))
  return link && factsOf(link, ica.clock.now())
}

/** The reader says yes or no. Gives what is true of the link afterwards; null where there is none. Said of a link that is not open, it changes nothing. */
export const decideLink = async (ica: Ica, token: string, decision: 'confirmed' | 'denied', who: Who): Promise<LinkFacts | null> => {
  const link = await ica.store.confirmationByToken(hashOfToken(token))
  const now = ica.clock.now()
  if (!link) return null
  if (stateOf(link, now) !== 'open') return factsOf(link, now)
  const { challenge, authorization, account, confirmation } = link
  const confirmed = decision === 'confirmed'
  const result: ChallengeResult = confirmed
    ? { status: 'valid', validatedAt: now, authorizationExpiresAt: now + ica.settings.authorizationReuseMs }
    : {
        status: 'invalid',
        error: toProblem(
          new IcaError('unauthorized', `The reader of ${confirmation.address} said that the request for ${shownName(authorization)} was not theirs.`),
        ),
      }
  const audit = act(ica, who, confirmed ? 'challenge.validated' : 'challenge.denied', `challenge:${challenge.id}`, {
    account: account.id,
    authorization: authorization.id,
    type: challenge.type,
    identifier: authorization.identifier,
    evidence: { address: confirmation.address, mail: confirmation.id, askedFrom: confirmation.requester, askedAt: confirmation.createdAt },
  })
  const charges = confirmed ? [] : await failureCharges(ica, account.id, [authorization.identifier])
  if (await ica.store.decideConfirmation(hashOfToken(token), decision, now, result, audit, charges)) {
    ica.metrics.count('validations', { type: challenge.type, result: confirmed ? 'valid' : 'unauthorized' })
  }
  return linkOf(ica, token)
}

/** Ends the challenges whose links nobody has used in time. Returns how many. */
export const expireLinks = async (ica: Ica): Promise<number> => {
  const now = ica.clock.now()
  const overdue = await ica.store.overdueConfirmations(now, 200)
  for (const { id, challengeId, address } of overdue) {
    const error = toProblem(new IcaError('unauthorized', `Nobody has confirmed the message to ${address} in time. Make a new order.`))
    const audit = act(ica, { actor: 'system' }, 'challenge.failed', `challenge:${challengeId}`, {
      type: 'email-link-01',
      address,
      mail: id,
      detail: error.detail,
    })
    await ica.store.expireConfirmation(id, now, { status: 'invalid', error }, audit)
  }
  return overdue.length
}
