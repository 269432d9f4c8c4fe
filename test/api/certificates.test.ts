import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { RevocationReason } from '../../src/model.js'
import { issueDirectly } from '../support/issuing.js'
import { startProgram, type TestProgram } from './fixture.js'

let program: TestProgram
before(async () => {
  program = await startProgram()
})
after(() => program.close())

const sha256 = (der: Uint8Array): string => createHash('sha256').update(der).digest('hex')
const revoke = async (serial: string, reason: RevocationReason = 'superseded') => {
  const { ica } = program.ca
  await ica.store.recordRevocation(serial, { revokedAt: ica.clock.now(), reason }, false, {
    at: ica.clock.now(),
    actor: 'system',
    action: 'certificate.revoked',
    subject: `certificate:${serial}`,
    detail: {},
  })
  ica.afterRevocation(ica.issuer.id, serial)
}

describe('/api/certificates/{serial}', () => {
  it('shows a certificate, and what OCSP and the list that are served say', async () => {
    const { serial, der } = await issueDirectly(program.ca.ica, 'one.test')
    const { status, json, headers } = await program.ask(`/api/certificates/${serial}`)
    assert.equal(status, 200)
    assert.equal(headers.get('content-type'), 'application/json')
    assert.equal(headers.get('access-control-allow-origin'), '*')
    const parsed = new X509Certificate(json.pem)
    assert.deepEqual(new Uint8Array(parsed.raw), der)
    assert.equal(parsed.serialNumber.toLowerCase(), json.serial)
    assert.equal(json.fingerprint, sha256(der))
    assert.deepEqual(json.issuer, { id: program.ca.ica.issuer.id, name: program.ca.facts.intermediate.name })
    assert.equal(json.subject, 'CN=one.test')
    assert.equal(json.status, 'good')
    assert.equal(json.revocation, null)
    assert.deepEqual(
      json.names.map(({ form, value }: { form: string; value: string }) => `${form} ${value}`),
      ['SRVName _xmpp-client.one.test', 'SRVName _xmpp-server.one.test', 'dNSName one.test'],
    )
    assert.equal(json.notAfter, new Date(parsed.validTo).toISOString())
    assert.equal(json.ocsp.status, 'good')
    assert.equal(json.crl.listed, false)
    // The list is the one that the certificate points to, and its number that of the list that one gets there.
    assert.ok(parsed.toString() && Buffer.from(der).includes(json.crl.url))
    assert.ok(Date.parse(json.crl.nextUpdate) > Date.now())
  })

  it('shows a revocation at once in OCSP, and in the list when it is published', async () => {
    const { serial } = await issueDirectly(program.ca.ica, 'two.test')
    const before = (await program.ask(`/api/certificates/${serial}`)).json
    await revoke(serial, 'keyCompromise')
    const { json } = await program.ask(`/api/certificates/${serial}`)
    assert.equal(json.status, 'revoked')
    assert.equal(json.revocation.reason, 'keyCompromise')
    assert.equal(json.ocsp.status, 'revoked')
    await program.ca.crls.publishAll()
    const after = (await program.ask(`/api/certificates/${serial}`)).json
    assert.equal(after.crl.listed, true)
    assert.ok(BigInt(after.crl.number) > BigInt(before.crl.number))
    const served = await fetch(after.crl.url.replace(/^http:\/\/[^/]+/, program.base))
    assert.ok(Buffer.from(await served.arrayBuffer()).includes(Buffer.from(serial, 'hex')))
  })

  it('tells of expiry', async () => {
    const { serial } = await issueDirectly(program.ca.ica, 'past.test', { notAfter: Math.floor(Date.now() / 1000) * 1000 - 60_000 })
    assert.equal((await program.ask(`/api/certificates/${serial}`)).json.status, 'expired')
  })

  it('knows the intermediate, which has no OCSP answer, by the list of the root', async () => {
    const der = program.ca.ica.issuer.certificate
    const { json } = await program.ask(`/api/certificates?fingerprint=${sha256(der)}`)
    const whole = (await program.ask(`/api/certificates/${json.certificates[0].serial}`)).json
    assert.equal(whole.ocsp, null)
    assert.equal(whole.crl.listed, false)
    assert.match(whole.crl.url, /\/crl\/[0-9a-f]{16}\.crl$/)
    assert.equal(whole.issuer.name, program.ca.facts.root.name)
  })

  it('takes the serial as tools show it', async () => {
    const { serial } = await issueDirectly(program.ca.ica, 'forms.test')
    for (const form of [serial.toUpperCase(), `00${serial}`]) assert.equal((await program.ask(`/api/certificates/${form}`)).json.serial, serial)
  })

  it('says nothing of accounts, orders or people', async () => {
    const { serial } = await issueDirectly(program.ca.ica, 'quiet.test')
    const { text } = await program.ask(`/api/certificates/${serial}`)
    assert.doesNotMatch(text, /account|order/i)
    const person = await issueDirectly(program.ca.ica, 'quiet.test', { names: [{ form: 'XmppAddr', value: 'juliet@quiet.test' }] })
    assert.equal((await program.ask(`/api/certificates/${person.serial}`)).status, 404)
    assert.deepEqual((await program.ask(`/api/certificates?fingerprint=${sha256(person.der)}`)).json.certificates, [])
    assert.deepEqual(
      (await program.ask('/api/certificates?domain=quiet.test')).json.certificates.map((one: { serial: string }) => one.serial),
      [serial],
    )
  })

  it('refuses what is no serial, and does not find what was never issued or only reserved', async () => {
    assert.equal((await program.ask(`/api/certificates/${'ab'.repeat(16)}`)).status, 404)
    for (const bad of ['xyz', '1'.repeat(41), '%00', '..', "'--", '-1']) {
      const { status, headers, json } = await program.ask(`/api/certificates/${encodeURIComponent(bad)}`)
      if (bad === '..') continue // the client itself makes /api of it
      assert.equal(status, 400, bad)
      assert.equal(headers.get('content-type'), 'application/problem+json')
      assert.deepEqual(Object.keys(json), ['type', 'title', 'status', 'detail'])
      assert.match(json.detail, /is not a serial number/)
    }
  })
})

describe('/api/certificates', () => {
  it('lists a domain and what is below it, newest first, page by page, each once', async () => {
    const made: string[] = []
    for (let i = 0; i < 53; i++)
      made.unshift((await issueDirectly(program.ca.ica, i % 2 === 0 ? 'many.test' : `n${i}.many.test`, { createdAt: 1_700_000_000_000 + i })).serial)
    const first = (await program.ask('/api/certificates?domain=MANY.test')).json
    const second = (await program.ask(`/api/certificates?domain=many.test&cursor=${first.next}`)).json
    assert.equal(first.certificates.length, 50)
    assert.deepEqual(
      [...first.certificates, ...second.certificates].map(({ serial }) => serial),
      made,
    )
    assert.equal(second.next, null)
    assert.equal(typeof first.certificates[0].fingerprint, 'string')
  })

  it('takes an internationalised name, and a wildcard, as it is typed', async () => {
    const { serial } = await issueDirectly(program.ca.ica, 'xn--bcher-kva.test')
    for (const typed of ['bücher.test', 'BÜCHER.test', 'xn--bcher-kva.test', '*.bücher.test']) {
      const { json } = await program.ask(`/api/certificates?domain=${encodeURIComponent(typed)}`)
      assert.deepEqual(
        json.certificates.map((one: { serial: string }) => one.serial),
        [serial],
        typed,
      )
    }
  })

  it('finds by fingerprint in any form', async () => {
    const { serial, der } = await issueDirectly(program.ca.ica, 'print.test')
    const colons = new X509Certificate(der).fingerprint256
    for (const form of [sha256(der), colons, colons.toLowerCase()]) {
      const { json } = await program.ask(`/api/certificates?fingerprint=${encodeURIComponent(form)}`)
      assert.equal(json.certificates[0].serial, serial)
    }
    assert.deepEqual((await program.ask(`/api/certificates?fingerprint=${'0'.repeat(64)}`)).json, { certificates: [], next: null })
  })

  it('says what is wrong with a question', async () => {
    for (const [query, sentence] of [
      ['', /either "domain" or "fingerprint"/],
      ['domain=a.test&fingerprint=00', /is not a SHA-256/],
      [`domain=a.test&fingerprint=${'0'.repeat(64)}`, /either "domain" or "fingerprint"/],
      ['domain=', /is empty/],
      ['domain=org', /single label/],
      ['domain=192.0.2.1', /is an IP address/],
      ['domain=https://a.test/', /not a bare name/],
      ['domain=a@b.test', /is an address/],
      [`domain=${'a'.repeat(300)}`, /longer than a domain/],
      ['domain=a.test&domain=b.test', /given twice/],
      ['domain=a.test&limit=5', /no parameter "limit"/],
      ['domain=a.test&cursor=x', /"cursor" is not the `next`/],
      [`fingerprint=${'0'.repeat(64)}&cursor=1-a`, /goes with a "domain" only/],
    ] as const) {
      const { status, json } = await program.ask(`/api/certificates?${query}`)
      assert.equal(status, 400, query)
      assert.match(json.detail, sentence, query)
    }
  })
})
