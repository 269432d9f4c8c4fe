/** Certification requests (PKCS #10, RFC 2986), written by the same encoder as the CA's certificates. */
import type { CertificateName } from '../../../src/model.js'
import { implicitConstructed, integer, oid, sequence, setOf } from '../../../src/pki/der.js'
import { generalName, signedSequence, subjectAltName } from '../../../src/pki/extensions.js'
import { oids } from '../../../src/pki/oids.js'
import type { AcmeIdentifier } from '../acme/resources.js'
import { signerOf, signX509, spkiOf } from './private-keys.js'

const nameOf = ({ type, value }: AcmeIdentifier): CertificateName => ({ form: type === 'srv' ? 'SRVName' : 'dNSName', value })

/** A DER CSR for the identifiers of an order, signed by the PKCS #8 key. The CA adds what its profile has besides. */
export const makeCsr = async (pkcs8: Uint8Array, identifiers: readonly AcmeIdentifier[]): Promise<Uint8Array> => {
  const signer = await signerOf(pkcs8)
  const names = subjectAltName(
    identifiers.map((identifier) => generalName(nameOf(identifier))),
    false,
  )
  const attribute = sequence(oid(oids.extensionRequest), setOf(sequence(names)))
  const info = sequence(integer(0), sequence(), await spkiOf(signer), implicitConstructed(0, attribute))
  const { algorithm, signature } = await signX509(signer, info)
  return signedSequence(info, algorithm, signature).slice()
}
