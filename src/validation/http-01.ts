import type { Fetch } from './fetcher.js'
import { failure, printable, type ValidationInput, type ValidationResult, type Validator } from './validator.js'

/** A wrong page is read this far past the length of a right one, to show what it is. */
const EXTRA_BODY = 128

const isWhitespace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)

/** RFC 8555 §8.3: whitespace at the end is ignored, for the sake of editors. */
const withoutTrailingWhitespace = (body: Buffer): Buffer => body.subarray(0, body.findLastIndex((byte) => !isWhitespace(byte)) + 1)

const judge = (input: ValidationInput, fetched: Awaited<ReturnType<Fetch>>): ValidationResult => {
  if (!fetched.ok) {
    const { hops, ...rest } = fetched
    return { ...rest, evidence: { hops } }
  }
  const { page, hops } = fetched
  const found = printable(page.body)
  const evidence = { hops, body: found }
  const where = `${page.url} (${hops.at(-1)?.tried.at(-1)?.address})`
  if (page.status !== 200) {
    return { ...failure('unauthorized', `The answer from ${where} has the status ${page.status} instead of 200.`), evidence }
  }
  if (!page.more && withoutTrailingWhitespace(page.body).equals(Buffer.from(input.keyAuthorization))) return { ok: true, evidence }
  const detail = `The answer from ${where} is not the key authorization: expected "${input.keyAuthorization}", found "${found}".`
  return { ...failure('unauthorized', detail), evidence }
}

/** http-01 (RFC 8555 §8.3): the key authorization at a well-known path of the name's web server. */
export const http01 = ({ fetch }: { fetch: Fetch }): Validator => ({
  type: 'http-01',
  appliesTo: (identifier, wildcard) => identifier.type === 'dns' && !wildcard,
  async validate(input, signal) {
    const url = `http://${input.identifier.value}/.well-known/acme-challenge/${input.token}`
    return judge(input, await fetch(url, input.keyAuthorization.length + EXTRA_BODY, signal))
  },
})
