/**
 * Every public page in Chromium, in three widths and both themes (it is loaded in one of them): no finding of axe, no console error, no request to another origin, nothing that moves, nothing
 * wider than the window. Then with the keyboard alone, by links, back, and without a network.
 *
 *   node --import tsx test/e2e/pages.ts URL FOLDER [DOMAIN]
 *
 * FOLDER gets the screenshots. DOMAIN is one that has certificates. Prints a line `ok` or `FAIL` for each check; the exit status is 1 where something failed.
 */
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { axe, chromiumOptions, colourRules, layout, watchShifts } from './page-judge.js'

const [base = '', folder = '', domain = 'example.org'] = process.argv.slice(2)
if (!base || !folder) throw new Error('usage: pages.ts URL FOLDER [DOMAIN]')
mkdirSync(folder, { recursive: true })

let failed = 0
const report = async (name: string, work: () => Promise<string[]>): Promise<void> => {
  const began = performance.now()
  const problems = await work().catch((error: Error) => [error.message])
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`.padStart(7)
  console.log(`${problems.length > 0 ? 'FAIL ' : 'ok   '} ${name.padEnd(64)} ${took}`)
  for (const problem of problems) console.log(`      | ${problem}`)
  if (problems.length > 0) failed++
}

type Watched = { page: Page; problems: string[] }

/** A new page whose console, errors and requests are watched, and whose layout shifts are summed. */
const open = async (browser: Browser, width: number, colorScheme: 'light' | 'dark'): Promise<Watched> => {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme, ignoreHTTPSErrors: true, reducedMotion: 'reduce' })
  await watchShifts(context)
  const page = await context.newPage()
  const problems: string[] = []
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(`console: ${message.text()} ${message.location().url}`)
  })
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`))
  page.on('request', (request) => {
    if (!request.url().startsWith(`${base}/`) && !request.url().startsWith('blob:')) problems.push(`asks elsewhere: ${request.url()}`)
  })
  return { page, problems }
}

/** The page is there, and nothing is on its way any more. */
const settle = async (page: Page): Promise<void> => {
  await page.locator('main h1').first().waitFor({ timeout: 20_000 })
  await page.waitForLoadState('networkidle')
  await page.locator('.busy').waitFor({ state: 'detached', timeout: 20_000 })
}

const nameOf = (place: string): string =>
  place
    .replace(/^\/$/, 'front')
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')

type Theme = 'light' | 'dark'

/** The page as it is loaded in one theme, and then in the other, which is a matter of colours alone. */
const look = async (browser: Browser, place: string, width: number, [first, second]: readonly [Theme, Theme]): Promise<string[]> => {
  const { page, problems } = await open(browser, width, first)
  const show = (theme: Theme) => page.emulateMedia({ colorScheme: theme })
  const picture = (theme: Theme) => page.screenshot({ path: path.join(folder, `${nameOf(place)}-${width}-${theme}.png`), fullPage: true })
  await page.goto(base + place)
  await settle(page)
  // Before the pictures, for which the window grows to the height of the page, and before what is folded away is opened, which is judged as well: both move things.
  problems.push(...(await layout(page)))
  await show(second)
  problems.push(...(await layout(page)))
  await picture(second)
  await show(first)
  await picture(first)
  await page.evaluate(() => {
    for (const details of document.querySelectorAll('details')) details.open = true
  })
  problems.push(...(await layout(page)).filter((problem) => problem.startsWith('wider')), ...(await axe(page)))
  await show(second)
  problems.push(...(await axe(page, colourRules)).map((problem) => `${second}: ${problem}`))
  await page.context().close()
  return problems.filter((problem) => !(place === '/nothing-here' && problem.includes('404')))
}

/** From the top of the front page to the form by Tab and Enter, every stop of it to be seen. */
const keyboard = async (browser: Browser): Promise<string[]> => {
  const { page, problems } = await open(browser, 1280, 'light')
  await page.goto(`${base}/`)
  await settle(page)
  await page.keyboard.press('Tab')
  const first = await page.evaluate(() => document.activeElement?.getAttribute('href'))
  if (first !== '#content') problems.push(`the first stop is ${first}, not the link to the content`)
  await page.keyboard.press('Enter')
  for (let stops = 0; stops < 12; stops++) {
    await page.keyboard.press('Tab')
    const at = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement
      return { name: element.textContent, href: element.getAttribute('href'), outline: getComputedStyle(element).outlineStyle }
    })
    if (at.outline === 'none') problems.push(`the focus on ${at.name} cannot be seen`)
    if (at.href === '/request') break
  }
  await page.keyboard.press('Enter')
  await page.waitForURL(`${base}/request`)
  // The address changes before the page is there.
  await page.waitForFunction(() => document.activeElement?.tagName === 'H1', null, { timeout: 10_000 }).catch(() => undefined)
  const focused = await page.evaluate(() => document.activeElement?.tagName)
  if (focused !== 'H1') problems.push(`after the link the focus is on ${focused}, not on the heading`)
  await page.context().close()
  return problems
}

/** By links through the navigation without loading a document again; back is where one was. */
const links = async (browser: Browser): Promise<string[]> => {
  const { page, problems } = await open(browser, 768, 'light')
  await page.goto(`${base}/`)
  await settle(page)
  await page.evaluate(() => Object.assign(window, { same: true }))
  for (const place of ['/lookup', '/check', '/trust', '/mine', '/request']) {
    const before = await page.title()
    await page.click(`header a[href="${place}"]`)
    await page.waitForURL(base + place)
    await page.waitForFunction((title) => document.title !== title, before)
    const current = await page.locator('header [aria-current]').getAttribute('href')
    if (current !== place) problems.push(`${place}: the navigation marks ${current}`)
    if (!(await page.evaluate(() => 'same' in window))) problems.push(`${place}: the document was loaded again`)
  }
  await page.click('.brand')
  await settle(page)
  const link = page.locator('main a[href="/servers/prosody"]')
  await link.scrollIntoViewIfNeeded()
  await page.evaluate(() => window.scrollBy(0, 100))
  const left = await page.evaluate(() => window.scrollY)
  await link.click()
  await page.waitForURL(`${base}/servers/prosody`)
  await page.waitForFunction(() => window.scrollY === 0)
  await page.goBack()
  await page
    .waitForFunction((y) => y > 0 && Math.abs(window.scrollY - y) < 5, left, { timeout: 5000 })
    .catch(() => problems.push('back does not go to where one was'))
  await page.context().close()
  return problems
}

/** What people put into the look-up: each gets a sentence. */
const lookup = async (browser: Browser): Promise<string[]> => {
  const { page, problems } = await open(browser, 1280, 'light')
  await page.goto(`${base}/lookup`)
  await settle(page)
  await page.click('form button[type="submit"]')
  const empty = await page.locator('.field .error').first().textContent()
  if (!empty?.includes('example.org')) problems.push(`an empty question gets: ${empty}`)
  const files: [string, string, RegExp][] = [
    ['key.pem', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', /private key/],
    ['x.csr', '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n', /CSR/],
    ['x.txt', 'hello <script>', /not a certificate/],
    ['big.pem', 'x'.repeat(300_000), /too large/],
  ]
  const posted: string[] = []
  page.on('request', (request) => posted.push(request.url()))
  for (const [name, content, sentence] of files) {
    await page.setInputFiles('input[type="file"]', { name, mimeType: 'text/plain', buffer: Buffer.from(content) })
    await page
      .waitForFunction((source) => new RegExp(source).test(document.querySelector('.problem')?.textContent ?? ''), sentence.source, { timeout: 3000 })
      .catch(() => problems.push(`${name} gets no sentence like ${sentence}`))
  }
  if (posted.length > 0) problems.push(`sent for files that are no certificates: ${posted.join(' ')}`)
  await page.context().close()
  return problems
}

/** Without the CA there is a sentence and a way on. */
const lost = async (browser: Browser): Promise<string[]> => {
  const { page } = await open(browser, 360, 'light')
  const problems: string[] = []
  await page.route('**/api/ca', (route) => route.abort())
  await page.goto(`${base}/`)
  await page.getByRole('alert').waitFor()
  await page.unroute('**/api/ca')
  await page.getByRole('button', { name: 'Try again' }).click()
  await settle(page)
  if (!(await page.title()).includes('·')) problems.push(`after another try the title is ${await page.title()}`)
  await page.context().close()
  return problems
}

/** A document that comes in two pieces, cut within its navigation, as over a slow network: nothing that was shown moves. */
const pieces = async (browser: Browser): Promise<string[]> => {
  const server = createServer(async (request, response) => {
    const original = await fetch(base + request.url)
    const body = Buffer.from(await original.arrayBuffer())
    response.writeHead(original.status, { 'Content-Type': original.headers.get('content-type') ?? '' })
    const cut = body.indexOf('href="/check"')
    if (cut > 0) response.write(body.subarray(0, cut))
    setTimeout(() => response.end(body.subarray(Math.max(cut, 0))), cut > 0 ? 700 : 0)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { page } = await open(browser, 768, 'light')
  try {
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/trust`)
    await settle(page)
    return await layout(page)
  } finally {
    await page.context().close()
    server.close()
  }
}

const answer = async (place: string): Promise<unknown> => {
  const response = await fetch(base + place)
  return response.ok ? response.json() : null
}

const places = [
  '/',
  '/lookup',
  '/check',
  '/api',
  '/trust',
  '/servers/prosody',
  '/servers/ejabberd',
  '/profiles/xmpp-server-3920',
  '/terms',
  '/cps',
  '/nothing-here',
  '/request',
  '/mine',
]
const found = (await answer(`/api/certificates?domain=${domain}`)) as { certificates: { serial: string }[] } | null
if (found) places.push(`/lookup?domain=${domain}`)
if (found?.certificates[0]) places.push(`/lookup/${found.certificates[0].serial}`)
if (await answer(`/api/check?domain=${domain}`)) places.push(`/check?domain=${domain}`)

const browser = await chromium.launch(chromiumOptions)
try {
  const looks = places.flatMap((place) => [360, 768, 1280].map((width) => ({ place, width })))
  const work = async (): Promise<void> => {
    for (let one = looks.shift(); one; one = looks.shift()) {
      const { place, width } = one
      const themes = looks.length % 2 === 0 ? (['light', 'dark'] as const) : (['dark', 'light'] as const)
      await report(`page ${nameOf(place)} ${width}, ${themes.join(', then ')}`, () => look(browser, place, width, themes))
    }
  }
  await Promise.all([work(), work()])
  await report('pages: a document in pieces', () => pieces(browser))
  await report('pages: with the keyboard alone', () => keyboard(browser))
  await report('pages: by links and back', () => links(browser))
  await report('pages: mistakes in the look-up', () => lookup(browser))
  await report('pages: the CA is not there', () => lost(browser))
} finally {
  await browser.close()
}
process.exitCode = failed > 0 ? 1 : 0
