/** Certificates for the tests with real servers, written as `<domain>.pem` (chain) and `<domain>.key`: by ACME, and behind the CA's back with the key of its intermediate. */
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { openKeystore } from '../../src/keystore-open.js'
import type { CertificateName } from '../../src/model.js'
import { encodeName, encodeTbs, type Issuer, newSerial, signCertificate } from '../../src/pki/certificate.js'
import { authorityKeyIdentifier, extendedKeyUsage, generalName, keyUsage, subjectAltName, subjectKeyIdentifier } from '../../src/pki/extensions.js'
import { makeIntermediate, makeRoot } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { oids } from '../../src/pki/oids.js'
import { pemEncode } from '../../src/pki/pem.js'
import { keyAuthorizationDigest } from '../../src/validation/validator.js'
import { type AcmeClient, createAcmeClient, newKey, type Reply } from '../support/acme.js'
import { challengeOf, csrFor, dnsId, poll, srvId } from '../support/flow.js'

export const hour = 3_600_000
export const day = 24 * hour
export const now = Math.floor(Date.now() / 1000) * 1000

export const ecKey = (namedCurve = 'P-256'): KeyObject => generateKeyPairSync('ec', { namedCurve }).privateKey
export const rsaKey = (): KeyObject => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey

const write = (folder: string, domain: string, chain: string, key: KeyObject): void => {
  writeFileSync(path.join(folder, `${domain}.pem`), chain)
  writeFileSync(path.join(folder, `${domain}.key`), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
}

// By ACME ------------------------------------------------------------------------------------------------------------------------------------------------

/** A certificate that a client asks for. The file is named by `domain`, which is the only name where no others are said. */
export type Wish = { domain: string; profile?: string; dns?: string[]; srv?: string[]; key?: KeyObject; mustStaple?: true; revoke?: true }

type Place = { directoryUrl: string; txtUrl: string; folder: string }

const setTxt = async (txtUrl: string, action: string, body: object): Promise<void> => {
  const reply = await fetch(`${txtUrl}/${action}`, { method: 'POST', body: JSON.stringify(body) })
  if (!reply.ok) throw new Error(`${action}: ${reply.status}`)
}

const must = (reply: Reply, fine: boolean): Reply => {
  if (!fine) throw new Error(`${reply.status} ${reply.text}`)
  return reply
}

/** Proves every name by dns-01. */
const prove = async (client: AcmeClient, txtUrl: string, order: Reply): Promise<void> => {
  for (const url of order.json.authorizations as string[]) {
    const authorization = await client.post(url)
    const challenge = challengeOf(authorization, 'dns-01')
    const value = keyAuthorizationDigest(`${challenge.token}.${client.key.thumbprint}`).toString('base64url')
    await setTxt(txtUrl, 'set-txt', { host: `_acme-challenge.${authorization.json.identifier.value}.`, value })
    await client.post(challenge.url, {})
    const proved = await poll(client, url, (json) => json.status !== 'pending')
    must(proved, proved.json.status === 'valid')
  }
}

const issue = async (client: AcmeClient, { txtUrl, folder }: Place, wish: Wish): Promise<void> => {
  const { domain, srv = [], key = ecKey() } = wish
  const dns = wish.dns ?? (srv.length > 0 ? [] : [domain])
  const identifiers = [...dns.map(dnsId), ...srv.map(srvId)]
  const order = await client.post(client.directory.newOrder, { identifiers, profile: wish.profile ?? 'xmpp-server' })
  must(order, order.status === 201)
  await prove(client, txtUrl, order)
  const csr = await csrFor({ dns, srv, key, ...(wish.mustStaple && { mustStaple: true }) })
  await client.post(order.json.finalize, { csr })
  const done = await poll(client, order.headers.get('location') as string, (json) => json.status !== 'processing')
  must(done, done.json.status === 'valid')
  const { text } = await client.post(done.json.certificate)
  write(folder, domain, text, key)
  if (!wish.revoke) return
  const certificate = /-----BEGIN CERTIFICATE-----([\s\S]*?)-----END/.exec(text)?.[1]?.replace(/\s/g, '') ?? ''
  const revoked = await client.post(client.directory.revokeCert, { certificate: Buffer.from(certificate, 'base64').toString('base64url'), reason: 4 })
  must(revoked, revoked.status === 200)
}

/** Orders everything of a CA, with dns-01 at a management address like that of pebble-challtestsrv. Four accounts: one after another would take its time, one for each certificate be too many for the limits. */
export const issueAll = async (place: Place, wishes: readonly Wish[]): Promise<void> => {
  const queue = [...wishes]
  const work = async (): Promise<void> => {
    const client = await createAcmeClient(place.directoryUrl, newKey())
    const registered = await client.register()
    must(registered, registered.status === 201)
    for (let wish = queue.shift(); wish; wish = queue.shift()) await issue(client, place, wish)
  }
  await Promise.all([1, 2, 3, 4].map(work))
}

// Behind the CA's back -----------------------------------------------------------------------------------------------------------------------------------

type Purpose = 'serverAuth' | 'clientAuth'
/** A certificate that is what no CA should sign in one thing. `alone` leaves the intermediate out. */
export type Odd = {
  domain: string
  names?: CertificateName[]
  commonName?: string
  purposes?: Purpose[] | null
  notBefore?: number
  notAfter?: number
  issuer?: Issuer
  alone?: true
}

export const named = (form: CertificateName['form'], value: string): CertificateName => ({ form, value })
export const usual = (domain: string): CertificateName[] => [named('dNSName', domain), named('SRVName', `_xmpp-server.${domain}`)]

/** Signs with the key of `usualIssuer`, or of the odd one's own. */
export const signOdd = async (folder: string, usualIssuer: Issuer, odd: Odd): Promise<void> => {
  const { domain, issuer = usualIssuer, names = usual(domain), purposes = ['serverAuth', 'clientAuth'] } = odd
  const key = ecKey()
  const { publicKey } = nodeSigner(key)
  const commonName = odd.commonName === undefined ? [] : [[oids.commonName, odd.commonName] as [string, string]]
  const tbs = encodeTbs({
    serial: newSerial(randomBytes),
    algorithm: issuer.signer.algorithm,
    issuer: issuer.subject,
    notBefore: odd.notBefore ?? now - hour / 2,
    notAfter: odd.notAfter ?? now + day,
    subject: encodeName(commonName),
    publicKey,
    extensions: [
      authorityKeyIdentifier(issuer.ski),
      subjectKeyIdentifier(publicKey.ski),
      keyUsage('digitalSignature'),
      ...(names.length > 0 ? [subjectAltName(names.map(generalName), commonName.length === 0)] : []),
      ...(purposes ? [extendedKeyUsage(purposes)] : []),
    ],
  })
  const leaf = await signCertificate(tbs, issuer.signer)
  const chain = odd.alone ? [leaf] : [leaf, ...issuer.chain]
  write(folder, domain, chain.map((der) => pemEncode('CERTIFICATE', der)).join(''), key)
}

/** Another CA, whose root nobody trusts. */
export const makeOtherCa = async (): Promise<Issuer> => {
  const validity = { notBefore: now - day, notAfter: now + 365 * day }
  const rootSigner = nodeSigner(ecKey())
  const root = await makeRoot({ ...validity, serial: newSerial(randomBytes), subject: { commonName: 'Another Root' }, signer: rootSigner })
  const signer = nodeSigner(ecKey())
  const urls = { ocsp: 'http://other.test/ocsp', caIssuers: 'http://other.test/ca', crl: 'http://other.test/crl', cps: null }
  const issuer = readIssuer([root], rootSigner, now)
  const facts = {
    ...validity,
    serial: newSerial(randomBytes),
    subject: { commonName: 'Another Intermediate' },
    publicKey: signer.publicKey,
    issuer,
    urls,
  }
  return readIssuer([await makeIntermediate(facts), root], signer, now)
}

/** The intermediate of the CA in ICA_KEYS, with its key. */
export const openIntermediate = (): Issuer => {
  const { ICA_KEYS = '', PASSPHRASE_FILE = '' } = process.env
  return openKeystore(ICA_KEYS, readFileSync(PASSPHRASE_FILE, 'utf8').split('\n', 1)[0] as string, now).intermediate
}
