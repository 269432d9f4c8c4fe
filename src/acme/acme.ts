import { IcaError } from '../errors.js'
import type { Ica, Who } from '../issuance/ica.js'
import type { ValidationQueue } from '../issuance/validation-queue.js'
import type { Account } from '../model.js'
import type { AccountKey } from './account-key.js'
import type { Answer } from './answer.js'
import type { JsonObject } from './decode.js'
import type { Urls } from './urls.js'

/** What the handlers are given. */
export type Acme = { ica: Ica; queue: ValidationQueue; urls: Urls }

/** A request whose signature, URL and nonce are right. */
export type SignedRequest = {
  /** The URL that was signed. */
  url: string
  /** Null: POST-as-GET (RFC 8555 §6.3). */
  payload: JsonObject | null
  /** The variable parts of the path, each an {@link isId}. */
  params: Readonly<Record<string, string>>
  /** What stands behind the question mark of the URL. */
  query: string
  /** The media type that the client likes best; undefined where it accepts none of them. */
  accepts(...types: string[]): string | undefined
  who: Who
}

export type AccountHandler = (acme: Acme, request: SignedRequest & { account: Account }) => Promise<Answer>
export type KeyHandler = (acme: Acme, request: SignedRequest & { key: AccountKey }) => Promise<Answer>

/** The payload of a request that does something. Throws malformed for a POST-as-GET. */
export const payloadOf = (request: SignedRequest): JsonObject => {
  if (request.payload === null) throw new IcaError('malformed', 'The payload must be a JSON object.')
  return request.payload
}

/** For resources that can only be read. */
export const requireRead = (request: SignedRequest): void => {
  if (request.payload !== null) throw new IcaError('malformed', 'This resource can only be read: send an empty payload (POST-as-GET, RFC 8555 §6.3).')
}
