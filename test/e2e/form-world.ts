/** The world around the form's test: a DNS server and a mail server of its own, the program's command line, its start and stop, and the checks. */
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { createClient } from '@libsql/client'
import { startDnsServer } from '../support/dns-server.js'
import { linkIn, type Received, startMailServer } from '../support/smtp-server.js'

export const [base = '', address = '', dnsPort = '', smtpPort = '', webroot = '', folder = '', home = ''] = process.argv.slice(2)
if (!home) throw new Error('usage: browser.ts URL ADDRESS DNS_PORT SMTP_PORT WEBROOT FOLDER HOME')
mkdirSync(folder, { recursive: true })

// --- names and mail -------------------------------------------------------------------------------------------------------------------------------------

export const dns = await startDnsServer(['test'], { port: Number(dnsPort) })
for (const zone of ['web.test', 'limited.test']) dns.set(zone, 'NS', 'ns.web.test')
// Asked by the live look at a record, on ICA_DNS_PORT.
dns.set('ns.web.test', 'A', '127.0.0.1')

export const mailServer = await startMailServer({}, Number(smtpPort))

const values = new Map<string, string[]>()
/** One more value of a TXT record. */
export const publish = (name: string, value: string): void => {
  const now = [...(values.get(name) ?? []), value]
  values.set(name, now)
  dns.set(name, 'TXT', ...now.map((one) => [one]))
}
export const unpublish = (name: string): void => {
  values.delete(name)
  dns.set(name, 'TXT')
}

/** A host that has an address, and so takes files and, without an MX, mail. */
export const addHost = (...names: string[]): void => {
  for (const name of names) dns.set(name, 'A', address)
}

export const confirmLink = (received: Received): string => linkIn(received, 'confirm')
export const unsubscribeLink = (received: Received): string => linkIn(received, 'unsubscribe')

/** What a scanner does with a message: asks for every address in it, by GET and by HEAD. The number of addresses. */
export const scan = async ({ mail }: Received): Promise<number> => {
  const links = new Set(`${mail.text} ${mail.html || ''}`.match(/https?:\/\/[^\s"'<>()]*[^\s"'<>().,:]/g))
  for (const link of links) {
    for (const method of ['HEAD', 'GET']) {
      const { ok, status } = await fetch(link, { method })
      if (!ok) throw new Error(`${method} ${link}: ${status}`)
    }
  }
  return links.size
}

export const closeWorld = async (): Promise<void> => void (await Promise.all([dns.close(), mailServer.close()]))

// --- the program ----------------------------------------------------------------------------------------------------------------------------------------

const program = new URL('../../src/bootstrap.mjs', import.meta.url).pathname

/** A command of the program, at the database of the one that runs. */
export const xmppIca = (...args: string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(process.execPath, [program, ...args], (error, out, said) => (error ? reject(new Error(`${args.join(' ')}: ${said}`)) : resolve(out)))
  })

const answers = (): Promise<boolean> =>
  fetch(`${base}/readyz`)
    .then(({ ok }) => ok)
    .catch(() => false)

const until = async (wanted: boolean): Promise<void> => {
  for (let tries = 0; tries < 300; tries++) {
    if ((await answers()) === wanted) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(wanted ? 'the program did not come back' : 'the program did not stop')
}

/** Whoever started this program started that one too, and reads our lines (`checks` of lib.sh). */
export const stopProgram = async (): Promise<void> => {
  console.log('call stop_form')
  await until(false)
}
export const startProgram = async (): Promise<void> => {
  console.log('call start_form')
  await until(true)
}

/** Makes an order one of long ago. */
export const expireOrder = async (url: string): Promise<void> => {
  const database = createClient({ url: `file:${path.join(home, 'ica.db')}` })
  const { rowsAffected } = await database.execute({
    sql: 'UPDATE "order" SET expires_at = ? WHERE id = ?',
    args: [Date.now() - 1000, url.split('/').at(-1) ?? ''],
  })
  database.close()
  if (rowsAffected !== 1) throw new Error(`${rowsAffected} orders have the address ${url}`)
}

export const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
export const namesOf = (file: string): string => openssl('x509', '-in', file, '-noout', '-ext', 'subjectAltName')

// --- checks ---------------------------------------------------------------------------------------------------------------------------------------------

let failures = 0
/** How many checks have failed. */
export const failed = (): number => failures

/** Runs a check; its text is what went wrong, several lines for several things. */
export const check = async (name: string, work: () => Promise<void>): Promise<void> => {
  const began = performance.now()
  const problem = await work().then(
    () => '',
    (error: Error) => error.message || String(error),
  )
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`.padStart(7)
  console.log(`${problem ? 'FAIL ' : 'ok   '} ${name.padEnd(64)} ${took}`)
  if (!problem) return
  failures++
  for (const line of problem.split('\n').slice(0, 12)) console.log(`      | ${line}`)
}
export const demand = (fine: boolean, problem: string): void => {
  if (!fine) throw new Error(problem)
}
