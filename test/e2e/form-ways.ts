/** The ways to a certificate: by DNS on a large and on a small screen, by a file, with a CSR, for an internationalised domain, for a service alone. */
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Browser } from 'playwright-core'
import { pemBlocks, pemEncode } from '../../web/src/keys/base64.js'
import { makeCsr } from '../../web/src/keys/csr.js'
import { flow, heading, sentence } from './form.js'
import { arrive, leave, type Person, shot } from './form-person.js'
import { base, demand, dns, folder, namesOf, openssl } from './form-world.js'

export const byDns = async (person: Person): Promise<void> => {
  const { page } = person
  dns.set('_xmpp-server._tcp.dns.web.test', 'SRV', { priority: 0, weight: 5, port: 5269, target: 'dns.web.test' })
  await flow.domain(person, 'dns.web.test')
  await shot(person, '1-names')
  await flow.names(person, ['conference.dns.web.test', '*.dns.web.test'])
  await shot(person, '2-key')
  await flow.key(person)
  await shot(person, '3-proof')
  await page.getByText('ns.web.test').first().waitFor()
  await flow.dns(person, ['dns.web.test'], { press: false })
  // Closed and opened again, the order goes on; so does one whose server was asked meanwhile.
  await page.reload()
  await heading(page, /Prove/).waitFor()
  await flow.dns(person, ['conference.dns.web.test', '*.dns.web.test'])
  await flow.certificate(person)
  await page.getByRole('button', { name: 'ejabberd' }).click()
  await shot(person, '4-certificate')
}

export const files = async (person: Person): Promise<void> => {
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
  demand(opened.match(/BEGIN CERTIFICATE/g)?.length === 2, 'the PKCS #12 lacks a certificate')
  const inside = pemBlocks(opened).find(({ label }) => label === 'PRIVATE KEY')?.der
  demand(inside !== undefined && leaf.checkPrivateKey(createPrivateKey(pemEncode('PRIVATE KEY', inside))), 'the PKCS #12 has not the key')
  const calendar = readFileSync(await flow.save(person, 'Calendar entry'), 'utf8')
  demand(/BEGIN:VALARM/.test(calendar), 'the calendar has no alarm')
  const fingerprint = await page.locator('dt', { hasText: 'SHA-256' }).locator('+ dd').innerText()
  demand(fingerprint.replaceAll('\u200b', '') === leaf.fingerprint256, `the page shows ${fingerprint}`)
  await shot(person, '4-files')
}

/** The same on a phone in the dark, every step judged. */
export const onPhone = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser, { viewport: { width: 360, height: 740 }, colorScheme: 'dark', hasTouch: true })
  const { page } = person
  await page.goto(`${base}/request`)
  await page.getByLabel('Domain', { exact: true }).fill('a-rather-long-label-for-a-small-screen.phone.web.test')
  await page.getByText('What this CA sees of').waitFor()
  await page.locator('.busy').waitFor({ state: 'detached' })
  await shot(person, 'phone-1-domain')
  await flow.domain(person, 'phone.web.test')
  await shot(person, 'phone-2-names')
  await flow.names(person, ['conference.phone.web.test', '*.phone.web.test'])
  await shot(person, 'phone-3-key')
  await flow.key(person)
  await page.getByText('ns.web.test').first().waitFor()
  await shot(person, 'phone-4-proof')
  await flow.dns(person, ['phone.web.test', 'conference.phone.web.test', '*.phone.web.test'])
  await flow.certificate(person)
  await shot(person, 'phone-5-certificate')
  for (const server of ['Prosody', 'ejabberd', 'Openfire', 'Snikket', 'Tigase', 'MongooseIM'])
    await page.getByRole('button', { name: server, exact: true }).click()
  await page.locator('summary', { hasText: 'PKCS #12' }).click()
  await page.locator('input[name="p12password"]').fill('pâte')
  await page.getByRole('button', { name: 'Make the file' }).click()
  await sentence(page, /plain letters/)
  await shot(person, 'phone-6-installation')
  await flow.save(person, 'Private key (PEM)')
  await flow.finish(person)
  await shot(person, 'phone-7-mine')
  await page.getByRole('button', { name: 'Revoke phone.web.test' }).click()
  for (const summary of await page.locator('main summary').all()) await summary.click()
  await shot(person, 'phone-8-mine-open')
  await leave(person)
}

export const byHttp = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  await flow.order(person, 'http.web.test', { profile: 'xmpp-server-3920', key: 'RSA-3072' })
  await flow.http(person, 'http.web.test')
  await flow.certificate(person)
  const chain = await flow.save(person, 'Full chain (PEM)')
  const key = await flow.save(person, 'Private key (PEM)')
  demand(openssl('x509', '-in', chain, '-noout', '-text').includes('(3072 bit)'), 'the key is not RSA 3072')
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
}

const csrFor = async (...names: string[]): Promise<string> => {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'der' })
  const der = await makeCsr(
    new Uint8Array(key),
    names.map((value) => ({ type: 'dns', value })),
  )
  return pemEncode('CERTIFICATE REQUEST', der)
}

/** A request by openssl, as people make them: the file of it. */
const opensslCsr = (name: string, subject: string, ...key: string[]): string => {
  const file = path.join(folder, name)
  openssl('req', '-new', '-noenc', '-newkey', ...key, '-keyout', path.join(folder, `${name}.key`), '-out', file, '-subj', subject)
  return file
}

/** A CSR by paste, as a file and by drop; what is wrong with one is said before it goes anywhere, and what it says is text. */
export const byCsr = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  await flow.domain(person, 'csr.web.test')
  await flow.names(person)
  await page.locator('input[name="key"][value="csr"]').check()
  for (const [given, said] of [
    ['hello', /not a certificate request/],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', /private key/],
    [await csrFor('other.web.test'), /lacks csr\.web\.test/],
  ] as const) {
    await page.locator('textarea[name="csr"]').fill(given)
    await sentence(page, said)
  }
  const choose = page.locator('input[name="csrFile"]')
  await choose.setInputFiles(opensslCsr('weak.csr', '/CN=csr.web.test', 'rsa:1024'))
  await sentence(page, /1024 bits; at least 2048/)
  await choose.setInputFiles(opensslCsr('curve.csr', '/CN=csr.web.test', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp521r1'))
  await sentence(page, /P-521 are not accepted/)
  const markup = '<img src=x onerror=alert(1)>'
  await choose.setInputFiles(opensslCsr('markup.csr', `/CN=${markup}`, 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'))
  await sentence(page, markup)
  demand((await page.locator('img[src="x"]').count()) === 0, 'the subject of a CSR became an element')
  demand((await page.getByRole('button', { name: 'Take the names of the request' }).count()) === 0, 'what is no name is offered as one')
  await shot(person, '6-csr')
  writeFileSync(path.join(folder, 'csr.web.test.csr'), await csrFor('csr.web.test'))
  await choose.setInputFiles(path.join(folder, 'csr.web.test.csr'))
  await page.locator('.field .error', { hasText: markup }).waitFor({ state: 'detached' })
  // Then another one by drop, which is the one that counts.
  const dropped = await csrFor('csr.web.test')
  const transfer = await page.evaluateHandle((text) => {
    const data = new DataTransfer()
    data.items.add(new File([text], 'dropped.csr'))
    return data
  }, dropped)
  await page.locator('.drop').dispatchEvent('drop', { dataTransfer: transfer })
  demand((await page.locator('textarea[name="csr"]').inputValue()) === dropped, 'the dropped file is not in the field')
  await flow.key(person, 'csr')
  await flow.dns(person, ['csr.web.test'])
  await flow.certificate(person)
  demand((await page.getByRole('link', { name: 'Private key (PEM)' }).count()) === 0, 'a private key is offered for a CSR')
  const chain = await flow.save(person, 'Full chain (PEM)')
  demand(openssl('x509', '-in', chain, '-noout', '-text').includes('secp384r1'), 'the certificate has another key')
  await leave(person)
}

/** An internationalised domain, as it is written and as the DNS has it. */
export const idn = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  await page.goto(`${base}/request`)
  await page.getByLabel('Domain', { exact: true }).fill('Bücher.web.test')
  await page.getByText('In the DNS it is written xn--bcher-kva.web.test.').waitFor()
  await flow.order(person, 'Bücher.web.test')
  await flow.dns(person, ['bücher.web.test'])
  await flow.certificate(person)
  await page.getByText('It is for bücher.web.test').waitFor()
  const names = namesOf(await flow.save(person, 'Full chain (PEM)'))
  demand(names.includes('DNS:xn--bcher-kva.web.test'), `the certificate has ${names}`)
  await leave(person)
}

/** Services of somebody else's domain. */
export const hosted = async (browser: Browser): Promise<void> => {
  const person = await arrive(browser)
  const { page } = person
  await flow.domain(person, 'hosted.web.test')
  await page.locator('input[name="profile"][value="xmpp-hosted"]').check()
  for (const service of await page.locator('input[name="service"]').all()) await service.uncheck()
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByText('Tick at least one service.').waitFor()
  await page.locator('input[name="service"][value="_xmpp-server"]').check()
  await shot(person, '1-hosted')
  await flow.names(person)
  await flow.key(person)
  await flow.dns(person, ['_xmpp-server.hosted.web.test'])
  await flow.certificate(person)
  const names = namesOf(await flow.save(person, 'Full chain (PEM)'))
  demand(names.includes('SRVName') && !names.includes('DNS:'), `the certificate has ${names}`)
  await leave(person)
}
