import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import 'reflect-metadata'
import { AsnConvert } from '@peculiar/asn1-schema'
import * as asn1 from '@peculiar/asn1-x509'
import * as x509 from '@peculiar/x509'
import fc from 'fast-check'
import * as pkijs from 'pkijs'
import { IcaError } from '../../src/errors.js'
import { encodeTbsLeaf, newSerial } from '../../src/pki/certificate.js'
import { makeResponder, makeServerCertificate, subjectName } from '../../src/pki/hierarchy.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { lintLeaf } from '../../src/pki/lint.js'
import { oids } from '../../src/pki/oids.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { caValidity, day, ecKey, edKey, leaf, leafFacts, makeCa, mutate, now, profileNamed, rsaKey, serial, urls } from './fixtures.js'

const old = profileNamed('xmpp-server-3920')
const { root, issuer, chain } = await makeCa()

test('a leaf of the profile with everything, read by @peculiar/x509', async () => {
  const { der, facts } = await leaf(leafFacts(issuer, ['example.com', '*.example.com', 'xn--bcher-kva.example'], { profile: old, mustStaple: true }))
  const seen = new x509.X509Certificate(der)
  assert.equal(seen.subject, 'CN=example.com')
  assert.equal(seen.issuer, 'CN=Test ICA')
  assert.equal(seen.serialNumber, facts.serial)
  assert.equal(seen.notBefore.getTime(), facts.notBefore)
  assert.equal(seen.notAfter.getTime(), facts.notAfter)
  assert.deepEqual(
    Array.from(seen.extensions, (e) => [e.type, e.critical]),
    [
      [oids.authorityKeyIdentifier, false],
      [oids.subjectKeyIdentifier, false],
      [oids.keyUsage, true],
      [oids.certificatePolicies, false],
      [oids.subjectAltName, false],
      [oids.extKeyUsage, false],
      [oids.cRLDistributionPoints, false],
      [oids.authorityInfoAccess, false],
      [oids.tlsFeature, false],
    ],
  )
  const extension = <T extends x509.Extension>(id: string) => seen.getExtension(id) as T
  assert.equal(extension<x509.AuthorityKeyIdentifierExtension>(oids.authorityKeyIdentifier).keyId, Buffer.from(issuer.ski).toString('hex'))
  assert.equal(extension<x509.SubjectKeyIdentifierExtension>(oids.subjectKeyIdentifier).keyId, Buffer.from(facts.publicKey.ski).toString('hex'))
  assert.equal(extension<x509.KeyUsagesExtension>(oids.keyUsage).usages, x509.KeyUsageFlags.digitalSignature)
  assert.deepEqual([...extension<x509.ExtendedKeyUsageExtension>(oids.extKeyUsage).usages], [oids.serverAuth, oids.clientAuth])
  assert.deepEqual([...extension<x509.CertificatePolicyExtension>(oids.certificatePolicies).policies], [oids.anyPolicy])
  const access = extension<x509.AuthorityInfoAccessExtension>(oids.authorityInfoAccess)
  assert.deepEqual([access.ocsp.map((n) => n.value), access.caIssuers.map((n) => n.value)], [[urls.ocsp], [urls.caIssuers]])

  const names = AsnConvert.parse(extension(oids.subjectAltName).value, asn1.SubjectAlternativeName)
  assert.deepEqual(
    [...names].flatMap((n) => n.dNSName ?? []),
    ['example.com', '*.example.com', 'xn--bcher-kva.example'],
  )
  assert.deepEqual(
    [...names].flatMap((n) =>
      n.otherName
        ? `${n.otherName.typeId} ${Buffer.from(n.otherName.value).toString('hex', 0, 1)} ${Buffer.from(n.otherName.value).toString('utf8', 2)}`
        : [],
    ),
    [
      '1.3.6.1.5.5.7.8.7 16 _xmpp-client.example.com',
      '1.3.6.1.5.5.7.8.7 16 _xmpp-server.example.com',
      '1.3.6.1.5.5.7.8.7 16 _xmpp-client.xn--bcher-kva.example',
      '1.3.6.1.5.5.7.8.7 16 _xmpp-server.xn--bcher-kva.example',
      '1.3.6.1.5.5.7.8.5 0c example.com',
      '1.3.6.1.5.5.7.8.5 0c bücher.example',
    ],
  )
  const points = AsnConvert.parse(extension(oids.cRLDistributionPoints).value, asn1.CRLDistributionPoints)
  assert.deepEqual(
    Array.from(points, (p) => p.distributionPoint?.fullName?.map((n) => n.uniformResourceIdentifier)),
    [[urls.crl]],
  )
  const [policy] = AsnConvert.parse(extension(oids.certificatePolicies).value, asn1.CertificatePolicies)
  assert.equal(policy?.policyQualifiers?.[0]?.policyQualifierId, oids.idQtCps)
  assert.equal(Buffer.from(policy?.policyQualifiers?.[0]?.qualifier ?? new ArrayBuffer(0)).toString('utf8', 2), urls.cps)
  assert.equal(Buffer.from(extension(oids.tlsFeature).value).toString('hex'), '3003020105')
  // What asn1-schema reads and writes again is octet for octet the same: nothing in it is less than DER.
  assert.deepEqual(new Uint8Array(AsnConvert.serialize(AsnConvert.parse(der, asn1.Certificate))), der)
})

test('every kind of key as issuer and as subscriber: node, pkijs, @peculiar and the lint agree', async () => {
  const caKeys = [ecKey(), ecKey('P-384'), rsaKey(), edKey()]
  const leafKeys = [ecKey(), ecKey('P-384'), rsaKey(3072), edKey()]
  const profile = { ...old, keyKinds: ['P-256', 'P-384', 'RSA', 'Ed25519'] as const }
  for (const caKey of caKeys) {
    const ca = await makeCa(ecKey('P-384'), caKey)
    for (const key of leafKeys) {
      const { der, facts } = await leaf(leafFacts(ca.issuer, ['example.com'], { profile, key }))
      assert.deepEqual(lintLeaf(der, facts, now), [])
      const seen = new X509Certificate(der)
      const [intermediate, top] = ca.chain.map((c) => new X509Certificate(c)) as [X509Certificate, X509Certificate]
      assert.ok(seen.checkIssued(intermediate) && seen.verify(intermediate.publicKey))
      assert.ok(intermediate.checkIssued(top) && intermediate.verify(top.publicKey) && intermediate.ca && !seen.ca)
      assert.equal(seen.checkHost('example.com'), 'example.com')
      if (facts.publicKey.kind === 'Ed25519' || ca.issuer.publicKey.kind === 'Ed25519') continue
      const engine = new pkijs.CertificateChainValidationEngine({
        certs: [...ca.chain, der].map((c) => pkijs.Certificate.fromBER(c)),
        trustedCerts: [pkijs.Certificate.fromBER(ca.chain[1] as Uint8Array)],
        checkDate: new Date(now),
      })
      const result = await engine.verify()
      assert.ok(result.result, result.resultMessage)
    }
  }
})

test('RSA subscribers get keyEncipherment, others don’t', async () => {
  const usage = async (key = ecKey()) => readCertificate((await leaf(leafFacts(issuer, ['a.example'], { key }))).der).keyUsage
  assert.deepEqual(await usage(rsaKey()), [0, 2])
  assert.deepEqual(await usage(), [0])
})

test('the common name is the first dNSName that fits; without one the subject is empty and subjectAltName critical', async () => {
  const long = `${'a'.repeat(60)}.example.com`
  const both = readCertificate((await leaf(leafFacts(issuer, [long, 'short.example']))).der)
  assert.equal(both.commonName, 'short.example')
  const { der, facts } = await leaf(leafFacts(issuer, [long]))
  const none = readCertificate(der)
  assert.deepEqual(
    [none.commonName, Buffer.from(none.subject).toString('hex'), none.extensions.get(oids.subjectAltName)?.critical],
    [null, '3000', true],
  )
  assert.deepEqual(lintLeaf(der, facts, now), [])
})

test('a short-lived profile points to nothing but the issuer; without a practice statement there is no qualifier', async () => {
  const short = { ...old, name: 'short', statusPointers: false, mustStaple: 'never' as const, maxValidityMs: 7 * day, validityMs: 6 * day }
  const { der, facts } = await leaf(leafFacts(issuer, ['example.com'], { profile: short, notAfter: now + 6 * day, urls: { ...urls, cps: null } }))
  assert.deepEqual(lintLeaf(der, facts, now), [])
  const seen = new x509.X509Certificate(der)
  assert.equal(seen.getExtension(oids.cRLDistributionPoints), null)
  assert.deepEqual((seen.getExtension(oids.authorityInfoAccess) as x509.AuthorityInfoAccessExtension).ocsp, [])
  assert.equal(Buffer.from(seen.getExtension(oids.certificatePolicies)?.value ?? new ArrayBuffer(0)).toString('hex'), '300830060604551d2000')
})

test('times from 2050 on are GeneralizedTime', async () => {
  const ca = await makeCa()
  const far = { ...ca.issuer, notAfter: Date.UTC(2060, 0) }
  const { der } = await leaf(leafFacts(far, ['example.com'], { notBefore: Date.UTC(2049, 11, 31), notAfter: Date.UTC(2050, 0, 1) }))
  assert.equal(new X509Certificate(der).validTo, 'Jan  1 00:00:00 2050 GMT')
  assert.match(Buffer.from(der).toString('latin1'), /491231000000Z.*20500101000000Z/s)
})

test('the root, the intermediate', () => {
  const [intermediate, top] = chain.map(readCertificate) as [ReturnType<typeof readCertificate>, ReturnType<typeof readCertificate>]
  assert.deepEqual([top.isCa, top.pathLength, top.keyUsage, top.extendedKeyUsage], [true, null, [5, 6], null])
  assert.deepEqual(top.extensions.get(oids.basicConstraints)?.critical && top.extensions.get(oids.keyUsage)?.critical, true)
  assert.deepEqual(top.aki, top.ski)
  assert.deepEqual(top.issuer, top.subject)
  assert.equal(new X509Certificate(top.der).subject, 'O=Tést\nCN=Test Root')
  assert.deepEqual([intermediate.isCa, intermediate.pathLength, intermediate.keyUsage], [true, 0, [5, 6]])
  assert.deepEqual(intermediate.extendedKeyUsage, [oids.serverAuth, oids.clientAuth])
  assert.deepEqual(intermediate.aki, top.ski)
  assert.equal(new X509Certificate(intermediate.der).infoAccess?.trim(), `CA Issuers - URI:${urls.caIssuers}`)
  assert.throws(() => subjectName({ commonName: '' }), RangeError)
  assert.throws(() => subjectName({ commonName: 'a', organization: 'é'.repeat(65) }), RangeError)
})

test('the responder: OCSPSigning alone, nocheck, no names, no pointers', async () => {
  const publicKey = nodeSigner(ecKey()).publicKey
  const der = await makeResponder({
    ...caValidity,
    notAfter: now + 7 * day,
    serial: serial(),
    issuer,
    publicKey,
    subject: { commonName: 'Test OCSP' },
  })
  const seen = new x509.X509Certificate(der)
  assert.deepEqual(
    Array.from(seen.extensions, (e) => [e.type, e.critical]),
    [
      [oids.authorityKeyIdentifier, false],
      [oids.subjectKeyIdentifier, false],
      [oids.keyUsage, true],
      [oids.extKeyUsage, false],
      [oids.idPkixOcspNocheck, false],
    ],
  )
  assert.equal(Buffer.from(seen.getExtension(oids.idPkixOcspNocheck)?.value ?? new ArrayBuffer(0)).toString('hex'), '0500')
  assert.deepEqual(readCertificate(der).extendedKeyUsage, [oids.ocspSigning])
  assert.ok(new X509Certificate(der).verify(new X509Certificate(issuer.certificate).publicKey))
})

test('the CA’s own HTTPS: names and addresses', async () => {
  const publicKey = nodeSigner(ecKey()).publicKey
  const hosts = ['ca.example.net', Uint8Array.of(127, 0, 0, 1), Uint8Array.from([...new Uint8Array(15), 1])]
  const seen = new X509Certificate(await makeServerCertificate({ ...caValidity, serial: serial(), issuer, publicKey, urls, hosts }))
  assert.equal(seen.subjectAltName, 'DNS:ca.example.net, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  assert.deepEqual(seen.keyUsage, [oids.serverAuth])
  assert.equal(seen.checkIP('127.0.0.1'), '127.0.0.1')
})

test('serials have 32 hex digits and leave 127 bits to chance', () => {
  assert.equal(
    newSerial(() => new Uint8Array(16)),
    '80000000000000000000000000000000',
  )
  assert.equal(
    newSerial(() => new Uint8Array(16).fill(255)),
    'ffffffffffffffffffffffffffffffff',
  )
  assert.equal(new Set(Array.from({ length: 1000 }, () => newSerial(randomBytes))).size, 1000)
})

test('encoding the same facts gives the same octets', () => {
  const facts = leafFacts(issuer, ['example.com'])
  assert.deepEqual(encodeTbsLeaf(facts), encodeTbsLeaf({ ...facts }))
})

test('a mutated certificate gives a certificate or IcaError, nothing else', async () => {
  const { der } = await leaf(leafFacts(issuer, ['example.com', 'xn--bcher-kva.example'], { profile: old, mustStaple: true }))
  for (const good of [der, root.certificate, issuer.certificate]) {
    fc.assert(
      fc.property(fc.nat(2), fc.nat(), fc.nat(255), (kind, at, value) => {
        try {
          readCertificate(mutate(good, kind, at, value))
        } catch (error) {
          assert.ok(error instanceof IcaError, String(error))
        }
      }),
      { numRuns: 2000 },
    )
  }
})
