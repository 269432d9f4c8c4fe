/** What the fuzzers of OCSP share: mutations of octets and of paths, and the truth by which every word of an answer is judged. */
import assert from 'node:assert/strict'
import type { Issuer } from '../../src/pki/certificate.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { readAnswer } from '../support/ocsp-answer.js'

/** Gives a number below its argument. */
export type PickBelow = (below: number) => number

/** One to four changes: bits, octets, cuts, copies, deletions. */
export const mutate = (bytes: Uint8Array, pick: PickBelow): Uint8Array => {
  let out = [...bytes]
  for (let changes = 1 + pick(4); changes > 0 && out.length > 0; changes--) {
    const at = pick(out.length)
    const kind = pick(5)
    if (kind === 0) out[at] = (out[at] as number) ^ (1 << pick(8))
    else if (kind === 1) out[at] = pick(256)
    else if (kind === 2) out = out.slice(0, at)
    else if (kind === 3) out.splice(at, 0, ...out.slice(pick(out.length)).slice(0, 40))
    else out.splice(at, 1 + pick(3))
  }
  return Uint8Array.from(out)
}

/** What clients and attackers write into paths beside base64. */
const odd = [
  '/',
  '//',
  '%',
  '%2',
  '%2F',
  '%2f',
  '%2B',
  '%3D',
  '%00',
  '%FF',
  '%E2%82%AC',
  '+',
  '=',
  '==',
  '?',
  '#',
  '..',
  '.',
  ';',
  '&',
  '-',
  '_',
  '*',
  '~',
]

/** One to three changes of a path that HTTP can carry: pieces that are left out, doubled, escaped or put in. */
export const mutatePath = (path: string, pick: PickBelow): string => {
  let out = path
  for (let changes = 1 + pick(3); changes > 0 && out.length > 0; changes--) {
    const at = pick(out.length)
    const kind = pick(5)
    if (kind === 0) out = out.slice(0, at) + odd[pick(odd.length)] + out.slice(at)
    else if (kind === 1) out = out.slice(0, at) + out.slice(at + 1 + pick(3))
    else if (kind === 2) out = `${out.slice(0, at)}%${out.charCodeAt(at).toString(16).padStart(2, '0')}${out.slice(at + 1)}`
    else if (kind === 3) out = out.slice(0, at) + String.fromCharCode(0x21 + pick(0x5e)) + out.slice(at + 1)
    else out = out.slice(0, at) + out.slice(pick(out.length)).slice(0, 12) + out.slice(at)
  }
  return out
}

/** How often each thing was said: an OCSP error by its number, a status of a certificate by its name. */
export type Said = Record<string, number>

/**
 * Judges answers by what they say themselves, read by a library: good and revoked only under a CertID of this issuer, and only for what was issued and revoked.
 * @param known the serials that were issued, in the form of the store, with their status
 */
export const createJudge = (issuer: Pick<Issuer, 'subject' | 'publicKey'>, known: ReadonlyMap<string, 'good' | 'revoked'>) => {
  const said: Said = {}
  const forms = (['sha1', 'sha256'] as const).flatMap((hash) => (['null', 'absent'] as const).map((form) => [hash, form] as const))
  const truth = new Map(
    [...known].flatMap(([serial, status]) =>
      forms.map(([hash, form]) => [Buffer.from(encodeCertId(issuer, hash, serial, form)).toString('latin1'), status] as const),
    ),
  )
  /** Answers that are given from memory are the same object each time. */
  const judged = new WeakMap<Uint8Array, string[]>()

  const read = (body: Uint8Array): string[] => {
    const { status, singles } = readAnswer(body)
    if (status !== 0) return [String(status)]
    assert.ok(singles.length > 0)
    for (const { certId, status: is } of singles) assert.equal(is, truth.get(certId.toString('latin1')) ?? 'unknown', certId.toString('hex'))
    return singles.length === 1 ? singles.map(({ status: is }) => is) : ['several', ...singles.map(({ status: is }) => `${is} among several`)]
  }

  return {
    said,
    /** `request`: shown where the answer is wrong. */
    judge: (body: Uint8Array, request: Uint8Array | string): void => {
      try {
        const words = judged.get(body) ?? read(body)
        judged.set(body, words)
        for (const word of words) said[word] = (said[word] ?? 0) + 1
        assert.ok(!words.includes('2') && !words.includes('3'), 'internalError or tryLater')
      } catch (error) {
        throw new Error(`${typeof request === 'string' ? request : Buffer.from(request).toString('hex')}: ${(error as Error).message}`)
      }
    },
  }
}

/** Everything that a fuzzer must have heard, or it would not have come far; OCSP errors as numbers: malformedRequest is 1, unauthorized 6. */
export const everyWord = ['good', 'revoked', 'unknown', 'several', 'good among several', 'revoked among several', '1', '6']
