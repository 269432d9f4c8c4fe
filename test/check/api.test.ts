/** `GET /api/check` through the whole program. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startProgram, type TestProgram } from '../api/fixture.js'
import { identity, urlsAt } from './pki.js'
import { startServer, type TestServer } from './server.js'

let program: TestProgram
let server: TestServer

before(async () => {
  program = await startProgram()
  server = await startServer({ identity: await identity('example.test', urlsAt('http://status.test:1')) })
  program.dns.set('xmpp.example.test', 'A', '127.0.0.1')
  program.dns.set('_xmpp-server._tcp.example.test', 'SRV', { priority: 0, weight: 0, port: server.port, target: 'xmpp.example.test' })
})
after(async () => {
  await server.close()
  await program.close()
})

test('a report, which is remembered', async () => {
  const first = await program.ask('/api/check?domain=Example.test')
  assert.equal(first.status, 200, first.text)
  assert.equal(first.json.domain, 'example.test')
  assert.equal(first.json.verdict, 'failing')
  assert.ok(
    first.json.findings.some(({ id }: { id: string }) => id === 'root-unknown' || id === 'chain-incomplete'),
    first.text,
  )
  assert.equal(first.json.endpoints[0].reached, true)
  assert.equal(first.json.certificates[0].judgements.length, 3)
  const asked = program.dns.queries.length
  assert.deepEqual((await program.ask('/api/check?domain=example.test')).json, first.json)
  assert.equal(program.dns.queries.length, asked)
})

test('what is no domain is refused, and the document knows the resource', async () => {
  for (const domain of ['', '*.example.test', '127.0.0.1', 'a..b']) {
    const { status, json } = await program.ask(`/api/check?domain=${encodeURIComponent(domain)}`)
    assert.equal(status, 400, domain)
    assert.ok(json.detail.length > 20)
  }
  const { json } = await program.ask('/api/openapi.json')
  assert.ok(json.paths['/api/check'].get)
})

test('an address that asks too often has to wait', async () => {
  const answers = await Promise.all(Array.from({ length: 12 }, () => program.ask('/api/check?domain=example.test')))
  const refused = answers.find(({ status }) => status === 429)
  assert.ok(refused)
  assert.ok(Number(refused.headers.get('retry-after')) > 60)
})
