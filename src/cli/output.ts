/** How commands speak: tables and facts on stdout, everything else on stderr. */
import { stderr, stdout } from 'node:process'

export const print = (text: string): void => void stdout.write(`${text}\n`)
export const say = (text: string): void => void stderr.write(`${text}\n`)
/** What moves the cursor of a terminal, or turns text around: C0 and C1, marks and overrides of direction. */
const harmful = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu
const escaped = (text: string): string =>
  text.replace(harmful, (one) => (one === '\n' ? one : `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`))

/** JSON in ASCII where strangers' text would do something to a terminal; what is read from it is the same. */
export const printJson = (value: unknown): void =>
  print(
    escaped(
      JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? Number(v) : v instanceof Uint8Array ? Buffer.from(v).toString('base64') : v), 2),
    ),
  )

/** The same with text of strangers that does nothing to a terminal. */
export const harmless = <T>(value: T): T => JSON.parse(JSON.stringify(value), (_, one) => (typeof one === 'string' ? one.replace(harmful, '?') : one))

/** A moment for people: UTC to the minute. */
export const when = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`

/** Rows under a head, columns aligned; the last column takes what it needs. */
export const table = (head: string[], rows: string[][]): string => {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => [...(row[column] ?? '')].length)))
  const line = (row: string[]): string =>
    row.map((cell, column) => (column === head.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - [...cell].length))).join('  ')
  return all.map(line).join('\n')
}

/** Names and values, one a line, values aligned; a value of several lines stays aligned. */
export const facts = (entries: [string, string | string[]][], indent = ''): string => {
  const width = Math.max(...entries.map(([name]) => name.length))
  return entries
    .flatMap(([name, value]) => [value].flat().map((line, index) => `${indent}${(index === 0 ? name : '').padEnd(width)}  ${line}`))
    .join('\n')
}
