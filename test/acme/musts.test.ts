/** The inventory of musts.ts against the tests that there are. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { musts } from './musts.js'

/** The titles of the tests of this folder as they stand in the source; what is skipped is none. */
const titles = new Set(
  readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith('.test.ts'))
    .flatMap((name) => [...readFileSync(`${import.meta.dirname}/${name}`, 'utf8').matchAll(/^\s*test\((['`"])(.+?)\1, /gm)].map((match) => match[2])),
)

for (const [document, list] of Object.entries(musts))
  test(`${document}: each of its ${list.length} demands on a server has a test that is named after the section`, () => {
    const without = list.filter(([section, , title]) => {
      const named = title.startsWith(`${document} §`) && title.slice(0, title.indexOf(': ')).split(/[ ,]+/).includes(`§${section}`)
      return !named || !titles.has(title)
    })
    assert.deepEqual(without, [])
  })
