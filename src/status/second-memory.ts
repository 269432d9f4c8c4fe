/** What the database said of certificates within the current second, so that many who ask for a few certificates at once cost few look-ups. */
import type { CertificateStatus, Store } from '../store/store.js'

export type SecondMemory = {
  /** The status of a certificate as it was read in the second of `now` (milliseconds since the epoch). Not a promise where it is in memory. */
  statusOf(issuerId: string, serial: string, now: number): CertificateStatus | Promise<CertificateStatus>
  /** Forgets everything. Call it when a certificate was revoked. */
  clear(): void
}

/** Some 200 octets each. */
const maxEntries = 20_000

export const createSecondMemory = (store: Pick<Store, 'certificateStatus'>): SecondMemory => {
  let known = new Map<string, CertificateStatus>()
  let second = 0

  const read = async (issuerId: string, serial: string, key: string): Promise<CertificateStatus> => {
    const began = known
    const status = await store.certificateStatus(issuerId, serial)
    // What was never issued may be issued next. A map that was replaced meanwhile is of another second, or a revocation came between.
    if (status.status !== 'unknown' && began === known && known.size < maxEntries) known.set(key, status)
    return status
  }

  return {
    statusOf: (issuerId, serial, now) => {
      const current = Math.floor(now / 1000)
      if (current !== second) {
        known = new Map()
        second = current
      }
      const key = `${issuerId}/${serial}`
      return known.get(key) ?? read(issuerId, serial, key)
    },
    clear: () => {
      known = new Map()
    },
  }
}
