import assert from 'node:assert/strict'
import { after, beforeEach, describe, it } from 'node:test'
import { createLookUp } from '../../src/validation/recursive.js'
import { type Misbehaviour, startDnsServer } from '../support/dns-server.js'

const dns = await startDnsServer(['test'])
after(() => dns.close())
beforeEach(() => dns.clear())
const { signal } = new AbortController()
const lookUp = createLookUp([dns.address], { firstTryMs: 2_000, tries: 1, totalMs: 5_000 })
const impatient = createLookUp([dns.address], { firstTryMs: 100, tries: 1, totalMs: 1_000 })

describe('records of recursive resolvers', () => {
  const name = 'a.test'

  it('come in any size, through aliases, by whatever case the name is asked in', async () => {
    const many = Array.from({ length: 50 }, (_, i) => `record ${i} ${'x'.repeat(150)}`)
    dns.set('alias.test', 'CNAME', 'b.test')
    dns.set('b.test', 'TXT', ...many, ['one', ' two'])
    const records = [...many, 'one two']
    assert.deepEqual(await lookUp('B.test', 'TXT', signal), { kind: 'records', records })
    assert.deepEqual(await lookUp('alias.test', 'TXT', signal), { kind: 'records', records })
    assert.ok(dns.queries.some(({ transport }) => transport === 'tcp'))
  })

  it('are none where there is no name, no such record, or an alias that leads nowhere', async () => {
    dns.set('b.a.test', 'A', '127.0.0.1')
    dns.set('lost.test', 'CNAME', 'nowhere.test')
    dns.set('loop.test', 'CNAME', 'loop.test')
    assert.deepEqual(await lookUp('b.a.test', 'CAA', signal), { kind: 'none', reason: 'NODATA' })
    assert.deepEqual(await lookUp('c.test', 'CAA', signal), { kind: 'none', reason: 'NXDOMAIN' })
    assert.deepEqual(await lookUp('lost.test', 'CAA', signal), { kind: 'none', reason: 'NXDOMAIN' })
    assert.equal((await lookUp('loop.test', 'CAA', signal)).kind, 'failure')
  })

  const failures: [how: Misbehaviour, reason: string][] = [
    ['SERVFAIL', 'SERVFAIL'],
    ['REFUSED', 'REFUSED'],
    ['FORMERR', 'FORMERR'],
    ['NOTIMP', 'NOTIMP'],
    ['silence', 'timeout'],
    ['truncate', 'malformed answer'],
    ['garbage', 'timeout'],
    ['wrongId', 'timeout'],
    ['wrongQuestion', 'timeout'],
  ]
  for (const [how, reason] of failures) {
    it(`are a failure (${reason}) after ${how}`, async () => {
      dns.set(name, 'TXT', 'text')
      dns.misbehave(name, how)
      const look = reason === 'timeout' ? impatient : lookUp
      assert.deepEqual(await look(name, 'TXT', signal), { kind: 'failure', reason })
    })
  }

  it('are asked of the next resolver where one fails, and of none after an abort', async () => {
    const other = await startDnsServer(['other'])
    try {
      dns.set(name, 'TXT', 'text')
      const both = createLookUp([other.address, dns.address], { firstTryMs: 2_000, tries: 1, totalMs: 5_000 })
      assert.deepEqual(await both(name, 'TXT', signal), { kind: 'records', records: ['text'] })
      assert.deepEqual(await both(name, 'TXT', AbortSignal.abort()), { kind: 'failure', reason: 'timeout' })
    } finally {
      await other.close()
    }
  })

  it('are asked again of who kept silent, and not of who answered', async () => {
    const [slow, refusing] = [await startDnsServer(['test']), await startDnsServer(['other'])]
    try {
      slow.set(name, 'TXT', 'late')
      slow.misbehave(name, 'silence')
      const asked = createLookUp([slow.address, refusing.address], { firstTryMs: 200, tries: 5, totalMs: 10_000 })(name, 'TXT', signal)
      while (slow.queries.length < 3) await new Promise((resolve) => setTimeout(resolve, 10))
      slow.misbehave(name, null)
      assert.deepEqual(await asked, { kind: 'records', records: ['late'] })
      assert.equal(refusing.queries.length, 1)
    } finally {
      await Promise.all([slow.close(), refusing.close()])
    }
  })
})
