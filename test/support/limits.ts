/** What a client is told of a limit that is reached. */
import assert from 'node:assert/strict'
import type { LimitName, Rate } from '../../src/issuance/limits.js'
import { isProblem, type Reply } from './acme.js'

const units: Record<string, number> = { second: 1, seconds: 1, minutes: 60, hours: 3600, days: 86_400 }
const sentence =
  /^Too many .+: the limit is (\d+) in (\d+) (\w+), and it is reached\. The next one is possible at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC, in (\d+) (\w+)\. ?(.*) ?\((\w+)\)$/

/** RFC 8555 §6.6: the answer is rateLimited and says which limit, how much and when; Retry-After says the same. */
export const saysLimit = (reply: Reply, expected: { limit: LimitName; rate: Rate; detail: RegExp; now: number; atMostS: number }): void => {
  const { limit, rate, detail, now, atMostS } = expected
  isProblem(reply, 429, 'rateLimited', detail)
  const [, count, window, windowUnit = '', at = '', wait, waitUnit = '', , name] = sentence.exec(reply.json.detail) ?? []
  assert.equal(name, limit, reply.json.detail)
  if (rate) assert.deepEqual([Number(count), Number(window) * (units[windowUnit] ?? 0) * 1000], [rate.count, rate.windowMs], reply.json.detail)
  const retryAfter = Number(reply.headers.get('retry-after'))
  assert.ok(retryAfter >= 1 && retryAfter <= atMostS, String(retryAfter))
  assert.ok(Math.abs(Date.parse(`${at.replace(' ', 'T')}Z`) - now - retryAfter * 1000) < 3000, reply.json.detail)
  const waitS = Number(wait) * (units[waitUnit] ?? 0)
  assert.ok(waitS >= retryAfter && waitS < 2 * retryAfter + 1, reply.json.detail)
}
