/** What commands share: opening what they work on, and who they act for. */
import { userInfo } from 'node:os'
import type { Core } from '../build.js'
import { type Config, ConfigError } from '../config.js'
import { IcaError } from '../errors.js'
import { KeystoreError } from '../keystore-files.js'
import { inspectKeystore } from '../keystore-open.js'
import type { Log } from '../log.js'
import { createLogging } from '../logging.js'
import { OperatorError, openCore, openDatabase, openRootCore, type RootCore, readConfig } from '../open.js'
import { ListenError } from '../server.js'
import type { Store } from '../store/store.js'

/** Who runs the command, for the audit log: behind sudo the person, not root. */
export const operator = (): string => {
  const name = process.env.SUDO_USER
  if (name) return `operator:${name}`
  try {
    return `operator:${userInfo().username}`
  } catch {
    return `operator:uid-${process.getuid?.() ?? 'unknown'}`
  }
}

/** Commands are quiet but for what goes wrong; only `serve` logs what it does. */
export const quietLog = (config: Config): Log => createLogging(config.logLevel === 'silent' ? 'silent' : 'warn').log

/** Opens the database alone, for commands that only read. */
export const withStore = async <T>(work: (store: Store, config: Config) => Promise<T>): Promise<T> => {
  const config = readConfig()
  const store = await openDatabase(config, quietLog(config), false)
  try {
    return await work(store, config)
  } finally {
    await store.close()
  }
}

/** Opens keys and database, for commands that act for the CA. */
export const withCore = async <T>(purpose: string, work: (core: Core) => Promise<T>): Promise<T> => {
  const config = readConfig()
  const core = await openCore(config, createLogging(config.logLevel === 'silent' ? 'silent' : 'warn'), { create: false, actor: operator(), purpose })
  try {
    return await work(core)
  } finally {
    await core.store.close()
  }
}

/** Opens the root's key and its database, for commands that act for the root. */
export const withRoot = async <T>(purpose: string, work: (core: RootCore) => Promise<T>): Promise<T> => {
  const config = readConfig()
  const core = await openRootCore(config, createLogging(config.logLevel === 'silent' ? 'silent' : 'warn'), { actor: operator(), purpose })
  try {
    return await work(core)
  } finally {
    await core.store.close()
  }
}

/** Whether this is where the root is kept, and nothing else of the CA. */
export const isRootAlone = (): boolean => {
  const inventory = inspectKeystore(readConfig().keys)
  return inventory.state === 'incomplete' && inventory.rootOnly && inventory.present.includes('root.key')
}

/** What the system said of a file, by the code of its error. */
const fileProblems: Record<string, string> = {
  EACCES: 'this user has no right to it',
  EPERM: 'this user has no right to it',
  EEXIST: 'something else of this name is in the way',
  ENOTDIR: 'a part of this path is a file, where a folder is expected',
  EISDIR: 'this is a folder, where a file is expected',
  ENOENT: 'there is no such file or folder',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of this user is used up',
  EROFS: 'the file system is read-only',
}

/** A file that cannot be used, in words; null for any other error. */
const explainFile = (error: unknown): string | null => {
  const { code = '', syscall = '', path } = error as NodeJS.ErrnoException
  const problem = fileProblems[code]
  return error instanceof Error && path && problem ? `${path}: ${problem} (${code} at ${syscall}).` : null
}

/** What an error says to the person at the terminal; null for one that is a fault of the program. */
export const explain = (error: unknown): string | null => {
  if (error instanceof ConfigError) {
    const { mistakes } = error
    const head = mistakes.length === 1 ? 'The configuration has a mistake:' : `The configuration has ${mistakes.length} mistakes:`
    return `${head}\n${mistakes.map((line) => `  ${line}`).join('\n')}\nEach setting is explained by: xmpp-ica config --help`
  }
  const known = [OperatorError, KeystoreError, ListenError, IcaError].some((kind) => error instanceof kind)
  return known ? (error as Error).message : explainFile(error)
}
