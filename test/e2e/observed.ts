/** Tables that a run has seen, in a document between two marks. */
import { readFileSync, writeFileSync } from 'node:fs'

/**
 * Compares what was observed with the document; with UPDATE=1 in the environment writes it there. `part` names the marks and how to run it.
 * @returns whether the document says so now
 */
export const observe = (document: string, part: string, table: string): boolean => {
  const begin = `<!-- observed by: test/e2e/run.sh start ${part} (UPDATE=1 writes this) -->`
  const end = `<!-- end of ${part} -->`
  const text = readFileSync(document, 'utf8')
  const [before, rest = ''] = text.split(begin) as [string, string?]
  const after = rest.split(end)[1]
  if (after === undefined) throw new Error(`${document} has no place for the table of ${part}`)
  const fresh = `${before}${begin}\n\n${table}\n\n${end}${after}`
  if (process.env.UPDATE === '1') writeFileSync(document, fresh)
  else if (fresh !== text) {
    console.error(`${document} says something else than what was observed. If that is right: UPDATE=1 test/e2e/run.sh start ${part}`)
    return false
  }
  return true
}
