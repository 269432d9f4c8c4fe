/** How the tests in Chromium judge a page, in whatever state it is: axe, the layout, and the flags of the browser. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { BrowserContext, LaunchOptions, Page } from 'playwright-core'

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const flags =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'

export const chromiumOptions: LaunchOptions = { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags.split(' ') }

/** Those of axe's rules that look at colours: all that can differ between two themes of one document. */
export const colourRules = ['color-contrast', 'link-in-text-block']

/** What axe finds, by all its rules or by some; nothing, one hopes. */
export const axe = async (page: Page, only?: string[]): Promise<string[]> => {
  await page.evaluate(axeSource)
  return page.evaluate(async (some) => {
    type Node = { target: unknown[]; failureSummary?: string }
    const { run } = (
      window as unknown as {
        axe: { run(context: Document, options: object): Promise<{ violations: { id: string; help: string; nodes: Node[] }[] }> }
      }
    ).axe
    const { violations } = await run(document, some ? { runOnly: some } : { rules: { 'target-size': { enabled: true } } })
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.slice(0, 3).map((node) => `axe ${id}: ${help}: ${node.target.join(' ')}: ${node.failureSummary?.replace(/\s+/g, ' ')}`),
    )
  }, only)
}

/** From now on every document of the browser remembers what moved in it without its reader having done anything. */
export const watchShifts = (context: BrowserContext): Promise<unknown> =>
  context.addInitScript(() => {
    const shifts: string[] = []
    Object.assign(window, { shifts })
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean; sources?: { node?: Node }[] })[]) {
        const moved = entry.sources?.map(({ node }) => (node instanceof Element ? `${node.tagName}.${node.className}` : node?.textContent)).join(', ')
        if (!entry.hadRecentInput) shifts.push(`${entry.value.toFixed(4)} ${moved}`)
      }
    }).observe({ type: 'layout-shift', buffered: true })
  })

/** What has moved since the last look by more than is tolerated, and whether the page is wider than the window. */
export const layout = (page: Page, tolerated = 0): Promise<string[]> =>
  page.evaluate((least) => {
    const { shifts } = window as unknown as { shifts: string[] }
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth
    return [
      ...shifts.splice(0).flatMap((shift) => (Number.parseFloat(shift) > least ? [`moved: ${shift}`] : [])),
      ...(wide > 0 ? [`wider than the window by ${wide} px`] : []),
    ]
  }, tolerated)
