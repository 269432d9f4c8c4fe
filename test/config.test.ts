import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, it } from 'node:test'
import { ConfigError, mailProblem, parseConfig, readEnvironment, withoutPassword } from '../src/config.js'
import { configKeys, configTable } from '../src/config-keys.js'

const parse = (environment: Record<string, string>) => parseConfig(environment, '/srv/ica')

const mistakes = (environment: Record<string, string>): string[] => {
  try {
    parse(environment)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.mistakes
  }
  return []
}

const listeners = (environment: Record<string, string>) => {
  const { url, statusUrl, listen, statusListen, oneListener, tls } = parse(environment)
  return {
    url,
    statusUrl,
    listen: `${listen.host}|${listen.port}`,
    status: `${statusListen.host}|${statusListen.port}`,
    one: oneListener,
    tls: tls.mode,
  }
}

describe('configuration', () => {
  it('has a default for everything', () => {
    const config = parse({})
    assert.deepEqual(listeners({}), {
      url: 'http://localhost:8080',
      statusUrl: 'http://localhost:8080',
      listen: 'localhost|8080',
      status: 'localhost|8080',
      one: true,
      tls: 'none',
    })
    assert.equal(config.database, 'file:/srv/ica/data/ica.db')
    assert.equal(config.dataFolder, '/srv/ica/data')
    assert.equal(config.keys, '/srv/ica/ca-keys')
    assert.equal(config.passphraseFile, null)
    assert.deepEqual(config.dnsServers, [])
    assert.equal(config.lab, false)
    assert.equal(config.http01Port, 80)
    assert.equal(config.tlsAlpn01Port, 443)
    assert.equal(config.logLevel, 'info')
    assert.equal(config.termsUrl, 'http://localhost:8080/terms')
    assert.deepEqual(config.caaIdentities, ['localhost'])
  })

  it('has a folder for what it makes for itself', () => {
    assert.equal(parse({ DATABASE_URL: 'file:/var/lib/ica/ica.db' }).dataFolder, '/var/lib/ica')
    assert.equal(parse({ DATABASE_URL: 'postgresql://ica@localhost/ica' }).dataFolder, '/srv/ica/data')
    assert.equal(parse({ DATABASE_URL: 'postgresql://ica@localhost/ica', ICA_DATA: '/var/lib/ica' }).dataFolder, '/var/lib/ica')
    assert.equal(parse({ ICA_DATA: 'own' }).dataFolder, '/srv/ica/own')
  })

  const places: [string, Record<string, string>, Partial<ReturnType<typeof listeners>>][] = [
    ['another port', { ICA_URL: 'http://localhost:9000' }, { listen: 'localhost|9000', status: 'localhost|9000', one: true }],
    ['the port of the listener', { ICA_LISTEN: '127.0.0.1:9000' }, { url: 'http://localhost:9000', listen: '127.0.0.1|9000', one: true }],
    ['a slash at the end', { ICA_URL: 'http://localhost:8080/' }, { url: 'http://localhost:8080' }],
    ['IPv6 loopback', { ICA_URL: 'http://[::1]:8080', ICA_LISTEN: '[::1]:8080' }, { url: 'http://[::1]:8080', listen: '::1|8080' }],
    [
      'https with its own certificate',
      { ICA_URL: 'https://ica.example.org' },
      { statusUrl: 'http://ica.example.org', listen: '*|443', status: '*|80', one: false, tls: 'own' },
    ],
    [
      'https with files, other ports',
      { ICA_URL: 'https://ica.example.org:8443', ICA_STATUS_LISTEN: '*:8080', ICA_TLS_CERT: 'c.pem', ICA_TLS_KEY: 'k.pem' },
      { statusUrl: 'http://ica.example.org:8080', listen: '*|8443', status: '*|8080', one: false, tls: 'files' },
    ],
    [
      'behind a proxy',
      { ICA_URL: 'https://ica.example.org', ICA_TRUST_PROXY: '127.0.0.1' },
      { statusUrl: 'http://ica.example.org', listen: 'localhost|8080', status: 'localhost|8080', one: true, tls: 'none' },
    ],
    [
      'behind a proxy on another machine',
      { ICA_URL: 'https://ica.example.org', ICA_TRUST_PROXY: '10.0.0.0/8, fd00::1', ICA_LISTEN: '*:8080' },
      { listen: '*|8080', tls: 'none' },
    ],
    [
      'status apart on loopback',
      { ICA_URL: 'http://localhost:8080', ICA_STATUS_URL: 'http://127.0.0.1:8081' },
      { status: 'localhost|8081', one: false },
    ],
    ['status apart for all', { ICA_STATUS_URL: 'http://status.example.org', ICA_STATUS_LISTEN: '*:80' }, { status: '*|80', one: false }],
    [
      'an internationalised host',
      { ICA_URL: 'https://zertifikate.bücher.example' },
      { url: 'https://zertifikate.xn--bcher-kva.example', statusUrl: 'http://zertifikate.xn--bcher-kva.example' },
    ],
  ]
  for (const [name, environment, expected] of places) {
    it(`derives listeners: ${name}`, () => {
      const found = listeners(environment)
      assert.deepEqual({ ...found, ...expected }, found)
    })
  }

  const refused: [Record<string, string>, RegExp][] = [
    [{ ICA_URL: 'http://ica.example.org' }, /^ICA_URL: .*plain http.*loopback.*https:\/\/ica\.example\.org/],
    [{ ICA_URL: 'http://ica.example.org', ICA_TRUST_PROXY: '127.0.0.1' }, /^ICA_URL: .*plain http/],
    [{ ICA_URL: 'http://localhost.example.org' }, /^ICA_URL: .*plain http/],
    [{ ICA_URL: 'http://localhost:8080', ICA_LISTEN: '0.0.0.0:8080' }, /^ICA_LISTEN: 0\.0\.0\.0:8080 would serve ACME by plain http to others/],
    [{ ICA_LISTEN: '*:8080' }, /^ICA_LISTEN: \*:8080 would serve/],
    [{ ICA_LISTEN: ':8080' }, /^ICA_LISTEN: \*:8080 would serve/],
    [{ ICA_LISTEN: '192.0.2.1:8080' }, /^ICA_LISTEN: .*would serve/],
    [{ ICA_URL: 'ica.example.org' }, /^ICA_URL: "ica\.example\.org" is not a web address/],
    [{ ICA_URL: 'ftp://ica.example.org' }, /^ICA_URL: .*is not a web address/],
    [{ ICA_URL: 'https://ica.example.org/ca' }, /^ICA_URL: must end after host and port/],
    [{ ICA_URL: 'https://a:b@ica.example.org' }, /^ICA_URL: must not carry/],
    [{ ICA_STATUS_URL: 'https://ica.example.org' }, /^ICA_STATUS_URL: must be http/],
    [{ ICA_URL: 'https://ica.example.org', ICA_LISTEN: '*:443', ICA_STATUS_LISTEN: '*:443' }, /^ICA_STATUS_LISTEN: \*:443 is taken/],
    [{ ICA_URL: 'https://ica.example.org', ICA_LISTEN: '*:443', ICA_STATUS_LISTEN: '127.0.0.1:443' }, /^ICA_STATUS_LISTEN: .* is taken/],
    [{ ICA_LISTEN: 'localhost' }, /^ICA_LISTEN: "localhost" is not host:port/],
    [{ ICA_LISTEN: 'localhost:99999' }, /^ICA_LISTEN: "99999" is not a port/],
    [{ ICA_URL: 'https://ica.example.org', ICA_TLS_CERT: 'c.pem' }, /^ICA_TLS_KEY: is missing/],
    [{ ICA_URL: 'https://ica.example.org', ICA_TLS_KEY: 'k.pem' }, /^ICA_TLS_CERT: is missing/],
    [{ ICA_TLS_CERT: 'c.pem', ICA_TLS_KEY: 'k.pem' }, /^ICA_TLS_CERT: has no use with a plain http ICA_URL/],
    [{ ICA_TRUST_PROXY: 'proxy.example.org' }, /^ICA_TRUST_PROXY: "proxy\.example\.org" is not an address/],
    [{ ICA_TRUST_PROXY: '10' }, /^ICA_TRUST_PROXY: "10" is not an address/],
    [{ DATABASE_URL: 'mysql://root:secret@localhost/ica' }, /^DATABASE_URL: is neither/],
    [{ DATABASE_URL: 'file:' }, /^DATABASE_URL: is neither/],
    [{ ICA_DNS_SERVERS: '127.0.0.1:53, dns.example.org' }, /^ICA_DNS_SERVERS: "dns\.example\.org" is not address:port/],
    [{ ICA_LAB: 'yes' }, /^ICA_LAB: "yes" is neither 1 \(on\) nor 0 \(off\)/],
    [{ ICA_HTTP01_PORT: 'http' }, /^ICA_HTTP01_PORT: "http" is not a port/],
    [{ SMTP_URL: 'localhost:25' }, /^SMTP_URL: is not a mail server/],
    [{ SMTP_URL: 'smtp://localhost:25' }, /^ICA_MAIL_FROM: is missing/],
    [{ ICA_MAIL: 'maybe' }, /^ICA_MAIL: is none of on, notices, off/],
    [{ ICA_MAIL_BOUNCE: 'nobody' }, /^ICA_MAIL_BOUNCE: is not a mail address/],
    [{ ICA_DKIM_KEY: 'dkim.pem' }, /^ICA_DKIM_SELECTOR: is missing/],
    [{ ICA_DKIM_SELECTOR: 's1' }, /^ICA_DKIM_KEY: is missing/],
    [{ ICA_DKIM_SELECTOR: 's1;x' }, /^ICA_DKIM_SELECTOR: is not a DKIM selector/],
    [{ ICA_MAIL_FROM: 'ica' }, /^ICA_MAIL_FROM: is not a mail address/],
    [{ ICA_LOG_LEVEL: 'loud' }, /^ICA_LOG_LEVEL: is none of trace/],
    [{ ICA_DEFAULT_PROFILE: 'web' }, /^ICA_DEFAULT_PROFILE: there is no profile "web"; there are xmpp-server, xmpp-server-3920/],
    [{ ICA_KEY_PASSPHRASE_FILE: 'ca-keys/passphrase' }, /^ICA_KEY_PASSPHRASE_FILE: lies in the folder of the keys/],
    [{ ICA_STATUS_KEYS: 'status' }, /^ICA_STATUS_KEYS: needs ICA_SERVICE_PASSPHRASE_FILE/],
    [
      { ICA_KEY_PASSPHRASE_FILE: '/run/p', ICA_SERVICE_PASSPHRASE_FILE: '/run/p' },
      /^ICA_SERVICE_PASSPHRASE_FILE: is that of ICA_KEY_PASSPHRASE_FILE/,
    ],
    [{ ICA_LISTN: 'localhost:1' }, /^ICA_LISTN: no such setting; is ICA_LISTEN meant\?$/],
    [{ ICA_FROBNICATE: '1' }, /^ICA_FROBNICATE: no such setting$/],
  ]
  for (const [environment, message] of refused) {
    it(`refuses ${Object.entries(environment).join(' ')}`, () => {
      const found = mistakes(environment)
      assert.equal(found.length, 1, found.join('\n'))
      assert.match(found[0] ?? '', message)
    })
  }

  it('reports every mistake at once', () => {
    const found = mistakes({ ICA_URL: 'x', ICA_LISTEN: 'y', ICA_LAB: 'z', ICA_HTTP01_PORT: '-1', ICA_TLS_CRT: 'c', SMTP_URL: 'smtp://h' })
    assert.deepEqual(found.map((line) => line.split(':')[0]).sort(), [
      'ICA_HTTP01_PORT',
      'ICA_LAB',
      'ICA_LISTEN',
      'ICA_MAIL_FROM',
      'ICA_TLS_CRT',
      'ICA_URL',
    ])
  })

  it('never shows a secret in a mistake', () => {
    const found = mistakes({ DATABASE_URL: 'mysql://u:hunter2@h/d', SMTP_URL: 'mail://u:hunter2@h' })
    assert.equal(found.length, 2)
    assert.ok(!found.join().includes('hunter2'))
    assert.equal(withoutPassword('postgresql://u:hunter2@h/d'), 'postgresql://u:***@h/d')
    assert.equal(withoutPassword('file:/srv/ica.db'), 'file:/srv/ica.db')
  })

  it('reads lists and normalises them', () => {
    assert.deepEqual(parse({ ICA_DNS_SERVERS: '127.0.0.1:5353, ::1 [::1]:54,9.9.9.9' }).dnsServers, [
      '127.0.0.1:5353',
      '[::1]:53',
      '[::1]:54',
      '9.9.9.9:53',
    ])
    assert.deepEqual(
      parse({ ICA_TRUST_PROXY: '10.0.0.0/8 ::ffff:192.0.2.1' }).trustedProxies.map(([address, bits]) => `${address}/${bits}`),
      ['10.0.0.0/8', '192.0.2.1/32'],
    )
  })

  it('treats empty variables as not given', () => assert.equal(parse({ ICA_URL: '', ICA_LAB: ' ' }).url, 'http://localhost:8080'))

  it('reads .env, and the environment wins', (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'ica-config-'))
    t.after(() => rmSync(folder, { recursive: true }))
    writeFileSync(path.join(folder, '.env'), 'ICA_LAB=1\nHOME=/elsewhere\nICA_LOG_LEVEL="warn"\n')
    const environment = readEnvironment(folder)
    assert.equal(environment.ICA_LAB, '1')
    assert.equal(environment.ICA_LOG_LEVEL, 'warn')
    assert.equal(environment.HOME, process.env.HOME)
  })

  it('says purpose and default of every setting', () => {
    for (const key of configKeys) assert.ok(key.purpose.length > 10, key.name)
  })

  it('is what the README says', () => {
    const readme = new URL('../README.md', import.meta.url)
    // To renew it: node src/bootstrap.mjs config --markdown
    assert.ok(
      readFileSync(readme, 'utf8').includes(configTable()),
      'the table in README.md differs: replace it by what "xmpp-ica config --markdown" prints',
    )
  })
})

describe('mail', () => {
  const others = { ICA_URL: 'https://ica.example.org' }
  const smtp = { SMTP_URL: 'smtps://u:p@mail.example.org', ICA_MAIL_FROM: 'ca@ica.example.org' }

  it('is needed by a CA for others, unless it says that it wants none', () => {
    const fine: Record<string, string>[] = [
      {},
      { ICA_URL: 'https://127.0.0.1:8443' },
      { ...others, ICA_LAB: '1' },
      { ...others, ICA_MAIL: 'off' },
      { ...others, ...smtp },
    ]
    for (const environment of fine) assert.equal(mailProblem(parse(environment)), null)
    const lacking: Record<string, string>[] = [others, { ...others, ICA_MAIL: 'notices' }, { ...others, ICA_TRUST_PROXY: '127.0.0.1' }]
    for (const environment of lacking)
      assert.match(mailProblem(parse(environment)) ?? '', /^SMTP_URL is missing: https:\/\/ica\.example\.org .* ICA_MAIL=off\.$/)
  })

  it('has a sender, and signs for its domain', () => {
    assert.equal(parse(others).mail.from, 'ca@ica.example.org')
    const { mail } = parse({ ...others, ...smtp, ICA_DKIM_KEY: 'dkim.pem', ICA_DKIM_SELECTOR: 's1' })
    assert.deepEqual(mail.dkim, { keyFile: '/srv/ica/dkim.pem', selector: 's1', domain: 'ica.example.org' })
  })
})
