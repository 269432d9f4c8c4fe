/**
 * The CRLs that are served: read from the database once, looked for anew at most every few seconds, and kept when the database is away. Each is compressed before
 * it is put up, and of a long one nothing else is kept: it takes half the memory.
 */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import type { CrlFacts, Store } from '../store/store.js'
import type { Resource } from './http.js'

export type CrlShelfDeps = {
  clock: Clock
  log: Log
  store: Pick<Store, 'readCrl'>
}

export type CrlShelf = {
  /** Null where there is no such CRL. Rejects with unavailable where the database is away and nothing is held. */
  get(issuerId: string, shard: number | null): Promise<Resource | null>
  /** Takes up a CRL that was published by this process, so that nobody waits for it; a long one only where the one before was asked for, too. */
  put(crl: Pick<CrlFacts, 'issuerId' | 'shard' | 'octets'>): void
}

/** `checkedAt`: when the database was last asked for a newer one. */
type Held = { number: bigint; resource: Resource; checkedAt: number }

/** How long a CRL is served before the database is asked for a newer one, which another process may have published. */
const checkMs = 5000
/** Seconds for which caches may keep a CRL; clients go by nextUpdate. */
const maxAge = 600
/** Octets of a CRL, some 20,000 entries, up to which it is also kept as it is; a longer one is unpacked for those who can't, at 3 ms of another thread per MiB. */
const maxPlain = 1 << 20

export const createCrlShelf = ({ clock, log, store }: CrlShelfDeps): CrlShelf => {
  const shelf = new Map<string, Held>()
  /** What is looked for, or made ready. */
  const coming = new Map<string, Promise<Resource | null>>()

  const look = async (name: string, issuerId: string, shard: number | null): Promise<Resource | null> => {
    const held = shelf.get(name)
    try {
      const found = await store.readCrl(issuerId, shard, held?.number ?? 0n, pack)
      if (found && found.number > (shelf.get(name)?.number ?? 0n)) shelf.set(name, { ...found, checkedAt: 0 })
    } catch (err) {
      if (!held) throw err
      log.warn({ err, issuerId, shard }, 'could not look for a newer CRL; the one at hand is served')
    }
    const best = shelf.get(name)
    if (best) best.checkedAt = clock.now()
    return best?.resource ?? null
  }

  /** What the shelf is told of what is there. */
  const bring = (issuerId: string, shard: number | null): Promise<Resource | null> => {
    const name = nameOf(issuerId, shard)
    const work = look(name, issuerId, shard)
    coming.set(name, work)
    const come = (): void => {
      if (coming.get(name) === work) coming.delete(name)
    }
    work.then(come, come)
    return work
  }

  return {
    put: ({ issuerId, shard, octets }) => {
      const name = nameOf(issuerId, shard)
      if (octets > maxPlain && !shelf.has(name) && !coming.has(name)) return
      bring(issuerId, shard).catch((err: unknown) => log.warn({ err, crl: name }, 'could not take up a CRL; it is tried again when asked for'))
    },
    get: (issuerId, shard) => {
      const name = nameOf(issuerId, shard)
      const held = shelf.get(name)
      if (held && clock.now() - held.checkedAt < checkMs) return Promise.resolve(held.resource)
      return coming.get(name) ?? bring(issuerId, shard)
    },
  }
}

const nameOf = (issuerId: string, shard: number | null): string => `${issuerId}/${shard ?? ''}`

/** Octets at the end of a list, which are of the signature over it. */
const endLength = 16

/** What is served of a list. It is named by its number and its end: no number is used twice, but a restored database may not know of one that was. */
const pack = async ({ issuerId, shard, number, thisUpdate, nextUpdate, octets }: CrlFacts, parts: AsyncIterable<Uint8Array>) => {
  const body: Uint8Array[] | null = octets > maxPlain ? null : []
  let end = Buffer.alloc(0)
  const gzip = await compress(async function* () {
    for await (const part of parts) {
      body?.push(part)
      end = Buffer.concat([end, part.subarray(-endLength)]).subarray(-endLength)
      yield part
    }
  })
  const resource: Resource = {
    body,
    octets,
    contentType: 'application/pkix-crl',
    etag: `"${issuerId}-${shard ?? 'all'}-${number}-${end.toString('hex')}"`,
    lastModified: thisUpdate,
    expires: nextUpdate,
    maxAge,
    gzip,
  }
  return { number, resource }
}

/** Half of a CRL is serials, which are random; harder work gains little. In pieces of this size, because joining them would take their memory twice. */
const gzipOptions = { level: 3, chunkSize: 256 * 1024 }

/** The compressed form, made by another thread. */
const compress = async (pieces: () => AsyncIterable<Uint8Array>): Promise<Uint8Array[]> => {
  const coded: Uint8Array[] = []
  await pipeline(Readable.from(pieces()), createGzip(gzipOptions), async (output: AsyncIterable<Uint8Array>) => {
    for await (const piece of output) coded.push(piece)
  })
  return coded
}
