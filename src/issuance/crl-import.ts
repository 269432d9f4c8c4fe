/** Taking the CRL of a root whose key is elsewhere: it is checked, served, and what it revokes is known to this database from then on. */
import { IcaError } from '../errors.js'
import type { CrlRow } from '../store/store.js'
import { act, type Ica, type Who } from './ica.js'

export type CrlImport = { number: bigint; nextUpdate: number; entries: number }

/**
 * @param root the certificate whose CRL it is (DER) with its id
 * @param bytes the CRL, DER or PEM
 * @throws IcaError malformed where anything is wrong with it, conflict where it is not newer than the one that is served
 */
export const importCrl = async (
  { clock, store }: Pick<Ica, 'clock' | 'store'>,
  root: { id: string; certificate: Uint8Array; notAfter: number },
  bytes: Uint8Array,
  who: Who,
): Promise<CrlImport> => {
  const { readCrl } = await import('../pki/read-crl.js')
  const { der, number, thisUpdate, nextUpdate, entries } = await readCrl(bytes, root.certificate, clock.now())
  const row: CrlRow = { issuerId: root.id, shard: null, number, thisUpdate, nextUpdate, octets: der.length, der: [der] }
  const detail = { number: String(number), thisUpdate, nextUpdate, revoked: entries.map(({ serial, reason }) => `${serial} ${reason}`) }
  const audit = act({ clock }, who, 'crl.imported', `crl:${root.id}`, detail)
  if (!(await store.importCrl(row, entries, { notAfter: root.notAfter }, audit))) {
    const current = await store.currentCrl(root.id, null)
    throw new IcaError('conflict', `Its number is ${number}, and number ${current?.number} is served already. A later one has a higher number.`)
  }
  return { number, nextUpdate, entries: entries.length }
}
