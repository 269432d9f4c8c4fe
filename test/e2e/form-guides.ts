/** The page's instructions for a server, and the files that they want, as the page gives them: guide.sh follows them. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Browser, Locator } from 'playwright-core'
import { flow } from './form.js'
import { arrive, leave, shot } from './form-person.js'
import { base, demand, home } from './form-world.js'

/** Writes what stands behind the copy buttons, one file each, its first line being what stands above. */
const takeDown = async (figures: Locator, to: string): Promise<void> => {
  const shown = await figures.all()
  demand(shown.length > 0, `nothing to do for ${to}`)
  for (const [index, figure] of shown.entries()) {
    const title = await figure.locator('figcaption span').innerText()
    writeFileSync(`${to}-${index + 1}`, `${title}\n${await figure.locator('code').innerText()}\n`)
  }
}

/** A certificate for `<server>.web.test`, with the files that the page says to save. */
export const guideTo = async (browser: Browser, server: string, label: string): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  const folder = path.join(home, 'guide', server)
  mkdirSync(folder, { recursive: true })
  await flow.byDns(person, `${server}.web.test`)
  await page.getByRole('button', { name: label, exact: true }).click()
  const guide = page.getByRole('region', { name: label, exact: true })
  const wanted = (await guide.locator('p').first().innerText()).match(/[\w.-]+\.(?:crt|key|pem)\b/g) ?? []
  demand(wanted.length > 0, `no file is wanted for ${label}`)
  for (const name of wanted) copyFileSync(await flow.save(person, page.locator(`a[download="${name}"]`)), path.join(folder, name))
  const trust = guide.locator('h3 ~ figure')
  await takeDown(trust, path.join(folder, 'trust'))
  // What comes before the heading about trust is the installation.
  await trust.evaluateAll((figures) => {
    for (const figure of figures) figure.remove()
  })
  await takeDown(guide.locator('figure'), path.join(folder, 'install'))
  await page.goto(`${base}/trust`)
  await takeDown(page.locator('main figure').first(), path.join(folder, 'root'))
  const fingerprint = (await page.locator('.fingerprint').first().getAttribute('aria-label')) ?? ''
  demand(/^([0-9A-F]{2} ){31}[0-9A-F]{2}$/.test(fingerprint), `the fingerprint of the root is ${fingerprint}`)
  writeFileSync(path.join(folder, 'fingerprint'), `${fingerprint.replaceAll(' ', ':')}\n`)
  await shot(person, `11-guide-${server}`)
  await leave(person)
}
