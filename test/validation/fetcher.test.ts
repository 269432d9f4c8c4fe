import assert from 'node:assert/strict'
import type { IncomingMessage, RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import { after, afterEach, beforeEach, describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Fetched } from '../../src/validation/fetcher.js'
import { createPorts } from '../../src/validation/net.js'
import { startDnsServer } from '../support/dns-server.js'
import { startHttpTarget, startTcpTarget, startTlsTarget, type Target } from '../support/http-target.js'
import { selfSigned } from '../support/self-signed.js'

const dns = await startDnsServer(['test'])
const { signal } = new AbortController()
const open: Target[] = []
after(() => dns.close())
beforeEach(() => {
  dns.clear()
  for (const name of ['a.test', 'b.test']) dns.set(name, 'A', '127.0.0.1')
})
afterEach(async () => {
  for (const target of open.splice(0)) await target.close()
})

/** Long enough on the busiest machine, and short, for servers that never come to an end. */
const patient = { resolver: { firstTryMs: 2_000, tries: 2, totalMs: 5_000 }, connectMs: 5_000, totalMs: 10_000 }
const impatient = { resolver: { firstTryMs: 200, tries: 1, totalMs: 300 }, connectMs: 300, totalMs: 500 }
const portsFor = (http01Port: number, { tlsAlpn01Port = 9, lab = true, times = patient } = {}) =>
  createPorts({ servers: [dns.address], lab, http01Port, tlsAlpn01Port, times })

const http = async (handler: RequestListener): Promise<Target> => {
  const target = await startHttpTarget(handler)
  open.push(target)
  return target
}
const tcp = async (onConnection: (socket: Socket) => void): Promise<Target> => {
  const target = await startTcpTarget(onConnection)
  open.push(target)
  return target
}

/** Fetches http://a.test/x through a server, with the time that it took. */
const fetchFrom = async (target: Target, times = patient): Promise<Fetched & { ms: number }> => {
  const begun = performance.now()
  const fetched = await portsFor(target.port, { times }).fetch('http://a.test/x', 100, signal)
  return { ...fetched, ms: performance.now() - begun }
}

/** Checks a failure, and gives its sentence. */
const failed = (fetched: Fetched, code: string, says: RegExp, retryable = true): string => {
  assert.ok(!fetched.ok, JSON.stringify(fetched))
  assert.match(fetched.detail, says)
  assert.equal(fetched.code, code)
  assert.equal(fetched.retryable, retryable)
  return fetched.detail
}

describe('a page', () => {
  it('is asked for plainly, and comes with what was seen', async () => {
    const requests: IncomingMessage[] = []
    const target = await http((request, response) => {
      requests.push(request)
      response.end('hello')
    })
    const fetched = await fetchFrom(target)
    assert.ok(fetched.ok)
    assert.deepEqual({ ...fetched.page, body: `${fetched.page.body}` }, { status: 200, url: 'http://a.test/x', body: 'hello', more: false })
    assert.deepEqual(fetched.hops, [
      { url: 'http://a.test/x', port: target.port, addresses: ['127.0.0.1'], tried: [{ address: '127.0.0.1', outcome: 'connected' }], status: 200 },
    ])
    const [request] = requests
    assert.equal(request?.method, 'GET')
    assert.equal(request?.headers.host, 'a.test')
    assert.match(request?.headers['user-agent'] ?? '', /xmpp-ica/)
    assert.equal(request?.headers['accept-encoding'], 'identity')
  })

  it('may have any status', async () => {
    const fetched = await fetchFrom(await http((_, response) => response.writeHead(404).end('no')))
    assert.ok(fetched.ok && fetched.page.status === 404)
  })

  it('is cut off at the length asked for', async () => {
    for (const [length, more] of [
      [100, false],
      [101, true],
      [1_000_000, true],
    ] as const) {
      const fetched = await fetchFrom(await http((_, response) => response.end('x'.repeat(length))))
      assert.ok(fetched.ok)
      assert.equal(fetched.page.body.length, 100)
      assert.equal(fetched.page.more, more)
    }
  })

  it('is never unpacked', async () => {
    const bomb = gzipSync(Buffer.alloc(10_000_000))
    const fetched = await fetchFrom(await http((_, response) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(bomb)))
    assert.ok(fetched.ok && fetched.page.more)
    assert.deepEqual(fetched.page.body, bomb.subarray(0, 100))
  })

  it('leaves no connection behind', async () => {
    const target = await http((_, response) => response.end('x'.repeat(1_000)))
    await fetchFrom(target)
    while (target.open > 0) await new Promise((done) => setTimeout(done, 5))
    assert.equal(target.connections, 1)
  })
})

describe('addresses', () => {
  it('IPv6 is tried first, then IPv4', async () => {
    const target = await http((_, response) => response.end('hello'))
    dns.set('a.test', 'AAAA', '::1', 'fd00::1')
    const fetched = await fetchFrom(target)
    assert.ok(fetched.ok)
    assert.deepEqual(
      fetched.hops[0]?.tried.map((t) => t.address),
      ['::1', '127.0.0.1'],
    )
    assert.equal(fetched.hops[0]?.tried[1]?.outcome, 'connected')
  })

  it('are looked up once, judged and used', async () => {
    const target = await http((_, response) => response.end('hello'))
    await fetchFrom(target)
    assert.deepEqual(dns.queries.map((q) => q.type).sort(), ['A', 'AAAA'])
  })

  it('are not connected to where they are not public, but in a lab', async () => {
    const target = await http((_, response) => response.end('hello'))
    const fetched = await portsFor(target.port, { lab: false }).fetch('http://a.test/x', 100, signal)
    failed(fetched, 'rejectedIdentifier', /a\.test has the address 127\.0\.0\.1.*loopback/, false)
    assert.equal(target.connections, 0)
    assert.deepEqual(fetched.hops[0]?.addresses, ['127.0.0.1'])
  })

  it('that are forbidden are passed over', async () => {
    const target = await http((_, response) => response.end('hello'))
    dns.set('a.test', 'AAAA', '::ffff:127.0.0.1', '64:ff9b::7f00:1')
    const fetched = await fetchFrom(target)
    assert.ok(fetched.ok)
    assert.deepEqual(
      fetched.hops[0]?.tried.map((t) => t.address),
      ['127.0.0.1'],
    )
  })

  it('nobody listens', async () => {
    const target = await http(() => {})
    await target.close()
    failed(await fetchFrom(target), 'connection', /No connection to a\.test port \d+ \(127\.0\.0\.1: connection refused\)/)
  })

  it('there are none, or nobody knows', async () => {
    const target = await http(() => {})
    dns.clear()
    failed(await fetchFrom(target), 'dns', /neither AAAA nor A records \(NXDOMAIN\)/)
    dns.misbehave('a.test', 'SERVFAIL')
    failed(await fetchFrom(target), 'dns', /failed: SERVFAIL/)
    dns.misbehave('a.test', 'silence')
    failed(await fetchFrom(target, impatient), 'dns', /failed: timeout/)
  })
})

describe('a server that is slow, endless or no server is bounded', () => {
  const endless = (socket: Socket, head: string, chunk: string) => {
    socket.write(head)
    const more = () => {
      while (!socket.destroyed && socket.write(chunk));
    }
    socket.on('drain', more)
    more()
  }
  /** Writes one octet at a time. */
  const drip = (socket: Socket, text: string) => {
    let at = 0
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(text[at++ % text.length] as string)), 20)
  }
  const table: [what: string, onConnection: (socket: Socket) => void, says: RegExp][] = [
    ['silence', () => {}, /timeout/],
    ['a drip of headers', (socket) => drip(socket, 'HTTP/1.1 200 OK\r\nX: '), /timeout/],
    ['a drip of body', (socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n') && drip(socket, 'x'), /timeout/],
    ['endless headers', (socket) => endless(socket, 'HTTP/1.1 200 OK\r\n', `X: ${'x'.repeat(1_000)}\r\n`), /HPE_HEADER_OVERFLOW/],
    ['one endless header', (socket) => endless(socket, 'HTTP/1.1 200 OK\r\nX: ', 'x'.repeat(1_000)), /HPE_HEADER_OVERFLOW/],
    ['endless informational responses', (socket) => endless(socket, '', 'HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n'), /timeout|HPE/],
    [
      'an endless chunk extension',
      (socket) => endless(socket, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;', 'x'.repeat(1_000)),
      /timeout|HPE/,
    ],
    ['garbage', (socket) => socket.end(Buffer.alloc(1_000, 0xff)), /HPE_INVALID/],
    ['an SMTP server', (socket) => socket.write('220 mail.test ESMTP\r\n'), /HPE_INVALID/],
    ['nothing', (socket) => socket.end(), /connection reset/],
    ['a reset', (socket) => socket.once('data', () => socket.resetAndDestroy()), /connection reset/],
    ['half a body', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx'), /connection reset/],
    [
      'an upgrade',
      (socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'),
      /connection reset|timeout/,
    ],
    ['lengths that contradict', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx'), /HPE/],
  ]
  for (const [what, onConnection, says] of table) {
    it(what, async () => {
      const fetched = await fetchFrom(await tcp(onConnection), says.test('timeout') ? impatient : patient)
      assert.match(failed(fetched, 'connection', says), /a\.test\/x \(127\.0\.0\.1\)/)
      assert.ok(fetched.ms < 5_000, `${fetched.ms} ms`)
    })
  }

  it('an endless body', async () => {
    const fetched = await fetchFrom(await tcp((socket) => endless(socket, 'HTTP/1.1 200 OK\r\n\r\n', 'x'.repeat(1_000))))
    assert.ok(fetched.ok && fetched.page.more)
    assert.equal(fetched.page.body.length, 100)
    assert.ok(fetched.ms < 5_000)
  })

  it('an abort', async () => {
    const target = await tcp(() => {})
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 30)
    const begun = performance.now()
    failed(await portsFor(target.port).fetch('http://a.test/x', 100, controller.signal), 'connection', /timeout/)
    assert.ok(performance.now() - begun < 5_000)
    failed(await portsFor(target.port).fetch('http://a.test/x', 100, controller.signal), 'dns', /timeout/)
  })
})

describe('redirects', () => {
  const redirecting = (location: string | ((url: string) => string), status = 302) =>
    http((request, response) => {
      const url = request.url ?? ''
      if (url === '/end') response.end(`at ${request.headers.host}`)
      else response.writeHead(status, { Location: typeof location === 'string' ? location : location(url) }).end('on the way')
    })

  for (const status of [301, 302, 303, 307, 308]) {
    it(`${status} is followed, with the address judged anew`, async () => {
      dns.set('b.test', 'A', '127.0.0.1')
      const fetched = await fetchFrom(await redirecting('http://b.test/end#fragment', status))
      assert.ok(fetched.ok)
      assert.equal(`${fetched.page.body}`, 'at b.test')
      assert.deepEqual(
        fetched.hops.map(({ url, status: s, location }) => [url, s, location]),
        [
          ['http://a.test/x', status, 'http://b.test/end#fragment'],
          ['http://b.test/end', 200, undefined],
        ],
      )
    })
  }

  it('relative ones and the port itself are followed', async () => {
    assert.ok((await fetchFrom(await redirecting('/end'))).ok)
    let port = 0
    const target = await redirecting(() => `http://a.test:${port}/end`)
    port = target.port
    assert.ok((await fetchFrom(target)).ok)
  })

  it('to a server with any certificate', async () => {
    const { key, cert } = await selfSigned('another.test')
    const secure = await startTlsTarget({ key, cert }, (socket) => socket.end(`HTTP/1.1 200 OK\r\n\r\nsecurely ${socket.servername}`))
    open.push(secure)
    const plain = await redirecting('https://b.test/end')
    const fetched = await portsFor(plain.port, { tlsAlpn01Port: secure.port }).fetch('http://a.test/x', 100, signal)
    assert.ok(fetched.ok, JSON.stringify(fetched))
    assert.equal(`${fetched.page.body}`, 'securely b.test')
  })

  it('to a TLS port without TLS', async () => {
    const plain = await tcp((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    const target = await redirecting('https://b.test/end')
    failed(await portsFor(target.port, { tlsAlpn01Port: plain.port }).fetch('http://a.test/x', 100, signal), 'tls', /TLS handshake with b\.test/)
  })

  it('to an address that is not public', async () => {
    dns.set('b.test', 'A', '224.0.0.1')
    const fetched = await fetchFrom(await redirecting('http://b.test/'))
    failed(fetched, 'rejectedIdentifier', /b\.test has the address 224\.0\.0\.1/, false)
    assert.equal(fetched.hops.length, 2)
  })

  const refused: [what: string, location: string, says: RegExp][] = [
    ['itself', '/x', /it is a loop/],
    ['itself in other words', 'http://A.test:80/./x#y', /it is a loop|only port/],
    ['nothing', '', /no Location/],
    ['no URL', 'http://[', /not a URL/],
    ['another scheme', 'ftp://b.test/', /only http and https/],
    ['a file', 'file:///etc/passwd', /only http and https/],
    ['data', 'data:,x', /only http and https/],
    ['another port', 'http://b.test:22/', /only port/],
    ['another TLS port', 'https://b.test:8443/', /only port/],
    ['credentials', 'http://user:secret@b.test/', /credentials/],
    ['IPv4', 'http://127.0.0.1/', /IP address/],
    ['IPv4 in disguise', 'http://0x7f.1/', /IP address/],
    ['IPv4 as a number', 'http://2130706433/', /IP address/],
    ['IPv6', 'http://[::1]/', /IPv6/],
    ['localhost', 'http://localhost/', /single label/],
    ['onion', 'http://expyuzz4wqqyqhjn.onion/', /special use/],
    ['a trailing dot', 'http://a.test./end', /ends with a dot/],
    ['an endless URL', `http://b.test/${'x'.repeat(3_000)}`, /longer than 2000/],
  ]
  for (const [what, location, says] of refused) {
    it(`to ${what} are not followed`, async () => {
      const target = await redirecting(location)
      const fetched = await fetchFrom(target)
      assert.ok(failed(fetched, 'connection', says).length < 700)
      assert.equal(target.connections, 1)
    })
  }

  it('in a circle are not followed', async () => {
    const target = await redirecting((url) => (url === '/x' ? 'http://b.test/y' : 'http://a.test/x'))
    failed(await fetchFrom(target), 'connection', /it is a loop/)
    assert.equal(target.connections, 2)
  })

  it('without end are followed ten times', async () => {
    const target = await redirecting((url) => `${url}x`)
    const fetched = await fetchFrom(target)
    failed(fetched, 'connection', /no more than 10/)
    assert.deepEqual([target.connections, fetched.hops.length], [11, 11])
  })

  it('share one time', async () => {
    const target = await http((request, response) => {
      setTimeout(() => response.writeHead(302, { Location: `${request.url}x` }).end(), 150)
    })
    const fetched = await fetchFrom(target, impatient)
    failed(fetched, 'connection', /timeout/)
    assert.ok(fetched.ms < 5_000)
  })
})
