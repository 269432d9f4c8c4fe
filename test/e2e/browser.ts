/**
 * The form in Chromium, against the running program: every way of proof, a CSR of one's own, reload in the middle, the files, renewal and revocation; and that no
 * private key leaves the browser.
 *
 *   node --import tsx test/e2e/browser.ts URL TXT_URL WEBROOT FOLDER [MAILS]
 *
 * MAILS is the folder where a CA without SMTP_URL puts its mails; without it, e-mail is left out. TXT_URL is the management address of pebble-challtestsrv, WEBROOT the folder that http-01 sees. FOLDER gets screenshots and the files that were saved. Domains are
 * below `web.test`. Prints a line `ok` or `FAIL` for each check; the exit status is 1 where something failed. The steps are in form.ts, so that another check is
 * a few lines.
 */
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import { pemBlocks, pemEncode } from '../../web/src/keys/base64.js'
import { makeCsr } from '../../web/src/keys/csr.js'
import { exposures } from '../web/secrets.js'
import {
  arrive,
  base,
  check,
  demand,
  failed,
  flow,
  folder,
  heading,
  leave,
  mails,
  messageTo,
  namesOf,
  openssl,
  type Person,
  pkcs8In,
  shot,
  txt,
} from './form.js'

const byDns = async (person: Person): Promise<void> => {
  await flow.domain(person, 'dns.web.test')
  await shot(person, '1-names')
  await flow.names(person, ['conference.dns.web.test', '*.dns.web.test'])
  await shot(person, '2-key')
  await flow.key(person)
  await shot(person, '3-proof')
  await person.page.getByText('ns.web.test').first().waitFor()
  await flow.dns(person, ['dns.web.test'], { press: false })
  // Closed and opened again, the order goes on; so does one whose server was asked meanwhile.
  await person.page.reload()
  await heading(person.page, /Prove/).waitFor()
  await flow.dns(person, ['conference.dns.web.test', '*.dns.web.test'])
  await flow.certificate(person)
  await person.page.getByRole('button', { name: 'ejabberd' }).click()
  await shot(person, '4-certificate')
}

const files = async (person: Person): Promise<void> => {
  const { page } = person
  const key = await flow.save(person, 'Private key (PEM)')
  const chain = await flow.save(person, 'Full chain (PEM)')
  const both = await flow.save(person, 'Key and full chain in one file')
  const der = await flow.save(person, 'Certificate alone (DER)')
  const leaf = new X509Certificate(readFileSync(chain))
  demand(leaf.checkPrivateKey(createPrivateKey(readFileSync(key))), 'key and certificate do not belong together')
  demand(pemBlocks(readFileSync(both, 'utf8')).length === 3, 'the combined file has not key, leaf and intermediate')
  demand(new X509Certificate(readFileSync(der)).fingerprint256 === leaf.fingerprint256, 'the DER is another certificate')
  for (const name of ['DNS:dns.web.test', 'DNS:conference.dns.web.test', 'DNS:*.dns.web.test'])
    demand(namesOf(chain).includes(name), `${name} is not in ${namesOf(chain)}`)
  await page.locator('summary', { hasText: 'PKCS #12' }).click()
  await page.locator('input[name="p12password"]').fill('abc')
  await page.getByRole('button', { name: 'Make the file' }).click()
  await page.getByText('at least four characters', { exact: false }).last().waitFor()
  await page.locator('input[name="p12password"]').fill('correct horse')
  await page.getByRole('button', { name: 'Make the file' }).click()
  const p12 = await flow.save(person, 'Save dns.web.test.p12')
  const opened = openssl('pkcs12', '-in', p12, '-passin', 'pass:correct horse', '-nodes')
  demand(opened.match(/BEGIN CERTIFICATE/g)?.length === 2 && opened.includes('BEGIN PRIVATE KEY'), 'the PKCS #12 lacks something')
  const calendar = readFileSync(await flow.save(person, 'Calendar entry'), 'utf8')
  demand(/BEGIN:VALARM/.test(calendar), 'the calendar has no alarm')
  const fingerprint = await page.locator('dt', { hasText: 'SHA-256' }).locator('+ dd').innerText()
  demand(fingerprint.replaceAll('\u200b', '') === leaf.fingerprint256, `the page shows ${fingerprint}`)
}

/** Every key of the flow, and the account's, against all that was sent. */
const secrets = async ({ page, sent }: Person): Promise<void> => {
  const found = exposures(pkcs8In(path.join(folder, 'dns.web.test.key')), sent)
  demand(sent.length > 20, `only ${sent.length} requests were seen`)
  demand(found.length === 0, `the private key was sent:\n${found.join('\n')}`)
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

const renewal = async (person: Person): Promise<void> => {
  await flow.finish(person)
  const { page } = person
  await shot(person, '5-mine')
  for (const name of ['dns.web.test', 'conference.dns.web.test']) await txt('clear-txt', { host: `_acme-challenge.${name}.` })
  await page.getByRole('button', { name: 'Renew dns.web.test' }).click()
  // The proof still holds, so there is nothing to do but wait.
  await flow.certificate(person)
  await flow.save(person, 'Private key (PEM)')
  await flow.finish(person)
  await page.getByRole('button', { name: 'Renew dns.web.test' }).nth(1).waitFor()
}

const revocation = async (person: Person): Promise<void> => {
  const { page } = person
  await page.getByRole('button', { name: 'Revoke dns.web.test' }).nth(1).click()
  await page.locator('select[name="reason"]').selectOption('superseded')
  await page.getByRole('button', { name: 'Revoke it' }).click()
  await page.getByText('revoked', { exact: false }).first().waitFor()
  demand((await page.getByRole('button', { name: 'Revoke dns.web.test' }).count()) === 1, 'the revoked one can be revoked again')
}

const byHttp = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  await flow.domain(person, 'http.web.test')
  await flow.names(person, [], 'xmpp-server-3920')
  await flow.key(person, 'RSA-3072')
  await flow.http(person, 'http.web.test')
  await flow.certificate(person)
  const chain = await flow.save(person, 'Full chain (PEM)')
  const key = await flow.save(person, 'Private key (PEM)')
  demand(openssl('x509', '-in', chain, '-noout', '-text').includes('(3072 bit)'), 'the key is not RSA 3072')
  demand(exposures(pkcs8In(key), person.sent).length === 0, 'the private key was sent')
  await revokeByKey(person, chain, key)
  await leave(person)
}

const revokeByKey = async (person: Person, chain: string, key: string): Promise<void> => {
  const { page } = person
  const other = pemEncode('CERTIFICATE', pemBlocks(readFileSync(chain, 'utf8'))[1]?.der as Uint8Array)
  await page.goto(`${base}/mine`)
  await page.locator('summary', { hasText: 'Revoke with the private key' }).click()
  await page.locator('input[name="revokeCertificateFile"]').setInputFiles({ name: 'other.crt', mimeType: 'text/plain', buffer: Buffer.from(other) })
  await page.locator('input[name="revokeKeyFile"]').setInputFiles(key)
  await page.getByRole('button', { name: 'Revoke and block the key' }).click()
  await page.getByText('The key does not belong to this certificate.').waitFor()
  await page.locator('input[name="revokeCertificateFile"]').setInputFiles(chain)
  await page.getByRole('button', { name: 'Revoke and block the key' }).click()
  await page.getByText('the key is blocked').waitFor()
  demand(exposures(pkcs8In(key), person.sent).length === 0, 'the private key was sent with the revocation')
}

const byCsr = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  const key = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'der' })
  const csrFor = async (...names: string[]) => {
    const der = await makeCsr(
      new Uint8Array(key),
      names.map((value) => ({ type: 'dns', value })),
    )
    return `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
  }
  await flow.domain(person, 'csr.web.test')
  await flow.names(person)
  await page.locator('input[name="key"][value="csr"]').check()
  for (const [given, sentence] of [
    ['hello', /not a certificate request/],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', /private key/],
    [await csrFor('other.web.test'), /lacks csr\.web\.test/],
  ] as const) {
    await page.locator('textarea[name="csr"]').fill(given)
    await page.locator('.field .error', { hasText: sentence }).waitFor()
  }
  await flow.key(person, 'csr', await csrFor('csr.web.test'))
  await flow.dns(person, ['csr.web.test'])
  await flow.certificate(person)
  demand((await page.getByRole('link', { name: 'Private key (PEM)' }).count()) === 0, 'a private key is offered for a CSR')
  const chain = await flow.save(person, 'Full chain (PEM)')
  demand(openssl('x509', '-in', chain, '-noout', '-text').includes('secp384r1'), 'the certificate has another key')
  await leave(person)
}

const mistakes = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  await page.goto(`${base}/request`)
  for (const [typed, sentence] of [
    ['', /Type the domain/],
    ['192.0.2.1', /IP address/],
    ['a_b.web.test', /underscore/],
    ['https://web.test/', /leave out scheme/],
  ] as const) {
    await page.getByLabel('Domain', { exact: true }).fill(typed)
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.locator('.field .error', { hasText: sentence }).waitFor()
  }
  await shot(person, '6-mistake')
  await flow.domain(person, 'wrong.web.test')
  await flow.names(person)
  await page.getByRole('button', { name: 'Order', exact: true }).click()
  await page.getByText('tick the box').waitFor()
  await flow.key(person)
  // Asked to look before the record is there: the CA finds nothing, and the form starts again with the same names.
  await page.getByRole('button', { name: 'look now' }).click()
  await page.getByRole('button', { name: 'Start again with the same names' }).waitFor()
  await shot(person, '7-failed')
  await page.getByRole('button', { name: 'Start again with the same names' }).click()
  await page.getByRole('button', { name: 'Start again with the same names' }).waitFor({ state: 'detached' })
  await flow.dns(person, ['wrong.web.test'])
  await flow.certificate(person)
  await leave(person)
}

/** Without a network the form says so, and goes on when it is back. */
const offline = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page, context } = person
  await flow.domain(person, 'lost.web.test')
  await flow.names(person)
  await flow.key(person)
  await context.setOffline(true)
  await page.getByText('Trying again at').waitFor()
  await shot(person, '10-offline')
  await context.setOffline(false)
  await page.getByText('Trying again at').waitFor({ state: 'detached' })
  await flow.dns(person, ['lost.web.test'])
  await flow.certificate(person)
  await leave(person)
}

/** Two tabs: the second waits, takes over when it is told to, and the first says so. */
const twoTabs = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  await flow.domain(person, 'tabs.web.test')
  const second = await person.context.newPage()
  await second.goto(`${base}/request`)
  await heading(second, /another tab/).waitFor()
  await second.getByRole('button', { name: 'Go on in this tab' }).click()
  await heading(second, /Which names/).waitFor()
  await heading(person.page, /another tab/).waitFor()
  await leave(person)
}

/** The account key goes to another browser, which then has the account. */
const accountKey = async (browser: Browser): Promise<void> => {
  const [first, second] = [await arrive(browser), await arrive(browser)]
  await flow.byDns(first, 'account.web.test')
  await first.page.goto(`${base}/mine`)
  await first.page.locator('summary', { hasText: 'Export the account key' }).click()
  await first.page.getByRole('button', { name: 'Export the account key' }).click()
  const key = await flow.save(first, 'Save the account key')
  demand(exposures(pkcs8In(key), first.sent).length === 0, 'the account key was sent')
  await second.page.goto(`${base}/mine`)
  await second.page.locator('summary', { hasText: 'Import an account key' }).click()
  await second.page.locator('input[name="accountKeyFile"]').setInputFiles(key)
  await second.page.getByRole('button', { name: 'Import', exact: true }).click()
  await second.page.getByText('This browser now uses that account.').waitFor()
  demand(exposures(pkcs8In(key), second.sent).length === 0, 'the account key was sent')
  await leave(first)
  await leave(second)
}

/** Somebody without an account, on another browser, proves the domain again and revokes a certificate that he did not order. */
const elsewhere = async (browser: Browser): Promise<void> => {
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

const byMail = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  await flow.domain(person, 'mail.web.test')
  await flow.names(person, ['*.mail.web.test'])
  await flow.key(person)
  for (const name of ['mail.web.test', '*.mail.web.test']) {
    const section = page.locator('section', { has: page.getByRole('heading', { name, exact: true }) })
    await section.locator('input[value="email-link-01"]').check()
    await section.locator(`input[value="${name.startsWith('*') ? 'postmaster' : 'hostmaster'}@mail.web.test"]`).check()
    await section.getByRole('button', { name: 'Send the message' }).click()
    await section.getByText(/was handed to its mail server|about to be sent/).waitFor()
    await shot(person, `9-mail-${name.startsWith('*') ? 2 : 1}`)
    await page.reload()
    const link = /https?:\/\/\S+\/confirm\/[\w-]{43}/.exec(
      await messageTo(`${name.startsWith('*') ? 'postmaster' : 'hostmaster'}@mail.web.test`),
    )?.[0]
    demand(link !== undefined, 'the message has no link')
    // A scanner looks at it, then its reader comes by another browser.
    const reader = await arrive(browser)
    await reader.context.request.get(link as string)
    await reader.page.goto(link as string)
    await shot(reader, '9-confirm')
    await reader.page.getByRole('button').first().click()
    await reader.page.waitForLoadState()
    await reader.context.close()
  }
  await flow.certificate(person)
  await leave(person)
}

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'.split(
    ' ',
  ),
})
const person = await arrive(browser)
const only = process.env.ONLY
const run = async (name: string, work: () => Promise<void>): Promise<void> =>
  only && !name.includes(only) ? undefined : check(`form: ${name}`, work)
await run('DNS, three names, a reload in the middle', () => byDns(person))
await run('the files, PKCS #12 by openssl', () => files(person))
await run('no private key leaves the browser', () => secrets(person))
await run('renewal in one click', () => renewal(person))
await run('revocation', () => revocation(person))
await run('nothing went wrong on these pages', () => leave(person))
await run('a file on the web server, RSA; revocation by key', () => byHttp(browser))
const facts: { mail?: boolean } = await (await fetch(`${base}/api/ca`)).json()
if (mails && facts.mail) await run('e-mail', () => byMail(browser))
await run('a CSR of one’s own', () => byCsr(browser))
await run('mistakes get a sentence; a failed proof starts again', () => mistakes(browser))
await run('the network goes and comes back', () => offline(browser))
await run('two tabs', () => twoTabs(browser))
await run('the account key to another browser', () => accountKey(browser))
await run('another browser proves the domain and revokes', () => elsewhere(browser))
await browser.close()
process.exitCode = failed() > 0 ? 1 : 0
