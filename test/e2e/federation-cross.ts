/**
 * Messages between users of both servers, each asserted where it arrives, and rooms joined across.
 *
 *   node --import tsx test/e2e/federation-cross.ts ROOT PAIR...     PAIR: <domain>=<domain>, or <domain>~<room domain>
 *
 * One line for each way: `crossed FROM TO`, or `failed FROM TO why`. Ends with 0 either way: what is expected is the caller's matter.
 */
import { readFileSync } from 'node:fs'
import { type Client, logIn } from './xmpp-client.js'

const [rootFile, ...pairs] = process.argv.slice(2) as [string, ...string[]]
const ca = readFileSync(rootFile, 'utf8')
const hosts: Record<string, string> = { p: '127.0.1.1', e: '127.0.1.2', q: '127.0.1.3' }

const clients = new Map<string, Promise<Client>>()
/** The user of a domain, logged in once. */
const userOf = (domain: string): Promise<Client> => {
  const host = hosts[domain.at(-'x.test'.length) as string] as string
  const client = clients.get(domain) ?? logIn({ host, port: 5222, domain, ca, mechanism: 'PLAIN', user: 'user', password: 'secret' })
  clients.set(domain, client)
  return client
}

const errorFor = (id: string): RegExp =>
  new RegExp(
    `<(?:message|presence)[^>]*id=['"]${id}['"][^>]*type=['"]error['"][\\s\\S]*?</(?:message|presence)>|<(?:message|presence)[^>]*type=['"]error['"][^>]*id=['"]${id}['"][\\s\\S]*?</(?:message|presence)>`,
  )

let count = 0
const message = async (from: string, to: string): Promise<void> => {
  const [sender, receiver] = [await userOf(from), await userOf(to)]
  const id = `m${++count}`
  const body = `${id} from ${from} to ${to}`
  const arrived = receiver.stream.until(
    { message: new RegExp(`<message[^>]*from=['"]user@${from}/test['"][^>]*>[\\s\\S]*?<body>${body}</body>`) },
    6000,
  )
  const bounced = sender.stream.until({ error: errorFor(id) }, 6000)
  sender.stream.send(`<message to='user@${to}' id='${id}' type='chat'><body>${body}</body></message>`)
  const why = await Promise.race([arrived.then(() => null), bounced.then(({ match }) => match[0].replace(/\s+/g, ' '))])
  // Whichever is still waiting gives up by itself; the process does not wait for it.
  for (const rest of [arrived, bounced]) rest.catch(() => undefined)
  if (why !== null) throw new Error(why)
}

const join = async (from: string, rooms: string): Promise<void> => {
  const user = await userOf(from)
  const room = `room-${process.pid}@${rooms}`
  const joined = user.stream.until({ joined: new RegExp(`<presence[^>]*from=['"]${room}/me['"][\\s\\S]*?code=['"]110['"]`), error: errorFor('join') })
  user.stream.send(`<presence to='${room}/me' id='join'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
  const { kind, match } = await joined
  if (kind !== 'joined') throw new Error(match[0])
}

const attempt = async (from: string, to: string, act: (from: string, to: string) => Promise<void>): Promise<void> => {
  try {
    await act(from, to)
    console.log(`crossed ${from} ${to}`)
  } catch (error) {
    console.log(`failed ${from} ${to} ${(error as Error).message}`)
  }
}

for (const pair of pairs) {
  const [from, to] = pair.split(/[=~]/) as [string, string]
  if (pair.includes('~')) await attempt(from, to, join)
  else {
    await attempt(from, to, message)
    await attempt(to, from, message)
  }
}
process.exit(0)
