/** The address of the page as a value that changes. Every link to a page of the app is followed without loading the document again. */
import { useEffect, useState } from 'preact/hooks'
import { pageAt } from '../../../src/app-paths.js'

export type Place = {
  path: string
  search: string
  /** How we came here: by a new document, a link, back and forward, or without going anywhere. */
  by: 'load' | 'link' | 'history' | 'replace'
  /** Where the page was scrolled to when it was left, to go back to. */
  scroll: number
}

const here = (by: Place['by'], scroll = 0): Place => ({ path: location.pathname, search: location.search, by, scroll })

type Listener = (place: Place) => void
const listeners = new Set<Listener>()
const tell = (place: Place) => {
  for (const listener of listeners) listener(place)
}

/** Scroll positions by the key of the history entry. */
const scrolls = new Map<string, number>()
const keyOf = (state: unknown): string => (state as { key?: string } | null)?.key ?? ''
let key = keyOf(history.state)

/** Goes to a path of the app, with query; `replace` leaves no trace of the page that is shown now. */
export const navigate = (to: string, { replace = false } = {}): void => {
  if (replace) history.replaceState({ key }, '', to)
  else {
    scrolls.set(key, window.scrollY)
    key = String(performance.now())
    history.pushState({ key }, '', to)
  }
  tell(here(replace ? 'replace' : 'link'))
}

const onClick = (event: MouseEvent): void => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const link = event.target instanceof Element ? event.target.closest('a') : null
  if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin || !pageAt(link.pathname)) return
  if (link.hash && link.pathname === location.pathname && link.search === location.search) return
  event.preventDefault()
  navigate(link.pathname + link.search + link.hash)
}

const onPop = (event: PopStateEvent): void => {
  scrolls.set(key, window.scrollY)
  key = keyOf(event.state)
  tell(here('history', scrolls.get(key)))
}

/** The place that is to be shown. Used once, by the shell. */
export const usePlace = (): Place => {
  const [place, setPlace] = useState(() => here('load'))
  useEffect(() => {
    listeners.add(setPlace)
    document.addEventListener('click', onClick)
    window.addEventListener('popstate', onPop)
    return () => {
      listeners.delete(setPlace)
      document.removeEventListener('click', onClick)
      window.removeEventListener('popstate', onPop)
    }
  }, [])
  return place
}
