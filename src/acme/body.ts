import type { IncomingMessage } from 'node:http'
import { IcaError } from '../errors.js'

/** The largest CSR in two layers of base64url takes half of it. */
export const MAX_BODY = 64 * 1024

const tooLarge = () => new IcaError('payloadTooLarge', `A request can have at most ${MAX_BODY} octets.`)

/** RFC 8555 §6.2: nothing but JWS. Throws unsupportedMediaType. */
const checkMediaType = (request: IncomingMessage): void => {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  const coding = request.headers['content-encoding'] ?? 'identity'
  if (type !== 'application/jose+json') throw new IcaError('unsupportedMediaType', 'The Content-Type of a POST must be application/jose+json.')
  if (coding !== 'identity') throw new IcaError('unsupportedMediaType', 'A Content-Encoding is not supported.')
}

/** The body of a request as it came. Throws unsupportedMediaType, payloadTooLarge, and malformed for one that ends early. */
export const readBody = async (request: IncomingMessage): Promise<Buffer> => {
  checkMediaType(request)
  if (Number(request.headers['content-length']) > MAX_BODY) throw tooLarge()
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    request.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > MAX_BODY) {
        request.removeAllListeners('data')
        reject(tooLarge())
      } else chunks.push(chunk)
    })
    request.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)))
    request.on('close', () => {
      if (!request.complete) reject(new IcaError('malformed', 'The request ended before its body did.'))
    })
  })
}
