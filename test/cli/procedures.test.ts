/**
 * The procedures of docs/operations.md for root and intermediate, literally: the blocks of commands are taken from the document and run, with a folder for the CA, whose
 * program is running, one for the root, and one for the CA that follows where the root is lost. What the document promises is then asked of openssl.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes, X509Certificate } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { buildIca } from '../../src/build.js'
import { createLogging } from '../../src/logging.js'
import { openCore, readConfig } from '../../src/open.js'
import { pemEncode } from '../../src/pki/pem.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { issueDirectly } from '../support/issuing.js'
import { createLeanClient, type LeanClient } from '../support/lean-acme.js'
import { freePort, newFolder, type Program, programFile, run, serve } from '../support/program.js'

const executed = promisify(execFile)
const document = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')

type Place = 'ca' | 'root' | 'new'
type Block = { place: Place; procedure: string; lines: string[] }

/** Blocks whose fence names a place and a procedure: ```sh ca roll-over */
const blocks: Block[] = [...document.matchAll(/^```sh (ca|root|new) (\S+)\n(.*?)^```$/gms)].map(([, place, procedure = '', text = '']) => ({
  place: place as Place,
  procedure,
  lines: text.trim().split('\n'),
}))

const { folder: scratch, remove } = newFolder()
const ca = path.join(scratch, 'ca')
const medium = path.join(scratch, 'medium')
const fresh = path.join(scratch, 'new')
const folders: Record<Place, string> = { ca, root: path.join(medium, 'root'), new: fresh }
const bin = path.join(scratch, 'bin')
let program: Program
/** The CA that follows. */
let successor: Program | null = null
let said = ''

/** `xmpp-ica` as a command on the PATH. */
const install = (): void => {
  mkdirSync(bin)
  writeFileSync(path.join(bin, 'xmpp-ica'), `#!/bin/sh\nexec ${process.execPath} ${programFile} "$@"\n`)
  chmodSync(path.join(bin, 'xmpp-ica'), 0o755)
}

const stop = async (): Promise<void> => {
  program.child.kill('SIGTERM')
  await program.result
}

const perform = async (procedure: string): Promise<void> => {
  const steps = blocks.filter((block) => block.procedure === procedure)
  assert.ok(steps.length > 0, procedure)
  for (const { place, lines } of steps) {
    for (const line of lines) {
      if (line === 'systemctl restart xmpp-ica') {
        await stop()
        program = await serve(ca, {})
        continue
      }
      if (line === 'systemctl start xmpp-ica-2') {
        successor = await serve(fresh, {})
        continue
      }
      const env = { PATH: `${bin}:${process.env.PATH}`, HOME: scratch, MEDIUM: medium, NEW: fresh, LC_ALL: 'C' }
      const { stdout, stderr } = await executed('sh', ['-euc', line], { cwd: folders[place], env }).catch(
        (error: { stdout: string; stderr: string }) => {
          throw new Error(`${place}$ ${line}\n${error.stdout}${error.stderr}`)
        },
      )
      said += `${place}$ ${line}\n${stdout}${stderr}`
    }
  }
}

/** A leaf of whatever intermediate signs now, as a file with its chain; its path. */
const issue = async (domain: string, place: 'ca' | 'new' = 'ca'): Promise<string> => {
  const core = await openCore(readConfig(folders[place]), createLogging('silent'), { create: false, actor: 'system', purpose: 'test' })
  try {
    const ica = buildIca(core, () => undefined)
    const { der } = await issueDirectly(ica, domain)
    const file = path.join(scratch, `${domain}.pem`)
    const [chain = []] = ica.chainsOf(ica.issuer.id)
    writeFileSync(file, [der, ...chain].map((one) => pemEncode('CERTIFICATE', one)).join(''))
    writeFileSync(`${file}.issuer`, pemEncode('CERTIFICATE', chain[0] as Uint8Array))
    return file
  } finally {
    await core.store.close()
  }
}

const openssl = async (...args: string[]): Promise<string> => {
  const { stdout, stderr } = await executed('openssl', args).catch((error: { stdout: string; stderr: string }) => error)
  return stdout + stderr
}

const until = async (what: string, done: () => Promise<boolean>): Promise<void> => {
  const end = Date.now() + 60_000
  while (!(await done())) {
    if (Date.now() > end) assert.fail(`${what}\n${said}\n${program.stderr().slice(-2000)}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

describe('docs/operations.md', () => {
  const rootFile = path.join(ca, 'ca-keys', 'root.pem')
  let url = ''
  let dns: DnsServer
  const crl = async (name: string, from = url): Promise<string> => {
    const file = path.join(scratch, `${randomBytes(4).toString('hex')}.crl`)
    writeFileSync(file, new Uint8Array(await (await fetch(`${from}/crl/${name}.crl`)).arrayBuffer()))
    return file
  }
  const idOf = async (certificate: string): Promise<string> =>
    (await openssl('x509', '-in', certificate, '-noout', '-ext', 'subjectKeyIdentifier'))
      .replace(/^[^\n]*\n|[:\s]/g, '')
      .slice(0, 16)
      .toLowerCase()
  /** What OCSP says of a leaf where it points to. */
  const status = async (leaf: string, root = rootFile): Promise<string> => {
    const text = await openssl(
      'ocsp',
      '-issuer',
      `${leaf}.issuer`,
      '-cert',
      leaf,
      '-url',
      (await openssl('x509', '-in', leaf, '-noout', '-ocsp_uri')).trim(),
      '-CAfile',
      root,
      '-verify_other',
      `${leaf}.issuer`,
    )
    assert.match(text, /Response verify OK/)
    return / (good|revoked|unknown)\n/.exec(text)?.[1] ?? text
  }
  /** What openssl says of a leaf with the CRLs of both levels. */
  const verdict = async (leaf: string, root = rootFile): Promise<string> => {
    const from = new URL((await openssl('x509', '-in', leaf, '-noout', '-ocsp_uri')).trim()).origin
    const lists = [await crl(await idOf(`${leaf}.issuer`), from), await crl(await idOf(root), from)]
    return openssl(
      'verify',
      '-x509_strict',
      '-crl_check_all',
      ...lists.flatMap((list) => ['-CRLfile', list]),
      '-CAfile',
      root,
      '-untrusted',
      `${leaf}.issuer`,
      leaf,
    )
  }
  const fingerprint = (file: string): string => new X509Certificate(readFileSync(file)).fingerprint256
  let first = ''
  let second = ''
  let third = ''

  before(async () => {
    const port = await freePort()
    url = `http://localhost:${port}`
    mkdirSync(ca)
    mkdirSync(medium)
    install()
    writeFileSync(path.join(scratch, 'passphrase'), 'correct horse\n', { mode: 0o600 })
    dns = await startDnsServer()
    writeFileSync(
      path.join(ca, '.env'),
      `ICA_URL=${url}\nICA_KEY_PASSPHRASE_FILE=${path.join(scratch, 'passphrase')}\nICA_LOG_LEVEL=info\nICA_DNS_SERVERS=${dns.address}\n`,
    )
    program = await serve(ca, {})
    first = await issue('first.example.com')
  })
  after(async () => {
    successor?.child.kill('SIGTERM')
    await successor?.result
    await stop()
    await dns.close()
    remove()
  })

  it('has its commands in blocks that are run here', () => {
    assert.deepEqual(
      [...new Set(blocks.map(({ procedure }) => procedure))],
      ['take-away', 'roll-over', 'compromise', 'revoke', 'root-compromise', 'root-revoke'],
    )
    // A block that nobody runs is one that rots.
    assert.equal([...document.matchAll(/^```sh/gm)].length, blocks.length)
  })

  it('takes the root away', async () => {
    const before = Number(
      await openssl('crl', '-inform', 'DER', '-in', await crl(await idOf(rootFile)), '-noout', '-crlnumber').then((text) =>
        text.replace('crlNumber=', ''),
      ),
    )
    await perform('take-away')
    assert.ok(!existsSync(path.join(ca, 'ca-keys', 'root.key')))
    assert.deepEqual(readdirSync(path.join(medium, 'root', 'ca-keys')).sort(), ['in-use', 'root.key', 'root.pem'])
    await until('the CRL of the root', async () => {
      const text = await openssl('crl', '-inform', 'DER', '-in', await crl(await idOf(rootFile)), '-noout', '-crlnumber', '-nextupdate')
      return Number(/crlNumber=(\w+)/.exec(text)?.[1]) > before
    })
    assert.match(await verdict(first), /: OK\n/)
  })

  it('takes a new intermediate, and goes on answering for the old one', async () => {
    const old = fingerprint(path.join(ca, 'ca-keys', 'intermediate.pem'))
    await perform('roll-over')
    assert.notEqual(fingerprint(path.join(ca, 'ca-keys', 'intermediate.pem')), old)
    assert.deepEqual(readdirSync(path.join(ca, 'ca-keys')).sort(), ['in-use', 'intermediate.key', 'intermediate.pem', 'retired', 'root.pem'])
    second = await issue('second.example.com')
    assert.notEqual(fingerprint(`${second}.issuer`), fingerprint(`${first}.issuer`))
    assert.match(await openssl('x509', '-in', `${second}.issuer`, '-noout', '-subject'), /Intermediate 2/)
    for (const leaf of [first, second]) {
      assert.equal(await status(leaf), 'good')
      assert.match(await verdict(leaf), /: OK\n/)
    }
    // Revoking what the old one has signed still works, and shows.
    const extra = await openssl('x509', '-in', first, '-noout', '-serial')
    assert.equal((await run(ca, ['revoke', extra.trim(), '--reason', 'superseded', '--dry-run'])).code, 0)
    const ids = await Promise.all([first, second].map((leaf) => idOf(`${leaf}.issuer`)))
    for (const id of ids) assert.equal((await fetch(`${url}/ca/${id}.cer`)).status, 200)
  })

  it('gets over the compromise of the intermediate', async () => {
    await perform('compromise')
    third = await issue('third.example.com')
    assert.equal(await status(third), 'good')
    assert.equal(await status(second), 'good')
    await perform('revoke')
    await until('OCSP of what the revoked intermediate has signed', async () => (await status(second)) === 'revoked')
    await until('the CRL of the root', async () => /error 23 at [01] depth/.test(await verdict(second)))
    // The intermediate itself is revoked, not only what it has signed.
    const rootOnly = await openssl('verify', '-crl_check', '-CRLfile', await crl(await idOf(rootFile)), '-CAfile', rootFile, `${second}.issuer`)
    assert.match(rootOnly, /error 23 at 0 depth lookup: certificate revoked/)
    assert.match(await openssl('crl', '-inform', 'DER', '-in', await crl(await idOf(rootFile)), '-noout', '-text'), /CA Compromise/)
    for (const leaf of [first, third]) {
      assert.equal(await status(leaf), 'good')
      assert.match(await verdict(leaf), /: OK\n/)
    }
    const { code, stdout } = await run(ca, ['doctor', '--json'])
    assert.equal(code, 0, stdout)
  })

  it('gets over the compromise of the root: a CA of another root, and the old one answers for its certificates', async () => {
    const port = await freePort()
    mkdirSync(fresh)
    writeFileSync(path.join(scratch, 'passphrase-2'), 'battery staple\n', { mode: 0o600 })
    writeFileSync(
      path.join(fresh, '.env'),
      `ICA_URL=http://localhost:${port}\nICA_KEY_PASSPHRASE_FILE=${path.join(scratch, 'passphrase-2')}\nICA_LOG_LEVEL=info\nICA_DNS_SERVERS=${dns.address}\n`,
    )
    const newRoot = path.join(fresh, 'ca-keys', 'root.pem')
    const clientOf = (origin: string) => createLeanClient({ origin, directory: `${origin}/acme/directory` })
    const order = ({ newOrder }: LeanClient): Promise<string> =>
      newOrder(['fourth.ica-procedures.net']).then(
        () => 'ordered',
        (error: Error) => error.message,
      )
    const subscriber = await clientOf(url)
    assert.equal(await order(subscriber), 'ordered')
    await perform('root-compromise')
    assert.match(said, /Example XMPP CA 2 Root/)
    // Rules are read anew within a second.
    await until('the old CA takes no more orders', async () => /rejectedIdentifier/.test(await order(subscriber)))
    subscriber.close()
    const another = await clientOf(`http://localhost:${port}`)
    assert.equal(await order(another), 'ordered')
    another.close()

    const fourth = await issue('fourth.example.com', 'new')
    assert.equal(await status(fourth, newRoot), 'good')
    assert.match(await verdict(fourth, newRoot), /: OK\n/)
    assert.match(
      await openssl('verify', '-CAfile', rootFile, '-untrusted', `${fourth}.issuer`, fourth),
      /error \d+ at \d depth lookup: unable to get/,
    )
    // The two have different addresses for status, and neither answers for the other.
    assert.notEqual(await openssl('x509', '-in', fourth, '-noout', '-ocsp_uri'), await openssl('x509', '-in', third, '-noout', '-ocsp_uri'))
    assert.equal(await status(third), 'good')

    await perform('root-revoke')
    for (const leaf of [first, second, third]) await until('the old CA says revoked', async () => (await status(leaf)) === 'revoked')
    for (const leaf of [first, second, third]) await until('so do its CRLs', async () => /error 23 at 0 depth/.test(await verdict(leaf)))
    assert.equal(await status(fourth, newRoot), 'good')
    assert.match(await verdict(fourth, newRoot), /: OK\n/)
    assert.doesNotMatch((await run(ca, ['list', '--valid', '--json'])).stdout, /(first|second|third)\.example\.com/)
  })

  it('notices that the intermediate that signs is revoked, and refuses an older CRL of the root', async () => {
    const env = { cwd: folders.root, env: { PATH: `${bin}:${process.env.PATH}`, HOME: scratch } }
    await executed('cp', [path.join(medium, 'root.crl'), path.join(scratch, 'older.crl')])
    await executed('xmpp-ica', ['revoke', path.join(ca, 'ca-keys', 'intermediate.pem'), '--yes'], env)
    await assert.rejects(executed('xmpp-ica', ['revoke', path.join(ca, 'ca-keys', 'intermediate.pem'), '--yes'], env), /was revoked before/)
    await executed('xmpp-ica', ['crl', '--out', medium], env)
    assert.equal((await run(ca, ['crl', '--import', path.join(medium, 'root.crl')])).code, 0)
    const again = await run(ca, ['crl', '--import', path.join(scratch, 'older.crl')])
    assert.equal(again.code, 1)
    assert.match(again.stderr, /number \d+ is served already/)
    await until('the running CA, which must not sign with it', async () => {
      const ready = await fetch(`${url}/readyz`)
      return ready.status === 503 && /intermediate certificate was revoked/.test(await ready.text())
    })
    const doctor = await run(ca, ['doctor'])
    assert.equal(doctor.code, 1)
    assert.match(doctor.stdout, /ERROR {4}root: The intermediate ".* 3".* was revoked/)
    const alone = await run(ca, ['revoke', path.join(ca, 'ca-keys', 'intermediate.pem'), '--yes'])
    assert.match(alone.stderr, /Only the root can revoke an intermediate/)
  })
})
