/** The pages behind the links in mails. They work without JavaScript, and fetch nothing but their stylesheet. */

import type { LinkFacts, LinkState } from '../issuance/confirm.js'
import type { NoticesAt } from '../issuance/notices.js'
import { type Block, escapeHtml, renderBlocks } from '../mail/html.js'
import { showMoment } from '../mail/texts.js'

export const stylePath = '/confirm/page.css'

/** In light and dark, from phone to desktop. */
export const style = `:root { color-scheme: light dark; font: 1.05rem/1.5 system-ui, sans-serif }
body { max-width: 40rem; margin: 2rem auto; padding: 0 1rem; background: Canvas; color: CanvasText }
h1 { font-size: 1.5rem; line-height: 1.25 }
table { border-collapse: collapse; margin: 1.25rem 0; width: 100% }
th { text-align: left; font-weight: 600; padding: .3rem 1rem .3rem 0; vertical-align: top; white-space: nowrap }
td { padding: .3rem 0; overflow-wrap: anywhere }
form { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 }
button { font: inherit; padding: .6rem 1.2rem; border-radius: .4rem; border: 2px solid #1d5fa8; background: Canvas; color: CanvasText; cursor: pointer }
button.main { background: #1d5fa8; color: #fff }
button:focus-visible, a:focus-visible { outline: 3px solid #e08a00; outline-offset: 2px }
footer { margin-top: 3rem; border-top: 1px solid GrayText; padding-top: .75rem; font-size: .9rem }
a { color: LinkText }
`

type Button = { action: string; label: string; main?: true }

const form = (buttons: readonly Button[]): string =>
  buttons.length === 0
    ? ''
    : `<form method="post">${buttons
        .map(
          ({ action, label, main }) =>
            `<button${main ? ' class="main"' : ''} name="action" value="${escapeHtml(action)}">${escapeHtml(label)}</button>`,
        )
        .join('')}</form>`

/** A whole page. `ca`: the name of the CA, and where its page is. */
const page = (ca: { name: string; website: string }, title: string, blocks: readonly Block[], buttons: readonly Button[] = []): string =>
  `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>${escapeHtml(title)}</title>
<link rel="stylesheet" href="${stylePath}">
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${renderBlocks(blocks)}
${form(buttons)}
</main>
<footer><a href="/">${escapeHtml(ca.name)}</a></footer>
</body>
</html>
`

export type Ca = { name: string; website: string }

const linkFacts = (facts: LinkFacts): Block => ({
  facts: [
    ['Domain', facts.name],
    ['Account key', facts.thumbprint],
    ['Asked from', facts.requester ?? 'an unknown address'],
    ['Asked at', showMoment(facts.askedAt)],
    ['Sent to', facts.address],
  ],
})

const explanations: Record<Exclude<LinkState, 'open'>, { title: string; text: (facts: LinkFacts) => string }> = {
  confirmed: {
    title: 'Confirmed',
    text: ({ name, decidedAt }) =>
      `You have confirmed the request for ${name}${decidedAt === null ? '' : ` at ${showMoment(decidedAt)}`}. There is nothing more to do here: whoever asked can go on.`,
  },
  denied: {
    title: 'Refused',
    text: ({ name }) =>
      `You have said that the request for ${name} was not yours. No certificate is issued on it, and the operator of the CA can see that it happened.`,
  },
  expired: {
    title: 'This link has expired',
    text: ({ expiresAt }) =>
      `It was good until ${showMoment(expiresAt)}. If you still want the certificate, ask for it again: you will get a new message.`,
  },
  superseded: {
    title: 'There is a newer message',
    text: () => 'Another message was asked for after this one. Use the link in the newest one; this one does nothing any more.',
  },
  void: {
    title: 'Nobody needs this any more',
    text: () => 'The order has ended or was given up, or its account was closed. If you still want the certificate, ask for it again.',
  },
}

/** What a link shows. Only an open one has buttons. */
export const confirmPage = (ca: Ca, facts: LinkFacts): string => {
  if (facts.state !== 'open') {
    const { title, text } = explanations[facts.state]
    return page(ca, title, [text(facts), linkFacts(facts)])
  }
  return page(
    ca,
    `Is a certificate for ${facts.name} to be issued?`,
    [
      `Somebody has asked ${ca.name} for a certificate for this domain. Whoever holds it can run the XMPP service of the domain.`,
      linkFacts(facts),
      `Confirm only if you know who asked. If your ACME client or the web form shows the same account key, it was you. The link is good until ${showMoment(facts.expiresAt)}.`,
    ],
    [
      { action: 'confirm', label: `Confirm for ${facts.name}`, main: true },
      { action: 'deny', label: 'This was not me' },
    ],
  )
}

export const noLinkPage = (ca: Ca): string =>
  page(ca, 'There is no such link', [
    'Perhaps the mail program has cut it off: copy the whole address from the message. Links of requests that ended weeks ago are forgotten.',
  ])

export const unsubscribePage = (ca: Ca, address: string, notices: NoticesAt): string => {
  if (notices === 'none') {
    return page(
      ca,
      'You get no more notices',
      [`${address} is told nothing more about this account's certificates, not even that they expire.`],
      [
        { action: 'subscribe', label: 'Send notices again' },
        { action: 'unsubscribe-all', label: 'None from any account' },
      ],
    )
  }
  const few = notices === 'few'
  return page(
    ca,
    'Notices about certificates',
    [
      `${address} is told when certificates of this account are issued, expire or are revoked. Without the notices you will hear of none of that by mail.`,
      ...(few ? ['Only a few a day are sent until somebody at this address says that they are wanted: anybody could have named it as theirs.'] : []),
    ],
    [
      ...(few ? [{ action: 'subscribe', label: 'They are wanted' }] : []),
      { action: 'unsubscribe', label: 'No more for this account', main: true },
      { action: 'unsubscribe-all', label: 'None from any account' },
    ],
  )
}

/** Said of anything that is wrong with a request itself. */
export const problemPage = (ca: Ca, title: string, text: string): string => page(ca, title, [text])
