/**
 * A second opinion on certification paths (RFC 5280 §6), name constraints included: pkijs on the libraries' own crypto. It shares no code with issuer.ts, so that a mistake in
 * one of the two is seen by the other. Load it with `import()`.
 */
import * as pkijs from 'pkijs'
import { crypto } from './x509.js'

const engine = new pkijs.CryptoEngine({ name: 'judge', crypto })

/**
 * What is wrong with a path, in a sentence; null for a good one.
 * @param chain DER; the certificate that it is about first, the root, which is trusted, last
 * @param now milliseconds since the epoch
 */
export const judgeChain = async (chain: readonly Uint8Array[], now: number): Promise<string | null> => {
  try {
    const certificates = chain.map((der) => pkijs.Certificate.fromBER(der))
    const root = certificates.at(-1)
    if (!root) return 'There is no certificate.'
    const certs = (certificates.length === 1 ? certificates : certificates.slice(0, -1)).reverse()
    const judge = new pkijs.CertificateChainValidationEngine({ trustedCerts: [root], certs, checkDate: new Date(now) })
    const { result, resultMessage } = await judge.verify({}, engine)
    return result ? null : `An independent check of the path (pkijs) refuses it: ${resultMessage || 'no reason given'}.`
  } catch (error) {
    return `An independent check of the path (pkijs) fails: ${(error as Error).message}.`
  }
}
