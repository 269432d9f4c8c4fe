/**
 * Every certificate before every judge: Prosody and ejabberd called by a peer with it, and calling one. What they say becomes the table of docs/compatibility.md.
 *
 *   FED=… PROSODY_VERSION=… EJABBERD_VERSION=… node --import tsx test/e2e/federation-matrix.ts ROOT FOLDER DOCUMENT
 *
 * Ends with 1 where the document says something else; with UPDATE=1 it is written instead.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { domainToASCII, domainToUnicode } from 'node:url'
import { type Caller, call, listen, type Pair, type Report } from './federation-peer.js'
import { observe } from './observed.js'
import { logIn } from './xmpp-client.js'

const [rootFile, folder, document] = process.argv.slice(2) as [string, string, string]
const { PROSODY_VERSION = '', EJABBERD_VERSION = '' } = process.env
const ca = readFileSync(rootFile, 'utf8')

/** What the certificate of `<domain>.x.test` is. */
const rows: { what: string; domain: string; from: 'ACME' | 'test' }[] = [
  { what: '`xmpp-server`: dNSName and SRVName', domain: 'server', from: 'ACME' },
  { what: '`xmpp-server`, P-384 key', domain: 'p384', from: 'ACME' },
  { what: '`xmpp-server`, RSA key', domain: 'rsa', from: 'ACME' },
  { what: '`xmpp-server`, IDN domain', domain: 'bücher', from: 'ACME' },
  { what: '`xmpp-server`, wildcard for one label', domain: 'a.wild', from: 'ACME' },
  { what: '`xmpp-server`, must-staple', domain: 'staple', from: 'ACME' },
  { what: '`xmpp-server-short`: no OCSP, no CRL', domain: 'short', from: 'ACME' },
  { what: '`xmpp-server-3920`: with XmppAddr', domain: 'legacy', from: 'ACME' },
  { what: '`xmpp-hosted`: SRVName `_xmpp-server` alone', domain: 'hosted', from: 'ACME' },
  { what: '`xmpp-hosted`: SRVName `_xmpp-client` alone', domain: 'client-only', from: 'ACME' },
  { what: 'revoked', domain: 'revoked', from: 'ACME' },
  { what: 'dNSName alone', domain: 'dns-only', from: 'test' },
  { what: 'dNSName in upper case', domain: 'upper-case', from: 'test' },
  { what: 'common name alone', domain: 'cn-only', from: 'test' },
  { what: 'XmppAddr alone', domain: 'xmppaddr-only', from: 'test' },
  { what: 'wildcard for two labels', domain: 'a.b.wild', from: 'test' },
  { what: 'serverAuth alone', domain: 'server-auth', from: 'test' },
  { what: 'clientAuth alone', domain: 'client-auth', from: 'test' },
  { what: 'no extended key usage', domain: 'no-purpose', from: 'test' },
  { what: 'expired', domain: 'expired', from: 'test' },
  { what: 'not yet valid', domain: 'future', from: 'test' },
  { what: 'of another domain', domain: 'wrong', from: 'test' },
  { what: 'below another root', domain: 'other-root', from: 'test' },
  { what: 'sent without the intermediate', domain: 'no-intermediate', from: 'test' },
]

const pairOf = (domain: string): Pair => {
  const read = (end: string) => readFileSync(path.join(folder, 'certs', `${domainToASCII(domain)}.${end}`), 'utf8')
  return { cert: read('pem'), key: read('key') }
}

type Judge = { id: 'prosody' | 'ejabberd' | 'prosodyWithCrls'; host: string; port: number; domain: string }
const judges: Judge[] = [
  { id: 'prosody', host: '127.0.1.1', port: 5266, domain: 'base.p.test' },
  { id: 'prosodyWithCrls', host: '127.0.1.3', port: 5268, domain: 'hosted.q.test' },
  { id: 'ejabberd', host: '127.0.1.2', port: 5267, domain: 'base.e.test' },
]

const xDomain = (domain: string): string => `${domain}.x.test`
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Who called us: by the judge's domain and the domain that it called. The last call counts. */
const callers = new Map<string, Caller>()
const keyOf = (judge: string, domain: string): string => `${judge} ${domainToASCII(domain)}`

/** Each judge is called in the name of every domain. */
const callAll = async (): Promise<Map<string, Report>> => {
  const reports = new Map<string, Report>()
  const tasks = judges.flatMap((judge) =>
    rows.map(({ domain }) => async () => {
      const from = xDomain(domain)
      const stanza = `<message from='user@${from}' to='user@${judge.domain}' type='headline'><body>called by ${from}</body></message>`
      reports.set(keyOf(judge.domain, from), await call(judge, from, pairOf(from), stanza))
    }),
  )
  const work = async (): Promise<void> => {
    for (let task = tasks.shift(); task; task = tasks.shift()) await task()
  }
  await Promise.all([1, 2, 3, 4].map(work))
  return reports
}

/** A user of each judge writes to every domain, so that the judge calls it. The messages of `callAll` are seen there too. */
const beCalledByAll = async (): Promise<Map<string, string>> => {
  const received = new Map<string, string>()
  await Promise.all(
    judges.map(async ({ host, domain }) => {
      const { stream } = await logIn({ host, port: 5222, domain, ca, mechanism: 'PLAIN', user: 'user', password: 'secret' })
      const collect = async (): Promise<never> => {
        for (;;) {
          const { match } = await stream.until({ message: /<body>called by ([^<]*)<\/body>/ }, 60_000)
          received.set(keyOf(domain, match[1] as string), 'received')
        }
      }
      collect().catch(() => undefined)
      for (const row of rows) stream.send(`<message to='user@${xDomain(row.domain)}' type='chat'><body>hello</body></message>`)
    }),
  )
  return received
}

const logs = { prosody: 'prosody-p/prosody.log', prosodyWithCrls: 'prosody-q/prosody.log', ejabberd: 'ejabberd/ejabberd.log' }
const logOf = ({ id }: Judge): string => readFileSync(path.join(folder, logs[id]), 'utf8')

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** ejabberd says on the stream that a check failed, not why; its log does. Its crash says nothing at all. */
const reasonOf = (judge: Judge, domain: string, report: Report): string => {
  if (judge.id !== 'ejabberd') return report.detail.replace(/^not-authorized: /, '')
  const log = logOf(judge)
  const name = escaped(domain)
  if (new RegExp(`<<"${escaped(domainToUnicode(domain))}">>,\\s*\\[\\]`).test(log)) return 'crash'
  const [, inbound] = new RegExp(`Failed inbound s2s EXTERNAL authentication ${name} -> [^:]*: (.*)`).exec(log) ?? []
  const [, outbound] = new RegExp(`-> ${name}[^:]*: Peer certificate rejected: ([^;\\n]*)`).exec(log) ?? []
  return inbound ?? outbound ?? report.detail
}

const reasons: [RegExp, string][] = [
  [/^crash$/, '**crash**'],
  [/has expired/, 'expired'],
  [/not yet valid/, 'not yet valid'],
  [/not valid for this name|host name mismatch/, 'name'],
  [/purpose/, 'purpose'],
  [/unable to get local issuer|unable to verify the first/, 'chain'],
  [/not trusted/, 'not trusted'],
  [/revoked/, 'revoked'],
]

const unexplained: string[] = []
const cell = (judge: Judge, domain: string, report: Report | undefined): string => {
  if (report?.accepted) return 'yes'
  const reason = report ? reasonOf(judge, domain, report) : 'nobody called'
  const short = reasons.find(([pattern]) => pattern.test(reason))?.[1]
  if (short === undefined) unexplained.push(`${judge.id} ${domain}: ${reason} (${JSON.stringify(report)})`)
  return short === '**crash**' ? short : `no: ${short ?? 'unexplained'}`
}

const server = await listen('127.0.1.4', 5271, pairOf, (caller) => callers.set(keyOf(caller.from, caller.to), caller))
const received = await beCalledByAll()
const reports = await callAll()
/** Everybody has called, and what got through has arrived. */
const complete = (): boolean => {
  const keys = judges.flatMap((judge) => rows.map(({ domain }) => keyOf(judge.domain, xDomain(domain))))
  return keys.every((key) => callers.has(key) && (!reports.get(key)?.accepted || received.has(key)))
}
for (let tries = 0; tries < 150 && !complete(); tries++) await wait(100)
server.close()

const lines = rows.map(({ what, domain, from }) => {
  const x = xDomain(domain)
  const cells = judges.flatMap((judge) => {
    const key = keyOf(judge.domain, x)
    const report = reports.get(key)
    // Accepted means that the stanza got through, not that somebody said so.
    const inbound = report && { ...report, accepted: report.accepted && received.has(key) }
    return [cell(judge, x, inbound), cell(judge, x, callers.get(key))]
  })
  return `| ${what} | ${from === 'ACME' ? 'the CA, by ACME' : 'made for the test'} | ${cells.join(' | ')} |`
})

const head = (judge: Judge): string => (judge.id === 'ejabberd' ? 'ejabberd' : judge.id === 'prosody' ? 'Prosody' : 'Prosody with CRL files')
const table = [
  `Prosody ${PROSODY_VERSION}, ejabberd ${EJABBERD_VERSION} (Debian).`,
  '',
  `| certificate of the peer | from | ${judges.flatMap((judge) => [`${head(judge)}, called`, `${head(judge)}, calling`]).join(' | ')} |`,
  `| --- | --- |${' --- |'.repeat(judges.length * 2)}`,
  ...lines,
].join('\n')
console.log(table)
if (unexplained.length > 0) console.error(`no known reason for:\n${unexplained.join('\n')}`)

// The peer comes after the renewal in place: what it is shown is the new certificate, also where the server is the one that calls.
for (const judge of judges.filter(({ id }) => id !== 'prosodyWithCrls')) {
  const wanted = process.env[`SERIAL_${judge.id}`]
  const shown = [reports.get(keyOf(judge.domain, 'server.x.test'))?.shown, callers.get(keyOf(judge.domain, 'server.x.test'))?.shown]
  if (wanted !== undefined && shown.some((serial) => serial !== wanted)) {
    console.error(`${judge.id} shows ${shown.join(' when called, and when calling ')}; the renewed certificate is ${wanted}`)
    process.exitCode = 1
  }
}

if (!observe(document, 'federation', table)) process.exitCode = 1
if (unexplained.length > 0) process.exitCode = 1
process.exit()
