/** A person with a browser: all that it sends is kept, and whatever is wrong with what it shows. */
import path from 'node:path'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { exposures } from '../web/secrets.js'
import { base, demand, folder } from './form-world.js'
import { axe, layout, watchShifts } from './page-judge.js'

const patience = 30_000

export type Person = {
  context: BrowserContext
  page: Page
  /** Every request of every tab. */
  sent: string[]
  problems: string[]
  /** PKCS #8 of every private key that this person has saved. */
  keys: Uint8Array[]
}

/** A fresh browser profile. */
export const arrive = async (browser: Browser, options: BrowserContextOptions = {}): Promise<Person> => {
  const context = await browser.newContext({
    viewport: { width: 1100, height: 900 },
    acceptDownloads: true,
    ignoreHTTPSErrors: true,
    reducedMotion: 'reduce',
    ...options,
  })
  context.setDefaultTimeout(patience)
  await watchShifts(context)
  const [sent, problems, keys]: [string[], string[], Uint8Array[]] = [[], [], []]
  context.on('request', (request) => {
    sent.push(`${request.method()} ${request.url()} ${JSON.stringify(request.headers())} ${request.postData() ?? ''}`)
    if (!request.url().startsWith(`${base}/`) && !request.url().startsWith('blob:')) problems.push(`asks elsewhere: ${request.url()}`)
  })
  context.on('weberror', (error) => problems.push(`error: ${error.error().message}`))
  context.on('console', (message) => {
    // What a refusal of the CA looks like to the browser.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) problems.push(`console: ${message.text()}`)
  })
  context.on('dialog', (dialog) => {
    if (dialog.type() !== 'confirm') problems.push(`a dialog of the kind ${dialog.type()}: ${dialog.message()}`)
    void dialog.accept()
  })
  context.on('page', (page) => page.on('websocket', (socket) => problems.push(`a socket to ${socket.url()}`)))
  return { context, page: await context.newPage(), sent, problems, keys }
}

/** Of a window's worth of movement (1): what Web Vitals call good. A line that comes at the end moves what stands below it. */
const tolerated = 0.1

/** Keeps what is seen, and judges it. */
export const shot = async ({ page, problems }: Person, name: string): Promise<void> => {
  const found = await layout(page, tolerated)
  await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true })
  problems.push(...[...found, ...(await axe(page))].map((problem) => `${name}: ${problem}`))
}

/** Fails for a private key that was sent, and for what went wrong on the person's pages. */
export const leave = async ({ context, problems, keys, sent }: Person): Promise<void> => {
  await context.close()
  const found = keys.flatMap((key) => exposures(key, sent))
  demand(found.length === 0, `a private key was sent:\n${found.join('\n')}`)
  demand(problems.length === 0, problems.join('\n'))
}
