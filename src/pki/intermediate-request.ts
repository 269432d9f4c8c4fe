/** Reading the request of an intermediate (PKCS #10, RFC 2986), through `@peculiar/x509`: the root signs once in years. Load it with `import()`. */
import { IcaError } from '../errors.js'
import type { Subject } from './hierarchy.js'
import { type PublicKeyInfo, readPublicKey } from './keys.js'
import { oids } from './oids.js'
import { crypto, x509 } from './x509.js'

const refuse = (detail: string): never => {
  throw new IcaError('badCSR', detail)
}

/**
 * Name and key of a PEM request, whose signature is verified.
 * @throws IcaError('badCSR') in words for the operator
 */
export const readIntermediateRequest = async (pem: string): Promise<{ subject: Subject; publicKey: PublicKeyInfo }> => {
  const read = (): x509.Pkcs10CertificateRequest => {
    try {
      return new x509.Pkcs10CertificateRequest(pem)
    } catch (error) {
      return refuse(`It is no certification request: ${(error as Error).message}`)
    }
  }
  const request = read()
  const right = await request.verify(crypto).catch((error: Error) => refuse(`Its signature can't be verified: ${error.message}`))
  if (!right) refuse('Its signature is wrong: it was not made with the key that belongs to it.')
  const [commonName, second] = request.subjectName.getField(oids.commonName)
  const [organization] = request.subjectName.getField(oids.organizationName)
  if (commonName === undefined || second !== undefined) return refuse('Its subject must have one common name.')
  const constraints = request.extensions.find((extension) => extension instanceof x509.BasicConstraintsExtension)
  if (!constraints?.ca) refuse('It does not ask for a CA certificate: it is the request of something else.')
  const publicKey = readPublicKey(new Uint8Array(request.publicKey.rawData))
  return { subject: { commonName, organization }, publicKey }
}
