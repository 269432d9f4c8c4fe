/** Renewing with one click: a draft with the same names, ordered at once. */
import type { AcmeClient } from '../acme/client.js'
import type { AcmeIdentifier } from '../acme/resources.js'
import { keyAlgorithms } from '../keys/private-keys.js'
import { readCertificate } from '../keys/read.js'
import { type Draft, draftFor } from '../request/draft.js'
import { chainOf, withKey } from '../request/flow.js'
import { order } from '../request/ordering.js'
import { navigate } from '../shell/router.js'
import { type KeptCertificate, saveDraft } from '../store.js'

const begin = async (client: AcmeClient, draft: Draft): Promise<void> => {
  const ordered = await order(client, draft, { termsOfServiceAgreed: true })
  await saveDraft(ordered)
  navigate('/request?step=proof')
}

/** Orders the same names again with a new key, and goes to the form, which finishes by itself where the proof still holds. */
export const renew = async (client: AcmeClient, { identifiers, profile, pem, algorithm }: KeptCertificate): Promise<void> => {
  const replaces = readCertificate(chainOf(pem)[0] as Uint8Array).renewalId
  const draft = draftFor(identifiers, profile, replaces)
  const known = keyAlgorithms.find((one) => one === algorithm) ?? 'P-256'
  // Whoever brought a CSR has the key elsewhere, and brings another.
  if (algorithm === null) {
    await saveDraft({ ...draft, key: { kind: 'csr', der: new Uint8Array() } })
    return navigate('/request?step=key')
  }
  await begin(client, await withKey({ ...draft, key: { kind: 'new', algorithm: known, pkcs8: null } }))
}

/** Orders another certificate for names that somebody else ordered before, with a new key. */
export const orderSame = async (client: AcmeClient, identifiers: AcmeIdentifier[], profile: string): Promise<void> =>
  begin(client, await withKey(draftFor(identifiers, profile, null)))

/** Orders names only to prove them: the account may then revoke certificates that have no others. */
export const prove = async (client: AcmeClient, identifiers: AcmeIdentifier[]): Promise<void> =>
  begin(client, { ...draftFor(identifiers, '', null), purpose: 'manage' })
