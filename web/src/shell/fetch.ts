/** Questions to the CA's public JSON. */
import { useEffect, useState } from 'preact/hooks'
import { text } from '../text/en.js'

/** What a person is told; `status` is that of the answer, 0 where there was none. */
export class AnswerError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

const failureOf = async (response: Response): Promise<AnswerError> => {
  const after = Number(response.headers.get('Retry-After'))
  if (response.status === 429 && after > 0) return new AnswerError(429, text.ui.slow(text.ui.afterSeconds(after)))
  const problem = (await response.json().catch(() => null)) as { detail?: unknown } | null
  return new AnswerError(response.status, typeof problem?.detail === 'string' ? problem.detail : text.ui.odd(response.status))
}

/** The JSON at a path of this origin. Rejects with {@link AnswerError} whose message is for people, or with AbortError. */
export const getJson = async <T>(path: string, signal?: AbortSignal): Promise<T> => {
  const response = await fetch(path, { headers: { Accept: 'application/json' }, ...(signal && { signal }) }).catch((error: Error) => {
    throw error.name === 'AbortError' ? error : new AnswerError(0, text.ui.offline)
  })
  if (!response.ok) throw await failureOf(response)
  return response.json().catch(() => {
    throw new AnswerError(response.status, text.ui.odd(response.status))
  })
}

export type Answer<T> = { state: 'none' | 'busy' } | { state: 'there'; value: T } | { state: 'failed'; error: AnswerError }

/** The answer at a path as it comes; asks again when the path or `round` changes; null asks nothing. */
export const useJson = <T>(path: string | null, round = 0): Answer<T> => {
  const [answer, setAnswer] = useState<Answer<T> & { of?: string | null }>({ state: path ? 'busy' : 'none', of: path })
  useEffect(() => {
    setAnswer({ state: path ? 'busy' : 'none', of: path })
    if (!path) return
    const abort = new AbortController()
    getJson<T>(path, abort.signal).then(
      (value) => setAnswer({ state: 'there', value, of: path }),
      (error: AnswerError) => abort.signal.aborted || setAnswer({ state: 'failed', error, of: path }),
    )
    return () => abort.abort()
  }, [path, round])
  // Between a new path and its effect the old answer must not be shown for the new question.
  return answer.of === path ? answer : { state: path ? 'busy' : 'none' }
}
