/** The second opinion on certification paths (pki/judge.ts), on what this program makes and on what it must not believe. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeTbs, signCertificate } from '../../src/pki/certificate.js'
import { ascii, explicit, implicit, implicitConstructed, oid, sequence, utf8String } from '../../src/pki/der.js'
import { basicConstraintsCa, extension, keyUsage, subjectKeyIdentifier } from '../../src/pki/extensions.js'
import { subjectName } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { judgeChain } from '../../src/pki/judge.js'
import { oids } from '../../src/pki/oids.js'
import { caValidity, day, ecKey, leaf, leafFacts, makeCa, now, profileNamed, rsaKey, serial } from './fixtures.js'

const { root, issuer, chain } = await makeCa()
const nameConstraints = '2.5.29.30'

/** An intermediate that may sign only what the constraints allow; the chain below and its issuer. */
const constrained = async (kind: 'permitted' | 'excluded', ...subtrees: Uint8Array[]) => {
  const bases = subtrees.map((base) => sequence(base))
  const value = sequence(implicitConstructed(kind === 'permitted' ? 0 : 1, ...bases))
  const der = await signCertificate(
    encodeTbs({
      ...caValidity,
      serial: serial(),
      issuer: root.subject,
      algorithm: root.signer.algorithm,
      subject: subjectName({ commonName: 'Constrained ICA' }),
      publicKey: issuer.publicKey,
      extensions: [
        basicConstraintsCa(0),
        keyUsage('keyCertSign', 'cRLSign'),
        subjectKeyIdentifier(issuer.publicKey.ski),
        extension(nameConstraints, true, value),
      ],
    }),
    root.signer,
  )
  const path = [der, root.certificate]
  return { path, issuer: readIssuer(path, issuer.signer, now) }
}

test('what this program makes is a path for others, too', async () => {
  assert.equal(await judgeChain(chain, now), null)
  assert.equal(await judgeChain([root.certificate], now), null)
  for (const profile of ['xmpp-server', 'xmpp-server-3920']) {
    const { der } = await leaf(leafFacts(issuer, ['example.com', '*.example.com', 'xn--bcher-kva.example'], { profile: profileNamed(profile) }))
    assert.equal(await judgeChain([der, ...chain], now), null, profile)
  }
  const rsa = await makeCa(rsaKey(), ecKey('P-384'))
  assert.equal(await judgeChain(rsa.chain, now), null)
})

test('a wrong signature, another root, a wrong time, a leaf as issuer are refused', async () => {
  const { der } = await leaf(leafFacts(issuer, ['example.com']))
  const broken = Uint8Array.from(der)
  broken[broken.length - 1] = (broken.at(-1) as number) ^ 1
  assert.match((await judgeChain([broken, ...chain], now)) ?? '', /pkijs/)
  const other = await makeCa()
  assert.match((await judgeChain([der, ...other.chain], now)) ?? '', /pkijs/)
  assert.match((await judgeChain([chain[0] as Uint8Array, other.root.certificate], now)) ?? '', /pkijs/)
  assert.match((await judgeChain([der, ...chain], now + 100 * day)) ?? '', /pkijs/)
  assert.match((await judgeChain([der, ...chain], now - 2 * day)) ?? '', /pkijs/)
  const key = ecKey()
  const first = await leaf(leafFacts(issuer, ['example.com'], { key }))
  const below = { ...issuer, subject: subjectName({ commonName: 'example.com' }), signer: (await import('../../src/pki/keys.js')).nodeSigner(key) }
  const second = await leaf(leafFacts(below, ['victim.example']))
  assert.match((await judgeChain([second.der, first.der, ...chain], now)) ?? '', /pkijs/)
  assert.match((await judgeChain([new Uint8Array([0x30, 0])], now)) ?? '', /pkijs/)
})

test('name constraints bind the leaves', async () => {
  const dns = (name: string) => implicit(2, ascii(name))
  const inside = await constrained('permitted', dns('example.com'))
  const judged = async (ca: Awaited<ReturnType<typeof constrained>>, domain: string) => {
    const facts = leafFacts(ca.issuer, [domain])
    const { der } = await leaf({ ...facts, names: facts.names.filter(({ form }) => form === 'dNSName') })
    return judgeChain([der, ...ca.path], now)
  }
  assert.equal(await judgeChain(inside.path, now), null)
  assert.equal(await judged(inside, 'example.com'), null)
  assert.equal(await judged(inside, 'chat.example.com'), null)
  assert.match((await judged(inside, 'example.org')) ?? '', /pkijs/)
  assert.match((await judged(inside, 'badexample.com')) ?? '', /pkijs/)
  const outside = await constrained('excluded', dns('example.com'))
  assert.equal(await judged(outside, 'example.org'), null)
  assert.match((await judged(outside, 'chat.example.com')) ?? '', /pkijs/)
})

test('a constraint on otherNames leaves the path of the intermediate itself alone', async () => {
  const srv = implicitConstructed(0, oid(oids.idOnDnsSrv), explicit(0, utf8String('_xmpp-server.example.com')))
  const { path } = await constrained('permitted', srv)
  // The intermediate itself has no such name, so its own path is good; what pkijs makes of leaves is its own affair.
  assert.equal(await judgeChain(path, now), null)
})
