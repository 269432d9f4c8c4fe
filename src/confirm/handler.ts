/**
 * `/confirm/<random>` and `/unsubscribe/<token>`: what the links in mails lead to. GET and HEAD change nothing, however often and by whomever they come; a POST
 * from the page's own form does.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { decideLink, linkOf } from '../issuance/confirm.js'
import type { Ica, Who } from '../issuance/ica.js'
import { noticesAt, type Subscriptions, subscribe, unsubscribe } from '../issuance/notices.js'
import { type Ca, confirmPage, noLinkPage, problemPage, style, stylePath, unsubscribePage } from './pages.js'

/** Of a form with one short field. */
const MAX_BODY = 4_096

export type ConfirmHandler = (
  req: IncomingMessage,
  res: ServerResponse,
  path: string,
  from: { address: string | undefined; requestId: string },
) => Promise<void> | null

type Deps = { ica: Ica; ca: Ca; subscriptions: () => Promise<Subscriptions> }

const send = (req: IncomingMessage, res: ServerResponse, status: number, body: string, type = 'text/html; charset=utf-8'): void => {
  res.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': type.startsWith('text/css') ? 'public, max-age=3600' : 'no-store',
    'X-Robots-Tag': 'noindex, nofollow',
  })
  res.end(req.method === 'HEAD' ? undefined : body)
}

/** The fields of a form; null where it is too long. A One-Click POST (RFC 8058) may be multipart: its only field is looked for as text. */
const readForm = async (req: IncomingMessage): Promise<URLSearchParams | null> => {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_BODY) return null
    chunks.push(chunk)
  }
  const text = Buffer.concat(chunks).toString('latin1')
  if (/^multipart\/form-data/i.test(req.headers['content-type'] ?? '')) {
    return new URLSearchParams(/name="?List-Unsubscribe"?\r\n\r\nOne-Click\r\n/i.test(text) ? 'List-Unsubscribe=One-Click' : '')
  }
  return new URLSearchParams(text)
}

/** Null for a path that is not below `/confirm/` or `/unsubscribe/`; otherwise it answers. */
export const createConfirmHandler = ({ ica, ca, subscriptions }: Deps): ConfirmHandler => {
  const back = (res: ServerResponse, path: string): void =>
    void res.writeHead(303, { Location: path, 'Content-Length': 0, 'Cache-Control': 'no-store' }).end()

  const confirm = async (req: IncomingMessage, res: ServerResponse, path: string, who: Who): Promise<void> => {
    const token = path.slice('/confirm/'.length)
    const facts = /^[A-Za-z0-9_-]{43}$/.test(token) ? await linkOf(ica, token) : null
    if (!facts) return send(req, res, 404, noLinkPage(ca))
    if (req.method !== 'POST') return send(req, res, 200, confirmPage(ca, facts))
    const action = (await readForm(req))?.get('action')
    if (action !== 'confirm' && action !== 'deny') {
      return send(req, res, 400, problemPage(ca, 'Press one of the two buttons', 'The form came without its answer. Go back and press a button.'))
    }
    await decideLink(ica, token, action === 'confirm' ? 'confirmed' : 'denied', who)
    back(res, path)
  }

  const notices = async (req: IncomingMessage, res: ServerResponse, path: string, who: Who): Promise<void> => {
    const subscription = (await subscriptions()).read(path.slice('/unsubscribe/'.length))
    if (!subscription) return send(req, res, 404, noLinkPage(ca))
    const { address } = subscription
    if (req.method !== 'POST') return send(req, res, 200, unsubscribePage(ca, address, await noticesAt(ica, subscription)))
    const fields = await readForm(req)
    const oneClick = fields?.get('List-Unsubscribe') === 'One-Click'
    const action = oneClick ? 'unsubscribe' : fields?.get('action')
    if (action === 'unsubscribe' || action === 'unsubscribe-all') await unsubscribe(ica, subscription, action === 'unsubscribe-all', who)
    else if (action === 'subscribe') await subscribe(ica, subscription, who)
    else return send(req, res, 400, problemPage(ca, 'Press one of the buttons', 'The form came without its answer. Go back and press a button.'))
    // RFC 8058 §3.1: a program that posts follows no redirect.
    if (oneClick) return send(req, res, 200, 'You get no more notices for this account.\n', 'text/plain; charset=utf-8')
    back(res, path)
  }

  return (req, res, path, from) => {
    const answer = path.startsWith('/confirm/') ? confirm : path.startsWith('/unsubscribe/') ? notices : null
    if (!answer) return null
    if (req.method !== 'GET' && req.method !== 'HEAD' && req.method !== 'POST') {
      res.writeHead(405, { Allow: 'GET, HEAD, POST', 'Content-Length': 0 }).end()
      return Promise.resolve()
    }
    if (path === stylePath) return Promise.resolve(send(req, res, 200, style, 'text/css; charset=utf-8'))
    return answer(req, res, path, { actor: 'anonymous', address: from.address, requestId: from.requestId })
  }
}

/** A path as it may be logged: what the links in mails know is between us and their readers. */
export const loggedPath = (path: string): string => path.replace(/^\/(confirm|unsubscribe)\/(?!page\.css$).*/s, '/$1/…')
