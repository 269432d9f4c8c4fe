/**
 * The CRLs that are served: read from the database once, looked for anew at most every few seconds, and kept when the database is away. Each is compressed before
 * it is put up, and of a long one nothing else is kept: it takes half the memory.
 */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import type { CrlRow } from '../store/store.js'
import type { Resource } from './http.js'

export type CrlShelfDeps = {
  clock: Clock
  log: Log
  store: {
    /** The current CRL; null where there is none, or (for a store that can tell without reading it) none with a number above `above`. */
    currentCrl(issuerId: string, shard: number | null, above?: bigint): Promise<CrlRow | null>
  }
}

export type CrlShelf = {
  /** Null where there is no such CRL. Rejects with unavailable where the database is away and nothing is held. */
  get(issuerId: string, shard: number | null): Promise<Resource | null>
  /**
   * Takes a CRL that was published by this process, so that nobody waits for it; a long one only where it, too, was asked for before. Let go of its octets: their
   * memory is freed as they are compressed.
   */
  put(crl: CrlRow): void
}

/** `checkedAt`: when the database was last asked for a newer one. */
type Held = { number: bigint; resource: Resource; checkedAt: number }

/** How long a CRL is served before the database is asked for a newer one, which another process may have published. */
const checkMs = 5000
/** Seconds for which caches may keep a CRL; clients go by nextUpdate. */
const maxAge = 600
/** Octets of a CRL, some 20,000 entries, up to which it is also kept as it is; a longer one is unpacked for those who can't, at 3 ms of another thread per MiB. */
const maxPlain = 1 << 20

const nameOf = ({ issuerId, shard }: Pick<CrlRow, 'issuerId' | 'shard'>): string => `${issuerId}/${shard ?? ''}`

export const createCrlShelf = ({ clock, log, store }: CrlShelfDeps): CrlShelf => {
  const shelf = new Map<string, Held>()
  /** What is looked for, or made ready. */
  const coming = new Map<string, Promise<Resource | null>>()

  const bring = <T extends Resource | null>(name: string, work: Promise<T>): Promise<T> => {
    coming.set(name, work)
    const come = (): void => {
      if (coming.get(name) === work) coming.delete(name)
    }
    work.then(come, come)
    return work
  }

  /** No async function: those keep what they were given until they are done. */
  const hold = (crl: CrlRow): Promise<Resource> => {
    const name = nameOf(crl)
    const { number } = crl
    const newer = (): Resource | undefined => {
      const known = shelf.get(name)
      return known && known.number >= number ? known.resource : undefined
    }
    const known = newer()
    if (known) return Promise.resolve(known)
    return resourceOf(crl).then((resource) => {
      const came = newer()
      if (came) return came
      shelf.set(name, { number, resource, checkedAt: clock.now() })
      return resource
    })
  }

  const check = async (issuerId: string, shard: number | null, held: Held | undefined): Promise<Resource | null> => {
    try {
      return await store.currentCrl(issuerId, shard, held?.number).then((crl) => (crl ? hold(crl) : (held?.resource ?? null)))
    } catch (err) {
      if (!held) throw err
      log.warn({ err, issuerId, shard }, 'could not look for a newer CRL; the one at hand is served')
      return held.resource
    } finally {
      if (held) held.checkedAt = clock.now()
    }
  }

  return {
    put: (crl) => {
      const name = nameOf(crl)
      if (crl.octets > maxPlain && !shelf.has(name) && !coming.has(name)) return
      bring(name, hold(crl)).catch((err: unknown) => log.warn({ err, crl: name }, 'could not compress a CRL; it is read from the database again'))
    },
    get: (issuerId, shard) => {
      const name = nameOf({ issuerId, shard })
      const held = shelf.get(name)
      if (held && clock.now() - held.checkedAt < checkMs) return Promise.resolve(held.resource)
      return coming.get(name) ?? bring(name, check(issuerId, shard, held))
    },
  }
}

/** The octets are named by the number and by their end, which is of the signature over them: no number is used twice, but a restored database may not know of one that was. */
const resourceOf = ({ issuerId, shard, number, thisUpdate, nextUpdate, octets, der }: CrlRow): Promise<Resource> => {
  const end = Buffer.from(der.at(-1)?.slice(-16) ?? [])
  const facts = {
    body: octets > maxPlain ? null : der,
    octets,
    contentType: 'application/pkix-crl',
    etag: `"${issuerId}-${shard ?? 'all'}-${number}-${end.toString('hex')}"`,
    lastModified: thisUpdate,
    expires: nextUpdate,
    maxAge,
  }
  return compress([...der]).then((gzip) => ({ ...facts, gzip }))
}

/** Half of a CRL is serials, which are random; harder work gains little. In pieces of this size, because joining them would take their memory twice. */
const gzipOptions = { level: 3, chunkSize: 256 * 1024 }

/** Takes one after the other out of `pieces`. */
function* taken(pieces: Uint8Array[]): Generator<Uint8Array> {
  for (let piece = pieces.shift(); piece; piece = pieces.shift()) yield piece
}

/** The compressed form, made by another thread, which empties `pieces`. */
const compress = async (pieces: Uint8Array[]): Promise<Uint8Array[]> => {
  const coded: Uint8Array[] = []
  await pipeline(Readable.from(taken(pieces)), createGzip(gzipOptions), async (output: AsyncIterable<Uint8Array>) => {
    for await (const piece of output) coded.push(piece)
  })
  return coded
}
