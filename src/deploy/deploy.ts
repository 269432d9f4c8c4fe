/** Bringing a new certificate to an XMPP server: judge, write, reload, look, and put the old one back if it is not served. */
import path from 'node:path'
import { OperatorError } from '../open.js'
import { type NewFile, ownershipOf, type Placed, placeFiles } from './files.js'
import { judgeMaterial, type Material } from './material.js'
import { run } from './run.js'
import { faultOf, type Looks, type Seen } from './served.js'
import type { FileContent, ServerKit } from './servers.js'

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
  /** Whether the certificate must be seen at every place that is looked at; else at those where something listens. */
  everywhere: boolean
  /** For how many milliseconds the server may go on serving the old one after its reload. */
  patienceMs: number
  force: boolean
}

/** `restored`: the old files are in place again, all of them; `lost` are those that could not be put back. */
export type Outcome =
  | { result: 'deployed' | 'unchanged'; files: string[]; seen: Seen[]; warnings: string[] }
  | { result: 'refused'; faults: string[]; warnings: string[] }
  | { result: 'failed'; reason: string; restored: boolean; lost: string[]; warnings: string[] }

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

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Looks for every domain until nothing is at fault, or patience ends. */
const lookUntil = async (
  { domains, look, patienceMs }: Plan,
  faultIn: (looks: Looks) => string | null,
): Promise<{ looks: Looks; fault: string | null }> => {
  if (!look) return { looks: [], fault: null }
  for (let waited = 0; ; waited += 500) {
    const looks = await Promise.all(domains.map(async (domain) => ({ domain, seen: await look(domain) })))
    const fault = faultIn(looks)
    if (fault === null || waited >= patienceMs) return { looks, fault }
    await pause(500)
  }
}

const waitUntilServed = (plan: Plan) => lookUntil(plan, (looks) => faultOf(looks, plan.material.leaf.sha256, plan.everywhere))

/** What is not as it was before, or null. The old certificate is not known here; that the new one is gone, is. */
const waitUntilGone = (plan: Plan) =>
  lookUntil(plan, (looks) => {
    const places = looks.flatMap(({ seen }) =>
      seen.flatMap((one) => ('sha256' in one && one.sha256 === plan.material.leaf.sha256 ? [one.place] : [])),
    )
    return places.length > 0 ? `the server goes on showing the new one at ${[...new Set(places)].join(' and ')}` : null
  })

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
  const { looks, fault } = reloaded === null ? await waitUntilServed(plan) : { looks: [], fault: reloaded }
  const seen = looks.flatMap((one) => one.seen)
  for (const one of seen) if ('problem' in one) warnings.push(`Nothing was seen at ${one.place}: ${one.problem}.`)
  if (fault === null) {
    warnings.push(...(await lookAtOthers(plan)))
    return { result: placed.changed ? 'deployed' : 'unchanged', files: names, seen, warnings }
  }
  // Without a command for it the server reads its files when it likes; what is right on disk stays there.
  if (!plan.reload) return { result: 'failed', reason: `${fault}. ${kit.restart ?? ''}`.trim(), restored: false, lost: [], warnings }
  if (!placed.changed) return { result: 'failed', reason: `${fault}; its files were the new ones already`, restored: false, lost: [], warnings }
  return { result: 'failed', ...(await putBack(plan, plan.reload, placed, fault)), warnings }
}

/** Puts the old files back, tells the server, and looks once more. */
const putBack = async (
  plan: Plan,
  reload: readonly string[],
  placed: Placed,
  fault: string,
): Promise<{ reason: string; restored: boolean; lost: string[] }> => {
  const lost = placed.restore()
  const again = (await run(reload)) ?? (await waitUntilGone(plan)).fault
  const reason = again === null ? fault : `${fault}; and after putting the old one back, ${again}`
  return { reason, restored: lost.length === 0, lost }
}

/** `prosody:prosody` → user and group. */
export const readOwner = (value: string): { owner: string; group: string } => {
  const match = /^([\w.-]{1,64}):([\w.-]{1,64})$/.exec(value)
  if (!match) throw new OperatorError(`"${value}" is no owner; it looks like root:prosody`)
  return { owner: match[1] as string, group: match[2] as string }
}
