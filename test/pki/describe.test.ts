/** Certificates of anybody in words (pki/describe.ts). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { describeCertificate } from '../../src/pki/describe.js'
import { pemDecode } from '../../src/pki/pem.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { leaf, leafFacts, makeCa, profileNamed } from './fixtures.js'

const { issuer, root } = await makeCa()

test('a leaf of ours: as the strict reader has it', async () => {
  const { der } = await leaf(leafFacts(issuer, ['xn--bcher-kva.example', '*.example.org'], { profile: profileNamed('xmpp-server-3920') }))
  const d = await describeCertificate(der)
  const read = readCertificate(der)
  assert.equal(d.subject, 'CN=xn--bcher-kva.example')
  assert.match(d.issuer, /CN=Test ICA/)
  assert.deepEqual(d.names, read.names)
  assert.ok(d.names.some(({ form, value }) => form === 'XmppAddr' && value === 'bücher.example'))
  assert.equal(d.serial.replace(/^00/, ''), read.serial)
  assert.deepEqual([d.notBefore, d.notAfter], [read.notBefore, read.notAfter])
  assert.deepEqual(d.extendedKeyUsage, ['serverAuth', 'clientAuth'])
  assert.deepEqual(d.keyUsage, ['digitalSignature'])
  assert.equal(d.isCa, false)
  assert.equal(d.sha256, new X509Certificate(der).fingerprint256)
  assert.match(d.key, /ECDSA P-256|P-256/)
})

test('a CA, and what openssl makes with every form of name', async () => {
  const ca = await describeCertificate(root.certificate)
  assert.deepEqual([ca.isCa, ca.pathLength], [true, null])
  assert.deepEqual(ca.keyUsage, ['keyCertSign', 'cRLSign'])

  const folder = mkdtempSync(join(tmpdir(), 'ica-describe-'))
  try {
    const names =
      'DNS:a.example,IP:192.0.2.1,IP:2001:db8::1,email:x@example.org,URI:https://example.org/,RID:1.2.3.4,' +
      'otherName:1.3.6.1.5.5.7.8.5;UTF8:romeo@example.org,otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-client.a.example,' +
      'otherName:1.3.6.1.4.1.311.20.2.3;UTF8:user@corp.example,otherName:1.2.3.4.5;UTF8:something,dirName:d'
    writeFileSync(
      join(folder, 'c.cnf'),
      `[req]\ndistinguished_name=n\n[n]\n[d]\nCN=Somebody\n[v]\nsubjectAltName=${names}\nextendedKeyUsage=serverAuth,1.3.6.1.5.5.7.3.4\n`,
    )
    const args = `req -x509 -newkey rsa:2048 -nodes -utf8 -subj /O=Other/CN=other.example -config c.cnf -extensions v -keyout k.pem -out c.pem -days 30`
    execFileSync('openssl', args.split(' '), { cwd: folder, stdio: 'ignore' })
    const d = await describeCertificate(pemDecode('CERTIFICATE', readFileSync(join(folder, 'c.pem'), 'latin1'))[0] as Uint8Array)
    assert.deepEqual(
      d.names.map(({ form, value }) => `${form} ${value}`),
      [
        'dNSName a.example',
        'iPAddress 192.0.2.1',
        'iPAddress 2001:db8::1',
        'rfc822Name x@example.org',
        'URI https://example.org/',
        'registeredID 1.2.3.4',
        'XmppAddr romeo@example.org',
        'SRVName _xmpp-client.a.example',
        'UPN user@corp.example',
        'otherName 1.2.3.4.5 something',
        'directoryName CN=Somebody',
      ],
    )
    assert.match(d.key, /RSA.* 2048 bits/)
    assert.deepEqual(d.extendedKeyUsage, ['serverAuth', '1.3.6.1.5.5.7.3.4'])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('what is no certificate is refused', async () => {
  await assert.rejects(describeCertificate(new Uint8Array([1, 2, 3])))
})
