/**
 * Anti-replay nonces (RFC 8555 §6.5). Handing one out writes nothing: it proves by a MAC that it was made here.
 *
 * base64url( id[16] || MAC[16] ), id = milliseconds[6] || ten octets of its own, MAC = HMAC-SHA-256(key, id) cut to 128 bits.
 *
 * Where one process serves the database (SQLite), which nonces were used is remembered in its memory, and the key dies with it: what was handed out before a restart
 * is refused with badNonce, which clients answer by trying again, and so nothing is served twice though nothing was written. Nodes that share a PostgreSQL share the
 * key, and record there what was used, because a client's requests may go to any of them.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import type { Account } from '../model.js'
import type { Store } from '../store/store.js'
import { decodeBase64url } from './decode.js'

const ID_LENGTH = 16
const TIME_LENGTH = 6
const MAC_LENGTH = 16

/** How long a nonce can be used. Long enough for a client that waits for DNS between two requests. */
export const NONCE_LIFETIME_MS = 2 * 3_600_000

/** Used nonces are remembered for longer than they live, so that a clock set back, or another node's slower one, revives none. */
const REMEMBERED_MS = NONCE_LIFETIME_MS + 3_600_000

export type Nonces = {
  /** A fresh value for Replay-Nonce. */
  issue(): string
  /** Uses a nonce up, for good once this resolves. Throws badNonce for one that is missing, not ours, expired or used. */
  use(nonce: string | undefined): Promise<void>
  /** {@link use}, and the account as it is then (null: there is none). */
  useFor(accountId: string, nonce: string | undefined): Promise<Account | null>
}

const badNonce = (detail: string) => new IcaError('badNonce', `${detail} Try again with the nonce of this answer.`)
const used = () => badNonce('The nonce was used before.')
const expired = () => badNonce('The nonce has expired.')

/** Nonces under a key, made of the time and what `fillRest` writes behind it. */
const sealed = (key: Uint8Array, clock: Clock, foreign: string, fillRest: (id: Buffer, now: number) => void) => {
  const mac = (id: Uint8Array): Buffer => createHmac('sha256', key).update(id).digest()
  return {
    issue(): string {
      const now = clock.now()
      const nonce = Buffer.allocUnsafe(ID_LENGTH + MAC_LENGTH)
      const id = nonce.subarray(0, ID_LENGTH)
      id.writeUIntBE(now, 0, TIME_LENGTH)
      fillRest(id, now)
      mac(id).copy(nonce, ID_LENGTH, 0, MAC_LENGTH)
      return nonce.toString('base64url')
    },
    /** What the nonce itself says. */
    read(nonce: string | undefined): { id: Buffer; issuedAt: number } {
      if (nonce === undefined) throw badNonce('The request has no nonce.')
      const bytes = decodeBase64url(nonce)
      if (bytes?.length !== ID_LENGTH + MAC_LENGTH) throw badNonce(foreign)
      const id = bytes.subarray(0, ID_LENGTH)
      if (!timingSafeEqual(mac(id).subarray(0, MAC_LENGTH), bytes.subarray(ID_LENGTH))) throw badNonce(foreign)
      const issuedAt = id.readUIntBE(0, TIME_LENGTH)
      if (clock.now() > issuedAt + NONCE_LIFETIME_MS) throw expired()
      return { id, issuedAt }
    },
  }
}

/** Nonces that any node takes; the database keeps the key, which is made the first time, and what was used. */
const databaseNonces = async (store: Pick<Store, 'settingOnce' | 'useNonce' | 'authenticate'>, clock: Clock): Promise<Nonces> => {
  const key = Buffer.from(await store.settingOnce('nonce-key', () => randomBytes(32).toString('base64url')), 'base64url')
  const { issue, read } = sealed(key, clock, 'The nonce is not from this CA.', (id) => randomBytes(ID_LENGTH - TIME_LENGTH).copy(id, TIME_LENGTH))
  return {
    issue,
    async use(nonce) {
      const { id, issuedAt } = read(nonce)
      if (!(await store.useNonce(id, issuedAt + REMEMBERED_MS))) throw used()
    },
    async useFor(accountId, nonce) {
      const { id, issuedAt } = read(nonce)
      const { fresh, account } = await store.authenticate(id, issuedAt + REMEMBERED_MS, accountId)
      if (!fresh) throw used()
      return account
    },
  }
}

const SEQUENCE_LENGTH = 6
const PER_PAGE = 65_536

/** Nonces that this process alone takes: numbered, and a bit for each number says whether it was used. A million nonces take 128 KiB. */
const memoryNonces = (store: Pick<Store, 'accountById'>, clock: Clock): Nonces => {
  const pages = new Map<number, { bits: Uint8Array; latest: number }>()
  let next = 0

  /** The page of the number that is handed out now. With each new one the old are forgotten, and then all of theirs count as expired, whatever becomes of the clock. */
  const pageFor = (sequence: number, now: number) => {
    const number = Math.floor(sequence / PER_PAGE)
    const known = pages.get(number)
    if (known) return known
    for (const [old, { latest }] of pages) if (latest + NONCE_LIFETIME_MS < now) pages.delete(old)
    const page = { bits: new Uint8Array(PER_PAGE / 8), latest: now }
    pages.set(number, page)
    return page
  }

  const foreign = 'The nonce is from before a restart, or not from this CA.'
  const { issue, read } = sealed(randomBytes(32), clock, foreign, (id, now) => {
    const page = pageFor(next, now)
    page.latest = Math.max(page.latest, now)
    id.writeUIntBE(next++, TIME_LENGTH, SEQUENCE_LENGTH)
    id.fill(0, TIME_LENGTH + SEQUENCE_LENGTH)
  })

  const spend = (nonce: string | undefined): void => {
    const sequence = read(nonce).id.readUIntBE(TIME_LENGTH, SEQUENCE_LENGTH)
    const page = pages.get(Math.floor(sequence / PER_PAGE))
    if (!page) throw expired()
    const place = sequence % PER_PAGE
    const bit = 1 << (place & 7)
    const octet = page.bits[place >> 3] as number
    if (octet & bit) throw used()
    page.bits[place >> 3] = octet | bit
  }

  return {
    issue,
    use: async (nonce) => spend(nonce),
    async useFor(accountId, nonce) {
      spend(nonce)
      return store.accountById(accountId)
    },
  }
}

/** Nonces for the processes that serve this database. */
export const createNonces = async (
  store: Pick<Store, 'engine' | 'settingOnce' | 'useNonce' | 'authenticate' | 'accountById'>,
  clock: Clock,
): Promise<Nonces> => (store.engine === 'sqlite' ? memoryNonces(store, clock) : databaseNonces(store, clock))
