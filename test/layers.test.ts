/** The order of the house (docs/architecture.md): what may import what, and who may look at the clock, the environment and the disk. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const src = fileURLToPath(new URL('../src', import.meta.url))

/** Files and folders by rank; what is not named here is of rank 4: it wires, configures, listens, talks to people. */
const ranks: [rank: number, places: string[]][] = [
  [0, ['errors.ts', 'identifier.ts', 'idna.ts', 'jid.ts', 'model.ts', 'clock.ts', 'log.ts']],
  [1, ['pki', 'validation', 'store', 'keystore', 'mail']],
  [2, ['issuance', 'check']],
  [3, ['acme', 'status', 'api', 'confirm']],
]
const top = 4

/** Libraries with one place where they may be used. */
const owned: [library: RegExp, place: string][] = [
  [/^(@peculiar\/|pkijs$|asn1js$|reflect-metadata$)/, 'pki'],
  [/^sax$/, 'check'],
  [/^(@prisma\/|prisma$|libsql$|@libsql\/|pg$)/, 'store'],
  [/^nodemailer(\/|$)/, 'mail'],
]

/** What only rank 4 may do, with those that may do it all the same and why. */
const forbidden: { what: string; pattern: RegExp; except: Record<string, string> }[] = [
  { what: 'the wall clock', pattern: /\bDate\.now\b|\bnew Date\(\s*\)/, except: {} },
  { what: 'the environment', pattern: /\bprocess\.env\b/, except: {} },
  {
    what: 'the disk',
    pattern: /['"](node:)?fs(\/promises)?['"]/,
    except: {
      'store/migrations.ts': 'the migrations are part of the program, not of its surroundings',
      'store/sqlite.ts': 'the database is a file, and must be for its owner alone before anything is in it',
      'store/wal-sync.ts': 'a commit is durable when its log is',
    },
  },
]

type Source = { name: string; text: string; imports: string[] }

const read = (folder: string): Source[] =>
  readdirSync(path.join(src, folder), { withFileTypes: true }).flatMap((entry): Source[] => {
    const name = path.join(folder, entry.name)
    if (entry.isDirectory()) return name === path.join('store', 'generated') ? [] : read(name)
    if (!entry.name.endsWith('.ts')) return []
    // Comments may say what code may not do.
    const text = readFileSync(path.join(src, name), 'utf8').replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '')
    const imports = [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"]+)\1/g)].map((match) => match[2] as string)
    return [{ name, text, imports }]
  })

const sources = read('')
const byName = new Map(sources.map((source) => [source.name, source]))

const placeOf = (name: string): string => name.split(path.sep)[0] as string
const rankOf = (name: string): number => ranks.find(([, places]) => places.includes(placeOf(name)))?.[0] ?? top

/** The files of ours that a file imports. */
const ours = ({ name, imports }: Source): string[] =>
  imports
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => path.join(path.dirname(name), specifier).replace(/\.js$/, '.ts'))
    .filter((target) => !target.startsWith('..'))

describe('layers', () => {
  it('finds the sources', () => assert.ok(sources.length > 40 && sources.every(({ name, imports }) => imports.length > 0 || rankOf(name) <= top)))

  it('imports only what exists', () => {
    const missing = sources.flatMap((source) =>
      ours(source)
        .filter((target) => !byName.has(target) && !target.includes(`${path.sep}generated${path.sep}`))
        .map((target) => `${source.name} → ${target}`),
    )
    assert.deepEqual(missing, [])
  })

  it('imports only from lower ranks or the own folder', () => {
    const wrong = sources.flatMap((source) =>
      ours(source)
        .filter((target) => {
          const [from, to] = [rankOf(source.name), rankOf(target)]
          // Ranks 0 and 4 are one house each; in between every folder stands alone.
          const neighbours = placeOf(source.name) === placeOf(target) || from === 0 || from === top
          return to > from || (to === from && !neighbours)
        })
        .map((target) => `${source.name} → ${target}`),
    )
    assert.deepEqual(wrong, [])
  })

  it('has no cycles', () => {
    const state = new Map<string, 'open' | 'done'>()
    const cycles: string[] = []
    const visit = (name: string, way: string[]): void => {
      if (state.get(name) === 'done') return
      if (state.get(name) === 'open') {
        cycles.push([...way.slice(way.indexOf(name)), name].join(' → '))
        return
      }
      state.set(name, 'open')
      for (const target of ours(byName.get(name) as Source)) if (byName.has(target)) visit(target, [...way, name])
      state.set(name, 'done')
    }
    for (const { name } of sources) visit(name, [])
    assert.deepEqual(cycles, [])
  })

  for (const [library, place] of owned) {
    it(`uses ${library.source} in ${place}/ only`, () => {
      const wrong = sources.filter(({ name, imports }) => placeOf(name) !== place && imports.some((specifier) => library.test(specifier)))
      assert.deepEqual(
        wrong.map(({ name }) => name),
        [],
      )
    })
  }

  for (const { what, pattern, except } of forbidden) {
    it(`leaves ${what} to rank ${top}`, () => {
      const users = sources.filter(({ name, text }) => rankOf(name) < top && pattern.test(text)).map(({ name }) => name)
      assert.deepEqual(
        users.filter((name) => !(name in except)),
        [],
      )
      // An exception that nobody needs any longer goes.
      assert.deepEqual(
        Object.keys(except).filter((name) => !users.includes(name)),
        [],
      )
    })
  }
})
