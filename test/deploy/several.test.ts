/** `xmpp-ica deploy` for certificates and servers with several domains, and at several places. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, describe, it, test } from 'node:test'
import { deploy, type Plan } from '../../src/deploy/deploy.js'
import { domainsOf } from '../../src/deploy/domains.js'
import { lookAround, lookAt } from '../../src/deploy/look.js'
import { readMaterial } from '../../src/deploy/material.js'
import { faultOf, type Seen } from '../../src/deploy/served.js'
import { type ServerKit, serverKits } from '../../src/deploy/servers.js'
import { run } from '../support/program.js'
import { domain, openField, type Pair, type Server } from './field.js'

const conference = `conference.${domain}`
const { folder, issue, startServer, stop } = await openField()
after(stop)

type Choice = { domains?: string[]; ports?: number[]; reload?: readonly string[] }

const give = async (server: Server, pair: Pair, { domains = [domain], ports = [server.port], reload = server.reload.split(' ') }: Choice = {}) => {
  const places = ports.map((port) => ({ host: '127.0.0.1', port }))
  const plan: Plan = {
    kit: serverKits.get('prosody') as ServerKit,
    material: await readMaterial(pair),
    domains,
    roots: [],
    folder: server.dir,
    owner: String(process.getuid?.()),
    group: String(process.getgid?.()),
    reload,
    look: (one) => lookAt(places, one),
    everywhere: true,
    patienceMs: 500,
    force: false,
  }
  return deploy(plan, Date.now())
}
const crtOf = (server: Server, name: string): string => readFileSync(path.join(server.dir, `${name}.crt`), 'utf8')

describe('a server with a certificate for each of two domains', () => {
  it('gets the new one for the first; that the second shows another is said, with what to do', async () => {
    const server = await startServer('first-alone', { own: [conference] })
    const [fresh, before] = [await issue('first-alone', { domains: [domain, conference] }), crtOf(server, conference)]
    const outcome = await give(server, fresh)
    assert.ok(outcome.result === 'deployed', JSON.stringify(outcome))
    assert.deepEqual(
      outcome.files,
      [`${domain}.key`, `${domain}.crt`].map((name) => path.join(server.dir, name)),
    )
    assert.match(
      outcome.warnings.find((one) => one.includes(conference)) ?? '',
      /shows another one.*--domain example\.org --domain conference\.example\.org/,
    )
    assert.equal(crtOf(server, conference), before)
  })

  it('gets it for both by --domain, twice', async () => {
    const server = await startServer('both', { own: [conference] })
    const fresh = await issue('both', { domains: [domain, conference] })
    const at = ['--dir', server.dir, '--reload', server.reload, '--at', `127.0.0.1:${server.port}`, '--json']
    const { code, stdout, stderr } = await run(folder, [
      'deploy',
      'prosody',
      ...at,
      ...['--chain', fresh.chain, '--key', fresh.key, '--domain', domain, '--domain', conference],
    ])
    assert.equal(code, 0, stderr)
    const outcome = JSON.parse(stdout)
    assert.deepEqual([outcome.server, outcome.result, outcome.domains, outcome.files.length], ['prosody', 'deployed', [domain, conference], 4])
    assert.deepEqual(
      outcome.seen.map(({ place }: Seen) => place),
      [`127.0.0.1:${server.port}`, `127.0.0.1:${server.port}`],
    )
    for (const name of [domain, conference]) assert.equal(crtOf(server, name), fresh.chainText)
    assert.equal((await give(server, fresh, { domains: [domain, conference] })).result, 'unchanged')
  })

  it('has all files put back where one domain is not shown, which is named', async () => {
    const server = await startServer('half', { own: [conference] })
    const before = [domain, conference].map((name) => crtOf(server, name))
    const fresh = await issue('half', { domains: [domain, conference] })
    const outcome = await give(server, fresh, { domains: [domain, conference], reload: ['true'] })
    assert.ok(outcome.result === 'failed')
    assert.deepEqual([outcome.restored, outcome.lost], [true, []])
    assert.match(outcome.reason, /still shows another certificate at \S+ for example\.org$/)
    assert.deepEqual(
      [domain, conference].map((name) => crtOf(server, name)),
      before,
    )
  })

  it('is not given a certificate that lacks one of the domains', async () => {
    const server = await startServer('lacking', { own: [conference] })
    const outcome = await give(server, await issue('lacking'), { domains: [domain, conference] })
    assert.ok(outcome.result === 'refused')
    assert.match(outcome.faults[0] ?? '', /^For conference\.example\.org: /)
  })
})

describe('places that are asked for', () => {
  it('must each show the certificate', async () => {
    const server = await startServer('one-place')
    const bare = await startServer('bare-place', { fault: 'plain' })
    const before = crtOf(server, domain)
    const outcome = await give(server, await issue('one-place'), { ports: [server.port, bare.port] })
    assert.ok(outcome.result === 'failed' && outcome.restored)
    assert.match(outcome.reason, new RegExp(`shows no certificate: 127.0.0.1:${bare.port}: STARTTLS is not offered`))
    assert.equal(crtOf(server, domain), before)
  })

  it('are looked at once more when the old one is back: a server that keeps the new one is said', async () => {
    const server = await startServer('keeps')
    const bare = await startServer('keeps-bare', { fault: 'plain' })
    // Tells the server the first time only.
    const once = ['sh', '-c', `[ -e ${server.dir}/told ] || ${server.reload}; touch ${server.dir}/told`]
    const outcome = await give(server, await issue('keeps'), { ports: [server.port, bare.port], reload: once })
    assert.ok(outcome.result === 'failed' && outcome.restored)
    assert.match(outcome.reason, /after putting the old one back, the server goes on showing the new one at 127/)
  })

  it('need not show it for a component that they do not know, where another does', async () => {
    const server = await startServer('clients', { unknown: [conference] })
    const fresh = await issue('clients', { domains: [domain, conference] })
    const outcome = await give(server, fresh, { domains: [domain, conference] })
    assert.ok(outcome.result === 'failed', 'it is shown nowhere')
    assert.match(outcome.reason, /shows no certificate for conference\.example\.org: .*host-unknown/)
  })
})

describe('what was seen', () => {
  const shown = (place: string, sha256 = 'new'): Seen => ({ place, sha256 })
  const not = (place: string, kind: 'absent' | 'stranger' | 'bare'): Seen => ({ place, kind, problem: kind })
  const c2s = 'h:5222'
  const s2s = 'h:5269'
  const table: [what: string, seen: Seen[][], asked: RegExp | null, usual: RegExp | null][] = [
    ['all show it', [[shown(c2s), shown(s2s)]], null, null],
    ['one shows another', [[shown(c2s), shown(s2s, 'old')]], /another certificate at h:5269$/, /another certificate at h:5269$/],
    ['one is absent', [[shown(c2s), not(s2s, 'absent')]], /no certificate: h:5269: absent$/, null],
    ['one listens without TLS', [[shown(c2s), not(s2s, 'bare')]], /h:5269: bare$/, /h:5269: bare$/],
    ['all are absent', [[not(c2s, 'absent'), not(s2s, 'absent')]], /h:5222: absent; h:5269: absent$/, /h:5222: absent; h:5269: absent$/],
    ['one knows no such domain', [[not(c2s, 'stranger'), shown(s2s)]], /h:5222: stranger$/, null],
    [
      'a component is unknown to clients’ port',
      [
        [shown(c2s), shown(s2s)],
        [not(c2s, 'stranger'), shown(s2s)],
      ],
      null,
      null,
    ],
    [
      'the second domain shows another',
      [[shown(c2s)], [shown(c2s, 'old')]],
      /another certificate at h:5222 for 1\.test$/,
      /another certificate at h:5222 for 1\.test$/,
    ],
  ]
  for (const [what, seen, asked, usual] of table) {
    it(what, () => {
      const looks = seen.map((one, index) => ({ domain: `${index}.test`, seen: one }))
      for (const [everywhere, says] of [
        [true, asked],
        [false, usual],
      ] as const) {
        const fault = faultOf(looks, 'new', everywhere)
        if (says === null) assert.equal(fault, null)
        else assert.match(fault ?? '', says)
      }
    })
  }
})

describe('the domains of a certificate', () => {
  const table: [asked: string[] | undefined, called: string | null, names: string[], domains: string[] | RegExp][] = [
    [undefined, null, [domain, conference], [domain]],
    [undefined, conference, [domain, conference], [conference]],
    [[conference, domain, conference], domain, [domain], [conference, domain]],
    [['*.example.org'], null, [], [domain]],
    [undefined, null, ['*.example.org', domain], [domain]],
    [undefined, '*.example.org', ['*.example.org', 'example.net'], ['example.net']],
    [undefined, null, ['*.example.org'], /is for \*\.example\.org, and not for example\.org itself/],
    [undefined, null, [], /names no domain/],
    [['xn--bcher-kva.example'], null, [], ['xn--bcher-kva.example']],
  ]
  for (const [asked, called, names, expected] of table) {
    it(`asked for ${asked ?? 'none'}, called ${called ?? 'nothing'}, with ${names.join(' ') || 'no name'}`, () => {
      const get = () =>
        domainsOf(asked, called, {
          names: [{ form: 'SRVName', value: '_xmpp-server.x.test' }, ...names.map((value) => ({ form: 'dNSName' as const, value }))],
        })
      if (expected instanceof RegExp) assert.throws(get, expected)
      else assert.deepEqual(get(), expected)
    })
  }
})

test('without places: this machine where anything listens on it, else the domain’s own address', async () => {
  const here = await startServer('here')
  const bare = await startServer('here-bare', { fault: 'plain' })
  const there = await startServer('there', { host: '127.0.0.9' })
  const local = await lookAround(domain, [here.port, bare.port])
  assert.deepEqual(
    local.map((one) => [one.place, 'sha256' in one ? 'shown' : one.kind]),
    [
      [`localhost:${here.port}`, 'shown'],
      [`localhost:${bare.port}`, 'bare'],
    ],
  )
  const remote = await lookAround('127.0.0.9', [there.port])
  assert.deepEqual(
    remote.map((one) => [one.place, 'sha256' in one ? 'shown' : one.kind]),
    [
      [`localhost:${there.port}`, 'absent'],
      [`127.0.0.9:${there.port}`, 'shown'],
    ],
  )
})

test('a host without addresses is a place where nothing is seen', async () => {
  const [seen] = await lookAt([{ host: 'none.invalid', port: 5222 }], domain)
  assert.ok(seen && 'kind' in seen && seen.kind === 'absent')
})
