/**
 * The form in Chromium, against the running program, a real mail server and a real DNS server: every way of proof, on a large and a small screen and by keyboard, with a
 * CSR of one's own, reload and worse in the middle, the files, renewal and revocation; and that no private key leaves the browser.
 *
 *   node --import tsx test/e2e/browser.ts URL ADDRESS DNS_PORT SMTP_PORT WEBROOT FOLDER HOME
 *
 * The program at URL asks the DNS server that is started here on 127.0.0.1:DNS_PORT, and hands its mails to the mail server on SMTP_PORT. Domains are below `web.test`;
 * their web server is at ADDRESS and gives the files of WEBROOT. FOLDER gets screenshots and the files that were saved. HOME is the folder of the program's database.
 * Prints a line `ok` or `FAIL` for each check, and `call` for what whoever started the program is to do with it (`checks` of lib.sh); the exit status is 1 where
 * something failed. ONLY is a regular expression: checks whose names it does not match are left out.
 */
import { type Browser, chromium } from 'playwright-core'
import { back, offline, restart, twoTabs } from './form-faults.js'
import { guideTo } from './form-guides.js'
import { byKeyboard } from './form-keyboard.js'
import { accountKey, accountKeyStays, elsewhere, renewal, revocation } from './form-later.js'
import { byMail, contacts, deniedMail, mailIsOn, notices, refusedMail } from './form-mail.js'
import { limited, mistakes } from './form-mistakes.js'
import { arrive, leave } from './form-person.js'
import { byCsr, byDns, byHttp, files, hosted, idn, onPhone } from './form-ways.js'
import { addHost, check, closeWorld, failed } from './form-world.js'
import { chromiumOptions } from './page-judge.js'

const labels = 'dns conference.dns http csr wrong tabs account elsewhere mail refused denied contact notices lost restart expired back phone keys'
addHost(...labels.split(' ').map((label) => `${label}.web.test`))

const browser = await chromium.launch(chromiumOptions)
const person = await arrive(browser)
const only = new RegExp(process.env.ONLY ?? '')
const run = async (name: string, work: (browser: Browser) => Promise<void>): Promise<void> =>
  only.test(name) ? check(`form: ${name}`, () => work(browser)) : undefined

await run('DNS, three names, a reload in the middle', () => byDns(person))
await run('the files, PKCS #12 by openssl', () => files(person))
await run('renewal in one click', () => renewal(person))
await run('revocation', () => revocation(person))
await run('the account key can’t be taken out', () => accountKeyStays(person))
await run('no private key was sent, nothing went wrong', () => leave(person))
await run('on a phone, in the dark', onPhone)
await run('by keyboard alone', byKeyboard)
await run('a file on the web server, RSA; revocation by key', byHttp)
await run('the CA has mail', mailIsOn)
await run('e-mail: a scanner confirms nothing, a person does', byMail)
await run('e-mail: refused at RCPT, then another address', refusedMail)
await run('e-mail: “this was not me”', deniedMail)
await run('e-mail: null MX; contacts in CAA and TXT', contacts)
await run('e-mail: notices, and no more of them', notices)
await run('a CSR by paste, file and drop', byCsr)
await run('an internationalised domain', idn)
await run('services of another’s domain', hosted)
await run('mistakes get a sentence; a failed proof starts again', mistakes)
await run('rate limited until …', limited)
await run('the network goes and comes back', offline)
await run('the CA is restarted; an order has ended', restart)
await run('back and forward', back)
await run('two tabs', twoTabs)
await run('the account key to another browser', accountKey)
await run('another browser proves the domain and revokes', elsewhere)
await run('what the page says for Prosody', () => guideTo(browser, 'prosody', 'Prosody'))
await run('what the page says for ejabberd', () => guideTo(browser, 'ejabberd', 'ejabberd'))
await browser.close()
await closeWorld()
process.exitCode = failed() > 0 ? 1 : 0
