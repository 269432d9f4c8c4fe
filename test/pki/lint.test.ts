import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeName, encodeTbs, type LeafFacts, signCertificate, type TbsCertificate } from '../../src/pki/certificate.js'
import {
  ascii,
  concat,
  explicit,
  ia5String,
  implicit,
  implicitConstructed,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  setOf,
  utf8String,
} from '../../src/pki/der.js'
import * as ext from '../../src/pki/extensions.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { lintLeaf } from '../../src/pki/lint.js'
import { oids } from '../../src/pki/oids.js'
import { day, ecKey, leaf, leafFacts, makeCa, mutate, now, profileNamed, rsaKey, urls } from './fixtures.js'

const profile = profileNamed('xmpp-server-3920')
const { issuer } = await makeCa()
const facts = leafFacts(issuer, ['example.com', '*.example.com', 'xn--bcher-kva.example'], { profile, mustStaple: true })

/** The extensions of a good leaf, by name, so that a test can leave out, change or add one. */
const goodExtensions = (f: LeafFacts): Record<string, Uint8Array> => ({
  aki: ext.authorityKeyIdentifier(f.issuer.ski),
  ski: ext.subjectKeyIdentifier(f.publicKey.ski),
  ku: ext.keyUsage('digitalSignature'),
  policies: ext.certificatePolicies(f.profile.policy, f.urls.cps),
  san: ext.subjectAltName(f.names.map(ext.generalName), false),
  eku: ext.extendedKeyUsage(f.profile.extendedKeyUsage),
  crl: ext.crlDistributionPoint(f.urls.crl),
  aia: ext.authorityInfoAccess(f.urls),
  feature: ext.tlsFeatureStatusRequest(),
})

const goodTbs = (f: LeafFacts): TbsCertificate => ({
  serial: f.serial,
  algorithm: f.issuer.signer.algorithm,
  issuer: f.issuer.subject,
  notBefore: f.notBefore,
  notAfter: f.notAfter,
  subject: encodeName([[oids.commonName, 'example.com']]),
  publicKey: f.publicKey,
  extensions: Object.values(goodExtensions(f)),
})

/** Signed properly by the right issuer, but with something else inside. */
const signed = (change: Partial<TbsCertificate>): Promise<Uint8Array> => signCertificate(encodeTbs({ ...goodTbs(facts), ...change }), issuer.signer)

const withExtensions = (change: Record<string, Uint8Array | null>): Promise<Uint8Array> =>
  signed({ extensions: Object.values({ ...goodExtensions(facts), ...change }).filter((extension) => extension !== null) })

test('what the profile promises is found right', async () => {
  assert.deepEqual(lintLeaf((await leaf(facts)).der, facts, now), [])
  assert.deepEqual(lintLeaf(await signed({}), facts, now), [])
  const shuffled = Object.values(goodExtensions(facts)).reverse()
  assert.deepEqual(lintLeaf(await signed({ extensions: shuffled }), facts, now), [], 'the order of extensions does not matter')
  assert.deepEqual(
    lintLeaf(await withExtensions({ san: ext.subjectAltName(facts.names.map(ext.generalName).reverse(), false) }), facts, now),
    [],
    'nor that of names',
  )
  for (const domains of [['example.com'], ['*.example.com'], [`${'a'.repeat(63)}.example`]]) {
    for (const key of [ecKey(), rsaKey()]) {
      const made = await leaf(leafFacts(issuer, domains, { key, notBefore: now - 1234 }))
      assert.deepEqual(lintLeaf(made.der, made.facts, now), [])
    }
  }
})

test('an extension that is missing, added, changed or of another criticality is found', async () => {
  const names = (...general: Uint8Array[]) => ext.subjectAltName([...facts.names.map(ext.generalName), ...general], false)
  const otherName = (type: string, value: Uint8Array) => implicitConstructed(0, oid(type), explicit(0, value))
  const value = (id: string, der: Uint8Array, critical = false) => ext.extension(id, critical, der)
  const uri = (text: string) => implicit(6, ascii(text))
  const twoPoints = sequence(...[1, 2].map(() => sequence(implicitConstructed(0, implicitConstructed(0, uri(urls.crl))))))
  const policy = (...qualifiers: Uint8Array[]) => value(oids.certificatePolicies, sequence(sequence(oid(oids.anyPolicy), ...qualifiers)))
  const table: [string, Record<string, Uint8Array | null>, RegExp][] = [
    ...Object.keys(goodExtensions(facts)).map((key): [string, Record<string, null>, RegExp] => [
      `no ${key}`,
      { [key]: null },
      /missing|is wrong|names are|purposes are|access is/,
    ]),
    ['basicConstraints', { more: value(oids.basicConstraints, sequence(), true) }, /2\.5\.29\.19 is not one of the profile/],
    ['CA:TRUE', { more: ext.basicConstraintsCa(null) }, /it is a CA certificate/],
    ['nocheck', { more: ext.ocspNocheck() }, /not one of the profile/],
    ['unknown extension', { more: value('1.2.3.4', nullValue()) }, /1\.2\.3\.4 is not one of the profile/],
    ['twice', { more: ext.tlsFeatureStatusRequest() }, /a second time/],
    ['keyUsage not critical', { ku: value(oids.keyUsage, Uint8Array.of(3, 2, 7, 0x80)) }, /keyUsage is not critical/],
    ['subjectAltName critical', { san: ext.subjectAltName(facts.names.map(ext.generalName), true) }, /subjectAltName is critical/],
    ['EKU critical', { eku: value(oids.extKeyUsage, sequence(oid(oids.serverAuth), oid(oids.clientAuth)), true) }, /extKeyUsage is critical/],
    ['keyEncipherment without RSA', { ku: ext.keyUsage('digitalSignature', 'keyEncipherment') }, /keyUsage is wrong/],
    ['keyCertSign', { ku: ext.keyUsage('digitalSignature', 'keyCertSign') }, /keyUsage is wrong/],
    ['key usage padded', { ku: value(oids.keyUsage, Uint8Array.of(3, 3, 7, 0x80, 0), true) }, /keyUsage is wrong/],
    ['serverAuth only', { eku: ext.extendedKeyUsage(['serverAuth']) }, /extKeyUsage is wrong/],
    ['OCSPSigning', { eku: ext.extendedKeyUsage(['serverAuth', 'clientAuth', 'ocspSigning']) }, /extKeyUsage is wrong/],
    ['another AKI', { aki: ext.authorityKeyIdentifier(facts.publicKey.ski) }, /authorityKeyIdentifier is wrong/],
    ['AKI with more', { aki: value(oids.authorityKeyIdentifier, sequence(implicit(0, issuer.ski), implicit(2, Uint8Array.of(1)))) }, /octets behind/],
    ['another SKI', { ski: ext.subjectKeyIdentifier(issuer.ski) }, /subjectKeyIdentifier is wrong/],
    ['one more name', { san: names(implicit(2, ascii('evil.example'))) }, /subjectAltName is wrong/],
    ['a name twice', { san: names(implicit(2, ascii('example.com'))) }, /subjectAltName is wrong/],
    ['an IP address', { san: names(ext.ipAddressName(Uint8Array.of(127, 0, 0, 1))) }, /subjectAltName is wrong/],
    ['an unknown otherName', { san: names(otherName('1.2.3', utf8String('x'))) }, /subjectAltName is wrong/],
    ['SRVName as UTF8String', { san: names(otherName(oids.idOnDnsSrv, utf8String('_xmpp-server.example.com'))) }, /an SRVName has tag 0x0c/],
    ['XmppAddr as IA5String', { san: names(otherName(oids.idOnXmppAddr, ia5String('example.com'))) }, /an XmppAddr has tag 0x16/],
    [
      'upper case',
      {
        san: ext.subjectAltName(
          facts.names.map((n) => ext.generalName({ ...n, value: n.value.replace('example.com', 'Example.com') })),
          false,
        ),
      },
      /subjectAltName is wrong/,
    ],
    ['another shard', { crl: ext.crlDistributionPoint(`${urls.crl}x`) }, /cRLDistributionPoints is wrong/],
    ['two CRLs', { crl: value(oids.cRLDistributionPoints, twoPoints) }, /octets behind the CRL distribution point/],
    ['other OCSP', { aia: ext.authorityInfoAccess({ ...urls, ocsp: 'http://evil.example/' }) }, /authorityInfoAccess is wrong/],
    ['no OCSP', { aia: ext.authorityInfoAccess({ ...urls, ocsp: null }) }, /authorityInfoAccess is wrong/],
    ['another policy', { policies: ext.certificatePolicies('2.23.140.1.2.1', urls.cps) }, /certificatePolicies is wrong/],
    ['no CPS', { policies: ext.certificatePolicies(oids.anyPolicy, null) }, /certificatePolicies is wrong/],
    ['another CPS', { policies: ext.certificatePolicies(oids.anyPolicy, 'https://evil.example/') }, /certificatePolicies is wrong/],
    [
      'another qualifier',
      { policies: policy(sequence(sequence(oid('1.3.6.1.5.5.7.2.2'), ia5String(urls.cps ?? '')))) },
      /certificatePolicies is wrong/,
    ],
    ['another feature', { feature: value(oids.tlsFeature, sequence(integer(17))) }, /tlsFeature is wrong/],
    ['two features', { feature: value(oids.tlsFeature, sequence(integer(5), integer(17))) }, /tlsFeature is wrong/],
    ['garbage in an extension', { feature: value(oids.tlsFeature, Uint8Array.of(1)) }, /Not valid DER/],
    [
      'critical encoded as FALSE',
      { feature: sequence(oid(oids.tlsFeature), Uint8Array.of(1, 1, 0), octetString(sequence(integer(5)))) },
      /default value that is encoded/,
    ],
  ]
  for (const [name, change, message] of table) {
    const problems = lintLeaf(await withExtensions(change), facts, now)
    assert.match(problems.join('\n'), message, name)
  }
})

test('every other field that differs is found', async () => {
  const other = nodeSigner(ecKey()).publicKey
  const table: [string, Partial<TbsCertificate>, RegExp][] = [
    ['serial', { serial: `${facts.serial.slice(0, 31)}${facts.serial.endsWith('0') ? '1' : '0'}` }, /serial is another/],
    ['issuer', { issuer: encodeName([[oids.commonName, 'Test ICB']]) }, /issuer is not octet for octet/],
    [
      'issuer with another string type',
      { issuer: sequence(setOf(sequence(oid(oids.commonName), ia5String('Test ICA')))) },
      /issuer is not octet for octet/,
    ],
    ['subject', { subject: encodeName([[oids.commonName, 'example.org']]) }, /the subject is "CN=example\.org"/],
    ['no subject', { subject: encodeName([]) }, /the subject is/],
    [
      'more subject',
      {
        subject: encodeName([
          [oids.organizationName, 'x'],
          [oids.commonName, 'example.com'],
        ]),
      },
      /the subject is/,
    ],
    ['notBefore', { notBefore: facts.notBefore - 1000 }, /notBefore is/],
    ['notAfter', { notAfter: facts.notAfter + 1000 }, /notAfter is/],
    ['key', { publicKey: other }, /public key is another one/],
    ['algorithm', { algorithm: sequence(oid(oids.ecdsaWithSHA384)) }, /two different signature algorithms/],
  ]
  for (const [name, change, message] of table) assert.match(lintLeaf(await signed(change), facts, now).join('\n'), message, name)
  assert.match(lintLeaf(await signCertificate(encodeTbs(goodTbs(facts)), nodeSigner(ecKey())), facts, now).join(), /signature does not verify/)
  assert.match(lintLeaf(concat(await signed({}), Uint8Array.of(0)), facts, now).join(), /octets behind the end/)
})

test('facts that the profile does not allow are found even where the certificate has them', async () => {
  const wrong: [string, Partial<LeafFacts> & { key?: ReturnType<typeof ecKey> }, RegExp][] = [
    ['P-521', { key: ecKey('P-521') }, /does not allow keys of the kind P-521/],
    ['too long', { notAfter: now + 201 * day }, /validity is longer/],
    ['postponed', { notBefore: now + 5 * day, notAfter: now + 201 * day }, /ends later than the profile allows from now on/],
    ['backdated', { notBefore: now - day / 12, notAfter: now + day }, /begins more than an hour back/],
    ['ends after the issuer', { issuer: { ...issuer, notAfter: now + day } }, /not within the issuer’s/],
    ['begins before the issuer', { issuer: { ...issuer, notBefore: now } }, /not within the issuer’s/],
    ['the CA’s own key', { publicKey: issuer.publicKey }, /the key is the CA’s own/],
    ['no names', { names: [] }, /there is no name/],
    ['short serial', { serial: '01' }, /serial 01 is not one/],
    ['serial of chance alone', { serial: `40${'0'.repeat(30)}` }, /is not one of 127 random bits/],
    [
      'wrong form',
      { profile: { ...profileNamed('xmpp-server'), requestableNameForms: [] }, names: facts.names },
      /XmppAddr "example\.com" is not as the profile has it/,
    ],
    ['upper case', { names: [{ form: 'dNSName', value: 'Example.com' }] }, /dNSName "Example\.com"/],
    ['wildcard within', { names: [{ form: 'dNSName', value: 'a.*.example.com' }] }, /dNSName "a\.\*\.example\.com"/],
    [
      'SRVName of another domain',
      {
        names: [
          { form: 'dNSName', value: 'example.com' },
          { form: 'SRVName', value: '_xmpp-client.example.org' },
        ],
      },
      /SRVName "_xmpp-client\.example\.org"/,
    ],
    [
      'SRVName of a wildcard',
      {
        names: [
          { form: 'dNSName', value: '*.example.com' },
          { form: 'SRVName', value: '_xmpp-client.*.example.com' },
        ],
      },
      /SRVName "_xmpp-client\.\*/,
    ],
    [
      'SRVName of another service',
      {
        names: [
          { form: 'dNSName', value: 'example.com' },
          { form: 'SRVName', value: '_ldap.example.com' },
        ],
      },
      /SRVName "_ldap/,
    ],
    [
      'XmppAddr wildcard',
      {
        names: [
          { form: 'dNSName', value: 'example.com' },
          { form: 'XmppAddr', value: '*.example.com' },
        ],
      },
      /XmppAddr "\*/,
    ],
    ['must-staple never', { profile: { ...profile, mustStaple: 'never' }, mustStaple: true }, /must-staple/],
    ['must-staple always', { profile: { ...profile, mustStaple: 'always' }, mustStaple: false }, /must-staple/],
    ['no URL', { urls: { ...urls, crl: 'crl' } }, /a URL is not one/],
  ]
  for (const [name, change, message] of wrong) {
    const made = await leaf(leafFacts(issuer, ['example.com'], { profile, ...change }))
    assert.match(lintLeaf(made.der, made.facts, now).join('\n'), message, name)
  }
})

test('no mutation of a certificate passes, and none makes the lint throw', async () => {
  const { der } = await leaf(facts)
  fc.assert(
    fc.property(fc.nat(2), fc.nat(), fc.nat(255), (kind, at, value) => {
      assert.notDeepEqual(lintLeaf(mutate(der, kind, at, value), facts, now), [])
    }),
    { numRuns: 1500 },
  )
})
