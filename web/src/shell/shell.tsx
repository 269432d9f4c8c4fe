/** What is around the pages: loads the facts and the page of the address, shows it, and says what failed. Header and footer are in the document itself. */
import type { ComponentType } from 'preact'
import { useEffect, useErrorBoundary, useLayoutEffect, useState } from 'preact/hooks'
import type { Facts } from '../../../src/api/facts.js'
import { type PageName, pageAt } from '../../../src/app-paths.js'
import { text } from '../text/en.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { useJson } from './fetch.js'
import { loadPage, type PageProps, titleOf } from './pages.js'
import { type Place, usePlace } from './router.js'

type Shown = { place: Place; name: PageName; Page: ComponentType<PageProps> | null }

/** The page of a place once it is loaded; the one before stays meanwhile. */
const useShown = (place: Place, round: number): Shown | null => {
  const [shown, setShown] = useState<Shown | null>(null)
  useEffect(() => {
    let current = true
    const name = pageAt(place.path) ?? 'front'
    const show = (Page: Shown['Page']) => current && setShown({ place, name, Page })
    loadPage(name).then(show, () => show(null))
    return () => {
      current = false
    }
  }, [place, round])
  return shown
}

/** Marks the page in the document's navigation, and puts the operator's own addresses of terms and practice statement into its footer. */
const markLinks = (path: string): void => {
  for (const link of document.querySelectorAll<HTMLAnchorElement>('body > header a')) {
    if (link.pathname === path || (link.pathname !== '/' && path.startsWith(`${link.pathname}/`))) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
}

const useFooter = (facts: Facts | null): void =>
  useEffect(() => {
    if (!facts) return
    for (const [path, url] of [
      ['/terms', facts.terms],
      ['/cps', facts.cps],
    ] as const) {
      document.querySelector(`body > footer a[href="${path}"]`)?.setAttribute('href', url)
    }
  }, [facts])

const focus = (element: HTMLElement): void => {
  element.tabIndex = -1
  element.focus({ preventScroll: true })
}

/** Focuses the heading of a page that reads what it is to show first, once that is there, unless the reader has gone on meanwhile. Returns how to stop. */
const focusHeading = (main: Element): (() => void) => {
  const before = document.activeElement
  const look = (): void => {
    const heading = main.querySelector('h1')
    if (!heading) return
    observer.disconnect()
    if (document.activeElement === before) focus(heading)
  }
  const observer = new MutationObserver(look)
  observer.observe(main, { childList: true, subtree: true })
  look()
  return () => observer.disconnect()
}

/** After a way by link: to the top and the heading, which screen readers then read. After back and forward: to where one was. Returns how to stop. */
const arrive = ({ by, scroll }: Place): (() => void) | undefined => {
  if (by === 'load' || by === 'replace') return
  const target = location.hash ? document.getElementById(location.hash.slice(1)) : null
  const main = document.querySelector('main')
  if (target && by === 'link') target.scrollIntoView()
  else window.scrollTo(0, scroll)
  if (target) focus(target)
  else if (main) return focusHeading(main)
}

export const Shell = () => {
  const place = usePlace()
  const [round, setRound] = useState(0)
  const shown = useShown(place, round)
  const facts = useJson<Facts>('/api/ca', round)
  const known = facts.state === 'there' ? facts.value : null
  useFooter(known)
  const again = () => setRound(round + 1)
  if (facts.state === 'failed') return <Failure title={text.shell.noFacts} detail={facts.error.message} label={text.shell.again} onClick={again} />
  if (!shown || !known) return <Busy label={text.shell.loading} />
  // A reload and not only another try: browsers remember that a module failed.
  if (!shown.Page)
    return <Failure title={text.shell.noPage} detail={text.shell.noPageDetail} label={text.shell.reload} onClick={() => location.reload()} />
  return <Shield key={shown.name} shown={shown} Page={shown.Page} facts={known} />
}

const Shield = ({ shown: { place, name }, Page, facts }: { shown: Shown; Page: ComponentType<PageProps>; facts: Facts }) => {
  const [error, reset] = useErrorBoundary()
  useLayoutEffect(() => {
    document.title = text.shell.title(titleOf(name, place.path), facts.name)
    markLinks(place.path)
    return arrive(place)
  }, [place, name, facts])
  if (error) return <Failure title={text.shell.broken} detail={String(error.message ?? error)} label={text.shell.again} onClick={reset} />
  return (
    <>
      {facts.lab && (
        <Notice kind="warn" title={text.shell.lab}>
          <p>{text.shell.labDetail}</p>
        </Notice>
      )}
      <Page facts={facts} path={place.path} />
    </>
  )
}

const Failure = ({ title, detail, label, onClick }: { title: string; detail: string; label: string; onClick: () => void }) => (
  <>
    <h1>{title}</h1>
    <p role="alert">{detail}</p>
    <p>
      <button type="button" onClick={onClick}>
        {label}
      </button>
    </p>
  </>
)
