/** The steps of the form as a person takes them. */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Locator, Page } from 'playwright-core'
import { pemBlocks } from '../../web/src/keys/base64.js'
import type { Person } from './form-person.js'
import { base, demand, folder, publish, webroot } from './form-world.js'
import { layout } from './page-judge.js'

export const heading = (page: Page, name: string | RegExp): Locator => page.getByRole('heading', { level: 1, name })

/** The part of the page that is about one name. */
export const sectionOf = (page: Page, name: string): Locator => page.locator('section', { has: page.getByRole('heading', { name, exact: true }) })

/** The text behind a copy button. */
export const copied = (page: Page, section: string, label: string): Promise<string> =>
  sectionOf(page, section)
    .locator('figure', { has: page.getByText(label, { exact: true }) })
    .locator('code')
    .innerText()

export const lookNow = (at: Page | Locator): Locator => at.getByRole('button', { name: 'look now' })
export const startAgain = (page: Page): Locator => page.getByRole('button', { name: 'Start again with the same names' })

/** The sentence beside a field. */
export const sentence = (page: Page, text: string | RegExp): Promise<void> => page.locator('.field .error', { hasText: text }).waitFor()

/** The record that a name of the order wants. */
export const recordOf = async (page: Page, name: string): Promise<{ host: string; value: string }> => {
  const section = sectionOf(page, name)
  await section.waitFor()
  // A wildcard has no other way, and so no choice.
  const choice = section.locator('input[value="dns-01"]')
  if ((await choice.count()) > 0) await choice.check()
  await section.locator('figure code', { hasText: /^[\w-]{43}$/ }).waitFor()
  return { host: await copied(page, name, 'Name'), value: await copied(page, name, 'Value') }
}

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

  /** From the first step to the proof. */
  order: async (person: Person, domain: string, more: { names?: string[]; profile?: string; key?: string } = {}): Promise<void> => {
    await flow.domain(person, domain)
    await flow.names(person, more.names, more.profile)
    await flow.key(person, more.key)
  },

  /** Publishes the record of each name that is not proved, and says so, or waits for the form to see it. */
  dns: async ({ page }: Person, names: string[], { press = true } = {}): Promise<void> => {
    for (const name of names) {
      const { host, value } = await recordOf(page, name)
      publish(host, value)
      // A name that is proved has a mark in its heading, and is this section no more. The page may have seen the record before its reader presses.
      const proved = sectionOf(page, name).waitFor({ state: 'detached' })
      if (!press) await proved
      else await Promise.race([proved, lookNow(sectionOf(page, name)).click()]).catch(() => proved)
    }
  },

  http: async ({ page }: Person, name: string): Promise<void> => {
    await page.locator('input[value="http-01"]').first().check()
    const address = new URL(await copied(page, name, 'Address of the file'))
    const content = await copied(page, name, 'Its content')
    demand(address.hostname === name, `the file is for ${address.hostname}`)
    writeFileSync(path.join(webroot, address.pathname), content)
    await lookNow(page).click()
  },

  certificate: async ({ page }: Person): Promise<void> => {
    await heading(page, 'Your certificate').waitFor()
    // What was proved takes less room than how to prove it: the movement that people wait for is not held against the page.
    await layout(page)
  },

  /** Saves what a link gives; returns the path of the file. A private key in it is remembered. */
  save: async ({ page, keys }: Person, link: string | Locator | (() => Promise<void>)): Promise<string> => {
    const what = typeof link === 'string' ? page.getByRole('link', { name: link }).first() : link
    const [download] = await Promise.all([page.waitForEvent('download'), typeof what === 'function' ? what() : what.click()])
    const file = path.join(folder, download.suggestedFilename())
    await download.saveAs(file)
    const key = pemBlocks(readFileSync(file, 'utf8')).find(({ label }) => label === 'PRIVATE KEY')
    if (key) keys.push(key.der)
    return file
  },

  finish: async ({ page }: Person): Promise<void> => {
    await page.getByRole('button', { name: /finish/i }).click()
    await heading(page, 'My certificates').waitFor()
  },

  /** The whole way by DNS. */
  byDns: async (person: Person, domain: string, more: { names?: string[]; profile?: string; key?: string } = {}): Promise<void> => {
    await flow.order(person, domain, more)
    await flow.dns(person, [domain, ...(more.names ?? [])])
    await flow.certificate(person)
  },
}
