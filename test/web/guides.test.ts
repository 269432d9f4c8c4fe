/** The short instructions of the form against the guides in docs/servers/: what the form says, the guide says, too. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { serverKits } from '../../src/deploy/servers.js'
import { fileNames, guideFor, guideNames } from '../../web/src/guides/servers.js'

const documentOf = (name: string): string => readFileSync(new URL(`../../docs/servers/${name}.md`, import.meta.url), 'utf8')

describe('the guides of the form', () => {
  it('are there for every server that deploy knows', () => assert.deepEqual([...guideNames].sort(), [...serverKits.keys()].sort()))

  for (const name of guideNames) {
    it(`${name}: every path, setting and command stands in docs/servers/${name}.md`, () => {
      const text = documentOf(name)
      const guide = guideFor(name, 'example.org')
      const lines = [...guide.install, ...guide.trust].flatMap((step) => step.lines ?? [])
      const missing = lines.filter((line) => {
        const target = /^install .* (\/\S+)$/.exec(line)?.[1]
        // Of files that deploy writes, the guide names the folder or the file.
        if (target)
          return (
            !text.includes(target) &&
            !text.includes(target.slice(0, target.lastIndexOf('/') + 1)) &&
            !text.includes(target.slice(0, target.lastIndexOf('/')))
          )
        return !text.includes(line.trim())
      })
      assert.deepEqual(missing, [])
    })
  }

  it('take the files under the names that the form gives them', () => {
    const guide = guideFor('prosody', '*.example.org')
    assert.deepEqual(guide.install[0]?.lines, [
      'install -D -o root -g prosody -m 640 example.org.key /etc/prosody/certs/_.example.org.key',
      'install -D -o root -g prosody -m 640 example.org.crt /etc/prosody/certs/_.example.org.crt',
    ])
    assert.equal(fileNames('*.example.org').chain, 'example.org.crt')
    assert.deepEqual(guideFor('ejabberd', 'example.org').files, ['both'])
  })
})
