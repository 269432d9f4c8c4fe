/**
 * The page "Test your server" in Chromium at set-ups of the check's test: it says what the command says, in the same words.
 *
 *   node --import tsx test/e2e/check-page.ts URL FOLDER ROOT DNS SCREENSHOTS
 *
 * Prints a line `ok` or `FAIL` for each; the exit status is 1 where something failed.
 */
import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import type { Finding, Report } from '../../src/check/report.js'
import { domainOf } from './check-setups.js'

const [base = '', folder = '', root = '', dns = '', screenshots = ''] = process.argv.slice(2)
mkdirSync(screenshots, { recursive: true })
const program = new URL('../../src/bootstrap.mjs', import.meta.url).pathname

/** What the command prints; its exit code is not asked here. */
const command = (...args: string[]): Promise<string> =>
  new Promise((resolve) => {
    execFile(process.execPath, [program, 'check', ...args, '--root', root, '--dns', dns], { cwd: folder, maxBuffer: 8 << 20 }, (_, out) =>
      resolve(out),
    )
  })

/** Text as one line, however it is broken. */
const flat = (text: string): string => text.replace(/\s+/g, ' ').trim()
const words = (findings: readonly Finding[]): string[] =>
  findings.map((one) => flat([one.level, one.id, one.where, one.title, one.detail, one.advice].join(' | '))).sort()

const look = async (browser: Browser, domain: string): Promise<string[]> => {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 }, ignoreHTTPSErrors: true, reducedMotion: 'reduce' })
  const page = await context.newPage()
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`))
  page.on('console', (message) => message.type() === 'error' && problems.push(`console: ${message.text()}`))
  await page.goto(`${base}/check`)
  // As a person who knows the address better than what a domain is.
  await page.getByRole('textbox').fill(`xmpp:juliet@${domain}/phone`)
  const answered = page.waitForResponse((response) => response.url().includes('/api/check'), { timeout: 30_000 })
  await page.getByRole('main').getByRole('button').first().click()
  const report = (await (await answered).json()) as Report
  await page.locator('.findings').first().waitFor({ timeout: 10_000 })
  await page.screenshot({ path: path.join(screenshots, `check-${report.verdict}.png`), fullPage: true })
  const [json, text] = await Promise.all([command(domain, '--json'), command(domain, '--verbose')])
  const theirs = words(report.findings)
  const ours = words((JSON.parse(json) as Report).findings)
  for (const one of ours) if (!theirs.includes(one)) problems.push(`the page lacks: ${one}`)
  for (const one of theirs) if (!ours.includes(one)) problems.push(`the command lacks: ${one}`)
  const shown = flat((await page.locator('main').textContent()) ?? '')
  const verdict = flat((await page.locator('.result strong').first().textContent()) ?? '')
  if (verdict === '' || !flat(text).includes(verdict))
    problems.push(`the page's verdict is "${verdict}", the command says: ${flat(text).slice(-200)}`)
  for (const { title, detail, advice } of report.findings) {
    for (const part of [title, detail, advice].map(flat)) if (!shown.includes(part)) problems.push(`the page does not show: ${part}`)
  }
  await context.close()
  return problems
}

const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [...flags, '--disable-component-update', '--disable-sync'],
})
let failed = 0
try {
  for (const name of ['good', 'soon', 'no-intermediate']) {
    const began = performance.now()
    const problems = await look(browser, domainOf({ name })).catch((error: Error) => [error.message])
    const took = `${((performance.now() - began) / 1000).toFixed(1)} s`.padStart(7)
    console.log(`${problems.length > 0 ? 'FAIL ' : 'ok   '} ${`check: the page says of ${name} what the command says`.padEnd(64)} ${took}`)
    for (const problem of problems.slice(0, 12)) console.log(`      | ${problem}`)
    if (problems.length > 0) failed++
  }
} finally {
  await browser.close()
}
process.exitCode = failed > 0 ? 1 : 0
