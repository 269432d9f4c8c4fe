/** `xmpp-ica check` as an operator runs it. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import type { Report } from '../../src/check/report.js'
import { pemEncode } from '../../src/pki/pem.js'
import { ecKey } from '../pki/fixtures.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { newFolder, run } from '../support/program.js'
import { commonNameOnly, day, identity, keyPem, pem, rootDer, silent, urlsAt } from './pki.js'
import { startServer, type TestServer } from './server.js'

const { folder, remove } = newFolder()
const now = Date.now()
const today = { notBefore: now - day / 24, notAfter: now + 90 * day, ...silent }
let dns: DnsServer
let server: TestServer

const file = (name: string, content: string): string => {
  writeFileSync(path.join(folder, name), content)
  return name
}

before(async () => {
  dns = await startDnsServer()
  const made = await identity('example.test', urlsAt('http://status.test'), today)
  server = await startServer({ identity: made })
  dns.set('xmpp.example.test', 'A', '127.0.0.1')
  dns.set('_xmpp-server._tcp.example.test', 'SRV', { priority: 0, weight: 0, port: server.port, target: 'xmpp.example.test' })
  file('root.pem', pemEncode('CERTIFICATE', rootDer))
  file('good.pem', pem(made.chain))
  file('good.key', made.key)
  file('other.key', keyPem(ecKey()))
  file('no-client.pem', pem((await identity('example.test', urlsAt('http://status.test'), { ...today, purposes: ['serverAuth'] })).chain))
})
after(async () => {
  await server.close()
  await dns.close()
  remove()
})

test('a server that is well: exit code 0, JSON or text', async () => {
  const args = ['check', 'Example.TEST', '--only', 's2s', '--root', 'root.pem', '--dns', dns.address]
  const text = await run(folder, args)
  assert.equal(text.code, 0, text.stdout + text.stderr)
  assert.match(text.stdout, /ok.*The chain leads to the root of this CA/)
  assert.match(text.stdout, /yes\s+ejabberd\s+ejabberd accepts it by the dNSName/)
  assert.ok(!text.stdout.includes('\x1b'))
  const json = await run(folder, [...args, '--json'])
  const report: Report = JSON.parse(json.stdout)
  assert.equal(report.verdict, 'good')
  assert.equal(report.domain, 'example.test')
  assert.equal(report.certificates[0]?.trust, 'own')
})

test('without the root: exit code 2, and nothing of a CA is touched or made', async () => {
  const { code, stdout } = await run(folder, ['check', 'example.test', '--only', 's2s', '--dns', dns.address])
  assert.equal(code, 2)
  assert.match(stdout, /root-unknown/)
})

test('a file is judged before it is installed', async () => {
  const judge = (...args: string[]) => run(folder, ['check', '--domain', 'example.test', '--root', 'root.pem', ...args])
  assert.equal((await judge('--file', 'good.pem', '--key', 'good.key')).code, 0)
  const other = await judge('--file', 'good.pem', '--key', 'other.key')
  assert.equal(other.code, 2)
  assert.match(other.stdout, /key-mismatch/)
  const partly = await judge('--file', 'no-client.pem')
  assert.equal(partly.code, 1)
  assert.match(partly.stdout, /no-client-auth/)
  assert.match((await run(folder, ['check', '--file', 'good.pem', '--domain', 'other.test', '--root', 'root.pem'])).stdout, /names-refused/)
})

test('a certificate does not write to the terminal what it likes', async () => {
  file('evil.pem', pem((await commonNameOnly('\x1b[2J\x1b[31mevil\u202e\x9b')).chain))
  const { stdout } = await run(folder, ['check', '--file', 'evil.pem', '--domain', 'example.test'])
  assert.match(stdout, /\?\[2J\?\[31mevil\?/)
  assert.ok(['\x1b', '\x9b', '\u202e'].every((one) => !stdout.includes(one)))
  const json = await run(folder, ['check', '--file', 'evil.pem', '--domain', 'example.test', '--json'])
  assert.ok(['\x1b', '\x9b', '\u202e'].every((one) => !json.stdout.includes(one)))
  assert.match(JSON.parse(json.stdout).certificates[0].chain[0].subject, /evil\u202e\x9b/, 'and yet it is all there')
})

test('mistakes of the operator are told', async () => {
  for (const [args, expected] of [
    [['check'], /Say which domain/],
    [['check', 'a b'], /not a domain name/],
    [['check', 'example.test', '--only', 'x'], /c2s or s2s/],
    [['check', 'example.test', '--timeout', '0'], /1 to 120/],
    [['check', 'example.test', '--file', 'missing.pem'], /cannot be read/],
    [['check', 'example.test', '--file', 'good.key'], /no PEM block/],
    [['check', 'example.test', '--as', 'peer.test'], /all three/],
  ] as const) {
    const { code, stderr } = await run(folder, [...args])
    assert.equal(code, 3, stderr)
    assert.match(stderr, expected)
  }
})
