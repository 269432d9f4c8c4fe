/** Certificates of users: what is in them, what is told from them, and that neither CA can do the other's work. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { issueLeaf, type LeafFacts } from '../../src/pki/certificate.js'
import { describeCertificate } from '../../src/pki/describe.js'
import { makeIntermediate, makeRoot } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { judgeChain } from '../../src/pki/judge.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { lintLeaf } from '../../src/pki/lint.js'
import { builtinProfiles, userProfile } from '../../src/pki/profile.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { caValidity, day, ecKey, leafFacts, makeCa, now, profileNamed, rsaKey, serial, urls } from './fixtures.js'

const userCa = async () => {
  const rootSigner = nodeSigner(ecKey('P-384'))
  const rootDer = await makeRoot({ ...caValidity, serial: serial(), subject: { commonName: 'Test User Root' }, signer: rootSigner })
  const root = readIssuer([rootDer], rootSigner, now, 'users')
  const signer = nodeSigner(ecKey())
  const facts = {
    ...caValidity,
    serial: serial(),
    subject: { commonName: 'Test User Intermediate' },
    publicKey: signer.publicKey,
    issuer: root,
    urls,
  }
  const chain = [await makeIntermediate({ ...facts, clientele: 'users' }), rootDer]
  return { issuer: readIssuer(chain, signer, now, 'users'), chain, signer }
}
const { issuer, chain, signer } = await userCa()

const userFacts = (jid: string, change: Partial<LeafFacts> = {}): LeafFacts => ({
  profile: userProfile,
  names: [{ form: 'XmppAddr', value: jid }],
  publicKey: nodeSigner(ecKey()).publicKey,
  serial: serial(),
  issuer,
  urls,
  mustStaple: false,
  commonName: jid,
  notBefore: now - day / 24,
  notAfter: now + 365 * day,
  ...change,
})

test('the certificate of a user has the bare JID, clientAuth and nothing else; every reader agrees', async () => {
  for (const jid of ['juliet@example.org', 'jülia@bücher.example', 'o,hara+x@example.org', 'a\\b@example.org', '*@example.org']) {
    for (const key of [ecKey(), rsaKey()]) {
      const facts = userFacts(jid, { publicKey: nodeSigner(key).publicKey })
      const der = await issueLeaf(facts)
      assert.deepEqual(lintLeaf(der, facts, now), [], jid)
      const read = readCertificate(der)
      assert.deepEqual(read.names, [{ form: 'XmppAddr', value: jid }])
      assert.equal(read.commonName, jid)
      const described = await describeCertificate(der)
      assert.deepEqual(described.names, [{ form: 'XmppAddr', value: jid }])
      assert.deepEqual(described.extendedKeyUsage, ['clientAuth'])
      assert.deepEqual(described.keyUsage, key.asymmetricKeyType === 'rsa' ? ['digitalSignature', 'keyEncipherment'] : ['digitalSignature'])
      assert.equal(described.isCa, false)
      // UTF8String, tag 0x0c, inside the otherName.
      const value = Buffer.concat([Buffer.of(0x0c, Buffer.byteLength(jid)), Buffer.from(jid)])
      assert.ok(Buffer.from(der).includes(value))
      assert.equal(await judgeChain([der, ...chain], now), null)
      assert.match(new X509Certificate(der).infoAccess ?? '', /OCSP - URI/)
    }
  }
})

test('no ACME order can ask for the profile', () => {
  assert.ok(!builtinProfiles.some(({ name }) => name === userProfile.name))
  assert.deepEqual([userProfile.identifierTypes, userProfile.challengeTypes], [[], []])
})

test('the lint refuses what would blur users and servers', async () => {
  const server = await makeCa()
  const cases: [string, LeafFacts, RegExp][] = [
    [
      'a dNSName in a user’s',
      userFacts('juliet@example.org', { names: [{ form: 'dNSName', value: 'example.org' }] }),
      /dNSName "example.org" is not as the profile/,
    ],
    ['a domain as the user', userFacts('example.org'), /XmppAddr "example.org" is not as the profile/],
    ['a full JID', userFacts('juliet@example.org/phone'), /is not as the profile/],
    ['upper case', userFacts('Juliet@example.org'), /is not as the profile/],
    [
      'a user’s JID in a server’s',
      leafFacts(server.issuer, ['example.org'], {
        profile: profileNamed('xmpp-server-3920'),
        names: [
          { form: 'dNSName', value: 'example.org' },
          { form: 'XmppAddr', value: 'juliet@example.org' },
        ],
      }),
      /XmppAddr "juliet@example.org" is not as the profile/,
    ],
    ['too long', userFacts('juliet@example.org', { notAfter: now + 826 * day }), /validity is longer/],
  ]
  for (const [what, facts, message] of cases) assert.match(lintLeaf(await issueLeaf(facts), facts, now).join('\n'), message, what)
})

test('the lint sees another name, another subject and another purpose than was decided', async () => {
  const facts = userFacts('juliet@example.org')
  const make = (change: Partial<LeafFacts>) => issueLeaf({ ...facts, ...change })
  const { commonName: _, ...nameless } = facts
  assert.match(lintLeaf(await make({ names: [{ form: 'XmppAddr', value: 'romeo@example.org' }] }), facts, now).join(), /names are/)
  assert.match(lintLeaf(await make({ commonName: 'romeo@example.org' }), facts, now).join(), /subject is not the common name/)
  assert.match(lintLeaf(await issueLeaf(nameless), facts, now).join(), /./)
  assert.match(
    lintLeaf(await make({ profile: { ...userProfile, extendedKeyUsage: ['serverAuth', 'clientAuth'] } }), facts, now).join(),
    /purposes are/,
  )
})

test('neither intermediate can be taken for the other', async () => {
  assert.throws(() => readIssuer(chain, signer, now), /not allowed to sign for both serverAuth and clientAuth/)
  const serverSigner = nodeSigner(ecKey())
  const server = await makeCa()
  const facts = { ...caValidity, serial: serial(), subject: { commonName: 'Test ICA' }, publicKey: serverSigner.publicKey, issuer: server.root, urls }
  const serverChain = [await makeIntermediate(facts), server.root.certificate]
  assert.ok(readIssuer(serverChain, serverSigner, now))
  assert.throws(
    () => readIssuer(serverChain, serverSigner, now, 'users'),
    /is not for users: it must be allowed to sign for clientAuth and nothing else/,
  )
  const description = await describeCertificate(issuer.certificate)
  assert.deepEqual([description.extendedKeyUsage, description.pathLength], [['clientAuth'], 0])
})
