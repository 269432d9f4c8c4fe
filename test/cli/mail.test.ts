/** Mail as an operator meets it: the real program in a process of its own. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { simpleParser } from 'mailparser'
import { type AcmeClient, createAcmeClient, request } from '../support/acme.js'
import { bounceOf } from '../support/bounce.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { challengeOf, poll } from '../support/flow.js'
import { freePort, newFolder, type Program, programFile, run, serve, start } from '../support/program.js'
import { linkIn, type MailServer, startMailServer } from '../support/smtp-server.js'

const stop = async ({ child, result }: Program): Promise<number | null> => {
  child.kill('SIGTERM')
  return (await result).code
}

const ask = async (client: AcmeClient, domain: string): Promise<{ authorization: string; challenge: string }> => {
  const order = await client.newOrder([domain])
  const [authorization] = order.json.authorizations
  const challenge = challengeOf(await client.post(authorization), 'email-link-01').url
  const answered = await client.post(challenge, { address: `admin@${domain}` })
  assert.equal(answered.json.status, 'processing', answered.text)
  return { authorization, challenge }
}

describe('mail for trying out', () => {
  const { folder, remove } = newFolder()
  let dns: DnsServer
  let program: Program
  let base: string
  before(async () => {
    dns = await startDnsServer(['test'])
    dns.set('one.test', 'MX', { preference: 1, exchange: 'mx.test' })
    base = `http://localhost:${await freePort()}`
    program = await serve(folder, { ICA_URL: base, ICA_LAB: '1', ICA_DNS_SERVERS: dns.address })
  })
  after(async () => {
    await stop(program)
    await dns.close()
    remove()
  })

  it('is kept as files, and the console shows the link, but the log of requests does not', async () => {
    assert.equal((await request('GET', `${base}/api/ca`)).json.mail, true)
    const client = await createAcmeClient(`${base}/acme/directory`)
    await client.register()
    const { authorization, challenge } = await ask(client, 'one.test')
    await poll(client, challenge, ({ mail }) => mail?.state === 'sent')
    const [link = ''] = /http:\/\/\S+\/confirm\/\S+/.exec(program.stdout()) ?? []
    const files = readdirSync(path.join(folder, 'data', 'mail'))
    assert.equal(files.length, 1)
    const mail = await simpleParser(readFileSync(path.join(folder, 'data', 'mail', files[0] as string)))
    assert.ok(link !== '' && mail.text?.includes(link))
    const page = await request('GET', link)
    assert.equal(page.status, 200)
    assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'.*form-action 'self'/)
    assert.equal(page.headers.get('referrer-policy'), 'no-referrer')
    const css = /<link rel="stylesheet" href="([^"]+)">/.exec(page.text)?.[1] as string
    assert.equal((await request('GET', base + css)).headers.get('content-type'), 'text/css; charset=utf-8')
    await fetch(link, { method: 'POST', body: new URLSearchParams({ action: 'confirm' }) })
    assert.equal((await poll(client, authorization, ({ status }) => status !== 'pending')).json.status, 'valid')
    const [, token = '?'] = link.split('/confirm/')
    // Lines of the log are written in batches.
    for (const until = Date.now() + 30_000; !program.stderr().includes('"path":"/confirm/…"'); await sleep(20))
      assert.ok(Date.now() < until, program.stderr())
    assert.ok(!program.stderr().includes(token))
  })
})

describe('mail in earnest', () => {
  const { folder, remove } = newFolder()
  let smtp: MailServer
  let dns: DnsServer
  before(async () => {
    smtp = await startMailServer()
    dns = await startDnsServer(['test'])
  })
  after(async () => {
    await smtp.close()
    await dns.close()
    remove()
  })

  it('a CA for others does not start without a mail server, says why, and makes nothing', async () => {
    const environment = { ICA_URL: 'https://ica.example.org', ICA_LISTEN: 'localhost:0', ICA_STATUS_LISTEN: 'localhost:0' }
    const refused = await run(folder, ['serve'], environment)
    assert.equal(refused.code === 0, false)
    assert.match(refused.stderr, /SMTP_URL is missing: https:\/\/ica\.example\.org is for others.*ICA_MAIL=off/)
    assert.equal(existsSync(path.join(folder, 'ca-keys')), false)
    const off = start(folder, ['serve'], { ...environment, ICA_MAIL: 'off' })
    for (let i = 0; i < 600 && !off.stderr().includes('"msg":"ready"'); i++) await new Promise((resolve) => setTimeout(resolve, 50))
    assert.match(off.stderr(), /"msg":"ready"/)
    assert.equal(await stop(off), 0)
  })

  it('a killed program sends after its restart what it has promised; a bounce that the mail server pipes in shows in the challenge', async () => {
    dns.set('two.test', 'MX', { preference: 1, exchange: 'mx.test' })
    const other = newFolder()
    const base = `http://localhost:${await freePort()}`
    const environment = {
      ICA_URL: base,
      ICA_LAB: '1',
      ICA_DNS_SERVERS: dns.address,
      SMTP_URL: smtp.url,
      ICA_MAIL_FROM: 'ca@ica.test',
      ICA_MAIL_BOUNCE: 'bounce@ica.test',
    }
    smtp.rules.recipient = () => [451, '4.3.0 Not yet']
    const first = await serve(other.folder, environment)
    const client = await createAcmeClient(`${base}/acme/directory`)
    await client.register()
    const { challenge } = await ask(client, 'two.test')
    await poll(client, challenge, ({ mail }) => mail?.state === 'deferred')
    first.child.kill('SIGKILL')
    await first.result
    smtp.rules.recipient = () => null
    const second = await serve(other.folder, environment)
    for (let i = 0; i < 400 && smtp.received.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 100))
    const received = await smtp.next('admin@two.test')
    const id = /^bounce\+([0-9a-f]{32})@ica\.test$/.exec(received.from)?.[1] as string
    await client.post(challenge)
    await poll(client, challenge, ({ mail }) => mail?.state === 'sent')
    assert.equal((await request('GET', linkIn(received, 'confirm'))).status, 200)

    const child = spawn(process.execPath, [programFile, 'bounce', '--to', received.from], {
      cwd: other.folder,
      env: { ...process.env, ICA_LAB: '1', ICA_URL: base },
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (data) => {
      said += data
    })
    child.stdin.end(bounceOf({ id }))
    const code = await new Promise((resolve) => child.on('close', resolve))
    assert.equal(code, 0, said)
    const bounced = await client.post(challenge)
    assert.deepEqual([bounced.json.status, bounced.json.mail.state], ['processing', 'bounced'], said)
    assert.match(bounced.json.mail.detail, /came back: 5\.1\.1 550 5\.1\.1 nobody@example\.org: No such user/)
    await stop(second)
    assert.equal(smtp.received.length, 1)
    other.remove()
  })
})
