import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { startProgram, type TestProgram } from './fixture.js'

/** The zone's two servers; the program's own is the resolver. */
let one: DnsServer
let two: DnsServer
let program: TestProgram
before(async () => {
  one = await startDnsServer(['a.test'], { host: '127.0.0.2' })
  two = await startDnsServer(['a.test'], { host: '127.0.0.3', port: one.port })
  program = await startProgram({ ICA_DNS_PORT: String(one.port) })
})
after(async () => {
  await program.close()
  await Promise.all([one.close(), two.close()])
})

const name = '_acme-challenge.a.test'
beforeEach(() => {
  for (const server of [one, two, program.dns]) server.clear()
  program.dns.set('a.test', 'NS', 'ns1.a.test', 'ns2.a.test')
  program.dns.set('ns1.a.test', 'A', '127.0.0.2')
  program.dns.set('ns2.a.test', 'A', '127.0.0.3')
})

let round = 0
/** A value of its own for each question, because answers are remembered for a second. */
const value = () => `value-${round++}`
const look = async (expect: string, at = name) => {
  const { status, json, headers } = await program.ask(`/api/dns?name=${encodeURIComponent(at)}&expect=${encodeURIComponent(expect)}`)
  assert.equal(status, 200, JSON.stringify(json))
  assert.equal(headers.get('cache-control'), 'no-store')
  return json
}
const states = (json: { servers: { address: string; state: string }[] }) =>
  Object.fromEntries(json.servers.map(({ address, state }) => [address, state]))
const resolverAsked = () => program.dns.queries.some((query) => query.name === name)

describe('/api/dns', () => {
  it('shows what is still missing, and keeps it from the resolver', async () => {
    const expected = value()
    one.set(name, 'TXT', 'old', expected)
    const half = await look(expected)
    assert.deepEqual(states(half), { '127.0.0.2': 'right', '127.0.0.3': 'missing' })
    assert.deepEqual([half.zone, half.cname, half.complete, half.resolver.state], ['a.test', null, false, 'notAsked'])
    assert.deepEqual(half.servers[0].values, ['old', expected])
    assert.equal(half.servers[0].ttl, 0)
    assert.ok(!resolverAsked())
  })

  it('is complete when servers and resolver have it', async () => {
    const expected = value()
    for (const server of [one, two, program.dns]) server.set(name, 'TXT', expected)
    const { complete, resolver, servers } = await look(expected)
    assert.deepEqual([complete, resolver.state, resolver.values], [true, 'right', [expected]])
    assert.deepEqual(states({ servers }), { '127.0.0.2': 'right', '127.0.0.3': 'right' })
  })

  it('tells when the resolver still has an old answer', async () => {
    const expected = value()
    for (const server of [one, two]) server.set(name, 'TXT', expected)
    program.dns.set(name, 'TXT', 'old')
    const { complete, resolver } = await look(expected)
    assert.deepEqual([complete, resolver.state], [false, 'wrong'])
    assert.match(resolver.detail, /may remember an older answer/)
  })

  it('tells a wrong value from none, and a server that does not answer', async () => {
    const expected = value()
    one.set(name, 'TXT', `${expected} `)
    two.misbehave(name, 'REFUSED')
    const json = await look(expected)
    assert.deepEqual(states(json), { '127.0.0.2': 'wrong', '127.0.0.3': 'unreachable' })
    assert.match(json.servers[1].detail, /REFUSED/)
  })

  it('does not wait for a server that is gone for good', async () => {
    const expected = value()
    one.set(name, 'TXT', expected)
    program.dns.set(name, 'TXT', expected)
    two.misbehave(name, 'REFUSED')
    assert.equal((await look(expected)).complete, true)
  })

  it('follows an alias', async () => {
    const expected = value()
    for (const server of [one, two]) {
      server.set(name, 'CNAME', 'x.a.test')
      server.set('x.a.test', 'TXT', expected)
    }
    program.dns.set(name, 'CNAME', 'x.a.test')
    program.dns.set('x.a.test', 'TXT', expected)
    const { cname, complete } = await look(expected)
    assert.deepEqual([cname, complete], ['x.a.test', true])
  })

  it('asks the resolver in a laboratory without servers', async () => {
    const expected = value()
    program.dns.set('a.test', 'NS')
    program.dns.set(name, 'TXT', expected)
    const { problem, zone, servers, complete } = await look(expected)
    assert.match(problem, /No name servers were found/)
    assert.deepEqual([zone, servers, complete], [null, [], true])
  })

  it('knows every name at which challenges have records', async () => {
    for (const at of [
      '_validation-persist.a.test',
      '_acme-challenge._xmpp-server.a.test',
      '_ujmmovf2vn55tgye._acme-challenge.a.test',
      '_ACME-challenge.A.test',
    ]) {
      assert.equal((await look(value(), at)).name, at.toLowerCase())
    }
  })

  it('is no way to look up anything else, and bounded', async () => {
    for (const [at, sentence] of [
      ['a.test', /is not where a challenge has its record/],
      ['www.a.test', /is not where a challenge/],
      ['_acme-challenge.', /is not where a challenge/],
      ['_dmarc.a.test', /is not where a challenge/],
      ['_acme-challenge.192.0.2.1', /is an IP address/],
      ['_acme-challenge.co.uk', /public suffix/],
      ['_acme-challenge._sip.a.test', /underscore/],
      ['_acme-challenge.a.test\0', /character/],
      ['_acme-challenge.bücher.test', /order "xn--bcher-kva\.test" instead/],
      [`_acme-challenge.${'a.'.repeat(150)}test`, /longer/],
    ] as const) {
      const { status, json } = await program.ask(`/api/dns?name=${encodeURIComponent(at)}&expect=x`)
      assert.equal(status, 400, at)
      assert.match(json.detail, sentence, at)
    }
    for (const query of [`name=${name}`, `name=${name}&expect=`, `name=${name}&expect=${'x'.repeat(601)}`, 'expect=x']) {
      assert.equal((await program.ask(`/api/dns?${query}`)).status, 400, query)
    }
    assert.deepEqual(program.dns.queries, [])
  })

  it('does not connect to private addresses, but in a laboratory', async () => {
    const outside = await startProgram({ ICA_LAB: '0', ICA_DNS_PORT: String(one.port) })
    try {
      outside.dns.set('unreserved.org', 'NS', 'ns.unreserved.org')
      outside.dns.set('ns.unreserved.org', 'A', '127.0.0.2')
      outside.dns.set('_acme-challenge.unreserved.org', 'TXT', 'x')
      one.clear()
      const { json } = await outside.ask('/api/dns?name=_acme-challenge.unreserved.org&expect=x')
      assert.equal(json.servers[0].state, 'unreachable')
      assert.match(json.servers[0].detail, /is not a public one \(loopback\)/)
      // And what could not be seen is not asked of the resolver.
      assert.deepEqual([json.resolver.state, json.complete], ['notAsked', false])
      assert.deepEqual(one.queries, [])
    } finally {
      await outside.close()
    }
  })
})
