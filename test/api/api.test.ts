/** What holds for every resource of the public JSON: the document describes what is answered, bad questions are refused in words, nobody asks too often. */
import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { createMemo } from '../../src/api/memo.js'
import { createThrottle } from '../../src/api/throttle.js'
import { IcaError } from '../../src/errors.js'
import { issueDirectly } from '../support/issuing.js'
import { startProgram, type TestProgram } from './fixture.js'

let program: TestProgram
before(async () => {
  program = await startProgram({ ICA_LIMITS: 'off' })
})
after(() => program.close())

type Operation = {
  parameters: { name: string; in: string; required: boolean; schema: { examples?: string[] } }[]
  responses: Record<string, { $ref?: string; content?: Record<string, { schema: object }> }>
}

const document = async () => (await program.ask('/api/openapi.json')).json
const operations = async (): Promise<[path: string, operation: Operation][]> =>
  Object.entries((await document()).paths as Record<string, { get: Operation }>).map(([path, { get }]) => [path, get])

/** The schema with no member allowed that it does not name, but where it says itself that there may be others. */
const exactly = (schema: unknown): unknown => {
  if (Array.isArray(schema)) return schema.map(exactly)
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, exactly(value)]))
  return 'properties' in inner && !('additionalProperties' in inner) ? { ...inner, additionalProperties: false } : inner
}

const conforms = (schema: object, answer: unknown): void => {
  const read = z.fromJSONSchema(schema as never).safeParse(answer)
  assert.ok(read.success, read.success ? '' : JSON.stringify(read.error.issues))
}

describe('the OpenAPI document', () => {
  it('is one of OpenAPI 3.1, and names what is there', async () => {
    const { openapi, info, paths, servers } = await document()
    assert.equal(openapi, '3.1.0')
    assert.equal(info.version, program.ca.facts.version)
    assert.equal(servers[0].url, program.core.config.url)
    assert.deepEqual(Object.keys(paths).sort(), [
      '/api/ca',
      '/api/certificates',
      '/api/certificates/{serial}',
      '/api/check',
      '/api/dns',
      '/api/domain',
      '/api/openapi.json',
      '/api/statistics',
    ])
  })

  it('describes every answer exactly: nothing is missing, nothing is more than it says', async () => {
    const { serial } = await issueDirectly(program.ca.ica, 'a.test')
    program.dns.set('_xmpp-server._tcp.a.test', 'SRV', { priority: 5, weight: 1, port: 5269, target: 'xmpp.a.test' })
    program.dns.set('a.test', 'NS', 'ns.a.test')
    program.dns.set('ns.a.test', 'A', '127.0.0.1')
    program.dns.set('_acme-challenge.a.test', 'TXT', 'x')
    const targets: Record<string, string[]> = {
      '/api/ca': ['/api/ca'],
      '/api/certificates': ['/api/certificates?domain=a.test', '/api/certificates?domain=nothing.test'],
      '/api/certificates/{serial}': [`/api/certificates/${serial}`],
      '/api/check': ['/api/check?domain=a.test', '/api/check?domain=nothing.test'],
      '/api/dns': ['/api/dns?name=_acme-challenge.a.test&expect=x', '/api/dns?name=_acme-challenge.b.test&expect=x'],
      '/api/domain': ['/api/domain?name=a.test', '/api/domain?name=com', '/api/domain?name='],
      '/api/openapi.json': ['/api/openapi.json'],
      '/api/statistics': ['/api/statistics'],
    }
    const all = await operations()
    assert.deepEqual(Object.keys(targets).sort(), all.map(([path]) => path).sort())
    for (const [path, { responses }] of all) {
      for (const target of targets[path] ?? []) {
        const { status, json, text } = await program.ask(target)
        assert.equal(status, 200, `${target} ${text}`)
        const schema = responses[200]?.content?.['application/json']?.schema ?? {}
        conforms(exactly(schema) as object, json)
        // The check can fail.
        const [first] = Object.keys(json)
        assert.throws(() => conforms(schema, { ...json, [first as string]: Symbol('neither') }), target)
        if (!('additionalProperties' in schema)) assert.throws(() => conforms(exactly(schema) as object, { ...json, more: 1 }), target)
      }
    }
  })

  it('describes the problems, too', async () => {
    const { components } = await document()
    for (const target of ['/api/nothing', '/api/certificates/ffff', '/api/certificates', '/api/dns', '/api/statistics?x=1', '/api/ca?x']) {
      const { status, json, headers } = await program.ask(target)
      assert.ok(status === 400 || status === 404, target)
      assert.equal(headers.get('content-type'), 'application/problem+json')
      assert.equal(headers.get('cache-control'), 'no-store')
      assert.equal(headers.get('access-control-allow-origin'), '*')
      conforms(components.schemas.Problem, json)
      assert.equal(json.status, status)
      assert.match(json.detail, /^[A-Z"].*[.!?]$/)
    }
  })

  it('has an example for each parameter that must be given', async () => {
    for (const [path, { parameters }] of await operations()) {
      for (const { name, required, schema } of parameters) assert.ok(!required || schema.examples?.[0], `${path} ${name}`)
    }
  })
})

describe('methods and caches', () => {
  it('answers HEAD without a body, OPTIONS for other origins, and nothing else', async () => {
    const got = await program.ask('/api/ca')
    const head = await program.ask('/api/ca', { method: 'HEAD' })
    assert.equal(head.status, 200)
    assert.equal(head.text, '')
    assert.equal(head.headers.get('content-length'), String(Buffer.byteLength(got.text)))
    const preflight = await program.ask('/api/dns', { method: 'OPTIONS' })
    assert.equal(preflight.status, 204)
    assert.equal(preflight.headers.get('access-control-allow-methods'), 'GET, HEAD')
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      const refused = await program.ask('/api/ca', { method })
      assert.deepEqual([refused.status, refused.headers.get('allow')], [405, 'GET, HEAD, OPTIONS'])
      assert.match(refused.json.detail, /read only/)
    }
  })

  it('sends nothing again that has not changed', async () => {
    for (const target of ['/api/ca', '/api/openapi.json', '/api/statistics', '/api/certificates?domain=cached.test']) {
      const etag = (await program.ask(target)).headers.get('etag') as string
      assert.match(etag, /^"[\w-]{22}"$/)
      const again = await program.ask(target, { headers: { 'If-None-Match': `"other", W/${etag}` } })
      assert.deepEqual([again.status, again.text, again.headers.get('etag')], [304, '', etag])
      assert.equal((await program.ask(target, { headers: { 'If-None-Match': '"other"' } })).status, 200)
    }
  })
})

describe('questions of any kind', () => {
  /** As it stands, which fetch would put right. */
  const raw = (path: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(program.base)
      request({ hostname, port, path }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0))
      })
        .on('error', reject)
        .end()
    })

  it('are answered or refused, and never fail', async () => {
    const value = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.string({ maxLength: 50 }),
      fc.constantFrom(
        'a.test',
        '%',
        '__proto__',
        'constructor',
        '\0',
        '../../etc',
        "' OR 1=1 --",
        '*',
        '*.*',
        '１.test',
        '\ud800',
        'x'.repeat(2_000),
      ),
    )
    const name = fc.oneof(fc.constantFrom('domain', 'fingerprint', 'cursor', 'name', 'expect', '__proto__', 'toString'), value)
    const path = fc.oneof(
      fc.constantFrom('/api/certificates', '/api/statistics', '/api/domain', '/api/dns', '/api/ca', '/api/openapi.json', '/api/', '/api/constructor'),
      value.map(
        (text) =>
          `/api/certificates/${text
            .split('')
            .map((c) => `%${(c.charCodeAt(0) & 0xff).toString(16).padStart(2, '0')}`)
            .join('')}`,
      ),
    )
    const escaped = (text: string) =>
      Buffer.from(text)
        .toString('latin1')
        .replace(/[^\w.*-]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
    await fc.assert(
      fc.asyncProperty(path, fc.array(fc.tuple(name, value), { maxLength: 4 }), async (where, query) => {
        const status = await raw(`${where}?${query.map(([n, v]) => `${escaped(n)}=${escaped(v)}`).join('&')}`)
        assert.ok([200, 400, 404, 431].includes(status), String(status))
      }),
      { numRuns: 300 },
    )
    for (const path of [
      '/api/certificates/%',
      '/api/certificates/%zz',
      '/api/certificates?domain=%',
      '/api/certificates?%00',
      '/api/ca?',
      '/api/ca?&&=',
      `/api/ca?${'x'.repeat(9_000)}`,
    ]) {
      assert.ok([200, 400].includes(await raw(path)), path)
    }
  })
})

describe('the statistics', () => {
  it('are of this moment at first, and then for a minute as they were', async () => {
    const fresh = await startProgram()
    try {
      for (const name of ['s.test', 't.test']) await issueDirectly(fresh.ca.ica, name)
      const { json, headers } = await fresh.ask('/api/statistics')
      assert.equal(headers.get('cache-control'), 'public, max-age=60')
      assert.deepEqual(json.certificates, { issued: 2, valid: 2, revoked: 0, expired: 0 })
      assert.deepEqual([json.accounts, json.domains, json.perDay.length], [0, 2, 90])
      const today = new Date().toISOString().slice(0, 10)
      assert.deepEqual(
        json.perDay.filter(({ day, issued }: { day: string; issued: number }) => day === today || issued > 0),
        [{ day: today, issued: 2, revoked: 0 }],
      )
      await issueDirectly(fresh.ca.ica, 'u.test')
      assert.equal((await fresh.ask('/api/statistics')).json.certificates.issued, 2)
    } finally {
      await fresh.close()
    }
  })
})

describe('rate limits', () => {
  it('refuse one address, tell it when to come back, and let the next one through', async () => {
    const clock = { at: Date.now(), now: () => clock.at }
    const fresh = await startProgram({ ICA_TRUST_PROXY: '127.0.0.0/8, ::1' }, clock)
    const from = (address: string) => fresh.ask('/api/certificates?domain=a.test', { headers: { 'X-Forwarded-For': address } })
    try {
      for (let i = 0; i < 300; i++) assert.equal((await from('2001:db8:1:2::1')).status, 200)
      const refused = await from('2001:db8:1:2::1')
      assert.equal(refused.status, 429)
      assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
      assert.match(
        refused.json.detail,
        /^Too many questions from your address: the limit is 300 in 60 seconds, and it is reached\. The next one is possible at \S+ \S+ UTC, in 1 second\.$/,
      )
      // The same subscriber; another one; and one that claims to be another.
      assert.equal((await from('2001:db8:1:2:ffff::9')).status, 429)
      assert.equal((await from('2001:db8:1:3::1')).status, 200)
      assert.equal((await from('192.0.2.1, 2001:db8:1:2::1')).status, 429)
      clock.at += Number(refused.headers.get('retry-after')) * 1000
      assert.equal((await from('2001:db8:1:2::1')).status, 200)
      // What costs nothing is always there.
      assert.equal((await fresh.ask('/api/ca', { headers: { 'X-Forwarded-For': '2001:db8:1:2::1' } })).status, 200)
    } finally {
      await fresh.close()
    }
  })

  it('are worked off with time, each weight for itself, in bounded memory', () => {
    const throttle = createThrottle({ light: { count: 3, windowMs: 3_000 }, heavy: { count: 1, windowMs: 10_000 }, probe: null }, 10)
    const allowed = (weight: 'free' | 'light' | 'heavy', address: string, at: number) => {
      try {
        throttle.count(weight, address, at)
        return true
      } catch (error) {
        assert.ok(error instanceof IcaError && error.code === 'rateLimited' && (error.retryAfter ?? 0) > 0)
        return false
      }
    }
    assert.deepEqual(
      [0, 0, 0, 0, 999, 1_000, 1_000, 9_000].map((at) => allowed('light', '192.0.2.1', at)),
      [true, true, true, false, false, true, false, true],
    )
    assert.deepEqual([allowed('heavy', '192.0.2.1', 0), allowed('heavy', '192.0.2.1', 0), allowed('free', '192.0.2.1', 0)], [true, false, true])
    for (let i = 0; i < 1_000; i++) allowed('light', `198.51.${i >> 8}.${i & 255}`, 0)
    assert.equal(throttle.size(), 10)
  })

  it('let at most so many look-ups happen at a time', async () => {
    // Sixteen are worked at; nobody else waits in a queue.
    for (let i = 0; i < 20; i++) program.dns.misbehave(`slow${i}.test`, 'silence')
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => program.ask(`/api/domain?name=slow${i}.test`)))
    const refused = answers.filter(({ status }) => status === 503)
    assert.equal(refused.length, 4)
    assert.equal(refused[0]?.headers.get('retry-after'), '3')
    assert.equal((await program.ask('/api/domain?name=a.test')).status, 200)
  })
})

describe('what is remembered', () => {
  it('is made once, forgotten in time, bounded, and never a failure', async () => {
    const clock = { at: 0, now: () => clock.at }
    const memo = createMemo<number>(clock, 100, 2)
    let made = 0
    const make = async () => ++made
    assert.deepEqual(await Promise.all([memo('a', make), memo('a', make)]), [1, 1])
    clock.at = 99
    assert.equal(await memo('a', make), 1)
    clock.at = 100
    assert.equal(await memo('a', make), 2)
    await assert.rejects(memo('b', () => Promise.reject(new Error('no'))))
    assert.equal(await memo('b', make), 3)
    await memo('c', make)
    await memo('d', make)
    assert.equal(await memo('a', make), 6)
  })

  it('does not stay in memory when its time is over', async () => {
    const clock = { at: 0, now: () => clock.at }
    const memo = createMemo<string>(clock, 100, 1_000)
    for (let i = 0; i < 500; i++) await memo(`key ${i}`, async () => 'x'.repeat(1_000))
    assert.equal(memo.size(), 500)
    clock.at = 100
    await memo('one more', async () => 'y')
    assert.equal(memo.size(), 1)
  })
})
