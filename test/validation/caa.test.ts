import assert from 'node:assert/strict'
import { after, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { type CaaQuestion, checkCaa, parseIssueValue } from '../../src/validation/caa.js'
import { createResolver } from '../../src/validation/resolver.js'
import { type Misbehaviour, type RecordData, startDnsServer } from '../support/dns-server.js'

const dns = await startDnsServer(['test'])
after(() => dns.close())
beforeEach(() => dns.clear())
/** Long enough on the busiest machine, and short, for servers that never answer. */
const patient = createResolver([dns.address], { firstTryMs: 2_000, tries: 2, totalMs: 10_000 })
const impatient = createResolver([dns.address], { firstTryMs: 200, tries: 1, totalMs: 300 })
const { signal } = new AbortController()

const ACCOUNT = 'https://ica.test/acme/account/1'
const ask = (question: Partial<CaaQuestion> = {}, resolver = patient) =>
  checkCaa(
    { name: 'a.b.test', wildcard: false, identities: ['ica.test', 'Old.ICA.test'], accountUri: ACCOUNT, validationMethod: 'dns-01', ...question },
    resolver,
    signal,
  )

/** `issue x`, `128 tag x`: the flags are 0 unless given. */
const caa = (text: string): RecordData['CAA'] => {
  const [, flags, tag = '', value = ''] = /^(\d+ )?(\S*) (.*)$/s.exec(text) ?? []
  return { flags: Number(flags ?? 0), tag, value }
}

type Row = [what: string, records: string[], allowed: boolean, wildcardAllowed: boolean]
const table: Row[] = [
  ['this CA', ['issue ica.test'], true, true],
  ['this CA by its other name', ['issue old.ica.test'], true, true],
  ['this CA in upper case', ['issue ICA.Test'], true, true],
  ['an upper-case tag', ['ISSUE ica.test'], true, true],
  ['this CA among others', ['issue other.test', 'issue ica.test', 'issue ;'], true, true],
  ['another CA', ['issue other.test'], false, false],
  ['an upper-case tag for another CA', ['IsSuE other.test'], false, false],
  ['a CA below this one', ['issue a.ica.test'], false, false],
  ['a CA above this one', ['issue test'], false, false],
  ['nobody', ['issue ;'], false, false],
  ['nobody, with spaces', ['issue   ; '], false, false],
  ['nobody, by an empty value', ['issue '], false, false],
  ['nobody, by blanks', ['issue  \t '], false, false],
  ['nobody, in mixed case', ['IssUe '], false, false],
  ['an empty value beside this CA', ['issue ', 'issue ica.test'], true, true],
  ['an empty value for wildcards', ['issue ica.test', 'issuewild '], true, false],
  ['an empty value that restricts nothing', ['iodef '], true, true],
  ['a critical unknown tag with an empty value', ['issue ica.test', '128 tbs '], false, false],
  ['nobody, with parameters', ['issue ; a=b'], false, false],
  ['spaces around this CA', ['issue  \tica.test \t'], true, true],
  ['this CA and an empty list', ['issue ica.test;'], true, true],
  ['a trailing dot', ['issue ica.test.'], false, false],
  ['a malformed name', ['issue ica..test'], false, false],
  ['a malformed parameter', ['issue ica.test; x'], false, false],
  ['two names', ['issue ica.test other.test'], false, false],
  ['another CA for wildcards', ['issue ica.test', 'issuewild other.test'], true, false],
  ['this CA for wildcards only', ['issue ;', 'issuewild ica.test'], false, true],
  ['another CA for wildcards and nothing else', ['issuewild other.test'], true, false],
  ['no restriction', ['iodef mailto:a@b.test'], true, true],
  ['no restriction, critical', ['128 iodef mailto:a@b.test', '128 contactemail a@b.test', '128 issuemail ;'], true, true],
  ['an unknown tag', ['tbs Unknown'], true, true],
  ['a critical unknown tag', ['128 tbs Unknown'], false, false],
  ['a critical unknown tag beside this CA', ['issue ica.test', '128 tbs Unknown'], false, false],
  ['a critical tag that is a name of JavaScript', ['issue ica.test', '128 __proto__ x'], false, false],
  ['reserved flags and an unknown tag', ['127 tbs Unknown', '1 issue ica.test'], true, true],
  ['this CA, critical', ['128 issue ica.test'], true, true],
  ['this account', [`issue ica.test; accounturi=${ACCOUNT}`], true, true],
  ['tabs around parameters', [`issue ica.test\t;\taccounturi\t=\t${ACCOUNT}\t;\tvalidationmethods=\tdns-01\t`], true, true],
  ['a semicolon behind parameters', [`issue ica.test; accounturi=${ACCOUNT};`], false, false],
  ['this account, spaces', [`issue ica.test ;\taccounturi = ${ACCOUNT} `], true, true],
  ['another account', [`issue ica.test; accounturi=${ACCOUNT}0`], false, false],
  ['this account in upper case', [`issue ica.test; accounturi=${ACCOUNT.toUpperCase()}`], false, false],
  ['an empty account', ['issue ica.test; accounturi='], false, false],
  ['two accounts', [`issue ica.test; accounturi=${ACCOUNT}; accounturi=${ACCOUNT}0`], false, false],
  ['this account twice', [`issue ica.test; accounturi=${ACCOUNT}; AccountURI=${ACCOUNT}`], false, false],
  ['two records for two accounts', ['issue ica.test; accounturi=https://x.test/', `issue ica.test; accounturi=${ACCOUNT}`], true, true],
  ['this method', ['issue ica.test; validationmethods=dns-01'], true, true],
  ['this method among others', ['issue ica.test; validationmethods=http-01,dns-01'], true, true],
  ['another method', ['issue ica.test; validationmethods=http-01'], false, false],
  ['a method like this one', ['issue ica.test; validationmethods=dns-01x,xdns-01'], false, false],
  ['no method', ['issue ica.test; validationmethods='], false, false],
  ['account and method', [`issue ica.test; validationmethods=dns-01; accounturi=${ACCOUNT}`], true, true],
  ['account, but another method', [`issue ica.test; validationmethods=http-01; accounturi=${ACCOUNT}`], false, false],
  ['an unknown parameter', ['issue ica.test; policy=ev'], false, false],
  ['an unknown parameter of another CA', ['issue other.test; policy=ev', 'issue ica.test'], true, true],
]

describe('RFC 8657 §4: a way to validate that nobody registered is called by a label of its CA', () => {
  for (const [listed, method, allowed] of [
    ['ca-email-link-01', 'email-link-01', true],
    ['dns-01,ca-email-link-01', 'email-link-01', true],
    ['email-link-01', 'email-link-01', true],
    ['ca-email-link-01', 'dns-01', false],
    ['ca-dns-01', 'dns-01', false],
    ['ca-email', 'email-link-01', false],
    ['dns-01', 'email-link-01', false],
  ] as const) {
    it(`${listed} ${allowed ? 'lets' : 'does not let'} a name be proven by ${method}`, async () => {
      dns.set('a.b.test', 'CAA', caa(`issue ica.test; validationmethods=${listed}`))
      const result = await ask({ validationMethod: method })
      assert.equal(result.allowed, allowed, JSON.stringify(result))
      if (!result.allowed) assert.match(result.detail, method === 'dns-01' ? /method dns-01\./ : /method ca-email-link-01\./)
    })
  }
})

describe('CAA (RFC 8659, RFC 8657)', () => {
  for (const [what, records, allowed, wildcardAllowed] of table) {
    it(`${what}: ${allowed ? 'issue' : 'refuse'}, wildcard ${wildcardAllowed ? 'issue' : 'refuse'}`, async () => {
      dns.set('a.b.test', 'CAA', ...records.map(caa))
      for (const [wildcard, expected] of [
        [false, allowed],
        [true, wildcardAllowed],
      ] as const) {
        const result = await ask({ wildcard })
        assert.equal(result.allowed, expected, JSON.stringify(result))
        assert.equal(result.evidence.at, 'a.b.test')
        assert.ok(result.allowed || (result.code === 'caa' && result.detail.includes('a.b.test')))
      }
    })
  }

  it('says what is wrong and which record would help', async () => {
    dns.set('b.test', 'CAA', caa('issue letsencrypt.org'), caa('issue ica.test; validationmethods=http-01'))
    const result = await ask()
    assert.ok(!result.allowed)
    assert.equal(
      result.detail,
      'No CAA record at b.test lets this CA issue for a.b.test: "letsencrypt.org" is for another CA; ' +
        '"ica.test; validationmethods=http-01" does not list the validation method dns-01. A record that would: b.test CAA 0 issue "ica.test".',
    )
    assert.deepEqual(result.evidence.records, ['0 issue "letsencrypt.org"', '0 issue "ica.test; validationmethods=http-01"'])
  })

  it('is bounded in what it says', async () => {
    dns.set('a.b.test', 'CAA', ...Array.from({ length: 200 }, (_, i) => caa(`issue ${i}.${'x'.repeat(200)}.test`)))
    const result = await ask()
    assert.ok(!result.allowed)
    assert.ok(JSON.stringify(result).length < 6_000)
  })

  it('with no identities nothing that is restricted is issued', async () => {
    dns.set('a.b.test', 'CAA', caa('issue ica.test'))
    assert.equal((await ask({ identities: [] })).allowed, false)
  })
})

describe('climbing (RFC 8659 §3)', () => {
  it('without records anywhere allows, up to the top-level domain', async () => {
    const result = await ask()
    assert.deepEqual(result, { allowed: true, evidence: { asked: ['a.b.test', 'b.test', 'test'], outcome: 'no CAA records' } })
    assert.deepEqual(dns.queries.map((q) => q.name).sort(), ['a.b.test', 'b.test', 'test'])
  })

  for (const at of ['b.test', 'test']) {
    it(`finds the records at ${at}`, async () => {
      dns.set(at, 'CAA', caa('issue other.test'))
      const result = await ask()
      assert.deepEqual([result.allowed, result.evidence.at], [false, at])
    })
  }

  it('ends at the nearest records, even those that restrict nothing', async () => {
    dns.set('b.test', 'CAA', caa('issue ;'))
    dns.set('a.b.test', 'CAA', caa('issue ica.test'))
    assert.equal((await ask()).allowed, true)
    dns.set('a.b.test', 'CAA', caa('iodef mailto:a@b.test'))
    assert.equal((await ask()).allowed, true)
  })

  it('takes the records at the end of an alias, but does not climb from there', async () => {
    dns.set('a.b.test', 'CNAME', 'x.y.test')
    dns.set('y.test', 'CAA', caa('issue ;'))
    assert.equal((await ask()).allowed, true)
    dns.set('x.y.test', 'CAA', caa('issue other.test'))
    assert.deepEqual([(await ask()).allowed, (await ask()).evidence.at], [false, 'a.b.test'])
  })

  it('asks for the base name of a wildcard', async () => {
    dns.set('a.b.test', 'CAA', caa('issuewild ;'))
    assert.equal((await ask({ wildcard: true })).allowed, false)
  })

  for (const how of ['SERVFAIL', 'REFUSED', 'FORMERR', 'silence', 'garbage', 'wrongId'] satisfies Misbehaviour[]) {
    it(`${how} at any level refuses`, async () => {
      for (const at of ['a.b.test', 'b.test', 'test']) {
        dns.clear()
        dns.misbehave(at, how)
        const result = await ask({}, ['silence', 'garbage', 'wrongId'].includes(how) ? impatient : patient)
        assert.ok(!result.allowed && result.code === 'dns', JSON.stringify(result))
        assert.match(result.detail, new RegExp(`CAA records at ${at.replaceAll('.', '\\.')} failed`))
      }
    })
  }

  it('a failure above the deciding records does not matter, one below it does', async () => {
    dns.set('b.test', 'CAA', caa('issue ica.test'))
    dns.misbehave('test', 'SERVFAIL')
    assert.equal((await ask()).allowed, true)
    dns.misbehave('a.b.test', 'SERVFAIL')
    assert.equal((await ask()).allowed, false)
  })

  it('a tag that is empty is no CAA record, and refuses', async () => {
    dns.set('a.b.test', 'CAA', { tag: '', value: 'x' }, caa('issue ica.test'))
    const result = await ask()
    assert.ok(!result.allowed && result.code === 'dns' && result.detail.includes('malformed answer'), JSON.stringify(result))
  })
})

describe('the value of issue (RFC 8659 §4.2)', () => {
  // biome-ignore format: one row each
  const good: [text: string, issuer: string, parameters: [string, string][]][] = [
    ['', '', []],
    [';', '', []],
    ['ca1.example.net', 'ca1.example.net', []],
    ['ca1.example.net; account=230123', 'ca1.example.net', [['account', '230123']]],
    ['ca1.example.net; policy=ev; account=', 'ca1.example.net', [['policy', 'ev'], ['account', '']]],
    ['CA; X-y = a=b:c,"d ', 'ca', [['x-y', 'a=b:c,"d']]],
  ]
  for (const [text, issuer, parameters] of good) {
    it(`reads ${JSON.stringify(text)}`, () => {
      assert.deepEqual(parseIssueValue(text), { issuer, parameters: parameters.map(([tag, value]) => ({ tag, value })) })
    })
  }

  for (const text of [
    '%%%%%',
    'ca.test; a',
    'ca.test; a=b c',
    'ca.test; =b',
    'ca.test; a=b;',
    'ca.test;;',
    'ca_1.test',
    '-ca.test',
    'ca.test-',
    'ca.test\n',
    'ü.test',
    'ca.test; a=\x7f',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseIssueValue(text), null))
  }

  it('reads what it writes, quickly, whatever it is given', () => {
    const tag = fc.stringMatching(/^[a-z0-9](-*[a-z0-9]){0,5}$/)
    const value = fc.stringMatching(/^[!-:<-~]{0,20}$/)
    const parameters = fc.array(fc.record({ tag, value }, { noNullPrototype: true }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(fc.array(tag, { minLength: 1, maxLength: 4 }), parameters, (labels, list) => {
        const issuer = labels.join('.')
        assert.deepEqual(parseIssueValue(`${issuer} ; ${list.map((p) => `${p.tag} = ${p.value}`).join(' ; ')}`), { issuer, parameters: list })
      }),
    )
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void parseIssueValue(text)))
    const begun = performance.now()
    for (const text of [`${'a-'.repeat(30_000)}!`, `a; ${'-'.repeat(60_000)}=`, `a; b${' '.repeat(30_000)}=${' '.repeat(30_000)}"\x7f`]) {
      assert.equal(parseIssueValue(text), null)
    }
    // What looks at each place again from each place takes minutes.
    assert.ok(performance.now() - begun < 2_000)
  })
})
