/** What Linux tells of running processes. */
import { readdirSync, readFileSync } from 'node:fs'

/** Ticks of /proc/PID/stat per second; 100 on every Linux that Node runs on (sysconf _SC_CLK_TCK). */
const ticksPerSecond = 100

/** The fields of /proc/PID/stat from the third on; the second, the name, may hold blanks. */
const stat = (pid: number): string[] | null => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

/** The process and all that descend from it: a server may sit below npm and a shell. */
export const processTree = (root: number): number[] => {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    const fields = stat(pid)
    if (fields) parents.set(pid, Number(fields[1]))
  }
  const tree = [root]
  for (let i = 0; i < tree.length; i++) for (const [pid, parent] of parents) if (parent === tree[i]) tree.push(pid)
  return tree
}

/** CPU milliseconds, user and system, that a process and its descendants have used. 10 ms is the resolution. */
export const cpuMs = (pid: number): number => {
  let ticks = 0
  for (const each of processTree(pid)) {
    const fields = stat(each)
    if (fields) ticks += Number(fields[11]) + Number(fields[12])
  }
  return (ticks * 1000) / ticksPerSecond
}

/** Resident memory in MiB of the process and its descendants. */
export const memoryMiB = (pid: number): number => {
  let pages = 0
  for (const each of processTree(pid)) pages += Number(stat(each)?.[21] ?? 0)
  return (pages * 4096) / 2 ** 20
}
