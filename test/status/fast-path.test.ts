/** The fast path beside plain node:http: whatever octets arrive, both must answer the same, and the fast path must know what is not for it. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { after, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { limits, openDoor } from '../../src/server.js'
import { createFastPath } from '../../src/status/fast-path.js'
import { createStatusHandler } from '../../src/status/handler.js'
import type { OcspAnswer } from '../../src/status/ocsp-answer.js'
import { headRoom } from '../../src/status/ocsp-answer.js'
import { hour, random, start, testClock, testLog } from './fixture.js'

const clock = testClock()
const log = testLog()
const request = Buffer.concat([Buffer.from([0x30, 0x3e, 0x2b, 0xff, 0xfe]), Buffer.alloc(59, 7)])
const thisUpdate = Math.floor(start / 1000) * 1000

const held: OcspAnswer = {
  body: Buffer.alloc(headRoom + 900, 0x42).subarray(headRoom),
  says: 'good',
  shared: {
    etag: '"0123456789abcdef"',
    thisUpdate,
    nextUpdate: thisUpdate + 24 * hour,
    refreshAt: start + 9 * hour,
    staleAt: start + 12 * hour,
  },
}

/** Says which octets it was asked; those that begin with `later` only in a moment, those with `large` in the next turn and at length. */
const echo = (bytes: Uint8Array): OcspAnswer => ({
  body: Buffer.from(createHash('sha256').update(bytes).digest('hex')),
  says: 'unknown',
  shared: null,
})
const later = Buffer.from([0x30, 0x01])
const large = Buffer.from([0x30, 0x02])
const largeAnswer: OcspAnswer = { body: Buffer.alloc(32_768, 0x41), says: 'unknown', shared: null }
let asked = 0
/** As when the certificate was revoked. */
let isDropped = false
const answer = (bytes: Uint8Array) => {
  if (request.equals(bytes) && !isDropped) return held
  if (large.equals(bytes.subarray(0, 2))) return sleep(0).then(() => largeAnswer)
  return later.equals(bytes.subarray(0, 2)) ? sleep(20).then(() => echo(bytes)) : echo(bytes)
}
const ocsp = {
  held: (octets: string) => {
    asked++
    return octets === request.toString('latin1') && !isDropped ? held : undefined
  },
  answer,
  make: (octets: string) => answer(Buffer.from(octets, 'latin1')),
}
const handler = createStatusHandler({ clock, log, ocsp, crls: { get: async () => null }, certificates: [] })

const open = async (change: Partial<typeof limits> = {}, isFast = true) => {
  const fastPath = createFastPath({ clock, ocsp, limits: { ...limits, ...change } })
  let handedOver = 0
  const accept: typeof fastPath.accept = (socket, toHttp) =>
    fastPath.accept(socket, (given) => {
      handedOver++
      toHttp(given)
    })
  const door = await openDoor(
    {
      name: 'status',
      address: { host: '127.0.0.1', port: 0 },
      handler: (req, res) => void (handler(req, res) || res.writeHead(404, { 'Content-Length': 0 }).end()),
      ...(isFast && { fastPath: { ...fastPath, accept } }),
    },
    log,
    change,
  )
  return { port: door.port, close: door.close, size: fastPath.size, handedOver: () => handedOver }
}

const fast = await open()
const plain = await open({}, false)
after(async () => {
  await Promise.all([fast.close(0), plain.close(0)])
})

/** Collects what comes back until the connection ends. */
const collect = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(text))
  })

/** Sends pieces, each by itself, then the end of the stream. The Date, which only node:http takes from the system, is left out. */
const talk = async (port: number, pieces: readonly Buffer[]): Promise<string> => {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  const answers = collect(socket)
  for (const [i, piece] of pieces.entries()) {
    if (i > 0) await sleep(2)
    socket.write(piece)
  }
  // Time to be read: what node:http does with the end of the stream depends on what came before it.
  setTimeout(() => socket.end(), 4)
  return (await answers).replace(/^Date: .*$/gm, 'Date: …')
}

const refusals =
  /(HTTP\/1\.1 4\d\d [^\r]*\r\nConnection: close\r\n(?:Content-Type: text\/plain; charset=utf-8\r\n)?Content-Length: \d+\r\n\r\n(?:[A-Z][^\r\n]*\n)?)+$/

const isClosed = (text: string): boolean => /Connection: close\r\n/.test(text)

/**
 * Where rubbish follows requests, node:http refuses it and forgets those that it has not answered yet; how many these are depends on when what was read. So where
 * both end the connection, one may have answered less. What both have answered is the same in any case.
 */
const isSame = (ours: string, nodes: string): boolean => {
  if (ours === nodes) return true
  const [before, nodesBefore] = [ours.replace(refusals, ''), nodes.replace(refusals, '')]
  return isClosed(ours) && isClosed(nodes) && (before.startsWith(nodesBefore) || nodesBefore.startsWith(before))
}

/** Both answer the same; returns it, and whether the fast path did it alone. */
const compare = async (pieces: readonly Buffer[], what: string) => {
  const before = fast.handedOver()
  const [ours, nodes] = await Promise.all([talk(fast.port, pieces), talk(plain.port, pieces)])
  if (!isSame(ours, nodes)) assert.equal(ours, nodes, what)
  return { answer: ours, isFast: fast.handedOver() === before }
}

const head = (line: string, fields: string[]): Buffer => Buffer.from(`${[line, ...fields].join('\r\n')}\r\n\r\n`, 'latin1')
const host = 'Host: status.test'
const type = 'Content-Type: application/ocsp-request'
const length = `Content-Length: ${request.length}`
const post = (...fields: string[]) => Buffer.concat([head('POST /ocsp HTTP/1.1', fields), request])
const base64 = request.toString('base64')
const get = (path: string, ...fields: string[]) => head(`GET /ocsp/${path} HTTP/1.1`, [host, ...fields])
const usual = post(host, type, length)

describe('the fast path', () => {
  const table: Record<string, Buffer> = {
    POST: usual,
    'POST to /ocsp/': Buffer.concat([head('POST /ocsp/ HTTP/1.1', [host, type, length]), request]),
    'fields in any case and order': post(
      length.toUpperCase(),
      'hOST: [::1]:8080',
      type.toUpperCase(),
      'CONNECTION: Keep-Alive',
      'User-Agent: a (b; c) d/1.0',
    ),
    'what is no request': Buffer.concat([head('POST /ocsp HTTP/1.1', [host, type, 'Content-Length: 3']), Buffer.from('abc')]),
    'a body that looks like a request': Buffer.concat([head('POST /ocsp HTTP/1.1', [host, type, `Content-Length: ${usual.length}`]), usual]),
    GET: get(base64),
    'GET with escapes': get(base64.replaceAll('+', '%2B').replaceAll('/', '%2f').replaceAll('=', '%3d'), 'Accept: */*'),
    'GET with needless escapes': get(base64.replace('M', '%4D')),
    'GET that is up to date': get(base64, 'If-None-Match: "0123456789abcdef"'),
    'GET that is up to date by one of several': get(base64, 'If-None-Match: "x", W/"0123456789abcdef"'),
    'GET that is not up to date': get(base64, 'If-None-Match: "x"', `If-Modified-Since: ${new Date(thisUpdate).toUTCString()}`),
    'GET by time': get(base64, `If-Modified-Since: ${new Date(thisUpdate).toUTCString()}`),
    'GET by an earlier time': get(base64, `If-Modified-Since: ${new Date(thisUpdate - 1000).toUTCString()}`),
    'GET by rubbish': get(base64, 'If-Modified-Since: x'),
    'POST with a condition': post(host, type, length, 'If-None-Match: *'),
    'three in one piece': Buffer.concat([usual, get(base64), usual]),
  }
  for (const [name, octets] of Object.entries(table)) {
    it(`does by itself, as node:http would: ${name}`, async () => {
      for (const time of ['first', 'second', 'third']) {
        const { answer, isFast } = await compare([octets], `${name}, the ${time} time`)
        assert.match(answer, /^HTTP\/1\.1 (200|304) /)
        assert.ok(isFast)
      }
    })
  }

  it('remembers how it read a request, and never what it answered', async () => {
    for (const octets of [usual, get(base64)]) {
      const [before, first] = [asked, await talk(fast.port, [octets])]
      assert.equal(await talk(fast.port, [octets]), first)
      assert.equal(asked, before + 2)
      isDropped = true
      const { answer } = await compare([octets], 'dropped')
      assert.notEqual(answer, first)
      isDropped = false
      assert.equal(await talk(fast.port, [octets]), first)
    }
  })

  const bodyOf = (text: string) => Buffer.from(text, 'latin1')
  const unusual: Record<string, Buffer> = {
    'HTTP/1.0': Buffer.from(usual.toString('latin1').replace('HTTP/1.1', 'HTTP/1.0'), 'latin1'),
    'HTTP/1.2': Buffer.from(usual.toString('latin1').replace('HTTP/1.1', 'HTTP/1.2'), 'latin1'),
    'no host': post(type, length),
    'two hosts': post(host, host, type, length),
    'a host with a blank': post('Host: a b', type, length),
    'an empty host': post('Host:', type, length),
    'no type': post(host, length),
    'another type': post(host, 'Content-Type: text/plain', length),
    'a type with a parameter': post(host, `${type}; a=b`, length),
    'no length': post(host, type),
    'length 0': post(host, type, 'Content-Length: 0'),
    'two lengths': post(host, type, length, length),
    'two different lengths': post(host, type, length, 'Content-Length: 5'),
    'a list of lengths': post(host, type, `${length}, ${request.length}`),
    'a signed length': post(host, type, `Content-Length: +${request.length}`),
    'a length with a zero in front': post(host, type, `Content-Length: 0${request.length}`),
    'a hexadecimal length': post(host, type, 'Content-Length: 0x40'),
    'a length with a blank behind': post(host, type, `${length} `),
    'a length with a blank before the colon': post(host, type, `Content-Length : ${request.length}`),
    'a length without a blank': post(host, type, `Content-Length:${request.length}`),
    'a length behind two blanks': post(host, type, `Content-Length:  ${request.length}`),
    'a length behind a tab': post(host, type, `Content-Length:\t${request.length}`),
    'a length of 8193': Buffer.concat([head('POST /ocsp HTTP/1.1', [host, type, 'Content-Length: 8193']), Buffer.alloc(8193, 48)]),
    'an endless length': post(host, type, 'Content-Length: 99999999999999999999999'),
    chunked: Buffer.concat([head('POST /ocsp HTTP/1.1', [host, type, 'Transfer-Encoding: chunked']), bodyOf('3\r\nabc\r\n0\r\n\r\n')]),
    'chunked with a length': Buffer.concat([
      head('POST /ocsp HTTP/1.1', [host, type, 'Transfer-Encoding: chunked', 'Content-Length: 3']),
      bodyOf('3\r\nabc\r\n0\r\n\r\n'),
    ]),
    'chunked, disguised': Buffer.concat([head('POST /ocsp HTTP/1.1', [host, type, 'Transfer-Encoding : chunked', length]), request]),
    'chunked, disguised otherwise': Buffer.concat([head('POST /ocsp HTTP/1.1', [host, type, 'Transfer-Encoding: xchunked', length]), request]),
    'an expectation': post(host, type, length, 'Expect: 100-continue'),
    'an upgrade': post(host, type, length, 'Connection: upgrade', 'Upgrade: h2c'),
    close: post(host, type, length, 'Connection: close'),
    'keep-alive and close': post(host, type, length, 'Connection: keep-alive, close'),
    'a folded field': post(host, type, length, 'Accept: a', ' b'),
    'a field without a name': post(host, type, length, ': x'),
    'a field without a colon': post(host, type, length, 'x'),
    'a field with an odd name': post(host, type, length, 'a b: c'),
    'an unknown field': post(host, type, length, 'X-Other: c'),
    'a NUL': post(host, type, length, 'Accept: a\0b'),
    'a bare CR': post(host, type, length, 'Accept: a\rContent-Length: 1'),
    'a bare LF': post(host, type, length, 'Accept: a\nContent-Length: 1'),
    'an octet beyond ASCII': post(host, type, length, 'Accept: \xe9'),
    'LF for CRLF': Buffer.from(usual.toString('latin1').replaceAll('\r\n', '\n'), 'latin1'),
    'a long head': post(host, type, length, `Accept: ${'a'.repeat(5000)}`),
    'too long a head': post(host, type, length, `Accept: ${'a'.repeat(20_000)}`),
    'many fields': post(host, type, length, ...Array.from({ length: 70 }, () => 'Accept: a')),
    'an empty line in front': Buffer.concat([Buffer.from('\r\n'), usual]),
    'a blank in front': Buffer.concat([Buffer.from(' '), usual]),
    'two blanks in the request line': head('GET  /ocsp/MAMAAAA= HTTP/1.1', [host]),
    'an absolute target': head(`GET http://status.test/ocsp/${base64} HTTP/1.1`, [host]),
    'a lower-case method': head(`get /ocsp/${base64} HTTP/1.1`, [host]),
    HEAD: head(`HEAD /ocsp/${base64} HTTP/1.1`, [host]),
    DELETE: head('DELETE /ocsp HTTP/1.1', [host]),
    'another path': head('GET /crl/0123456789abcdef.crl HTTP/1.1', [host]),
    'GET with a body': Buffer.concat([get(base64, length), request]),
    'GET with an empty body': get(base64, 'Content-Length: 0'),
    'GET with a query': get(`${base64}?a`),
    'GET with a further slash': get(`/${base64}`),
    'GET with an escaped slash': get(`%2F${base64}`),
    'GET without padding': get(base64.replace(/=+$/, '')),
    'GET in base64url': get(base64.replaceAll('+', '-').replaceAll('/', '_')),
    'GET with a broken escape': get(`${base64}%`),
    'GET of nothing': get(''),
    'GET of what is no base64': get('!'),
    'a partial head': usual.subarray(0, 40),
    'a partial body': usual.subarray(0, -3),
    'rubbish behind': Buffer.concat([usual, Buffer.from('rubbish\r\n\r\n')]),
    'a partial request behind': Buffer.concat([usual, usual.subarray(0, 30)]),
    'another request behind': Buffer.concat([usual, head('GET /other HTTP/1.1', [host]), usual]),
    TLS: Buffer.from('16030100a5010000a1', 'hex'),
    'HTTP/2': Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  }
  for (const [name, octets] of Object.entries(unusual)) {
    it(`leaves to node:http: ${name}`, async () => {
      const { isFast } = await compare([octets], name)
      assert.ok(!isFast)
    })
  }

  it('leaves what comes in pieces to node:http, wherever it is cut', async () => {
    const two = Buffer.concat([usual, get(base64)])
    const cuts = Array.from({ length: two.length - 1 }, (_, i) => i + 1)
    const answers = await Promise.all(cuts.map((cut) => compare([two.subarray(0, cut), two.subarray(cut)], `cut at ${cut}`)))
    for (const { answer } of answers) assert.equal(answer.match(/HTTP\/1\.1 200/g)?.length, 2)
    assert.ok(answers[usual.length - 1]?.isFast)
  })

  it('understands what node:http understands, of whatever is sent (2,000 mutations)', async () => {
    const pick = random(4)
    const seeds = [
      usual,
      get(base64),
      get(base64, 'If-None-Match: "x"'),
      Buffer.concat([usual, usual]),
      ...Object.values(unusual).filter(({ length: size }) => size < 1000),
    ]
    const words = [
      '\r\n',
      '\n',
      '\r',
      ' ',
      '\t',
      ':',
      '\0',
      'Content-Length: 1\r\n',
      'Transfer-Encoding: chunked\r\n',
      '0',
      ',',
      '%',
      '\r\n\r\n',
      'GET /ocsp/MA== HTTP/1.1\r\nHost: a\r\n\r\n',
    ]
    const mutate = (): Buffer => {
      let octets: Buffer = Buffer.from(seeds[pick(seeds.length)] as Buffer)
      for (let changes = 1 + pick(3); changes > 0; changes--) {
        const at = pick(octets.length)
        const kind = pick(4)
        if (kind === 0) octets[at] = pick(256)
        else if (kind === 1) octets = Buffer.concat([octets.subarray(0, at), octets.subarray(at + 1 + pick(4))])
        else if (kind === 2)
          octets = Buffer.concat([octets.subarray(0, at), Buffer.from(words[pick(words.length)] as string, 'latin1'), octets.subarray(at)])
        else octets = Buffer.concat([octets.subarray(0, at), octets.subarray(Math.max(0, at - pick(60)))])
        if (octets.length === 0) octets = Buffer.from('x')
      }
      return octets
    }
    let alone = 0
    for (let i = 0; i < 125; i++) {
      const inputs = Array.from({ length: 16 }, mutate)
      const results = await Promise.all(
        inputs.map(async (octets) => [octets, await talk(fast.port, [octets]), await talk(plain.port, [octets])] as const),
      )
      for (const [octets, ours, nodes] of results) {
        if (!isSame(ours, nodes)) assert.equal(ours, nodes, octets.toString('latin1'))
        if (ours.startsWith('HTTP/1.1 200')) alone++
      }
    }
    assert.ok(alone > 100, `${alone} were answered`)
  })
})

const later64 = Buffer.concat([later, Buffer.alloc(4)]).toString('base64')

describe('a connection on the fast path', () => {
  it('answers in order what it was asked in one go, also where something must be signed first', async () => {
    const octets = [usual, get(later64), usual, get(later64), get(base64)]
    const socket = connect({ port: fast.port, host: '127.0.0.1' })
    const answers = collect(socket)
    socket.write(Buffer.concat(octets))
    await sleep(100)
    socket.write(get(later64))
    await sleep(60)
    socket.end()
    const lengths = [...(await answers).matchAll(/Content-Length: (\d+)/g)].map((match) => Number(match[1]))
    assert.deepEqual(lengths, [900, 64, 900, 64, 900, 64])
  })

  it('answers a client that has said all it wants to say', async () => {
    const answer = await talk(fast.port, [get(later64)])
    assert.match(answer, /^HTTP\/1\.1 200 /)
  })

  it('takes no more from a client that does not read', async () => {
    const socket = connect({ port: fast.port, host: '127.0.0.1' })
    socket.pause()
    const count = 20_000
    const before = asked
    const many = Buffer.concat(Array.from({ length: 1000 }, () => usual))
    for (let sent = 0; sent < count; sent += 1000) socket.write(many)
    await sleep(200)
    assert.ok(asked - before < count / 2, `${asked - before} were answered to nobody`)
    const done = new Promise((resolve) => socket.on('close', resolve))
    let octets = 0
    socket.on('data', (chunk) => {
      octets += chunk.length
    })
    socket.end()
    socket.resume()
    await done
    const one = Buffer.byteLength(await talk(fast.port, [usual]), 'latin1') + 'Thu, 01 Jan 1970 00:00:00 GMT'.length - '…'.length
    assert.equal(octets, count * one)
  })

  it('signs no more for a client that does not read', async () => {
    const socket = connect({ port: fast.port, host: '127.0.0.1' })
    socket.pause()
    const count = 1000
    const before = asked
    const one = get(Buffer.concat([large, Buffer.alloc(4)]).toString('base64'))
    socket.write(Buffer.concat(Array.from({ length: count }, () => one)))
    let seen = before
    do {
      seen = asked
      await sleep(100)
    } while (asked > seen)
    assert.ok(asked - before < count, 'all were signed for nobody')
    const answers = collect(socket)
    socket.end()
    socket.resume()
    assert.equal((await answers).match(/HTTP\/1\.1 200/g)?.length, count)
  })

  it('shows the time in Date, also of an answer that was given before', async () => {
    for (const passed of [0, 61_000]) {
      clock.set(start + passed)
      const socket = connect({ port: fast.port, host: '127.0.0.1' })
      const answers = collect(socket)
      socket.end(usual)
      assert.match(await answers, new RegExp(`^Date: ${new Date(start + passed).toUTCString()}\\r$`, 'm'))
    }
    clock.set(start)
  })

  it('is ended when idle: new ones with 408, others in silence, as node:http does', async () => {
    const change = { headersTimeout: 60, keepAliveTimeout: 120, connectionsCheckingInterval: 20, requestTimeout: 60 }
    for (const isFast of [true, false]) {
      const server = await open(change, isFast)
      const [silent, asked, slow] = [0, 1, 2].map(() => connect({ port: server.port, host: '127.0.0.1' })) as [Socket, Socket, Socket]
      const answers = [silent, asked, slow].map(collect)
      asked.write(usual)
      slow.write('POST /ocsp HT')
      const [first, second, third] = await Promise.all(answers)
      assert.match(first as string, /^HTTP\/1\.1 408 /)
      assert.equal((second as string).match(/HTTP/g)?.length, 1)
      assert.match(third as string, /^HTTP\/1\.1 408 /)
      await server.close(0)
      await sleep(5)
      assert.equal(server.size(), 0)
    }
  })

  it('is closed in good order: what is being signed is still answered', async () => {
    const server = await open()
    const sockets = Array.from({ length: 3 }, () => connect({ port: server.port, host: '127.0.0.1' }))
    const answers = sockets.map(collect)
    sockets[1]?.write(usual)
    await sleep(20)
    sockets[2]?.write(get(later64))
    await sleep(5)
    await server.close(1000)
    assert.deepEqual(
      (await Promise.all(answers)).map((text) => text.match(/HTTP\/1\.1 200/g)?.length ?? 0),
      [0, 1, 1],
    )
  })

  it('leaves nothing behind', async () => {
    await sleep(20)
    assert.equal(fast.size(), 0)
  })
})
