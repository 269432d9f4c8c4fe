/** JWS in the form of ACME (RFC 7515, RFC 8555 §6.2), signed with WebCrypto: the private key stays inside of it. */
import { base64url } from '../keys/base64.js'

/** The public members of a JWK (RFC 7638 §3.2). */
export type PublicJwk = { kty: string; crv?: string; x?: string; y?: string; n?: string; e?: string }

/** A key that signs requests: an account's, or for revocation a certificate's. */
export type Signer = { alg: 'ES256' | 'ES384' | 'ES512' | 'RS256'; privateKey: CryptoKey; jwk: PublicJwk }

export type Jws = { protected: string; payload: string; signature: string }

const utf8 = new TextEncoder()

const parameters = {
  ES256: { name: 'ECDSA', hash: 'SHA-256' },
  ES384: { name: 'ECDSA', hash: 'SHA-384' },
  ES512: { name: 'ECDSA', hash: 'SHA-512' },
  RS256: { name: 'RSASSA-PKCS1-v1_5' },
} as const

/** The required members alone, in the order in which RFC 7638 §3.3 hashes them. */
export const publicJwk = ({ kty, crv, x, y, n, e }: JsonWebKey): PublicJwk =>
  kty === 'RSA' ? { e: e as string, kty, n: n as string } : { crv: crv as string, kty: kty as string, x: x as string, y: y as string }

/** RFC 7638, SHA-256, base64url: the right half of every key authorization. */
export const thumbprint = async (jwk: PublicJwk): Promise<string> =>
  base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', utf8.encode(JSON.stringify(publicJwk(jwk))))))

const parts = (header: object, payload: object | null) => ({
  protected: base64url(utf8.encode(JSON.stringify(header))),
  payload: payload === null ? '' : base64url(utf8.encode(JSON.stringify(payload))),
})

/** A flattened JWS; `payload` null is the empty one of POST-as-GET (RFC 8555 §6.3). */
export const signJws = async (signer: Signer, header: Record<string, unknown>, payload: object | null): Promise<Jws> => {
  const signed = parts({ alg: signer.alg, ...header }, payload)
  const input = utf8.encode(`${signed.protected}.${signed.payload}`)
  const signature = await crypto.subtle.sign(parameters[signer.alg], signer.privateKey, input)
  return { ...signed, signature: base64url(new Uint8Array(signature)) }
}

/** The JWS of an external account binding (RFC 8555 §7.3.4) with HS256. */
export const bindExternalAccount = async (macKey: Uint8Array<ArrayBuffer>, keyId: string, url: string, jwk: PublicJwk): Promise<Jws> => {
  const key = await crypto.subtle.importKey('raw', macKey, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  const signed = parts({ alg: 'HS256', kid: keyId, url }, jwk)
  const signature = await crypto.subtle.sign('HMAC', key, utf8.encode(`${signed.protected}.${signed.payload}`))
  return { ...signed, signature: base64url(new Uint8Array(signature)) }
}
