/**
 * The certificates of the login test that no CA should sign, made with the keys of this run's CA behind its back.
 *
 *   ICA_KEYS=… PASSPHRASE_FILE=… node --import tsx test/e2e/login-certificates.ts FOLDER DOMAIN...
 *
 * Writes for each domain: `expired-…` and `stranger-…` (of a user root that nobody trusts) for juliet, `server-…` of the server CA with dNSName and XmppAddr of the domain.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { openKeystore } from '../../src/keystore-open.js'
import type { CertificateName } from '../../src/model.js'
import { type Issuer, issueLeaf, newSerial } from '../../src/pki/certificate.js'
import { makeIntermediate, makeRoot } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { pemEncode } from '../../src/pki/pem.js'
import { builtinProfiles, type Profile, userProfile } from '../../src/pki/profile.js'

const [folder = '', ...domains] = process.argv.slice(2)
const { ICA_KEYS = '', PASSPHRASE_FILE = '' } = process.env
const hour = 3_600_000
const day = 24 * hour
const now = Math.floor(Date.now() / 1000) * 1000
const urls = { ocsp: 'http://status.ica.test/ocsp', caIssuers: 'http://status.ica.test/ca', crl: 'http://status.ica.test/crl', cps: null }
const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

type Validity = { notBefore: number; notAfter: number }
const lasting: Validity = { notBefore: now - hour, notAfter: now + day }

const make = async (file: string, issuer: Issuer, profile: Profile, names: CertificateName[], validity = lasting): Promise<void> => {
  const key = newKey()
  const { publicKey } = nodeSigner(key)
  const facts = { profile, names, publicKey, serial: newSerial(randomBytes), issuer, urls, mustStaple: false, ...validity }
  const chain = [await issueLeaf(facts), ...issuer.chain]
  writeFileSync(path.join(folder, `${file}.pem`), chain.map((der) => pemEncode('CERTIFICATE', der)).join(''))
  writeFileSync(path.join(folder, `${file}.key`), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
}

/** A user CA like ours, but not ours. */
const makeStranger = async (): Promise<Issuer> => {
  const validity = { notBefore: now - day, notAfter: now + 365 * day }
  const rootSigner = nodeSigner(newKey())
  const root = await makeRoot({ ...validity, serial: newSerial(randomBytes), subject: { commonName: 'Other User Root' }, signer: rootSigner })
  const signer = nodeSigner(newKey())
  const facts = { ...validity, serial: newSerial(randomBytes), subject: { commonName: 'Other User Intermediate' }, publicKey: signer.publicKey, urls }
  const issuer = readIssuer([root], rootSigner, now)
  return readIssuer([await makeIntermediate({ ...facts, issuer, clientele: 'users' }), root], signer, now, 'users')
}

const { intermediate, users } = openKeystore(ICA_KEYS, readFileSync(PASSPHRASE_FILE, 'utf8').split('\n', 1)[0] as string, now)
if (!users) throw new Error('there is no user CA')
const stranger = await makeStranger()
const server = builtinProfiles[1] as Profile
for (const domain of domains) {
  const juliet: CertificateName[] = [{ form: 'XmppAddr', value: `juliet@${domain}` }]
  await make(`expired-${domain}`, users.intermediate, userProfile, juliet, { notBefore: now - 2 * day, notAfter: now - hour })
  await make(`stranger-${domain}`, stranger, userProfile, juliet)
  await make(`server-${domain}`, intermediate, server, [
    { form: 'dNSName', value: domain },
    { form: 'XmppAddr', value: domain },
  ])
}
