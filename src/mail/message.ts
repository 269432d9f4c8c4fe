/** A mail as it is handed to a transport: headers, text and HTML. */
import type SMTPTransport from 'nodemailer/lib/smtp-transport'
import { renderMailHtml, renderText } from './html.js'
import type { MailText } from './texts.js'

export type Message = {
  /** The row in the outbox: makes the Message-ID, which stays the same for every attempt. */
  id: string
  to: string
  at: number
  content: MailText
  /** Of notices: a page that works without an account, and by one POST (RFC 8058). */
  unsubscribe: string | null
}

export type Envelope = {
  /** The sender's name and address. */
  from: { name: string; address: string }
  /** `bounce@ica.example.org`: where bounces go, with `+<id>` in it; null for the sender. */
  bounce: string | null
}

/** RFC 5321 allows more, but an address that needs quoting is none of ours. */
const safeAddress = /^[!#$%&'*+\-./0-9=?A-Z^_`a-z{|}~]{1,64}@[A-Za-z0-9.-]{1,253}$/

const checked = (address: string): string => {
  if (!safeAddress.test(address)) throw new Error('a mail address has characters that do not belong there')
  return address
}

/** One line without control characters, and not endless: what becomes a header field. */
const line = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, 200)

const domainOf = (address: string): string => address.slice(address.lastIndexOf('@') + 1)

/** Stable for a row of the outbox: a mail that is sent twice can be told from two. */
export const messageIdOf = (id: string, { from }: Envelope): string => `<${id}@${domainOf(from.address)}>`

/** The sender on the envelope, which is the recipient of bounces (VERP). */
export const returnPathOf = (id: string, { bounce, from }: Envelope): string => {
  if (bounce === null) return from.address
  const at = bounce.lastIndexOf('@')
  return `${bounce.slice(0, at)}+${id}${bounce.slice(at)}`
}

/** What nodemailer is given. Throws where an address is none that this program writes to. */
export const compose = (message: Message, envelope: Envelope): SMTPTransport.Options => {
  const { id, to, at, content, unsubscribe } = message
  const html = renderMailHtml(content.subject, content.blocks)
  return {
    from: { name: line(envelope.from.name), address: checked(envelope.from.address) },
    to: { name: '', address: checked(to) },
    subject: line(content.subject),
    text: renderText(content.blocks),
    html,
    messageId: messageIdOf(id, envelope),
    date: new Date(at),
    envelope: { from: checked(returnPathOf(id, envelope)), to: [to] },
    headers: {
      'Auto-Submitted': 'auto-generated',
      'X-Auto-Response-Suppress': 'All',
      ...(unsubscribe !== null && { 'List-Unsubscribe': `<${unsubscribe}>`, 'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click' }),
    },
    // Where the server knows DSN (RFC 3461): the id comes back in a bounce, and only the headers of the mail with it.
    dsn: { id, return: 'headers', notify: ['failure', 'delay'], recipient: `rfc822;${to}` },
    disableFileAccess: true,
    disableUrlAccess: true,
    xMailer: false,
  } as SMTPTransport.Options
}
