/** What anybody may look up: certificates by their domain or fingerprint, and totals. Made to stay quick however many certificates there are. */
import type { Certificate, CertificateName } from '../model.js'
import { type CertificateRow, selectCertificate, toCertificates } from './rows.js'
import { insert, type Runner, row, rows, type Steps } from './sql.js'

const day = 86_400_000

/** Where a page of certificates begins: behind this one. */
export type CertificateCursor = { createdAt: number; serial: string }

/** Totals of subscribers' certificates at one moment. `expired` and `valid` leave out those that were revoked. */
export type Totals = {
  issued: number
  valid: number
  revoked: number
  expired: number
  accounts: number
  /** Different domains that certificates name, each counted once. */
  domains: number
  /** By the number of the UTC day since 1970-01-01; days without anything are left out. */
  perDay: Map<number, { issued: number; revoked: number }>
}

/** The domains of names and those above them down to two labels, each with whether a name has it itself. XmppAddr stands beside a dNSName, or names a person. */
const domainsOf = (names: readonly CertificateName[]): Map<string, boolean> => {
  const found = new Map<string, boolean>()
  for (const { form, value } of names) {
    if (form === 'XmppAddr') continue
    const base = form === 'SRVName' || value.startsWith('*.') ? value.slice(value.indexOf('.') + 1) : value
    for (let domain = base; domain.includes('.'); domain = domain.slice(domain.indexOf('.') + 1)) {
      found.set(domain, domain === base || (found.get(domain) ?? false))
    }
  }
  return found
}

/** Makes a certificate findable by its domains. Within the transaction that reserves it. */
export function* putDomains(certificate: { serial: string; createdAt: number; names: readonly CertificateName[] }): Steps<void> {
  yield* insert(
    'certificate_domain',
    ['domain', 'created_at', 'serial', 'named'],
    [...domainsOf(certificate.names)].map(([domain, named]) => [domain, certificate.createdAt, certificate.serial, named]),
  )
}

/** Rows that are counted in one go: some milliseconds, in which SQLite lets nobody else have a turn. */
const defaultStep = 10_000

const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

type Counting = Pick<Totals, 'issued' | 'revoked' | 'perDay'> & { expired: number; revokedAndExpired: number }

const dayOf = (perDay: Totals['perDay'], number: number): { issued: number; revoked: number } => {
  const known = perDay.get(number) ?? { issued: 0, revoked: 0 }
  perDay.set(number, known)
  return known
}

/**
 * Counts rows made from `begin` to before `end` by day: all of them along one index, and along another those that are not counted, because they are not a
 * subscriber's or not signed. An index of those that are counted would not do: SQLite would read each row of the table to see that it is one.
 */
function* countMade(now: number, begin: number, end: number | undefined): Steps<{ day: number; issued: number; expired: number }[]> {
  const count = (uncounted: string) =>
    rows<{ day: number; issued: number; expired: number }>(
      `SELECT created_at / ${day} AS day, COUNT(*) AS issued, COUNT(CASE WHEN not_after <= ? THEN 1 END) AS expired FROM certificate
       WHERE ${uncounted} created_at >= ? ${end === undefined ? '' : 'AND created_at < ?'} GROUP BY created_at / ${day}`,
      now,
      begin,
      ...(end === undefined ? [] : [end]),
    )
  const all = yield* count('')
  const others = yield* count(`(fingerprint IS NULL OR kind <> 'leaf') AND`)
  return [...all, ...others.map((part) => ({ day: part.day, issued: -part.issued, expired: -part.expired }))]
}

const countIssued = async ({ read }: Runner, counting: Counting, now: number, step: number): Promise<void> => {
  for (let from: number | null = 0; from !== null; ) {
    const begin: number = from
    from = await read(function* () {
      const next = yield* row<{ created_at: number }>(
        'SELECT created_at FROM certificate WHERE created_at >= ? ORDER BY created_at LIMIT 1 OFFSET ?',
        begin,
        step,
      )
      // More than a step's worth in one millisecond are counted together.
      const end = next && Math.max(next.created_at, begin + 1)
      for (const part of yield* countMade(now, begin, end)) {
        dayOf(counting.perDay, part.day).issued += part.issued
        counting.issued += part.issued
        counting.expired += part.expired
      }
      return end ?? null
    })
    await pause()
  }
}

const countRevoked = async ({ read }: Runner, counting: Counting, now: number, step: number): Promise<void> => {
  const last = await read(() => row<{ seq: number | null }>('SELECT MAX(seq) AS seq FROM revocation'))
  for (let seq = 0; seq < (last?.seq ?? 0); seq += step) {
    const found = await read(() =>
      rows<{ day: number; revoked: number; expired: number }>(
        `SELECT revoked_at / ${day} AS day, COUNT(*) AS revoked, COUNT(CASE WHEN not_after <= ? THEN 1 END) AS expired FROM revocation
         WHERE seq > ? AND seq <= ? AND serial NOT IN (SELECT serial FROM certificate WHERE kind <> 'leaf') GROUP BY revoked_at / ${day}`,
        now,
        seq,
        seq + step,
      ),
    )
    for (const part of found) {
      dayOf(counting.perDay, part.day).revoked += part.revoked
      counting.revoked += part.revoked
      counting.revokedAndExpired += part.expired
    }
    await pause()
  }
}

const countDomains = async ({ read }: Runner, step: number): Promise<number> => {
  let count = 0
  for (let from: string | null = ''; from !== null; ) {
    const begin: string = from
    from = await read(function* () {
      const after = (offset: number, than: '>' | '>=') =>
        row<{ domain: string }>(`SELECT domain FROM certificate_domain WHERE domain ${than} ? ORDER BY domain LIMIT 1 OFFSET ?`, begin, offset)
      const boundary = (yield* after(step, '>='))?.domain
      // One domain can have more rows than a step.
      const end = boundary === begin ? (yield* after(0, '>'))?.domain : boundary
      const found = yield* row<{ domains: number }>(
        `SELECT COUNT(DISTINCT domain) AS domains FROM certificate_domain WHERE named = ? AND domain >= ? ${end === undefined ? '' : 'AND domain < ?'}`,
        true,
        begin,
        ...(end === undefined ? [] : [end]),
      )
      count += found?.domains ?? 0
      return end ?? null
    })
    await pause()
  }
  return count
}

export const lookupStore = (runner: Runner) => ({
  /** The certificate with this SHA-256 fingerprint (lower-case hex of its DER). */
  certificateByFingerprint: (fingerprint: string): Promise<Certificate | null> =>
    runner.read(function* () {
      return (
        toCertificates(yield* rows<CertificateRow>(`${selectCertificate} AND c.fingerprint = ? ORDER BY n.form, n.value`, fingerprint))[0] ?? null
      )
    }),

  /** Certificates of servers with a name equal to a domain (A-labels, two at least) or below it, newest first; `after`: the last of the page before. */
  certificatesBelow: (domain: string, after: CertificateCursor | null, limit: number): Promise<Certificate[]> =>
    runner.read(function* () {
      // One select finds the page along the key of certificate_domain, the other what belongs to it.
      const page = `SELECT d.serial FROM certificate_domain d JOIN certificate e ON e.serial = d.serial
        WHERE d.domain = ? ${after ? 'AND (d.created_at, d.serial) < (?, ?)' : ''} AND e.fingerprint IS NOT NULL AND e.kind IN ('leaf', 'server')
        ORDER BY d.created_at DESC, d.serial DESC LIMIT ?`
      return toCertificates(
        yield* rows<CertificateRow>(
          `${selectCertificate} AND c.serial IN (${page}) ORDER BY c.created_at + 0 DESC, c.serial DESC, n.form, n.value`,
          domain,
          ...(after ? [after.createdAt, after.serial] : []),
          limit,
        ),
      )
    }),

  /**
   * Counts everything anew, in steps between which others have their turn: about a second in all for a million certificates. Not to be called for each request.
   * @param now milliseconds since the epoch: what has expired
   * @param step rows in one go
   */
  countTotals: async (now: number, step = defaultStep): Promise<Totals> => {
    const counting: Counting = { issued: 0, revoked: 0, expired: 0, revokedAndExpired: 0, perDay: new Map() }
    // Revocations first: one that comes meanwhile is of a certificate that is counted as valid, never of one that is not counted.
    await countRevoked(runner, counting, now, step)
    await countIssued(runner, counting, now, step)
    const accounts = await runner.read(() => row<{ accounts: number }>('SELECT COUNT(*) AS accounts FROM account'))
    const { issued, revoked, perDay } = counting
    const expired = counting.expired - counting.revokedAndExpired
    return {
      issued,
      revoked,
      expired,
      valid: issued - revoked - expired,
      accounts: accounts?.accounts ?? 0,
      domains: await countDomains(runner, step),
      perDay,
    }
  },
})
