import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { issueDirectly } from '../support/issuing.js'
import { startProgram, type TestProgram } from './fixture.js'

let program: TestProgram
before(async () => {
  program = await startProgram({ ICA_LIMITS: 'certificatesPerDomain=2/7d, certificatesPerExactSet=1/7d', ICA_CAA_IDENTITIES: 'ca.test' })
})
after(() => program.close())
beforeEach(() => program.dns.clear())

const domain = async (name: string) => {
  const { status, json } = await program.ask(`/api/domain?name=${encodeURIComponent(name)}`)
  assert.equal(status, 200, JSON.stringify(json))
  assert.equal(json.name, name)
  return json
}

describe('/api/domain', () => {
  it('does not ask others dozens of questions for one, whatever the records say', async () => {
    const { dns } = program
    for (const service of ['_xmpp-client', '_xmpp-server', '_xmpps-client', '_xmpps-server']) {
      const records = Array.from({ length: 10 }, (_, i) => ({ priority: i, weight: 0, port: 5222, target: `${service.slice(1)}-${i}.victim.test` }))
      dns.set(`${service}._tcp.many.test`, 'SRV', ...records)
    }
    const found = await domain('many.test')
    assert.equal(found.srv.length, 40)
    assert.match(found.incomplete.join(' '), /more than 12 hosts/)
    assert.equal(new Set(dns.queries.filter(({ name }) => name.endsWith('.victim.test')).map(({ name }) => name)).size, 12)
  })

  it('shows what the DNS says of a domain', async () => {
    const { dns } = program
    dns.set('_xmpp-client._tcp.a.test', 'SRV', { priority: 5, weight: 0, port: 5222, target: 'XMPP.a.test' })
    dns.set(
      '_xmpp-server._tcp.a.test',
      'SRV',
      { priority: 5, weight: 1, port: 5269, target: 'xmpp.a.test' },
      { priority: 9, weight: 1, port: 5269, target: 'gone.a.test' },
    )
    dns.set('_xmpps-client._tcp.a.test', 'SRV', { priority: 0, weight: 0, port: 0, target: '.' })
    dns.set('xmpp.a.test', 'A', '192.0.2.5')
    dns.set('xmpp.a.test', 'AAAA', '2001:db8::5')
    dns.set('conference.a.test', 'CNAME', 'xmpp.a.test')
    dns.set('a.test', 'MX', { preference: 20, exchange: 'mx2.a.test' }, { preference: 10, exchange: 'mx1.a.test' })
    const found = await domain('a.test')
    assert.deepEqual(
      { ascii: found.ascii, unicode: found.unicode, wildcard: found.wildcard, problem: found.problem, registrable: found.registrable },
      { ascii: 'a.test', unicode: 'a.test', wildcard: false, problem: null, registrable: 'a.test' },
    )
    const addresses = ['2001:db8::5', '192.0.2.5']
    assert.deepEqual(
      found.srv.sort((a: { service: string; priority: number }, b: typeof a) =>
        a.service === b.service ? a.priority - b.priority : a.service < b.service ? -1 : 1,
      ),
      [
        { service: '_xmpp-client._tcp', target: 'xmpp.a.test', port: 5222, priority: 5, weight: 0, addresses },
        { service: '_xmpp-server._tcp', target: 'xmpp.a.test', port: 5269, priority: 5, weight: 1, addresses },
        { service: '_xmpp-server._tcp', target: 'gone.a.test', port: 5269, priority: 9, weight: 1, addresses: [] },
        { service: '_xmpps-client._tcp', target: '.', port: 0, priority: 0, weight: 0, addresses: [] },
      ],
    )
    const suggestions = Object.fromEntries(found.suggestions.map((one: { name: string; resolves: boolean }) => [one.name, one.resolves]))
    assert.equal(suggestions['conference.a.test'], true)
    assert.equal(suggestions['upload.a.test'], false)
    assert.equal(suggestions['*.a.test'], false)
    assert.equal(suggestions['www.a.test'], undefined)
    assert.deepEqual(found.mx, { null: false, hosts: ['mx1.a.test', 'mx2.a.test'] })
    assert.equal(found.caa.allowed, true)
    assert.match(found.caa.detail, /Neither a\.test nor a domain above it has CAA records/)
    assert.deepEqual([found.certificates, found.limits, found.incomplete], [[], null, []])
  })

  it('judges CAA as issuance does', async () => {
    const { dns } = program
    dns.set('b.test', 'CAA', { tag: 'issue', value: 'other.example' })
    const refused = (await domain('sub.b.test')).caa
    assert.deepEqual([refused.allowed, refused.methods, refused.at, refused.records], [false, [], 'b.test', ['0 issue "other.example"']])
    assert.match(refused.detail, /is for another CA.*A record that would: b\.test CAA 0 issue "ca\.test"/)
    dns.set('c.test', 'CAA', { tag: 'issue', value: 'ca.test; validationmethods=dns-01,http-01' }, { tag: 'issuewild', value: ';' })
    const some = (await domain('c.test')).caa
    assert.deepEqual([some.allowed, some.methods.sort()], [true, ['dns-01', 'http-01']])
    assert.match(some.detail, /if it is validated by/)
    assert.equal((await domain('*.c.test')).caa.allowed, false)
    dns.set('d.test', 'CAA', { tag: 'issue', value: 'ca.test; accounturi=https://ca.test/acme/account/1' })
    const bound = (await domain('d.test')).caa
    assert.equal(bound.allowed, false)
    assert.match(bound.detail, /is for another account than that of whoever asks here, which is not known/)
    dns.misbehave('e.test', 'SERVFAIL', 'CAA')
    const failed = (await domain('e.test')).caa
    assert.equal(failed.allowed, false)
    assert.match(failed.detail, /SERVFAIL/)
  })

  it('says when a domain takes no mail', async () => {
    program.dns.set('nomail.test', 'MX', { preference: 0, exchange: '.' })
    assert.deepEqual((await domain('nomail.test')).mx, { null: true, hosts: [] })
  })

  it('reads a name as it is typed', async () => {
    const found = await domain(' Bücher.test ')
    assert.deepEqual([found.ascii, found.unicode, found.problem], ['xn--bcher-kva.test', 'bücher.test', null])
    const wild = await domain('*.w.test')
    assert.deepEqual([wild.ascii, wild.wildcard], ['w.test', true])
    assert.ok(!wild.suggestions.some((one: { name: string }) => one.name.startsWith('*')))
  })

  for (const [name, sentence] of [
    ['co.uk', /is the public suffix "co\.uk"/],
    ['*.co.uk', /would cover every name under the public suffix/],
    ['192.0.2.1', /is an IP address; this CA certifies domain names/],
    ['2001:db8::1', /is an IPv6 address/],
    ['localhost', /has a single label/],
    ['juliet@example.org', /give the domain after the "@"/],
    ['https://example.org/', /leave out scheme, port and path/],
    ['example.org.', /ends with a dot; leave it out/],
    ['exa_mple.org', /has an underscore/],
    ['x--y.-z.org', /hyphen/],
    ['ex ample.org', /has the character " "/],
    ['xn--zzzzzz.org', /not a valid internationalised label/],
    ['🦄\u200d.org', /./],
    ['', /is empty/],
    ['<script>alert(1)</script>.org', /not a bare name/],
    [`${'a.'.repeat(200)}org`, /longer than/],
  ] as const) {
    it(`says what is wrong with ${JSON.stringify(name.slice(0, 40))}, and asks nobody`, async () => {
      const found = await domain(name)
      assert.match(found.problem.detail, sentence)
      assert.deepEqual([found.ascii, found.srv, found.caa, program.dns.queries], [null, [], null, []])
    })
  }

  it('tells what the operator refuses, and goes on looking', async () => {
    const { store } = program.core
    const audit = { at: 1, actor: 'operator:test', action: 'policy.changed', subject: 'name:x', detail: {} }
    await store.putNameRule({ list: 'deny', name: '.denied.test', reason: 'court order', createdAt: 1 }, audit)
    // Policies are read once a second.
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    const found = await domain('x.denied.test')
    assert.equal(found.problem.code, 'rejectedIdentifier')
    assert.match(found.problem.detail, /This CA does not certify "x\.denied\.test" \(court order\)/)
    assert.equal(found.ascii, 'x.denied.test')
  })

  it('tells which limit would be met, and when there is room again; asking counts nothing', async () => {
    const { store, clock } = program.core
    for (let i = 0; i < 5; i++) assert.equal((await domain(`n${i}.limited.test`)).limits, null)
    const charge = { key: 'certificatesPerDomain:limited.test', count: 2, windowMs: 7 * 86_400_000, cost: 1 as const, keepMs: 0 }
    for (let i = 0; i < 2; i++) {
      const order = { ...emptyOrder(), id: `order${i}`, createdAt: clock.now() }
      await store.createAccount({ ...account, id: `a${i}`, thumbprint: `t${i}` }, audit)
      await store.createOrder({ ...order, accountId: `a${i}` }, [], audit, { charges: [charge] })
    }
    const { limits } = await domain('new.limited.test')
    assert.match(limits.detail, /Too many new certificates for the registered domain limited\.test: the limit is 2 in 7 days/)
    assert.ok(Date.parse(limits.retryAt) > clock.now())
  })

  it('lists the newest certificates', async () => {
    const { serial } = await issueDirectly(program.ca.ica, 'conference.had.test')
    assert.deepEqual(
      (await domain('had.test')).certificates.map((one: { serial: string }) => one.serial),
      [serial],
    )
  })

  it('gives what it has when a part of the DNS does not answer', async () => {
    program.dns.set('slow.test', 'MX', { preference: 1, exchange: 'mx.slow.test' })
    program.dns.misbehave('_xmpp-server._tcp.slow.test', 'silence')
    program.dns.misbehave('upload.slow.test', 'SERVFAIL')
    const found = await domain('slow.test')
    assert.deepEqual(found.mx.hosts, ['mx.slow.test'])
    assert.deepEqual(found.incomplete, ['The look-up of the SRV records of _xmpp-server._tcp.slow.test failed: timeout.'])
    assert.equal(found.suggestions.find((one: { name: string }) => one.name === 'upload.slow.test').resolves, null)
  })

  it('does not tell of addresses that only the resolver of the CA may know', async () => {
    const outside = await startProgram({ ICA_LAB: '0' })
    try {
      outside.dns.set('_xmpp-server._tcp.unreserved.org', 'SRV', { priority: 1, weight: 1, port: 5269, target: 'inside.unreserved.org' })
      outside.dns.set('inside.unreserved.org', 'A', '10.1.2.3', '9.9.9.9')
      const { json, text } = await outside.ask('/api/domain?name=unreserved.org')
      assert.deepEqual(json.srv[0].addresses, ['9.9.9.9'])
      assert.match(json.incomplete[0], /inside\.unreserved\.org has an address that is not a public one \(private\)/)
      assert.doesNotMatch(text, /10\.1\.2\.3/)
    } finally {
      await outside.close()
    }
  })

  it('is looked up once for many who ask at the same time', async () => {
    await Promise.all(Array.from({ length: 10 }, () => domain('once.test')))
    assert.equal(program.dns.queries.filter(({ name, type }) => name === 'once.test' && type === 'MX').length, 1)
  })
})

const audit = { at: 1, actor: 'system', action: 'test.done', subject: 'test:1', detail: {} }
const account = {
  jwk: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' },
  status: 'valid' as const,
  contact: [],
  termsAgreedAt: null,
  createdAt: 1,
  paused: null,
  externalAccount: null,
}
const emptyOrder = () => ({
  profile: 'xmpp-server',
  identifiers: [],
  notBefore: null,
  notAfter: null,
  createdAt: 1,
  expiresAt: 2,
  claimedAt: null,
  csr: null,
  certificateSerial: null,
  error: null,
  replaces: null,
  authorizations: [],
})
