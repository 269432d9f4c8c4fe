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
    ['xmpp-server', 'xmpp-server-3920'],
  )
})

test('the profiles that are yet to come are only data', () => {
  const short: Profile = {
    ...server,
    name: 'xmpp-server-short',
    validityMs: 6 * day,
    maxValidityMs: 7 * day,
    statusPointers: false,
    mustStaple: 'never',
  }
  const hosted: Profile = { ...server, name: 'xmpp-hosted', nameForms: ['SRVName'] }
  assert.deepEqual([short, hosted].flatMap(checkProfile), [])
  assert.deepEqual(names(hosted, 'example.com'), ['SRVName _xmpp-client.example.com', 'SRVName _xmpp-server.example.com'])
  assert.throws(
    () => names(hosted, '*.example.com'),
    (error) => error instanceof IcaError && error.code === 'rejectedIdentifier' && /wildcard/.test(error.message),
  )
})

test('a profile that is not sound says why', () => {
  const table: [Partial<Profile>, RegExp][] = [
    [{ name: 'XMPP' }, /name must consist/],
    [{ description: '' }, /description/],
    [{ identifierTypes: [] }, /no identifier type/],
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
