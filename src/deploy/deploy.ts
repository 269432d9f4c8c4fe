/** Bringing a new certificate to an XMPP server: judge, write, reload, look, and put the old one back if it is not served. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { OperatorError } from '../open.js'
import { type NewFile, ownershipOf, placeFiles } from './files.js'
import { judgeMaterial, type Material } from './material.js'
import type { FileContent, ServerKit } from './servers.js'

/** One look at what is served: the SHA-256 of the leaf, as {@link Material}'s `leaf.sha256` has it, or why none was seen. */
export type Seen = { place: string; sha256: string } | { place: string; problem: string }

export type Plan = {
  kit: ServerKit
  material: Material
  /** A-labels; the files are written, and the certificate is looked for, for each. */
  domains: readonly string[]
  /** DER; see {@link judgeMaterial}. */
  roots: readonly Uint8Array[]
  folder: string
  owner: string
  group: string
  /** Null: nothing is run. */
  reload: readonly string[] | null
  /** Looks at every place where the server should serve it for a domain; null: nobody looks. */
  look: ((domain: string) => Promise<Seen[]>) | null
  /** For how many milliseconds the server may go on serving the old one after its reload. */
  patienceMs: number
  force: boolean
}

/** `restored`: the old certificate is in place again; null where nothing had to be put back. */
export type Outcome =
  | { result: 'deployed' | 'unchanged'; files: string[]; seen: Seen[]; warnings: string[] }
  | { result: 'refused'; faults: string[]; warnings: string[] }
  | { result: 'failed'; reason: string; restored: boolean; warnings: string[] }

const contentOf = ({ chainText, keyText }: Material, content: FileContent): string =>
  ({ key: keyText, chain: chainText, 'chain and key': chainText + keyText })[content]

/** Each once: some servers have the same files for whatever domain. */
const filesOf = ({ kit, material, domains, folder }: Plan): NewFile[] => {
  const wanted = new Map(domains.flatMap(kit.files).map(({ name, content }) => [name, content]))
  return [...wanted].map(([name, content]) => ({
    file: path.join(folder, name),
    content: contentOf(material, content),
    secret: content !== 'chain',
  }))
}

const reloadTimeoutMs = 60_000

/** Runs a command without a shell; resolves with what went wrong, or null. */
export const run = ([command, ...args]: readonly string[]): Promise<string | null> =>
  new Promise((resolve) => {
    let child: ChildProcessByStdio<null, Readable, Readable>
    try {
      child = spawn(command as string, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: reloadTimeoutMs })
    } catch (error) {
      return resolve(`"${command}" could not be run: ${(error as Error).message}`)
    }
    let said = ''
    const hear = (chunk: Buffer): void => {
      if (said.length < 2000) said += chunk.toString('utf8')
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', (error) => resolve(`"${command}" could not be run: ${error.message}`))
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(null)
      resolve(`"${[command, ...args].join(' ')}" ended with ${signal ?? code}${said.trim() ? `: ${said.trim().slice(0, 500)}` : ''}`)
    })
  })

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

type Looks = { domain: string; seen: Seen[] }[]

/** What keeps what was seen from being all well, or null. */
const faultOf = (looks: Looks, sha256: string): string | null => {
  const of = (domain: string): string => (looks.length > 1 ? ` for ${domain}` : '')
  for (const { domain, seen } of looks) {
    const others = seen.flatMap((one) => ('sha256' in one && one.sha256 !== sha256 ? [one.place] : []))
    if (others.length > 0) return `the server still shows another certificate at ${others.join(' and ')}${of(domain)}`
    if (!seen.some((one) => 'sha256' in one))
      return `the server shows no certificate${of(domain)}: ${seen.map((one) => `${one.place}: ${'problem' in one ? one.problem : ''}`).join('; ')}`
  }
  return null
}

/** Looks until everything that answers serves `sha256` for every domain, or patience ends. */
const waitUntilServed = async ({ domains, look, material, patienceMs }: Plan): Promise<{ seen: Seen[]; fault: string | null }> => {
  if (!look) return { seen: [], fault: null }
  for (let waited = 0; ; waited += 500) {
    const looks = await Promise.all(domains.map(async (domain) => ({ domain, seen: await look(domain) })))
    const fault = faultOf(looks, material.leaf.sha256)
    if (fault === null || waited >= patienceMs) return { seen: looks.flatMap(({ seen }) => seen), fault }
    await pause(500)
  }
}

/** More names than this of one certificate are not looked at. */
const maxOthers = 20

/** Of the other names in the certificate: those for which the server shows another one. Whether it is to have this one is not known, so it is only said. */
const lookAtOthers = async ({ domains, look, material: { leaf } }: Plan): Promise<string[]> => {
  const named = leaf.names.flatMap(({ form, value }) => (form === 'dNSName' && !value.startsWith('*.') && !domains.includes(value) ? [value] : []))
  if (!look) return []
  const looks = await Promise.all(named.slice(0, maxOthers).map(async (domain) => ({ domain, seen: await look(domain) })))
  return looks.flatMap(({ domain, seen }) => {
    const other = seen.find((one) => 'sha256' in one && one.sha256 !== leaf.sha256)
    if (!other) return []
    return [
      `The certificate names ${domain} too, for which ${other.place} shows another one. To give it to both: ${[...domains, domain].map((one) => `--domain ${one}`).join(' ')}.`,
    ]
  })
}

/** The judgement for every domain; where there are several, each is said with its domain. */
const judgeAll = ({ material, domains, roots }: Plan, now: number): { faults: string[]; warnings: string[] } => {
  const verdicts = domains.map((domain) => ({ domain, ...judgeMaterial(material, domain, roots, now) }))
  const all = (of: 'faults' | 'warnings') =>
    verdicts.flatMap((verdict) => verdict[of].map((text) => (domains.length > 1 ? `For ${verdict.domain}: ${text}` : text)))
  return { faults: all('faults'), warnings: all('warnings') }
}

/**
 * Deploys. Whatever happens, the server is left with a certificate that it had, or with the new one.
 * @throws OperatorError where files cannot be written (nothing is changed then)
 */
export const deploy = async (plan: Plan, now: number): Promise<Outcome> => {
  const { kit } = plan
  const { faults, warnings } = judgeAll(plan, now)
  if (faults.length > 0 && !plan.force) return { result: 'refused', faults, warnings }
  warnings.unshift(...faults)
  const files = filesOf(plan)
  const names = files.map(({ file }) => file)
  const placed = placeFiles(files, ownershipOf(plan.owner, plan.group))
  const reloaded = plan.reload ? await run(plan.reload) : null
  const served = reloaded === null ? await waitUntilServed(plan) : { seen: [], fault: reloaded }
  for (const one of served.seen) if ('problem' in one) warnings.push(`Nothing was seen at ${one.place}: ${one.problem}.`)
  if (served.fault === null) warnings.push(...(await lookAtOthers(plan)))
  if (served.fault === null) return { result: placed.changed ? 'deployed' : 'unchanged', files: names, seen: served.seen, warnings }
  // Without a command for it the server reads its files when it likes; what is right on disk stays there.
  if (!plan.reload && reloaded === null)
    return { result: 'failed', reason: `${served.fault}. ${kit.restart ?? ''}`.trim(), restored: false, warnings }
  if (!placed.changed) return { result: 'failed', reason: `${served.fault}; its files were the new ones already`, restored: false, warnings }
  placed.restore()
  const again = plan.reload ? await run(plan.reload) : null
  return {
    result: 'failed',
    reason: again === null ? served.fault : `${served.fault}; and after putting the old one back, ${again}`,
    restored: true,
    warnings,
  }
}

/** `prosody:prosody` → user and group. */
export const readOwner = (value: string): { owner: string; group: string } => {
  const match = /^([\w.-]{1,64}):([\w.-]{1,64})$/.exec(value)
  if (!match) throw new OperatorError(`"${value}" is no owner; it looks like root:prosody`)
  return { owner: match[1] as string, group: match[2] as string }
}
