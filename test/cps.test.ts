/** The practice statement: RFC 3647's outline, and the figures of the program. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { crlShards } from '../src/build.js'
import { defaultRootCrlDays } from '../src/cli/root.js'
import { crlDefaults } from '../src/issuance/crls.js'
import { builtinProfiles, userProfile } from '../src/pki/profile.js'
import { headingsOf } from '../web/markdown.js'

const day = 86_400_000
const text = readFileSync(new URL('../docs/cps.md', import.meta.url), 'utf8')

/** How many subsections each section of RFC 3647 §6 has. */
const outline = [6, 4, 4, 12, 8, 8, 3, 6, 17]

/** What stands under a number. */
const section = (number: string): string =>
  new RegExp(`^### ${number.replace('.', '\\.')} .*\\n([\\s\\S]*?)(?=^##|$(?![\\s\\S]))`, 'm').exec(text)?.[1]?.trim() ?? ''

describe('the practice statement', () => {
  it('has every section of RFC 3647 §6, in order, and something in each', () => {
    const numbers = headingsOf(text).flatMap(({ level, text }) => (level === 1 ? [] : [text.split(' ')[0]]))
    assert.deepEqual(
      numbers,
      outline.flatMap((count, at) => [`${at + 1}.`, ...Array.from({ length: count }, (_, below) => `${at + 1}.${below + 1}`)]),
    )
    for (const number of numbers.filter((one) => /\.\d/.test(one ?? ''))) assert.ok(section(number as string).length > 4, number)
  })

  it('has a version and a date', () => assert.match(text, /^Version \d+\.\d+ of \d{1,2} [A-Z][a-z]+ \d{4}\./m))

  it('has the figures of the program', () => {
    const [standard] = builtinProfiles
    assert.ok(standard)
    for (const [number, ...parts] of [
      ['2.3', `every ${crlDefaults.republishMs / 3_600_000} hours`, `every ${defaultRootCrlDays} days`],
      ['4.10', `CRLs for ${crlDefaults.lifetimeMs / day} days`],
      [
        '6.3',
        `${standard.validityMs / day} days by default and at most ${standard.maxValidityMs / day}`,
        `${userProfile.validityMs / day} and at most ${userProfile.maxValidityMs / day}`,
      ],
      ['7.1', ...builtinProfiles.map(({ name }) => `\`${name}\``)],
      ['7.2', `${crlShards} shards`],
    ] as const)
      for (const part of parts) assert.ok(section(number).includes(part), `${number}: ${part}`)
  })

  it('names no profile that does not exist', () => {
    const names = new Set([...text.matchAll(/`(xmpp-[a-z0-9-]+)`/g)].map(([, name]) => name))
    assert.deepEqual(
      [...names].filter((name) => ![...builtinProfiles, userProfile].some((profile) => profile.name === name)),
      [],
    )
  })
})
