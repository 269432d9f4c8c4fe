/** `xmpp-ica user`: the program as an operator runs it, beside a CA that runs; the judges are openssl and the CA's own status side. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pemDecode } from '../../src/pki/pem.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { openStore } from '../../src/store/store.js'
import { silent } from '../store/fixtures.js'
import { freePort, newFolder, type Program, run, serve, start } from '../support/program.js'

describe('certificates of users', { timeout: 600_000 }, () => {
  const { folder, remove } = newFolder()
  let environment: Record<string, string>
  let program: Program
  const cli = (...args: string[]) => run(folder, ['user', ...args], environment)
  const file = (...parts: string[]): string => path.join(folder, ...parts)
  const users = (name: string): string => file('ca-keys', 'users', name)
  const serialIn = (name: string): string => new X509Certificate(readFileSync(name)).serialNumber.toLowerCase()
  const restart = async (): Promise<void> => {
    program.child.kill('SIGTERM')
    await program.result
    program = await serve(folder, environment)
  }
  const until = async (what: string, condition: () => Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 60_000; !(await condition()); await sleep(100)) assert.ok(Date.now() < end, what)
  }
  const uriIn = (name: string, what: string): string =>
    new RegExp(`${what}[\\s\\S]*?URI:(\\S+)`).exec(execFileSync('openssl', ['x509', '-in', name, '-noout', '-text'], { encoding: 'utf8' }))?.[1] ?? ''
  const ocsp = (name: string, url = uriIn(name, 'OCSP -'), issuer = users('intermediate.pem')): string => {
    const ask = ['ocsp', '-issuer', issuer, '-cert', name, '-CAfile', users('root.pem'), '-url', url, '-no_nonce']
    return spawnSync('openssl', ask, { encoding: 'utf8' }).stdout
  }
  const crlOf = async (name: string, issuer = users('intermediate.pem')): Promise<string> => {
    const der = Buffer.from(await (await fetch(uriIn(name, 'CRL Distribution Points'))).arrayBuffer())
    return execFileSync('openssl', ['crl', '-inform', 'DER', '-noout', '-text', '-CAfile', issuer], {
      input: der,
      encoding: 'utf8',
    })
  }

  before(async () => {
    environment = { ICA_URL: `http://localhost:${await freePort()}` }
    program = await serve(folder, environment)
  })
  after(async () => {
    program.child.kill('SIGKILL')
    await program.result
    remove()
  })

  it('issue wants the user CA first', async () => {
    const { code, stderr } = await cli('issue', 'juliet@example.org', '--out', 'juliet')
    assert.equal(code, 1)
    assert.match(stderr, /no user CA yet.*xmpp-ica user init/)
    assert.ok(!existsSync(file('juliet')))
  })

  it('init makes a root and an intermediate of their own, once', async () => {
    const first = await cli('init')
    assert.equal(first.code, 0, first.stderr)
    assert.match(first.stderr, /Start the CA again/)
    const fingerprint = new X509Certificate(readFileSync(users('root.pem'))).fingerprint256
    assert.ok(first.stdout.includes(fingerprint))
    assert.deepEqual(readdirSync(file('ca-keys', 'users')).sort(), ['intermediate.key', 'intermediate.pem', 'root.key', 'root.pem'])
    assert.equal(statSync(file('ca-keys', 'users')).mode & 0o777, 0o700)
    for (const name of ['root.key', 'intermediate.key']) assert.match(readFileSync(users(name), 'utf8'), /ENCRYPTED PRIVATE KEY/)
    const [root, intermediate] = ['root.pem', 'intermediate.pem'].map((name) => new X509Certificate(readFileSync(users(name)))) as [
      X509Certificate,
      X509Certificate,
    ]
    assert.ok(intermediate.verify(root.publicKey))
    assert.ok(!intermediate.verify(new X509Certificate(readFileSync(file('ca-keys', 'root.pem'))).publicKey))
    assert.deepEqual(intermediate.keyUsage, ['1.3.6.1.5.5.7.3.2'])

    const second = await cli('init')
    assert.equal(second.code, 0)
    assert.match(second.stderr, /already; nothing was changed/)
    assert.ok(second.stdout.includes(fingerprint))
  })

  it('the CA takes it at its start, and shows its certificates', async () => {
    await restart()
    const served = await (await fetch(`${environment.ICA_URL}/ca/user-root.pem`)).text()
    assert.equal(served, readFileSync(users('root.pem'), 'utf8'))
    assert.equal((await fetch(`${environment.ICA_URL}/ca/user-intermediate.cer`)).status, 200)
    const facts = (await (await fetch(`${environment.ICA_URL}/api/ca`)).json()) as { users: { root: { sha256: string } }; root: { sha256: string } }
    assert.equal(facts.users.root.sha256, new X509Certificate(readFileSync(users('root.pem'))).fingerprint256)
    assert.notEqual(facts.root.sha256, facts.users.root.sha256)
    await until('ready', async () => (await fetch(`${environment.ICA_URL}/readyz`)).ok)
  })

  it('issues with a key made here, for its owner alone', async () => {
    const { code, stderr } = await cli('issue', 'Juliet@example.org', '--out', 'juliet', '--days', '30')
    assert.equal(code, 0, stderr)
    const [pem, key] = [file('juliet', 'juliet@example.org.pem'), file('juliet', 'juliet@example.org.key')]
    assert.equal(statSync(key).mode & 0o777, 0o600)
    assert.equal(statSync(file('juliet')).mode & 0o777, 0o700)
    const certificate = new X509Certificate(readFileSync(pem))
    assert.ok(certificate.checkPrivateKey(createPrivateKey(readFileSync(key))))
    assert.equal(certificate.subject, 'CN=juliet@example.org')
    assert.equal(certificate.subjectAltName, 'othername:XmppAddr:juliet@example.org')
    assert.equal(Date.parse(certificate.validTo) - Date.parse(certificate.validFrom), 30 * 86_400_000 + 3_600_000)
    assert.equal(pemDecode('CERTIFICATE', readFileSync(pem, 'utf8')).length, 2)
    const verify = (root: string, purpose: string) =>
      spawnSync('openssl', ['verify', '-x509_strict', '-CAfile', root, '-untrusted', pem, '-purpose', purpose, pem], { encoding: 'utf8' }).status
    assert.equal(verify(users('root.pem'), 'sslclient'), 0)
    assert.notEqual(verify(users('root.pem'), 'sslserver'), 0, 'never good for a server')
    assert.notEqual(verify(file('ca-keys', 'root.pem'), 'sslclient'), 0, 'the server root has nothing to do with it')

    const again = await cli('issue', 'juliet@example.org', '--out', 'juliet')
    assert.equal(again.code, 1)
    assert.match(again.stderr, /is there already; nothing is overwritten/)
  })

  it('issues for the key of a CSR, from which nothing else is taken', async () => {
    const extension = ['-addext', 'subjectAltName=otherName:1.3.6.1.5.5.7.8.5;UTF8:romeo@example.org']
    const request = [
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      file('romeo.key'),
      '-out',
      file('romeo.csr'),
    ]
    execFileSync('openssl', [...request, '-subj', '/CN=somebody', ...extension], { stdio: 'ignore' })
    const { code, stdout, stderr } = await cli('issue', 'romeo@example.org', '--csr', file('romeo.csr'))
    assert.equal(code, 0, stderr)
    const { names, commonName, extendedKeyUsage } = readCertificate(pemDecode('CERTIFICATE', stdout)[0] as Uint8Array)
    assert.deepEqual([names, commonName], [[{ form: 'XmppAddr', value: 'romeo@example.org' }], 'romeo@example.org'])
    assert.deepEqual(extendedKeyUsage, ['1.3.6.1.5.5.7.3.2'])

    const other = await cli('issue', 'juliet@example.org', '--csr', file('romeo.csr'))
    assert.deepEqual([other.code, other.stdout], [1, ''])
    assert.match(other.stderr, /asks for "romeo@example.org"; the certificate of a user has the XmppAddr juliet@example.org and no other/)
  })

  it('refuses what is no user, and no key; file names are harmless', async () => {
    const full = await cli('issue', '../x@example.org', '--out', 'none')
    assert.equal(full.code, 1)
    assert.match(full.stderr, /has a resource/)
    assert.match((await cli('issue', 'juliet@example.org')).stderr, /where the key comes from/)
    assert.match((await cli('issue', 'juliet@example.org', '--out', 'none', '--days', '826')).stderr, /A number from 1 to 825/)
    assert.ok(!existsSync(file('none')))
    assert.equal((await cli('issue', '.%2e@bücher.example.org', '--out', 'odd')).code, 0)
    assert.deepEqual(
      readdirSync(file('odd')).sort(),
      ['key', 'pem'].map((end) => `%2E%252e@b%C3%BCcher.example.org.${end}`),
    )
  })

  it('lists them, also by the other commands', async () => {
    const listed = JSON.parse((await cli('list', '--json')).stdout) as { jid: string; status: string; serial: string }[]
    assert.deepEqual(new Set(listed.map(({ jid }) => jid)), new Set(['juliet@example.org', 'romeo@example.org', '.%2e@bücher.example.org']))
    assert.match((await run(folder, ['show', 'juliet@example.org'], environment)).stdout, /kind +user, profile xmpp-user/)
  })

  it('leaves a reservation, an audit row and nothing of an account', async () => {
    const store = await openStore({ url: `file:${file('data', 'ica.db')}`, log: silent })
    try {
      const serial = serialIn(file('juliet', 'juliet@example.org.pem'))
      const certificate = await store.certificateBySerial(serial)
      assert.deepEqual([certificate?.kind, certificate?.accountId, certificate?.orderId], ['user', null, null])
      const [row] = await store.auditLog({ subject: `certificate:${serial}`, limit: 5 })
      assert.equal(row?.action, 'certificate.issued')
      assert.match(row?.actor ?? '', /^operator:/)
      assert.deepEqual((await store.issuers()).map(({ kind }) => kind).sort(), ['intermediate', 'root', 'user-intermediate', 'user-root'])
    } finally {
      await store.close()
    }
  })

  it('revoke: OCSP at once, the CRL soon; the server CA has neither', async () => {
    const pem = file('juliet', 'juliet@example.org.pem')
    const serial = serialIn(pem)
    assert.match(ocsp(pem), /: good/)
    assert.ok(!(await crlOf(pem)).toLowerCase().includes(serial))
    const { code, stderr } = await cli('revoke', 'Juliet@example.org', '--reason', 'superseded')
    assert.equal(code, 0, stderr)
    assert.match(stderr, /1 revoked \(superseded\)/)
    await until('OCSP says revoked', async () => /: revoked/.test(ocsp(pem)))
    await until('the CRL has it', async () => (await crlOf(pem)).toLowerCase().includes(serial))
    assert.match((await cli('list')).stdout, new RegExp(`${serial} +revoked`))
    assert.equal((await cli('revoke', 'nobody@example.org')).code, 1)
    // The issuer by which it is asked for matters: the server CA never issued it.
    const ask = [
      'ocsp',
      '-issuer',
      file('ca-keys', 'intermediate.pem'),
      '-serial',
      `0x${serial}`,
      '-CAfile',
      file('ca-keys', 'root.pem'),
      '-no_nonce',
    ]
    assert.match(spawnSync('openssl', [...ask, '-url', uriIn(pem, 'OCSP -')], { encoding: 'utf8' }).stdout, /: unknown/)
  })

  it('the server CA goes on as before: its own certificates, and no user revocation touches them', async () => {
    const doctor = await run(folder, ['doctor'], environment)
    assert.doesNotMatch(doctor.stdout, /error/)
    const crls = JSON.parse((await run(folder, ['crl', '--show', '--json'], environment)).stdout) as { name: string; state: string }[]
    for (const name of ['root', 'intermediate', 'user-root', 'user-intermediate'])
      assert.equal(crls.find((one) => one.name === name)?.state, 'current', name)
  })

  it('the status side alone answers for users too', async () => {
    const pem = file('juliet', 'juliet@example.org.pem')
    const url = `http://127.0.0.1:${await freePort()}`
    const side = start(folder, ['serve', '--only', 'status'], { ...environment, ICA_STATUS_LISTEN: url.slice('http://'.length) })
    try {
      await until('the status side is ready', async () => side.stderr().includes('"msg":"ready"'))
      assert.match(ocsp(pem, `${url}/ocsp`), /: revoked/)
      assert.equal(await (await fetch(`${url}/ca/user-root.pem`)).text(), readFileSync(users('root.pem'), 'utf8'))
      assert.equal(await (await fetch(`${url}/ca/root.pem`)).text(), readFileSync(file('ca-keys', 'root.pem'), 'utf8'))
      assert.equal((await fetch(`${url}${new URL(uriIn(pem, 'CRL Distribution Points')).pathname}`)).status, 200)
    } finally {
      side.child.kill('SIGTERM')
      await side.result
    }
  })

  it('takes a new intermediate, and goes on answering for the old one', async () => {
    const of = (name: string): string => new X509Certificate(readFileSync(name)).fingerprint256
    const [before, servers] = [of(users('intermediate.pem')), of(file('ca-keys', 'intermediate.pem'))]
    cpSync(users('intermediate.pem'), file('first-intermediate.pem'))
    assert.match((await cli('init', '--import', 'next.pem')).stderr, /No intermediate of users waits/)
    const made = await cli('init', '--new-intermediate')
    assert.equal(made.code, 0, made.stderr)
    assert.match(made.stderr, /Made ".* User Intermediate 2"[\s\S]*Start the CA again/)
    assert.notEqual(of(users('intermediate.pem')), before)
    assert.equal(of(file('ca-keys', 'intermediate.pem')), servers, 'that of servers is as it was')
    assert.deepEqual(new X509Certificate(readFileSync(users('intermediate.pem'))).keyUsage, ['1.3.6.1.5.5.7.3.2'])
    assert.equal((await cli('issue', 'benvolio@example.org', '--out', 'second')).code, 0)
    await restart()
    assert.match(ocsp(file('second', 'benvolio@example.org.pem')), /: good/)
    // Romeo's was signed by the first one, whose status, certificate and CRL are still there.
    const romeo = JSON.parse((await cli('list', '--json')).stdout).find(({ jid }: { jid: string }) => jid === 'romeo@example.org')
    writeFileSync(file('romeo.pem'), JSON.parse((await run(folder, ['show', romeo.serial, '--json'], environment)).stdout)[0].pem)
    assert.match(ocsp(file('romeo.pem'), undefined, file('first-intermediate.pem')), /: good/)
    assert.match(await crlOf(file('romeo.pem'), file('first-intermediate.pem')), /X509v3 CRL Number/)
    assert.equal(
      Buffer.from(await (await fetch(uriIn(file('romeo.pem'), 'CA Issuers -'))).arrayBuffer()).compare(
        new X509Certificate(readFileSync(file('first-intermediate.pem'))).raw,
      ),
      0,
    )
    const doctor = await run(folder, ['doctor', '--json'], environment)
    assert.equal(doctor.code, 0, doctor.stdout)
  })

  it('goes on with its root elsewhere, whose CRL is imported', async () => {
    const medium = file('medium')
    mkdirSync(path.join(medium, 'ca-keys'), { recursive: true, mode: 0o700 })
    for (const name of ['root.key', 'root.pem']) cpSync(users(name), path.join(medium, 'ca-keys', name))
    rmSync(users('root.key'))
    const there = { ...environment, ICA_KEY_PASSPHRASE_FILE: file('data', 'ca-keys.passphrase') }
    assert.equal((await run(medium, ['crl', '--out', 'lists'], there)).code, 0)
    const imported = await run(folder, ['crl', '--import', path.join(medium, 'lists', 'root.crl')], environment)
    assert.equal(imported.code, 0, imported.stderr)
    assert.match(imported.stderr, /Imported/)
    assert.match(imported.stdout, /user-root +current/)
    await restart()
    assert.match(program.stdout(), /NOTE: User CA: root\.key is not here/)
    assert.equal((await fetch(`${environment.ICA_URL}/readyz`)).status, 200)
  })

  it('gets over the compromise of its intermediate, whose root is elsewhere', async () => {
    const medium = file('medium')
    const there = { ...environment, ICA_KEY_PASSPHRASE_FILE: file('data', 'ca-keys.passphrase') }
    const at = (name: string): string => path.join(medium, name)
    const ok = async (done: Promise<{ code: number | null; stderr: string }>): Promise<void> => {
      const { code, stderr } = await done
      assert.equal(code, 0, stderr)
    }
    cpSync(users('intermediate.pem'), at('compromised.pem'))
    await ok(cli('init', '--new-intermediate', '--csr', at('next.csr')))
    // Signed as one of servers it would be good for servers, too, and is refused.
    await ok(run(medium, ['init', '--sign', 'next.csr', '--out', 'wrong.pem'], there))
    assert.match((await cli('init', '--import', at('wrong.pem'))).stderr, /is not for users/)
    await ok(run(medium, ['user', 'init', '--sign', 'next.csr', '--out', 'next.pem'], there))
    await ok(cli('init', '--import', at('next.pem')))
    await restart()
    await ok(cli('issue', 'mercutio@example.org', '--out', 'third'))
    assert.match(ocsp(file('third', 'mercutio@example.org.pem')), /: good/)

    await ok(run(medium, ['revoke', 'compromised.pem', '--reason', 'cACompromise', '--yes'], there))
    await ok(run(medium, ['crl', '--out', 'lists'], there))
    await ok(run(folder, ['crl', '--import', path.join(medium, 'lists', 'root.crl')], environment))
    await ok(run(folder, ['revoke', '--issuer', at('compromised.pem'), '--reason', 'cACompromise', '--yes'], environment))
    const benvolio = file('second', 'benvolio@example.org.pem')
    await until('what it has signed is revoked', async () => /: revoked/.test(ocsp(benvolio, undefined, at('compromised.pem'))))
    await until('so is the intermediate itself', async () => {
      const list = Buffer.from(await (await fetch(uriIn(at('compromised.pem'), 'CRL Distribution Points'))).arrayBuffer())
      writeFileSync(file('user-root.crl'), list)
      const verify = ['verify', '-crl_check', '-CRLfile', file('user-root.crl'), '-CAfile', users('root.pem'), at('compromised.pem')]
      return /certificate revoked/.test(spawnSync('openssl', verify, { encoding: 'utf8' }).stderr)
    })
    assert.match(ocsp(file('third', 'mercutio@example.org.pem')), /: good/)
    assert.equal((await fetch(`${environment.ICA_URL}/readyz`)).status, 200)
  })

  it('begins anew with another root, where the first is lost', async () => {
    const root = readFileSync(users('root.pem'), 'utf8')
    renameSync(file('ca-keys', 'users'), file('ca-keys-of-users-before'))
    const made = await cli('init')
    assert.equal(made.code, 0, made.stderr)
    assert.notEqual(readFileSync(users('root.pem'), 'utf8'), root)
    assert.equal((await cli('issue', 'tybalt@example.org', '--out', 'fourth')).code, 0)
    await restart()
    assert.match(ocsp(file('fourth', 'tybalt@example.org.pem')), /: good/)
  })

  it('refuses to start where the folder of users has a CA of servers', async () => {
    const other = newFolder()
    try {
      const settings = { ICA_URL: `http://localhost:${await freePort()}` }
      assert.equal((await run(other.folder, ['init'], settings)).code, 0)
      const keys = path.join(other.folder, 'ca-keys')
      mkdirSync(path.join(keys, 'users'), { mode: 0o700 })
      for (const name of ['root.pem', 'root.key', 'intermediate.pem', 'intermediate.key'])
        cpSync(path.join(keys, name), path.join(keys, 'users', name))
      const { code, stderr } = await run(other.folder, ['user', 'init'], settings)
      assert.equal(code, 1)
      assert.match(stderr, /users\/intermediate\.pem: .*is not for users: it must be allowed to sign for clientAuth and nothing else/)
    } finally {
      other.remove()
    }
  })
})
