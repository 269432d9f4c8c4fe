import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { permissionFault, takeInventory } from '../../src/keystore/inventory.js'
import { installFiles } from '../../src/keystore-install.js'
import { createCa, importChain, requestIntermediate, subjectsOf } from '../../src/keystore-make.js'
import { inspectKeystore, openKeystore, readPassphrase } from '../../src/keystore-open.js'
import { newSerial, type StatusUrls } from '../../src/pki/certificate.js'
import { makeIntermediate, makeRoot } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { nodeSigner, readPublicKey } from '../../src/pki/keys.js'
import { pemEncode } from '../../src/pki/pem.js'

const now = Date.UTC(2026, 10, 21)
const day = 86_400_000
const passphrase = 'correct horse battery staple'
const urls = (id: string): StatusUrls => ({
  ocsp: 'http://ica.example/ocsp',
  caIssuers: `http://ica.example/ca/${id}.cer`,
  crl: `http://ica.example/crl/${id}.crl`,
  cps: null,
})

const scratch = mkdtempSync(path.join(tmpdir(), 'ica-keystore-'))
after(() => rmSync(scratch, { recursive: true }))
let count = 0
const newFolder = () => path.join(scratch, String(++count))
const snapshot = (folder: string) => Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]))
const mode = (file: string) => (statSync(file).mode & 0o777).toString(8)

describe('inventory', () => {
  const cases: [string[], string][] = [
    [[], 'empty'],
    [['README.md', 'responder-1.pem'], 'empty'],
    [['root.key', 'root.pem', 'intermediate.key', 'intermediate.pem'], 'complete'],
    [['root.pem', 'intermediate.key', 'intermediate.pem'], 'complete'],
    [['root.pem', 'intermediate.key', 'intermediate.pem', 'intermediate.csr'], 'complete'],
    [['intermediate.key', 'intermediate.csr'], 'requested'],
    [['intermediate.key'], 'incomplete'],
    [['root.key'], 'incomplete'],
    [['root.key', 'root.pem', 'intermediate.pem'], 'incomplete'],
    [['root.key', 'intermediate.key', 'intermediate.pem'], 'incomplete'],
    [['intermediate.csr'], 'incomplete'],
  ]
  for (const [names, state] of cases) it(`${names.join(' ') || 'nothing'}: ${state}`, () => assert.equal(takeInventory(names).state, state))

  it('wants keys for their owner alone, and lets a group read the passphrase', () => {
    assert.equal(permissionFault('k', 0o100600, 'key'), null)
    assert.equal(permissionFault('k', 0o100400, 'key'), null)
    assert.match(permissionFault('/x/root.key', 0o100640, 'key') ?? '', /mode 0640.*chmod 600 \/x\/root\.key/)
    assert.match(permissionFault('/x', 0o40755, 'folder') ?? '', /chmod 700 \/x/)
    assert.equal(permissionFault('p', 0o100440, 'passphrase'), null)
    assert.ok(permissionFault('p', 0o100444, 'passphrase'))
  })
})

describe('keystore', () => {
  const made = newFolder()
  before(async () => {
    assert.equal(await createCa(made, passphrase, 'Test XMPP CA', now, urls), true)
  })
  const copy = () => {
    const folder = newFolder()
    cpSync(made, folder, { recursive: true })
    chmodSync(folder, 0o700)
    return folder
  }

  it('makes a CA in four files, for their owner alone', () => {
    assert.deepEqual(readdirSync(made).sort(), ['intermediate.key', 'intermediate.pem', 'root.key', 'root.pem'])
    assert.equal(mode(made), '700')
    for (const name of readdirSync(made)) assert.equal(mode(path.join(made, name)), '600')
    assert.match(readFileSync(path.join(made, 'root.key'), 'utf8'), /^-----BEGIN ENCRYPTED PRIVATE KEY-----/)
  })

  it('opens it again', () => {
    const { intermediate, root, notes } = openKeystore(made, passphrase, now)
    assert.equal(root.commonName, 'Test XMPP CA Root')
    assert.equal(root.issuer?.id, root.id)
    assert.equal(intermediate.publicKey.kind, 'P-256')
    assert.deepEqual(notes, [])
    assert.ok(new X509Certificate(intermediate.certificate).verify(new X509Certificate(root.certificate).publicKey))
  })

  it('makes keys and certificates that openssl agrees with', () => {
    const file = (name: string) => path.join(made, name)
    const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    assert.match(openssl('verify', '-x509_strict', '-no_check_time', '-CAfile', file('root.pem'), file('intermediate.pem')), /: OK/)
    const fromKey = openssl('pkey', '-in', file('intermediate.key'), '-passin', `pass:${passphrase}`, '-pubout')
    assert.equal(fromKey, openssl('x509', '-in', file('intermediate.pem'), '-noout', '-pubkey'))
  })

  it('never replaces anything', async () => {
    const original = snapshot(made)
    await assert.rejects(createCa(made, passphrase, 'Other', now, urls), /holds a CA already; it is left as it is/)
    await assert.rejects(requestIntermediate(made, passphrase, 'Other'), /holds a CA already/)
    assert.equal(installFiles(made, { 'root.key': 'x', 'root.pem': 'x' }), false)
    assert.deepEqual(snapshot(made), original)
  })

  it('two that start at once end with one CA', async () => {
    const folder = newFolder()
    await Promise.allSettled([createCa(folder, passphrase, 'A', now, urls), createCa(folder, passphrase, 'B', now, urls)])
    assert.match(openKeystore(folder, passphrase, now).root.commonName, /^[AB] Root$/)
    assert.equal(readdirSync(folder).length, 4)
  })

  it('finishes an installation that a crash interrupted', () => {
    const folder = copy()
    mkdirSync(path.join(folder, '.install'), { mode: 0o700 })
    for (const name of ['intermediate.key', 'intermediate.pem']) renameSync(path.join(folder, name), path.join(folder, '.install', name))
    assert.equal(inspectKeystore(folder).state, 'complete')
    assert.deepEqual(snapshot(folder), snapshot(made))
  })

  for (const name of ['root.pem', 'intermediate.key', 'intermediate.pem']) {
    it(`says that ${name} is missing and makes nothing`, async () => {
      const folder = copy()
      rmSync(path.join(folder, name))
      const original = snapshot(folder)
      assert.throws(() => openKeystore(folder, passphrase, now), new RegExp(`is incomplete: ${name} is missing, while .* Restore`))
      await assert.rejects(createCa(folder, passphrase, 'X', now, urls), new RegExp(`${name} is missing`))
      assert.deepEqual(snapshot(folder), original)
    })
  }

  it('goes on without root.key, and says what that means', () => {
    const folder = copy()
    rmSync(path.join(folder, 'root.key'))
    const { root, notes } = openKeystore(folder, passphrase, now)
    assert.equal(root.issuer, null)
    assert.match(notes.join(), /root\.key is not here \(offline root\)/)
  })

  it('says which file a wrong passphrase does not open', () =>
    assert.throws(() => openKeystore(made, 'wrong', now), /intermediate\.key: The private key can’t be opened: the passphrase is wrong/))

  const spoiled: [string, (folder: string) => void, RegExp][] = [
    [
      'another key',
      (f) => cpSync(path.join(f, 'root.key'), path.join(f, 'intermediate.key')),
      /intermediate\.pem: .*does not belong to the private key/,
    ],
    [
      'a key of another root',
      (f) => cpSync(path.join(f, 'intermediate.key'), path.join(f, 'root.key')),
      /root\.pem: .*does not belong to the private key/,
    ],
    ['a plain key', (f) => writeFileSync(path.join(f, 'intermediate.key'), plainKey()), /intermediate\.key: This is not an encrypted private key/],
    ['garbage', (f) => writeFileSync(path.join(f, 'intermediate.pem'), 'hello'), /intermediate\.pem: There is no PEM block "CERTIFICATE"/],
    ['a damaged certificate', (f) => damage(path.join(f, 'intermediate.pem')), /intermediate\.pem: /],
    ['an open key', (f) => chmodSync(path.join(f, 'root.key'), 0o644), /root\.key is open to other users \(mode 0644\).*chmod 600/],
    ['an open folder', (f) => chmodSync(f, 0o755), /is open to other users \(mode 0755\).*chmod 700/],
  ]
  for (const [name, spoil, message] of spoiled) {
    it(`refuses ${name}`, () => {
      const folder = copy()
      spoil(folder)
      assert.throws(() => openKeystore(folder, passphrase, now), message)
    })
  }

  it('refuses a root of somebody else', async () => {
    const folder = copy()
    const other = newFolder()
    await createCa(other, passphrase, 'Test XMPP CA', now, urls)
    cpSync(path.join(other, 'root.pem'), path.join(folder, 'root.pem'))
    assert.throws(() => openKeystore(folder, passphrase, now), /intermediate\.pem: .*signature that was not made with the key of/)
  })

  it('refuses certificates before and after their time', () => {
    assert.throws(() => openKeystore(made, passphrase, now - day), /is not valid before .*is the clock right\?/)
    assert.throws(() => openKeystore(made, passphrase, now + 11 * 365 * day), /intermediate\.pem: .*Intermediate" expired on 2036/)
    assert.match(openKeystore(made, passphrase, now + 9.8 * 365 * day).notes.join(), /intermediate certificate expires on 2036/)
  })

  it('has names that fit into certificates', () => {
    assert.throws(() => subjectsOf(' '), /1 to 51/)
    assert.throws(() => subjectsOf('x'.repeat(52)), /1 to 51/)
    assert.throws(() => subjectsOf('a\nb'), /printable/)
    assert.equal(subjectsOf(' Ä ').root.commonName, 'Ä Root')
  })
})

const plainKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' })

const damage = (file: string) => {
  const text = readFileSync(file, 'utf8').split('\n')
  text.splice(3, 1)
  writeFileSync(file, text.join('\n'))
}

describe('passphrase', () => {
  const place = (passphraseFile: string | null) => ({ passphraseFile, dataFolder: newFolder() })

  it('is the first line of the configured file', () => {
    const file = path.join(scratch, 'passphrase')
    writeFileSync(file, 'two words \r\nanother line\n', { mode: 0o600 })
    assert.deepEqual(readPassphrase(place(file), true), { passphrase: 'two words ', generated: false, file })
  })

  it('is generated once where none is configured', () => {
    const where = place(null)
    const first = readPassphrase(where, true)
    assert.equal(first.generated, true)
    assert.ok(first.passphrase.length >= 32)
    assert.equal(mode(first.file), '600')
    assert.deepEqual(readPassphrase(where, false), first)
  })

  it('says what is wrong with the file', () => {
    assert.throws(() => readPassphrase(place('/nonexistent'), true), /ICA_KEY_PASSPHRASE_FILE: \/nonexistent does not exist/)
    assert.throws(
      () => readPassphrase(place(null), false),
      /passphrase of the keys is not in .*ca-keys\.passphrase, beside the database.* restore that file/,
    )
    const file = path.join(scratch, 'empty')
    writeFileSync(file, '\nsecret', { mode: 0o600 })
    assert.throws(() => readPassphrase(place(file), true), /is empty/)
    writeFileSync(file, 'secret')
    chmodSync(file, 0o644)
    assert.throws(() => readPassphrase(place(file), true), /is open to other users/)
  })
})

describe("an intermediate of somebody else's root", () => {
  const rootKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const validity = { notBefore: now, notAfter: now + 1000 * day }
  const sign = async (request: string, names: { commonName: string } = { commonName: 'Their root' }) => {
    const signer = nodeSigner(rootKey)
    const root = await makeRoot({ serial: newSerial(randomBytes), subject: names, signer, ...validity })
    const spki = execFileSync('openssl', ['req', '-pubkey', '-noout'], { input: request, encoding: 'utf8' })
    const certificate = await makeIntermediate({
      serial: newSerial(randomBytes),
      subject: { commonName: 'Our intermediate' },
      publicKey: readPublicKey(createPublicKey(spki).export({ type: 'spki', format: 'der' })),
      issuer: readIssuer([root], signer, now),
      urls: urls('theirs'),
      ...validity,
    })
    return { root: pemEncode('CERTIFICATE', root), intermediate: pemEncode('CERTIFICATE', certificate) }
  }
  it('is requested, imported, renewed', async () => {
    const folder = newFolder()
    const request = await requestIntermediate(folder, passphrase, 'Ours')
    assert.match(execFileSync('openssl', ['req', '-verify', '-noout', '-subject'], { input: request, encoding: 'utf8' }), /Ours Intermediate/)
    assert.equal(inspectKeystore(folder).state, 'requested')
    assert.throws(() => openKeystore(folder, passphrase, now), /waits for the certificate of its intermediate/)
    // Asking again gives a request for the same key.
    const again = await requestIntermediate(folder, passphrase, 'Ours')
    const keyOf = (text: string) => execFileSync('openssl', ['req', '-pubkey', '-noout'], { input: text, encoding: 'utf8' })
    assert.equal(keyOf(again), keyOf(request))

    const signed = await sign(request)
    const file = path.join(scratch, 'chain.pem')
    const importing = async (text: string) => {
      writeFileSync(file, text)
      await importChain(folder, passphrase, file, now)
    }
    await assert.rejects(importing(signed.intermediate), /the certificate of the root .* is missing/)
    await assert.rejects(importing(signed.root), /none of its 1 certificates is for the key/)
    await assert.rejects(importing('nothing'), /no PEM block/)
    const stranger = await sign(request, { commonName: 'Another root' })
    await assert.rejects(importing(signed.intermediate + stranger.root), /root .* is missing/)
    assert.equal(inspectKeystore(folder).state, 'requested')

    await importing(signed.root + signed.intermediate)
    const { root, intermediate } = openKeystore(folder, passphrase, now)
    assert.equal(root.commonName, 'Their root')
    assert.equal(root.issuer, null)
    assert.equal(intermediate.chain.length, 1)

    await assert.rejects(importing(signed.root + signed.intermediate), /has its certificates already/)
    renameSync(path.join(folder, 'intermediate.pem'), path.join(folder, 'intermediate.old'))
    await importing(signed.intermediate + signed.root)
    assert.ok(existsSync(path.join(folder, 'intermediate.pem')))
  })
})

it('opens a key that openssl encrypted', async () => {
  const folder = newFolder()
  await createCa(folder, passphrase, 'X', now, urls)
  const file = path.join(folder, 'intermediate.key')
  const again = execFileSync('openssl', ['pkcs8', '-topk8', '-in', file, '-passin', `pass:${passphrase}`, '-passout', 'pass:second'])
  assert.match(again.toString(), /ENCRYPTED/)
  writeFileSync(file, again)
  rmSync(path.join(folder, 'root.key'))
  assert.ok(openKeystore(folder, 'second', now))
})
