import assert from 'node:assert/strict'
import { after, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { accountLabel, dnsAccount01 } from '../../src/validation/dns-account-01.js'
import { dnsPersist01 } from '../../src/validation/dns-persist-01.js'
import { hashedAccountUri, readPersistRecord } from '../../src/validation/persist-record.js'
import { createResolver } from '../../src/validation/resolver.js'
import { keyAuthorizationDigest, type ValidationInput, type ValidationResult } from '../../src/validation/validator.js'
import { startDnsServer } from '../support/dns-server.js'

const dns = await startDnsServer(['test'])
const resolver = createResolver([dns.address], { firstTryMs: 300, tries: 1, totalMs: 500 })
const { signal } = new AbortController()
after(() => dns.close())
beforeEach(() => dns.clear())

const accountUri = 'https://ca.test/acme/account/1'
const thumbprint = 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'
const input: ValidationInput = {
  identifier: { type: 'dns', value: 'example.test' },
  wildcard: false,
  token: 'token',
  keyAuthorization: `token.${thumbprint}`,
  thumbprint,
  priorThumbprints: async () => [],
  accountUri,
}

describe('dns-account-01 (draft-ietf-acme-dns-account-label)', () => {
  const vectors: [account: string, label: string][] = [
    ['https://example.com/acme/acct/ExampleAccount', '_ujmmovf2vn55tgye'],
    ['https://acme-v02.api.letsencrypt.org/acme/acct/12345', '_lvrajhh53e27yh7f'],
    ['http://localhost:4000/acme/acct/1', '_vkbgbqfhr6yv2asd'],
  ]
  for (const [account, label] of vectors) it(`labels ${account}`, () => assert.equal(accountLabel(account), label))

  const digest = keyAuthorizationDigest(input.keyAuthorization).toString('base64url')
  const { validate } = dnsAccount01({ resolver })

  it('is proven by the digest below the label of the account, through an alias too', async () => {
    dns.set(`${accountLabel(accountUri)}._acme-challenge.example.test`, 'CNAME', 'elsewhere.test')
    dns.set('elsewhere.test', 'TXT', 'other', digest)
    assert.ok((await validate(input, signal)).ok)
  })

  it('is not proven by the record of dns-01 or of another account', async () => {
    dns.set('_acme-challenge.example.test', 'TXT', digest)
    dns.set(`${accountLabel(`${accountUri}2`)}._acme-challenge.example.test`, 'TXT', digest)
    const result = await validate(input, signal)
    assert.ok(!result.ok && result.code === 'unauthorized' && result.detail.includes(accountLabel(accountUri)))
  })
})

describe('the record of dns-persist-01 (draft-ietf-acme-dns-persist §4.1)', () => {
  const record = { accountUri, wildcard: false, until: null }
  const good: [text: string, read: object][] = [
    [`ca.test; accounturi=${accountUri}`, record],
    [`ca.test;accounturi=${accountUri}`, record],
    [` CA.test ;\taccounturi = ${accountUri} `, record],
    [`ca.test; ACCOUNTURI=${accountUri}; Policy=WildCard`, { ...record, wildcard: true }],
    [`ca.test; policy=subdomains; accounturi=${accountUri}`, record],
    [`ca.test; accounturi=${accountUri}; persistUntil=1767225600`, { ...record, until: 1_767_225_600_000 }],
    [`ca.test; accounturi=${accountUri}; later=1; later=2`, record],
    ['ca.test; accounturi=urn:A?b=c', { ...record, accountUri: 'urn:A?b=c' }],
  ]
  for (const [text, read] of good) it(`reads ${text}`, () => assert.deepEqual(readPersistRecord(text), { issuer: 'ca.test', record: read }))

  const bad: [text: string, fault: RegExp][] = [
    ['ca.test', /no "accounturi"/],
    ['ca.test;', /no "accounturi"/],
    ['ca.test; accounturi=', /no "accounturi"/],
    [`ca.test; accounturi=${accountUri};`, /malformed/],
    [`ca.test; accounturi=${accountUri}; accounturi=${accountUri}`, /"accounturi" twice/],
    [`ca.test; accounturi=${accountUri}; policy=wildcard; policy=none`, /"policy" twice/],
    [`ca.test; accounturi=${accountUri} policy=wildcard`, /malformed/],
    ['ca.test; accounturi', /malformed/],
    [`ca.test; accounturi=${accountUri}; persistUntil=soon`, /persistUntil/],
    [`ca.test; accounturi=${accountUri}; persistUntil=-1`, /persistUntil/],
    [`ca.test; accounturi=${accountUri}; persistUntil=1.5`, /persistUntil/],
    [`ca.test; accounturi=${accountUri}; persistUntil=`, /persistUntil/],
    ['ca.test; accounturi=https://bücher.test', /malformed/],
  ]
  for (const [text, fault] of bad) {
    it(`finds fault with ${text}`, () => {
      const read = readPersistRecord(text)
      assert.equal(read.issuer, 'ca.test')
      assert.match(read.fault ?? '', fault)
    })
  }

  it('takes any text', () => {
    fc.assert(fc.property(fc.string(), (text) => typeof readPersistRecord(text).issuer === 'string'))
  })

  it('hashes account URIs as revision 02 §10.2 does', () => {
    const prefix = 'https://ca.example/account-hash/'
    const account = { thumbprint, accountUri: 'https://ca.example/acct/123' }
    assert.equal(hashedAccountUri(prefix, 'example.com', account), `${prefix}sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw`)
    assert.equal(hashedAccountUri(prefix, '*', account), `${prefix}sha-256/NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug`)
  })
})

describe('dns-persist-01 (draft-ietf-acme-dns-persist §4.2)', () => {
  const now = 1_800_000_000_000
  const prefix = 'https://ca.test/acme/account-hash/'
  const validator = dnsPersist01({
    resolver,
    clock: { now: () => now },
    issuerDomainNames: ['CA.test.', 'ca2.test', 'ca.test'],
    accountHashPrefix: prefix,
  })
  const at = '_validation-persist.example.test'
  const validate = (records: string[], change: Partial<ValidationInput> = {}): Promise<ValidationResult> => {
    // A string of a TXT record has 255 octets at most.
    dns.set(at, 'TXT', ...records.map((text) => text.match(/.{1,255}/gs) ?? ['']))
    return validator.validate({ ...input, ...change }, signal)
  }
  const mine = `ca.test; accounturi=${accountUri}`
  const hashed = (domain: string, key = thumbprint) => `ca.test; accounturi=${hashedAccountUri(prefix, domain, { thumbprint: key, accountUri })}`
  const priorThumbprints = async () => ['b'.repeat(43), 'a'.repeat(43)]

  it('§3.1, §3.2: offers the account, its names normalized, under the names of both revisions, and no token', () => {
    const names = ['ca.test', 'ca2.test']
    const fields = validator.challengeFields?.({ token: 't', accountUri })
    assert.deepEqual(fields, { accounturi: accountUri, 'issuer-domain-names': names, issuerDomainNames: names })
    assert.deepEqual(validator.directoryMeta, { issuerDomainNames: names, accountHashPrefix: prefix })
  })

  const proven: [what: string, records: string[], change?: Partial<ValidationInput>][] = [
    ['the account URI', [mine]],
    ['either name of the CA', [`ca2.test; accounturi=${accountUri}`]],
    ['the hash for this name', [hashed('example.test')]],
    ['the hash for any name', [hashed('*')]],
    ['the hash by a key that the account had before', [hashed('example.test', 'a'.repeat(43))], { priorThumbprints }],
    ['the hash for any name by such a key', [hashed('*', 'b'.repeat(43))], { priorThumbprints }],
    ['one record of several, the others broken', ['ca.test', 'other.test', '', `ca.test; accounturi=${accountUri}2`, mine]],
    ['a policy that is not needed', [`${mine}; policy=wildcard`]],
    ['policy=wildcard for a wildcard', [`${mine}; policy=WILDCARD`], { wildcard: true }],
    ['a record in many strings', [`${mine}; comment=${'x'.repeat(300)}`]],
    ['a time that is to come', [`${mine}; persistUntil=${now / 1000 + 1}`]],
    ['the very second', [`${mine}; persistUntil=${now / 1000}`]],
  ]
  for (const [what, records, change] of proven) {
    it(`is proven by ${what}`, async () => {
      const result = await validate(records, change)
      assert.ok(result.ok, JSON.stringify(result))
      assert.equal(result.evidence.name, at)
    })
  }

  const unproven: [what: string, records: string[], code: string, says: RegExp, change?: Partial<ValidationInput>][] = [
    ['nothing', [], 'unauthorized', /no TXT record.*Publish: "ca\.test; accounturi=/],
    ['another CA', [`other.test; accounturi=${accountUri}`], 'unauthorized', /names this CA/],
    ['another account', [`ca.test; accounturi=${accountUri}2`], 'unauthorized', /another account/],
    ['the account URI in another case', [`ca.test; accounturi=${accountUri.toUpperCase()}`], 'unauthorized', /another account/],
    ['the hash for another name', [hashed('other.test')], 'unauthorized', /another account/],
    ['the hash by a key that it never had', [hashed('example.test', 'c'.repeat(43))], 'unauthorized', /another account/, { priorThumbprints }],
    ['a hash by another algorithm', [hashed('*').replace('sha-256/', 'sha-384/')], 'malformed', /whose hash is not "sha-256\/"/],
    ['a hash that was cut off', [hashed('*').slice(0, -1)], 'malformed', /43 characters/],
    ['no policy, for a wildcard', [mine], 'unauthorized', /policy=wildcard/, { wildcard: true }],
    ['another policy, for a wildcard', [`${mine}; policy=all`], 'unauthorized', /policy=wildcard/, { wildcard: true }],
    ['a time that has passed', [`${mine}; persistUntil=${now / 1000 - 1}`], 'unauthorized', /persistUntil/],
    ['a broken record', [`${mine}; persistUntil=never`], 'malformed', /no number/],
    ['half a record', ['ca.test'], 'malformed', /no "accounturi"/],
  ]
  for (const [what, records, code, says, change] of unproven) {
    it(`is not proven by ${what}`, async () => {
      const result = await validate(records, change)
      assert.ok(!result.ok, JSON.stringify(result))
      assert.equal(result.code, code)
      assert.match(result.detail, says)
    })
  }

  it('a look-up that fails is no permission', async () => {
    dns.misbehave(at, 'SERVFAIL')
    const result = await validate([mine])
    assert.ok(!result.ok && result.code === 'dns' && result.retryable)
  })

  it('§4.1: persistUntil bounds what was proven; of several records the longest counts', async () => {
    const until = (...seconds: (number | null)[]) =>
      validate(seconds.map((s) => (s === null ? mine : `${mine}; persistUntil=${now / 1000 + s}`))).then((result) => result.ok && result.validUntil)
    assert.equal(await until(60), now + 60_000)
    assert.equal(await until(60, 90, 30), now + 90_000)
    assert.equal(await until(60, null), undefined)
  })

  it('§7.9: counts once, whatever the TTL is', async () => {
    const result = await validate([mine])
    assert.ok(result.ok && result.once)
  })

  it('§4.2: asks for the keys of before only where a hash might be by one of them', async () => {
    let asked = 0
    const priorThumbprints = async () => {
      asked++
      return []
    }
    for (const record of [mine, hashed('*'), `ca.test; accounturi=${accountUri}2`]) await validate([record], { priorThumbprints })
    assert.equal(asked, 0)
    await validate([hashed('other.test')], { priorThumbprints })
    assert.equal(asked, 1)
  })

  it('asks for services below the service', async () => {
    dns.set('_validation-persist._xmpp-server.example.test', 'TXT', mine)
    const result = await validator.validate({ ...input, identifier: { type: 'srv', value: '_xmpp-server.example.test' } }, signal)
    assert.ok(result.ok, JSON.stringify(result))
  })
})
