/** E-mail in the form, by a real mail server: links followed as a scanner and as a person would, and what the form says where a message does not arrive. */
import type { Browser } from 'playwright-core'
import type { Received } from '../support/smtp-server.js'
import { flow, sectionOf, startAgain } from './form.js'
import { arrive, leave, type Person, shot } from './form-person.js'
import { base, confirmLink, demand, dns, mailServer, scan, unsubscribeLink } from './form-world.js'
import { layout } from './page-judge.js'

/** Chooses e-mail and an address for a name; false where the address is not offered. */
const ask = async ({ page }: Person, name: string, address: string): Promise<void> => {
  const section = sectionOf(page, name)
  await section.locator('input[value="email-link-01"]').check()
  await section.locator(`input[value="${address}"]`).check()
  await section.getByRole('button', { name: 'Send the message' }).click()
}

/** A message as it has to be, whatever reads it. */
const isProper = ({ mail, from, raw }: Received, to: string): void => {
  const recipients = [mail.to].flat().flatMap((one) => one?.value.map(({ address }) => address) ?? [])
  demand(recipients.join() === to, `it is to ${recipients}`)
  demand(from === 'ca@ica.test' && mail.from?.value[0]?.address === 'ca@ica.test', `it is from ${mail.from?.text}, sent by ${from}`)
  demand(mail.headers.get('auto-submitted') === 'auto-generated', 'it does not say that a program wrote it')
  demand(!!mail.text && !!mail.html, 'it has not a text and an HTML part')
  demand(!/<(img|script|link)\b/i.test(mail.html || ''), 'it fetches something')
  demand(
    !raw
      .split('\r\n\r\n', 1)[0]
      ?.split('\r\n')
      .some((line) => line.length > 998),
    'a header line is too long',
  )
}

/** Opens the link of a message as its reader does, in a browser of his own, and answers. */
const answer = async (browser: Browser, received: Received, button: RegExp, then: string, name: string): Promise<string> => {
  const reader = await arrive(browser)
  const { page } = reader
  await page.goto(confirmLink(received))
  await page.getByRole('heading', { level: 1 }).waitFor()
  await shot(reader, `${name}-link`)
  const said = await page.locator('main').innerText()
  await page.getByRole('button', { name: button }).click()
  await page.getByRole('heading', { level: 1, name: then }).waitFor()
  demand((await page.getByRole('button').count()) === 0, 'an answered link asks again')
  await shot(reader, `${name}-answered`)
  await leave(reader)
  return said
}

/** Two names, a message each; the form goes on by itself, and through a reload. */
export const byMail = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  await flow.order(person, 'mail.web.test', { names: ['*.mail.web.test'] })
  for (const [name, address] of [
    ['mail.web.test', 'hostmaster@mail.web.test'],
    ['*.mail.web.test', 'postmaster@mail.web.test'],
  ] as const) {
    const shotName = `9-mail-${name.startsWith('*') ? 2 : 1}`
    const section = sectionOf(page, name)
    await ask(person, name, address)
    const received = await mailServer.next(address)
    isProper(received, address)
    await section.getByText('was handed to its mail server').waitFor()
    await shot(person, shotName)
    const thumbprint = await section.locator('code').innerText()
    await page.reload()
    demand((await scan(received)) > 1, 'the message has but one link')
    // Longer than the form waits between two looks.
    await page.waitForTimeout(5000)
    demand((await section.count()) === 1, 'a scanner that opens links confirms')
    const said = await answer(browser, received, /^Confirm for/, 'Confirmed', shotName)
    for (const fact of [name, address, thumbprint, '127.0.0.1']) demand(said.includes(fact), `the page behind the link does not say ${fact}: ${said}`)
    await section.waitFor({ state: 'detached' })
    // As in the step by DNS: what was proved takes less room.
    await layout(page)
  }
  await flow.certificate(person)
  await leave(person)
}

/** The mail server of the domain says no: the form says so with its words and no markup of theirs, and another address works. */
export const refusedMail = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  const address = 'webmaster@refused.web.test'
  mailServer.rules.recipient = (to) => (to === address ? [550, '5.1.1 <b>Nobody</b> of that name'] : null)
  await flow.order(person, 'refused.web.test')
  await ask(person, 'refused.web.test', address)
  await page.getByText(`The message to ${address} could not be delivered.`).waitFor()
  await page.getByText(/Nobody.* of that name/).waitFor()
  demand((await page.locator('b').count()) === 0, 'what the mail server said became an element')
  await shot(person, '9-mail-refused')
  await page.locator('input[value="admin@refused.web.test"]').check()
  await page.getByRole('button', { name: 'Send it to this address' }).click()
  const received = await mailServer.next('admin@refused.web.test')
  await answer(browser, received, /^Confirm for/, 'Confirmed', '9-mail-other')
  await flow.certificate(person)
  await leave(person)
}

/** The reader says that it was not him: there is no certificate, and the person learns it. */
export const deniedMail = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  await flow.order(person, 'denied.web.test')
  await ask(person, 'denied.web.test', 'admin@denied.web.test')
  await answer(browser, await mailServer.next('admin@denied.web.test'), /not me/, 'Refused', '9-mail-denied')
  await person.page.getByText('denied.web.test could not be proved').waitFor()
  await startAgain(person.page).waitFor()
  await shot(person, '9-mail-denied')
  await leave(person)
}

/** A domain that takes no mail, and one that names its contacts in the DNS. */
export const contacts = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  dns.set('nullmx.web.test', 'MX', { preference: 0, exchange: '.' })
  await flow.order(person, 'nullmx.web.test')
  await page.locator('input[value="email-link-01"]').check()
  await page.getByText('nullmx.web.test takes no mail: its MX is null').waitFor()
  demand((await page.locator('input[value$="@nullmx.web.test"]').count()) === 0, 'an address is offered where there is no mail')
  await shot(person, '9-mail-null-mx')
  await page.getByRole('button', { name: 'Start another request' }).click()

  dns.set('contact.web.test', 'CAA', { tag: 'contactemail', value: 'security@contact.web.test' })
  dns.set('_validation-contactemail.contact.web.test', 'TXT', ['dns@contact.web.test'], ['two@contact.web.test, <b>three</b>@contact.web.test'])
  await flow.order(person, 'contact.web.test')
  await page.locator('input[value="email-link-01"]').check()
  await page.getByText('from the CAA record of contact.web.test').waitFor()
  await page.getByText('from the TXT record _validation-contactemail.contact.web.test').waitFor()
  await page.getByText('<b>three</b>@contact.web.test').waitFor()
  await ask(person, 'contact.web.test', 'security@contact.web.test')
  await shot(person, '9-mail-contacts')
  await answer(browser, await mailServer.next('security@contact.web.test'), /^Confirm for/, 'Confirmed', '9-mail-caa')
  await flow.certificate(person)
  await leave(person)
}

/** "My certificates" → notices: the address gets one, and its link to get no more of them is a page with buttons. */
export const notices = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  const address = 'me@notices.web.test'
  await flow.byDns(person, 'notices.web.test')
  await flow.save(person, 'Private key (PEM)')
  await flow.finish(person)
  await page.getByLabel('Expiry notices by e-mail').fill('not an address')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('This is not an e-mail address').waitFor()
  await page.getByLabel('Expiry notices by e-mail').fill(address)
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('Saved.').waitFor()
  await shot(person, '5-notices')
  await page.getByRole('button', { name: 'Renew notices.web.test' }).click()
  await flow.certificate(person)
  const received = await mailServer.next(address)
  isProper(received, address)
  demand(/issued for notices\.web\.test/.test(received.mail.subject ?? ''), `the notice is called ${received.mail.subject}`)
  await scan(received)
  const reader = await arrive(browser, { viewport: { width: 360, height: 740 }, colorScheme: 'dark' })
  await reader.page.goto(unsubscribeLink(received))
  await shot(reader, '9-unsubscribe')
  await reader.page.getByRole('button', { name: 'No more for this account' }).click()
  await reader.page.getByRole('heading', { level: 1, name: 'You get no more notices' }).waitFor()
  await shot(reader, '9-unsubscribed')
  await leave(reader)
  await leave(person)
}

/** Without it the checks above would be skipped by whoever forgets the mail server. */
export const mailIsOn = async (): Promise<void> => {
  const facts = (await (await fetch(`${base}/api/ca`)).json()) as { mail?: boolean }
  demand(facts.mail === true, 'the CA does not validate by mail')
}
