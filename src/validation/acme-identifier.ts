/**
 * The one thing that validation must read out of a certificate and that node:crypto does not show: the extension id-pe-acmeIdentifier (RFC 8737 §3). The
 * certificate is from a stranger, so the walk is strict and touches nothing else.
 */

type Element = { tag: number; body: Buffer }

const tags = { boolean: 0x01, octetString: 0x04, objectIdentifier: 0x06, sequence: 0x30, extensions: 0xa3 }
/** 1.3.6.1.5.5.7.1.31 */
const ACME_IDENTIFIER = Buffer.from('2b0601050507011f', 'hex')
const DIGEST_LENGTH = 32

/** The elements that `bytes` consists of (X.690 §8.1, definite and minimal lengths); null where it does not. */
const elements = (bytes: Buffer): Element[] | null => {
  const list: Element[] = []
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at++] as number
    let length = bytes[at++] ?? 0x80
    if (length >= 0x80) {
      const size = length & 0x7f
      if (size === 0 || size > 3 || at + size > bytes.length) return null
      length = bytes.readUIntBE(at, size)
      if (length < 0x80 || length < 2 ** (8 * (size - 1))) return null
      at += size
    }
    if (at + length > bytes.length) return null
    list.push({ tag, body: bytes.subarray(at, at + length) })
    at += length
  }
  return list
}

/** The elements within the only element of `bytes`, which must have this tag. */
const within = (bytes: Buffer | undefined, tag: number): Element[] | null => {
  const [only, ...others] = (bytes && elements(bytes)) ?? []
  return only?.tag === tag && others.length === 0 ? elements(only.body) : null
}

/** The extensions of a certificate (RFC 5280 §4.1), each as its two or three elements; null where there are none or they can't be read. */
const extensionsOf = (certificate: Buffer): Element[][] | null => {
  const tbs = within(certificate, tags.sequence)?.[0]
  const fields = tbs?.tag === tags.sequence ? elements(tbs.body) : null
  const list = within(fields?.find((field) => field.tag === tags.extensions)?.body, tags.sequence)
  const parsed = list?.map((extension) => (extension.tag === tags.sequence ? elements(extension.body) : null))
  return parsed?.every((extension) => extension !== null) ? parsed : null
}

/** The digest in the acmeIdentifier extension of a DER certificate, or in words what is wrong with the extension. */
export const acmeIdentifierOf = (certificate: Buffer): Buffer | string => {
  const found = extensionsOf(certificate)?.filter(([id]) => id?.tag === tags.objectIdentifier && id.body.equals(ACME_IDENTIFIER)) ?? []
  const [extension] = found
  if (!extension) return 'it has no acmeIdentifier extension'
  if (found.length > 1) return 'it has more than one acmeIdentifier extension'
  const [, critical, value] = extension
  if (extension.length !== 3 || critical?.tag !== tags.boolean || !critical.body.equals(Buffer.of(0xff))) return 'its acmeIdentifier is not critical'
  const [digest, ...others] = (value?.tag === tags.octetString && elements(value.body)) || []
  if (digest?.tag !== tags.octetString || digest.body.length !== DIGEST_LENGTH || others.length > 0) {
    return `its acmeIdentifier is not an OCTET STRING of ${DIGEST_LENGTH} octets`
  }
  return digest.body
}
