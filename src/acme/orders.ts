/** Orders, authorizations and challenges (RFC 8555 §7.4, §7.5). */
import { IcaError } from '../errors.js'
import { preAuthorize } from '../issuance/authorizations.js'
import { authorizationOf, challengeOf, deactivateAuthorization, respondToChallenge } from '../issuance/challenges.js'
import { emailFields } from '../issuance/email.js'
import * as orders from '../issuance/orders.js'
import type { Authorization, Order } from '../model.js'
import { type AccountHandler, type Acme, payloadOf, requireRead } from './acme.js'
import type { Answer } from './answer.js'
import { readBase64url } from './decode.js'
import { challengeRetryAfter, renderAuthorization, renderChallenge, renderOrder } from './render.js'

/** An order is processed in well under a second, or waits for a process that has to come up again. */
const PROCESSING_RETRY_S = 1

const orderAnswer = ({ ica, urls }: Acme, order: Order): Answer => {
  const json = renderOrder(urls, order, ica.clock.now())
  return { json, location: urls.order(order.id), ...(json.status === 'processing' && { retryAfter: PROCESSING_RETRY_S }) }
}

/** §7.4. */
export const newOrder: AccountHandler = async (acme, request) => {
  const order = await orders.newOrder(acme.ica, request.account, payloadOf(request), request.who)
  return { ...orderAnswer(acme, order), status: 201 }
}

/** §7.4. */
export const order: AccountHandler = async (acme, request) => {
  requireRead(request)
  return orderAnswer(acme, await orders.orderOf(acme.ica, request.account, request.params.id as string))
}

/** The DER of a CSR. §7.4: base64url without PEM headers, which is where clients go wrong. */
const readCsr = (value: unknown): Buffer => {
  if (typeof value === 'string' && value.includes('-----BEGIN')) throw new IcaError('badCSR', 'The "csr" is PEM; send its DER as base64url.')
  return readBase64url(value, 'The "csr"')
}

/** §7.4. */
export const finalize: AccountHandler = async (acme, request) => {
  const csr = readCsr(payloadOf(request).csr)
  return orderAnswer(acme, await orders.finalizeOrder(acme.ica, request.account, request.params.id as string, csr, request.who))
}

/** Renders an authorization as it is now. */
const shownAuthorization = async (acme: Acme, authorization: Authorization) =>
  renderAuthorization({ ...acme, email: await emailFields(acme.ica, authorization, false) }, authorization, acme.ica.clock.now())

/** §7.4.1. */
export const newAuthz: AccountHandler = async (acme, request) => {
  const made = await preAuthorize(acme.ica, request.account, payloadOf(request), request.who)
  return { status: 201, location: acme.urls.authorization(made.id), json: await shownAuthorization(acme, made) }
}

/** §7.5, §7.5.2. */
export const authorization: AccountHandler = async (acme, request) => {
  const { ica } = acme
  const { account, payload, who } = request
  const id = request.params.id as string
  if (payload !== null && payload.status !== 'deactivated') {
    throw new IcaError('malformed', 'An authorization can be read (empty payload) or deactivated ({"status": "deactivated"}), nothing else.')
  }
  const found = payload === null ? await authorizationOf(ica, account, id) : await deactivateAuthorization(ica, account, id, who)
  return { json: await shownAuthorization(acme, found), retryAfter: challengeRetryAfter(found.challenges, ica.clock.now()) }
}

/** §7.5.1. Any object says "ready": of the challenge types here email-link-01 alone has a response field, and unknown ones are ignored. */
export const challenge: AccountHandler = async (acme, request) => {
  const { ica, queue, urls } = acme
  const { account, payload, who } = request
  const id = request.params.id as string
  const work = payload === null ? await challengeOf(ica, account, id) : await respondToChallenge(ica, queue, account, id, payload, who)
  // Reading this challenge by itself is what asks the DNS for addresses: few clients have a use for them, and none should wait for them in vain.
  const email = work.challenge.type === 'email-link-01' ? await emailFields(ica, work.authorization, payload === null) : undefined
  return {
    json: renderChallenge({ ...acme, email }, work.challenge, work.account.id),
    retryAfter: challengeRetryAfter([work.challenge], ica.clock.now()),
    links: [{ rel: 'up', url: urls.authorization(work.authorization.id) }],
  }
}
