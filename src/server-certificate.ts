/** The certificate of the web side: the CA's own, renewed by itself, or from files, read again when they change. */
import { createPrivateKey, generateKeyPair, randomBytes, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { SecureContextOptions } from 'node:tls'
import { promisify } from 'node:util'
import ipaddr from 'ipaddr.js'
import type { Config } from './config.js'
import type { Ica } from './issuance/ica.js'
import type { KeyWithChain, ServiceKeys } from './keystore-service.js'
import { newSerial } from './pki/certificate.js'
import { makeServerCertificate } from './pki/hierarchy.js'
import { nodeSigner } from './pki/keys.js'
import { pemEncode } from './pki/pem.js'
import { statusUrls } from './status-urls.js'

const day = 86_400_000
const lifetime = 60 * day
const backdate = day / 48

/** Where the web side gets its certificate from. */
export type CertificateSource = {
  /** What to show now. */
  current(): SecureContextOptions
  /** Looks whether there is something new to show; null where there is not. */
  refresh(): Promise<SecureContextOptions | null>
}

/** Files of an operator. Throws in words where they do not go together; a later refresh that fails leaves the old ones in use. */
export const certificateFromFiles = (tls: { cert: string; key: string }): CertificateSource => {
  const read = (): { cert: Buffer; key: Buffer } => {
    const [cert, key] = [tls.cert, tls.key].map((file, index) => {
      try {
        return readFileSync(file)
      } catch (error) {
        throw new Error(`${index === 0 ? 'ICA_TLS_CERT' : 'ICA_TLS_KEY'}: ${file} cannot be read (${(error as Error).message})`)
      }
    }) as [Buffer, Buffer]
    check(tls, cert, key)
    return { cert, key }
  }
  let shown = read()
  return {
    current: () => shown,
    refresh: async () => {
      const found = read()
      if (found.cert.equals(shown.cert) && found.key.equals(shown.key)) return null
      shown = found
      return found
    },
  }
}

const check = (tls: { cert: string; key: string }, cert: Buffer, key: Buffer): void => {
  let problem: string | null
  try {
    problem = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)) ? null : `ICA_TLS_KEY: ${tls.key} is not the key of ${tls.cert}`
  } catch (error) {
    problem = `ICA_TLS_CERT, ICA_TLS_KEY: ${tls.cert} or ${tls.key} is not PEM (${(error as Error).message})`
  }
  if (problem) throw new Error(problem)
}

/** Names and addresses that the certificate must be for. */
const hostsOf = (url: string): { names: string[]; addresses: string[] } => {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '')
  if (ipaddr.isValid(host)) return { names: [], addresses: [host] }
  return { names: [host], addresses: host === 'localhost' ? ['127.0.0.1', '::1'] : [] }
}

/** Issues to itself what the web side shows: like a leaf, with a reserved serial and an audit row. */
const issue = async (config: Config, ica: Ica): Promise<KeyWithChain> => {
  const { privateKey: key } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
  const { publicKey } = nodeSigner(key)
  const now = ica.clock.now()
  const second = Math.floor(now / 1000) * 1000
  const validity = { notBefore: Math.max(second - backdate, ica.issuer.notBefore), notAfter: Math.min(second + lifetime, ica.issuer.notAfter) }
  const serial = newSerial(randomBytes)
  const crlShard = 0
  const { names, addresses } = hostsOf(config.url)
  const hosts = [...names, ...addresses.map((address) => Uint8Array.from(ipaddr.parse(address).toByteArray()))]
  await ica.store.reserveCertificate({
    serial,
    issuerId: ica.issuer.id,
    kind: 'server',
    profile: 'ca-server',
    accountId: null,
    orderId: null,
    keyId: publicKey.keyId,
    crlShard,
    ...validity,
    names: names.map((value) => ({ form: 'dNSName', value })),
    createdAt: now,
  })
  const urls = statusUrls(config, ica.issuer.id, crlShard)
  const certificate = await makeServerCertificate({ serial, publicKey, issuer: ica.issuer, urls, hosts, ...validity })
  const detail = { kind: 'server', issuer: ica.issuer.id, keyId: publicKey.keyId, names: [...names, ...addresses], ...validity }
  await ica.store.storeCertificate(serial, certificate, {
    at: now,
    actor: 'system',
    action: 'certificate.issued',
    subject: `certificate:${serial}`,
    detail,
  })
  ica.metrics.count('certificates', { kind: 'server', profile: 'ca-server' })
  return { key, chain: [certificate, ...ica.issuer.chain] }
}

/** Why what is kept can't be shown any longer; null where it can. A third of its life is left for trouble. */
const reasonToRenew = (config: Config, ica: Ica, kept: KeyWithChain | null): string | null => {
  const der = kept?.chain[0]
  if (!kept || !der) return 'there is none'
  const certificate = new X509Certificate(der)
  const [notBefore, notAfter] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)]
  const { names, addresses } = hostsOf(config.url)
  if (ica.clock.now() > notAfter - (notAfter - notBefore) / 3 && notAfter < ica.issuer.notAfter) return 'it expires soon'
  if (!names.every((name) => certificate.checkHost(name)) || !addresses.every((address) => certificate.checkIP(address)))
    return 'it is for another host'
  return certificate.checkIssued(new X509Certificate(ica.issuer.certificate)) ? null : 'it is of another issuer'
}

const toTls = ({ key, chain }: KeyWithChain): SecureContextOptions => ({
  key: key.export({ type: 'pkcs8', format: 'pem' }),
  cert: chain.map((der) => pemEncode('CERTIFICATE', der)).join(''),
})

/** A certificate that the CA issues to its own web side. */
export const ownCertificate = async (config: Config, ica: Ica, keys: ServiceKeys): Promise<CertificateSource> => {
  let kept = keys.loadServer()
  const renew = async (): Promise<boolean> => {
    const reason = reasonToRenew(config, ica, kept)
    if (!reason) return false
    const made = await issue(config, ica)
    keys.saveServer(made)
    kept = made
    ica.log.info({ reason }, 'made a new certificate for the web side')
    return true
  }
  await renew()
  return {
    current: () => toTls(kept as KeyWithChain),
    refresh: async () => ((await renew()) ? toTls(kept as KeyWithChain) : null),
  }
}
