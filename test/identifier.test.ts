import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { domainToASCII, domainToUnicode } from 'node:url'
import fc from 'fast-check'
import { IcaError } from '../src/errors.js'
import {
  compareIdentifiers,
  domainOf,
  type Identifier,
  parseIdentifier,
  parseIdentifiers,
  registrableDomain,
  sameIdentifierSet,
  splitWildcard,
  toAscii,
  toUnicode,
} from '../src/identifier.js'

const dns = (value: string, lab = false) => parseIdentifier('dns', value, { lab }).value
const refusal = (act: () => unknown): IcaError => {
  try {
    act()
  } catch (error) {
    assert.ok(error instanceof IcaError, `${error}`)
    return error
  }
  return assert.fail('nothing was refused')
}

describe('one identifier', () => {
  const accepted: [given: string, value: string][] = [
    ['xmpp.org', 'xmpp.org'],
    ['Conference.XMPP.org', 'conference.xmpp.org'],
    ['*.xmpp.org', '*.xmpp.org'],
    ['xn--bcher-kva.de', 'xn--bcher-kva.de'],
    ['XN--Bcher-KVA.de', 'xn--bcher-kva.de'],
    // Cyrillic that looks like Latin, and Latin mixed with Cyrillic: decoded as given, for the registry to judge.
    ['xn--80ak6aa92e.com', 'xn--80ak6aa92e.com'],
    ['xn--pypal-4ve.com', 'xn--pypal-4ve.com'],
    ['xn--strae-oqa.de', 'xn--strae-oqa.de'],
    ['xn--e1afmkfd.xn--p1ai', 'xn--e1afmkfd.xn--p1ai'],
    ['1.2.3.4.de', '1.2.3.4.de'],
    ['a-b--c.de', 'a-b--c.de'],
    [`*.${'a.'.repeat(9)}de`, `*.${'a.'.repeat(9)}de`],
    [`${'a'.repeat(63)}.de`, `${'a'.repeat(63)}.de`],
    // A private suffix is somebody's domain, and a name below it somebody else's.
    ['duckdns.org', 'duckdns.org'],
    ['me.duckdns.org', 'me.duckdns.org'],
    ['*.me.duckdns.org', '*.me.duckdns.org'],
  ]
  for (const [given, value] of accepted) it(`accepts ${given.slice(0, 40)}`, () => assert.equal(dns(given), value))

  const malformed: [what: string, value: string, says: RegExp][] = [
    ['nothing', '', /empty/],
    ['IPv4', '192.0.2.1', /"192.0.2.1" is an IP address/],
    ['IPv4, two parts', '127.1', /IP address/],
    ['IPv4, hexadecimal', '0x7f.1', /IP address/],
    ['IPv4, one number', '2130706433', /IP address/],
    ['IPv4, octal', '0177.0.0.01', /IP address/],
    ['IPv4, no such address', '1.2.3.456', /IP address/],
    ['a wildcard IPv4', '*.2.3.4', /IP address/],
    ['IPv6', '2001:db8::1', /IPv6/],
    ['IPv6 in brackets', '[::1]', /IPv6/],
    ['IPv6 with a zone', 'fe80::1%eth0', /IPv6/],
    ['IPv4-mapped', '::ffff:127.0.0.1', /IPv6/],
    ['a URL', 'https://xmpp.org/', /leave out scheme/],
    ['a port', 'xmpp.org:5222', /leave out scheme/],
    ['a JID', 'juliet@xmpp.org', /after the "@"/],
    ['a trailing dot', 'xmpp.org.', /ends with a dot/],
    ['a leading dot', '.xmpp.org', /empty label/],
    ['two dots', 'xmpp..org', /empty label/],
    ['a dot', '.', /ends with a dot/],
    ['a star', '*', /left-most label/],
    ['a star and a dot', '*.', /empty label/],
    ['two stars', '*.*', /left-most label/],
    ['two star labels', '*.*.xmpp.org', /left-most label/],
    ['an inner star', 'a.*.xmpp.org', /left-most label/],
    ['part of a label', 'f*.xmpp.org', /left-most label/],
    ['a star that ends a label', '*a.xmpp.org', /left-most label/],
    ['an underscore', '_xmpp-server.xmpp.org', /underscore/],
    ['a space', 'xmpp org.de', /character " "/],
    ['NUL', 'xmpp.org\0.de', /character "\\u0000"/],
    ['a new line', 'xmpp.org\n', /character "\\n"/],
    ['percent', 'xmpp%2eorg.de', /character "%"/],
    ['a hyphen in front', '-xmpp.org', /hyphen/],
    ['a hyphen behind', 'xmpp-.org', /hyphen/],
    ['a reserved label', 'ab--c.org', /reserved/],
    ['a long label', `${'a'.repeat(64)}.de`, /63/],
    ['a long name', `${'a.'.repeat(126)}de`, /253/],
    ['a very long name', 'a'.repeat(100_000), /253/],
    ['a name that is long with its star', `*.${'a.'.repeat(125)}de`, /253/],
    ['a U-label', 'bücher.de', /order "xn--bcher-kva.de"/],
    ['a U-label in upper case, wildcard', '*.BÜCHER.de', /order "\*\.xn--bcher-kva.de"/],
    ['full-width letters', 'ｘmpp.org', /order "xmpp.org"/],
    ['an ideographic dot', 'xmpp。org', /order "xmpp.org"/],
    ['a symbol', 'i❤.ws', /not a valid internationalised/],
    ['an unpaired surrogate', 'a\ud800.de', /not a valid internationalised/],
    ['xn-- and nothing', 'xn--.de', /hyphen/],
    ['xn-- of ASCII', 'xn--xmpp-.de', /hyphen/],
    ['xn-- that decodes to ASCII only', 'xn--a.de', /"xn--a"/],
    ['xn-- of a symbol (IDNA 2008)', 'xn--i-7iq.ws', /"xn--i-7iq"/],
    ['xn-- of upper case', 'xn--bcher-2pa.de', /"xn--bcher-2pa"/],
    ['xn-- of what NFC composes', 'xn--bucher-xyd.de', /"xn--bucher-xyd"/],
    ['xn-- of a full-width letter', 'xn--mi7c.de', /"xn--mi7c"/],
    ['xn-- of a soft hyphen', 'xn--ab-5da.de', /"xn--ab-5da"/],
    ['xn-- of a leading combining mark', 'xn--a-wbb.de', /"xn--a-wbb"/],
    ['xn-- that breaks the bidi rule', 'xn--1-0hc.de', /"xn--1-0hc"/],
    ['xn-- that overflows', `xn--${'9'.repeat(59)}.de`, /not a valid internationalised label/],
    ['xn-- beyond Unicode', 'xn--99999999a.de', /not a valid internationalised label/],
    ['xn-- within xn--', 'xn--xn---epa.de', /not a valid internationalised label/],
  ]
  for (const [what, value, says] of malformed) {
    it(`calls ${what} malformed`, () => {
      for (const lab of [false, true]) {
        const error = refusal(() => dns(value, lab))
        assert.equal(error.code, 'malformed')
        assert.match(error.message, says)
        assert.ok(error.message.length < 400)
      }
    })
  }

  const rejected: [what: string, value: string, says: RegExp][] = [
    ['localhost', 'localhost', /single label/],
    ['a single label', 'xmpp', /single label/],
    ['a top-level domain', 'org', /single label/],
    ['a wildcard top-level domain', '*.org', /whole top-level/],
    ['an internationalised top-level domain', 'xn--p1ai', /single label/],
    ['a public suffix', 'co.uk', /public suffix "co.uk"/],
    ['a public suffix by a wildcard rule', 'foo.ck', /public suffix "foo.ck"/],
    ['a wildcard public suffix', '*.co.uk', /every name under/],
    ['a wildcard private suffix', '*.duckdns.org', /everybody who registers/],
    ['a name of many labels', `${'a.'.repeat(10)}de`, /more than 10 labels/],
    ['onion', 'expyuzz4wqqyqhjn.onion', /special use/],
    ['invalid', 'xmpp.invalid', /special use/],
    ['alt', 'xmpp.alt', /special use/],
    ['reverse look-up', '1.2.0.192.in-addr.arpa', /special use/],
    ['reverse look-up of IPv6', '1.ip6.arpa', /special use/],
  ]
  for (const [what, value, says] of rejected) {
    it(`rejects ${what}`, () => {
      for (const lab of [false, true]) {
        const error = refusal(() => dns(value, lab))
        assert.equal(error.code, 'rejectedIdentifier')
        assert.match(error.message, says)
      }
    })
  }

  for (const value of ['a.test', 'a.example', 'a.localhost', 'a.local', 'a.internal', 'a.lan', 'chat.home.arpa', 'example.com', '*.a.test']) {
    it(`certifies ${value} in a lab only`, () => {
      assert.equal(refusal(() => dns(value)).code, 'rejectedIdentifier')
      assert.equal(dns(value, true), value)
    })
  }

  it('knows no other types', () => {
    for (const type of ['ip', 'DNS', '', undefined, null, 3, {}, 'toString', '__proto__', 'x'.repeat(10_000)]) {
      const error = refusal(() => parseIdentifier(type, 'xmpp.org', { lab: false }))
      assert.equal(error.code, 'unsupportedIdentifier')
      assert.ok(error.message.length < 200)
    }
  })

  it('takes strings only', () => {
    for (const value of [undefined, null, 1, true, ['xmpp.org'], { toString: () => 'xmpp.org' }]) {
      assert.equal(refusal(() => parseIdentifier('dns', value, { lab: false })).code, 'malformed')
    }
  })
})

describe('a list of identifiers', () => {
  const options = { max: 100, lab: false }
  const asList = (...values: unknown[]) => values.map((value) => ({ type: 'dns', value }))

  it('keeps the order and drops repetitions', () => {
    const list = parseIdentifiers(asList('b.xmpp.org', 'XMPP.org', 'xmpp.org', '*.xmpp.org'), options)
    assert.deepEqual(list, asList('b.xmpp.org', 'xmpp.org', '*.xmpp.org'))
  })

  it('has a subproblem for each bad name (RFC 8555 §6.7.1)', () => {
    const error = refusal(() => parseIdentifiers([...asList('xmpp.org', 'localhost', 'a..b'), { type: 'ip', value: '192.0.2.1' }], options))
    assert.equal(error.code, 'malformed')
    assert.deepEqual(
      error.subproblems.map(({ code, identifier }) => [code, identifier.type, identifier.value]),
      [
        ['rejectedIdentifier', 'dns', 'localhost'],
        ['malformed', 'dns', 'a..b'],
        ['unsupportedIdentifier', 'ip', '192.0.2.1'],
      ],
    )
    for (const { detail } of error.subproblems) assert.ok(error.message.includes(detail))
  })

  it('has the code that all bad names share', () => {
    assert.equal(refusal(() => parseIdentifiers(asList('xmpp.org', 'localhost', 'com'), options)).code, 'rejectedIdentifier')
    assert.equal(refusal(() => parseIdentifiers([{ type: 'ip', value: '::1' }], options)).code, 'unsupportedIdentifier')
  })

  it('bounds what it says', () => {
    const error = refusal(() => parseIdentifiers(asList(...Array.from({ length: 100 }, (_, i) => `${i}${'ü'.repeat(5_000)}`)), options))
    assert.equal(error.subproblems.length, 100)
    assert.match(error.message, /97 more names/)
    assert.ok(JSON.stringify([error.message, error.subproblems]).length < 100_000)
  })

  for (const list of [undefined, null, {}, 'xmpp.org', [], [null], [undefined], [1], ['xmpp.org'], [[]], [{}]]) {
    it(`refuses ${JSON.stringify(list)}`, () => assert.match(refusal(() => parseIdentifiers(list, options)).code, /malformed|unsupported/))
  }

  it('is bounded in length', () => {
    const names = Array.from({ length: 101 }, (_, i) => `a${i}.xmpp.org`)
    assert.equal(parseIdentifiers(asList(...names.slice(0, 100)), options).length, 100)
    assert.match(refusal(() => parseIdentifiers(asList(...names), options)).message, /101 identifiers; 100/)
  })
})

describe('helpers', () => {
  it('splits wildcards', () => {
    assert.deepEqual(splitWildcard('*.xmpp.org'), { base: 'xmpp.org', wildcard: true })
    assert.deepEqual(splitWildcard('xmpp.org'), { base: 'xmpp.org', wildcard: false })
  })

  it('finds the registrable domain', () => {
    const table = {
      'a.b.xmpp.org': 'xmpp.org',
      '*.b.co.uk': 'b.co.uk',
      'x.me.duckdns.org': 'me.duckdns.org',
      'duckdns.org': 'duckdns.org',
      'a.b.test': 'b.test',
    }
    for (const [name, domain] of Object.entries(table)) assert.equal(registrableDomain(name), domain)
  })

  it('compares', () => {
    const list: Identifier[] = ['b.org', 'a.org', '*.a.org'].map((value) => ({ type: 'dns', value }))
    assert.deepEqual(
      list.toSorted(compareIdentifiers).map((i) => i.value),
      ['*.a.org', 'a.org', 'b.org'],
    )
    assert.ok(sameIdentifierSet(list, [...list.toReversed(), ...list]))
    assert.ok(!sameIdentifierSet(list, list.slice(1)))
    assert.ok(!sameIdentifierSet(list.slice(1), list))
  })

  it('writes names in both forms', () => {
    assert.equal(toUnicode('xn--bcher-kva.xn--p1ai'), 'bücher.рф')
    assert.equal(toUnicode('xn--a.xn--bcher-kva.de'), 'xn--a.bücher.de')
    assert.equal(toAscii('Bücher.РФ'), 'xn--bcher-kva.xn--p1ai')
    for (const name of ['a b', 'a/b', 'ü@b', 'ü:80', '💩.la', 'a..ü%']) assert.equal(toAscii(name), null)
  })

  // RFC 5892 appendix A: each character where it may stand, and where it may not.
  const contexts: [good: string, bad: string][] = [
    ['l·l', 'a·l'],
    ['\u0375α', '\u0375a'],
    ['א׳', 'a׳'],
    ['א״ב', 'a״'],
    ['ア・イ', 'a・b'],
    ['क्‍ष', 'a\u200db'],
    ['ا٠', 'ا٠۰'],
    ['א1', '1א'],
    ['اب', 'aاب'],
  ]
  for (const [good, bad] of contexts) {
    it(`lets ${good} pass and not ${bad}`, () => {
      const ascii = toAscii(`${good}.test`)
      assert.ok(ascii, good)
      assert.equal(toUnicode(ascii), `${good}.test`)
      assert.equal(toAscii(`${bad}.test`), null)
    })
  }
  for (const label of ['ـبـ', '\u1100\u1100', '〱a', '\u0301a', 'a\u0640']) {
    it(`lets no ${label} pass (RFC 5892 §2.6)`, () => assert.equal(toAscii(`${label}.test`), null))
  }
})

describe('properties', () => {
  const label = fc.stringMatching(/^[a-z0-9]([a-z0-9]{0,10}[a-z])?$/)
  const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => `${labels.join('.')}.test`)
  /** Names of the shapes that go wrong: pieces that mean something to some parser, put together at random. */
  const piece = fc.constantFrom(
    'a',
    'A',
    '0',
    '0x',
    '1',
    '.',
    '..',
    '*',
    '*.',
    '-',
    '--',
    'xn--',
    'ü',
    'ß',
    '\u200d',
    'א',
    '٠',
    ':',
    '[',
    ']',
    '/',
    '@',
    '%',
    '_',
    ' ',
    '\0',
    'com',
    '.org',
    '.test',
    'localhost',
  )
  const hostile = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.stringMatching(/^xn--[a-z0-9-]{0,20}\.de$/),
    fc.domain(),
  )

  it('normal names are accepted in any case', () => {
    fc.assert(
      fc.property(name, fc.boolean(), (n, wildcard) =>
        assert.equal(dns(`${wildcard ? '*.' : ''}${n.toUpperCase()}`, true), `${wildcard ? '*.' : ''}${n}`),
      ),
    )
  })

  it('anything is normalised or refused with a sentence; normal forms are stable, ASCII, lower case and what a URL makes of them', () => {
    fc.assert(
      fc.property(hostile, fc.boolean(), (value, lab) => {
        let normal: string
        try {
          normal = dns(value, lab)
        } catch (error) {
          assert.ok(error instanceof IcaError)
          assert.match(error.code, /^(malformed|rejectedIdentifier)$/)
          assert.match(error.message, /[.)]$/)
          return
        }
        assert.match(normal, /^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
        assert.equal(dns(normal, lab), normal)
        const { base } = splitWildcard(normal)
        assert.equal(new URL(`http://${base}`).hostname, base)
        assert.equal(toAscii(toUnicode(base)), base)
      }),
      { numRuns: 2000, examples: [['a.a', true]] },
    )
  })

  it('any JSON is an identifier list or refused', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (list) => {
        assert.ok(refusal(() => parseIdentifiers(list, { max: 100, lab: true })))
      }),
    )
  })

  it("U-labels agree with the runtime's own IDNA", () => {
    const alphabet = fc.constantFrom(...'abzäöüßéñøœłığžščαβγςωабвґїёאבג中文字日本語ひらカタ한글กขคअआक')
    fc.assert(
      fc.property(fc.array(alphabet, { minLength: 1, maxLength: 12 }), (letters) => {
        const ascii = domainToASCII(`${letters.join('')}.test`)
        if (ascii === '' || toAscii(`${letters.join('')}.test`) === null) return
        assert.equal(dns(ascii, true), ascii)
        assert.equal(toUnicode(ascii), domainToUnicode(ascii))
      }),
    )
  })
})

describe('services (srv)', () => {
  const srv = (value: string, lab = false) => parseIdentifier('srv', value, { lab }).value
  const accepted: [given: string, value: string][] = [
    ['_xmpp-server.xmpp.org', '_xmpp-server.xmpp.org'],
    ['_XMPP-Client.XMPP.org', '_xmpp-client.xmpp.org'],
    ['_xmpp-server.xn--bcher-kva.de', '_xmpp-server.xn--bcher-kva.de'],
  ]
  for (const [given, value] of accepted) it(`accepts ${given}`, () => assert.equal(srv(given), value))

  const refused: [value: string, code: string, says: RegExp][] = [
    ['', 'rejectedIdentifier', /does not begin with a service/],
    ['xmpp.org', 'rejectedIdentifier', /"_xmpp-client\." or "_xmpp-server\."/],
    ['_xmpp-server', 'malformed', /empty/],
    ['_xmpp-server.', 'malformed', /empty/],
    ['_xmpp-servers.xmpp.org', 'rejectedIdentifier', /does not begin/],
    ['_sips.xmpp.org', 'rejectedIdentifier', /does not begin/],
    ['_xmpp-server._tcp.xmpp.org', 'malformed', /RFC 4985 §2.*"_xmpp-server\.xmpp\.org"/],
    ['_xmpp-server._xmpp-client.xmpp.org', 'malformed', /underscore/],
    ['_xmpp-server.*.xmpp.org', 'rejectedIdentifier', /wildcard/],
    ['*._xmpp-server.xmpp.org', 'rejectedIdentifier', /wildcard/],
    ['_xmpp-server.org', 'rejectedIdentifier', /single label/],
    ['_xmpp-server.co.uk', 'rejectedIdentifier', /public suffix/],
    ['_xmpp-server.192.0.2.1', 'malformed', /IP address/],
    ['_xmpp-server.localhost', 'rejectedIdentifier', /single label/],
    ['_xmpp-server.xmpp.org.', 'malformed', /ends with a dot/],
    [`_xmpp-server.${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(57)}.de`, 'malformed', /longer than the 253/],
  ]
  for (const [value, code, says] of refused) {
    it(`refuses ${value.slice(0, 40)}`, () => {
      const error = refusal(() => srv(value))
      assert.equal(error.code, code)
      assert.match(error.message, says)
    })
  }

  it('is about a domain', () => {
    assert.equal(domainOf({ type: 'srv', value: '_xmpp-server.a.example.com' }), 'a.example.com')
    assert.equal(domainOf({ type: 'dns', value: '*.example.com' }), 'example.com')
    assert.equal(registrableDomain('_xmpp-server.a.example.co.uk'), 'example.co.uk')
  })

  it('throws nothing but IcaError, and gives what it takes again', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.domain().map((domain) => `_xmpp-server.${domain}`),
        ),
        (value) => {
          try {
            const parsed = srv(value, true)
            assert.equal(srv(parsed, true), parsed)
          } catch (error) {
            assert.ok(error instanceof IcaError, `${error}`)
          }
        },
      ),
    )
  })
})
