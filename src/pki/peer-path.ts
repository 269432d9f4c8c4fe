/** Building a certification path (RFC 5280 §6) out of what a server presents, up to one of several sets of trust anchors. */
import type { PeerCertificate } from './peer-certificate.js'

export type Path = {
  /** From the leaf up, the anchor left out. */
  certificates: PeerCertificate[]
  /** Null where no way leads to one. */
  anchor: PeerCertificate | null
}

/** Deeper than any hierarchy in use. */
const maxDepth = 8
/** Signatures that are verified for one path; with honest chains it is one for each certificate. Thirty that all name each other would ask for hundreds. */
const maxVerified = 24

/** A judge of whether `below` names `above` as its issuer and its signature was made with the key of `above`. Says no when it has verified enough. */
const createJudge = () => {
  let left = maxVerified
  return (below: PeerCertificate, above: PeerCertificate): boolean =>
    below.x509.checkIssued(above.x509) && left-- > 0 && below.x509.verify(above.x509.publicKey)
}

const isValid = ({ leaf }: PeerCertificate, now: number): boolean => now >= leaf.notBefore && now <= leaf.notAfter

/** Whether a certificate may be above others. A trust anchor without extensions, as old roots are, may. */
const mayIssue = (certificate: PeerCertificate, isAnchor: boolean): boolean => certificate.isCa || (isAnchor && certificate.selfSigned)

/**
 * The path from the first certificate to an anchor, whatever the order of the others; without one, as far as it leads. Certificates above the leaf that are out
 * of date are passed over as long as there is another. Names and purposes are not judged.
 * @param now milliseconds since the epoch
 */
export const buildPath = (presented: readonly PeerCertificate[], anchors: readonly PeerCertificate[], now: number): Path => {
  const [first, ...others] = presented
  if (!first) return { certificates: [], anchor: null }
  const itself = anchors.find(({ fingerprint }) => fingerprint === first.fingerprint)
  if (itself) return { certificates: [first], anchor: itself }
  const isIssuedBy = createJudge()
  const certificates = [first]
  for (let below = first; certificates.length <= maxDepth; ) {
    const anchor = anchors.find((one) => mayIssue(one, true) && isValid(one, now) && isIssuedBy(below, one))
    if (anchor) return { certificates, anchor }
    const candidates = others.filter((one) => !certificates.includes(one) && mayIssue(one, false))
    const above =
      candidates.find((one) => isValid(one, now) && isIssuedBy(below, one)) ?? candidates.find((one) => !isValid(one, now) && isIssuedBy(below, one))
    if (!above) break
    certificates.push(above)
    below = above
  }
  return { certificates, anchor: null }
}
