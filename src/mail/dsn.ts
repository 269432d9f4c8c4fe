/** Bounces: delivery status notifications (RFC 3464) as a mail server sends them back, read from bytes that anybody may have written. */

export type Bounce = {
  /** Ids of the outbox that the notification names, the most certain first. */
  ids: string[]
  /** Of the first recipient that failed: an enhanced status code (RFC 3463) such as 5.1.1. */
  status: string
  /** What the far server said; one printable line. */
  diagnostic: string
}

/** A notification, or why it is none that says that a mail failed. */
export type ReadBounce = { bounce: Bounce } | { problem: string }

/** What is read of a message: a bounce with the headers of ours has a few kilobytes. */
export const maxBounce = 256 * 1024
const MAX_PARTS = 20

const id = '([0-9a-f]{32})'

type Part = { headers: Map<string, string>; body: string }

/** Header fields by lower-case name, the first of each, unfolded (RFC 5322 §2.2.3). */
const readFields = (text: string): Map<string, string> => {
  const fields = new Map<string, string>()
  for (const line of text
    .replace(/\r?\n[ \t]+/g, ' ')
    .split(/\r?\n/)
    .slice(0, 500)) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).trim().toLowerCase()
    if (colon > 0 && !fields.has(name)) fields.set(name, line.slice(colon + 1).trim())
  }
  return fields
}

const readPart = (text: string): Part => {
  const end = /\r?\n\r?\n/.exec(text)
  return end
    ? { headers: readFields(text.slice(0, end.index)), body: text.slice(end.index + end[0].length) }
    : { headers: readFields(text), body: '' }
}

const typeOf = ({ headers }: Part): string => (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''

/** The parts of a multipart (RFC 2046 §5.1.1). */
const partsOf = ({ headers, body }: Part): Part[] => {
  const [, quoted, token] = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))/i.exec(headers.get('content-type') ?? '') ?? []
  const boundary = quoted ?? token
  if (boundary === undefined) return []
  const sections = `\n${body.replace(/\r\n/g, '\n')}`.split(`\n--${boundary}`).slice(1, MAX_PARTS + 1)
  return sections.filter((section) => !section.startsWith('--')).map((section) => readPart(section.slice(section.indexOf('\n') + 1)))
}

const printable = (text: string): string =>
  text
    .replace(/[^\x20-\x7e]+/g, ' ')
    .replace(/[<>]/g, '')
    .slice(0, 200)
    .trim()

/** Reads what came to the bounce address. `recipient`: to whom it came (VERP), where the mail server says so. */
export const readBounce = (octets: Buffer, recipient: string | null): ReadBounce => {
  const whole = readPart(octets.subarray(0, maxBounce).toString('latin1'))
  if (typeOf(whole) !== 'multipart/report') return { problem: 'It is no delivery status notification (multipart/report, RFC 3464).' }
  const parts = partsOf(whole)
  const report = parts.find((part) => typeOf(part) === 'message/delivery-status')
  if (!report) return { problem: 'The report has no part message/delivery-status.' }
  const [message = new Map<string, string>(), ...recipients] = report.body.replace(/\r\n/g, '\n').split(/\n\n+/).slice(0, 50).map(readFields)
  const failed = recipients.find((fields) => fields.get('action')?.toLowerCase() === 'failed')
  if (!failed) return { problem: 'No recipient failed: the notification is about a delay or a success.' }
  const returned = parts.find((part) => ['message/rfc822', 'text/rfc822-headers'].includes(typeOf(part)))
  const inAddress = (text: string | undefined): string[] =>
    [...(text ?? '').matchAll(new RegExp(`\\+${id}@`, 'gi'))].map((found) => found[1] as string)
  const messageId = new RegExp(`<${id}@`, 'i').exec(returned ? (readFields(returned.body).get('message-id') ?? '') : '')?.[1]
  const envelopeId = new RegExp(`^${id}$`, 'i').exec(message.get('original-envelope-id') ?? '')?.[1]
  const ids = [
    ...inAddress(recipient ?? undefined),
    ...['x-original-to', 'delivered-to', 'to'].flatMap((name) => inAddress(whole.headers.get(name))),
    ...[envelopeId, messageId].filter((found) => found !== undefined),
  ]
  if (ids.length === 0) return { problem: 'It does not say which mail it is about.' }
  return {
    bounce: {
      ids: [...new Set(ids.map((found) => found.toLowerCase()))],
      status: /^[245]\.\d{1,3}\.\d{1,3}/.exec(failed.get('status') ?? '')?.[0] ?? '5.0.0',
      diagnostic: printable((failed.get('diagnostic-code') ?? '').replace(/^smtp;\s*/i, '')),
    },
  }
}
