/** The whole way with nothing but Tab, Enter and Space, and letters where there is a field. */
import type { Browser, Page } from 'playwright-core'
import { flow, heading, recordOf } from './form.js'
import { arrive, leave, type Person, shot } from './form-person.js'
import { base, demand, publish } from './form-world.js'

const mostStops = 60

/** What has the focus, as a person knows it: its role in a word and its name. */
const focused = (page: Page) =>
  page.evaluate(() => {
    const element = document.activeElement as HTMLInputElement
    const label = element.labels?.[0]?.textContent ?? element.getAttribute('aria-label') ?? element.textContent ?? ''
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element)
    const seen = (outlineStyle !== 'none' && outlineWidth !== '0px') || boxShadow !== 'none'
    const inView = element.getBoundingClientRect().bottom > 0 && element.getBoundingClientRect().top < innerHeight
    return { name: label.replace(/\s+/g, ' ').trim(), tag: element.tagName, seen, inView }
  })

/** Tab until something of this name has the focus. */
const tabTo = async ({ page, problems }: Person, name: RegExp): Promise<void> => {
  const stops: string[] = []
  for (let count = 0; count < mostStops; count++) {
    await page.keyboard.press('Tab')
    const at = await focused(page)
    if (at.tag === 'BODY') continue
    if (!at.seen || !at.inView) problems.push(`the focus on ${at.tag} ${at.name.slice(0, 40)} cannot be seen`)
    if (name.test(at.name)) return
    stops.push(at.name.slice(0, 30))
  }
  throw new Error(`Tab does not come to ${name}, but to ${stops.join(' | ')}`)
}
const press = (page: Page, key: 'Enter' | 'Space'): Promise<void> => page.keyboard.press(key)

/** After a step the focus is on the heading of the next one, so that a screen reader reads it and Tab goes on from there. */
const arriveAt = async (person: Person, title: string | RegExp): Promise<void> => {
  const { page } = person
  await heading(page, title).waitFor()
  await page
    .waitForFunction(() => document.activeElement?.tagName === 'H1', undefined, { timeout: 2000 })
    .catch(async () => {
      const { tag, name } = await focused(page)
      person.problems.push(`at ${title} the focus is on ${tag} ${name.slice(0, 40)}, not on the heading`)
    })
}

export const byKeyboard = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser, { permissions: ['clipboard-read', 'clipboard-write'] })
  const { page } = person
  await page.goto(`${base}/request`)
  await heading(page, /which XMPP domain/).waitFor()
  await tabTo(person, /^Domain$/)
  await page.keyboard.type('keys.web.test')
  await press(page, 'Enter')
  await arriveAt(person, /Which names/)
  await tabTo(person, /conference\.keys\.web\.test/)
  await press(page, 'Space')
  await shot(person, 'keyboard-1-names')
  await tabTo(person, /^Another name$/)
  await page.keyboard.type('talk.keys.web.test')
  await press(page, 'Enter')
  await tabTo(person, /^Continue$/)
  await press(page, 'Enter')
  await arriveAt(person, /private key/)
  await tabTo(person, /accept the/)
  await press(page, 'Space')
  await tabTo(person, /^Order$/)
  await press(page, 'Enter')
  await arriveAt(person, /Prove/)
  for (const name of ['keys.web.test', 'conference.keys.web.test', 'talk.keys.web.test']) await takeRecord(person, name)
  await flow.certificate(person)
  await arriveAt(person, 'Your certificate')
  await shot(person, 'keyboard-2-certificate')
  await tabTo(person, /^Private key \(PEM\)$/)
  const saved = await flow.save(person, () => press(page, 'Enter'))
  demand(saved.endsWith('/keys.web.test.key'), `Enter on the key saves ${saved}`)
  await tabTo(person, /^Prosody$/)
  await press(page, 'Enter')
  await tabTo(person, /finish$/)
  await press(page, 'Enter')
  await arriveAt(person, 'My certificates')
  await tabTo(person, /^Revoke keys\.web\.test$/)
  await press(page, 'Enter')
  await tabTo(person, /^Revoke it$/)
  await press(page, 'Enter')
  await page.getByText('revoked').first().waitFor()
  await shot(person, 'keyboard-3-revoked')
  await leave(person)
}

/** Copies name and value of the first record by their buttons, and takes the clipboard to the DNS. */
const takeRecord = async (person: Person, name: string): Promise<void> => {
  const { page } = person
  const { host, value } = await recordOf(page, name)
  if (name === 'keys.web.test') {
    for (const [label, text] of [
      ['Name', host],
      ['Value', value],
    ] as const) {
      await tabTo(person, new RegExp(`^Copy: ${label}$`))
      await press(page, 'Enter')
      await page.getByText('Copied').first().waitFor()
      const copied = await page.evaluate(() => navigator.clipboard.readText())
      demand(copied === text, `the button copies ${copied}`)
    }
  }
  publish(host, value)
}
