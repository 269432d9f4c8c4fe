import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { after, afterEach, beforeEach, describe, it } from 'node:test'
import type { TlsOptions } from 'node:tls'
import fc from 'fast-check'
import type { ErrorCode } from '../../src/errors.js'
import { acmeIdentifierOf } from '../../src/validation/acme-identifier.js'
import { dns01 } from '../../src/validation/dns-01.js'
import { http01 } from '../../src/validation/http-01.js'
import { createPorts } from '../../src/validation/net.js'
import { tlsAlpn01 } from '../../src/validation/tls-alpn-01.js'
import { printable, type ValidationResult } from '../../src/validation/validator.js'
import { startDnsServer } from '../support/dns-server.js'
import { startHttpTarget, startTcpTarget, startTlsTarget, type Target } from '../support/http-target.js'
import { selfSigned, x509 } from '../support/self-signed.js'

const NAME = 'xn--bcher-kva.test'
const token = randomBytes(16).toString('base64url')
const thumbprint = randomBytes(32).toString('base64url')
const keyAuthorization = `${token}.${thumbprint}`
const digest = createHash('sha256').update(keyAuthorization).digest()
const txt = digest.toString('base64url')
const input = {
  identifier: { type: 'dns' as const, value: NAME },
  wildcard: false,
  token,
  keyAuthorization,
  thumbprint,
  priorThumbprints: async () => [],
  accountUri: 'http://localhost/acme/account/1',
}

const dns = await startDnsServer(['test'])
const { signal } = new AbortController()
const open: Target[] = []
after(() => dns.close())
beforeEach(() => {
  dns.clear()
  dns.set(NAME, 'A', '127.0.0.1')
})
afterEach(async () => {
  for (const target of open.splice(0)) await target.close()
})

/** Long enough on the busiest machine, and short, for servers that never answer. */
const patient = { resolver: { firstTryMs: 2_000, tries: 2, totalMs: 5_000 }, connectMs: 5_000, totalMs: 10_000 }
const impatient = { resolver: { firstTryMs: 200, tries: 1, totalMs: 300 }, connectMs: 300, totalMs: 400 }
const ports = (port = 9, { lab = true, times = patient } = {}) =>
  createPorts({ servers: [dns.address], lab, http01Port: port, tlsAlpn01Port: port, times })

const failed = (result: ValidationResult, code: ErrorCode, says: RegExp, retryable = true) => {
  assert.ok(!result.ok, JSON.stringify(result))
  assert.match(result.detail, says)
  assert.deepEqual([result.code, result.retryable], [code, retryable])
  assert.ok(result.detail.includes(NAME))
  assert.ok(JSON.stringify(result).length < 4_000)
}

describe('http-01 (RFC 8555 §8.3)', () => {
  const validate = async (handler: RequestListener, lab = true) => {
    const target = await startHttpTarget(handler)
    open.push(target)
    return http01(ports(target.port, { lab })).validate(input, signal)
  }
  const answering = (body: string | Buffer, status = 200) => validate((_, response) => response.writeHead(status).end(body))

  it('proves names, not wildcards', () => {
    const { appliesTo } = http01(ports())
    assert.deepEqual([appliesTo(input.identifier, false), appliesTo(input.identifier, true)], [true, false])
  })

  it('asks for the well-known path of the name', async () => {
    const seen: unknown[] = []
    const result = await validate((request, response) => {
      seen.push(request.method, request.url, request.headers.host)
      response.end(keyAuthorization)
    })
    assert.ok(result.ok, JSON.stringify(result))
    assert.deepEqual(seen, ['GET', `/.well-known/acme-challenge/${token}`, NAME])
    assert.equal(result.evidence.body, keyAuthorization)
  })

  for (const [what, tail] of [
    ['a new line', '\n'],
    ['all kinds of whitespace', ' \t\r\n\v\f'],
  ] as const) {
    it(`ignores ${what} at the end`, async () => assert.ok((await answering(keyAuthorization + tail)).ok))
  }

  const wrong: [what: string, body: string | Buffer, says: RegExp][] = [
    ['nothing', '', /found ""/],
    ['the token alone', token, new RegExp(`found "${token}"`)],
    ["another account's", `${token}.${randomBytes(32).toString('base64url')}`, new RegExp(`expected "${keyAuthorization}"`)],
    ['more behind it', `${keyAuthorization}x`, /found/],
    ['whitespace in front', ` ${keyAuthorization}`, /found " /],
    ['other case', keyAuthorization.toUpperCase(), /found/],
    ['whitespace without end', keyAuthorization + ' '.repeat(10_000), /found/],
    ['a page of HTML', '<html>\n"x"\\', /found "<html>\\n\\"x\\"\\\\"/],
    ['octets', Buffer.from([0, 0x1b, 0x5b, 0xff]), /found "\\x00\\x1b\[\\xff"/],
    ['NUL behind it', `${keyAuthorization}\0`, /found/],
  ]
  for (const [what, body, says] of wrong) {
    it(`is not proven by ${what}`, async () => {
      const result = await answering(body)
      failed(result, 'unauthorized', says)
    })
  }

  for (const status of [201, 204, 400, 401, 403, 404, 500, 503]) {
    it(`is not proven by a ${status}, whatever it holds`, async () => {
      failed(await answering(keyAuthorization, status), 'unauthorized', new RegExp(`status ${status} instead of 200`))
    })
  }

  it('says for good that an address is forbidden', async () => {
    failed(await validate((_, response) => response.end(keyAuthorization), false), 'rejectedIdentifier', /loopback/, false)
  })

  it('passes on what the network did', async () => {
    failed(await http01(ports(9)).validate(input, signal), 'connection', /connection refused/)
    dns.misbehave(NAME, 'SERVFAIL')
    const result = await http01(ports(9)).validate(input, signal)
    failed(result, 'dns', /SERVFAIL/)
    assert.ok(Array.isArray(result.evidence.hops))
  })
})

describe('dns-01 (RFC 8555 §8.4)', () => {
  const AT = `_acme-challenge.${NAME}`
  const validate = (times = patient) => dns01(ports(9, { times })).validate(input, signal)

  it('proves names and wildcards', () => {
    const { appliesTo } = dns01(ports())
    assert.deepEqual([appliesTo(input.identifier, false), appliesTo(input.identifier, true)], [true, true])
  })

  it('is proven by one of several records', async () => {
    dns.set(AT, 'TXT', 'v=spf1 -all', txt, 'other')
    const result = await validate()
    assert.ok(result.ok, JSON.stringify(result))
    assert.deepEqual(result.evidence, { name: AT, outcome: 'records', count: 3, records: ['v=spf1 -all', txt, 'other'], matched: txt })
  })

  it('is proven by a record that is delegated', async () => {
    dns.set(AT, 'CNAME', 'bcher.auth.test')
    dns.set('bcher.auth.test', 'TXT', txt)
    assert.ok((await validate()).ok)
  })

  it('is proven by the last of very many', async () => {
    dns.set(AT, 'TXT', ...Array.from({ length: 400 }, (_, i) => `${i} ${'x'.repeat(100)}`), txt)
    const result = await validate()
    assert.ok(result.ok)
    assert.ok(JSON.stringify(result).length < 4_000)
  })

  const wrong: [what: string, records: (string | string[])[], says: RegExp][] = [
    ['an empty record', [''], /The TXT record at .* does not match: found ""/],
    ['the key authorization itself', [keyAuthorization], /does not match/],
    ['padding', [`${txt}=`], /does not match/],
    ['other case', [txt.toUpperCase()], /does not match/],
    ['whitespace', [` ${txt}`], /does not match/],
    ['hexadecimal', [digest.toString('hex')], /does not match/],
    ['several', ['a', 'b', 'c', 'd', 'e'], /None of the 5 TXT records at .* matches: found "a", "b", "c" and 2 more/],
    ['a very long one', [Array.from({ length: 20 }, () => 'x'.repeat(255))], /found "x{128}…"/],
  ]
  for (const [what, records, says] of wrong) {
    it(`is not proven by ${what}`, async () => {
      dns.set(AT, 'TXT', ...records)
      const result = await validate()
      failed(result, 'unauthorized', says)
      assert.ok(!result.ok && result.detail.includes(`Publish one with the value "${txt}".`))
    })
  }

  it('is not proven by the record at the name itself', async () => {
    dns.set(NAME, 'TXT', txt)
    failed(await validate(), 'unauthorized', /no TXT record at _acme-challenge\..*NXDOMAIN/)
  })

  for (const how of ['SERVFAIL', 'REFUSED', 'silence', 'garbage'] as const) {
    it(`is not proven where the server answers with ${how}`, async () => {
      dns.set(AT, 'TXT', txt)
      dns.misbehave(AT, how)
      failed(await validate(how === 'silence' ? impatient : patient), 'dns', /look-up of TXT records/)
    })
  }
})

describe('tls-alpn-01 (RFC 8737)', () => {
  const OID = '1.3.6.1.5.5.7.1.31'
  const octets = (value: Uint8Array) => Buffer.concat([Buffer.of(0x04, value.length), value])
  const san = (...names: x509.JsonGeneralName[]) => new x509.SubjectAlternativeNameExtension(names)
  const right = new x509.Extension(OID, true, octets(digest))
  const mine = { type: 'dns', value: NAME } as const

  const validate = async (extensions: x509.Extension[], { protocols = ['acme-tls/1'], lab = true } = {}) => {
    const { key, cert } = await selfSigned(NAME, extensions)
    const names: string[] = []
    const SNICallback: TlsOptions['SNICallback'] = (name, done) => {
      names.push(name)
      done(null)
    }
    const target = await startTlsTarget({ key, cert, ALPNProtocols: protocols, SNICallback }, () => {})
    open.push(target)
    return { names, result: await tlsAlpn01(ports(target.port, { lab })).validate(input, signal) }
  }

  it('proves names, not wildcards', () => {
    const { appliesTo } = tlsAlpn01(ports())
    assert.deepEqual([appliesTo(input.identifier, false), appliesTo(input.identifier, true)], [true, false])
  })

  it('is proven by a certificate made for it, asked for by the name', async () => {
    const { names, result } = await validate([san(mine), right])
    assert.ok(result.ok, JSON.stringify(result))
    assert.deepEqual(names, [NAME])
    assert.match(String(result.evidence.fingerprint), /^([0-9A-F]{2}:){31}/)
  })

  it('is proven by a name in another case', async () => {
    assert.ok((await validate([san({ type: 'dns', value: NAME.toUpperCase() }), right])).result.ok)
  })

  const wrong: [what: string, extensions: x509.Extension[], says: RegExp][] = [
    ['no SAN', [right], /SAN is not exactly/],
    ['another name', [san({ type: 'dns', value: 'other.test' }), right], /"DNS:other\.test"/],
    ['two names', [san(mine, { type: 'dns', value: 'other.test' }), right], /SAN is not exactly/],
    ['the name twice', [san(mine, mine), right], /SAN is not exactly/],
    ['a name of another type beside it', [san(mine, { type: 'ip', value: '127.0.0.1' }), right], /SAN is not exactly/],
    ['the name as an e-mail address', [san({ type: 'email', value: NAME }), right], /SAN is not exactly/],
    ['a wildcard', [san({ type: 'dns', value: `*.${NAME}` }), right], /SAN is not exactly/],
    ['no acmeIdentifier', [san(mine)], /no acmeIdentifier/],
    ['an acmeIdentifier that is not critical', [san(mine), new x509.Extension(OID, false, octets(digest))], /not critical/],
    ['two of them', [san(mine), right, new x509.Extension(OID, true, octets(randomBytes(32)))], /more than one/],
    ['another digest', [san(mine), new x509.Extension(OID, true, octets(randomBytes(32)))], /instead of the key authorization's/],
    ['a shorter digest', [san(mine), new x509.Extension(OID, true, octets(digest.subarray(1)))], /OCTET STRING of 32/],
    ['a bare digest', [san(mine), new x509.Extension(OID, true, digest)], /OCTET STRING of 32/],
    ['more behind the digest', [san(mine), new x509.Extension(OID, true, Buffer.concat([octets(digest), Buffer.of(5, 0)]))], /OCTET STRING of 32/],
  ]
  for (const [what, extensions, says] of wrong) {
    it(`is not proven by ${what}`, async () => failed((await validate(extensions)).result, 'unauthorized', says))
  }

  it('is not proven by a certificate that somebody else signed', async () => {
    const made = await selfSigned(NAME, [san(mine), right])
    const der = Buffer.from(new x509.X509Certificate(made.cert).rawData)
    der.writeUInt8(der.readUInt8(der.length - 1) ^ 1, der.length - 1)
    const target = await startTlsTarget({ ...made, cert: x509.PemConverter.encode(der, 'CERTIFICATE'), ALPNProtocols: ['acme-tls/1'] }, () => {})
    open.push(target)
    failed(await tlsAlpn01(ports(target.port)).validate(input, signal), 'unauthorized', /not self-signed/)
  })

  it('is not proven by a server that knows other protocols only', async () => {
    failed((await validate([san(mine), right], { protocols: ['http/1.1'] })).result, 'tls', /TLS handshake/)
  })

  it('is not proven by a server without ALPN', async () => {
    const { key, cert } = await selfSigned(NAME, [san(mine), right])
    const target = await startTlsTarget({ key, cert }, () => {})
    open.push(target)
    failed(await tlsAlpn01(ports(target.port)).validate(input, signal), 'unauthorized', /does not speak the protocol "acme-tls\/1"/)
  })

  it('says for good that an address is forbidden', async () => {
    failed((await validate([san(mine), right], { lab: false })).result, 'rejectedIdentifier', /loopback/, false)
  })

  for (const [what, answer] of [
    ['no TLS', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['silence', ''],
  ] as const) {
    it(`is bounded where the server answers with ${what}`, async () => {
      const target = await startTcpTarget((socket) => socket.write(answer))
      open.push(target)
      const begun = performance.now()
      const times = answer === '' ? impatient : patient
      failed(await tlsAlpn01(ports(target.port, { times })).validate(input, signal), 'tls', /TLS handshake/)
      assert.ok(performance.now() - begun < 5_000)
    })
  }

  it('reads any octets as a certificate without failing', async () => {
    const { cert } = await selfSigned(NAME, [san(mine), right])
    const der = Buffer.from(new x509.X509Certificate(cert).rawData)
    assert.deepEqual(acmeIdentifierOf(der), digest)
    const mutation = fc.record({ at: fc.nat(der.length - 1), octet: fc.nat(255), cut: fc.integer({ min: 0, max: der.length }) })
    fc.assert(
      fc.property(mutation, ({ at, octet, cut }) => {
        const mutated = Buffer.from(der)
        mutated[at] = octet
        acmeIdentifierOf(mutated)
        assert.equal(typeof acmeIdentifierOf(der.subarray(0, cut)), cut === der.length ? 'object' : 'string')
      }),
    )
  })
})

describe('what was seen', () => {
  it('is printable ASCII, whatever it was, and bounded', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
        const shown = printable(Buffer.from(octets), 100)
        assert.match(shown, /^[\x20-\x7e]*…?$/)
        assert.equal(shown.endsWith('…'), octets.length > 100)
        assert.ok(shown.length <= 401)
      }),
    )
  })
})
