/** What a folder of CA keys holds, judged by the names in it. Pure: reading the folder is keystore-open.ts. */

/** The files of a CA: two encrypted PKCS #8 keys and two certificates (the intermediate's with whatever stands between it and the root). */
export const files = {
  rootKey: 'root.key',
  root: 'root.pem',
  intermediateKey: 'intermediate.key',
  intermediate: 'intermediate.pem',
  /** Lies beside `intermediate.key` while somebody else's signature is awaited. */
  request: 'intermediate.csr',
} as const

/** The key and request of the intermediate that is to follow, beside a CA that works, while the root's signature is awaited. */
export const next = { key: 'next.key', request: 'next.csr' } as const

/**
 * The folder of intermediates that have been followed: `<issuer id>.key` and `<issuer id>.pem` of each. They sign no certificate any more but those of their OCSP responders, and
 * CRLs, until the last certificate that they have signed has expired.
 */
export const retiredFolder = 'retired'

/** The folder of cross-certificates, `<any name>.pem` each: what other roots have signed for this root or an intermediate of it. Nothing in it is secret. */
export const crossFolder = 'cross'

/** The folder of the user CA, which has the same files as this one: another root, whose intermediate signs certificates of users and nothing else. */
export const usersFolder = 'users'

export type Inventory =
  /** Nothing: a CA can be made here. */
  | { state: 'empty' }
  /** A request was made and its certificate has not come yet. */
  | { state: 'requested' }
  /** Complete; without `rootKey` the root is kept offline or belongs to somebody else. */
  | { state: 'complete'; rootKey: boolean }
  /** Something is missing; nothing may be made here unasked, because what is missing may be somewhere. `rootOnly`: a root without any intermediate. */
  | { state: 'incomplete'; present: string[]; missing: string[]; rootOnly: boolean }

/**
 * Judges which CA files are there. A missing `root.key` is no fault (offline root), any other gap in a CA is.
 * @param names the names in the folder; others than the CA's own are ignored
 */
export const takeInventory = (names: Iterable<string>): Inventory => {
  const there = new Set(names)
  const own = Object.values(files).filter((name) => there.has(name))
  if (own.length === 0) return { state: 'empty' }
  const needed = [files.root, files.intermediateKey, files.intermediate]
  const missing = needed.filter((name) => !there.has(name))
  if (missing.length === 0) return { state: 'complete', rootKey: there.has(files.rootKey) }
  const present = own.filter((name) => name !== files.request)
  const isRequest = there.has(files.request) && there.has(files.intermediateKey) && (there.has(files.root) || !there.has(files.rootKey))
  if (isRequest && !there.has(files.intermediate)) return { state: 'requested' }
  // A root alone can get a new intermediate, but not by itself: where the old one is, is not known.
  return {
    state: 'incomplete',
    present: own,
    missing,
    rootOnly: present.length > 0 && present.every((name) => name === files.root || name === files.rootKey) && there.has(files.root),
  }
}

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0')

/**
 * Why a file or folder with secrets may not be used as it is, or null. Keys are for their owner alone, as ssh demands it; a passphrase file may be readable by
 * a group, because that is how secret mounts hand it over.
 * @param mode the POSIX mode bits
 */
export const permissionFault = (path: string, mode: number, kind: 'folder' | 'key' | 'passphrase'): string | null => {
  const forbidden = kind === 'passphrase' ? 0o037 : 0o077
  if ((mode & forbidden) === 0) return null
  const wanted = kind === 'folder' ? '700' : '600'
  return `${path} is open to other users (mode ${octal(mode)}). If nobody has read it: chmod ${wanted} ${path}`
}
