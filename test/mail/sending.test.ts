/** The way out: what a mail is made of, and a sender that dies, is told to wait, or has no mail server. With a real SMTP server. */
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, verify } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { compose, type Message } from '../../src/mail/message.js'
import { createKeepingTransport, createSmtpTransport, type Transport } from '../../src/mail/transport.js'
import { createPorts } from '../../src/validation/net.js'
import { type AcmeClient, createAcmeClient } from '../support/acme.js'
import { createTestApp, type TestApp } from '../support/app.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { challengeOf, poll } from '../support/flow.js'
import { linkIn, type MailServer, startMailServer } from '../support/smtp-server.js'

const envelope = { from: { name: 'Test CA', address: 'ca@ica.test' }, bounce: null }
const message = (more: Partial<Message> = {}): Message => ({
  id: 'a'.repeat(32),
  to: 'admin@example.org',
  at: 1_767_225_600_000,
  content: { subject: 'Subject', blocks: ['Text with <b>&amp;</b> "quotes"', { facts: [['Name', '<script>alert(1)</script>']] }] },
  unsubscribe: null,
  ...more,
})

describe('a message', () => {
  let smtp: MailServer
  before(async () => {
    smtp = await startMailServer()
  })
  after(() => smtp.close())

  const received = async (
    one: Message,
    transport: Transport = createSmtpTransport({ url: smtp.url, envelope, dkim: null, hostname: 'ica.test' }, () => true),
  ) => {
    const attempt = await transport.send(one)
    transport.close()
    assert.equal(attempt.ok, true, attempt.detail)
    return smtp.next(one.to)
  }

  test('has a text and an HTML part, and nothing in it is markup that is not ours', async () => {
    const { mail } = await received(message())
    assert.match(mail.text ?? '', /<b>&amp;<\/b> "quotes"/)
    assert.match(mail.html || '', /&lt;script&gt;alert\(1\)&lt;\/script&gt;/)
    assert.doesNotMatch(mail.html || '', /<script|<b>/)
    assert.equal(mail.date?.getTime(), 1_767_225_600_000)
    assert.equal(mail.messageId, `<${'a'.repeat(32)}@ica.test>`)
    assert.equal(mail.headers.get('list-unsubscribe'), undefined)
  })

  test('a second header can not be made of what others say', async () => {
    const evil = 'x\r\nBcc: evil@example.net\r\n\r\n<h1>body</h1>\u2028Bcc: other@example.net'
    const one = await received(message({ content: { subject: evil, blocks: [evil, { facts: [[evil, evil]] }] } }))
    assert.deepEqual(one.to, ['admin@example.org'])
    assert.equal(one.mail.headers.has('bcc'), false)
    assert.equal(
      one.raw
        .split(/\r?\n\r?\n/)[0]
        ?.split(/\r?\n(?=\S)/)
        .filter((line) => /^bcc/i.test(line)).length,
      0,
    )
    assert.match(one.mail.subject ?? '', /^x Bcc: evil@example\.net <h1>/)
    for (const to of ['a@b.test\r\nBcc: c@d.test', 'a@b.test, c@d.test', '<a@b.test>', '"a"@b.test', 'a@b.test\0', 'a', ''])
      assert.throws(() => compose(message({ to }), envelope), to)
    const refused = await createSmtpTransport({ url: smtp.url, envelope, dkim: null, hostname: 'ica.test' }, () => true).send(
      message({ to: 'a@b.test\nc' }),
    )
    assert.deepEqual([refused.ok, !refused.ok && refused.permanent], [false, true])
  })

  test('is signed where there is a key (RFC 6376)', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const dkim = { domainName: 'ica.test', keySelector: 's1', privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
    const { raw } = await received(
      message(),
      createSmtpTransport({ url: smtp.url, envelope, dkim, hostname: 'ica.test' }, () => true),
    )
    const end = raw.indexOf('\r\n\r\n')
    const fields = raw.slice(0, end).split(/\r\n(?=\S)/)
    const signature = fields.find((field) => /^dkim-signature:/i.test(field)) as string
    const tag = (name: string): string => (new RegExp(`[;\\s]${name}=([^;]*)`).exec(signature)?.[1] ?? '').replace(/\s+/g, '')
    assert.deepEqual([tag('d'), tag('s'), tag('a')], ['ica.test', 's1', 'rsa-sha256'])
    const body = raw
      .slice(end + 4)
      .replace(/[ \t]+/g, ' ')
      .replace(/ \r\n/g, '\r\n')
      .replace(/(\r\n)+$/, '\r\n')
    assert.equal(createHash('sha256').update(body).digest('base64'), tag('bh'))
    const relaxed = (field: string): string => {
      const colon = field.indexOf(':')
      return `${field.slice(0, colon).trim().toLowerCase()}:${field
        .slice(colon + 1)
        .replace(/\r\n/g, '')
        .replace(/[ \t]+/g, ' ')
        .trim()}`
    }
    const signed = tag('h')
      .split(':')
      .map((name) => relaxed(fields.find((field) => field.toLowerCase().startsWith(`${name}:`)) as string))
    const own = relaxed(signature).replace(/([;\s]b=)[^;]*/, '$1')
    assert.ok(signed.some((field) => field.startsWith('from:')) && signed.some((field) => field.startsWith('subject:')))
    assert.ok(verify('sha256', Buffer.from([...signed, own].join('\r\n')), publicKey, Buffer.from(tag('b'), 'base64')))
  })

  test('a server elsewhere must speak TLS, and a server that is away is asked again', async () => {
    const elsewhere = await createSmtpTransport({ url: smtp.url, envelope, dkim: null, hostname: 'ica.test' }, () => false).send(
      message({ to: 'tls@example.org' }),
    )
    assert.deepEqual([elsewhere.ok, !elsewhere.ok && elsewhere.permanent], [false, false])
    const nobody = await startMailServer()
    await nobody.close()
    const away = await createSmtpTransport({ url: nobody.url, envelope, dkim: null, hostname: 'ica.test' }, () => true).send(message())
    assert.deepEqual([away.ok, !away.ok && away.permanent], [false, false])
    assert.match(away.detail, /could not be reached/)
    assert.ok(!smtp.received.some(({ to }) => to.includes('tls@example.org')))
  })

  test('signs in with the user and password of the URL', async () => {
    const seen: string[] = []
    const strict = await startMailServer({
      authOptional: false,
      allowInsecureAuth: true,
      onAuth: ({ username, password }, _, done) => {
        seen.push(`${username} ${password}`)
        done(password === 'p@ss' ? null : new Error('no'), { user: username })
      },
    })
    const url = (password: string) => strict.url.replace('smtp://', `smtp://ica:${encodeURIComponent(password)}@`)
    const open = (password: string) => createSmtpTransport({ url: url(password), envelope, dkim: null, hostname: 'ica.test' }, () => true)
    const good = open('p@ss')
    assert.equal((await good.send(message())).ok, true)
    good.close()
    const bad = await open('wrong').send(message())
    assert.deepEqual([bad.ok, !bad.ok && bad.permanent], [false, false])
    assert.deepEqual(seen.includes('ica p@ss'), true)
    await strict.close()
  })

  test('without a mail server it is kept as it would be sent', async () => {
    const kept: string[] = []
    const transport = createKeepingTransport(envelope, null, async ({ id }, raw) => {
      kept.push(raw.toString())
      return id
    })
    assert.deepEqual(await transport.send(message()), { ok: true, detail: 'a'.repeat(32) })
    assert.match(kept[0] as string, /^From: Test CA <ca@ica\.test>\r\n/m)
    assert.match(kept[0] as string, /^Auto-Submitted: auto-generated\r\n/m)
  })
})

describe('a sender', () => {
  let app: TestApp
  let dns: DnsServer
  let smtp: MailServer
  let client: AcmeClient
  const transport = () => createSmtpTransport({ url: smtp.url, envelope, dkim: null, hostname: 'ica.test' }, () => true)
  before(async () => {
    dns = await startDnsServer(['test'])
    smtp = await startMailServer()
    const { resolver } = createPorts({ servers: [dns.address], lab: true })
    app = await createTestApp({ mail: { transport: transport(), resolver, times: { poll: 20, firstRetry: 100, lease: 2_000, patience: 50 } } })
    client = await createAcmeClient(app.directory)
    await client.register()
  })
  after(async () => {
    await app.close()
    await smtp.close()
    await dns.close()
  })

  let count = 0
  const ask = async (): Promise<{ challenge: string; address: string }> => {
    const domain = `s${++count}.test`
    dns.set(domain, 'MX', { preference: 1, exchange: 'mx.test' })
    const order = await client.newOrder([domain])
    const challenge = challengeOf(await client.post(order.json.authorizations[0]), 'email-link-01').url
    const answered = await client.post(challenge, { address: `admin@${domain}` })
    assert.equal(answered.json.status, 'processing', answered.text)
    return { challenge, address: `admin@${domain}` }
  }
  const state = (challenge: string, wanted: string) => poll(client, challenge, ({ mail }) => mail?.state === wanted)

  test('what was written while no sender ran is sent by the next one, once', async () => {
    await app.restartSender()
    const { challenge, address } = await ask()
    assert.equal((await client.post(challenge)).json.mail.state, 'queued')
    await app.restartSender(transport())
    await smtp.next(address)
    await state(challenge, 'sent')
    await app.restartSender(transport())
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(smtp.received.filter(({ to }) => to.includes(address)).length, 1)
  })

  test('one that dies before the mail server has it loses nothing and sends it once', async () => {
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let tries = 0
    smtp.rules.data = async () => {
      if (++tries > 1) return null
      await held
      return [451, 'gone']
    }
    const { challenge, address } = await ask()
    for (let i = 0; i < 3000 && tries === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10))
    // The connection ends in the middle of the message, as with a process that is killed.
    await app.restartSender(transport())
    release()
    await smtp.next(address)
    await state(challenge, 'sent')
    smtp.rules.data = () => null
    assert.equal(smtp.received.filter(({ to }) => to.includes(address)).length, 1)
  })

  test('one that dies between acceptance and record sends again what can be told to be the same', async () => {
    const { mailSent } = app.store
    let lost = 0
    app.store.mailSent = async (...args) => {
      if (++lost === 1) throw new Error('killed')
      return mailSent(...args)
    }
    const { challenge, address } = await ask()
    const [first, second] = [await smtp.next(address), await smtp.next(address)]
    await state(challenge, 'sent')
    app.store.mailSent = mailSent
    const { mail: a } = first
    const { mail: b } = second
    assert.deepEqual([a.messageId, a.date, linkIn(first, 'confirm')], [b.messageId, b.date, linkIn(second, 'confirm')])
  })

  test('two at work on one database send each mail once', async () => {
    const { createOutgoing } = await import('../../src/issuance/outgoing.js')
    const { clock, log, store, metrics, sealer } = app.ica
    const sender = { name: 'Test CA', website: app.base }
    const second = createOutgoing({
      clock,
      log,
      store,
      metrics,
      sealer,
      transport: transport(),
      sender,
      subscriptions: app.subscriptions,
      times: { poll: 5 },
    })
    second.start()
    const asked = await Promise.all(Array.from({ length: 1 }, ask))
    for (let i = 0; i < 12; i++) asked.push(await ask())
    for (const { challenge } of asked) await state(challenge, 'sent')
    await second.stop()
    for (const { address } of asked) assert.equal(smtp.received.filter(({ to }) => to.includes(address)).length, 1)
  })

  test('a server that never takes it: given up when the link has ended, not before', async () => {
    smtp.rules.data = () => [451, 'later']
    const { challenge } = await ask()
    await state(challenge, 'deferred')
    app.clock.skew = 24 * 3_600_000 + 60_000
    await client.post(challenge)
    await state(challenge, 'failed')
    app.clock.skew = 0
    smtp.rules.data = () => null
  })
})
