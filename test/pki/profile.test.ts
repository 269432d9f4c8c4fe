import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IcaError } from '../../src/errors.js'
import { builtinProfiles, checkProfile, mustStapleFor, namesFor, type Profile } from '../../src/pki/profile.js'
import { day, profileNamed } from './fixtures.js'

const server = profileNamed('xmpp-server')
const names = (profile: Profile, ...domains: string[]) =>
  namesFor(
    profile,
    domains.map((value) => ({ type: 'dns', value })),
  ).map(({ form, value }) => `${form} ${value}`)

test('the built-in profiles are sound; the default comes first', () => {
  assert.deepEqual(builtinProfiles.flatMap(checkProfile), [])
  assert.deepEqual(
    builtinProfiles.map((p) => p.name),
    ['xmpp-server', 'xmpp-server-3920', 'xmpp-server-short', 'xmpp-hosted'],
  )
})

test('a service is named by its SRVName alone, a domain in all forms of the profile, each name once', () => {
  const mixed: Profile = { ...server, identifierTypes: ['dns', 'srv'] }
  assert.deepEqual(checkProfile(mixed), [])
  const srv = (value: string) => ({ type: 'srv' as const, value })
  assert.deepEqual(namesFor(profileNamed('xmpp-hosted'), [srv('_xmpp-server.example.com')]), [{ form: 'SRVName', value: '_xmpp-server.example.com' }])
  assert.deepEqual(
    namesFor(mixed, [srv('_xmpp-server.example.com'), srv('_xmpp-server.example.net'), { type: 'dns', value: 'example.com' }]).map((n) => n.value),
    ['example.com', '_xmpp-client.example.com', '_xmpp-server.example.com', '_xmpp-server.example.net'],
  )
  const refused = (profile: Profile, identifier: Parameters<typeof namesFor>[1][number], says: RegExp) =>
    assert.throws(
      () => namesFor(profile, [identifier]),
      (error) => error instanceof IcaError && error.code === 'rejectedIdentifier' && says.test(error.message),
    )
  refused({ ...server, nameForms: ['SRVName'] }, { type: 'dns', value: '*.example.com' }, /wildcard/)
  refused({ ...server, nameForms: ['dNSName'] }, srv('_xmpp-server.example.com'), /service/)
})

test('a profile that is not sound says why', () => {
  const table: [Partial<Profile>, RegExp][] = [
    [{ name: 'XMPP' }, /name must consist/],
    [{ description: '' }, /description/],
    [{ identifierTypes: [] }, /no identifier type/],
    [{ identifierTypes: ['ip' as 'dns'] }, /identifier types must be some of dns, srv/],
    [{ identifierTypes: ['srv'], nameForms: ['dNSName'] }, /srv identifiers need the name form SRVName/],
    [{ identifierTypes: ['srv'], challengeTypes: ['http-01'] }, /srv identifiers need a challenge by DNS/],
    [{ challengeTypes: [] }, /challenge types/],
    [{ challengeTypes: ['dns-02' as 'dns-01'] }, /challenge types must be some of http-01/],
    [{ requestableNameForms: ['iPAddress' as 'dNSName'] }, /requestable name forms/],
    [{ nameForms: [] }, /name forms/],
    [{ nameForms: ['dNSName', 'dNSName'] }, /name forms/],
    [{ keyKinds: ['P-256', 'DSA' as 'RSA'] }, /kinds of keys/],
    [{ extendedKeyUsage: [] }, /key purposes/],
    [{ validityMs: 0 }, /validity/],
    [{ validityMs: 100 * day, maxValidityMs: 90 * day }, /validity/],
    [{ maxValidityMs: 201 * day }, /over 200 days/],
    [{ statusPointers: false, mustStaple: 'never' }, /without OCSP and CRL/],
    [{ statusPointers: false, maxValidityMs: 7 * day, validityMs: day }, /must-staple needs OCSP/],
    [{ backdateMs: 2 * day }, /at most an hour/],
    [{ policy: 'any' }, /not an object identifier/],
  ]
  for (const [change, message] of table) assert.match(checkProfile({ ...server, ...change }).join('\n'), message)
})

test('names are derived from identifiers', () => {
  assert.deepEqual(names(server, 'example.com', 'xn--bcher-kva.example'), [
    'dNSName example.com',
    'dNSName xn--bcher-kva.example',
    'SRVName _xmpp-client.example.com',
    'SRVName _xmpp-server.example.com',
    'SRVName _xmpp-client.xn--bcher-kva.example',
    'SRVName _xmpp-server.xn--bcher-kva.example',
  ])
  assert.deepEqual(names(profileNamed('xmpp-server-3920'), 'xn--bcher-kva.example'), [
    'dNSName xn--bcher-kva.example',
    'SRVName _xmpp-client.xn--bcher-kva.example',
    'SRVName _xmpp-server.xn--bcher-kva.example',
    'XmppAddr bücher.example',
  ])
  assert.deepEqual(names(profileNamed('xmpp-server-3920'), '*.example.com'), ['dNSName *.example.com'])
  assert.deepEqual(names(server, 'example.com', 'example.com').length, 3)
  for (const broken of ['xn--a', 'xn--0000h']) {
    assert.throws(
      () => names(profileNamed('xmpp-server-3920'), broken),
      (error) => error instanceof IcaError && error.code === 'rejectedIdentifier',
      broken,
    )
  }
})

test('must-staple', () => {
  assert.equal(mustStapleFor(server, false), false)
  assert.equal(mustStapleFor(server, true), true)
  assert.equal(mustStapleFor({ ...server, mustStaple: 'always' }, false), true)
  assert.throws(
    () => mustStapleFor({ ...server, mustStaple: 'never' }, true),
    (error) => error instanceof IcaError && error.code === 'badCSR',
  )
})
