/** Mistakes: each gets a sentence beside its field, and a way on. */
import type { Browser } from 'playwright-core'
import { flow, heading, lookNow, recordOf, sentence, startAgain } from './form.js'
import { arrive, leave, shot } from './form-person.js'
import { base, demand, publish, unpublish, xmppIca } from './form-world.js'

export const mistakes = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  await page.goto(`${base}/request`)
  for (const [typed, said] of [
    ['', /Type the domain/],
    ['192.0.2.1', /IP address/],
    ['a_b.web.test', /underscore/],
    ['https://web.test/', /leave out scheme/],
    ['co.uk', /public suffix/],
    ['<script>alert(1)</script>', /./],
  ] as const) {
    await page.getByLabel('Domain', { exact: true }).fill(typed)
    await page.getByRole('button', { name: 'Continue' }).click()
    await sentence(page, said)
  }
  await shot(person, '6-mistake')
  await flow.domain(person, 'wrong.web.test')
  await page.getByLabel('Another name').fill('co.uk')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await sentence(page, /public suffix/)
  await page.getByLabel('Another name').fill('')
  await flow.names(person)
  await page.getByRole('button', { name: 'Order', exact: true }).click()
  await page.getByText('tick the box').waitFor()
  await page.getByLabel('E-mail address for expiry notices').fill('me at web.test')
  await page.getByRole('button', { name: 'Order', exact: true }).click()
  await sentence(page, /not an e-mail address/)
  await page.getByLabel('E-mail address for expiry notices').fill('')
  await flow.key(person)
  // Somebody has copied another value: the page shows it, and the CA finds it wrong.
  const { host } = await recordOf(page, 'wrong.web.test')
  const wrong = 'the-value-of-the-last-time'
  publish(host, wrong)
  await page.getByText('has another value').first().waitFor()
  await page.locator('.findings code', { hasText: wrong }).first().waitFor()
  await shot(person, '7-wrong')
  await lookNow(page).click()
  await startAgain(page).waitFor()
  await shot(person, '7-failed')
  unpublish(host)
  await startAgain(page).click()
  await startAgain(page).waitFor({ state: 'detached' })
  await flow.dns(person, ['wrong.web.test'])
  await flow.certificate(person)
  await leave(person)
}

/** A limit is said before anything is done, with the time when it ends; and where the CA refuses, in the same words. */
export const limited = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  await xmppIca('limit', 'set', 'certificatesPerDomain', 'limited.test', '1/7d')
  await flow.byDns(person, 'limited.test')
  await flow.save(person, 'Private key (PEM)')
  await flow.finish(person)
  await page.goto(`${base}/request`)
  await page.getByLabel('Domain', { exact: true }).fill('other.limited.test')
  await page.getByText(/Try again after/).waitFor()
  await page.locator('.busy').waitFor({ state: 'detached' })
  await shot(person, '7-limited-domain')
  await page.getByRole('button', { name: 'Continue' }).click()
  await heading(page, /Which names/).waitFor()
  await flow.names(person)
  await page.locator('input[name="agree"]').check()
  await page.getByRole('button', { name: 'Order', exact: true }).click()
  const refusal = page.getByRole('alert').filter({ hasText: /Try again after/ })
  await refusal.waitFor()
  demand(/limited\.test/.test(await refusal.innerText()), `the refusal is: ${await refusal.innerText()}`)
  await shot(person, '7-limited')
  await leave(person)
}
