/** External account binding (RFC 8555 §7.3.4): a JWS within newAccount, by which the holder of a MAC key vouches for the account key. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { IcaError } from '../errors.js'
import { checkExternalAccountKey } from '../issuance/external-accounts.js'
import type { Ica } from '../issuance/ica.js'
import type { Account } from '../model.js'
import { readJwk } from './account-key.js'
import { decodeJsonObject, isJsonObject, readBase64url } from './decode.js'
import { isId } from './urls.js'

/** "MAC-based" (§7.3.4): these, and no signature of a public key. */
const hashes: ReadonlyMap<unknown, string> = new Map([
  ['HS256', 'sha256'],
  ['HS384', 'sha384'],
  ['HS512', 'sha512'],
])

const malformed = (detail: string) => new IcaError('malformed', `The "externalAccountBinding" ${detail} (RFC 8555 §7.3.4).`)

/**
 * Verifies the binding of a newAccount request.
 * @param url what the outer JWS was sent to
 * @param thumbprint of the key that signed the outer JWS
 * @throws IcaError malformed, badSignatureAlgorithm, unauthorized
 */
export const readBinding = async (ica: Ica, binding: unknown, url: string, thumbprint: string): Promise<NonNullable<Account['externalAccount']>> => {
  if (!isJsonObject(binding) || Object.keys(binding).sort().join() !== 'payload,protected,signature') {
    throw malformed('must be a flattened JWS with "protected", "payload" and "signature"')
  }
  const header = decodeJsonObject(readBase64url(binding.protected, 'The "protected" of the binding'), 'The protected header of the binding')
  const payload = readBase64url(binding.payload, 'The "payload" of the binding')
  const signature = readBase64url(binding.signature, 'The "signature" of the binding')
  const { alg, kid, url: signedUrl, nonce, crit, b64 } = header
  const hash = hashes.get(alg)
  if (hash === undefined) {
    const detail = `The algorithm ${JSON.stringify(alg)?.slice(0, 20)} of the external account binding is not supported.`
    throw new IcaError('badSignatureAlgorithm', detail, { algorithms: [...hashes.keys()] as string[] })
  }
  if (typeof kid !== 'string' || !isId(kid)) throw malformed('must have the id of the external account key as "kid" in its header')
  if (nonce !== undefined) throw malformed('must not have a nonce in its header')
  if (crit !== undefined || b64 !== undefined) throw malformed('must not have "crit" or "b64" in its header')
  if (signedUrl !== url) throw malformed('must have the URL of newAccount as "url" in its header, as the outer JWS has')
  if (readJwk(decodeJsonObject(payload, 'The payload of the binding')).thumbprint !== thumbprint) {
    throw malformed('must have the account key, which signs the outer JWS, as its payload')
  }
  const signed = `${binding.protected}.${binding.payload}`
  await checkExternalAccountKey(ica, kid, (secret) => {
    const mac = createHmac(hash, secret).update(signed, 'latin1').digest()
    return mac.length === signature.length && timingSafeEqual(mac, signature)
  })
  return { keyId: kid, binding }
}
