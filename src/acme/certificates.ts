/** Certificates and their revocation (RFC 8555 §7.4.2, §7.6). */
import { IcaError } from '../errors.js'
import { certificateChains } from '../issuance/orders.js'
import * as revocation from '../issuance/revocation.js'
import { pemEncode } from '../pki/pem.js'
import { type AccountHandler, type KeyHandler, payloadOf, requireRead, type SignedRequest } from './acme.js'
import type { Link } from './answer.js'
import { readBase64url } from './decode.js'

/** §7.4.2. The first chain by the serial alone, the others by their number; each links to all others. */
export const certificate: AccountHandler = async ({ ica, urls }, request) => {
  requireRead(request)
  const { serial = '', chain: asked = '0' } = request.params
  const { chains, issuerUrl } = await certificateChains(ica, request.account, serial)
  const number = /^[1-9]\d?$/.test(asked) ? Number(asked) : 0
  const chain = chains[number]
  if (!chain || (number === 0 && request.params.chain !== undefined)) throw new IcaError('notFound', 'There is no such chain of this certificate.')
  const links = chains.flatMap((_, i): Link[] => (i === number ? [] : [{ rel: 'alternate', url: urls.certificate(serial, i) }]))
  if (request.accepts('application/pem-certificate-chain', 'application/pkix-cert') === 'application/pkix-cert') {
    // One certificate can't bring its chain along: §7.4.2 has "up" say where it is.
    return {
      content: { type: 'application/pkix-cert', body: chain[0] as Uint8Array },
      links: [...links, { rel: 'up', url: issuerUrl }],
    }
  }
  const pem = chain.map((der) => pemEncode('CERTIFICATE', der)).join('')
  return { content: { type: 'application/pem-certificate-chain', body: pem }, links }
}

const readRevocation = (request: SignedRequest): { certificate: Buffer; reason: unknown } => {
  const { certificate, reason } = payloadOf(request)
  return { certificate: readBase64url(certificate, 'The "certificate"'), reason }
}

/** §7.6, signed by an account. */
export const revokeByAccount: AccountHandler = async ({ ica }, request) => {
  await revocation.revokeByAccount(ica, request.account, readRevocation(request), request.who)
  return {}
}

/** §7.6, signed by the key of the certificate. */
export const revokeByKey: KeyHandler = async ({ ica }, request) => {
  await revocation.revokeByKey(ica, request.key.keyId, readRevocation(request), request.who)
  return {}
}
