/** What strangers send never ends a check: everything that reads it, in thousands of spoilt forms. */
import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { describeChain, judgeChain, readAnchors, readChain } from '../../src/check/certificate.js'
import { presentedChain } from '../../src/check/presented-chain.js'
import { judgeStaple } from '../../src/check/status.js'
import { createStreamReader, StreamFault } from '../../src/check/xml-stream.js'
import { IcaError } from '../../src/errors.js'
import { encodeName, encodeTbs, signCertificate } from '../../src/pki/certificate.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { oids } from '../../src/pki/oids.js'
import { readPeerCertificate } from '../../src/pki/peer-certificate.js'
import { buildPath } from '../../src/pki/peer-path.js'
import { readCrlStatus } from '../../src/pki/read-status.js'
import { ecKey, mutate, rsaKey, serial, wholeCrl } from '../pki/fixtures.js'
import { day, good, identity, issuer, now, ocsp, revoked, rootDer, urlsAt } from './pki.js'
import { header } from './server.js'

const made = await identity('example.test', urlsAt('http://status.test'))
const [leafDer, intermediateDer] = made.chain as [Uint8Array, Uint8Array]
const anchors = { ...readAnchors([rootDer]), public: [] }
const leaf = readPeerCertificate(leafDer)
const above = readPeerCertificate(intermediateDer)
const mutation = fc.tuple(fc.integer({ min: 0, max: 2 }), fc.nat(), fc.integer({ min: 0, max: 255 }))
const spoilt = (bytes: Uint8Array, [kind, at, value]: [number, number, number]) => mutate(bytes, kind, at, value)

test('a spoilt certificate is read or is not, and never leads to the root', () => {
  fc.assert(
    fc.property(mutation, (change) => {
      const der = spoilt(leafDer, change)
      const chain = readChain([der, intermediateDer], anchors, now)
      if (!chain) return
      judgeChain(chain, 'example.test', new Set(['c2s', 's2s']), anchors, 'here', now)
      assert.equal(chain.leaf.der === der ? chain.trust : 'none', 'none')
    }),
    { numRuns: 1_500 },
  )
})

test('a spoilt OCSP answer is never a good one', async () => {
  const chain = readChain(made.chain, anchors, now)
  assert.ok(chain)
  const stapled = await ocsp(leafDer, good)
  const ids = (staple: Uint8Array) => judgeStaple(staple, chain, 'here', now).map(({ id }) => id)
  assert.deepEqual(ids(stapled), ['staple-good'])
  assert.deepEqual(ids(await ocsp(leafDer, revoked)), ['staple-revoked'])
  const seen = new Set<string>()
  fc.assert(
    fc.property(mutation, (change) => {
      for (const id of ids(spoilt(stapled, change))) seen.add(id)
    }),
    { numRuns: 2_000 },
  )
  // What is outside of the signature may change without harm: the responder's own certificate is not, nor are the algorithms.
  assert.ok(seen.has('staple-invalid') && !seen.has('staple-revoked'), [...seen].join())
})

test('a CRL is believed with its signature only', async () => {
  const facts = { issuer, number: 1n, thisUpdate: now - day, nextUpdate: now + day, distributionPoints: ['http://status.test/1.crl'] }
  const listed = [{ serial: leaf.serial, revokedAt: now - day, reason: 'superseded' as const }]
  const empty = await wholeCrl({ ...facts, entries: [] })
  const crl = await wholeCrl({ ...facts, entries: [listed] })
  assert.equal(readCrlStatus(empty, leaf, above).status, 'good')
  assert.deepEqual(readCrlStatus(crl, leaf, above), { status: 'revoked', revokedAt: now - day, thisUpdate: now - day, nextUpdate: now + day })
  assert.throws(() => readCrlStatus(crl, leaf, leaf), IcaError)
  fc.assert(
    fc.property(mutation, (change) => {
      const bytes = spoilt(crl, change)
      try {
        assert.equal(readCrlStatus(bytes, leaf, above).status, 'revoked')
      } catch (error) {
        assert.ok(!(error instanceof assert.AssertionError), String(error))
      }
    }),
    { numRuns: 1_000 },
  )
})

test('octets that are no handshake have no certificates, and throw nothing', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.boolean(),
      fc.constantFrom('TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256', 'unknown'),
      (body, isTls13, suite) => {
        const type = isTls13 ? 23 : 22
        const record = Buffer.concat([Buffer.from([type, 3, 3, body.length >> 8, body.length & 0xff]), body])
        presentedChain(record, suite, isTls13 ? Buffer.alloc(32) : null)
        presentedChain(Buffer.from(body), suite, null)
        // A Certificate message with lengths of its own.
        presentedChain(Buffer.concat([Buffer.from([22, 3, 3, 0, body.length + 4, 11, 0, 0, body.length]), body]), suite, null)
      },
    ),
    { numRuns: 2_000 },
  )
})

test('a stream is read or refused, however it is cut', () => {
  const good = Buffer.from(`${header}<stream:features><a b='ü'>text &amp; more</a></stream:features></stream:stream>`)
  fc.assert(
    fc.property(fc.array(mutation, { maxLength: 3 }), fc.array(fc.nat({ max: good.length }), { maxLength: 6 }), (changes, cuts) => {
      const bytes = changes.reduce<Uint8Array>((so, change) => (so.length > 0 ? spoilt(so, change) : so), good)
      const reader = createStreamReader()
      const kinds: string[] = []
      const ends = [...new Set([...cuts.filter((cut) => cut < bytes.length), bytes.length])].sort((a, b) => a - b)
      try {
        ends.reduce((from, to) => {
          kinds.push(...reader.feed(bytes.subarray(from, to)).map(({ kind }) => kind))
          return to
        }, 0)
        if (changes.length === 0) assert.deepEqual(kinds, ['open', 'element', 'close'])
      } catch (error) {
        assert.ok(error instanceof StreamFault && changes.length > 0, String(error))
      }
    }),
    { numRuns: 3_000 },
  )
})

/** A certificate with a subject and a key of the stranger's choice. */
const chosen = (commonName: string, spki?: Uint8Array): Promise<Uint8Array> => {
  const { publicKey } = nodeSigner(ecKey())
  const tbs = encodeTbs({
    serial: serial(),
    algorithm: issuer.signer.algorithm,
    issuer: issuer.subject,
    notBefore: now - day,
    notAfter: now + day,
    subject: encodeName([[oids.commonName, commonName]]),
    publicKey: { ...publicKey, ...(spki && { spki }) },
    extensions: [],
  })
  return signCertificate(tbs, issuer.signer)
}

test('thirty certificates that name each other do not cost hundreds of signatures', () => {
  let verified = 0
  const verify = () => {
    verified++
    return true
  }
  const alike = Array.from({ length: 30 }, (_, i) => ({
    ...above,
    fingerprint: String(i),
    x509: { checkIssued: () => true, verify, publicKey: null },
  }))
  const path = buildPath(alike as unknown as (typeof above)[], [], now)
  assert.ok(path.certificates.length > 5)
  const unsigned = alike.map((one) => ({ ...one, x509: { ...one.x509, verify: () => !verify() } }))
  assert.equal(buildPath(unsigned as unknown as (typeof above)[], [], now).certificates.length, 1)
  assert.ok(verified <= 48, String(verified))
})

test('a key that makes each signature dear is not read', async () => {
  const { n = '' } = rsaKey().export({ format: 'jwk' })
  const spkiWith = (e: Buffer) =>
    new Uint8Array(createPublicKey({ key: { kty: 'RSA', n, e: e.toString('base64url') }, format: 'jwk' }).export({ type: 'spki', format: 'der' }))
  assert.ok(readChain([await chosen('usual.test', spkiWith(Buffer.from([1, 0, 1])))], anchors, now))
  const dear = Buffer.alloc(255, 0xff)
  assert.equal(readChain([await chosen('dear.test', spkiWith(dear))], anchors, now), null)
})

test('a name as long as a book is cut', async () => {
  const chain = readChain([await chosen('x'.repeat(50_000))], anchors, now)
  assert.ok(chain && chain.leaf.subject.length <= 256 && JSON.stringify(describeChain(chain, 'example.test', new Set(['s2s']), now)).length < 5_000)
})

test('a stream is short: a parser does not see ten thousand attributes, nor a thousand namespaces', () => {
  const attributes = Array.from({ length: 4_000 }, (_, i) => ` a${i}=''`).join('')
  const namespaces = Array.from({ length: 600 }, (_, i) => ` xmlns:n${i}='u'`).join('')
  for (const many of [attributes, namespaces]) {
    assert.throws(
      () => createStreamReader().feed(Buffer.from(`${header}<x${many}/>`)),
      (error: unknown) => error instanceof StreamFault && error.kind === 'stream-endless',
    )
  }
})
