import { renewalInfoOf } from '../issuance/renewal.js'
import type { Acme } from './acme.js'
import type { Answer } from './answer.js'
import { renderRenewalInfo } from './render.js'

/** How often clients should ask (RFC 9773 §4.3.1): an early renewal reaches all of them within that time. */
const RETRY_AFTER_S = 6 * 3600

/** RFC 9773 §4. `id`: what stands in the URL after the slash. */
export const renewalInfo = async ({ ica }: Pick<Acme, 'ica'>, id: string): Promise<Answer> => ({
  json: renderRenewalInfo(await renewalInfoOf(ica, id)),
  retryAfter: RETRY_AFTER_S,
})
