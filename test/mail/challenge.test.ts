/** email-link-01 through the whole program: the real ACME router, a real DNS server, a real SMTP server, and the page that a reader sees. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { expireLinks } from '../../src/issuance/confirm.js'
import { type LimitName, noLimits, parseRate } from '../../src/issuance/limits.js'
import { createSmtpTransport } from '../../src/mail/transport.js'
import { createPorts } from '../../src/validation/net.js'
import { type AcmeClient, createAcmeClient, isProblem, type Reply, request } from '../support/acme.js'
import { createTestApp, type TestApp } from '../support/app.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { challengeOf, finalize, leafOf, namesOf, poll } from '../support/flow.js'
import { saysLimit } from '../support/limits.js'
import { linkIn, type MailServer, startMailServer } from '../support/smtp-server.js'

const hour = 3_600_000
let app: TestApp
let dns: DnsServer
let smtp: MailServer
let client: AcmeClient

const envelope = { from: { name: 'Test CA', address: 'ca@ica.test' }, bounce: 'bounce@ica.test' }
const transport = () => createSmtpTransport({ url: smtp.url, envelope, dkim: null, hostname: 'ica.test' }, () => true)

before(async () => {
  dns = await startDnsServer(['test'])
  smtp = await startMailServer()
  const times = { resolver: { firstTryMs: 500, tries: 1, totalMs: 1_500 } }
  const { resolver } = createPorts({ servers: [dns.address], lab: true, times })
  app = await createTestApp({
    mail: { transport: transport(), resolver, times: { poll: 20, firstRetry: 100, lease: 1_000 } },
    settings: { limits: { ...noLimits, mailsPerRecipient: parseRate('4/1h') } },
  })
  client = await createAcmeClient(app.directory)
  await client.register()
})
after(async () => {
  await app.close()
  await smtp.close()
  await dns.close()
})
beforeEach(() => {
  dns.clear()
  smtp.rules.recipient = () => null
  smtp.rules.data = () => null
  app.clock.skew = 0
})

let count = 0
/** A domain that takes mail. */
const newDomain = (): string => {
  const name = `d${++count}.test`
  dns.set(name, 'MX', { preference: 10, exchange: 'mx.test' })
  return name
}
const ordered = async (name: string, by = client): Promise<{ order: Reply; authorization: string; challenge: string }> => {
  const order = await by.newOrder([name])
  const [authorization] = order.json.authorizations
  return { order, authorization, challenge: challengeOf(await by.post(authorization), 'email-link-01').url }
}
const sent = (challenge: string) => poll(client, challenge, ({ mail }) => mail?.state === 'sent')
const form = (link: string, action: string): Promise<Response> =>
  fetch(link, { method: 'POST', body: new URLSearchParams({ action }), redirect: 'follow' })
const auditOf = async (subject: string) => (await app.store.auditLog({ subject, limit: 50 })).map(({ action }) => action)

test('a certificate by e-mail: the message, the page, the button, the order', async () => {
  const domain = newDomain()
  const { order, authorization, challenge } = await ordered(domain)
  const offered = await client.post(challenge)
  assert.equal(offered.json.token, undefined)
  assert.deepEqual(
    offered.json.addresses,
    ['admin', 'administrator', 'webmaster', 'hostmaster', 'postmaster'].map((part) => ({
      address: `${part}@${domain}`,
      source: 'constructed',
      at: domain,
    })),
  )
  const answered = await client.post(challenge, { address: `Hostmaster@${domain.toUpperCase()}` })
  assert.deepEqual([answered.status, answered.json.status, answered.json.mail.address], [200, 'processing', `hostmaster@${domain}`])
  assert.ok(['queued', 'sent'].includes(answered.json.mail.state))
  assert.equal(answered.headers.get('retry-after'), '3')
  const received = await smtp.next(`hostmaster@${domain}`)
  const link = linkIn(received, 'confirm')
  const [, token] = link.split('/confirm/')
  assert.equal(Buffer.from(token as string, 'base64url').length, 32)
  const seen = await sent(challenge)
  assert.ok(!JSON.stringify(seen).includes(token as string))
  assert.equal(seen.json.mail.detail, 'The message was sent.')

  const { mail } = received
  assert.equal(mail.subject, `Confirm a certificate for ${domain}`)
  assert.equal(mail.headers.get('auto-submitted'), 'auto-generated')
  assert.match(mail.messageId ?? '', /^<[0-9a-f]{32}@ica\.test>$/)
  assert.equal(received.from, `bounce+${mail.messageId?.slice(1, 33)}@ica.test`)
  for (const text of [mail.text, mail.html || ''])
    for (const part of [domain, client.key.thumbprint, '127.0.0.1', link]) assert.ok(text?.includes(part), part)
  assert.doesNotMatch(mail.html || '', /<img|<style|src=/i)

  const page = await request('GET', link)
  assert.equal(page.status, 200)
  for (const part of [domain, client.key.thumbprint, '127.0.0.1', 'This was not me']) assert.ok(page.text.includes(part), part)
  assert.doesNotMatch(page.text, /<script|style=|<style/)

  const isKnown = () => app.store.isKnownMailbox(`hostmaster@${domain}`, app.clock.now())
  assert.equal(await isKnown(), false)
  const done = await form(link, 'confirm')
  assert.match(await done.text(), /<h1>Confirmed<\/h1>/)
  assert.equal(await isKnown(), true)
  const valid = await poll(client, authorization, ({ status }) => status !== 'pending')
  assert.equal(valid.json.status, 'valid', valid.text)
  assert.deepEqual(
    valid.json.challenges.map((c: { type: string }) => c.type),
    ['email-link-01'],
  )
  const leaf = await leafOf(client, await finalize(client, order, { dns: [domain] }))
  assert.ok(namesOf(leaf).includes(`dNSName ${domain}`))
  assert.match((await request('GET', link)).text, /<h1>Confirmed<\/h1>/)
  const audits = await auditOf(`challenge:${challenge.split('/').at(-1)}`)
  assert.deepEqual(audits, ['challenge.validated', 'challenge.accepted'])

  // It is reused as other proofs are.
  assert.equal((await client.newOrder([domain])).json.status, 'ready')
})

test('a wildcard can be proven by mail, and the name is shown with its label', async () => {
  const domain = newDomain()
  const { order, authorization, challenge } = await ordered(`*.${domain}`)
  await client.post(challenge, { address: `admin@${domain}` })
  const received = await smtp.next(`admin@${domain}`)
  assert.equal(received.mail.subject, `Confirm a certificate for *.${domain}`)
  await form(linkIn(received, 'confirm'), 'confirm')
  assert.equal((await client.post(authorization)).json.status, 'valid')
  await leafOf(client, await finalize(client, order, { dns: [`*.${domain}`] }))
})

test('it is shown after all others, and services have none', async () => {
  const { authorization } = await ordered(newDomain())
  const types = (await client.post(authorization)).json.challenges.map((c: { type: string }) => c.type)
  assert.deepEqual(types, ['http-01', 'dns-01', 'email-link-01'])
  const service = await client.post(client.directory.newOrder, { identifiers: [{ type: 'srv', value: '_xmpp-server.nobody.test' }] })
  const shown = (await client.post(service.json.authorizations[0])).json.challenges.map((c: { type: string }) => c.type)
  assert.deepEqual(shown, ['dns-01'])
})

test('opening the link changes nothing, however often; nor does HEAD, nor a POST without an answer', async () => {
  const domain = newDomain()
  const { authorization, challenge } = await ordered(domain)
  await client.post(challenge, { address: `admin@${domain}` })
  const link = linkIn(await smtp.next(`admin@${domain}`), 'confirm')
  await sent(challenge)
  const rows = async () => JSON.stringify(await app.store.auditLog({ limit: 500 }))
  const before = await rows()
  const visits = await Promise.all(Array.from({ length: 40 }, (_, i) => fetch(link, { method: i % 2 ? 'GET' : 'HEAD' })))
  assert.deepEqual([...new Set(visits.map(({ status }) => status))], [200])
  for (const [body, status] of [
    ['', 400],
    ['action=maybe', 400],
    ['x'.repeat(10_000), 400],
  ] as const) {
    assert.equal((await fetch(link, { method: 'POST', body, headers: { 'content-type': 'application/x-www-form-urlencoded' } })).status, status)
  }
  assert.equal((await fetch(link, { method: 'PUT', body: 'action=confirm' })).status, 405)
  assert.equal((await client.post(authorization)).json.status, 'pending')
  assert.equal(await rows(), before)
  for (const strange of ['/confirm/', `/confirm/${'A'.repeat(43)}`, `/confirm/${'A'.repeat(5000)}`, '/confirm/%00']) {
    const answer = await request('GET', app.local + strange)
    assert.deepEqual([answer.status, /There is no such link/.test(answer.text)], [404, true])
  }
})

test('"This was not me" ends the challenge, and is recorded', async () => {
  const domain = newDomain()
  const { authorization, challenge } = await ordered(domain)
  await client.post(challenge, { address: `admin@${domain}` })
  const link = linkIn(await smtp.next(`admin@${domain}`), 'confirm')
  assert.match(await (await form(link, 'deny')).text(), /<h1>Refused<\/h1>/)
  assert.equal(await app.store.isKnownMailbox(`admin@${domain}`, app.clock.now()), false)
  await form(link, 'confirm')
  const failed = await client.post(authorization)
  assert.equal(failed.json.status, 'invalid')
  assert.match(failed.json.challenges[0].error.detail, /said that the request/)
  assert.ok((await auditOf(`challenge:${challenge.split('/').at(-1)}`)).includes('challenge.denied'))
})

test('a response that names no address that answers for the domain is refused, and the challenge stays pending', async () => {
  const domain = newDomain()
  const { challenge } = await ordered(domain)
  isProblem(await client.post(challenge, {}), 400, 'malformed', /names one of the challenge's addresses/)
  dns.set('elsewhere.test', 'MX', { preference: 1, exchange: 'mx.test' })
  const injections = [
    `admin@${domain}\r\nBcc: x@elsewhere.test`,
    `admin@${domain},x@elsewhere.test`,
    `"a b"@${domain}`,
    `<admin@${domain}>`,
    `admin@${domain}\0`,
    { x: 1 },
    7,
  ]
  for (const address of injections) isProblem(await client.post(challenge, { address }), 400, 'malformed')
  for (const address of ['admin@elsewhere.test', `root@${domain}`, `admin@${domain}.test`])
    isProblem(await client.post(challenge, { address }), 403, 'incorrectResponse')
  assert.equal((await client.post(challenge)).json.status, 'pending')
  assert.deepEqual(
    smtp.received.filter(({ to }) => to.some((one) => one.endsWith('elsewhere.test'))),
    [],
  )
})

test('addresses: of parents up to the registered domain, contacts by CAA and TXT; none where no mail is taken', async () => {
  const domain = newDomain()
  const name = `chat.${domain}`
  dns.set(name, 'MX', { preference: 0, exchange: '.' })
  dns.set(
    domain,
    'CAA',
    { tag: 'contactemail', value: 'Caa.Contact@mail.test' },
    { tag: 'contactemail', value: 'not an address' },
    { tag: 'issue', value: 'ca.test' },
  )
  dns.set(`_validation-contactemail.${name}`, 'TXT', 'dns@mail.test', 'a@b@c', `x@mail.test\r\nBcc: y@mail.test`)
  dns.set('mail.test', 'A', '192.0.2.1')
  const { challenge } = await ordered(name)
  const { addresses, problems } = (await client.post(challenge)).json
  assert.deepEqual(
    addresses.map(({ address, source, at }: Record<string, string>) => `${source} ${address} ${at}`),
    [
      ...['admin', 'administrator', 'webmaster', 'hostmaster', 'postmaster'].map((part) => `constructed ${part}@${domain} ${domain}`),
      `caa Caa.Contact@mail.test ${domain}`,
      `txt dns@mail.test ${name}`,
    ],
  )
  assert.match(problems.join(' '), /not one plain address/)
  assert.match(problems.join(' '), new RegExp(`${name} takes no mail: its MX is null`))
  isProblem(await client.post(challenge, { address: `admin@${name}` }), 403, 'incorrectResponse', /MX is null \(RFC 7505\)/)
  await client.post(challenge, { address: 'dns@mail.test' })
  await smtp.next('dns@mail.test')
})

test('nothing is sent where neither MX nor address exists, and nothing while the DNS does not answer', async () => {
  const bare = `bare${++count}.test`
  dns.set(bare, 'TXT', 'here')
  const { challenge } = await ordered(bare)
  assert.deepEqual((await client.post(challenge)).json.addresses, [])
  isProblem(await client.post(challenge, { address: `admin@${bare}` }), 403, 'incorrectResponse', /neither an MX nor an address record/)
  const broken = newDomain()
  dns.misbehave(broken, 'SERVFAIL', 'MX')
  const second = await ordered(broken)
  isProblem(await client.post(second.challenge, { address: `admin@${broken}` }), 400, 'dns', /SERVFAIL/)
  dns.misbehave(broken, null, 'MX')
  assert.equal((await client.post(second.challenge, { address: `admin@${broken}` })).json.status, 'processing')
  await smtp.next(`admin@${broken}`)
})

test('4xx is tried again, and seen meanwhile', async () => {
  const domain = newDomain()
  const seen: string[] = []
  smtp.rules.data = ({ mail }) => {
    seen.push(mail.messageId ?? '')
    return seen.length < 3 ? [451, '4.7.1 Greylisted\r\nX-Evil: yes'] : null
  }
  const { challenge } = await ordered(domain)
  await client.post(challenge, { address: `admin@${domain}` })
  const deferred = await poll(client, challenge, ({ mail }) => mail.state === 'deferred')
  assert.doesNotMatch(deferred.json.mail.detail, /127\.0\.0\.1|:\d+:/)
  assert.match(deferred.json.mail.detail, /would not take it now: 451 4\.7\.1 Greylisted/)
  const received = await smtp.next(`admin@${domain}`)
  assert.deepEqual(seen, [received.mail.messageId, received.mail.messageId, received.mail.messageId])
  await sent(challenge)
  await form(linkIn(received, 'confirm'), 'confirm')
  assert.equal((await client.post(challenge)).json.status, 'valid')
})

test('5xx is final and said; the same or another address starts over, and the old link is void', async () => {
  const domain = newDomain()
  const { challenge } = await ordered(domain)
  await client.post(challenge, { address: `webmaster@${domain}` })
  const first = linkIn(await smtp.next(`webmaster@${domain}`), 'confirm')
  await sent(challenge)
  smtp.rules.recipient = (address) => (address.startsWith('admin@') ? [550, '5.1.1 No such user'] : null)
  await client.post(challenge, { address: `admin@${domain}` })
  const failed = await poll(client, challenge, ({ mail }) => mail.state === 'failed')
  assert.equal(failed.json.status, 'processing')
  assert.match(failed.json.mail.detail, /refused it: 550 5\.1\.1 No such user/)
  assert.match((await request('GET', first)).text, /There is a newer message/)
  assert.match(await (await form(first, 'confirm')).text(), /There is a newer message/)
  assert.equal((await client.post(challenge)).json.status, 'processing')
  smtp.rules.recipient = () => null
  await client.post(challenge, { address: `admin@${domain}` })
  await form(linkIn(await smtp.next(`admin@${domain}`), 'confirm'), 'confirm')
  assert.equal((await client.post(challenge)).json.status, 'valid')
})

test('the same answer again sends nothing more, also many at once', async () => {
  const domain = newDomain()
  const { challenge } = await ordered(domain)
  const clients = await Promise.all(
    Array.from({ length: 5 }, async () => Object.assign(await createAcmeClient(app.directory, client.key), { kid: client.kid })),
  )
  const replies = await Promise.all(clients.map((one) => one.post(challenge, { address: `admin@${domain}` })))
  assert.deepEqual([...new Set(replies.map(({ json }) => json.status))], ['processing'])
  await smtp.next(`admin@${domain}`)
  await sent(challenge)
  await client.post(challenge, { address: `admin@${domain}` })
  assert.equal(smtp.received.filter(({ to }) => to.includes(`admin@${domain}`)).length, 1)
})

const limited = (reply: Reply, limit: LimitName, detail: RegExp): void =>
  saysLimit(reply, { limit, rate: app.ica.settings.limits[limit], detail, now: app.clock.now(), atMostS: 1800 })

test('a mailbox is not filled: the limit by recipient, whoever asks', async () => {
  const domain = newDomain()
  const other = await createAcmeClient(app.directory)
  await other.register()
  const results: Reply[] = []
  for (let i = 0; i < 5; i++) {
    const by = i % 2 ? client : other
    const { challenge } = await ordered(domain, by)
    results.push(await by.post(challenge, { address: `admin@${domain}` }))
  }
  assert.deepEqual(
    results.slice(0, 4).map(({ status }) => status),
    [200, 200, 200, 200],
  )
  limited(results[4] as Reply, 'mailsPerRecipient', new RegExp(`messages to the mailbox admin@${domain}:.*unwanted mail`))
})

test('nor by other spellings of it, that a contact in the DNS may have', async () => {
  const results: Reply[] = []
  dns.set('mail.test', 'A', '192.0.2.1')
  for (let i = 0; i < 5; i++) {
    const domain = newDomain()
    dns.set(domain, 'CAA', { tag: 'contactemail', value: `Victim+${i}@mail.test` })
    const { challenge } = await ordered(domain)
    results.push(await client.post(challenge, { address: `Victim+${i}@mail.test` }))
  }
  assert.deepEqual(
    results.slice(0, 4).map(({ status }) => status),
    [200, 200, 200, 200],
  )
  limited(results[4] as Reply, 'mailsPerRecipient', /messages to the mailbox victim@mail\.test:/)
})

test('one account writes to so many and no more, whoever they are', async () => {
  const { limits } = app.ica.settings
  app.ica.settings.limits = { ...limits, mailsPerAccount: parseRate('2/1h') }
  try {
    const other = await createAcmeClient(app.directory)
    await other.register()
    const results: Reply[] = []
    for (let i = 0; i < 3; i++) {
      const domain = newDomain()
      const { challenge } = await ordered(domain, other)
      results.push(await other.post(challenge, { address: `admin@${domain}` }))
    }
    assert.deepEqual(
      results.map(({ status }) => status),
      [200, 200, 429],
    )
    limited(results[2] as Reply, 'mailsPerAccount', /messages that this account asked for:.*needs no message/)
  } finally {
    app.ica.settings.limits = limits
  }
})

test('about one registered domain so many messages are sent and no more, whichever account asks about whichever name below it', async () => {
  const { limits } = app.ica.settings
  app.ica.settings.limits = { ...limits, mailsPerDomain: parseRate('3/1h') }
  try {
    const other = await createAcmeClient(app.directory)
    await other.register()
    const domain = newDomain()
    const results: Reply[] = []
    for (const [by, name, local] of [
      [client, domain, 'admin'],
      [other, domain, 'hostmaster'],
      [client, `chat.${domain}`, 'webmaster'],
      [other, `muc.${domain}`, 'postmaster'],
    ] as const) {
      const { challenge } = await ordered(name, by)
      results.push(await by.post(challenge, { address: `${local}@${domain}` }))
    }
    assert.deepEqual(
      results.slice(0, 3).map(({ status }) => status),
      [200, 200, 200],
    )
    const refused = results[3] as Reply
    limited(refused, 'mailsPerDomain', new RegExp(`messages about the registered domain ${domain}:`))
    // One of three in an hour comes back every 20 minutes.
    assert.ok(Math.abs(Number(refused.headers.get('retry-after')) - 1200) < 60, String(refused.headers.get('retry-after')))
    const { challenge } = await ordered(newDomain(), other)
    assert.equal((await other.post(challenge, { address: `admin@d${count}.test` })).status, 200)
  } finally {
    app.ica.settings.limits = limits
  }
})

/** After a leap of the clock, which made the nonce at hand too old. */
const later = async (url: string): Promise<Reply> => {
  await client.post(url)
  return client.post(url)
}

test('a link ends after a day, and its challenge with it', async () => {
  const domain = newDomain()
  const { authorization, challenge } = await ordered(domain)
  await client.post(challenge, { address: `admin@${domain}` })
  const link = linkIn(await smtp.next(`admin@${domain}`), 'confirm')
  app.clock.skew = 24 * hour - 60_000
  assert.match((await request('GET', link)).text, /<button/)
  await expireLinks(app.ica)
  assert.equal((await later(challenge)).json.status, 'processing')
  app.clock.skew = 24 * hour + 1_000
  assert.match((await request('GET', link)).text, /This link has expired/)
  assert.match(await (await form(link, 'confirm')).text(), /This link has expired/)
  await expireLinks(app.ica)
  assert.equal(await expireLinks(app.ica), 0)
  const ended = await later(authorization)
  assert.equal(ended.json.status, 'invalid')
  assert.match(ended.json.challenges[0].error.detail, /Nobody has confirmed/)
})

test('a link of an authorization that was given up, or an account that was closed, says so', async () => {
  const domain = newDomain()
  const { authorization, challenge } = await ordered(domain)
  await client.post(challenge, { address: `admin@${domain}` })
  const link = linkIn(await smtp.next(`admin@${domain}`), 'confirm')
  await client.post(authorization, { status: 'deactivated' })
  assert.match(await (await form(link, 'confirm')).text(), /Nobody needs this any more/)
  assert.equal((await client.post(authorization)).json.status, 'deactivated')
})

test('the queue of validations leaves it alone, and another challenge can not overtake it', async () => {
  const domain = newDomain()
  const { authorization, challenge } = await ordered(domain)
  await client.post(challenge, { address: `admin@${domain}` })
  assert.deepEqual(await app.store.dueChallenges(Date.now() + 30 * 24 * hour, 100), [])
  const dns01 = challengeOf(await client.post(authorization), 'dns-01')
  assert.equal((await client.post(dns01.url, {})).json.status, 'pending')
})

test('CAA can name it among its validation methods, and leave it out', async () => {
  const seen: string[] = []
  app.ica.lookUpCaa = async (name) => {
    seen.push(name)
    return name === 'caa.test'
      ? { kind: 'records', records: [{ critical: false, tag: 'issue', value: 'ca.test; validationmethods=dns-01' }] }
      : { kind: 'none', reason: 'NODATA' }
  }
  dns.set('caa.test', 'MX', { preference: 10, exchange: 'mx.test' })
  const { order, challenge } = await ordered('caa.test')
  await client.post(challenge, { address: 'admin@caa.test' })
  await form(linkIn(await smtp.next('admin@caa.test'), 'confirm'), 'confirm')
  isProblem(await finalize(client, order, { dns: ['caa.test'] }), 403, 'caa', /ca-email-link-01/)
  app.ica.lookUpCaa = async () => ({
    kind: 'records',
    records: [{ critical: false, tag: 'issue', value: 'ca.test; validationmethods=ca-email-link-01' }],
  })
  await leafOf(client, await finalize(client, order, { dns: ['caa.test'] }))
})
