import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingHttpHeaders, type RequestListener, request, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { connect as tlsConnect } from 'node:tls'
import { readNetworks } from '../src/config-values.js'
import type { Log } from '../src/log.js'
import { createMeter } from '../src/metrics.js'
import { clientAddress, isWithin } from '../src/networks.js'
import { createPages } from '../src/pages.js'
import { type Door, type Listener, limits, openDoor } from '../src/server.js'
import { certificateFromFiles } from '../src/server-certificate.js'
import { createTasks } from '../src/tasks.js'
import { createStatusListener, createWebListener, type WebDeps } from '../src/web.js'
import { selfSigned } from './support/self-signed.js'

const lines: object[] = []
const note = (fields: object): void => void lines.push(fields)
const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log }

type Answer = { status: number; headers: IncomingHttpHeaders; body: string }

/** A request by hand: fetch would add headers and hide the connection. */
const ask = (port: number, target: string, options: { method?: string; headers?: Record<string, string>; host?: string } = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, host = '127.0.0.1' } = options
    const req = request({ host, port, path: target, method, headers, agent: false }, (res) => {
      let body = ''
      res.on('data', (data) => {
        body += data
      })
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body }))
    })
    req.on('error', reject)
    req.end()
  })

const open: Listener[] = []
after(() => Promise.all(open.map((listener) => listener.close(0))))
const door = async (handler: RequestListener, more: Partial<Door> = {}, change: Partial<typeof limits> = {}): Promise<Listener> => {
  const listener = await openDoor({ name: 'web', address: { host: '127.0.0.1', port: 0 }, handler, ...more }, log, change)
  open.push(listener)
  return listener
}

/** Speaks raw octets and returns what comes back until the other side ends. */
const raw = (port: number, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.on('data', (data) => {
      answer += data
    })
    socket.on('end', () => resolve(answer))
    socket.on('error', reject)
  })

describe('a listener', () => {
  it('listens on both loopback addresses where it is told localhost', async () => {
    const { port, addresses } = await door((_, res) => void res.end('ok'), { address: { host: 'localhost', port: 0 } })
    assert.equal(addresses[0], `127.0.0.1:${port}`)
    assert.equal((await ask(port, '/')).body, 'ok')
    if (addresses.length > 1) assert.equal((await ask(port, '/', { host: '::1' })).body, 'ok')
  })

  it('says in words why it cannot listen, and leaves nothing open', async () => {
    const { port } = await door((_, res) => void res.end())
    await assert.rejects(
      door(() => undefined, { address: { host: '127.0.0.1', port } }),
      /cannot listen on 127\.0\.0\.1:\d+ for web: another program listens there.*ICA_LISTEN/,
    )
    await assert.rejects(
      door(() => undefined, { name: 'status', address: { host: '203.0.113.1', port: 0 } }),
      /does not have that address \(ICA_STATUS_LISTEN\)/,
    )
  })

  it('bounds header fields', async () => {
    const { port } = await door((_, res) => void res.end('ok'))
    assert.match(
      await raw(port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(limits.maxHeaderSize)}\r\n\r\n`),
      /^HTTP\/1\.1 431 .*delete the cookies/s,
    )
    assert.match(await raw(port, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 .*\r\nConnection: close/s)
  })

  it('reads no further than a few requests ahead of its answers, and answers all in the end', async () => {
    const count = 20_000
    const waiting: ServerResponse[] = []
    let most = 0
    const { port } = await door((req, res) => {
      req.resume()
      most = Math.max(most, waiting.push(res))
    })
    const socket = connect(port, '127.0.0.1')
    let answers = 0
    socket.on('data', (data) => {
      answers += data.toString().match(/HTTP\/1\.1 200/g)?.length ?? 0
    })
    // Some with a body: reading it would go on where reading was stopped.
    const one = `POST / HTTP/1.1\r\nHost: a\r\nX-Other: ${'x'.repeat(900)}\r\nContent-Length: 4\r\n\r\nbody`
    socket.write(one.repeat(count))
    while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.ok(waiting.length > limits.maxPipelined && waiting.length < 300, `${waiting.length} requests are begun`)
    for (let ended = 0; ended < count; await new Promise((resolve) => setImmediate(resolve))) {
      for (const res of waiting.splice(0, 8)) {
        res.end('ok')
        ended++
      }
    }
    for (const until = Date.now() + 5000; answers < count && Date.now() < until; ) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal(answers, count)
    assert.ok(most < 300, `${most}`)
    socket.destroy()
  })

  it('cuts who does not take an answer, and answers that take too long', async () => {
    const body = Buffer.alloc(40 * 1024 * 1024)
    const closed = new Map<string, number>()
    const handler: RequestListener = (req, res) => {
      const began = performance.now()
      // There is always something on its way.
      const trickle = setInterval(() => res.write('a little'), 50)
      res.once('close', () => {
        clearInterval(trickle)
        closed.set(req.url ?? '', performance.now() - began)
      })
      if (req.url === '/slow') return
      clearInterval(trickle)
      res.end(body)
    }
    const { port } = await door(handler, {}, { timeout: 300, responseTimeout: 1500, connectionsCheckingInterval: 50 })
    const targets = ['/stalled', '/slow']
    const sockets = targets.map((target) =>
      connect(port, '127.0.0.1', () => sockets[targets.indexOf(target)]?.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)),
    )
    sockets[1]?.on('error', () => undefined).resume()
    for (const until = Date.now() + 10_000; closed.size < 2 && Date.now() < until; ) await new Promise((resolve) => setTimeout(resolve, 20))
    for (const socket of sockets) socket.destroy()
    const [stalled = 0, slow = 0] = targets.map((target) => closed.get(target))
    assert.ok(stalled >= 250 && stalled < slow, `${stalled}`)
    assert.ok(slow >= 1400, `${slow}`)
  })

  it('refuses connections beyond their number, and says so', async () => {
    const { port } = await door((_, res) => void res.end('ok'), {}, { maxConnections: 2 })
    const sockets = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
    lines.length = 0
    await assert.rejects(ask(port, '/'))
    assert.deepEqual(lines, [{ door: 'web', maxConnections: 2 }])
    for (const socket of sockets) socket.destroy()
    for (const end = Date.now() + 10_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const reply = await ask(port, '/').catch((error: Error) => error)
      if (!(reply instanceof Error)) return assert.equal(reply.body, 'ok')
      if (Date.now() > end) throw reply
    }
  })

  it('closes idle connections at once, lets begun requests finish, cuts what does not end', async () => {
    let finish = (): void => undefined
    let arrived = 0
    const listener = await door((req, res) => {
      arrived++
      if (req.url === '/slow') finish = () => void res.end('finished')
      else if (req.url === '/quick') res.end('ok')
    })
    const idle = connect(listener.port, '127.0.0.1')
    await new Promise((resolve) => idle.once('connect', resolve))
    idle.write('GET /quick HTTP/1.1\r\nHost: a\r\n\r\n')
    await new Promise((resolve) => idle.once('data', resolve))
    const idleEnded = new Promise((resolve) => idle.once('close', resolve))
    const slow = ask(listener.port, '/slow')
    const never = assert.rejects(ask(listener.port, '/never'))
    while (arrived < 3) await new Promise((resolve) => setTimeout(resolve, 10))
    const began = Date.now()
    const closed = listener.close(1500)
    await idleEnded
    assert.ok(Date.now() - began < 1000)
    finish()
    assert.equal((await slow).body, 'finished')
    await never
    await closed
    const took = Date.now() - began
    assert.ok(took >= 1450 && took < 10_000, `${took}`)
    await assert.rejects(ask(listener.port, '/quick'))
  })

  it('does not wait for connections on which nothing is said, nor for TLS handshakes that never end', async () => {
    const plain = await door((_, res) => void res.end('ok'))
    const secure = await door((_, res) => void res.end('ok'), { tls: await selfSigned('a.test') })
    const quiet = async (port: number, first?: Buffer): Promise<void> => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => undefined)
      await new Promise((resolve) => socket.once('connect', resolve))
      if (first) socket.write(first)
    }
    await quiet(plain.port)
    await quiet(secure.port)
    const handshaken = tlsConnect({ port: secure.port, host: '127.0.0.1', rejectUnauthorized: false })
    handshaken.on('error', () => undefined)
    await new Promise((resolve) => handshaken.once('secureConnect', resolve))
    await new Promise((resolve) => setTimeout(resolve, 50))
    let began = Date.now()
    await Promise.all([plain.close(5000), secure.close(5000)])
    assert.ok(Date.now() - began < 4000)
    const stuck = await door((_, res) => void res.end('ok'), { tls: await selfSigned('a.test') })
    // The head of a TLS record whose rest never comes.
    await quiet(stuck.port, Buffer.from([0x16, 3, 1, 1, 0]))
    await new Promise((resolve) => setTimeout(resolve, 50))
    began = Date.now()
    await stuck.close(300)
    assert.ok(Date.now() - began < 10_000)
  })

  it('shows another certificate from the next connection on', async () => {
    const [first, second] = [await selfSigned('first.test'), await selfSigned('second.test')]
    const listener = await door((_, res) => void res.end(), { tls: first })
    const shown = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = tlsConnect({ port: listener.port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
          resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? '')
          socket.end()
        })
        socket.on('error', reject)
      })
    assert.equal(await shown(), new X509Certificate(first.cert).fingerprint256)
    listener.setCertificate(second)
    assert.equal(await shown(), new X509Certificate(second.cert).fingerprint256)
  })
})

const end = (res: ServerResponse, text: string): boolean => {
  res.end(text)
  return true
}

const deps = (more: Partial<WebDeps['config']> = {}): WebDeps => ({
  config: { url: 'https://ica.example.org', trustedProxies: [], metricsFrom: readNetworks('127.0.0.1'), oneListener: true, ...more },
  log,
  meter: createMeter(),
  acme: (_, res, { address }) => void res.end(address),
  api: (_, res, target) => target === '/api/ca' && end(res, 'facts'),
  pages: (_, res, target) => target === '/' && end(res, 'page'),
  confirm: () => null,
  status: (req, res) => /^\/(ocsp|crl\/|ca\/)/.test(req.url ?? '') && end(res, 'status'),
  readiness: async () => ({ ready: false, checks: { database: 'away' } }),
})

describe('the web side', () => {
  it('sends each path its way, and tells them apart in the log', async () => {
    const { port } = await door(createWebListener(deps()))
    for (const [target, body] of [
      ['/', 'page'],
      ['/api/ca', 'facts'],
      ['/acme/ip', '127.0.0.1'],
      ['/ocsp/abc', 'status'],
      ['/crl/x.crl', 'status'],
      ['/healthz', 'ok\n'],
    ] as const) {
      assert.equal((await ask(port, target)).body, body, target)
    }
    assert.equal((await ask(port, '/nothing?x=/acme/')).status, 404)
    assert.equal((await ask(port, '/ocspx')).body.includes('status'), false)
    lines.length = 0
    const { headers } = await ask(port, '/?secret=1')
    await new Promise((resolve) => setTimeout(resolve, 20))
    const { ms, ...line } = lines[0] as Record<string, unknown>
    assert.equal(typeof ms, 'number')
    assert.deepEqual(line, { requestId: headers['x-request-id'], method: 'GET', path: '/', status: 200, address: '127.0.0.1' })
    assert.doesNotMatch(JSON.stringify(lines), /secret/)
  })

  it('is strict with browsers', async () => {
    const { port } = await door(createWebListener(deps()))
    const { headers } = await ask(port, '/')
    assert.match(String(headers['content-security-policy']), /default-src 'none';.*frame-ancestors 'none'/)
    assert.doesNotMatch(String(headers['content-security-policy']), /unsafe/)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['referrer-policy'], 'no-referrer')
  })

  it('is not ready with 503, and says why', async () => {
    const { port } = await door(createWebListener(deps()))
    const { status, body } = await ask(port, '/readyz')
    assert.deepEqual([status, JSON.parse(body)], [503, { ready: false, checks: { database: 'away' } }])
  })

  it('shows metrics to those who may see them only', async () => {
    const { port } = await door(createWebListener(deps()))
    await ask(port, '/crl/x.crl')
    await ask(port, '/ocsp')
    const { body } = await ask(port, '/metrics')
    assert.match(body, /^ica_accounts_total 0$/m)
    assert.deepEqual(body.match(/^ica_status_requests_total.*$/gm), ['ica_status_requests_total{route="crl",status="200"} 1'])
    const closed = await door(createWebListener(deps({ metricsFrom: readNetworks('192.0.2.1') })))
    assert.equal((await ask(closed.port, '/metrics')).status, 403)
    // Behind a proxy on this machine everybody seems to come from loopback: the forwarded address counts.
    const proxied = await door(createWebListener(deps({ trustedProxies: readNetworks('127.0.0.1') })))
    assert.equal((await ask(proxied.port, '/metrics', { headers: { 'X-Forwarded-For': '203.0.113.7' } })).status, 403)
    assert.equal((await ask(proxied.port, '/metrics')).status, 200)
  })

  it('believes nobody but a trusted proxy about addresses', async () => {
    const headers = { 'X-Forwarded-For': '198.51.100.1, 203.0.113.7' }
    const plain = await door(createWebListener(deps()))
    assert.equal((await ask(plain.port, '/acme/ip', { headers })).body, '127.0.0.1')
    const proxied = await door(createWebListener(deps({ trustedProxies: readNetworks('127.0.0.1') })))
    assert.equal((await ask(proxied.port, '/acme/ip', { headers })).body, '203.0.113.7')
  })

  it('speaks only with its proxies, but lets anybody see status and health', async () => {
    const { port } = await door(createWebListener(deps({ trustedProxies: readNetworks('192.0.2.1') })))
    for (const target of ['/', '/acme/ip', '/api/ca']) assert.equal((await ask(port, target)).status, 403, target)
    for (const target of ['/ocsp', '/healthz']) assert.equal((await ask(port, target)).status, 200, target)
  })

  it('answers 500 without a word of the cause', async () => {
    const { port } = await door(
      createWebListener({
        ...deps(),
        pages: () => {
          throw new Error('inner secret')
        },
      }),
    )
    const { status, body } = await ask(port, '/')
    assert.equal(status, 500)
    assert.doesNotMatch(body, /secret/)
  })

  it('leaves only status on the other listener', async () => {
    const { port } = await door(createStatusListener(deps({ oneListener: false })))
    assert.equal((await ask(port, '/ca/root.pem')).body, 'status')
    assert.deepEqual([(await ask(port, '/')).status, (await ask(port, '/')).headers.location], [308, 'https://ica.example.org/'])
    for (const target of ['/acme/directory', '/api/ca', '/index.html']) assert.equal((await ask(port, target)).status, 404, target)
    assert.equal((await ask(port, '/healthz')).status, 200)
    const web = await door(createWebListener(deps({ oneListener: false })))
    assert.equal((await ask(web.port, '/ca/root.pem')).status, 404)
  })
})

describe('pages', () => {
  it('serves files of one folder and nothing else', async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'ica-pages-'))
    t.after(() => rmSync(folder, { recursive: true }))
    mkdirSync(path.join(folder, 'web/assets'), { recursive: true })
    for (const [name, text] of [
      ['web/index.html', 'home'],
      ['web/terms.html', 'terms'],
      ['web/assets/a-1.js', 'js'],
      ['secret', 'secret'],
    ] as const) {
      writeFileSync(path.join(folder, name), text)
    }
    const pages = createPages(path.join(folder, 'web'))
    const { port } = await door((req, res) => {
      if (!pages(req, res, (req.url ?? '').split('?')[0] ?? '')) res.writeHead(404).end()
    })
    const home = await ask(port, '/')
    assert.deepEqual([home.body, home.headers['content-type'], home.headers['cache-control']], ['home', 'text/html; charset=utf-8', 'no-cache'])
    assert.equal((await ask(port, '/terms')).body, 'terms')
    assert.match((await ask(port, '/assets/a-1.js')).headers['cache-control'] ?? '', /immutable/)
    assert.equal((await ask(port, '/', { headers: { 'If-None-Match': home.headers.etag ?? '' } })).status, 304)
    assert.equal((await ask(port, '/', { method: 'HEAD' })).body, '')
    assert.equal((await ask(port, '/', { method: 'DELETE' })).status, 405)
    for (const target of ['/../secret', '/%2e%2e/secret', '/assets', '/.html', '//']) assert.equal((await ask(port, target)).status, 404, target)
  })
})

describe('addresses', () => {
  const proxies = readNetworks('10.0.0.0/8, ::1, 127.0.0.1')
  const cases: [string | undefined, string | undefined, string | undefined][] = [
    ['203.0.113.1', '198.51.100.1', '203.0.113.1'],
    ['10.1.2.3', '198.51.100.1', '198.51.100.1'],
    ['::ffff:10.1.2.3', '198.51.100.1', '198.51.100.1'],
    ['10.1.2.3', 'evil, 198.51.100.1, 10.9.9.9', '198.51.100.1'],
    ['10.1.2.3', '10.9.9.9', '10.9.9.9'],
    ['10.1.2.3', 'not an address', '10.1.2.3'],
    ['10.1.2.3', undefined, '10.1.2.3'],
    ['::1', '2001:db8::1', '2001:db8::1'],
    [undefined, '198.51.100.1', undefined],
  ]
  for (const [peer, forwarded, client] of cases)
    it(`${peer} for ${forwarded}: ${client}`, () => assert.equal(clientAddress(proxies, peer, forwarded), client))
  it('are within networks', () => {
    assert.ok(isWithin(proxies, '10.255.0.1'))
    assert.ok(!isWithin(proxies, '11.0.0.1'))
    assert.ok(!isWithin(proxies, ''))
    assert.ok(!isWithin([], '10.0.0.1'))
  })
})

describe('a certificate from files', () => {
  it('is read again when it changes, and kept when that fails', async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'ica-tls-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const tls = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') }
    const write = ({ cert, key }: { cert: string; key: string }): void => {
      writeFileSync(tls.cert, cert)
      writeFileSync(tls.key, key)
    }
    assert.throws(() => certificateFromFiles(tls), /ICA_TLS_CERT: .*cert\.pem cannot be read/)
    const [first, second] = [await selfSigned('first.test'), await selfSigned('second.test')]
    write({ cert: first.cert, key: second.key })
    assert.throws(() => certificateFromFiles(tls), /key\.pem is not the key of .*cert\.pem/)
    write({ cert: 'x', key: 'y' })
    assert.throws(() => certificateFromFiles(tls), /is not PEM/)
    write(first)
    const source = certificateFromFiles(tls)
    assert.equal(await source.refresh(), null)
    write({ cert: second.cert, key: first.key })
    await assert.rejects(source.refresh(), /is not the key of/)
    assert.equal(String(source.current().cert), first.cert)
    write(second)
    assert.equal(String((await source.refresh())?.cert), second.cert)
  })
})

describe('tasks', () => {
  it('run again after a failure, never twice at once, and end with what runs', async () => {
    const tasks = createTasks(log)
    let running = 0
    let most = 0
    let runs = 0
    tasks.every(
      'test',
      5,
      async () => {
        most = Math.max(most, ++running)
        runs++
        await new Promise((resolve) => setTimeout(resolve, 12))
        running--
        if (runs === 1) throw new Error('once')
      },
      0,
    )
    while (runs <= 2) await new Promise((resolve) => setTimeout(resolve, 10))
    await tasks.stop()
    assert.equal(running, 0)
    assert.equal(most, 1)
    const after = runs
    await new Promise((resolve) => setTimeout(resolve, 40))
    assert.equal(runs, after)
  })
})
