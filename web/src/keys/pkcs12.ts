/**
 * PKCS #12 (RFC 7292) with a password: AES-256-CBC and PBKDF2 with HMAC-SHA-256 (PBES2), and a MAC with SHA-256, as OpenSSL 3 and Java make them. Loaded only
 * when somebody wants such a file: the library is larger than the rest of the form.
 */
import { BmpString, OctetString } from 'asn1js'
import { Attribute, AuthenticatedSafe, CertBag, Certificate, PFX, PKCS8ShroudedKeyBag, PrivateKeyInfo, SafeBag, SafeContents } from 'pkijs'

const friendlyName = '1.2.840.113549.1.9.20'
const localKeyId = '1.2.840.113549.1.9.21'
const shroudedKey = '1.2.840.113549.1.12.10.1.2'
const certificate = '1.2.840.113549.1.12.10.1.3'

/** What OpenSSL 3 takes. */
const iterations = 2048 * 50
const encryption = { contentEncryptionAlgorithm: { name: 'AES-CBC', length: 256 }, hmacHashAlgorithm: 'SHA-256', iterationCount: iterations }

const exact = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer

/**
 * The octets of a .p12 file.
 * @param key PKCS #8
 * @param chain DER, the certificate of the key first
 * @param password of printable ASCII: programs differ in what they make of anything else
 * @param name what a key store shows, e.g. the domain
 */
export const makePkcs12 = async (key: Uint8Array, chain: readonly Uint8Array[], password: string, name: string): Promise<Uint8Array> => {
  const secret = exact(new TextEncoder().encode(password))
  // Ties the key to its certificate; any value does.
  const id = new Attribute({
    type: localKeyId,
    values: [new OctetString({ valueHex: await crypto.subtle.digest('SHA-1', exact(chain[0] as Uint8Array)) })],
  })
  const label = new Attribute({ type: friendlyName, values: [new BmpString({ value: name })] })
  const shrouded = new PKCS8ShroudedKeyBag({ parsedValue: PrivateKeyInfo.fromBER(exact(key)) })
  await shrouded.makeInternalValues({ password: secret, ...encryption } as Parameters<PKCS8ShroudedKeyBag['makeInternalValues']>[0])
  const keys = new SafeContents({ safeBags: [new SafeBag({ bagId: shroudedKey, bagValue: shrouded, bagAttributes: [id, label] })] })
  const certificates = new SafeContents({
    safeBags: chain.map((der, i) => {
      const bagValue = new CertBag({ parsedValue: Certificate.fromBER(exact(der)) })
      return new SafeBag({ bagId: certificate, bagValue, ...(i === 0 && { bagAttributes: [id, label] }) })
    }),
  })
  const safe = new AuthenticatedSafe({
    parsedValue: {
      safeContents: [
        { privacyMode: 0, value: keys },
        { privacyMode: 1, value: certificates },
      ],
    },
  })
  await safe.makeInternalValues({ safeContents: [{}, { password: secret, ...encryption }] })
  const pfx = new PFX({ parsedValue: { integrityMode: 0, authenticatedSafe: safe } })
  await pfx.makeInternalValues({ password: secret, iterations, pbkdf2HashAlgorithm: 'SHA-256', hmacHashAlgorithm: 'SHA-256' })
  return new Uint8Array(pfx.toSchema().toBER())
}
