/** What the owner of a domain can publish so that peers trust a certificate without knowing its root: DANE (RFC 6698, RFC 7671, RFC 7712) and POSH (RFC 7711). */
import { hash, X509Certificate } from 'node:crypto'

/** Where a service is found: the target of its SRV record, and its port. */
export type ServicePlace = { host: string; port: number }

/**
 * TLSA records in the form of a zone file. `3 1 1` (DANE-EE, the key of the certificate) holds as long as renewals keep the key; `2 1 1` (DANE-TA, the key of the
 * intermediate) as long as the same intermediate signs (RFC 7671 §5.1, §5.2).
 * @param chain DER, leaf first
 */
export const tlsaRecords = (chain: readonly Uint8Array[], places: readonly ServicePlace[]): string[] => {
  const [leaf, issuer] = chain.map((der) => hash('sha256', new X509Certificate(der).publicKey.export({ type: 'spki', format: 'der' })))
  const data = [...(leaf ? [`3 1 1 ${leaf}`] : []), ...(issuer ? [`2 1 1 ${issuer}`] : [])]
  return places.flatMap(({ host, port }) => data.map((one) => `_${port}._tcp.${host}. IN TLSA ${one}`))
}

/** The services for which POSH documents are published (RFC 7711 §3): the names of their files below `/.well-known/posh/`. */
export const poshFiles = ['xmpp-client.json', 'xmpp-server.json'] as const

/**
 * A POSH document (RFC 7711 §3.1) for a certificate and, while it is being replaced, its successor.
 * @param leaves DER
 * @param expires seconds for which peers may keep it
 */
export const poshDocument = (leaves: readonly Uint8Array[], expires: number): string =>
  `${JSON.stringify({ fingerprints: leaves.map((der) => ({ 'sha-256': hash('sha256', der, 'base64') })), expires }, null, 2)}\n`
