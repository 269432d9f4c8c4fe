/**
 * Putting several files into the keystore as one: they are written and made durable in a hidden folder, whose renaming to `.install` is the moment of decision;
 * from then on every process that looks at the keystore finishes the work. Existing files are never replaced, but by {@link replaceFiles}, which is for files that have been
 * kept elsewhere.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, readdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { makePrivateFolder, syncFolder, writeNewFile } from './files.js'

const decided = '.install'
const decidedReplacement = '.replace'

/** Moves the files of a decided replacement into place. */
const finishReplacement = (folder: string): void => {
  const from = path.join(folder, decidedReplacement)
  if (!existsSync(from)) return
  for (const name of readdirSync(from)) {
    try {
      renameSync(path.join(from, name), path.join(folder, name))
    } catch (error) {
      // Another process does the same and was faster.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  syncFolder(folder)
  rmSync(from, { recursive: true, force: true })
}

/** Moves the files of a decided installation into place, except those that are there, and of a decided replacement. */
export const finishInstall = (folder: string): void => {
  finishReplacement(folder)
  const from = path.join(folder, decided)
  if (!existsSync(from)) return
  for (const name of readdirSync(from)) {
    try {
      linkSync(path.join(from, name), path.join(folder, name))
    } catch (error) {
      // EEXIST: linked before a crash. ENOENT: another process does the same and was faster.
      if (!['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  syncFolder(folder)
  rmSync(from, { recursive: true, force: true })
}

/**
 * Installs files by name, all or none, however the process ends. Returns false where another process installed first; then these are dropped.
 * The caller has looked that none of them exists.
 */
export const installFiles = (folder: string, contents: Record<string, string>): boolean => {
  makePrivateFolder(folder)
  const fresh = path.join(folder, `.new-${randomBytes(6).toString('hex')}`)
  makePrivateFolder(fresh)
  for (const [name, content] of Object.entries(contents)) writeNewFile(path.join(fresh, name), content)
  let first = !Object.keys(contents).some((name) => existsSync(path.join(folder, name)))
  try {
    if (first) renameSync(fresh, path.join(folder, decided))
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    first = false
  }
  syncFolder(folder)
  rmSync(fresh, { recursive: true, force: true })
  finishInstall(folder)
  return first
}

/** Replaces files by name, all or none, however the process ends. The caller has kept what was there. Throws where another process replaces files at this moment. */
export const replaceFiles = (folder: string, contents: Record<string, string>): void => {
  const fresh = path.join(folder, `.new-${randomBytes(6).toString('hex')}`)
  makePrivateFolder(fresh)
  for (const [name, content] of Object.entries(contents)) writeNewFile(path.join(fresh, name), content)
  try {
    renameSync(fresh, path.join(folder, decidedReplacement))
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true })
    throw error
  }
  syncFolder(folder)
  finishReplacement(folder)
}
