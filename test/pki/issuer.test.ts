import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IcaError } from '../../src/errors.js'
import { encodeTbs, signCertificate } from '../../src/pki/certificate.js'
import { basicConstraintsCa, extendedKeyUsage, keyUsage, subjectKeyIdentifier } from '../../src/pki/extensions.js'
import { makeIntermediate, makeRoot, subjectName } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { caValidity, day, ecKey, leaf, leafFacts, makeCa, now, rsaKey, serial, urls } from './fixtures.js'

const { root, issuer, chain } = await makeCa()
const [intermediateDer, rootDer] = chain as [Uint8Array, Uint8Array]
const signer = issuer.signer

/** A CA certificate signed by the root with whatever extensions. */
const odd = (extensions: Uint8Array[], change: { subject?: string } = {}): Promise<Uint8Array> =>
  signCertificate(
    encodeTbs({
      ...caValidity,
      serial: serial(),
      issuer: root.subject,
      algorithm: root.signer.algorithm,
      subject: subjectName({ commonName: change.subject ?? 'Odd ICA' }),
      publicKey: signer.publicKey,
      extensions,
    }),
    root.signer,
  )

test('an issuer is what its certificate says', () => {
  assert.equal(issuer.id, Buffer.from(signer.publicKey.ski.subarray(0, 8)).toString('hex'))
  assert.deepEqual(issuer.chain, [intermediateDer])
  assert.deepEqual(root.chain, [])
  assert.deepEqual([issuer.notBefore, issuer.notAfter], [caValidity.notBefore, caValidity.notAfter])
  assert.deepEqual(issuer.subject, subjectName({ commonName: 'Test ICA' }))
})

test('a certificate that somebody else made keeps its own subject key identifier, and leaves point to it', async () => {
  const ski = new Uint8Array(20).fill(9)
  const foreign = await odd([basicConstraintsCa(0), keyUsage('keyCertSign', 'cRLSign'), subjectKeyIdentifier(ski)])
  const imported = readIssuer([foreign, rootDer], signer, now)
  assert.equal(imported.id, '0909090909090909')
  const { der } = await leaf(leafFacts(imported, ['example.com']))
  assert.ok(Buffer.from(der).includes(Buffer.from(ski)))
})

test('what can’t be used is refused in words', async () => {
  const ca = [basicConstraintsCa(0), keyUsage('keyCertSign', 'cRLSign')]
  const { der: leafDer } = await leaf(leafFacts(issuer, ['example.com'], { publicKey: signer.publicKey }))
  const otherRoot = (await makeCa()).root.certificate
  // The same name as the real root, another key.
  const twinSigner = nodeSigner(ecKey())
  const twin = await makeRoot({ ...caValidity, serial: serial(), subject: { commonName: 'Test Root', organization: 'Tést' }, signer: twinSigner })
  const below = nodeSigner(rsaKey())
  const tooDeep = await makeIntermediate({
    ...caValidity,
    serial: serial(),
    subject: { commonName: 'Deep' },
    publicKey: below.publicKey,
    issuer,
    urls,
  })
  const table: [string, () => unknown, RegExp][] = [
    ['nothing', () => readIssuer([], signer, now), /There is no CA certificate/],
    ['another key', () => readIssuer(chain, nodeSigner(ecKey()), now), /"Test ICA" does not belong to the private key/],
    ['a leaf', () => readIssuer([leafDer, ...chain], signer, now), /"example\.com" is not a CA certificate/],
    ['expired', () => readIssuer(chain, signer, now + 3651 * day), /"Test ICA" expired on 2036-11-18/],
    ['not yet valid', () => readIssuer(chain, signer, now - 2 * day), /not valid before .* is the clock right/],
    ['no root', () => readIssuer([intermediateDer], signer, now), /chain ends with "Test ICA", which is not self-signed: the root is missing/],
    ['another root', () => readIssuer([intermediateDer, otherRoot], signer, now), /signature that was not made with the key of "Test Root"/],
    ['a twin of the root', () => readIssuer([intermediateDer, twin], signer, now), /signature that was not made with the key of "Test Root"/],
    [
      'wrong order',
      () => readIssuer([intermediateDer, intermediateDer, rootDer], signer, now),
      /was not issued by "Test ICA", which follows|allows no more than 0/,
    ],
    ['too deep', () => readIssuer([tooDeep, ...chain], below, now), /"Test ICA" allows no more than 0 CAs below it/],
    ['damaged', () => readIssuer([intermediateDer.subarray(0, 100), rootDer], signer, now), /Not valid DER/],
  ]
  const badUsage = await odd([basicConstraintsCa(0), keyUsage('keyCertSign')])
  const serverOnly = await odd([...ca, extendedKeyUsage(['serverAuth'])])
  table.push(
    ['no cRLSign', () => readIssuer([badUsage, rootDer], signer, now), /may not sign certificates and CRLs/],
    ['serverAuth only', () => readIssuer([serverOnly, rootDer], signer, now), /both serverAuth and clientAuth/],
  )
  for (const [name, run, message] of table) {
    assert.throws(run, (error) => {
      assert.ok(error instanceof IcaError && error.code === 'malformed', `${name}: ${error}`)
      assert.match(error.message, message, name)
      return true
    })
  }
})
