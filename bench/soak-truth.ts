/** What is true of every certificate of a soak, and what an answer may say at its moment. Times are milliseconds of the monotonic clock. */
import type { Single } from '../test/support/ocsp-answer.js'

/** Revoked must be visible by then (OCSP), and by then (CRL: gathering, publishing, the shelf of another process). */
export const visibleMs = { ocsp: 5000, crl: 30_000 }

export type Truth = {
  serial: string
  /** Of its shard, as the certificate points to it. */
  crlUrl: string
  /** When somebody began to revoke it, and when that was confirmed. Between the two, both answers are true. */
  revokingAt: number | null
  revokedAt: number | null
}

export type Truths = ReturnType<typeof createTruths>

export const createTruths = () => {
  const list: Truth[] = []
  const bySerial = new Map<string, Truth>()
  const wrong: string[] = []
  /** The latest that a revocation was not told of yet, in ms after it was confirmed. */
  const slowest = { ocsp: 0, crl: 0 }

  return {
    list,
    bySerial,
    wrong,
    slowest,
    blame: (what: string): void => void wrong.push(what),

    add: (serial: string, crlUrl: string): Truth => {
      const truth = { serial, crlUrl, revokingAt: null, revokedAt: null }
      list.push(truth)
      bySerial.set(serial, truth)
      return truth
    },

    /**
     * Judges what was said of one certificate, asked for at `asked`. `seen`: the serials of which the same process has said revoked before that: it must never say
     * good again, while another process has its 5 s. Null for a serial that was never issued.
     */
    judge: (serial: string, status: Single['status'], asked: number, seen: ReadonlySet<string>): void => {
      const blame = (what: string): void => void wrong.push(`${serial}: ${what}`)
      const truth = bySerial.get(serial)
      if (!truth) {
        if (status !== 'unknown') blame(`${status}, although it was never issued`)
        return
      }
      if (status === 'unknown') blame('unknown, although it was issued before')
      if (status === 'revoked' && truth.revokingAt === null) blame('revoked, although nobody has revoked it')
      if (status !== 'good') return
      if (seen.has(serial)) blame('good after it was revoked')
      if (truth.revokedAt === null) return
      const late = asked - truth.revokedAt
      slowest.ocsp = Math.max(slowest.ocsp, late)
      if (late > visibleMs.ocsp) blame(`good ${Math.round(late)} ms after its revocation`)
    },

    /** Judges a CRL of the certificates among `scope`. */
    judgeCrl: (name: string, revoked: ReadonlySet<string>, scope: readonly Truth[], asked: number): void => {
      for (const serial of revoked) {
        const truth = bySerial.get(serial)
        if (!truth || truth.revokingAt === null) wrong.push(`${serial}: in ${name}, although nobody has revoked it`)
        else if (!scope.includes(truth)) wrong.push(`${serial}: in ${name}, which is not its list`)
      }
      for (const { serial, revokedAt } of scope) {
        if (revokedAt === null || revoked.has(serial)) continue
        const late = asked - revokedAt
        slowest.crl = Math.max(slowest.crl, late)
        if (late > visibleMs.crl) wrong.push(`${serial}: not in ${name} ${Math.round(late)} ms after its revocation`)
      }
    },
  }
}
