/** What was asked of the status side's speed, beside what was measured. */

export type Figures = { perSecond: number; p99: number; cpuUs: number; errors: number; wrk: number }

/** Medians of one kind of request with so many connections, by the name of the server. */
export type Measured = { kind: string; connections: number; of(server: string, figure: keyof Figures): number }

export type Goal = { goal: string; wanted: string; measured: number; reached: 'yes' | 'NO' }

export const names = {
  ours: 'xmpp-ica',
  openssl: 'openssl ocsp',
  cfssl: 'cfssl ocspserve',
  bare: 'node:http, fixed',
  /** A file; to a POST it gives the file by way of an internal redirect, because its files are for GET alone. */
  file: 'nginx, file',
  /** The same octets from its configuration, to any method. */
  memory: 'nginx, memory',
}

/** The machine's limit: the file, as it is meant; for POST, where the redirect would flatter us, the octets in memory. */
export const limitOf = (kind: string): string => (kind === 'GET' ? names.file : names.memory)

/**
 * The goals that these measurements are about. One that misses a server that is not here is left out.
 * @param bigger the name of ours with the larger database; null without one
 */
export const goalsOf = (all: readonly Measured[], bigger: string | null): Goal[] => {
  const goals: Goal[] = []
  const row = (goal: string, sign: '≥' | '<', bound: number, measured: number): void => {
    if (Number.isNaN(measured)) return
    const isReached = sign === '<' ? measured < bound : measured >= bound
    goals.push({ goal, wanted: `${sign} ${bound}`, measured: Number(measured.toFixed(2)), reached: isReached ? 'yes' : 'NO' })
  }
  for (const { kind, connections, of } of all) {
    const what = `${kind}, ${connections}: `
    const ratio = (a: string, b: string, figure: keyof Figures = 'perSecond'): number => of(a, figure) / of(b, figure)
    if (kind === 'GET' || kind === 'POST') {
      row(`${what}× ${limitOf(kind)}`, '≥', 0.75, ratio(names.ours, limitOf(kind)))
      row(`${what}× ${names.bare}`, '≥', 0.9, ratio(names.ours, names.bare))
      if (connections === 64) row(`${what}p99 × ${names.bare}`, '<', 3, ratio(names.ours, names.bare, 'p99'))
    }
    if (kind === 'first') {
      // With one connection at a time there is nothing to sign meanwhile.
      if (connections === 64) row(`${what}answers/s`, '≥', 20_000, of(names.ours, 'perSecond'))
      row(`${what}× ${names.openssl}`, '≥', 1, ratio(names.ours, names.openssl))
    }
    if (bigger !== null) row(`${what}${bigger} × ${names.ours}`, '≥', 0.9, ratio(bigger, names.ours))
  }
  return goals
}
