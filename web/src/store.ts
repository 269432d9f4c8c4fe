/**
 * What this browser keeps between visits, in IndexedDB: the account key (a CryptoKey that can't be taken out), the request that is under way with its private key, and
 * the certificates that were issued here. Nothing of it is sent anywhere. Where a browser forbids the database, it lasts as long as the page.
 */
import type { Signer } from './acme/jws.js'
import type { AcmeIdentifier } from './acme/resources.js'
import type { Draft } from './request/draft.js'

/** `url` null: made, but the CA has not answered yet. `next`: the key of a change that the CA has not confirmed yet. */
export type KeptAccount = { signer: Signer; url: string | null; contact: string[]; next: Signer | null }

/** A certificate that was issued in this browser. */
export type KeptCertificate = {
  serial: string
  identifiers: AcmeIdentifier[]
  profile: string
  notBefore: number
  notAfter: number
  /** The chain, leaf first. */
  pem: string
  algorithm: string | null
  revoked: boolean
}

type Stores = { account: KeptAccount; draft: Draft; certificates: KeptCertificate }
type StoreName = keyof Stores

const databaseName = 'xmpp-ica'
const names: readonly StoreName[] = ['account', 'draft', 'certificates']
/** The one account and the one draft. */
const only = 'current'

const promised = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

const open = (): Promise<IDBDatabase | null> => {
  try {
    const request = indexedDB.open(databaseName, 1)
    request.onupgradeneeded = () => {
      for (const name of names) request.result.createObjectStore(name)
    }
    return promised(request).catch(() => null)
  } catch {
    return Promise.resolve(null)
  }
}

let database: Promise<IDBDatabase | null> | null = null
const memory = new Map<string, unknown>()

const withStore = async <T>(name: StoreName, mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> => {
  database ??= open()
  const opened = await database
  if (!opened) return undefined
  const transaction = opened.transaction(name, mode)
  const done = new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onabort = () => reject(transaction.error)
  })
  const result = await promised(use(transaction.objectStore(name)))
  // What is told to the person is on disk before.
  if (mode === 'readwrite') await done
  return result
}

/** Whether anything outlives the page. */
export const isDurable = async (): Promise<boolean> => {
  database ??= open()
  return (await database) !== null
}

const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel(databaseName)

const put = async <N extends StoreName>(name: N, key: string, value: Stores[N]): Promise<void> => {
  memory.set(`${name} ${key}`, value)
  await withStore(name, 'readwrite', (store) => store.put(value, key))
  channel?.postMessage(name)
}

const get = async <N extends StoreName>(name: N, key: string): Promise<Stores[N] | null> => {
  if (!(await isDurable())) return (memory.get(`${name} ${key}`) as Stores[N] | undefined) ?? null
  return ((await withStore(name, 'readonly', (store) => store.get(key))) as Stores[N] | undefined) ?? null
}

const remove = async (name: StoreName, key: string): Promise<void> => {
  memory.delete(`${name} ${key}`)
  await withStore(name, 'readwrite', (store) => store.delete(key))
  channel?.postMessage(name)
}

/** Calls `listener` when another tab has changed one of these. Returns what ends it. */
export const onOtherTab = (name: StoreName, listener: () => void): (() => void) => {
  const hear = ({ data }: MessageEvent) => data === name && listener()
  channel?.addEventListener('message', hear)
  return () => channel?.removeEventListener('message', hear)
}

let asked = false

/** Asks the browser, once, not to clear this database when room gets scarce: it has the only copy of the account key, and of a certificate key that is not saved yet. */
const askToPersist = (): void => {
  if (asked) return
  asked = true
  // A refusal changes nothing.
  void globalThis.navigator?.storage?.persist?.().catch(() => false)
}

export const readAccount = (): Promise<KeptAccount | null> => get('account', only)
export const saveAccount = (account: KeptAccount): Promise<void> => {
  askToPersist()
  return put('account', only, account)
}
export const forgetAccount = (): Promise<void> => remove('account', only)
export const readDraft = (): Promise<Draft | null> => get('draft', only)
export const saveDraft = (draft: Draft): Promise<void> => put('draft', only, draft)

/** Whether a request is under way that a new one would push aside. */
export const isRunning = async (): Promise<boolean> => {
  const draft = await readDraft()
  return draft !== null && (draft.step === 'proof' || draft.step === 'certificate')
}

export const forgetDraft = (): Promise<void> => remove('draft', only)
export const saveCertificate = (certificate: KeptCertificate): Promise<void> => put('certificates', certificate.serial, certificate)
export const forgetCertificate = (serial: string): Promise<void> => remove('certificates', serial)

/** The certificates of this browser, the newest first. */
export const listCertificates = async (): Promise<KeptCertificate[]> => {
  const kept = (await isDurable())
    ? ((await withStore('certificates', 'readonly', (store) => store.getAll())) as KeptCertificate[])
    : [...memory].flatMap(([key, value]) => (key.startsWith('certificates ') ? [value as KeptCertificate] : []))
  return kept.sort((a, b) => b.notBefore - a.notBefore)
}

/** Runs `work` while no other tab runs anything under the same name. */
export const exclusively = <T>(name: string, work: () => Promise<T>): Promise<T> =>
  // There are no locks on a page that came by plain http from elsewhere; nor is there WebCrypto, so that nothing works anyway.
  navigator.locks ? (navigator.locks.request(`${databaseName}-${name}`, work) as Promise<T>) : work()

/**
 * Makes this tab the one that works on the request. `change` is told whether it is; a tab that takes over (`steal`) is told yes, the one that had it no. Returns what
 * gives it up.
 */
export const holdRequest = (steal: boolean, change: (held: boolean) => void): (() => void) => {
  if (!navigator.locks) {
    change(true)
    return () => {}
  }
  let release = () => {}
  let over = false
  const hold = () => {
    if (over) return Promise.resolve()
    change(true)
    return new Promise<void>((resolve) => {
      release = resolve
    })
  }
  const lock = `${databaseName}-request`
  const lost = () => over || change(false)
  if (steal) navigator.locks.request(lock, { steal: true }, hold).catch(lost)
  else {
    void navigator.locks.query().then(({ held }) => (held ?? []).some(({ name }) => name === lock) && !over && change(false))
    navigator.locks.request(lock, hold).catch(lost)
  }
  return () => {
    over = true
    release()
  }
}
