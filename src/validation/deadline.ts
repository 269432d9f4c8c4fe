import { setMaxListeners } from 'node:events'

/**
 * Runs `work` with a signal that aborts as soon as `signal` does, at the latest after `ms`. Unlike `AbortSignal.any` with `AbortSignal.timeout` it leaves nothing
 * behind on a signal that lives as long as the program, and its timer keeps the process alive while the work goes on.
 */
export const withDeadline = async <T>(ms: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal) // a CAA check makes a hundred look-ups under one deadline
  const abort = () => controller.abort()
  const timer = setTimeout(abort, ms)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  try {
    return await work(controller.signal)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}
