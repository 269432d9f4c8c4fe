/**
 * Durability of SQLite's commits without stopping the event loop: with synchronous NORMAL a COMMIT writes to the write-ahead log and does not wait for the disk; the
 * log is then synced here by a thread of libuv's pool, as synchronous FULL would have done it within the COMMIT (https://sqlite.org/pragma.html#pragma_synchronous).
 * Nobody may be told of a commit before the sync that began after it has ended.
 */
import { close, fdatasync, openSync } from 'node:fs'

/** Syncs an open file; tests put their own in. */
export type Sync = (fd: number, done: (error: Error | null) => void) => void

export type WalSync = {
  /** Resolves when all that was written before this call is on disk. Rejects for ever once a sync has failed: what a file holds then is not known any more. */
  sync(): Promise<void>
  /** Ends with the sync that is under way or waiting, if any; rejects like it. */
  pending(): Promise<void> | undefined
  /** What the sync failed with that was the last. */
  failure(): Error | undefined
  close(): Promise<void>
}

/** @param file the database, whose log is beside it and stays the same file while a connection is open */
export const createWalSync = (file: string, sync: Sync = fdatasync): WalSync => {
  let fd: number | undefined
  let failure: Error | undefined
  let running: Promise<void> | undefined
  let waiting: Promise<void> | undefined

  /** No log: nothing was written since all of it went into the database. */
  const open = (): number | undefined => {
    try {
      fd ??= openSync(`${file}-wal`, 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    return fd
  }

  const start = (): Promise<void> => {
    waiting = undefined
    running = new Promise<void>((resolve, reject) => {
      if (failure) throw failure
      const log = open()
      if (log === undefined) return resolve()
      sync(log, (error) => {
        // After a failed sync the kernel may call the same octets clean, and the next sync would succeed without them: it is not to be asked again.
        if (error) failure = error
        return error ? reject(error) : resolve()
      })
    }).finally(() => {
      running = waiting
    })
    return running
  }

  return {
    sync() {
      if (!running) return start()
      // The one under way may have begun too early.
      waiting ??= running.then(start, start)
      return waiting
    },
    pending: () => (failure ? Promise.reject(failure) : (waiting ?? running)),
    failure: () => failure,
    async close() {
      await (waiting ?? running)?.catch(() => {})
      if (fd !== undefined) await new Promise((resolve) => close(fd as number, resolve))
    },
  }
}
