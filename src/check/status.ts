/** Whether a certificate is revoked: OCSP, CRL and what is stapled; and certificates that are missing from a chain. */
import { IcaError } from '../errors.js'
import { encodeCertId } from '../pki/ocsp-certid.js'
import { encodeOcspRequest } from '../pki/ocsp-request.js'
import { type PeerCertificate, readPeerCertificate } from '../pki/peer-certificate.js'
import { pemDecode } from '../pki/pem.js'
import { maxOcspResponse, readCrlStatus, readOcspResponse, type StatusAnswer } from '../pki/read-status.js'
import type { Chain } from './certificate.js'
import type { CheckPorts } from './ports.js'
import { type Finding, finding } from './report.js'

const maxCrl = 4 * 1024 * 1024
const maxIssuer = 64 * 1024
/** Clocks differ. */
const slackMs = 5 * 60_000

const date = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`

/** What is wrong with the times of an answer, or null. */
const outdated = ({ thisUpdate, nextUpdate }: StatusAnswer, now: number): string | null => {
  if (thisUpdate > now + slackMs) return `It is from the future (${date(thisUpdate)}).`
  return nextUpdate !== null && nextUpdate < now - slackMs ? `It ran out on ${date(nextUpdate)}.` : null
}

const why = (error: unknown): string => (error instanceof IcaError ? error.message : 'It cannot be read.')

/** The certificate that issued the leaf, as far as it is known. */
export const issuerOf = ({ path }: Chain): PeerCertificate | null => path.certificates[1] ?? path.anchor

/** The issuers that the last certificate of a path says where to find (RFC 5280 §4.2.2.1), where the path does not lead to an anchor. */
export const fetchIssuers = async ({ path }: Chain, ports: CheckPorts, signal: AbortSignal): Promise<PeerCertificate[]> => {
  const top = path.certificates.at(-1)
  const url = top?.selfSigned ? undefined : top?.caIssuersUrls[0]
  if (path.anchor || !url) return []
  const got = await ports.get(url, maxIssuer, signal)
  if (!got.ok) return []
  try {
    return (got.body[0] === 0x30 ? [new Uint8Array(got.body)] : pemDecode('CERTIFICATE', got.body.toString('latin1')))
      .slice(0, 4)
      .map(readPeerCertificate)
  } catch {
    return []
  }
}

/** The finding about the stapled answer, which verifiers look at first. */
export const judgeStaple = (staple: Uint8Array | null, { leaf, ...chain }: Chain, where: string, now: number): Finding[] => {
  if (!staple) return leaf.mustStaple ? [finding('staple-missing', where, 'It has the TLS feature status_request (RFC 7633).')] : []
  const issuer = issuerOf({ leaf, ...chain })
  if (!issuer) return []
  try {
    const answer = readOcspResponse(staple, leaf, issuer, now)
    if (answer.status === 'revoked') return [finding('staple-revoked', where, `Revoked on ${date(answer.revokedAt ?? 0)}.`)]
    const late = outdated(answer, now)
    if (late) return [finding('staple-invalid', where, late)]
    if (answer.status === 'unknown') return [finding('staple-invalid', where, 'It says "unknown".')]
    return [finding('staple-good', where, `Good until ${answer.nextUpdate === null ? 'it is asked again' : date(answer.nextUpdate)}.`)]
  } catch (error) {
    return [finding('staple-invalid', where, why(error))]
  }
}

/** Asks the responder by GET (RFC 5019 §5). */
const askOcsp = async (url: string, leaf: PeerCertificate, issuer: PeerCertificate, ports: CheckPorts, signal: AbortSignal): Promise<Finding> => {
  const certId = encodeCertId({ subject: issuer.subjectName, publicKey: { spki: issuer.spki } }, 'sha1', leaf.serial)
  const request = Buffer.from(encodeOcspRequest([certId])).toString('base64')
  const got = await ports.get(`${url.replace(/\/$/, '')}/${encodeURIComponent(request)}`, maxOcspResponse, signal)
  const failed = (detail: string) => finding('ocsp-failed', url, detail)
  if (!got.ok) return failed(got.detail)
  if (got.status !== 200) return failed(`The responder answers with the HTTP status ${got.status}.`)
  try {
    const answer = readOcspResponse(new Uint8Array(got.body), leaf, issuer, ports.now())
    const late = outdated(answer, ports.now())
    if (answer.status === 'revoked') return finding('revoked', url, `Revoked on ${date(answer.revokedAt ?? 0)}, says the OCSP responder.`)
    if (late) return failed(late)
    if (answer.status === 'unknown') return finding('ocsp-unknown', url, `The responder of "${issuer.subject}" answers "unknown".`)
    return finding('ocsp-good', url, `Good, as of ${date(answer.thisUpdate)}.`)
  } catch (error) {
    return failed(why(error))
  }
}

const askCrl = async (url: string, leaf: PeerCertificate, issuer: PeerCertificate, ports: CheckPorts, signal: AbortSignal): Promise<Finding> => {
  const got = await ports.get(url, maxCrl, signal)
  if (!got.ok) return finding('crl-failed', url, got.detail)
  if (got.status !== 200) return finding('crl-failed', url, `The server of the CRL answers with the HTTP status ${got.status}.`)
  try {
    const answer = readCrlStatus(new Uint8Array(got.body), leaf, issuer)
    if (answer.status === 'revoked') return finding('revoked', url, `Revoked on ${date(answer.revokedAt ?? 0)}, says the CRL.`)
    const late = outdated(answer, ports.now())
    return late ? finding('crl-failed', url, late) : finding('crl-good', url, `Not listed, as of ${date(answer.thisUpdate)}.`)
  } catch (error) {
    return finding('crl-failed', url, why(error))
  }
}

/** Asks the first OCSP responder and the first CRL that a certificate points to. */
export const askStatus = async (chain: Chain, ports: CheckPorts, where: string, signal: AbortSignal): Promise<Finding[]> => {
  const { leaf } = chain
  const issuer = issuerOf(chain)
  const [ocsp, crl] = [leaf.ocspUrls[0], leaf.crlUrls[0]]
  if (!issuer || leaf.selfSigned) return []
  if (!ocsp && !crl) return [finding('status-none', where, 'It has neither an OCSP responder nor a CRL; so nobody learns of a revocation.')]
  return Promise.all([...(ocsp ? [askOcsp(ocsp, leaf, issuer, ports, signal)] : []), ...(crl ? [askCrl(crl, leaf, issuer, ports, signal)] : [])])
}
