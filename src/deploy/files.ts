/** Putting files in place so that the server never reads half of one, and putting back what was there before. */
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs'
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

/** Links in one path; more are a circle. */
const maxLinks = 40

/**
 * The file that is meant, without the links on the way: they stay, and what they point to is replaced. As root not by a link of another user to what is not theirs: whoever
 * runs the server could have any file of this machine replaced, or a key written anywhere. (Where that user changes folders at the very moment, this can't see it.)
 */
const behindLinks = (file: string): string => {
  let place = path.parse(path.resolve(file)).root
  const parts = path.resolve(file).split(path.sep).filter(Boolean)
  for (let links = 0; parts.length > 0; ) {
    const at = path.join(place, parts.shift() as string)
    const link = lstatSync(at, { throwIfNoEntry: false })
    if (!link?.isSymbolicLink()) {
      place = at
      continue
    }
    const target = statSync(at, { throwIfNoEntry: false })
    // A link to nothing is replaced by the file.
    if (!target && parts.length === 0) return at
    if (process.getuid?.() === 0 && link.uid !== 0 && link.uid !== target?.uid)
      throw new OperatorError(
        `${at} is a link that user ${link.uid} made to ${target ? `what is of user ${target.uid}` : 'nothing'}; it is not followed`,
      )
    links += 1
    if (links > maxLinks) throw new OperatorError(`${file} leads through more than ${maxLinks} links`)
    const to = readlinkSync(at)
    if (path.isAbsolute(to)) place = path.parse(to).root
    parts.unshift(...to.split(path.sep).filter(Boolean))
  }
  return place
}

/** Makes the folder with those above it; whoever may read its files may enter. @returns those that were made, outermost first */
const makeFolder = (folder: string, ownership: Ownership): string[] => {
  const first = mkdirSync(folder, { recursive: true, mode: 0o750 })
  if (first === undefined) return []
  const made: string[] = []
  for (let one = folder; one.length >= first.length; one = path.dirname(one)) made.unshift(one)
  for (const one of made) {
    const handle = openSync(one, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    try {
      if (ownership) fchownSync(handle, ownership.uid, ownership.gid)
      fchmodSync(handle, 0o750)
    } finally {
      closeSync(handle)
    }
  }
  return made
}

const look = (place: string, ownership: Ownership, secret: boolean): Before => {
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
  /** Puts back what was there, byte for byte, and takes away the folders that were made. @returns what could not be put back, and why */
  restore(): string[]
}

/**
 * Writes each file in one step, with the owner and mode of the one before it, or `ownership` and 0640 (secret) or 0644 where there was none. Folders that are missing are made
 * for the same owner.
 * @throws OperatorError where a file cannot be written; what was written until then is put back
 */
export const placeFiles = (files: readonly NewFile[], ownership: Ownership): Placed => {
  const done: Before[] = []
  const folders: string[] = []
  const restore = (): string[] => {
    const lost: string[] = []
    for (const { file, content, mode, ownership: owner } of [...done].reverse()) {
      try {
        if (content === null) rmSync(file, { force: true })
        else replaceFile(file, content, { mode, owner })
      } catch (error) {
        lost.push(`${file} (${(error as Error).message})`)
      }
    }
    for (const folder of [...folders].reverse()) {
      try {
        rmdirSync(folder)
      } catch {
        // Somebody has put something into it: it stays.
      }
    }
    return lost
  }
  try {
    for (const { file, content, secret } of files) {
      const place = behindLinks(file)
      folders.push(...makeFolder(path.dirname(place), ownership))
      const before = look(place, ownership, secret)
      if (before.content?.equals(Buffer.from(content))) continue
      done.push(before)
      replaceFile(before.file, content, { mode: before.mode, owner: before.ownership })
    }
  } catch (error) {
    const lost = restore()
    const now = lost.length === 0 ? 'Everything is as it was before.' : `What could not be put back is ${lost.join(' and ')}.`
    throw new OperatorError(`The files could not be written: ${(error as Error).message}. ${now}`)
  }
  return { changed: done.length > 0, restore }
}
