/** The CRLs that are served: read from the database once, looked for anew at most every few seconds, and kept when the database is away. */

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip, gzipSync } from 'node:zlib'
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
  /** Takes a CRL that was published by this process, so that nobody waits for it. */
  put(crl: CrlRow): void
}

/** `checkedAt`: when the database was last asked for a newer one. */
type Held = { number: bigint; resource: Resource; checkedAt: number }

/** How long a CRL is served before the database is asked for a newer one, which another process may have published. */
const checkMs = 5000
/** Seconds for which caches may keep a CRL; clients go by nextUpdate. */
const maxAge = 600

export const createCrlShelf = ({ clock, log, store }: CrlShelfDeps): CrlShelf => {
  const shelf = new Map<string, Held>()
  const checks = new Map<string, Promise<Resource | null>>()
  const nameOf = (issuerId: string, shard: number | null): string => `${issuerId}/${shard ?? ''}`

  const put = (crl: CrlRow): Held => {
    const name = nameOf(crl.issuerId, crl.shard)
    const known = shelf.get(name)
    if (known && known.number >= crl.number) return known
    const held = { number: crl.number, resource: resourceOf(crl), checkedAt: clock.now() }
    shelf.set(name, held)
    compress(held.resource, (err) => log.warn({ err, crl: name }, 'could not compress a CRL; it is served as it is'))
    return held
  }

  const check = async (issuerId: string, shard: number | null, held: Held | undefined): Promise<Resource | null> => {
    try {
      const crl = await store.currentCrl(issuerId, shard, held?.number)
      return (crl ? put(crl) : held)?.resource ?? null
    } catch (err) {
      if (!held) throw err
      log.warn({ err, issuerId, shard }, 'could not look for a newer CRL; the one at hand is served')
      return held.resource
    } finally {
      if (held) held.checkedAt = clock.now()
    }
  }

  return {
    put,
    get: (issuerId, shard) => {
      const name = nameOf(issuerId, shard)
      const held = shelf.get(name)
      if (held && clock.now() - held.checkedAt < checkMs) return Promise.resolve(held.resource)
      let running = checks.get(name)
      if (!running) {
        running = check(issuerId, shard, held).finally(() => checks.delete(name))
        checks.set(name, running)
      }
      return running
    },
  }
}

/** The octets are named by the number and by their end, which is of the signature over them: no number is used twice, but a restored database may not know of one that was. */
const resourceOf = ({ issuerId, shard, number, thisUpdate, nextUpdate, der }: CrlRow): Resource => ({
  body: der,
  contentType: 'application/pkix-crl',
  etag: `"${issuerId}-${shard ?? 'all'}-${number}-${Buffer.from(der.subarray(-16)).toString('hex')}"`,
  lastModified: thisUpdate,
  expires: nextUpdate,
  maxAge,
  gzip: null,
})

/** Half of a CRL is serials, which are random; harder work gains little. */
const gzipOptions = { level: 3 }
/** Compressed on the spot: less than a millisecond. */
const smallCrl = 32 * 1024
/** What goes to the other thread, and comes back, at once. */
const pieceSize = 256 * 1024

function* piecesOf(body: Uint8Array): Generator<Uint8Array> {
  for (let from = 0; from < body.length; from += pieceSize) yield body.subarray(from, from + pieceSize)
}

/** The compressed form, made by another thread; null where it is not smaller. Its pieces stay as they come: joining them would take their memory twice. */
const compressLong = async (body: Uint8Array): Promise<Uint8Array[] | null> => {
  const pieces: Uint8Array[] = []
  await pipeline(Readable.from(piecesOf(body)), createGzip({ ...gzipOptions, chunkSize: pieceSize }), async (coded: AsyncIterable<Uint8Array>) => {
    for await (const piece of coded) pieces.push(piece)
  })
  return pieces.reduce((sum, { length }) => sum + length, 0) < body.length ? pieces : null
}

/** Adds the compressed form, of a long list as soon as another thread has it. */
const compress = (resource: Resource, onError: (error: Error) => void): void => {
  if (resource.body.length <= smallCrl) {
    resource.gzip = [gzipSync(resource.body, gzipOptions)]
    return
  }
  compressLong(resource.body).then((coded) => {
    resource.gzip = coded
  }, onError)
}
