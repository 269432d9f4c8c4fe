/** `xmpp-ica revoke`, `responder`, `init --new-intermediate` and `show` of foreign files, as an operator uses them, beside the running program. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { buildIca, type Core } from '../../src/build.js'
import type { Ica } from '../../src/issuance/ica.js'
import { createLogging } from '../../src/logging.js'
import { openCore, readConfig } from '../../src/open.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../../src/pki/ocsp-request.js'
import { pemEncode } from '../../src/pki/pem.js'
import { issueDirectly, newPublicKey } from '../support/issuing.js'
import { freePort, newFolder, type Program, run, serve } from '../support/program.js'

const json = (text: string) => JSON.parse(text)

describe('revoking at the command line', () => {
  const { folder, remove } = newFolder()
  const keys = path.join(folder, 'ca-keys')
  const environment: Record<string, string> = {}
  let url = ''
  let program: Program
  let core: Core
  let ica: Ica
  const revoke = (...args: string[]) => run(folder, ['revoke', ...args], environment)
  const issue = async (domain: string, wish = {}) => (await issueDirectly(ica, domain, wish)).serial
  const reasonOf = async (serial: string) => (await core.store.certificateBySerial(serial))?.revocation?.reason ?? null
  const write = (name: string, content: string | Uint8Array): string => {
    writeFileSync(path.join(folder, name), content)
    return name
  }
  const ask = async (serial: string): Promise<Buffer> => {
    const body = encodeOcspRequest([encodeCertId(ica.issuer, 'sha1', serial)])
    const response = await fetch(`${url}/ocsp`, {
      method: 'POST',
      body: new Uint8Array(body),
      headers: { 'content-type': 'application/ocsp-request' },
    })
    return Buffer.from(await response.arrayBuffer())
  }
  const within = async (what: string, done: () => Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 60_000; !(await done()); await new Promise((resolve) => setTimeout(resolve, 200))) assert.ok(Date.now() < end, what)
  }

  before(async () => {
    url = `http://localhost:${await freePort()}`
    environment.ICA_URL = url
    program = await serve(folder, environment)
    writeFileSync(path.join(folder, '.env'), `ICA_URL=${url}\n`)
    core = await openCore(readConfig(folder), createLogging('silent'), { create: false, actor: 'system', purpose: 'test' })
    ica = buildIca(core, () => undefined)
  })
  after(async () => {
    await core.store.close()
    program.child.kill('SIGTERM')
    await program.result
    remove()
  })

  it('one: without a question, and never twice', async () => {
    const serial = await issue('one.example')
    const good = await ask(serial)
    const { code, stderr } = await revoke(serial, '--reason', 'affiliationChanged')
    assert.equal(code, 0, stderr)
    assert.match(stderr, /one\.example[\s\S]*1 revoked \(affiliationChanged\)/)
    assert.equal(await reasonOf(serial), 'affiliationChanged')
    await within('the running program says so', async () => !(await ask(serial)).equals(good))
    const again = await revoke(serial)
    assert.deepEqual([again.code, /was revoked at .* \(affiliationChanged\)/.test(again.stderr)], [1, true], again.stderr)
    const wrong = await revoke('abcdef')
    assert.deepEqual([wrong.code, /no certificate with the serial abcdef/.test(wrong.stderr)], [1, true], wrong.stderr)
    const [row] = await core.store.auditLog({ subject: `certificate:${serial}`, limit: 1 })
    assert.match(row?.actor ?? '', /^operator:./)
  })

  it('many: a dry run shows what a run does; without --yes nothing happens', async () => {
    const serials = [await issue('a.many.example'), await issue('b.many.example'), await issue('many.example')]
    const select = ['--domain', 'many.example', '--subdomains']
    const dry = await revoke(...select, '--dry-run')
    assert.deepEqual(
      dry.stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0])
        .toSorted(),
      serials.toSorted(),
    )
    assert.match(dry.stderr, /3 would be revoked \(unspecified\)\. Nothing was revoked/)
    const dryJson = json((await revoke(...select, '--dry-run', '--json')).stdout)
    assert.deepEqual([dryJson.valid, dryJson.certificates.length, dryJson.dryRun], [3, 3, true])
    const unasked = await revoke(...select)
    assert.deepEqual([unasked.code, await reasonOf(serials[0] as string)], [1, null])
    assert.match(unasked.stderr, /Nothing was revoked\. .*--yes/)
    // What a dry run prints is a list of serials as --file takes it.
    write('some.txt', `# from the dry run\n${dry.stdout.split('\n')[0]}\n\n`)
    const one = json((await revoke('--file', 'some.txt', '--reason', 'superseded', '--json')).stdout)
    assert.deepEqual([one.revoked, one.already], [1, 0])
    const all = json((await revoke(...select, '--reason', 'cessationOfOperation', '--yes', '--json')).stdout)
    assert.deepEqual([all.revoked, all.already, all.expired], [2, 1, 0])
    for (const serial of serials) assert.notEqual(await reasonOf(serial), null)
  })

  it('by a file with a mistake in it: nothing', async () => {
    const serial = await issue('file.example')
    const unknown = await revoke('--file', write('unknown.txt', `${serial}\nabcdef01\n`), '--yes')
    assert.deepEqual([unknown.code, /no certificate with the serial abcdef01/.test(unknown.stderr), await reasonOf(serial)], [1, true, null])
    const rubbish = await revoke('--file', write('rubbish.txt', `${serial}\nhello\n`), '--yes')
    assert.match(rubbish.stderr, /rubbish\.txt, line 2: "hello" is not a serial\. Nothing was revoked/)
  })

  it('by a key in a file: with keyCompromise everything that has it, and the key is blocked', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { publicKey } = nodeSigner(privateKey)
    const serials = [await issue('k1.example', { publicKey }), await issue('k2.example', { publicKey })]
    const file = write('leaked.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }) as string)
    const { stdout, stderr } = await revoke('--key', file, '--reason', 'keyCompromise', '--yes', '--json')
    assert.equal(json(stdout).revoked, 2, stderr)
    for (const serial of serials) assert.equal(await reasonOf(serial), 'keyCompromise')
    assert.ok(await core.store.isKeyBlocked(publicKey.keyId))
    // One serial is enough.
    const other = newPublicKey()
    const [third, fourth] = [await issue('k3.example', { publicKey: other }), await issue('k4.example', { publicKey: other })]
    assert.match((await revoke(third, '--reason', 'keyCompromise')).stderr, /2 selected: 2 valid[\s\S]*Nothing was revoked/)
    assert.equal((await revoke(third, '--reason', 'keyCompromise', '--yes')).code, 0)
    assert.equal(await reasonOf(fourth), 'keyCompromise')
  })

  it('by the time of issuance and the issuer, in UTC, the last day whole', async () => {
    const day = Date.UTC(2021, 4, 6)
    const serials = [
      await issue('t1.example', { createdAt: day }),
      await issue('t2.example', { createdAt: day + 86_399_999 }),
      await issue('t3.example', { createdAt: day + 86_400_000 }),
    ]
    const selected = async (...args: string[]) =>
      json((await revoke(...args, '--issuer', ica.issuer.id, '--dry-run', '--json')).stdout).certificates.map((c: { serial: string }) => c.serial)
    assert.deepEqual(await selected('--from', '2021-05-06', '--to', '2021-05-06'), serials.slice(0, 2))
    assert.deepEqual(await selected('--from', '2021-05-06T00:00', '--to', '2021-05-06T23:59'), serials.slice(0, 1))
    assert.match((await revoke('--from', 'yesterday')).stderr, /A day \(2026-11-21\) or a moment/)
    assert.match((await revoke()).stderr, /Say which/)
    assert.match((await revoke('abc', '--domain', 'x.example')).stderr, /stands alone/)
  })

  it('a new responder signs within seconds', async () => {
    const serial = await issue('responder.example')
    const before = await ask(serial)
    const { code, stderr } = await run(folder, ['responder', 'rotate'], environment)
    assert.equal(code, 0, stderr)
    const list = json((await run(folder, ['responder', 'list', '--json'], environment)).stdout)
    assert.equal(list.length, 2)
    await within('the running program signs with it', async () => (await ask(serial)).includes(Buffer.from(list[0].serial, 'hex')))
    assert.ok(before.includes(Buffer.from(list[1].serial, 'hex')))
    // The old one cannot be revoked: nobody would ask.
    const refused = await revoke(list[1].serial, '--reason', 'superseded', '--yes')
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /is an OCSP responder: .*"xmpp-ica responder rotate" replaces it/)
    assert.equal(await reasonOf(list[1].serial), null)
  })

  it('shows certificates of other CAs, and ours where a file has both', async () => {
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        'f.key',
        '-out',
        'f.pem',
        '-subj',
        '/CN=foreign.example',
        '-addext',
        'subjectAltName=DNS:foreign.example,otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-server.foreign.example',
      ],
      { cwd: folder, stdio: 'ignore' },
    )
    const foreign = await run(folder, ['show', './f.pem'], environment)
    assert.equal(foreign.code, 0, foreign.stderr)
    assert.match(foreign.stdout, /not of this CA/)
    assert.match(foreign.stdout, /SRVName +_xmpp-server\.foreign\.example/)
    const { serial, der } = await issueDirectly(ica, 'ours.example')
    write('both.pem', pemEncode('CERTIFICATE', der) + readFileSync(path.join(folder, 'f.pem'), 'utf8'))
    const both = json((await run(folder, ['show', './both.pem', '--json'], environment)).stdout)
    assert.deepEqual(
      both.map((c: { status: string }) => c.status),
      ['valid', 'foreign'],
    )
    assert.equal(both[0].serial, serial)
    assert.match((await run(folder, ['show', './.env'], environment)).stderr, /is not a certificate/)
    const elsewhere = newFolder()
    const alone = await run(elsewhere.folder, ['show', path.join(folder, 'f.pem')])
    assert.deepEqual([alone.code, existsSync(path.join(elsewhere.folder, 'data'))], [0, false], alone.stderr)
    elsewhere.remove()
  })

  it('takes a new intermediate where the root is here; the root revokes the old one', async () => {
    const { serial } = await issueDirectly(ica, 'before.example')
    const old = new X509Certificate(readFileSync(path.join(keys, 'intermediate.pem')))
    const mass = await revoke('--file', write('intermediate.txt', `${old.serialNumber}\n${serial}\n`), '--yes')
    assert.match(mass.stderr, /is an intermediate: revoke it alone/)
    const made = await run(folder, ['init', '--new-intermediate'], environment)
    assert.equal(made.code, 0, made.stderr)
    assert.match(made.stderr, /Made ".* Intermediate 2"/)
    assert.deepEqual(readdirSync(path.join(keys, 'retired')).sort(), [`${ica.issuer.id}.key`, `${ica.issuer.id}.pem`])
    program.child.kill('SIGTERM')
    await program.result
    program = await serve(folder, environment)
    assert.ok((await ask(serial)).length > 500, 'the old issuer is answered for')
    assert.equal((await fetch(`${url}/readyz`)).status, 200)
    const dry = await revoke(old.serialNumber, '--reason', 'cACompromise', '--dry-run')
    assert.match(dry.stderr, /would be revoked/)
    const { code, stderr } = await revoke(old.serialNumber, '--reason', 'cACompromise', '--yes')
    assert.equal(code, 0, stderr)
    const list = await run(folder, ['crl', '--show', '--json'], environment)
    const root = json(list.stdout).find(({ name }: { name: string }) => name === 'root')
    assert.equal(root.state, 'current')
    await run(folder, ['crl', '--show', '--out', 'lists'], environment)
    const text = execFileSync('openssl', ['crl', '-inform', 'DER', '-in', path.join('lists', 'root.crl'), '-noout', '-text'], {
      cwd: folder,
      encoding: 'utf8',
    })
    assert.match(text, new RegExp(`Serial Number: ${old.serialNumber}[\\s\\S]*CA Compromise`))
    assert.match((await revoke(old.serialNumber, '--yes')).stderr, /was revoked before/)
  })

  it('refuses a request that is none, and keys that are not here', async () => {
    mkdirSync(path.join(folder, 'aside'))
    renameSync(path.join(keys, 'root.key'), path.join(folder, 'aside', 'root.key'))
    const sign = await run(folder, ['init', '--sign', 'f.pem'], environment)
    assert.match(sign.stderr, /root\.key and root\.pem are not both in/)
    renameSync(path.join(folder, 'aside', 'root.key'), path.join(keys, 'root.key'))
    const request = await run(folder, ['init', '--sign', 'f.pem'], environment)
    assert.match(request.stderr, /f\.pem: It is no certification request/)
    const lists = await run(folder, ['crl', '--import', 'f.pem'], environment)
    assert.match(lists.stderr, /f\.pem: It is no CRL/)
  })
})
