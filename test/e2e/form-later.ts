/** What comes later: renewal, revocation, the account on another browser, and the domain proved again by somebody else. */
import type { Browser } from 'playwright-core'
import { flow, heading } from './form.js'
import { arrive, leave, type Person, shot } from './form-person.js'
import { base, demand, unpublish } from './form-world.js'

/** The account key of the browser can't be taken out; and there is something to look at for who looks for keys in what was sent. */
export const accountKeyStays = async ({ page, sent, keys }: Person): Promise<void> => {
  demand(sent.length > 20 && keys.length > 1, `${sent.length} requests and ${keys.length} saved keys were seen`)
  const extractable = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const opening = indexedDB.open('xmpp-ica')
        opening.onerror = reject
        opening.onsuccess = () => {
          const reading = opening.result.transaction('account').objectStore('account').get('current')
          reading.onsuccess = () => resolve(reading.result.signer.privateKey.extractable)
        }
      }),
  )
  demand(extractable === false, 'the account key can be taken out')
}

export const renewal = async (person: Person): Promise<void> => {
  await flow.finish(person)
  const { page } = person
  await shot(person, '5-mine')
  for (const name of ['dns.web.test', 'conference.dns.web.test']) unpublish(`_acme-challenge.${name}`)
  await page.getByRole('button', { name: 'Renew dns.web.test' }).click()
  // The proof still holds, so there is nothing to do but wait.
  await flow.certificate(person)
  await flow.save(person, 'Private key (PEM)')
  await flow.finish(person)
  await page.getByRole('button', { name: 'Renew dns.web.test' }).nth(1).waitFor()
}

export const revocation = async (person: Person): Promise<void> => {
  const { page } = person
  await page.getByRole('button', { name: 'Revoke dns.web.test' }).nth(1).click()
  await page.locator('select[name="reason"]').selectOption('superseded')
  await shot(person, '5-revoke')
  await page.getByRole('button', { name: 'Revoke it' }).click()
  await page.getByText('revoked', { exact: false }).first().waitFor()
  demand((await page.getByRole('button', { name: 'Revoke dns.web.test' }).count()) === 1, 'the revoked one can be revoked again')
}

/** The account key goes to another browser, which then has the account. */
export const accountKey = async (browser: Browser): Promise<void> => {
  const [first, second] = [await arrive(browser), await arrive(browser)]
  await flow.byDns(first, 'account.web.test')
  await first.page.goto(`${base}/mine`)
  await first.page.locator('summary', { hasText: 'Export the account key' }).click()
  await first.page.getByRole('button', { name: 'Export the account key' }).click()
  const key = await flow.save(first, 'Save the account key')
  second.keys.push(...first.keys)
  await second.page.goto(`${base}/mine`)
  await second.page.locator('summary', { hasText: 'Import an account key' }).click()
  await second.page.locator('input[name="accountKeyFile"]').setInputFiles(key)
  await second.page.getByRole('button', { name: 'Import', exact: true }).click()
  await second.page.getByText('This browser now uses that account.').waitFor()
  demand(first.keys.length > 0, 'no account key was saved')
  await leave(first)
  await leave(second)
}

/** Somebody without an account, on another browser, proves the domain again and revokes a certificate that he did not order. */
export const elsewhere = async (browser: Browser): Promise<void> => {
  const [owner, person] = [await arrive(browser), await arrive(browser)]
  await flow.byDns(owner, 'elsewhere.web.test')
  await leave(owner)
  const { page } = person
  await page.goto(`${base}/mine`)
  await page.locator('input[name="manage"]').fill('elsewhere.web.test')
  await page.getByRole('button', { name: 'Find its certificates' }).click()
  await page.getByRole('button', { name: 'Prove these names' }).click()
  await page.getByText('tick the box').waitFor()
  await page.getByRole('button', { name: 'Revoke elsewhere.web.test' }).click()
  await page.getByRole('button', { name: 'Revoke it' }).click()
  await page.getByText('You have not proved all names').waitFor()
  await shot(person, '8-elsewhere')
  await page.locator('input[name="agree"]').check()
  await page.getByRole('button', { name: 'Prove these names' }).click()
  await heading(page, /Prove again/).waitFor()
  await flow.dns(person, ['elsewhere.web.test'])
  await heading(page, 'My certificates').waitFor()
  await page.getByRole('button', { name: 'Revoke elsewhere.web.test' }).click()
  await page.getByRole('button', { name: 'Revoke it' }).click()
  await page.getByText('It is revoked.').waitFor()
  await leave(person)
}
