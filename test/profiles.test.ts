import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, parseConfig } from '../src/config.js'
import { builtinProfiles } from '../src/pki/profile.js'
import { readProfiles } from '../src/profiles.js'

const day = 86_400_000
const read = (profiles: object) => readProfiles(JSON.stringify({ profiles }))

test('without a file there are the built-in profiles', () => {
  const { profiles, mistakes } = readProfiles(null)
  assert.deepEqual([[...profiles.values()], mistakes], [[...builtinProfiles], []])
})

test('an entry changes the profile of its name and leaves the rest of it', () => {
  const { profiles, mistakes } = read({ 'xmpp-server': { validity: '30d', maxValidity: '47d', keyKinds: ['P-256'], requestableNameForms: [] } })
  assert.deepEqual(mistakes, [])
  assert.deepEqual(profiles.get('xmpp-server'), {
    ...builtinProfiles[0],
    validityMs: 30 * day,
    maxValidityMs: 47 * day,
    keyKinds: ['P-256'],
    requestableNameForms: [],
  })
  assert.equal(profiles.size, builtinProfiles.length)
})

test('an entry with a new name extends one that there is, also one above it in the file', () => {
  const { profiles, mistakes } = read({
    strict: { extends: 'xmpp-server', description: 'DNS only, stapled.', challengeTypes: ['dns-01', 'dns-persist-01'], mustStaple: 'always' },
    stricter: { extends: 'strict', backdate: '0h', validity: '160h' },
  })
  assert.deepEqual(mistakes, [])
  assert.equal(profiles.get('stricter')?.name, 'stricter')
  assert.equal(profiles.get('stricter')?.mustStaple, 'always')
  assert.deepEqual([profiles.get('stricter')?.backdateMs, profiles.get('stricter')?.validityMs], [0, 160 * 3_600_000])
  assert.deepEqual(profiles.get('stricter')?.challengeTypes, ['dns-01', 'dns-persist-01'])
})

test('false withdraws a profile', () => {
  const { profiles, mistakes } = read({ 'xmpp-server-3920': false })
  assert.deepEqual([profiles.has('xmpp-server-3920'), mistakes], [false, []])
})

test('every mistake is reported, with its place', () => {
  const table: [file: string, ...says: RegExp[]][] = [
    ['{', /^is not JSON/],
    ['[]', /expected object/i],
    ['{"profile":{}}', /profiles: /, /"profile"/],
    ['{"profiles":{"xmpp-server":true}}', /^profiles\.xmpp-server: .*object/],
    ['{"profiles":{"none":false}}', /^profiles\.none: there is no such profile/],
    ['{"profiles":{"new":{}}}', /^profiles\.new: is new; say by "extends" which of xmpp-server, /],
    ['{"profiles":{"new":{"extends":"none"}}}', /^profiles\.new\.extends: there is no profile "none"/],
    ['{"profiles":{"Bad Name":{"extends":"xmpp-server"}}}', /"Bad Name": the name must consist/],
    ['{"profiles":{"xmpp-server":{"validty":"30d"}}}', /^profiles\.xmpp-server: .*"validty"/],
    ['{"profiles":{"xmpp-server":{"validity":30}}}', /^profiles\.xmpp-server\.validity: /],
    ['{"profiles":{"xmpp-server":{"validity":"30 days"}}}', /like "90d"/],
    ['{"profiles":{"xmpp-server":{"validity":"300d","keyKinds":["DSA"]}}}', /keyKinds\.0: /],
    [
      '{"profiles":{"xmpp-server":{"maxValidity":"300d","mustStaple":"always"},"xmpp-hosted":{"nameForms":[]}}}',
      /over 200 days/,
      /"xmpp-hosted": the name forms/,
    ],
    ['{"profiles":{"xmpp-server-short":{"mustStaple":"asked"}}}', /must-staple needs OCSP/],
  ]
  for (const [file, ...says] of table) {
    const { mistakes } = readProfiles(file)
    for (const expected of says) {
      assert.ok(
        mistakes.some((mistake) => expected.test(mistake)),
        `${file}: ${mistakes.join(' | ')}`,
      )
    }
  }
})

test('ICA_PROFILES names the file, relative to the working folder; its profiles may be the default', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ica-profiles-'))
  try {
    writeFileSync(join(folder, 'p.json'), JSON.stringify({ profiles: { mine: { extends: 'xmpp-server' } } }))
    const config = parseConfig({ ICA_PROFILES: 'p.json', ICA_DEFAULT_PROFILE: 'mine' }, folder)
    assert.deepEqual([config.profiles.get('mine')?.name, config.defaultProfile], ['mine', 'mine'])
    const refused = (environment: Record<string, string>, says: RegExp) =>
      assert.throws(
        () => parseConfig(environment, folder),
        (error) => error instanceof ConfigError && says.test(error.mistakes.join('\n')),
      )
    refused({ ICA_PROFILES: 'none.json' }, /^ICA_PROFILES: .*none\.json cannot be read/)
    refused({ ICA_DEFAULT_PROFILE: 'mine' }, /no profile "mine"; there are xmpp-server, /)
    writeFileSync(join(folder, 'p.json'), '{"profiles":{"xmpp-server":{"maxValidity":"300d","policy":"x"}}}')
    refused({ ICA_PROFILES: 'p.json' }, /over 200 days[\s\S]*ICA_PROFILES: .*object identifier/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
