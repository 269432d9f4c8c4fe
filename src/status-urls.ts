import type { Config } from './config.js'
import type { StatusUrls } from './pki/certificate.js'

/** Where an issuer's status is published (src/status/handler.ts has the paths). */
export const statusUrls = (config: Pick<Config, 'statusUrl' | 'cpsUrl'>, issuerId: string, shard: number | null): StatusUrls => ({
  ocsp: `${config.statusUrl}/ocsp`,
  caIssuers: `${config.statusUrl}/ca/${issuerId}.cer`,
  crl: `${config.statusUrl}/crl/${issuerId}${shard === null ? '' : `/${shard}`}.crl`,
  cps: config.cpsUrl,
})

/** The name under which the store keeps every `ICA_STATUS_URL` that there was, the last one first, and how many of them. */
export const statusUrlsName = 'status-urls'
export const knownStatusUrlsMost = 16

/** Where certificates of this shard look for its CRL: that of now, then those of before. */
export const crlPointers = (config: Pick<Config, 'statusUrl' | 'cpsUrl'>, known: readonly string[], issuerId: string, shard: number): string[] =>
  [...new Set([config.statusUrl, ...known])].map((statusUrl) => statusUrls({ ...config, statusUrl }, issuerId, shard).crl)
