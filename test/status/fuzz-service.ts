/** A small CA for the fuzzers of OCSP: the service, the HTTP server with its fast path, requests to begin with, and who judges what comes back. */
import { Agent, request as httpRequest } from 'node:http'
import { explicit, implicit, sequence } from '../../src/pki/der.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../../src/pki/ocsp-request.js'
import { limits, openDoor } from '../../src/server.js'
import { createFastPath } from '../../src/status/fast-path.js'
import { createStatusHandler } from '../../src/status/handler.js'
import { createOcspService } from '../../src/status/ocsp.js'
import { start, testClock, testHierarchy, testLog, testResponders, testStore } from './fixture.js'
import { createJudge, mutate, mutatePath, type PickBelow } from './fuzz.js'

const { intermediate } = await testHierarchy()
const { intermediate: foreign } = await testHierarchy('Foreign')

/** Requests for good and revoked certificates, alone and together, with and without a nonce, of another issuer too. */
const seedsFor = (good: string[], revoked: string[]): Uint8Array[] => {
  const all = [...good, ...revoked]
  const ids = all.map((serial) => encodeCertId(intermediate, 'sha1', serial))
  /** With a requestor that is skipped, so that some changes are without effect. */
  const named = (list: Uint8Array[]) =>
    sequence(sequence(explicit(1, implicit(2, new Uint8Array(60).fill(0x61))), sequence(...list.map((id) => sequence(id)))))
  return [
    ...ids.map((id) => named([id])),
    named(ids),
    ...all.flatMap((serial) =>
      (['sha1', 'sha256'] as const).flatMap((hash) =>
        (['null', 'absent'] as const).map((form) => encodeOcspRequest([encodeCertId(intermediate, hash, serial, form)])),
      ),
    ),
    ...ids.map((id) => encodeOcspRequest([id], new Uint8Array(32))),
    encodeOcspRequest(ids, new Uint8Array(32)),
    encodeOcspRequest([encodeCertId(foreign, 'sha1', good[0] as string)]),
  ]
}

/** Opens all of it. `service` asks the service itself; `http` asks by POST or GET over a connection that is kept alive. */
export const openFuzz = async (pick: PickBelow) => {
  const clock = testClock()
  const log = testLog()
  const store = testStore()
  const responders = await testResponders(intermediate, store, clock)
  const ocsp = createOcspService({ clock, log, store, issuers: [{ ...intermediate, responders }] })
  const good = Array.from({ length: 3 }, () => store.issue(intermediate.id))
  const revoked = Array.from({ length: 3 }, () => store.issue(intermediate.id))
  for (const serial of revoked) store.revoke(serial, { revokedAt: start, reason: 'keyCompromise' })
  const seeds = seedsFor(good, revoked)
  const status = (list: string[], is: 'good' | 'revoked') => list.map((serial) => [serial, is] as const)
  const known = new Map([...status(good, 'good'), ...status(revoked, 'revoked')])
  const [inside, outside] = [createJudge(intermediate, known), createJudge(intermediate, known)]

  const handler = createStatusHandler({ clock, log, ocsp, crls: { get: async () => null }, certificates: [] })
  const door = await openDoor(
    {
      name: 'status',
      address: { host: '127.0.0.1', port: 0 },
      handler: (req, res) => void (handler(req, res) || res.writeHead(404, { 'Content-Length': 0 }).end()),
      fastPath: createFastPath({ clock, ocsp, limits }),
    },
    log,
  )
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask = (method: string, path: string, body?: Uint8Array): Promise<{ status: number; body: Buffer }> =>
    new Promise((resolve, reject) => {
      const headers = body ? { 'Content-Type': 'application/ocsp-request', 'Content-Length': body.length } : {}
      const req = httpRequest({ agent, host: '127.0.0.1', port: door.port, method, path, headers }, (res) => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('end', () => resolve({ status: res.statusCode ?? 0, body: Buffer.concat(chunks) }))
      })
      req.on('error', reject).end(body)
    })
  const seed = (): Uint8Array => seeds[pick(seeds.length)] as Uint8Array

  return {
    said: { service: inside.said, http: outside.said },
    held: () => ocsp.size(),
    service: async (): Promise<void> => {
      const request = mutate(seed(), pick)
      inside.judge((await ocsp.answer(request)).body, request)
    },
    /** A GET with a mutated path, one with a path of mutated octets, or a POST of such. */
    http: async (): Promise<void> => {
      const kind = pick(3)
      const octets = kind === 0 ? seed() : mutate(seed(), pick)
      const text = Buffer.from(octets).toString('base64')
      const plain = pick(2) === 0 ? text : encodeURIComponent(text)
      const path = kind === 0 ? mutatePath(plain, pick) : plain
      const { status, body } = kind === 2 ? await ask('POST', '/ocsp', octets) : await ask('GET', `/ocsp/${path}`)
      if (status !== 200) throw new Error(`HTTP ${status} for ${kind === 2 ? Buffer.from(octets).toString('hex') : path}`)
      outside.judge(body, path)
    },
    close: async (): Promise<void> => {
      agent.destroy()
      await door.close(0)
    },
  }
}
