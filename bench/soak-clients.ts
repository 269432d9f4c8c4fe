/** Who asks in a soak: one kept-alive connection each, one question of any kind after the other, every answer read by a library, its signature verified, and judged. */
import { randomBytes, X509Certificate } from 'node:crypto'
import { Agent, request as httpRequest } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import * as asn1js from 'asn1js'
import * as pkijs from 'pkijs'
import { newSerial } from '../src/pki/certificate.js'
import { encodeCertId } from '../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../src/pki/ocsp-request.js'
import type { CertificateInfo } from '../src/pki/read-certificate.js'
import { readAnswer } from '../test/support/ocsp-answer.js'
import type { Truth, Truths } from './soak-truth.js'

/** A process, or several behind one port, that is asked. `lastAnswer`: when it last gave one. */
export type Door = { name: string; port: number; lastAnswer: number; longestSilence: number }

export const counts = {
  ...{ asked: 0, good: 0, revoked: 0, unknown: 0, nonces: 0 },
  ...{ POST: 0, GET: 0, several: 0, malformed: 0, foreign: 0, CRL: 0 },
  ...{ nobody: 0, 'try later': 0 },
}

type Deps = { truths: Truths; intermediate: CertificateInfo; foreign: CertificateInfo; running(): boolean }
type Reply = { status: number; body: Buffer; socket: Socket }

export const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T
const chance = (share: number): boolean => Math.random() < share

/** What one process, behind one connection, has said before. */
type Said = { revoked: Set<string>; numbers: Map<string, bigint> }
const said = new WeakMap<Socket, Said>()
const saidOn = (socket: Socket): Said => {
  const known = said.get(socket) ?? { revoked: new Set(), numbers: new Map() }
  said.set(socket, known)
  return known
}

const ask = (agent: Agent, port: number, method: string, path: string, body?: Uint8Array): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const headers = body ? { 'Content-Type': 'application/ocsp-request', 'Content-Length': body.length } : {}
    const req = httpRequest({ agent, port, host: '127.0.0.1', method, path, headers, timeout: 10_000 }, (res) => {
      const chunks: Buffer[] = []
      const { socket } = res
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: Buffer.concat(chunks), socket }))
      res.on('error', reject)
    })
    req.on('error', reject).on('timeout', () => req.destroy(new Error('no answer in 10 s')))
    req.end(body)
  })

/** A legal way to write base64 into a path (RFC 6960 appendix A.1): all escaped, or only what has to be. */
const pathOf = (request: Uint8Array): string => {
  const text = Buffer.from(request).toString('base64')
  return `/ocsp/${chance(0.5) ? encodeURIComponent(text) : text}`
}

/** Lower-case hex as truths have it: without the octet that only says that a number is positive. */
const plain = (hex: string): string => hex.replace(/^00(?=.)/, '')

export const createClient = ({ truths, intermediate, foreign }: Omit<Deps, 'running'>, door: Door) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const issuer = new X509Certificate(intermediate.der)

  const send = async (request: Uint8Array, byGet: boolean): Promise<Reply> => {
    counts[byGet ? 'GET' : 'POST']++
    return byGet ? ask(agent, door.port, 'GET', pathOf(request)) : ask(agent, door.port, 'POST', '/ocsp', request)
  }

  /** Asks for certificates of this CA, and judges every word of the answer. */
  const askFor = async (serials: string[], { byGet = false, nonce = null as Buffer | null } = {}): Promise<void> => {
    const hash = chance(0.8) ? 'sha1' : 'sha256'
    const certIds = serials.map((serial) => encodeCertId(intermediate, hash, serial, chance(0.9) ? 'null' : 'absent'))
    const asked = performance.now()
    const { status, body, socket } = await send(encodeOcspRequest(certIds, nonce), byGet)
    const answer = readAnswer(body)
    if (answer.status === 3) return void counts['try later']++
    const blame = (what: string): void => truths.blame(`${serials.join()}: ${what}`)
    if (status !== 200 || answer.status !== 0) return blame(`HTTP ${status}, OCSP ${answer.status}`)
    if (!answer.isSignedFor(issuer)) blame('a signature that is wrong')
    if (nonce && !answer.nonce?.equals(nonce)) blame('an answer without its nonce')
    if (answer.singles.length !== serials.length || answer.singles.some(({ certId }, i) => !certId.equals(certIds[i] as Uint8Array)))
      return blame('an answer for others than were asked for')
    const { revoked } = saidOn(socket)
    for (const single of answer.singles) {
      const serial = plain(single.serial)
      truths.judge(serial, single.status, asked, revoked)
      counts[single.status]++
    }
    for (const single of answer.singles) if (single.status === 'revoked') revoked.add(plain(single.serial))
    if (nonce) counts.nonces++
    if (serials.length > 1) counts.several++
  }

  /** What has to be refused, with the OCSP status by which it is. */
  const askWrongly = async (request: Uint8Array, expected: number, kind: 'malformed' | 'foreign'): Promise<void> => {
    const { body } = await send(request, chance(0.5))
    const { status } = readAnswer(body)
    if (status === expected) counts[kind]++
    else truths.blame(`OCSP status ${status} for what is ${kind}`)
  }

  /** The complete list, or the one that a certificate points to. */
  const askCrl = async (truth: Truth | null): Promise<void> => {
    const id = Buffer.from(intermediate.ski ?? [])
      .toString('hex')
      .slice(0, 16)
    const path = truth ? new URL(truth.crlUrl).pathname : `/crl/${id}.crl`
    const scope = truth ? truths.list.filter(({ crlUrl }) => crlUrl === truth.crlUrl) : [...truths.list]
    const asked = performance.now()
    const { status, body, socket } = await ask(agent, door.port, 'GET', path)
    if (status !== 200) return truths.blame(`HTTP ${status} for ${path}`)
    const { result: schema } = asn1js.fromBER(body, { maxNodes: 1_000_000 })
    const crl = new pkijs.CertificateRevocationList({ schema })
    const number = crl.crlExtensions?.extensions.find(({ extnID }) => extnID === '2.5.29.20')
    const current = BigInt(`0x${Buffer.from(number?.parsedValue.valueBlock.valueHexView).toString('hex')}`)
    const { numbers } = saidOn(socket)
    if (current < (numbers.get(path) ?? 0n)) truths.blame(`${path}: number ${current} after ${numbers.get(path)}`)
    numbers.set(path, current)
    const serials = (crl.revokedCertificates ?? []).map(({ userCertificate }) =>
      plain(Buffer.from(userCertificate.valueBlock.valueHexView).toString('hex')),
    )
    truths.judgeCrl(path, new Set(serials), scope, asked)
    counts.CRL++
  }

  const question = (): Promise<void> => {
    const { list } = truths
    // What was issued or revoked lately is where mistakes would be.
    const one = (): string => (chance(0.05) || list.length === 0 ? newSerial(randomBytes) : pick(chance(0.5) ? list.slice(-50) : list).serial)
    const kind = Math.random()
    if (kind < 0.02) return askCrl(list.length > 0 && chance(0.7) ? pick(list) : null)
    if (kind < 0.04) return askWrongly(encodeOcspRequest([encodeCertId(foreign, 'sha1', one())]), 6, 'foreign')
    if (kind < 0.06)
      return askWrongly(
        encodeOcspRequest([encodeCertId(intermediate, 'sha1', one())]).subarray(0, 20 + Math.floor(Math.random() * 40)),
        1,
        'malformed',
      )
    const byGet = chance(0.4)
    if (kind < 0.2)
      return askFor(Array.from({ length: 2 + Math.floor(Math.random() * 5) }, one), { byGet, nonce: chance(0.2) ? randomBytes(32) : null })
    return askFor([one()], { byGet, nonce: chance(0.15) ? randomBytes(16) : null })
  }

  return {
    askFor,
    askCrl,
    close: () => agent.destroy(),
    /** Asks until the end. Who meets nobody, because a process was killed, tries again. */
    run: async (running: () => boolean): Promise<void> => {
      while (running()) {
        counts.asked++
        try {
          await question()
          const now = performance.now()
          door.longestSilence = Math.max(door.longestSilence, now - door.lastAnswer)
          door.lastAnswer = now
          await sleep(5)
        } catch (error) {
          const { code, message } = error as NodeJS.ErrnoException
          if (!code && !/hang up|no answer/.test(message)) throw error
          counts.nobody++
          await sleep(200)
        }
      }
    },
  }
}
