/**
 * Where the time of a CPU profile went: functions by self time, then files and packages, then our own functions with all that they call.
 *
 *   node --import tsx bench/profile.ts FILE.cpuprofile [rows]
 *
 * A profile of the server under load: `npm run bench:issue -- --profile`, or by hand
 *   node --cpu-prof --cpu-prof-dir=data/profile src/bootstrap.mjs serve     (written when the server ends by SIGTERM)
 */
import { readFileSync } from 'node:fs'

type CallFrame = { functionName: string; url: string; lineNumber: number }
type Profile = { nodes: { id: number; callFrame: CallFrame; children?: number[] }[]; samples: number[]; timeDeltas: number[] }

const [file, rows = '40'] = process.argv.slice(2)
if (!file) throw new Error('usage: profile.ts FILE.cpuprofile [rows]')
const profile = JSON.parse(readFileSync(file, 'utf8')) as Profile

/** A path short enough to read: the package for a dependency, the place below src or dist for our own. */
const place = (url: string): string => {
  const dependency = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(url)
  if (dependency) return `${dependency[1]}: ${dependency[2]?.split('/').pop()}`
  return /\/((?:dist|src|bench)\/.*)$/.exec(url)?.[1] ?? url
}
const group = (frame: CallFrame): string => {
  if (frame.url === '') return frame.functionName.startsWith('(') ? frame.functionName : '(native)'
  const at = place(frame.url)
  return at.includes(': ') ? at.slice(0, at.indexOf(': ')) : at.startsWith('node:') ? `node: ${at.slice(5).split('/')[0]}` : at
}

const byId = new Map(profile.nodes.map((node) => [node.id, node.callFrame]))
const functions = new Map<string, number>()
const groups = new Map<string, number>()
const totals = new Map<string, number>()
const parents = new Map(profile.nodes.flatMap(({ id, children = [] }) => children.map((child): [number, number] => [child, id])))
const nameOf = (frame: CallFrame): string =>
  `${frame.functionName || '(anonymous)'}  ${frame.url === '' ? '' : `${place(frame.url)}:${frame.lineNumber + 1}`}`
let busy = 0
let idle = 0
profile.samples.forEach((id, i) => {
  const frame = byId.get(id) as CallFrame
  const ms = (profile.timeDeltas[i] as number) / 1000
  if (frame.functionName === '(idle)') {
    idle += ms
    return
  }
  busy += ms
  const name = nameOf(frame)
  functions.set(name, (functions.get(name) ?? 0) + ms)
  const seen = new Set<string>()
  for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) seen.add(nameOf(byId.get(at) as CallFrame))
  for (const each of seen) totals.set(each, (totals.get(each) ?? 0) + ms)
  groups.set(group(frame), (groups.get(group(frame)) ?? 0) + ms)
})

const table = (title: string, entries: Map<string, number>, count: number) => {
  console.log(`\n${title}`)
  const sorted = [...entries].sort((a, b) => b[1] - a[1]).slice(0, count)
  for (const [name, ms] of sorted) console.log(`${ms.toFixed(0).padStart(8)} ms ${((100 * ms) / busy).toFixed(1).padStart(5)} %  ${name}`)
}
console.log(`main thread: ${(busy / 1000).toFixed(2)} s busy, ${(idle / 1000).toFixed(2)} s idle`)
table('By self time', functions, Number(rows))
table('By file or package', groups, Number(rows))
const own = [...totals].filter(([name]) => / {2}(dist|src|bench)\//.test(name))
table('Own functions, with what they call', new Map(own), 2 * Number(rows))
