/** Bare JIDs of users (RFC 7622), as they get into certificates. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { IcaError } from '../src/errors.js'
import { parseBareJid } from '../src/jid.js'

const parse = parseBareJid

describe('a bare JID', () => {
  const good: [string, string, string][] = [
    ['juliet@example.org', 'juliet@example.org', 'example.org'],
    ['Juliet@Example.ORG', 'juliet@example.org', 'example.org'],
    ['jülia@bücher.example.org', 'jülia@bücher.example.org', 'xn--bcher-kva.example.org'],
    ['juliet@xn--bcher-kva.example.org', 'juliet@bücher.example.org', 'xn--bcher-kva.example.org'],
    ['juliet@BÜCHER.example.org', 'juliet@bücher.example.org', 'xn--bcher-kva.example.org'],
    // Decomposed, and full-width.
    ['ju\u0308lia@example.org', 'jülia@example.org', 'example.org'],
    ['\uff4auliet@example.org', 'juliet@example.org', 'example.org'],
    ['Σωκράτης@example.org', 'σωκράτης@example.org', 'example.org'],
    ['o,hara+tag=1@example.org', 'o,hara+tag=1@example.org', 'example.org'],
    ['*@example.org', '*@example.org', 'example.org'],
    ['גולייט@example.org', 'גולייט@example.org', 'example.org'],
    [`${'a'.repeat(1023)}@example.org`, `${'a'.repeat(1023)}@example.org`, 'example.org'],
  ]
  for (const [text, jid, domain] of good) it(`${text.slice(0, 40)} is ${jid.slice(0, 40)}`, () => assert.deepEqual(parse(text), { jid, domain }))

  const bad: [string, RegExp][] = [
    ['example.org', /is not a bare JID/],
    ['@example.org', /nothing before the "@"/],
    ['juliet@', /no valid domain/],
    ['juliet@example.org/phone', /has a resource/],
    ['juliet@romeo@example.org', /no valid domain/],
    ['juliet@*.example.org', /wildcard/],
    ['juliet@localhost', /single label/],
    ['juliet@192.0.2.1', /IP address/],
    ['juliet@exa mple.org', /no valid domain/],
    ['ju liet@example.org', /character " "/],
    ["o'hara@example.org", /character "'"/],
    ['a:b@example.org', /character ":"/],
    ['<juliet>@example.org', /character "<"/],
    ['juliet\u0000@example.org', /no JID can have/],
    ['juli\u200det@example.org', /no JID can have/],
    ['juli\u00adet@example.org', /no JID can have/],
    ['juliet\u2167@example.org', /no JID can have/],
    ['♥@example.org', /no JID can have/],
    ['\ud800@example.org', /no JID can have/],
    ['aגb@example.org', /both writing directions/],
    [`${'a'.repeat(1024)}@example.org`, /1023 octets/],
    [`${'ü'.repeat(600)}@example.org`, /1023 octets/],
    [`${'a'.repeat(3000)}@example.org`, /longer than a bare JID/],
  ]
  for (const [text, message] of bad) {
    it(`${JSON.stringify(text.slice(0, 40))} is refused`, () =>
      assert.throws(
        () => parse(text),
        (e: Error) => e instanceof IcaError && message.test(e.message),
      ))
  }

  it('in its canonical form is itself, and whatever else is an error in words', () => {
    const texts = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 30 }), fc.string({ unit: 'binary', maxLength: 30 }))
    fc.assert(
      fc.property(texts, fc.constantFrom('@example.org', '@bücher.example.org', ''), (local, domain) => {
        try {
          const { jid } = parse(local + domain)
          assert.equal(parse(jid).jid, jid)
          assert.match(jid, /^[^\s"&'/:<>@]+@[^\s/@]+$/)
        } catch (error) {
          assert.ok(error instanceof IcaError, String(error))
        }
      }),
      { numRuns: 2000 },
    )
  })
})
