/** External account binding (RFC 8555 §7.3.4): MAC keys that the operator gives to people who may have an account. */
import { randomBytes } from 'node:crypto'
import { IcaError } from '../errors.js'
import type { ExternalAccountKey } from '../model.js'
import { act, type Ica, newId, type Who } from './ica.js'

/** As long as the output of the largest hash that signs with it (RFC 7518 §3.2 asks for at least that). */
const MAC_KEY_LENGTH = 64

type Deps = Pick<Ica, 'store' | 'clock' | 'sealer'>

const contextOf = (id: string): string => `external account key ${id}`

/** Makes a key. Its secret is returned this once; what is stored is sealed. */
export const makeExternalAccountKey = async (
  ica: Deps,
  { note, uses, expiresAt }: { note: string; uses: number; expiresAt: number | null },
  who: Who,
): Promise<{ key: ExternalAccountKey; secret: Buffer }> => {
  const createdAt = ica.clock.now()
  const key: ExternalAccountKey = { id: newId(createdAt), note, usesLeft: uses, createdAt, expiresAt, revokedAt: null }
  const secret = randomBytes(MAC_KEY_LENGTH)
  const audit = act(ica, who, 'externalAccountKey.created', `external-account-key:${key.id}`, { note, uses, expiresAt })
  await ica.store.addExternalAccountKey(key, await ica.sealer.seal(secret, contextOf(key.id)), audit)
  return { key, secret }
}

/** Keeps a key from being bound to more accounts; those that it was bound to stay. Throws notFound. */
export const revokeExternalAccountKey = async (ica: Pick<Ica, 'store' | 'clock'>, id: string, who: Who): Promise<void> => {
  const now = ica.clock.now()
  if (!(await ica.store.revokeExternalAccountKey(id, now, act(ica, who, 'externalAccountKey.revoked', `external-account-key:${id}`)))) {
    throw new IcaError('notFound', `There is no external account key ${id} that could be revoked.`)
  }
}

/**
 * The MAC key of an id, for who can prove to have it: `verify` is handed the secret. The same refusal for a key that does not exist and a MAC that is wrong, so that
 * ids can't be probed. Throws unauthorized.
 */
export const checkExternalAccountKey = async (ica: Deps, id: string, verify: (secret: Buffer) => boolean): Promise<void> => {
  const found = await ica.store.externalAccountKey(id)
  const secret = found ? await ica.sealer.open(found.sealedKey, contextOf(id)) : randomBytes(MAC_KEY_LENGTH)
  if (!verify(secret) || !found) {
    throw new IcaError('unauthorized', 'The external account binding is wrong: its key id is unknown here, or it was made with another MAC key.')
  }
  const why =
    (found.revokedAt !== null && 'was revoked') ||
    (found.expiresAt !== null && found.expiresAt <= ica.clock.now() && 'has expired') ||
    (found.usesLeft === 0 && 'is used up: an account was made with it')
  if (why) throw new IcaError('unauthorized', `The external account key ${why}. Ask the operator for another one.`)
}
