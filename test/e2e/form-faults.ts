/** What happens to people: the network goes, the server is started again, an order has ended, a page is left by the back button or is open twice. */
import type { Browser, Page } from 'playwright-core'
import { flow, heading, startAgain } from './form.js'
import { arrive, leave, shot } from './form-person.js'
import { demand, expireOrder, startProgram, stopProgram } from './form-world.js'

const tryingAgain = (page: Page) => page.getByText('Trying again at')

/** Without a network the form says so, and goes on when it is back. */
export const offline = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page, context } = person
  await flow.order(person, 'lost.web.test')
  await context.setOffline(true)
  await tryingAgain(page).waitFor()
  await shot(person, '10-offline')
  await context.setOffline(false)
  await tryingAgain(page).waitFor({ state: 'detached' })
  await flow.dns(person, ['lost.web.test'])
  await flow.certificate(person)
  await leave(person)
}

/** The address of the order that a browser keeps. */
const keptOrder = (page: Page): Promise<string> =>
  page.evaluate(
    () =>
      new Promise<string>((resolve, reject) => {
        const opening = indexedDB.open('xmpp-ica')
        opening.onerror = () => reject(opening.error)
        opening.onsuccess = () => {
          const reading = opening.result.transaction('draft').objectStore('draft').get('current')
          reading.onsuccess = () => resolve(reading.result.order)
        }
      }),
  )

/** The CA is stopped while two people are at their proof, and comes back: one goes on, the other's order has ended meanwhile, and starts again with the same names. */
export const restart = async (browser: Browser): Promise<void> => {
  const [person, late] = [await arrive(browser), await arrive(browser)]
  await flow.order(person, 'restart.web.test')
  await flow.order(late, 'expired.web.test')
  await stopProgram()
  await tryingAgain(person.page).waitFor()
  await expireOrder(await keptOrder(late.page))
  await startProgram()
  await tryingAgain(person.page).waitFor({ state: 'detached' })
  await flow.dns(person, ['restart.web.test'])
  await flow.certificate(person)
  await late.page.getByText('This order is over.').waitFor()
  await shot(late, '10-expired')
  await startAgain(late.page).click()
  await flow.dns(late, ['expired.web.test'])
  await flow.certificate(late)
  await leave(person)
  await leave(late)
}

/** Back and forward through the steps, with what was chosen. */
export const back = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  await flow.domain(person, 'back.web.test')
  await flow.names(person, ['*.back.web.test'])
  await page.goBack()
  await heading(page, /Which names/).waitFor()
  demand(await page.getByRole('checkbox', { name: '*.back.web.test' }).isChecked(), 'the wildcard is forgotten')
  await page.goForward()
  await heading(page, /private key/).waitFor()
  await flow.key(person)
  await page.goBack()
  await heading(page, /private key/).waitFor()
  await page.goBack()
  await heading(page, /Which names/).waitFor()
  await page.getByRole('checkbox', { name: '*.back.web.test' }).uncheck()
  await page.getByRole('button', { name: 'Continue' }).click()
  await heading(page, /private key/).waitFor()
  await flow.key(person)
  demand((await page.getByRole('heading', { name: '*.back.web.test', exact: true }).count()) === 0, 'the order has the names of the one before')
  await flow.dns(person, ['back.web.test'])
  await flow.certificate(person)
  await page.goBack()
  await flow.certificate(person)
  await leave(person)
}

/** Two tabs: the second waits, takes over when it is told to, and the first says so. */
export const twoTabs = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  await flow.domain(person, 'tabs.web.test')
  const second = { ...person, page: await person.context.newPage() }
  await second.page.goto(person.page.url())
  await heading(second.page, /another tab/).waitFor()
  await shot(second, '10-tabs')
  await second.page.getByRole('button', { name: 'Go on in this tab' }).click()
  await heading(second.page, /Which names/).waitFor()
  await heading(person.page, /another tab/).waitFor()
  await flow.names(second)
  await flow.key(second)
  await flow.dns(second, ['tabs.web.test'])
  await flow.certificate(second)
  await flow.save(second, 'Private key (PEM)')
  await leave(person)
}
