/** What the authoritative servers of a zone answer, asked one by one; and that the resolver is never asked for what may not be there yet. */
import assert from 'node:assert/strict'
import { after, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { lookAtServers, type ServerLook } from '../../src/validation/authoritative.js'
import { createAskServer } from '../../src/validation/dns-ask.js'
import { encodeQuestion, readAnswer } from '../../src/validation/dns-message.js'
import { createResolver } from '../../src/validation/resolver.js'
import { startDnsServer } from '../support/dns-server.js'

/** Two servers of a.test at 127.0.0.2 and .3, one of other.test at .4, all with one port; and what a resolver knows. */
const one = await startDnsServer(['a.test'], { host: '127.0.0.2' })
const two = await startDnsServer(['a.test'], { host: '127.0.0.3', port: one.port })
const other = await startDnsServer(['other.test', 'down.a.test'], { host: '127.0.0.4', port: one.port })
const recursive = await startDnsServer(['test'])
const all = [one, two, other, recursive]
after(() => Promise.all(all.map((server) => server.close())))

const resolver = createResolver([recursive.address], { firstTryMs: 2_000, tries: 2, totalMs: 10_000 })
const { signal } = new AbortController()
const look = (name: string, more: { lab?: boolean; totalMs?: number; tryMs?: number } = {}) => {
  const ask = createAskServer({ port: one.port, tryMs: more.tryMs ?? 5_000 })
  return lookAtServers({ resolver, ask, lab: more.lab ?? true, totalMs: more.totalMs ?? 20_000 }, name, signal)
}
const name = '_acme-challenge.a.test'
const shown = (servers: ServerLook[]) => Object.fromEntries(servers.map(({ address, answer }) => [address, answer]))

beforeEach(() => {
  for (const server of all) server.clear()
  recursive.set('a.test', 'NS', 'ns1.a.test', 'NS2.A.test')
  recursive.set('ns1.a.test', 'A', '127.0.0.2')
  recursive.set('ns2.a.test', 'A', '127.0.0.3')
  recursive.set('other.test', 'NS', 'ns.other.test')
  recursive.set('ns.other.test', 'A', '127.0.0.4')
})

describe('each server of the zone', () => {
  it('says what it has, and nothing is asked of the resolver that it could remember', async () => {
    one.set(name, 'TXT', 'right', ['in ', 'parts'])
    const found = await look(name)
    assert.deepEqual({ alias: found.alias, zone: found.zone, problem: found.problem }, { alias: null, zone: 'a.test', problem: null })
    assert.deepEqual(shown(found.servers), {
      '127.0.0.2': { kind: 'records', values: ['right', 'in parts'], ttl: 0 },
      '127.0.0.3': { kind: 'none', reason: 'NXDOMAIN' },
    })
    assert.ok(recursive.queries.length > 0)
    assert.deepEqual(
      recursive.queries.filter((query) => query.name.startsWith('_')),
      [],
    )
  })

  it('tells no records of this type from no name', async () => {
    one.set(`below.${name}`, 'TXT', 'x')
    assert.deepEqual(shown((await look(name)).servers)['127.0.0.2'], { kind: 'none', reason: 'NODATA' })
  })

  it('is asked again by TCP where the answer is long', async () => {
    const many = Array.from({ length: 150 }, (_, i) => `record ${i} ${'x'.repeat(200)}`)
    one.set(name, 'TXT', ...many)
    const answer = shown((await look(name)).servers)['127.0.0.2']
    assert.ok(answer?.kind === 'records')
    assert.deepEqual(answer.values, many)
    assert.deepEqual([...new Set(one.queries.map(({ transport }) => transport))], ['udp', 'tcp'])
  })

  for (const how of ['SERVFAIL', 'REFUSED', 'FORMERR', 'NOTIMP', 'garbage'] as const) {
    it(`fails alone: ${how}`, async () => {
      one.misbehave(name, how)
      two.set(name, 'TXT', 'right')
      const { servers } = await look(name)
      assert.equal(shown(servers)['127.0.0.2']?.kind, 'failure')
      assert.equal(shown(servers)['127.0.0.3']?.kind, 'records')
    })
  }

  for (const how of ['silence', 'wrongId', 'wrongQuestion'] as const) {
    it(`is given up when its time is over: ${how}`, async () => {
      one.misbehave(name, how)
      two.set(name, 'TXT', 'right')
      assert.deepEqual(shown((await look(name, { tryMs: 200 })).servers), {
        '127.0.0.2': { kind: 'failure', reason: 'timeout' },
        '127.0.0.3': { kind: 'records', values: ['right'], ttl: 0 },
      })
    })
  }

  it('is given up when the time of all is over', async () => {
    one.misbehave(name, 'silence')
    assert.deepEqual(shown((await look(name, { totalMs: 300 })).servers)['127.0.0.2'], { kind: 'failure', reason: 'timeout' })
  })

  it('is not asked at an address that is not public, but in a laboratory', async () => {
    const { servers } = await look(name, { lab: false })
    assert.ok(
      servers.every(({ address, answer }) => address === null && answer.kind === 'failure' && /not a public one \(loopback\)/.test(answer.reason)),
    )
    assert.deepEqual([...one.queries, ...two.queries], [])
  })

  it('may have no address, or nobody listening', async () => {
    recursive.set('ns1.a.test', 'A')
    recursive.set('ns2.a.test', 'A', '127.0.0.99')
    const { servers } = await look(name, { tryMs: 200 })
    assert.deepEqual(
      servers.map(({ server, address, answer }) => [server, address, answer.kind]),
      [
        ['ns1.a.test', null, 'failure'],
        ['ns2.a.test', '127.0.0.99', 'failure'],
      ],
    )
  })
})

describe('the way to the servers', () => {
  it('follows an alias into another zone', async () => {
    for (const server of [one, two]) server.set(name, 'CNAME', 'X.other.test')
    other.set('x.other.test', 'TXT', 'there')
    const found = await look(name)
    assert.deepEqual([found.alias, found.zone], ['x.other.test', 'other.test'])
    assert.deepEqual(shown(found.servers), { '127.0.0.4': { kind: 'records', values: ['there'], ttl: 0 } })
  })

  it('follows an alias within the zone', async () => {
    for (const server of [one, two]) {
      server.set(name, 'CNAME', 'x.a.test')
      server.set('x.a.test', 'TXT', 'here')
    }
    const found = await look(name)
    assert.deepEqual([found.alias, found.zone, found.servers.length], ['x.a.test', 'a.test', 2])
  })

  it('follows a delegation, with and without glue', async () => {
    const below = '_acme-challenge.down.a.test'
    other.set(below, 'TXT', 'down')
    for (const server of [one, two]) server.delegate('down.a.test', { name: 'ns.down.a.test', address: '127.0.0.4' })
    const glued = await look(below)
    assert.deepEqual([glued.zone, shown(glued.servers)], ['down.a.test', { '127.0.0.4': { kind: 'records', values: ['down'], ttl: 0 } }])
    for (const server of [one, two]) server.delegate('down.a.test', { name: 'ns.other.test' })
    assert.equal((await look(below)).servers[0]?.answer.kind, 'records')
  })

  it('ends where aliases go round', async () => {
    for (const server of [one, two]) server.set(name, 'CNAME', 'x.other.test')
    other.set('x.other.test', 'CNAME', name)
    assert.match((await look(name)).problem ?? '', /do not end/)
  })

  it('says that there are no name servers, or that they could not be looked up', async () => {
    assert.match((await look('_acme-challenge.nobody.test')).problem ?? '', /No name servers were found/)
    recursive.misbehave('broken.test', 'SERVFAIL')
    assert.match((await look('_acme-challenge.broken.test', { lab: false })).problem ?? '', /broken\.test failed: SERVFAIL/)
  })

  it('never goes above what can be registered', async () => {
    recursive.set('test', 'NS', 'ns.registry.test')
    assert.match((await look('_acme-challenge.nobody.test', { lab: false })).problem ?? '', /No name servers were found for nobody\.test/)
  })
})

describe('messages', () => {
  it('of any octets are refused or read, and reading ends', () => {
    const question = encodeQuestion(7, name, 'TXT')
    const head = Buffer.from(question.subarray(0, question.length - 11))
    head[2] = 0x84
    head.writeUInt16BE(3, 6)
    head.writeUInt16BE(0, 10)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
        for (const message of [Buffer.concat([head, octets]), Buffer.from(octets)]) {
          try {
            readAnswer(message, 7, name, 'TXT')
          } catch (error) {
            assert.ok(error instanceof RangeError, String(error))
          }
        }
      }),
      { numRuns: 5_000 },
    )
  })

  it('with pointers that go in circles are refused', () => {
    const question = encodeQuestion(7, name, 'TXT')
    const head = Buffer.from(question.subarray(0, question.length - 11))
    head[2] = 0x84
    head.writeUInt16BE(1, 6)
    head.writeUInt16BE(0, 10)
    const self = Buffer.from([0xc0, head.length, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0])
    assert.throws(() => readAnswer(Buffer.concat([head, self]), 7, name, 'TXT'), RangeError)
  })

  /** An answer of NS records whose names all lead to one of `length` octets. */
  const saying = (records: number, length: number): Buffer => {
    const question = encodeQuestion(7, name, 'TXT')
    const head = Buffer.from(question.subarray(0, question.length - 11))
    head[2] = 0x84
    head.writeUInt16BE(records, 6)
    head.writeUInt16BE(0, 10)
    const long = Buffer.concat([...Array.from({ length: (length - 1) / 2 }, () => Buffer.from([1, 0x20])), Buffer.of(0)])
    const to = Buffer.from([0xc0 | (head.length >> 8), head.length & 0xff])
    const rest = Buffer.concat([Buffer.from([0, 2, 0, 1, 0, 0, 0, 0, 0, 2]), to])
    return Buffer.concat([head, long, rest, ...Array.from({ length: records - 1 }, () => Buffer.concat([to, rest]))])
  }

  it('that are small do not cost much: neither by many records nor by long names said again and again', () => {
    assert.equal(readAnswer(saying(90, 253), 7, name, 'TXT')?.answers.at(-1)?.data?.length, 126 * 5 - 1)
    assert.throws(() => readAnswer(saying(290, 253), 7, name, 'TXT'), RangeError)
    assert.equal(readAnswer(saying(290, 3), 7, name, 'TXT')?.answers.length, 290)
    assert.throws(() => readAnswer(saying(310, 3), 7, name, 'TXT'), RangeError)
  })

  it('keep what a label has apart from what parts labels', () => {
    const question = encodeQuestion(7, name, 'TXT')
    const head = Buffer.from(question.subarray(0, question.length - 11))
    head[2] = 0x84
    head.writeUInt16BE(1, 6)
    head.writeUInt16BE(0, 10)
    const label = Buffer.from('A.b\\c\0\xff ', 'latin1')
    const record = Buffer.concat([Buffer.of(label.length), label, Buffer.of(0), Buffer.from([0, 16, 0, 1, 0, 0, 0, 0, 0, 0])])
    assert.equal(readAnswer(Buffer.concat([head, record]), 7, name, 'TXT')?.answers[0]?.name, 'a\\.b\\\\c\\000\\255\\032')
  })
})

describe('names that strangers choose', () => {
  it('never make the resolver look for a zone at a hundred places', async () => {
    for (const server of [one, two]) server.set(name, 'CNAME', `${'a.'.repeat(100)}victim.test`)
    assert.match((await look(name)).problem ?? '', /more labels than/)
    assert.deepEqual(
      recursive.queries.filter((query) => query.name.endsWith('victim.test')),
      [],
    )
  })
})
