/** Putting files in place so that the server never reads half of one, and putting back what was there before. */
import { existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { replaceFile } from '../files.js'
import { OperatorError } from '../open.js'

/** Numeric, as the system has them; null: leave as it is made. */
export type Ownership = { uid: number; gid: number } | null

export type NewFile = { file: string; content: string; secret: boolean }

/** What stood in a place before: null for nothing. */
type Before = { file: string; content: Buffer | null; mode: number; ownership: Ownership }

const idOf = (table: string, name: string): number => {
  if (/^\d+$/.test(name)) return Number(name)
  const line = readFileSync(table, 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`))
  const id = Number(line?.split(':')[2])
  if (line === undefined || !Number.isInteger(id)) {
    throw new OperatorError(
      `There is no ${table.endsWith('group') ? 'group' : 'user'} "${name}" here. Say by --owner USER:GROUP who reads the files.`,
    )
  }
  return id
}

/** The ids of a user and a group of this machine. Only root can give files away; others keep what they make. */
export const ownershipOf = (user: string, group: string): Ownership =>
  process.getuid?.() === 0 ? { uid: idOf('/etc/passwd', user), gid: idOf('/etc/group', group) } : null

/**
 * The file that is meant, where a link stands: the link stays, and what it points to is replaced. As root not by a link of another user to what is not theirs: whoever
 * runs the server could have any file of this machine replaced.
 */
const behindLinks = (file: string): string => {
  const link = lstatSync(file, { throwIfNoEntry: false })
  const target = link?.isSymbolicLink() ? statSync(file, { throwIfNoEntry: false }) : undefined
  if (!link || !target) return file
  if (process.getuid?.() === 0 && link.uid !== 0 && link.uid !== target.uid)
    throw new OperatorError(`${file} is a link that user ${link.uid} made to a file of user ${target.uid}; it is not followed`)
  return realpathSync(file)
}

const look = (file: string, ownership: Ownership, secret: boolean): Before => {
  const place = behindLinks(file)
  if (!existsSync(place)) return { file: place, content: null, mode: secret ? 0o640 : 0o644, ownership }
  const { mode, uid, gid } = lstatSync(place)
  // Whoever could read a key before may do so after, but never everybody.
  return {
    file: place,
    content: readFileSync(place),
    mode: mode & (secret ? 0o770 : 0o777),
    ownership: process.getuid?.() === 0 ? { uid, gid } : null,
  }
}

export type Placed = {
  /** Whether anything is different now. */
  changed: boolean
  /** Puts back what was there, byte for byte. */
  restore(): void
}

/**
 * Writes each file in one step, with the owner and mode of the one before it, or `ownership` and 0640 (secret) or 0644 where there was none.
 * @throws OperatorError where a file cannot be written; what was written until then is put back
 */
export const placeFiles = (files: readonly NewFile[], ownership: Ownership): Placed => {
  const done: Before[] = []
  const restore = (): void => {
    for (const { file, content, mode, ownership: owner } of [...done].reverse()) {
      if (content === null) rmSync(file, { force: true })
      else replaceFile(file, content, { mode, owner })
    }
  }
  try {
    for (const { file, content, secret } of files) {
      mkdirSync(path.dirname(file), { recursive: true, mode: 0o750 })
      const before = look(file, ownership, secret)
      if (before.content?.equals(Buffer.from(content))) continue
      done.push(before)
      replaceFile(before.file, content, { mode: before.mode, owner: before.ownership })
    }
  } catch (error) {
    restore()
    throw new OperatorError(`The files could not be written: ${(error as Error).message}. Everything is as it was before.`)
  }
  return { changed: done.length > 0, restore }
}
