import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Command } from 'commander'
import { readSerial } from '../../src/cli/names.js'
import { facts, table } from '../../src/cli/output.js'
import { createProgram } from '../../src/cli/program.js'
import { configKeys } from '../../src/config-keys.js'
import { freePort, newFolder, run } from '../support/program.js'

const json = (text: string) => JSON.parse(text)

describe('what commands print', () => {
  it('tables with aligned columns', () => {
    assert.equal(
      table(
        ['a', 'long head', 'c'],
        [
          ['1', '2', '3'],
          ['ü'.repeat(3), 'x', ''],
        ],
      ),
      'a    long head  c\n1    2          3\nüüü  x          ',
    )
  })
  it('facts with aligned values', () =>
    assert.equal(
      facts(
        [
          ['a', 'x'],
          ['long', ['y', 'z']],
        ],
        ' ',
      ),
      ' a     x\n long  y\n       z',
    ))
})

describe('a serial', () => {
  const cases: [string, string | null][] = [
    ['5f0c', '5f0c'],
    ['5F:0C', '5f0c'],
    ['serial=5F0C', '5f0c'],
    ['0x5f0c', '5f0c'],
    ['00815f', '815f'],
    ['0f0c', '0f0c'],
    ['f0c', '0f0c'],
    ['5f0g', null],
    ['', null],
    ['a'.repeat(41), null],
  ]
  for (const [text, serial] of cases) it(`"${text}" is ${serial}`, () => assert.equal(readSerial(text), serial))
})

describe('help', () => {
  it('is there with worked examples for every command', async () => {
    const program = await createProgram()
    for (const { name } of program.commands.map((command) => ({ name: command.name() })))
      assert.ok((await createProgram(name)).commands.length <= 2, `${name} is not loaded by itself`)
    const leavesOf = (command: Command): Command[] => (command.commands.length > 0 ? command.commands.flatMap(leavesOf) : [command])
    // Groups within groups are told apart by their group's help.
    const leaves = leavesOf(program).filter((command) => !command.parent?.parent?.parent)
    const without = [...new Set([...leaves, ...program.commands])].filter((command) => {
      let text = ''
      command.configureOutput({ writeOut: (part) => (text += part) })
      command.outputHelp()
      return !text.includes(command.name() === 'config' ? 'ICA_URL' : '$ xmpp-ica') && command.name() !== 'help'
    })
    assert.deepEqual(
      without.map((command) => `${command.parent?.name()} ${command.name()}`),
      [],
    )
    assert.deepEqual(
      ['serve', 'init', 'list', 'show', 'revoke', 'crl', 'doctor', 'config'].filter(
        (name) => !program.commands.some((command) => command.name() === name),
      ),
      [],
    )
  })
})

describe('commands', () => {
  const { folder, remove } = newFolder()
  after(remove)
  let environment: Record<string, string> = {}
  before(async () => {
    environment = { ICA_URL: `http://localhost:${await freePort()}` }
  })
  const command = (...args: string[]) => run(folder, args, environment)

  it('that read say that there is nothing yet, and make nothing', async () => {
    const list = await command('list')
    assert.equal(list.code, 1)
    assert.match(list.stderr, /There is no database .*data\/ica\.db\..*"xmpp-ica serve" makes a new one/)
    const crl = await command('crl')
    assert.equal(crl.code, 1)
    assert.match(crl.stderr, /There are no CA keys in .*ca-keys\. "xmpp-ica init" makes them/)
    assert.equal(existsSync(path.join(folder, 'data')), false)
  })

  it('doctor has no complaint about a folder where nothing is yet', async () => {
    const { stdout, stderr } = await command('doctor', '--json')
    const findings: { check: string; result: string }[] = json(stdout).findings
    assert.ok(findings.some(({ result, ...finding }) => result === 'warning' && /ICA_WEAK_KEYS is not set/.test(JSON.stringify(finding))))
    assert.deepEqual(
      findings.filter(({ check, result }) => result === 'error' && check !== 'DNS'),
      [],
      stderr,
    )
  })

  it('init makes a CA with a name, and a second time changes nothing', async () => {
    const first = await command('init', '--name', 'Example XMPP CA')
    assert.equal(first.code, 0, first.stderr)
    assert.match(first.stderr, /Made a root and an intermediate in .*ca-keys/)
    assert.match(first.stdout, /SHA-256 +[0-9A-F:]{95}/)
    const root = readFileSync(path.join(folder, 'ca-keys/root.pem'), 'utf8')
    assert.match(execFileSync('openssl', ['x509', '-noout', '-subject'], { input: root, encoding: 'utf8' }), /CN = Example XMPP CA Root/)
    const again = await command('init', '--name', 'Another')
    assert.equal(again.code, 0, again.stderr)
    assert.match(again.stderr, /There is a CA in .* already; nothing was changed/)
    assert.equal(readFileSync(path.join(folder, 'ca-keys/root.pem'), 'utf8'), root)
  })

  it('list and show know the intermediate', async () => {
    const [intermediate] = json((await command('list', '--json')).stdout)
    assert.equal(intermediate.kind, 'intermediate')
    const shown = await command('show', intermediate.serial.toUpperCase())
    assert.match(shown.stdout, /^serial .*\nstatus +valid\n/)
    const file = path.join(folder, 'ca-keys/intermediate.pem')
    assert.equal(json((await command('show', file, '--json')).stdout)[0].serial, intermediate.serial)
  })

  it('show says what it does not know', async () => {
    const name = await command('show', 'example.org')
    assert.equal(name.code, 1)
    assert.match(name.stderr, /no certificate for "example\.org"/)
    assert.match((await command('show', 'ca-keys/root.pem')).stdout, /^status +the root of this CA; within its validity$/m)
    const file = path.join(folder, 'stranger.pem')
    const make = 'req -x509 -newkey rsa:2048 -nodes -subj /CN=stranger -days 1 -keyout /dev/null -out'
    execFileSync('openssl', [...make.split(' '), file], { stdio: 'ignore' })
    assert.match((await command('show', file)).stdout, /^status +not of this CA/m)
    assert.match((await command('show', path.join(folder, 'ca-keys/root.key'))).stderr, /root\.key is not a certificate: .*no PEM block/)
  })

  it('crl publishes; --show only shows', async () => {
    const before = json((await command('crl', '--show', '--json')).stdout)
    assert.deepEqual([...new Set(before.map((list: { state: string }) => list.state))], ['missing'])
    const out = path.join(folder, 'crls')
    const published = await command('crl', '--json', '--out', out)
    assert.equal(published.code, 0, published.stderr)
    for (const { name, state, number } of json(published.stdout)) {
      assert.equal(state, 'current')
      assert.ok(number > 1_700_000_000, 'the seconds since the epoch at least')
      assert.ok(statSync(path.join(out, `${name}.crl`)).size > 0)
    }
    const root = path.join(folder, 'ca-keys/root.pem')
    const verified = spawnSync('openssl', ['crl', '-inform', 'DER', '-in', path.join(out, 'root.crl'), '-noout', '-CAfile', root], {
      encoding: 'utf8',
    })
    assert.match(verified.stderr, /verify OK/)
  })

  it('revoke takes the intermediate back, once, and the root says so', async () => {
    const [{ serial }] = json((await command('list', '--json')).stdout)
    const nothing = await command('revoke', 'abcd')
    assert.match(nothing.stderr, /There is no certificate with the serial abcd/)
    const wrong = await command('revoke', serial, '--reason', 'boredom')
    assert.equal(wrong.code, 1)
    assert.match(wrong.stderr, /One of unspecified, keyCompromise, .* is expected/)
    const revoked = await command('revoke', serial, '--reason', 'cacompromise', '--yes')
    assert.equal(revoked.code, 0, revoked.stderr)
    assert.match(revoked.stderr, /Revoked \(cACompromise\)/)
    const again = await command('revoke', serial, '--yes')
    assert.equal(again.code, 1)
    assert.match(again.stderr, /was revoked /)
    const [shown] = json((await command('show', serial, '--json')).stdout)
    assert.deepEqual([shown.status, shown.reason], ['revoked', 'cACompromise'])
    assert.equal(json((await command('list', '--revoked', '--json')).stdout).length, 1)
    const out = path.join(folder, 'crls')
    await command('crl', '--out', out)
    const text = execFileSync('openssl', ['crl', '-inform', 'DER', '-in', path.join(out, 'root.crl'), '-noout', '-text'], { encoding: 'utf8' })
    assert.ok(text.toLowerCase().includes(`serial number: ${serial}`))
  })

  it('doctor finds what is wrong', async () => {
    const port = Number(new URL(environment.ICA_URL ?? '').port)
    const other = createServer().listen(port, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const passphrase = path.join(folder, 'wrong')
    writeFileSync(passphrase, 'wrong\n', { mode: 0o644 })
    const { code, stdout } = await run(folder, ['doctor'], {
      ...environment,
      ICA_LISTEN: `127.0.0.1:${port}`,
      ICA_KEY_PASSPHRASE_FILE: passphrase,
      ICA_DNS_SERVERS: '127.0.0.1:9',
    })
    other.close()
    assert.equal(code, 1)
    assert.match(stdout, /^ERROR {4}keys: .*wrong is open to other users \(mode 0644\).*chmod 600/m)
    assert.match(stdout, /^ERROR {4}DNS: 127\.0\.0\.1:9 does not answer/m)
    assert.match(stdout, /^ERROR {4}ports: .*is taken by another program/m)
    assert.match(stdout, /^ok {7}database:/m)
    const mistaken = await run(folder, ['doctor'], { ICA_URL: 'nonsense', ICA_LAB: '2' })
    assert.equal(mistaken.code, 1)
    assert.match(mistaken.stdout, /^ERROR {4}configuration: ICA_URL:/m)
    assert.match(mistaken.stdout, /^ERROR {4}configuration: ICA_LAB:/m)
  })

  it('config shows what is in force, without passwords', async () => {
    const { stdout } = await run(folder, ['config', '--json'], { DATABASE_URL: 'postgresql://ica:hunter2@db/ica' })
    assert.equal(json(stdout).database, 'postgresql://ica:***@db/ica')
    assert.equal(json(stdout).url, 'http://localhost:8080')
    const text = await command('config')
    assert.match(text.stdout, /^ICA_KEYS +\/.*\/ca-keys$/m)
    const shown: string[] = text.stdout.match(/^(ICA|SMTP|DATABASE)_\w+/gm) ?? []
    assert.deepEqual(
      configKeys.map(({ name }) => name).filter((name) => !name.startsWith('ICA_DKIM') && name !== 'ICA_TLS_KEY' && !shown.includes(name)),
      [],
      'settings that are not shown',
    )
  })

  it('a file that is in the way is said in a sentence, not by a stack', async () => {
    const file = path.join(folder, 'in-the-way')
    writeFileSync(file, '')
    const settings: Record<string, string>[] = [
      { ICA_KEYS: path.join(folder, 'other-keys'), DATABASE_URL: `file:${file}/ica.db` },
      { ICA_KEYS: path.join(file, 'keys'), DATABASE_URL: `file:${folder}/other/ica.db` },
    ]
    for (const setting of settings) {
      const { code, stderr } = await run(folder, ['serve'], { ...environment, ...setting, ICA_LOG_LEVEL: 'warn' })
      assert.equal(code, 1, stderr)
      assert.match(stderr, /^xmpp-ica: .*in-the-way.* \(E\w+ at mkdir\)\.\n$/)
    }
  })

  it('serve takes --workers for the status side alone', async () => {
    const { code, stderr } = await run(folder, ['serve', '--workers', '2'], environment)
    assert.equal(code, 1)
    assert.match(stderr, /xmpp-ica serve --only status --workers 4/)
  })

  it('unknown ones are refused with a hint', async () => {
    const { code, stderr } = await command('lst')
    assert.equal(code, 1)
    assert.match(stderr, /unknown command 'lst'\n\(Did you mean list\?\)/)
  })
})

describe("init below somebody else's root", () => {
  const { folder, remove } = newFolder()
  after(remove)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] })

  it('goes by request and import, with openssl as the root', async () => {
    const requested = await run(folder, ['init', '--csr', 'intermediate.csr', '--name', 'Ours'])
    assert.equal(requested.code, 0, requested.stderr)
    assert.match(requested.stderr, /passphrase was generated.*xmpp-ica init --import chain\.pem/s)
    const early = await run(folder, ['serve'])
    assert.equal(early.code, 1)
    assert.match(early.stderr, /waits for the certificate of its intermediate/)

    openssl(
      ...'req -x509 -newkey rsa:2048 -nodes -keyout r.key -out r.pem -days 100 -addext keyUsage=critical,keyCertSign,cRLSign'.split(' '),
      '-subj',
      '/CN=Their root',
    )
    openssl(
      'x509',
      '-req',
      '-in',
      'intermediate.csr',
      '-CA',
      'r.pem',
      '-CAkey',
      'r.key',
      '-CAcreateserial',
      '-copy_extensions',
      'copy',
      '-days',
      '90',
      '-out',
      'i.pem',
    )
    const wrong = await run(folder, ['init', '--import', 'i.pem'])
    assert.equal(wrong.code, 1)
    assert.match(wrong.stderr, /i\.pem: the certificate of the root that signed the intermediate is missing/)
    writeFileSync(path.join(folder, 'chain.pem'), readFileSync(path.join(folder, 'i.pem'), 'utf8') + readFileSync(path.join(folder, 'r.pem'), 'utf8'))
    const installed = await run(folder, ['init', '--import', 'chain.pem'])
    assert.equal(installed.code, 0, installed.stderr)

    const shown = await run(folder, ['init'])
    assert.equal(shown.code, 0, shown.stderr)
    assert.match(shown.stderr, /There is a CA/)
    // Its CRL is theirs to publish.
    const lists: { name: string; state: string }[] = json((await run(folder, ['crl', '--json'])).stdout)
    assert.deepEqual(
      [lists.find(({ name }) => name === 'root')?.state ?? 'missing', lists.find(({ name }) => name === 'intermediate')?.state],
      ['missing', 'current'],
    )
    rmSync(path.join(folder, 'ca-keys', 'intermediate.csr'))
    assert.match((await run(folder, ['doctor'])).stdout, /^ok +keys: /m)
  })
})
