/** Writing files so that a crash or a full disk leaves either the whole new file or what was there before. */
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'

/** Makes the entries of a folder durable. */
export const syncFolder = (folder: string): void => {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

/** Makes a folder that only its owner can enter; one that exists is closed to others. */
export const makePrivateFolder = (folder: string): void => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chmodSync(folder, 0o700)
}

export type FileRights = {
  /** Exactly these bits, whatever the umask. */
  mode?: number
  owner?: { uid: number; gid: number } | null
}

/** What is put into a file; in pieces where it is long. */
export type FileContent = string | Uint8Array | readonly Uint8Array[]

/** Writes a durable file under a name that nothing else uses, and returns that name. */
const writeBeside = (file: string, content: FileContent, { mode, owner }: FileRights = {}): string => {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${randomBytes(6).toString('hex')}`)
  const handle = openSync(temporary, 'wx', 0o600)
  try {
    if (owner) fchownSync(handle, owner.uid, owner.gid)
    if (mode !== undefined) fchmodSync(handle, mode)
    for (const piece of [content].flat()) writeFileSync(handle, piece)
    fsyncSync(handle)
  } catch (error) {
    unlinkSync(temporary)
    throw error
  } finally {
    closeSync(handle)
  }
  return temporary
}

/** Writes a file that must not exist: never overwrites, whoever else writes at the same moment. Throws EEXIST. */
export const writeNewFile = (file: string, content: string | Uint8Array): void => {
  const temporary = writeBeside(file, content)
  try {
    linkSync(temporary, file)
  } finally {
    unlinkSync(temporary)
  }
  syncFolder(path.dirname(file))
}

/** Writes or replaces a file in one step; for its owner alone unless `rights` say otherwise. */
export const replaceFile = (file: string, content: FileContent, rights?: FileRights): void => {
  const temporary = writeBeside(file, content, rights)
  try {
    renameSync(temporary, file)
  } catch (error) {
    unlinkSync(temporary)
    throw error
  }
  syncFolder(path.dirname(file))
}
