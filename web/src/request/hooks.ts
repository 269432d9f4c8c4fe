/** What the steps of the form share: the client, the state of an action, texts for what goes wrong. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Facts } from '../../../src/api/facts.js'
import { IcaError } from '../../../src/errors.js'
import { type AcmeClient, createAcmeClient } from '../acme/client.js'
import { AcmeError } from '../acme/problem.js'
import type { Trouble } from '../acme/transport.js'
import { AnswerError } from '../shell/fetch.js'
import { requestText as text } from '../text/en-request.js'
import { pageVisibility, startPolling } from './polling.js'

/** A sentence for a person about anything that was thrown. */
export const sentenceOf = (error: unknown): string => {
  if (error instanceof AcmeError) {
    // The detail has the first sentences of the subproblems already.
    const until = error.retryAt !== null && error.type === 'rateLimited' ? ` ${text.until(text.moment(error.retryAt))}` : ''
    return error.message + until
  }
  if (error instanceof IcaError || error instanceof AnswerError) return error.message
  return text.unexpected(error instanceof Error ? error.message : String(error))
}

/** The ACME client of this CA, and what it is waiting for. */
export const useClient = (facts: Facts): { client: AcmeClient; trouble: Trouble | null } => {
  const [trouble, setTrouble] = useState<Trouble | null>(null)
  const client = useMemo(() => createAcmeClient(facts.directory, { origin: location.origin, onTrouble: setTrouble }), [facts.directory])
  return { client, trouble }
}

export type Action = { busy: boolean; error: unknown; run(work: () => Promise<void>): void; clear(): void }

/** Something that a button does: not twice at once, and with its error kept. */
export const useAction = (): Action => {
  const [state, setState] = useState<{ busy: boolean; error: unknown }>({ busy: false, error: null })
  const running = useRef(false)
  const run = useCallback((work: () => Promise<void>) => {
    if (running.current) return
    running.current = true
    setState({ busy: true, error: null })
    work().then(
      () => {
        running.current = false
        setState({ busy: false, error: null })
      },
      (error: unknown) => {
        running.current = false
        setState({ busy: false, error })
      },
    )
  }, [])
  return { ...state, run, clear: useCallback(() => setState({ busy: false, error: null }), []) }
}

/** Polls (polling.ts) with the newest `work`; starts anew when `key` changes. */
export const usePolling = (key: string, work: (signal: AbortSignal) => Promise<number | null>): void => {
  const latest = useRef(work)
  latest.current = work
  useEffect(() => startPolling((signal) => latest.current(signal), pageVisibility), [key])
}
