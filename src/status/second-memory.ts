/** What the database said of certificates within the current second, so that many who ask for a few certificates at once cost few look-ups. */
import type { CertificateStatus } from '../store/store.js'

/** What a certificate is known by here. */
export const nameOf = (issuerId: string, serial: string): string => `${issuerId}/${serial}`

/** By {@link nameOf}. */
export type Statuses = Map<string, CertificateStatus>

export type SecondMemory = {
  /**
   * What is known in the second of `now` (milliseconds since the epoch). What was read from the database goes into the map that was at hand before the look-up: where
   * that was replaced meanwhile, because another second began or a certificate was revoked, nobody reads it any more.
   */
  at(now: number): Statuses
  /** Forgets everything. Call it when a certificate was revoked. */
  clear(): void
}

export const createSecondMemory = (): SecondMemory => {
  let known: Statuses = new Map()
  let second = 0
  return {
    at: (now) => {
      const current = Math.floor(now / 1000)
      if (current !== second) {
        known = new Map()
        second = current
      }
      return known
    },
    clear: () => {
      known = new Map()
    },
  }
}
