import assert from 'node:assert/strict'
import { after, beforeEach, describe, it } from 'node:test'
import { createResolver } from '../../src/validation/resolver.js'
import { type Misbehaviour, startDnsServer } from '../support/dns-server.js'

const dns = await startDnsServer(['test'])
after(() => dns.close())
beforeEach(() => dns.clear())
/** Waits long enough on the busiest machine; `impatient` is for servers that never answer. */
const resolver = createResolver([dns.address], { firstTryMs: 2_000, tries: 2, totalMs: 10_000 })
const impatient = createResolver([dns.address], { firstTryMs: 50, tries: 2, totalMs: 1_000 })
const { signal } = new AbortController()
const records = <T>(...list: T[]) => ({ kind: 'records', records: list })

describe('TXT', () => {
  it('puts the strings of a record together, and keeps records apart', async () => {
    dns.set('a.test', 'TXT', ['one', ' ', 'two'], 'three', Buffer.from([0xff]))
    assert.deepEqual(await resolver.txt('a.test', signal), records('one two', 'three', '\xff'))
  })

  it('follows aliases', async () => {
    dns.set('_acme-challenge.a.test', 'CNAME', 'alias.b.test')
    dns.set('alias.b.test', 'CNAME', 'c.test')
    dns.set('c.test', 'TXT', 'found')
    assert.deepEqual(await resolver.txt('_acme-challenge.a.test', signal), records('found'))
  })

  it('tells a name without records from no name', async () => {
    dns.set('b.a.test', 'A', '127.0.0.1')
    dns.set('alias.test', 'CNAME', 'b.a.test')
    dns.set('lost.test', 'CNAME', 'nowhere.test')
    assert.deepEqual(await resolver.txt('b.a.test', signal), { kind: 'none', reason: 'NODATA' })
    assert.deepEqual(await resolver.txt('a.test', signal), { kind: 'none', reason: 'NODATA' })
    assert.deepEqual(await resolver.txt('alias.test', signal), { kind: 'none', reason: 'NODATA' })
    assert.deepEqual(await resolver.txt('c.test', signal), { kind: 'none', reason: 'NXDOMAIN' })
    assert.deepEqual(await resolver.txt('lost.test', signal), { kind: 'none', reason: 'NXDOMAIN' })
  })

  it('asks by TCP what does not fit a datagram', async () => {
    const many = Array.from({ length: 300 }, (_, i) => `record ${i} ${'x'.repeat(150)}`)
    dns.set('a.test', 'TXT', ...many)
    assert.deepEqual(await resolver.txt('a.test', signal), records(...many))
    assert.deepEqual([...new Set(dns.queries.map((q) => q.transport))], ['udp', 'tcp'])
  })

  it('remembers nothing', async () => {
    dns.set('a.test', 'TXT', 'old')
    await resolver.txt('a.test', signal)
    dns.set('a.test', 'TXT', 'new')
    assert.deepEqual(await resolver.txt('a.test', signal), records('new'))
  })
})

describe('failures are never permission', () => {
  const table: [how: Misbehaviour, reason: string][] = [
    ['SERVFAIL', 'SERVFAIL'],
    ['REFUSED', 'REFUSED'],
    ['FORMERR', 'FORMERR'],
    ['NOTIMP', 'NOTIMP'],
    ['silence', 'timeout'],
    ['wrongId', 'timeout'],
    ['wrongQuestion', 'timeout'],
    ['garbage', 'malformed answer'],
  ]
  for (const [how, reason] of table) {
    it(how, async () => {
      dns.set('a.test', 'TXT', 'right')
      dns.misbehave('a.test', how)
      const answer = await (reason === 'timeout' ? impatient : resolver).txt('a.test', signal)
      assert.equal(answer.kind, 'failure', JSON.stringify(answer))
      assert.deepEqual(answer, { kind: 'failure', reason })
    })
  }

  it('a name outside of every zone', async () => {
    assert.deepEqual(await resolver.txt('a.example', signal), { kind: 'failure', reason: 'REFUSED' })
  })

  it('no server', async () => {
    const nobody = createResolver(['127.0.0.1:9'], { firstTryMs: 100, tries: 1, totalMs: 1_000 })
    assert.equal((await nobody.txt('a.test', signal)).kind, 'failure')
  })

  it('is bounded in time, whatever the number of tries', async () => {
    dns.misbehave('a.test', 'silence')
    const patient = createResolver([dns.address], { firstTryMs: 10_000, tries: 10, totalMs: 150 })
    const begun = performance.now()
    assert.deepEqual(await patient.addresses('a.test', signal), { kind: 'failure', reason: 'timeout' })
    assert.ok(performance.now() - begun < 5_000)
  })

  it('can be aborted, before and while', async () => {
    dns.misbehave('a.test', 'silence')
    const patient = createResolver([dns.address], { firstTryMs: 10_000, tries: 1, totalMs: 10_000 })
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 50)
    const begun = performance.now()
    assert.deepEqual(await patient.txt('a.test', controller.signal), { kind: 'failure', reason: 'timeout' })
    assert.deepEqual(await patient.txt('a.test', controller.signal), { kind: 'failure', reason: 'timeout' })
    assert.ok(performance.now() - begun < 5_000)
    assert.equal(dns.queries.length, 1)
  })

  it('refuses a server that is not an address', () => {
    assert.throws(() => createResolver(['dns.example:53']))
  })
})

describe('addresses', () => {
  it('are IPv6 first', async () => {
    dns.set('a.test', 'A', '192.0.2.1', '192.0.2.2')
    dns.set('a.test', 'AAAA', '2001:db8::1')
    assert.deepEqual(await resolver.addresses('a.test', signal), records('2001:db8::1', '192.0.2.1', '192.0.2.2'))
  })

  it('are enough in one family, whatever happens to the other', async () => {
    dns.set('a.test', 'A', '192.0.2.1')
    for (const [how, by] of [
      ['SERVFAIL', resolver],
      ['silence', createResolver([dns.address], { firstTryMs: 500, tries: 1, totalMs: 1_000 })],
      [null, resolver],
    ] as const) {
      dns.misbehave('a.test', how, 'AAAA')
      assert.deepEqual(await by.addresses('a.test', signal), records('192.0.2.1'))
    }
  })

  it('are absent only if both families say so', async () => {
    assert.deepEqual(await resolver.addresses('a.test', signal), { kind: 'none', reason: 'NXDOMAIN' })
    dns.set('a.test', 'TXT', 'x')
    assert.deepEqual(await resolver.addresses('a.test', signal), { kind: 'none', reason: 'NODATA' })
    for (const type of ['A', 'AAAA'] as const) {
      dns.misbehave('a.test', 'SERVFAIL', type)
      assert.deepEqual(await resolver.addresses('a.test', signal), { kind: 'failure', reason: 'SERVFAIL' })
      dns.misbehave('a.test', null, type)
    }
  })
})

describe('CAA', () => {
  it('keeps repeated and unknown tags, and only the critical bit of the flags', async () => {
    dns.set(
      'a.test',
      'CAA',
      { tag: 'issue', value: 'ca.test; a=b' },
      { tag: 'Issue', value: 'other.test' },
      { flags: 127, tag: 'iodef', value: 'mailto:a@a.test' },
      { flags: 129, tag: 'tbs', value: 'Unknown' },
    )
    assert.deepEqual(
      await resolver.caa('a.test', signal),
      records(
        { critical: false, tag: 'issue', value: 'ca.test; a=b' },
        { critical: false, tag: 'issue', value: 'other.test' },
        { critical: false, tag: 'iodef', value: 'mailto:a@a.test' },
        { critical: true, tag: 'tbs', value: 'Unknown' },
      ),
    )
  })

  it('reads any tag and any value, empty ones too', async () => {
    dns.set(
      'a.test',
      'CAA',
      { flags: 128, tag: '__proto__', value: 'x' },
      { tag: 'critical', value: '' },
      { flags: 128, tag: 'a b', value: ' \n\t"\0"' },
    )
    assert.deepEqual(
      await resolver.caa('a.test', signal),
      records(
        { critical: true, tag: '__proto__', value: 'x' },
        { critical: false, tag: 'critical', value: '' },
        { critical: true, tag: 'a\\032b', value: ' \n\t"\0"' },
      ),
    )
  })

  it('asks by TCP what does not fit a datagram', async () => {
    const many = Array.from({ length: 100 }, (_, i) => ({ tag: 'issue', value: `ca${i}.test; policy=${'x'.repeat(100)}` }))
    dns.set('a.test', 'CAA', ...many)
    assert.deepEqual(await resolver.caa('a.test', signal), records(...many.map((record) => ({ critical: false, ...record }))))
  })

  it('follows aliases', async () => {
    dns.set('a.test', 'CNAME', 'b.test')
    dns.set('b.test', 'CAA', { tag: 'issue', value: ';' })
    assert.deepEqual(await resolver.caa('a.test', signal), records({ critical: false, tag: 'issue', value: ';' }))
  })

  it('fails where a tag is empty, or where nothing answers', async () => {
    dns.set('a.test', 'CAA', { tag: '', value: 'x' }, { tag: 'issue', value: 'ca.test' })
    assert.deepEqual(await resolver.caa('a.test', signal), { kind: 'failure', reason: 'malformed answer' })
    dns.misbehave('a.test', 'silence')
    assert.deepEqual(await impatient.caa('a.test', signal), { kind: 'failure', reason: 'timeout' })
    assert.equal(dns.queries.length, 1 + 4, 'two tries, in each the question twice')
  })
})
