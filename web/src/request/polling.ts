/** Looking again and again at something that changes elsewhere. Free of the browser, so that it can be tried by a clock. */

/** Whether anybody looks at the page; `listen` calls when that may have changed and returns what ends it. */
export type Visibility = { hidden(): boolean; listen(listener: () => void): () => void }

export const pageVisibility: Visibility = {
  hidden: () => document.hidden,
  listen: (listener) => {
    document.addEventListener('visibilitychange', listener)
    return () => document.removeEventListener('visibilitychange', listener)
  },
}

/**
 * Runs `work` again and again, waiting as many milliseconds as it says, while the page is visible; null is the end. Never two rounds at once: whoever comes back to
 * the page while one is under way waits for that one. Returns what stops it.
 */
export const startPolling = (work: (signal: AbortSignal) => Promise<number | null>, page: Visibility): (() => void) => {
  const abort = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  let state: 'waiting' | 'running' | 'over' = 'waiting'
  const round = async (): Promise<void> => {
    // A page in the background would only wear out the CA; when it comes back, it looks at once.
    if (state !== 'waiting' || page.hidden()) return
    clearTimeout(timer)
    state = 'running'
    const wait = await work(abort.signal).catch(() => null)
    state = wait === null || abort.signal.aborted ? 'over' : 'waiting'
    if (wait !== null && state === 'waiting') timer = setTimeout(round, wait)
  }
  const end = page.listen(() => void round())
  void round()
  return () => {
    abort.abort()
    clearTimeout(timer)
    end()
  }
}
