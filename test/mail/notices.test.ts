/** Notices to subscribers, from the order to the mailbox, and how one ends them. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { tellOfExpiries } from '../../src/issuance/notices.js'
import { blockKey, unblockKey } from '../../src/issuance/operator.js'
import { revokeKey } from '../../src/issuance/revocation.js'
import { createSmtpTransport } from '../../src/mail/transport.js'
import { type NoticeOptions, noticeTimes } from '../../src/store/store.js'
import { createPorts } from '../../src/validation/net.js'
import { type AcmeClient, createAcmeClient, request } from '../support/acme.js'
import { createTestApp, proven, type TestApp } from '../support/app.js'
import { csrFor, proveAll } from '../support/flow.js'
import { linkIn, type MailServer, startMailServer } from '../support/smtp-server.js'

const options: NoticeOptions = { perRecipient: null, perStranger: null }
let app: TestApp
let smtp: MailServer
before(async () => {
  smtp = await startMailServer()
  const envelope = { from: { name: 'Test CA', address: 'ca@ica.test' }, bounce: null }
  const transport = createSmtpTransport({ url: smtp.url, envelope, dkim: null, hostname: 'ica.test' }, () => true)
  const { resolver } = createPorts({ servers: ['127.0.0.1:1'], lab: true })
  app = await createTestApp({ mail: { transport, resolver, times: { poll: 10 }, notices: options } })
  app.played.set('*', proven)
})
after(async () => {
  await app.close()
  await smtp.close()
})

let count = 0
const newClient = async (): Promise<AcmeClient & { address: string }> => {
  const client = await createAcmeClient(app.directory)
  const address = `owner${++count}@example.org`
  await client.register({ termsOfServiceAgreed: true, contact: [`mailto:${address}`] })
  return Object.assign(client, { address })
}
/** The serial of a new certificate. */
const issue = async (client: AcmeClient, domain: string): Promise<string> => {
  const order = await client.newOrder([domain])
  await proveAll(client, order)
  const done = await client.post(order.json.finalize, { csr: await csrFor({ dns: [domain] }) })
  assert.equal(done.json.status, 'valid', done.text)
  return done.json.certificate.split('/').at(-1)
}
const subjectsTo = (address: string): (string | undefined)[] => smtp.received.filter(({ to }) => to.includes(address)).map(({ mail }) => mail.subject)
/** Until the outbox has nothing more to do. */
const settled = async (): Promise<void> => {
  for (let i = 0; i < 250 && (await app.store.dueMails(Number.MAX_SAFE_INTEGER, 1)).length > 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 20))
}
const at = (ms: number): void => {
  app.clock.skew = ms - Date.now()
}

test('issued: with the names and a way to get no more', async () => {
  const client = await newClient()
  const serial = await issue(client, 'xn--bcher-kva.example')
  const { mail } = await smtp.next(client.address)
  assert.equal(mail.subject, 'Certificate issued for bücher.example (xn--bcher-kva.example)')
  for (const part of [serial, 'bücher.example', 'xmpp-server']) assert.ok(mail.text?.includes(part), part)
  assert.equal(mail.headers.get('auto-submitted'), 'auto-generated')
  const raw = smtp.received.find((one) => one.mail === mail)?.raw ?? ''
  assert.match(raw, /^List-Unsubscribe: ?\r?\n? ?<http:\/\/\S+\/unsubscribe\/\S+>\r?$/m)
  assert.match(raw, /^List-Unsubscribe-Post: List-Unsubscribe=One-Click\r?$/m)
})

test('expiring: at a quarter and at a tenth, each once, whoever looks and however often; not after a renewal', async () => {
  const [left, renewed] = [await newClient(), await newClient()]
  const { notBefore, notAfter } = (await app.store.certificateBySerial(await issue(left, 'left.example.org'))) ?? { notBefore: 0, notAfter: 0 }
  await issue(renewed, 'renewed.example.org')
  const { quarter, tenth } = noticeTimes({ notBefore, notAfter })
  await settled()
  at(quarter - 1000)
  await tellOfExpiries(app.ica, options)
  await settled()
  assert.equal(subjectsTo(left.address).length, 1)
  at(quarter + 60_000)
  await Promise.all(Array.from({ length: 5 }, () => tellOfExpiries(app.ica, options)))
  await settled()
  for (const { address } of [left, renewed]) assert.match(subjectsTo(address)[1] ?? '', /expires in 22 days$/)
  const later = await createAcmeClient(app.directory, renewed.key)
  later.kid = renewed.kid
  await issue(later, 'renewed.example.org')
  await settled()
  at(tenth + 60_000)
  await Promise.all(Array.from({ length: 5 }, () => tellOfExpiries(app.ica, options)))
  await settled()
  assert.match(subjectsTo(left.address)[2] ?? '', /^Certificate for left\.example\.org expires in 9 days$/)
  at(notAfter + 86_400_000)
  await tellOfExpiries(app.ica, options)
  await settled()
  assert.equal(subjectsTo(left.address).length, 3)
  assert.deepEqual(
    subjectsTo(renewed.address).map((subject) => subject?.split(' ')[1]),
    ['issued', 'for', 'issued'],
  )
  at(Date.now())
})

test('revoked: told where the owner did not do it, with the key that is blocked', async () => {
  const client = await newClient()
  const serial = await issue(client, 'revoked.example.org')
  const { keyId } = (await app.store.certificateBySerial(serial)) ?? { keyId: '' }
  await revokeKey(app.ica, keyId, null, { actor: 'operator:test' })
  await settled()
  await smtp.next(client.address)
  const { mail } = await smtp.next(client.address)
  assert.equal(mail.subject, 'Certificate revoked for revoked.example.org')
  assert.match(mail.text ?? '', /keyCompromise[\s\S]*blocked for ever/)
})

test('key blocked: its owner reads which one, once, and the text and HTML say the same', async () => {
  const client = await newClient()
  const { keyId } = (await app.store.certificateBySerial(await issue(client, 'blocked.example.org'))) ?? { keyId: '' }
  await smtp.next(client.address)
  await blockKey(app.ica, keyId, 'found in a public repository', { actor: 'operator:test' })
  const { mail } = await smtp.next(client.address)
  assert.equal(mail.subject, 'A key of your certificates is blocked')
  for (const part of [keyId, 'found in a public repository', 'No certificate will be issued for it any more']) {
    assert.ok(mail.text?.includes(part), part)
    assert.ok(typeof mail.html === 'string' && mail.html.includes(part), part)
  }
  await unblockKey(app.ica, keyId, { actor: 'operator:test' })
  await blockKey(app.ica, keyId, 'found in a public repository', { actor: 'operator:test' })
  await settled()
  assert.equal(subjectsTo(client.address).length, 2)
})

test('a mailbox that somebody has only named gets a few; whoever reads there may ask for all', async () => {
  options.perStranger = { count: 2, windowMs: 86_400_000 }
  try {
    const client = await newClient()
    for (const name of ['a', 'b', 'c']) await issue(client, `${name}.strange.example.org`)
    await settled()
    assert.equal(subjectsTo(client.address).length, 2)
    const first = await smtp.next(client.address)
    assert.match((first.mail.text ?? '').replace(/\s+/g, ' '), /Nobody at your address has said yet that notices are wanted/)
    const link = linkIn(first, 'unsubscribe')
    const page = await (await fetch(link)).text()
    assert.match(page, /Only a few a day are sent/)
    assert.match(page, /value="subscribe">They are wanted</)
    await issue(client, 'd.strange.example.org')
    await settled()
    assert.equal(subjectsTo(client.address).length, 2)

    const answer = await fetch(link, { method: 'POST', body: new URLSearchParams({ action: 'subscribe' }) })
    assert.doesNotMatch(await answer.text(), /Only a few a day|They are wanted/)
    for (const name of ['e', 'f', 'g']) await issue(client, `${name}.strange.example.org`)
    await settled()
    assert.equal(subjectsTo(client.address).length, 5)
    assert.doesNotMatch(smtp.received.filter(({ to }) => to.includes(client.address)).at(-1)?.mail.text ?? '', /Nobody at your address/)
  } finally {
    options.perStranger = null
  }
})

test('unsubscribing: looking changes nothing; the button, the mail program by itself, and back again', async () => {
  const client = await newClient()
  await issue(client, 'one.example.org')
  const link = linkIn(await smtp.next(client.address), 'unsubscribe')
  const post = (body: string, type = 'application/x-www-form-urlencoded') =>
    fetch(link, { method: 'POST', body, headers: { 'content-type': type }, redirect: 'follow' })
  for (const method of ['GET', 'HEAD', 'GET']) assert.equal((await fetch(link, { method })).status, 200)
  assert.match((await request('GET', link)).text, new RegExp(`${client.address} is told when`))
  await issue(client, 'two.example.org')
  await smtp.next(client.address)

  assert.match(await (await post('action=unsubscribe')).text(), /You get no more notices/)
  await issue(client, 'three.example.org')
  await settled()
  assert.equal(subjectsTo(client.address).length, 2)

  assert.match(await (await post('action=subscribe')).text(), /is told when/)
  await issue(client, 'four.example.org')
  await smtp.next(client.address)

  assert.equal((await post('List-Unsubscribe=One-Click')).status, 200)
  await issue(client, 'five.example.org')
  await settled()
  assert.equal(subjectsTo(client.address).length, 3)

  await post('action=subscribe')
  await post('--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n', 'multipart/form-data; boundary=b')
  await issue(client, 'six.example.org')
  await settled()
  assert.equal(subjectsTo(client.address).length, 3)
  assert.equal((await post('action=other')).status, 400)
})

test('unsubscribing: nobody makes a link for somebody else', async () => {
  const client = await newClient()
  await issue(client, 'seven.example.org')
  const link = linkIn(await smtp.next(client.address), 'unsubscribe')
  const [base, token = ''] = link.split('/unsubscribe/')
  const [content = '', mac = ''] = token.split('.')
  const forged = Buffer.from(Buffer.from(content, 'base64url').toString().replace('owner', 'other')).toString('base64url')
  for (const wrong of [
    `${forged}.${mac}`,
    `${content}.${'A'.repeat(mac.length)}`,
    content,
    `${content}.`,
    `${token}.x`,
    '',
    `${'A'.repeat(4000)}.${mac}`,
  ])
    assert.equal((await fetch(`${base}/unsubscribe/${wrong}`, { method: 'POST', body: 'action=unsubscribe-all' })).status, 404, wrong)
  assert.equal(await app.store.isOptedOut(client.address, ''), false)
})

test('a mail that nobody wants any more when its turn comes is not sent', async () => {
  await app.restartSender()
  const client = await newClient()
  await issue(client, 'eight.example.org')
  const account = await app.store.accountById((client.kid as string).split('/').at(-1) as string)
  const token = (await app.subscriptions()).token({ address: client.address, accountId: account?.id as string })
  await fetch(`${app.local}/unsubscribe/${token}`, { method: 'POST', body: 'List-Unsubscribe=One-Click' })
  const envelope = { from: { name: 'Test CA', address: 'ca@ica.test' }, bounce: null }
  await app.restartSender(createSmtpTransport({ url: smtp.url, envelope, dkim: null, hostname: 'ica.test' }, () => true))
  await settled()
  assert.deepEqual(subjectsTo(client.address), [])
})
