import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { after, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { createCrlPublisher } from '../../src/issuance/crls.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../../src/pki/ocsp-request.js'
import { createCrlShelf } from '../../src/status/crl-shelf.js'
import { createStatusHandler } from '../../src/status/handler.js'
import { wholeBody } from '../../src/status/http.js'
import { createOcspService } from '../../src/status/ocsp.js'
import { decodeOcspPath } from '../../src/status/ocsp-http.js'
import { saveCrl } from '../store/fixtures.js'
import { day, hour, second, start, testClock, testHierarchy, testLog, testResponders, testStore } from './fixture.js'

const { root, intermediate } = await testHierarchy()
const clock = testClock()
const log = testLog()
const store = testStore()
const responders = await testResponders(intermediate, store, clock)
const ocsp = createOcspService({ clock, log, store, issuers: [{ ...intermediate, responders }] })
const crls = createCrlShelf({ clock, log, store })
const shardUrls = (shard: number) => [`http://status.test/crl/${intermediate.id}/${shard}.crl`]
const sources = [root, intermediate].map((issuer) => ({ issuer, shards: issuer === root ? [] : [0, 17], shardUrls }))
const publisher = createCrlPublisher({ clock, log, store, sources, onPublished: crls.put })
await publisher.publishDue()

const certificates = [
  { id: root.id, role: 'root' as const, der: root.certificate, notBefore: root.notBefore },
  { id: intermediate.id, role: 'intermediate' as const, der: intermediate.certificate, notBefore: intermediate.notBefore },
  { id: 'fedcba9876543210', der: new Uint8Array([0x30, 0]), notBefore: start },
]
const handler = createStatusHandler({ clock, log, ocsp, crls, certificates })
const server = createServer((req, res) => {
  if (!handler(req, res)) res.writeHead(418).end()
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as AddressInfo
after(() => server.close())

type Reply = { status: number; headers: IncomingHttpHeaders; body: Buffer }

const ask = (method: string, path: string, headers: Record<string, string | undefined> = {}, body?: Uint8Array): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const req = httpRequest({ port, method, path, headers: headers as Record<string, string>, agent: false }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk) => chunks.push(chunk))
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }))
    })
    req.on('error', reject)
    req.end(body)
  })

/** Sends octets as they are; what comes back until the server closes or falls silent. */
const talk = (text: string | Buffer, ms = 150): Promise<string> =>
  new Promise((resolve) => {
    let answer = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    const end = (): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
    })
    socket.on('error', end).on('close', end)
    setTimeout(end, ms)
  })

const requestFor = (serial: string, nonce: Uint8Array | null = null): Buffer =>
  Buffer.from(encodeOcspRequest([encodeCertId(intermediate, 'sha1', serial)], nonce))
const post = (body: Uint8Array, type = 'application/ocsp-request') => ask('POST', '/ocsp', { 'Content-Type': type }, body)
const base64 = (bytes: Buffer) => bytes.toString('base64')
const at = Math.floor(start / 1000) * 1000

describe('POST /ocsp', () => {
  it('answers with what caches need', async () => {
    const { status, headers, body } = await post(requestFor(store.issue(intermediate.id)))
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'application/ocsp-response')
    assert.equal(headers['content-length'], String(body.length))
    assert.equal(headers['cache-control'], 'max-age=600, public, no-transform, must-revalidate')
    const [, tag = ''] = /^"([0-9a-f]{32})"$/.exec(headers.etag ?? '') ?? []
    assert.ok(body.includes(Buffer.from(tag, 'hex')), 'the end of the signature')
    assert.equal(headers['last-modified'], new Date(at).toUTCString())
    assert.equal(headers.expires, new Date(at + day).toUTCString())
    assert.equal(body[6], 0)
  })

  it('takes parameters of the media type, and refuses others', async () => {
    const request = requestFor(store.issue(intermediate.id))
    assert.equal((await post(request, 'Application/OCSP-Request; charset=binary')).status, 200)
    for (const type of ['application/x-www-form-urlencoded', 'application/ocsp-requests', 'text/plain']) {
      const { status, headers } = await post(request, type)
      assert.deepEqual([status, headers.connection], [415, 'close'])
    }
    assert.equal((await ask('POST', '/ocsp', {}, request)).status, 415)
  })

  it('lets nobody keep what was made for one, what is unknown, and errors', async () => {
    const serial = store.issue(intermediate.id)
    for (const request of [requestFor(serial, randomBytes(16)), requestFor('4a00000000000000000000000000dead'), Buffer.from('rubbish')]) {
      const { status, headers } = await post(request)
      assert.deepEqual([status, headers['cache-control'], headers.etag], [200, 'no-store', undefined])
    }
    assert.equal((await post(Buffer.from('rubbish'))).body.toString('hex'), '30030a0101')
    assert.equal((await post(Buffer.alloc(0))).body.toString('hex'), '30030a0101')
  })

  it('refuses more than 8 KiB, announced or not, without reading on', async () => {
    const announced = await talk(`POST /ocsp HTTP/1.1\r\nHost: a\r\nContent-Type: application/ocsp-request\r\nContent-Length: 9000000\r\n\r\n`)
    assert.match(announced, /^HTTP\/1\.1 413 .*Connection: close/s)
    const chunk = `2000\r\n${'x'.repeat(0x2000)}\r\n`
    const chunked = await talk(
      `POST /ocsp HTTP/1.1\r\nHost: a\r\nContent-Type: application/ocsp-request\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}${chunk}`,
    )
    assert.match(chunked, /^HTTP\/1\.1 413 /)
    assert.equal(chunked.match(/HTTP\/1\.1/g)?.length, 1)
  })

  it('takes a chunked request, and one in pieces', async () => {
    const request = requestFor(store.issue(intermediate.id)).toString('latin1')
    const chunks = [...request].map((octet) => `1\r\n${octet}\r\n`).join('')
    const head = 'POST /ocsp HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/ocsp-request\r\nTransfer-Encoding: chunked\r\n\r\n'
    assert.match(await talk(Buffer.from(`${head}${chunks}0\r\n\r\n`, 'latin1')), /^HTTP\/1\.1 200 /)
  })
})

describe('GET /ocsp/…', () => {
  it('takes base64 with and without escapes, padding and further slashes', async () => {
    const request = requestFor(store.issue(intermediate.id))
    const { body } = await post(request)
    const plain = base64(request)
    const every = [...plain].map((character) => `%${character.charCodeAt(0).toString(16)}`).join('')
    const forms = [
      plain,
      encodeURIComponent(plain),
      encodeURIComponent(plain).toLowerCase().includes('%') ? every : plain,
      `/${plain}`,
      plain.replace(/=+$/, ''),
      `${plain}?x=1`,
    ]
    for (const form of forms) {
      const reply = await ask('GET', `/ocsp/${form}`)
      assert.equal(reply.status, 200)
      assert.equal(reply.body.compare(body), 0, form)
    }
    assert.equal((await ask('GET', `http://status.test:80/ocsp/${plain}`)).body.compare(body), 0)
  })

  it('takes no other encoding', async () => {
    const plain = base64(requestFor('4a00000000000000000000000000dead'))
    for (const form of [
      '',
      '%',
      `${plain}%zz`,
      `${plain}=`,
      `${plain}!`,
      `-${plain}`,
      plain.slice(0, 9),
      `${plain.slice(0, 8)}%20${plain.slice(8)}`,
      `${plain.slice(0, 8)}%0A${plain.slice(8)}`,
    ]) {
      const { status, body } = await ask('GET', `/ocsp/${form}`)
      assert.deepEqual([status, body.toString('hex')], [200, '30030a0101'], form)
    }
    assert.equal((await ask('GET', '/ocsp')).body.toString('hex'), '30030a0101')
  })

  it('answers conditional requests and HEAD', async () => {
    const path = `/ocsp/${encodeURIComponent(base64(requestFor(store.issue(intermediate.id))))}`
    const full = await ask('GET', path)
    const { etag = '', 'last-modified': modified = '' } = full.headers
    for (const headers of [
      { 'If-None-Match': etag },
      { 'If-None-Match': `"a", W/${etag}` },
      { 'If-None-Match': '*' },
      { 'If-Modified-Since': modified },
    ]) {
      const reply = await ask('GET', path, headers)
      assert.deepEqual(
        [reply.status, reply.body.length, reply.headers.etag, reply.headers['cache-control']],
        [304, 0, etag, full.headers['cache-control']],
      )
    }
    for (const headers of [
      { 'If-None-Match': '"other"', 'If-Modified-Since': modified },
      { 'If-Modified-Since': new Date(at - second).toUTCString() },
      { 'If-Modified-Since': 'rubbish' },
    ]) {
      assert.equal((await ask('GET', path, headers)).status, 200)
    }
    const head = await ask('HEAD', path)
    assert.deepEqual([head.status, head.body.length, head.headers['content-length'], head.headers.etag], [200, 0, String(full.body.length), etag])
  })

  it('tells caches less when an answer nears its end', async () => {
    const path = `/ocsp/${encodeURIComponent(base64(requestFor(store.issue(intermediate.id))))}`
    await ask('GET', path)
    store.state.fail = true
    clock.set(at + day - 90 * second)
    assert.match((await ask('GET', path)).headers['cache-control'] ?? '', /^max-age=90,/)
    clock.set(start)
    store.state.fail = false
  })
})

describe('decodeOcspPath', () => {
  it('inverts base64 in any escaping', () => {
    for (let length = 1; length < 60; length++) {
      const bytes = Buffer.concat([Buffer.from([0x30]), randomBytes(length)])
      for (const path of [`/${encodeURIComponent(base64(bytes))}`, `/${base64(bytes)}`])
        assert.ok(bytes.equals(decodeOcspPath(path) ?? Buffer.alloc(0)))
    }
  })
})

describe('CRLs', () => {
  it('are served with what caches need', async () => {
    for (const path of [`/crl/${root.id}.crl`, `/crl/${intermediate.id}.crl`, `/crl/${intermediate.id}/0.crl`, `/crl/${intermediate.id}/17.crl`]) {
      const { status, headers, body } = await ask('GET', path)
      assert.deepEqual([status, headers['content-type'], headers['content-length']], [200, 'application/pkix-crl', String(body.length)])
      assert.equal(headers['cache-control'], 'max-age=600, public, no-transform, must-revalidate')
      assert.equal(headers['last-modified'], new Date(at).toUTCString())
      assert.equal(headers.expires, new Date(at + 7 * day).toUTCString())
      assert.equal(headers.vary, 'Accept-Encoding')
      assert.equal((await ask('GET', path, { 'If-None-Match': headers.etag ?? '' })).status, 304)
      assert.equal((await ask('HEAD', path)).body.length, 0)
    }
  })

  it('are compressed where that is welcome', async () => {
    const path = `/crl/${intermediate.id}.crl`
    const plain = await ask('GET', path)
    for (const accepted of ['gzip', 'br, GZIP;q=0.5', '*', 'gzip, deflate', 'x-gzip']) {
      const { headers, body } = await ask('GET', path, { 'Accept-Encoding': accepted })
      assert.equal(headers['content-encoding'], 'gzip', accepted)
      assert.equal(gunzipSync(body).compare(plain.body), 0)
      assert.notEqual(headers.etag, plain.headers.etag)
      assert.equal((await ask('GET', path, { 'Accept-Encoding': accepted, 'If-None-Match': headers.etag ?? '' })).status, 304)
    }
    for (const refused of ['gzip;q=0', 'br', 'identity', 'identity, gzip;q=0.5', '*;q=0', 'gzip;q=x']) {
      assert.equal((await ask('GET', path, { 'Accept-Encoding': refused })).headers['content-encoding'], undefined, refused)
    }
  })

  it('that are long are kept packed, and served in both forms all the same', async () => {
    const der = Array.from({ length: 8 }, () => new Uint8Array(Buffer.concat([randomBytes(200_000), Buffer.alloc(200_000)])))
    const octets = Buffer.concat(der)
    const row = { issuerId: 'aaaaaaaaaaaaaaaa', shard: null, number: 1n, thisUpdate: at, nextUpdate: at + day, octets: octets.length, der }
    await saveCrl(store, row)
    const path = '/crl/aaaaaaaaaaaaaaaa.crl'
    const [packed, plain, ...others] = await Promise.all([
      ask('GET', path, { 'Accept-Encoding': 'gzip' }),
      ...Array.from({ length: 5 }, () => ask('GET', path)),
    ])
    assert.equal(gunzipSync((packed as Reply).body).compare(octets), 0)
    assert.ok((packed as Reply).body.length < 0.6 * octets.length)
    for (const { status, headers, body } of [plain as Reply, ...others]) {
      assert.deepEqual([status, headers['content-encoding'], headers['content-length']], [200, undefined, String(octets.length)])
      assert.equal(body.compare(octets), 0)
    }
    const head = await ask('HEAD', path)
    assert.deepEqual([head.headers['content-length'], head.headers.etag, head.body.length], [String(octets.length), plain?.headers.etag, 0])
    assert.equal((await ask('GET', path, { 'If-None-Match': plain?.headers.etag })).status, 304)
    const kept = await crls.get(row.issuerId, null)
    assert.ok(kept)
    assert.equal(kept.body, null)
    assert.equal(Buffer.compare(await wholeBody(kept), octets), 0)
  })

  it('that are long are unpacked no further than they are taken, and not at all for who has gone', async () => {
    const before = process.memoryUsage().arrayBuffers
    const sockets = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const socket = connect(port, '127.0.0.1', () => socket.write('GET /crl/aaaaaaaaaaaaaaaa.crl HTTP/1.1\r\nHost: status.test\r\n\r\n'))
        await once(socket, 'readable')
        return socket
      }),
    )
    await sleep(200)
    const held = process.memoryUsage().arrayBuffers - before
    for (const socket of sockets) socket.destroy()
    assert.ok(held < 20 * 1_000_000, `${held} octets for twenty of 3,200,000 that nobody takes`)
    assert.equal((await ask('GET', '/crl/aaaaaaaaaaaaaaaa.crl')).body.length, 3_200_000)
  })

  it('that are long and published here are taken up at once where somebody has asked for them', async () => {
    const path = '/crl/bbbbbbbbbbbbbbbb/2.crl'
    const list = (number: bigint) => ({
      ...{ issuerId: 'bbbbbbbbbbbbbbbb', shard: 2, number, thisUpdate: at, nextUpdate: at + day, octets: 3_200_000 },
      der: Array.from({ length: 8 }, () => new Uint8Array(randomBytes(400_000))),
    })
    const [first, second] = [list(1n), list(2n)]
    const before = store.calls.readCrl
    await saveCrl(store, first)
    crls.put(first)
    assert.equal(store.calls.readCrl, before)
    assert.equal((await ask('GET', path)).body.compare(Buffer.concat(first.der)), 0)
    assert.equal(store.calls.readCrl, before + 1)

    await saveCrl(store, second)
    crls.put(second)
    while ((await ask('HEAD', path)).headers.etag?.includes('-2-1-')) await sleep(5)
    assert.equal((await ask('GET', path)).body.compare(Buffer.concat(second.der)), 0)
    assert.equal(store.calls.readCrl, before + 2)
  })

  it('of another process appear within seconds', async () => {
    const path = `/crl/${intermediate.id}/17.crl`
    const before = await ask('GET', path)
    const other = createCrlPublisher({ clock, log, store, sources })
    await other.publishAll()
    assert.equal((await ask('GET', path)).headers.etag, before.headers.etag)
    clock.pass(6 * second)
    assert.notEqual((await ask('GET', path)).headers.etag, before.headers.etag)
    clock.set(start)
  })

  it('outlive the database, and are 503 where none is held', async () => {
    store.state.fail = true
    clock.pass(hour)
    assert.equal((await ask('GET', `/crl/${intermediate.id}/17.crl`)).status, 200)
    const { status, headers } = await ask('GET', `/crl/${intermediate.id}/3.crl`)
    assert.deepEqual([status, headers['retry-after'], headers['cache-control']], [503, '5', 'no-store'])
    store.state.fail = false
    clock.set(start)
  })

  it('that do not exist are 404', async () => {
    for (const path of [
      '/crl/',
      `/crl/${intermediate.id}`,
      `/crl/${intermediate.id}/3.crl`,
      `/crl/${intermediate.id}/017.crl`,
      '/crl/../ca/root.pem',
      `/crl/${root.id.toUpperCase()}G.crl`,
    ]) {
      assert.equal((await ask('GET', path)).status, 404, path)
    }
  })
})

describe('CA certificates', () => {
  it('are served in DER and PEM, by id and by role', async () => {
    for (const { id, role, der } of certificates) {
      for (const name of role ? [id, role] : [id]) {
        const cer = await ask('GET', `/ca/${name}.cer`)
        assert.equal(cer.headers['content-type'], 'application/pkix-cert')
        assert.equal(Buffer.compare(cer.body, der), 0)
        const pem = await ask('GET', `/ca/${name}.pem`)
        assert.equal(pem.headers['content-type'], 'application/x-pem-file')
        assert.match(pem.body.toString(), /^-----BEGIN CERTIFICATE-----\n/)
        assert.equal((await ask('GET', `/ca/${name}.pem`, { 'If-None-Match': pem.headers.etag ?? '' })).status, 304)
        assert.equal(pem.headers.vary, undefined)
      }
    }
    assert.equal((await ask('GET', '/ca/other.pem')).status, 404)
    assert.equal((await ask('GET', '/ca/root.pem/')).status, 404)
  })
})

describe('everything else', () => {
  it('is left to others', async () => {
    for (const path of ['/', '/ocsps', '/crl', '/ca', '/healthz', '*']) assert.equal((await ask('GET', path)).status, 418, path)
  })

  it('says which methods are allowed', async () => {
    const expected = {
      '/ocsp': 'GET, HEAD, POST',
      '/ocsp/': 'GET, HEAD, POST',
      '/ocsp/MA==': 'GET, HEAD',
      '/ca/root.pem': 'GET, HEAD',
      [`/crl/${root.id}.crl`]: 'GET, HEAD',
    }
    for (const [path, allow] of Object.entries(expected)) {
      const { status, headers } = await ask('DELETE', path)
      assert.deepEqual([status, headers.allow], [405, allow], path)
    }
    assert.equal((await ask('POST', '/ocsp/MA==')).status, 405)
  })

  it('survives clients that go away', async () => {
    for (const text of [
      'POST /ocsp HTTP/1.1\r\nHost: a\r\nContent-Type: application/ocsp-request\r\nContent-Length: 50\r\n\r\nabc',
      'GET /ocsp/MA==',
      `GET /crl/${root.id}.crl HTTP/1.1\r\nHost: a\r\n\r\n`,
    ])
      await talk(text, 10)
    assert.equal((await ask('GET', '/ca/root.cer')).status, 200)
  })
})
