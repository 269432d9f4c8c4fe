/**
 * Logins by SASL EXTERNAL (XEP-0178) with every kind of certificate at both servers. What they say becomes the second table of docs/compatibility.md.
 *
 *   PROSODY_VERSION=… EJABBERD_VERSION=… node --import tsx test/e2e/login-matrix.ts ROOT FOLDER DOCUMENT
 *
 * Ends with 1 where the document says something else; with UPDATE=1 it is written instead.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Pair } from './federation-peer.js'
import { observe } from './observed.js'
import { logIn } from './xmpp-client.js'

const [rootFile, folder, document] = process.argv.slice(2) as [string, string, string]
const { PROSODY_VERSION = '', EJABBERD_VERSION = '' } = process.env
const ca = readFileSync(rootFile, 'utf8')

type Server = { host: string; port: number; domain: string }
const servers: Server[] = [
  { host: '127.0.1.1', port: 5222, domain: 'login.p.test' },
  { host: '127.0.1.3', port: 5222, domain: 'login.p.test' },
  { host: '127.0.1.2', port: 5223, domain: 'login.e.test' },
  { host: '127.0.1.2', port: 5225, domain: 'login.e.test' },
]
/** The trap: the same ejabberd, with the root of the servers in the place of the users'. */
const trap: Server = { host: '127.0.1.2', port: 5224, domain: 'login.e.test' }

/** `file` and `authzid` with the domain of the server; `expected`: what every server must do, or null for what is only observed. */
type Case = { what: string; file: (domain: string) => string | null; authzid: (domain: string) => string; expected: boolean | null }

const own = (domain: string): string => `juliet@${domain}`
const cases: Case[] = [
  { what: 'the user’s own, the JID named', file: own, authzid: own, expected: true },
  { what: 'the user’s own, no JID named', file: own, authzid: () => '', expected: true },
  { what: 'the user’s own, from a CSR', file: (domain) => `csr-${domain}`, authzid: (domain) => `romeo@${domain}`, expected: true },
  { what: 'the user’s own, a user of an IDN domain', file: (domain) => own(idn(domain)), authzid: (domain) => own(idn(domain)), expected: true },
  { what: 'that of another user', file: own, authzid: (domain) => `romeo@${domain}`, expected: false },
  { what: 'that of a user of another domain', file: () => 'juliet@elsewhere.test', authzid: own, expected: false },
  { what: 'that of a user, revoked', file: (domain) => `nurse@${domain}`, authzid: (domain) => `nurse@${domain}`, expected: null },
  { what: 'that of a user, expired', file: (domain) => `expired-${domain}`, authzid: own, expected: false },
  { what: 'with the same JID below another user root', file: (domain) => `stranger-${domain}`, authzid: own, expected: false },
  { what: 'that of the server itself (`xmpp-server`)', file: (domain) => domain, authzid: own, expected: false },
  { what: 'that of a server with XmppAddr (`xmpp-server-3920`)', file: (domain) => `server-${domain}`, authzid: own, expected: false },
  { what: 'none', file: () => null, authzid: own, expected: false },
]
const idn = (domain: string): string => domain.replace('login', 'bücher')

const pairOf = (file: string | null): Pair | null => {
  if (file === null) return null
  const read = (end: string) => readFileSync(path.join(folder, 'certs', `${file}.${end}`), 'utf8')
  return { cert: read('pem'), key: read('key') }
}

/** The full JID of a login, or why there is none. */
const attempt = async (server: Server, { file, authzid }: Case): Promise<{ jid: string | null; why: string }> => {
  const [name, wanted] = [authzid(server.domain), authzid(server.domain) || own(server.domain)]
  const domain = wanted.slice(wanted.indexOf('@') + 1)
  try {
    const { jid, stream } = await logIn({ ...server, domain, ca, mechanism: 'EXTERNAL', authzid: name, pair: pairOf(file(server.domain)) })
    stream.close()
    if (!jid.startsWith(`${wanted}/`)) throw new Error(`logged in as ${jid}`)
    return { jid, why: '' }
  } catch (error) {
    return { jid: null, why: (error as Error).message }
  }
}

let wrong = 0
const lines = await Promise.all(
  cases.map(async (one) => {
    const results = await Promise.all(servers.map((server) => attempt(server, one)))
    for (const [index, { jid, why }] of results.entries()) {
      const { host, port } = servers[index] as Server
      console.error(`${host}:${port}: ${one.what}: ${jid ?? `refused: ${why}`}`)
      if (one.expected !== null && (jid !== null) !== one.expected) wrong++
    }
    return `| ${one.what} | ${results.map(({ jid }) => (jid === null ? 'refused' : 'logged in')).join(' | ')} |`
  }),
)
const trapped = await attempt(trap, { what: '', file: (domain) => domain, authzid: own, expected: null })
console.error(`the trap: ${trapped.jid ?? `refused: ${trapped.why}`}`)

/** Passwords beside certificates: ejabberd goes on taking them on the same port, a Prosody host with mod_auth_ccert does not. */
const byPassword = async (server: Server): Promise<boolean> => {
  try {
    const { stream } = await logIn({ ...server, ca, mechanism: 'PLAIN', user: 'user', password: 'secret' })
    stream.close()
    return true
  } catch {
    return false
  }
}
const passwords = await Promise.all([servers[0], servers[2]].map((server) => byPassword(server as Server)))
if (passwords.join() !== 'false,true') {
  console.error(`passwords: ${passwords.join()}; docs/users.md says that Prosody takes none and ejabberd does`)
  wrong++
}

const table = [
  `Prosody ${PROSODY_VERSION} with mod_auth_ccert, ejabberd ${EJABBERD_VERSION} (Debian). Both trust the user root for clients.`,
  '',
  '| certificate | Prosody | Prosody with CRL files | ejabberd | ejabberd with an ACL that denies the revoked user |',
  '| --- | --- | --- | --- | --- |',
  ...lines,
  '',
  `The same ejabberd with the root of the servers in its c2s \`cafile\`, and the certificate of a server (\`xmpp-server\`): **${trapped.jid === null ? 'refused' : 'logged in as whatever user it names'}**.`,
].join('\n')
console.log(table)
if (wrong > 0) console.error(`${wrong} logins went otherwise than they must`)
if (!observe(document, 'login', table) || wrong > 0) process.exitCode = 1
process.exit()
