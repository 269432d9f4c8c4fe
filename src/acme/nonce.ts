/**
 * Anti-replay nonces (RFC 8555 §6.5). Handing one out writes nothing: it proves by a MAC that this CA made it, on whichever node and before whatever restart.
 * Using one is recorded in the database, so that no node takes it twice.
 *
 * base64url( id[16] || MAC[16] ), id = milliseconds[6] || random[10], MAC = HMAC-SHA-256(key, id) cut to 128 bits.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import type { Account } from '../model.js'
import type { Store } from '../store/store.js'
import { decodeBase64url } from './decode.js'

const ID_LENGTH = 16
const MAC_LENGTH = 16

/** How long a nonce can be used. Long enough for a client that waits for DNS between two requests. */
export const NONCE_LIFETIME_MS = 2 * 3_600_000

/** Used nonces are remembered for longer than they live, so that a clock set back, or another node's slower one, revives none. */
const REMEMBERED_MS = NONCE_LIFETIME_MS + 3_600_000

export type Nonces = {
  /** A fresh value for Replay-Nonce. */
  issue(): string
  /** Uses a nonce up; resolves once that is durable. Throws badNonce for one that is missing, not ours, expired or used. */
  use(nonce: string | undefined): Promise<void>
  /** {@link use}, and the account as it is then (null: there is none), in one transaction. */
  useFor(accountId: string, nonce: string | undefined): Promise<Account | null>
}

const badNonce = (detail: string) => new IcaError('badNonce', `${detail} Try again with the nonce of this answer.`)
const used = () => badNonce('The nonce was used before.')

/** Nonces under the key that the database keeps; it is made the first time. */
export const createNonces = async (store: Pick<Store, 'settingOnce' | 'useNonce' | 'authenticate'>, clock: Clock): Promise<Nonces> => {
  const key = Buffer.from(await store.settingOnce('nonce-key', () => randomBytes(32).toString('base64url')), 'base64url')
  const mac = (id: Uint8Array): Buffer => createHmac('sha256', key).update(id).digest().subarray(0, MAC_LENGTH)

  /** What can be said without the database. */
  const read = (nonce: string | undefined): { id: Buffer; rememberUntil: number } => {
    if (nonce === undefined) throw badNonce('The request has no nonce.')
    const bytes = decodeBase64url(nonce)
    if (bytes?.length !== ID_LENGTH + MAC_LENGTH) throw badNonce('The nonce is not from this CA.')
    const id = bytes.subarray(0, ID_LENGTH)
    if (!timingSafeEqual(mac(id), bytes.subarray(ID_LENGTH))) throw badNonce('The nonce is not from this CA.')
    const issuedAt = id.readUIntBE(0, 6)
    if (clock.now() > issuedAt + NONCE_LIFETIME_MS) throw badNonce('The nonce has expired.')
    return { id, rememberUntil: issuedAt + REMEMBERED_MS }
  }

  return {
    issue() {
      const nonce = Buffer.allocUnsafe(ID_LENGTH + MAC_LENGTH)
      nonce.writeUIntBE(clock.now(), 0, 6)
      randomBytes(ID_LENGTH - 6).copy(nonce, 6)
      mac(nonce.subarray(0, ID_LENGTH)).copy(nonce, ID_LENGTH)
      return nonce.toString('base64url')
    },
    async use(nonce) {
      const { id, rememberUntil } = read(nonce)
      if (!(await store.useNonce(id, rememberUntil))) throw used()
    },
    async useFor(accountId, nonce) {
      const { id, rememberUntil } = read(nonce)
      const { fresh, account } = await store.authenticate(id, rememberUntil, accountId)
      if (!fresh) throw used()
      return account
    },
  }
}
