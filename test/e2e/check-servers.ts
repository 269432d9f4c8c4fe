/**
 * `xmpp-ica check` at every set-up: what it says against it, and how it ends.
 *
 *   node --import tsx test/e2e/check-servers.ts FOLDER ROOT DNS MANAGEMENT
 *
 * Prints a line `ok` or `FAIL` for each; the exit status is 1 where something failed. FOLDER/reports gets the reports.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Report } from '../../src/check/report.js'
import { domainOf, type Setup, setups } from './check-setups.js'

const [folder = '', root = '', dns = '', management = ''] = process.argv.slice(2)
const certs = path.join(folder, 'certs')
mkdirSync(path.join(folder, 'reports'), { recursive: true })
const program = new URL('../../src/bootstrap.mjs', import.meta.url).pathname

/** Without the variables of the CA: it needs nothing of one. */
const { ICA_KEYS: _, DATABASE_URL: __, NODE_EXTRA_CA_CERTS: ___, ...env } = process.env

const run = (args: string[]): Promise<{ code: number; out: string; said: string }> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...args], { cwd: certs, env, maxBuffer: 8 * 1024 * 1024 }, (_error, out, said) =>
      resolve({ code: child.exitCode ?? -1, out, said }),
    )
  })

const set = async (name: string, type: string, data: object[]): Promise<void> => {
  const reply = await fetch(`${management}/set`, { method: 'POST', body: JSON.stringify({ name, type, data }) })
  if (!reply.ok) throw new Error(`${name}: ${reply.status}`)
}

/** As an administrator would: what `records` prints goes into the zone and to the web server. */
const publish = async (setup: Setup): Promise<void> => {
  const { tlsa, posh } = setup.publish ?? {}
  const domain = domainOf(setup)
  if (tlsa) {
    const targets = [5222, 5269].flatMap((port) => ['--target', `xmpp.${domain}:${port}`])
    const { out } = await run(['records', '--chain', `${tlsa}.pem`, '--domain', domain, '--tlsa', ...targets])
    const byName = new Map<string, object[]>()
    for (const [, name = '', usage, selector, matchingType, certificate] of out.matchAll(/^(\S+)\. IN TLSA (\d) (\d) (\d) ([0-9a-f]+)$/gm)) {
      const record = { usage: Number(usage), selector: Number(selector), matchingType: Number(matchingType), certificate }
      byName.set(name, [...(byName.get(name) ?? []), record])
    }
    if (byName.size !== 2) throw new Error(`records printed: ${out}`)
    for (const [name, records] of byName) await set(name, 'TLSA', records)
  }
  if (!posh) return
  const { out } = await run(['records', '--chain', `${posh}.pem`, '--domain', domain, '--posh'])
  for (const name of ['xmpp-server.json', 'xmpp-client.json']) writeFileSync(path.join(folder, 'web', domain, '.well-known/posh', name), out)
}

const problemsOf = (setup: Setup, code: number, out: string, said: string): string[] => {
  if (!out.startsWith('{')) return [`it ends with ${code}: ${said.slice(0, 400)}`]
  const { findings } = JSON.parse(out) as Report
  const against = findings.filter(({ level }) => level === 'failing' || level === 'warning')
  const ids = against.map(({ id }) => id as string).sort()
  const lacking = (setup.also ?? []).filter((id) => !findings.some((one) => one.id === id))
  const problems = [
    ...(ids.join() === [...setup.expect].sort().join()
      ? []
      : [`expected ${setup.expect.join(', ') || 'nothing'}; it says ${ids.join(', ') || 'nothing'}`]),
    ...(lacking.length === 0 ? [] : [`it does not say ${lacking.join(', ')}`]),
    ...(code === setup.exit ? [] : [`the exit code is ${code}, not ${setup.exit}`]),
  ]
  if (problems.length === 0) return []
  return [...problems, ...findings.map(({ level, id, where, detail }) => `  ${level} ${id} @ ${where}: ${detail}`)]
}

let failed = 0
const test = async (setup: Setup): Promise<void> => {
  const began = performance.now()
  await publish(setup)
  const domain = domainOf(setup)
  const { code, out, said } = await run(['check', domain, '--json', '--root', root, '--dns', dns, ...(setup.args ?? [])])
  writeFileSync(path.join(folder, 'reports', `${setup.what.replace(/[^\w]+/g, '-')}.json`), out)
  const problems = problemsOf(setup, code, out, said)
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`.padStart(7)
  console.log(`${problems.length > 0 ? 'FAIL ' : 'ok   '} ${`check: ${setup.what}`.padEnd(64)} ${took}`)
  for (const problem of problems) console.log(`      | ${problem}`)
  if (problems.length > 0) failed++
}

const { CHECK_ONLY } = process.env
const queue = setups.filter(({ name }) => CHECK_ONLY === undefined || new RegExp(CHECK_ONLY).test(name))
const work = async (): Promise<void> => {
  for (let setup = queue.shift(); setup; setup = queue.shift()) await test(setup)
}
await Promise.all([1, 2, 3].map(work))
process.exitCode = failed > 0 ? 1 : 0
