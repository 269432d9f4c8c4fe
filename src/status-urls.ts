import type { Config } from './config.js'
import type { StatusUrls } from './pki/certificate.js'

/** Where an issuer's status is published (src/status/handler.ts has the paths). */
export const statusUrls = (config: Pick<Config, 'statusUrl' | 'cpsUrl'>, issuerId: string, shard: number | null): StatusUrls => ({
  ocsp: `${config.statusUrl}/ocsp`,
  caIssuers: `${config.statusUrl}/ca/${issuerId}.cer`,
  crl: `${config.statusUrl}/crl/${issuerId}${shard === null ? '' : `/${shard}`}.crl`,
  cps: config.cpsUrl,
})
