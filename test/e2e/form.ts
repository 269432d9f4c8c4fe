/** What the tests of the form in Chromium share: the world around, a person with a browser, and the steps of the form as that person takes them. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { pemBlocks } from '../../web/src/keys/base64.js'

export const [base = '', txtUrl = '', webroot = '', folder = '', mails = ''] = process.argv.slice(2)
if (!folder) throw new Error('usage: browser.ts URL TXT_URL WEBROOT FOLDER [MAILS]')
mkdirSync(folder, { recursive: true })

const patience = 30_000
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

// --- the world around ----------------------------------------------------------------------------------------------------------------------------------

export const txt = async (action: string, body: object): Promise<void> => {
  const reply = await fetch(`${txtUrl}/${action}`, { method: 'POST', body: JSON.stringify(body) })
  if (!reply.ok) throw new Error(`${action}: ${reply.status}`)
}
export const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

let failures = 0
/** How many checks have failed. */
export const failed = (): number => failures

/** Runs a check; its text is what went wrong, several lines for several things. */
export const check = async (name: string, work: () => Promise<void>): Promise<void> => {
  const began = performance.now()
  const problem = await work().then(
    () => '',
    (error: Error) => error.message || String(error),
  )
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`.padStart(7)
  console.log(`${problem ? 'FAIL ' : 'ok   '} ${name.padEnd(64)} ${took}`)
  if (!problem) return
  failures++
  for (const line of problem.split('\n').slice(0, 12)) console.log(`      | ${line}`)
}
export const demand = (fine: boolean, problem: string): void => {
  if (!fine) throw new Error(problem)
}

// --- a person with a browser ----------------------------------------------------------------------------------------------------------------------------

export type Person = { context: BrowserContext; page: Page; sent: string[]; problems: string[] }

/** A fresh browser profile; all that it sends is kept. */
export const arrive = async (browser: Browser, options: Parameters<Browser['newContext']>[0] = {}): Promise<Person> => {
  const context = await browser.newContext({
    viewport: { width: 1100, height: 900 },
    acceptDownloads: true,
    ignoreHTTPSErrors: true,
    reducedMotion: 'reduce',
    ...options,
  })
  context.setDefaultTimeout(patience)
  const person: Person = { context, page: await context.newPage(), sent: [], problems: [] }
  const watch = (page: Page) => {
    page.on('request', async (request) => {
      person.sent.push(`${request.method()} ${request.url()} ${JSON.stringify(request.headers())} ${request.postData() ?? ''}`)
      if (!request.url().startsWith(`${base}/`) && !request.url().startsWith('blob:')) person.problems.push(`asks elsewhere: ${request.url()}`)
    })
    page.on('pageerror', (error) => person.problems.push(`error: ${error.message}`))
    page.on('console', (message) => {
      // What a refusal of the CA looks like to the browser.
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) person.problems.push(`console: ${message.text()}`)
    })
    page.on('dialog', (dialog) => void dialog.accept())
  }
  watch(person.page)
  return person
}
/** Keeps what is seen, and has axe judge it. */
export const shot = async ({ page, problems }: Person, name: string): Promise<void> => {
  await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true })
  await page.evaluate(axeSource)
  const found = await page.evaluate(async () => {
    type Result = { violations: { id: string; help: string; nodes: { target: unknown[] }[] }[] }
    const { run } = (window as unknown as { axe: { run(context: Document): Promise<Result> } }).axe
    return (await run(document)).violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
  })
  problems.push(...found.map((problem) => `axe on ${name}: ${problem}`))
}

/** The text behind a copy button. */
export const copied = (page: Page, section: string, label: string): Promise<string> =>
  page
    .locator('section', { has: page.getByRole('heading', { name: section, exact: true }) })
    .locator('figure', { has: page.getByText(label, { exact: true }) })
    .locator('code')
    .innerText()

export const heading = (page: Page, name: string | RegExp) => page.getByRole('heading', { level: 1, name })

export const flow = {
  domain: async ({ page }: Person, domain: string): Promise<void> => {
    await page.goto(`${base}/request`)
    await page.getByLabel('Domain', { exact: true }).fill(domain)
    await page.getByRole('button', { name: 'Continue' }).click()
    await heading(page, /Which names/).waitFor()
  },

  /** Ticks names, by their text, and a profile. */
  names: async ({ page }: Person, names: string[] = [], profile?: string): Promise<void> => {
    for (const name of names) await page.getByRole('checkbox', { name }).first().check()
    if (profile) await page.locator(`input[name="profile"][value="${profile}"]`).check()
    await page.getByRole('button', { name: 'Continue' }).click()
    await heading(page, /private key/).waitFor()
  },

  key: async ({ page }: Person, kind = 'P-256', csr?: string): Promise<void> => {
    await page.locator(`input[name="key"][value="${kind}"]`).check()
    if (csr) await page.locator('textarea[name="csr"]').fill(csr)
    await page.locator('input[name="agree"]').check()
    await page.getByRole('button', { name: 'Order', exact: true }).click()
    await heading(page, /Prove/).waitFor()
  },

  /** Publishes the record of each name that is not proved, and says so, or waits for the form to see it. */
  dns: async ({ page }: Person, names: string[], { press = true } = {}): Promise<void> => {
    for (const name of names) {
      const section = page.locator('section', { has: page.getByRole('heading', { name, exact: true }) })
      await section.waitFor()
      // A wildcard has no other way, and so no choice.
      const choice = section.locator('input[value="dns-01"]')
      if ((await choice.count()) > 0) await choice.check()
      await section.locator('figure code', { hasText: /^[\w-]{43}$/ }).waitFor()
      await txt('set-txt', { host: `${await copied(page, name, 'Name')}.`, value: await copied(page, name, 'Value') })
      // A name that is proved has a mark in its heading, and is this section no more.
      if (!press) await section.waitFor({ state: 'detached' })
      // The page may have seen the record before.
      await section
        .getByRole('button', { name: 'look now' })
        .click({ timeout: 5000 })
        .catch(() => {})
    }
  },

  http: async ({ page }: Person, name: string): Promise<void> => {
    await page.locator('input[value="http-01"]').first().check()
    const address = new URL(await copied(page, name, 'Address of the file'))
    const content = await copied(page, name, 'Its content')
    demand(address.hostname === name, `the file is for ${address.hostname}`)
    writeFileSync(path.join(webroot, address.pathname), content)
    await page.getByRole('button', { name: 'look now' }).click()
  },

  certificate: async ({ page }: Person): Promise<void> => {
    await heading(page, 'Your certificate').waitFor()
  },

  /** Saves what a link gives; returns the path of the file. */
  save: async ({ page }: Person, link: string): Promise<string> => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: link }).first().click()])
    const file = path.join(folder, download.suggestedFilename())
    await download.saveAs(file)
    return file
  },

  finish: async ({ page }: Person): Promise<void> => {
    await page.getByRole('button', { name: /finish/i }).click()
    await heading(page, 'My certificates').waitFor()
  },

  /** The whole way by DNS. */
  byDns: async (person: Person, domain: string, more: { names?: string[]; profile?: string; key?: string } = {}): Promise<void> => {
    await flow.domain(person, domain)
    await flow.names(person, more.names, more.profile)
    await flow.key(person, more.key)
    await flow.dns(person, [domain, ...(more.names ?? [])])
    await flow.certificate(person)
  },
}

export const namesOf = (file: string): string => openssl('x509', '-in', file, '-noout', '-ext', 'subjectAltName')
export const pkcs8In = (file: string): Uint8Array => {
  const der = pemBlocks(readFileSync(file, 'utf8')).find(({ label }) => label === 'PRIVATE KEY')?.der
  if (!der) throw new Error(`${file} has no private key`)
  return der
}

/** The newest message that a folder has for an address. */
export const messageTo = async (address: string): Promise<string> => {
  for (let tries = 0; tries < 100; tries++) {
    const found = readdirSync(mails)
      .filter((name) => name.endsWith('.eml'))
      .map((name) => readFileSync(path.join(mails, name), 'utf8').replaceAll('=\r\n', '').replaceAll('=3D', '='))
      .filter((message) => new RegExp(`^To: .*${address}`, 'im').test(message))
    const message = found.at(-1)
    if (message) return message
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`no message to ${address}`)
}

/** Fails for what went wrong on the person's pages. */
export const leave = async ({ context, problems }: Person): Promise<void> => {
  await context.close()
  demand(problems.length === 0, problems.join('\n'))
}
