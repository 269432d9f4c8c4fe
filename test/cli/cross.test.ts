/** Root and intermediate on the real program: their keys are nobody else's. And other roots than the CA's own: files of the key folder become alternate chains (RFC 8555 §7.4.2), and a wrong one stops the start. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openKey, openKeystore, readPassphrase } from '../../src/keystore-open.js'
import { encodeTbs, type Issuer, newSerial, signCertificate } from '../../src/pki/certificate.js'
import { authorityKeyIdentifier, basicConstraintsCa, keyUsage, subjectKeyIdentifier } from '../../src/pki/extensions.js'
import { makeRoot } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { pemDecode, pemEncode } from '../../src/pki/pem.js'
import { issuerId, readCertificate } from '../../src/pki/read-certificate.js'
import { createAcmeClient, isProblem, newKey, request } from '../support/acme.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { challengeOf, finalize, poll } from '../support/flow.js'
import { freePort, newFolder, type Program, serve } from '../support/program.js'

const day = 86_400_000
const now = Date.now()
const validity = { notBefore: now - day, notAfter: now + 365 * day }
const newSigner = () => nodeSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)

const otherRoot = async (commonName: string): Promise<Issuer> => {
  const signer = newSigner()
  return readIssuer([await makeRoot({ ...validity, serial: newSerial(randomBytes), subject: { commonName }, signer })], signer, now)
}

/** Signs another certificate for the authority of `der`; `change` makes it a wrong one. */
const crossSign = (
  root: Issuer,
  der: Uint8Array,
  change: Partial<Parameters<typeof encodeTbs>[0]> = {},
  signer = root.signer,
): Promise<Uint8Array> => {
  const { subject, publicKey, ski } = readCertificate(der)
  const tbs = encodeTbs({
    ...validity,
    serial: newSerial(randomBytes),
    algorithm: root.signer.algorithm,
    issuer: root.subject,
    subject,
    publicKey,
    extensions: [
      basicConstraintsCa(null),
      keyUsage('keyCertSign', 'cRLSign'),
      subjectKeyIdentifier(ski ?? publicKey.ski),
      authorityKeyIdentifier(root.ski),
    ],
    ...change,
  })
  return signCertificate(tbs, signer)
}

const pem = (...ders: Uint8Array[]): string => ders.map((der) => pemEncode('CERTIFICATE', der)).join('')

describe('cross-certificates', () => {
  const { folder, remove } = newFolder()
  const keys = path.join(folder, 'ca-keys')
  const cross = path.join(keys, 'cross')
  let dns: DnsServer
  let environment: Record<string, string>
  let program: Program
  let url: string
  let first: Issuer
  let second: Issuer
  const own = (name: string): Uint8Array => pemDecode('CERTIFICATE', readFileSync(path.join(keys, `${name}.pem`), 'utf8'))[0] as Uint8Array
  const stop = async (): Promise<void> => {
    program.child.kill('SIGTERM')
    await program.result
  }

  before(async () => {
    dns = await startDnsServer(['test'])
    url = `http://localhost:${await freePort()}`
    environment = { ICA_URL: url, ICA_LAB: '1', ICA_DNS_SERVERS: dns.address }
    program = await serve(folder, environment)
    await stop()
    ;[first, second] = [await otherRoot('First Other Root'), await otherRoot('Second Other Root')]
    mkdirSync(cross)
    writeFileSync(path.join(cross, '1-intermediate.pem'), pem(await crossSign(first, own('intermediate')), first.certificate))
    writeFileSync(path.join(cross, '2-root.pem'), pem(await crossSign(second, own('root')), second.certificate))
    program = await serve(folder, environment)
  })
  after(async () => {
    await stop()
    await dns.close()
    remove()
  })

  it('RFC 8555 §7.4.2: each is an alternate chain, which leads to its root', async () => {
    const client = await createAcmeClient(`${url}/acme/directory`)
    await client.register()
    const order = await client.newOrder(['cross.test'])
    const challenge = challengeOf(await client.post(order.json.authorizations[0]), 'dns-01')
    const digest = createHash('sha256').update(`${challenge.token}.${client.key.thumbprint}`).digest('base64url')
    dns.set('_acme-challenge.cross.test', 'TXT', digest)
    await client.post(challenge.url, {})
    await poll(client, order.json.authorizations[0], ({ status }) => status === 'valid')
    const { certificate } = (await finalize(client, order, { dns: ['cross.test'] })).json
    const main = await client.post(certificate)
    assert.deepEqual(main.links.alternate, [`${certificate}/1`, `${certificate}/2`])
    const roots = [own('root'), first.certificate, second.certificate]
    const lengths = [2, 2, 3]
    for (const [i, chainUrl] of [certificate, ...(main.links.alternate ?? [])].entries()) {
      const chain = pemDecode('CERTIFICATE', (await client.post(chainUrl)).text)
      assert.equal(chain.length, lengths[i])
      const files = { leaf: chain.slice(0, 1), above: chain.slice(1), root: [roots[i] as Uint8Array] }
      for (const [name, ders] of Object.entries(files)) writeFileSync(path.join(folder, `${name}.crt`), pem(...ders))
      const verify = ['verify', '-x509_strict', '-no-CApath', '-no-CAstore', '-CAfile', 'root.crt', '-untrusted', 'above.crt', 'leaf.crt']
      assert.match(execFileSync('openssl', verify, { cwd: folder, encoding: 'utf8' }), /OK/)
    }
    const alone = await client.post(certificate, undefined, { headers: { accept: 'application/pkix-cert' } })
    const [up = ''] = alone.links.up ?? []
    assert.equal(up.split('/').at(-1), `${issuerId(readCertificate(own('intermediate')).ski as Uint8Array)}.cer`)
    assert.equal((await request('GET', up)).status, 200)
  })

  it('RFC 8555 §11.1: the keys of root and intermediate are no keys of accounts and certificates', async () => {
    const { passphrase } = readPassphrase({ passphraseFile: null, dataFolder: path.join(folder, 'data') }, false)
    const client = await createAcmeClient(`${url}/acme/directory`)
    await client.register()
    const order = await client.newOrder(['own.test'])
    const challenge = challengeOf(await client.post(order.json.authorizations[0]), 'dns-01')
    dns.set('_acme-challenge.own.test', 'TXT', createHash('sha256').update(`${challenge.token}.${client.key.thumbprint}`).digest('base64url'))
    await client.post(challenge.url, {})
    await poll(client, order.json.authorizations[0], ({ status }) => status === 'valid')
    for (const name of ['root.key', 'intermediate.key']) {
      const privateKey = openKey(keys, name, passphrase)
      const alg = privateKey.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'ES384' : 'ES256'
      const thief = await createAcmeClient(`${url}/acme/directory`, newKey(alg, { privateKey, publicKey: createPublicKey(privateKey) }))
      isProblem(await thief.register(), 400, 'badPublicKey', /belongs to this CA/)
      isProblem(await finalize(client, order, { dns: ['own.test'], key: privateKey }), 400, 'badCSR', /belongs to this CA/)
    }
  })

  it('a file that is none stops the start, with words that name it; one that has expired is noted', async () => {
    const { passphrase } = readPassphrase({ passphraseFile: null, dataFolder: path.join(folder, 'data') }, false)
    const intermediate = own('intermediate')
    const file = path.join(cross, '3-other.pem')
    const wrong: [content: string, says: RegExp][] = [
      ['', /3-other\.pem/],
      [pem(await crossSign(first, intermediate)), /the other root last; it holds 1/],
      [
        pem(await crossSign(first, intermediate, { publicKey: newSigner().publicKey }), first.certificate),
        /neither the root's nor an intermediate's/,
      ],
      [pem(await crossSign(first, intermediate, { subject: first.subject }), first.certificate), /another subject or key identifier/],
      [
        pem(await crossSign(first, intermediate, {}, second.signer), first.certificate),
        /signature that was not made with the key of "First Other Root"/,
      ],
      [pem(await crossSign(first, intermediate), second.certificate), /was not issued by "Second Other Root"/],
      [pem(await crossSign(first, intermediate, { extensions: [] }), first.certificate), /not a CA certificate/],
    ]
    for (const [content, says] of wrong) {
      writeFileSync(file, content)
      assert.throws(() => openKeystore(keys, passphrase, now), says)
    }
    writeFileSync(file, pem(await crossSign(first, intermediate, { notAfter: now - 1000 }), first.certificate))
    const opened = openKeystore(keys, passphrase, now)
    assert.equal(opened.cross.length, 2)
    assert.match(opened.notes.join(), /3-other\.pem has expired/)
    rmSync(file)
  })
})
