/** `xmpp-ica deploy` and `xmpp-ica records`, as programs, against a server that speaks STARTTLS and reads its files again on SIGHUP. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, lchownSync, lstatSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { type Result, run } from '../support/program.js'
import { day, domain, openField, type Pair, type Server } from './field.js'

const { folder, issue, startServer, stop } = await openField()
after(stop)

const deploy = (server: Server, args: string[], environment: Record<string, string> = {}): Promise<Result> =>
  run(
    folder,
    ['deploy', 'prosody', '--dir', server.dir, '--reload', server.reload, '--at', `127.0.0.1:${server.port}`, '--patience', '3', ...args],
    environment,
  )

const withFiles = ({ chain, key }: Pair): string[] => ['--chain', chain, '--key', key]

test('a new certificate is written, the server told, and seen; the key stays closed to others', async () => {
  const server = await startServer('good')
  const fresh = await issue('good')
  const { code, stdout, stderr } = await deploy(server, withFiles(fresh))
  assert.equal(code, 0, stderr)
  assert.match(stdout, new RegExp(`Prosody has the new certificate for example\\.org: .*seen at 127\\.0\\.0\\.1:${server.port}`))
  assert.equal(readFileSync(server.crt, 'utf8'), fresh.chainText)
  assert.equal(readFileSync(server.key, 'utf8'), fresh.keyText)
  assert.equal(lstatSync(server.key).mode & 0o777, 0o600, 'the mode that it had')
  assert.deepEqual(readdirSync(server.dir).sort(), [`${domain}.crt`, `${domain}.key`], 'nothing is left lying about')
  const again = await deploy(server, withFiles(fresh))
  assert.equal(again.code, 0, again.stderr)
  assert.match(again.stdout, /had this certificate already/)
})

test('a server that goes on showing the old one gets it back, and the hook fails', async () => {
  const server = await startServer('deaf', { fault: 'deaf' })
  const [crt, key] = [readFileSync(server.crt, 'utf8'), readFileSync(server.key, 'utf8')]
  const { code, stderr } = await deploy(server, withFiles(await issue('deaf')))
  assert.equal(code, 1)
  assert.match(stderr, /still shows another certificate at 127\.0\.0\.1.*\nThe old certificate is in place again/s)
  assert.equal(readFileSync(server.crt, 'utf8'), crt)
  assert.equal(readFileSync(server.key, 'utf8'), key)
})

for (const [fault, says] of [
  ['plain', /STARTTLS is not offered/],
  ['silent', /does not answer in time/],
] as const) {
  test(`a server that is ${fault} is named, and the old certificate put back`, async () => {
    const server = await startServer(fault, { fault })
    const crt = readFileSync(server.crt, 'utf8')
    const { code, stderr } = await deploy(server, [...withFiles(await issue(fault)), '--patience', '0'])
    assert.equal(code, 1)
    assert.match(stderr, says)
    assert.equal(readFileSync(server.crt, 'utf8'), crt)
  })
}

test('a reload that fails puts the old one back, with what the command said', async () => {
  const server = await startServer('reload')
  const crt = readFileSync(server.crt, 'utf8')
  const { code, stderr } = await deploy({ ...server, reload: 'cat /nowhere' }, withFiles(await issue('reload')))
  assert.equal(code, 1)
  assert.match(stderr, /"cat \/nowhere" ended with 1: .*No such file/)
  assert.equal(readFileSync(server.crt, 'utf8'), crt)
})

test('a reload that is none changes nothing, or is put back', async () => {
  const server = await startServer('blank')
  const before = readFileSync(server.crt, 'utf8')
  const fresh = await issue('fresh-blank')
  const empty = await deploy({ ...server, reload: ' ' }, ['--chain', fresh.chain, '--key', fresh.key])
  assert.notEqual(empty.code, 0)
  assert.match(empty.stderr, /--reload is empty/)
  assert.equal(readFileSync(server.crt, 'utf8'), before)
  const spaced = await deploy({ ...server, reload: `  ${server.reload} ` }, ['--chain', fresh.chain, '--key', fresh.key])
  assert.equal(spaced.code, 0, spaced.stderr)
})

test('as root, a link that the user of the server has laid to a file of somebody else is not followed', {
  skip: process.getuid?.() !== 0,
}, async () => {
  const server = await startServer('planted')
  const [victim, fresh] = [path.join(folder, 'victim'), await issue('fresh-planted')]
  writeFileSync(victim, 'precious')
  rmSync(server.key)
  symlinkSync(victim, server.key)
  lchownSync(server.key, 65_534, 65_534)
  const refused = await deploy(server, ['--chain', fresh.chain, '--key', fresh.key])
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /is a link that user 65534 made to what is of user 0/)
  assert.equal(readFileSync(victim, 'utf8'), 'precious')
  lchownSync(server.key, 0, 0)
  assert.equal((await deploy(server, ['--chain', fresh.chain, '--key', fresh.key])).code, 0)
})

test('the first certificate of a server: where it fails, no file is left', async () => {
  const server = await startServer('first', { fault: 'deaf' })
  const dir = path.join(folder, 'empty')
  const { code } = await deploy({ ...server, dir }, withFiles(await issue('first')))
  assert.equal(code, 1)
  assert.ok(!existsSync(dir), 'nor the folder that was made')
})

test('what is not good for the server is refused, every fault named, and nothing is touched', async () => {
  const server = await startServer('refused')
  const crt = readFileSync(server.crt, 'utf8')
  const other = await issue('other')
  const cases: [string, string[], RegExp][] = [
    ['another key', ['--chain', other.chain, '--key', (await issue('another-key')).key], /The private key does not belong to the certificate/],
    ['expired', withFiles(await issue('expired', { notBefore: Date.now() - 9 * day, notAfter: Date.now() - day })), /The certificate has expired/],
    ['too early', withFiles(await issue('early', { notBefore: Date.now() + day })), /The certificate is not valid yet/],
    ['no intermediate', withFiles(await issue('alone', { chain: false })), /An intermediate certificate is missing/],
    ['another domain', withFiles(await issue('stranger', { domains: ['example.net'] })), /No known software accepts the certificate for this domain/],
  ]
  for (const [what, args, says] of cases) {
    const { code, stderr } = await deploy(server, [...args, '--domain', domain])
    assert.equal(code, 1, what)
    assert.match(stderr, says, what)
    assert.equal(readFileSync(server.crt, 'utf8'), crt, what)
  }
})

test('files that are none are named', async () => {
  const server = await startServer('files')
  const good = await issue('files')
  const junk = path.join(folder, 'junk')
  writeFileSync(junk, 'junk')
  for (const [args, says] of [
    [['--chain', junk, '--key', good.key], /junk holds no certificate chain/],
    [['--chain', good.chain, '--key', junk], /junk holds no private key/],
    [['--chain', `${junk}-none`, '--key', good.key], /junk-none cannot be read/],
    [['--chain', good.chain], /--key is missing/],
    [[], /Which certificate\?/],
  ] as [string[], RegExp][]) {
    const { code, stderr } = await deploy(server, args)
    assert.equal(code, 1)
    assert.match(stderr, says)
  }
})

test('each ACME client is understood', async () => {
  const server = await startServer('hooks')
  const environments: [string, (pair: Pair) => Record<string, string>][] = [
    ['certbot', ({ chain }) => ({ RENEWED_LINEAGE: path.dirname(chain), RENEWED_DOMAINS: `${domain} conference.${domain}` })],
    ['lego 5', ({ chain, key }) => ({ LEGO_HOOK_CERT_PATH: chain, LEGO_HOOK_CERT_KEY_PATH: key, LEGO_HOOK_CERT_NAME: domain })],
    ['lego 4', ({ chain, key }) => ({ LEGO_CERT_PATH: chain, LEGO_CERT_KEY_PATH: key, LEGO_CERT_DOMAIN: domain })],
    ['acme.sh', ({ chain, key }) => ({ CERT_FULLCHAIN_PATH: chain, CERT_KEY_PATH: key, Le_Domain: domain })],
  ]
  for (const [name, environment] of environments) {
    const fresh = await issue(`hook-${name}`)
    const { code, stderr } = await deploy(server, [], environment(fresh))
    assert.equal(code, 0, `${name}: ${stderr}`)
    assert.equal(readFileSync(server.crt, 'utf8'), fresh.chainText, name)
  }
  const fresh = await issue('hook-dehydrated')
  const called = await deploy(server, ['deploy_cert', domain, fresh.key, fresh.chain, fresh.chain, fresh.chain, '0'])
  assert.equal(called.code, 0, called.stderr)
  assert.equal(readFileSync(server.crt, 'utf8'), fresh.chainText)
  const other = await deploy(server, ['deploy_challenge', domain, 'token', 'value'])
  assert.deepEqual([other.code, other.stdout], [0, ''])
})

test('a link stays a link, and a key that everybody could read is closed', async () => {
  const server = await startServer('links')
  const real = path.join(folder, 'real.crt')
  writeFileSync(real, readFileSync(server.crt))
  execFileSync('rm', [server.crt])
  symlinkSync(real, server.crt)
  chmodSync(server.key, 0o644)
  const fresh = await issue('links')
  const { code, stderr } = await deploy(server, withFiles(fresh))
  assert.equal(code, 0, stderr)
  assert.ok(lstatSync(server.crt).isSymbolicLink())
  assert.equal(readFileSync(real, 'utf8'), fresh.chainText)
  assert.equal(lstatSync(server.key).mode & 0o007, 0)
})

test('ejabberd gets chain and key in one file; without a reload nothing is put back', async () => {
  const fresh = await issue('ejabberd')
  const dir = path.join(folder, 'ejabberd')
  const { code, stderr } = await run(folder, [
    'deploy',
    'ejabberd',
    '--dir',
    dir,
    '--owner',
    `${process.getuid?.()}:${process.getgid?.()}`,
    '--no-reload',
    '--no-look',
    ...withFiles(fresh),
  ])
  assert.equal(code, 0, stderr)
  assert.equal(readFileSync(path.join(dir, `${domain}.pem`), 'utf8'), fresh.chainText + fresh.keyText)
  assert.equal(lstatSync(path.join(dir, `${domain}.pem`)).mode & 0o777, 0o640)
})

test('an unknown server is answered with those that there are', async () => {
  const { code, stderr } = await run(folder, ['deploy', 'jabberd', '--no-look'])
  assert.equal(code, 1)
  assert.match(stderr, /prosody, ejabberd/)
})

test('records: TLSA as openssl computes it, POSH as RFC 7711 has it', async () => {
  const { chain, chainText } = await issue('records')
  const sha256 = (certificate: string): string => {
    const key = execFileSync('openssl', ['x509', '-noout', '-pubkey'], { input: certificate })
    const der = execFileSync('openssl', ['pkey', '-pubin', '-outform', 'DER'], { input: key })
    return execFileSync('openssl', ['dgst', '-sha256', '-r'], { input: der }).toString().slice(0, 64)
  }
  const [leafText, issuerText] = chainText.split(/(?<=-----END CERTIFICATE-----\n)/) as [string, string]
  const tlsa = await run(folder, ['records', '--chain', chain, '--domain', domain, '--target', 'xmpp.example.org:5269', '--tlsa'])
  assert.equal(
    tlsa.stdout,
    `_5269._tcp.xmpp.example.org. IN TLSA 3 1 1 ${sha256(leafText)}\n_5269._tcp.xmpp.example.org. IN TLSA 2 1 1 ${sha256(issuerText)}\n`,
  )
  const posh = JSON.parse((await run(folder, ['records', '--chain', chain, '--domain', domain, '--posh'])).stdout)
  const der = execFileSync('openssl', ['x509', '-outform', 'DER'], { input: leafText })
  const digest = execFileSync('openssl', ['dgst', '-sha256', '-binary'], { input: der }).toString('base64')
  assert.deepEqual(posh, { fingerprints: [{ 'sha-256': digest }], expires: 86_400 })
})

test('nothing of the CA is touched', () => {
  assert.ok(!existsSync(path.join(folder, 'ca-keys')))
  assert.ok(!existsSync(path.join(folder, 'data')))
})
