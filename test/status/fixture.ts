/** A small CA in memory for the tests of status: root, intermediate, a clock that is set by hand, and a store that knows only what a test told it. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { IcaError } from '../../src/errors.js'
import { createResponders, type ResponderKey, type Responders, type RespondersDeps } from '../../src/issuance/responder.js'
import type { Log } from '../../src/log.js'
import type { AuditEntry, CertificateReservation, CrlBody, CrlEnds, Revocation } from '../../src/model.js'
import { type Issuer, newSerial } from '../../src/pki/certificate.js'
import { concat } from '../../src/pki/der.js'
import { makeIntermediate, makeRoot, subjectName } from '../../src/pki/hierarchy.js'
import { nodeSigner } from '../../src/pki/keys.js'
import type { CertificateStatus, CrlFacts, CrlRow, IssuedSerial, NewCrl, RevokedEntry } from '../../src/store/store.js'
import { inMemory } from '../pki/fixtures.js'

export const second = 1000
export const hour = 3_600_000
export const day = 24 * hour
/** When every test begins: in the middle of a second, because that is where rounding shows. */
export const start = Date.UTC(2027, 2, 4, 5, 6, 7) + 890

export const testClock = () => {
  let at = start
  const set = (ms: number): void => {
    at = ms
  }
  return { now: () => at, set, pass: (ms: number) => set(at + ms) }
}

/** Keeps what is logged; `errors` are what a test may want to see. */
export const testLog = () => {
  const errors: string[] = []
  const log: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (_, message) => void errors.push(message),
    child: () => log,
  }
  return { ...log, errors }
}

const newSigner = (curve = 'P-256') => nodeSigner(generateKeyPairSync('ec', { namedCurve: curve }).privateKey)

const issuerOf = (
  signer: Issuer['signer'],
  subject: Uint8Array,
  certificate: Uint8Array,
  validity: { notBefore: number; notAfter: number },
): Issuer => ({
  id: Buffer.from(signer.publicKey.ski).toString('hex').slice(0, 16),
  certificate,
  subject,
  publicKey: signer.publicKey,
  ski: signer.publicKey.ski,
  ...validity,
  signer,
  chain: [],
})

const wholeSecond = Math.floor(start / 1000) * 1000
const lasting = (ms: number) => ({ notBefore: wholeSecond - day, notAfter: wholeSecond + ms })

/** A root and an intermediate under it; `name` tells one test CA from another. */
export const testHierarchy = async (name = 'Test'): Promise<{ root: Issuer; intermediate: Issuer }> => {
  const rootSigner = newSigner('P-384')
  const rootName = { commonName: `${name} Root` }
  const rootDer = await makeRoot({ ...lasting(3650 * day), serial: newSerial(randomBytes), subject: rootName, signer: rootSigner })
  const root = issuerOf(rootSigner, subjectName(rootName), rootDer, lasting(3650 * day))

  const signer = newSigner()
  const subject = { commonName: `${name} Intermediate` }
  const urls = {
    ocsp: 'http://status.test/ocsp',
    caIssuers: 'http://status.test/ca/root.cer',
    crl: `http://status.test/crl/${root.id}.crl`,
    cps: null,
  }
  const der = await makeIntermediate({
    ...lasting(1825 * day),
    serial: newSerial(randomBytes),
    publicKey: signer.publicKey,
    issuer: root,
    urls,
    subject,
  })
  return { root, intermediate: issuerOf(signer, subjectName(subject), der, lasting(1825 * day)) }
}

type Row = { issuerId: string; shard: number; notAfter: number; revocation: Revocation | null }

/** The part of the store that status needs, over plain maps. `fail` makes every call reject as a lost database does. */
export const testStore = () => {
  const rows = new Map<string, Row>()
  const reserved = new Map<string, CertificateReservation>()
  const events: { seq: number; issuerId: string; serial: string; crlShard: number }[] = []
  const crls = new Map<string, CrlRow>()
  const numbers = new Map<string, bigint>()
  const audits: AuditEntry[] = []
  const calls = { certificateStatuses: 0, readCrl: 0 }
  const state = { fail: false }
  let lease: { holder: string; until: number } | null = null
  /** Something that a test lets a look-up wait for. */
  let gate: Promise<void> | null = null

  const alive = async (): Promise<void> => {
    if (state.fail) throw new IcaError('unavailable', 'the database is away')
  }
  const crlAbove = async (issuerId: string, shard: number | null, above: bigint): Promise<CrlRow | null> => {
    await alive()
    const crl = crls.get(crlKey(issuerId, shard))
    return crl && crl.number > above ? crl : null
  }
  const crlKey = (issuerId: string, shard: number | null): string => `${issuerId}/${shard}`

  return {
    state,
    calls,
    audits,
    rows,
    holdLookUps: (until: Promise<void>): void => {
      gate = until
    },
    issue: (issuerId: string, { serial = newSerial(randomBytes), shard = 0, notAfter = start + 90 * day } = {}): string => {
      rows.set(serial, { issuerId, shard, notAfter, revocation: null })
      return serial
    },
    revoke: (serial: string, revocation: Revocation): void => {
      const row = rows.get(serial)
      assert.ok(row)
      row.revocation = revocation
      events.push({ seq: events.length + 1, issuerId: row.issuerId, serial, crlShard: row.shard })
    },
    /** As a restore of an older database does. */
    forgetRevocations: (behind: number): void => void events.splice(behind),

    certificateStatuses: async (asked: readonly IssuedSerial[]): Promise<CertificateStatus[]> => {
      calls.certificateStatuses++
      await alive()
      const found = asked.map(({ serial }) => ({ ...rows.get(serial) }))
      await gate
      return asked.map(({ issuerId }, i) => {
        const { issuerId: of, notAfter = 0, revocation } = found[i] as Partial<Row>
        if (of !== issuerId) return { status: 'unknown' }
        return revocation ? { status: 'revoked', notAfter, revocation } : { status: 'good', notAfter }
      })
    },
    reserveCertificate: async (reservation: CertificateReservation): Promise<void> => {
      await alive()
      assert.ok(!reserved.has(reservation.serial))
      reserved.set(reservation.serial, reservation)
    },
    storeCertificate: async (serial: string, _der: Uint8Array, audit: AuditEntry): Promise<boolean> => {
      await alive()
      const { issuerId, crlShard: shard, notAfter } = reserved.get(serial) as CertificateReservation
      rows.set(serial, { issuerId, shard, notAfter, revocation: null })
      audits.push(audit)
      return true
    },
    lastRevocation: async (): Promise<number> => alive().then(() => events.length),
    revokedSince: async (seq: number, limit: number) => alive().then(() => events.filter((event) => event.seq > seq).slice(0, limit)),
    async *revokedEntries(issuerId: string, shard: number | null, notAfterFrom: number): AsyncIterable<RevokedEntry[]> {
      await alive()
      for (const [serial, row] of rows) {
        const { revocation, notAfter } = row
        if (row.issuerId === issuerId && (shard === null || row.shard === shard) && revocation && notAfter > notAfterFrom)
          yield [{ serial, ...revocation }]
      }
    },
    /** Counts from one, which is easier to read than what the publisher asks for. */
    nextCrlNumber: async (issuerId: string, shard: number | null, _atLeast?: bigint): Promise<bigint> => {
      await alive()
      const number = (numbers.get(crlKey(issuerId, shard)) ?? 0n) + 1n
      numbers.set(crlKey(issuerId, shard), number)
      return number
    },
    saveCrl: async (crl: NewCrl, make: (body: CrlBody) => Promise<CrlEnds & { audit: AuditEntry }>): Promise<boolean> => {
      const body = inMemory()
      const { head, tail, octets, audit } = await make(body)
      await alive()
      const current = crls.get(crlKey(crl.issuerId, crl.shard))
      if (current && current.number >= crl.number) return false
      crls.set(crlKey(crl.issuerId, crl.shard), { ...crl, octets, der: [concat(head, ...body.kept, tail)] })
      audits.push(audit)
      return true
    },
    currentCrl: (issuerId: string, shard: number | null) => crlAbove(issuerId, shard, 0n),
    readCrl: async <T>(
      issuerId: string,
      shard: number | null,
      above: bigint,
      take: (crl: CrlFacts, parts: AsyncIterable<Uint8Array>) => Promise<T>,
    ): Promise<T | null> => {
      calls.readCrl++
      const crl = await crlAbove(issuerId, shard, above)
      if (!crl) return null
      const { der, revocationSeq = 0, ...facts } = crl
      return take({ ...facts, revocationSeq }, Readable.from(der))
    },
    crlFacts: async () => alive().then(() => [...crls.values()].map(({ der, revocationSeq = 0, ...facts }) => ({ ...facts, revocationSeq }))),
    acquireLease: async (_name: string, holder: string, now: number, forMs: number): Promise<boolean> => {
      await alive()
      if (lease && lease.holder !== holder && lease.until > now) return false
      lease = { holder, until: now + forMs }
      return true
    },
    releaseLease: async (_name: string, holder: string): Promise<void> => {
      await alive()
      if (lease?.holder === holder) lease = null
    },
  }
}

export type TestStore = ReturnType<typeof testStore>

/** Keeps responder keys in a list, as another start of the program would find them. */
export const testKeys = () => {
  const kept: ResponderKey[] = []
  return {
    kept,
    load: async () => [...kept],
    save: async (generation: ResponderKey) => void kept.push(generation),
    remove: async ({ certificate }: ResponderKey) => {
      kept.splice(
        kept.findIndex((one) => one.certificate === certificate),
        1,
      )
    },
  }
}

/** A responder of the intermediate that is ready to sign. */
export const testResponders = async (issuer: Issuer, store: TestStore, clock: RespondersDeps['clock'], keys = testKeys()): Promise<Responders> => {
  const responders = createResponders({ clock, log: testLog(), issuer, issuing: { issuer, store }, keys })
  await responders.maintain()
  return responders
}

/** A small generator with a fixed seed (xorshift32), so that a failure can be repeated. */
export const random = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
