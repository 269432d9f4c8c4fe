/**
 * Keys that the program makes for itself and replaces by itself: OCSP responders and its own HTTPS. They lie beside the database, encrypted with the passphrase
 * of the CA keys or one of their own, each with its certificate in one PEM file, so that key and certificate can't get apart. Responders may have a folder of
 * their own, whose group may read them: then the status side can be run by a user that has nothing else.
 */
import { createHash, type KeyObject } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { type FileRights, makePrivateFolder, replaceFile, syncFolder } from './files.js'
import type { ResponderKey, ResponderKeys } from './issuance/responder.js'
import type { Log } from './log.js'
import { pemDecode, pemEncode } from './pki/pem.js'
import { decryptPrivateKey, encryptPrivateKey } from './pki/private-keys.js'
import { readCertificate } from './pki/read-certificate.js'

/** A key with its certificate and what stands above that, all DER. */
export type KeyWithChain = { key: KeyObject; chain: Uint8Array[] }

const encode = ({ key, chain }: KeyWithChain, passphrase: string): string =>
  encryptPrivateKey(key, passphrase) + chain.map((der) => pemEncode('CERTIFICATE', der)).join('')

const decode = (text: string, passphrase: string): KeyWithChain => ({
  key: decryptPrivateKey(text, passphrase),
  chain: pemDecode('CERTIFICATE', text),
})

export type ServiceKeys = {
  /** The OCSP responders of one issuer, known by its subject key identifier. */
  respondersOf(issuer: { ski: Uint8Array }): ResponderKeys
  /** The key and chain of the program's own HTTPS; null where there is none that can be used. */
  loadServer(): KeyWithChain | null
  saveServer(server: KeyWithChain): void
}

/** Where service keys lie. */
export type ServicePlace = {
  dataFolder: string
  /** Of responders, for the group of this folder; null: in `dataFolder`. */
  statusKeys: string | null
}

/** What a service key is sealed with. `former`: with what it may be sealed still; null for who has not got that, and rewrites nothing. */
export type ServiceSeal = { passphrase: string; former: string | null }

const responderName = /^ocsp-responder-[0-9a-f]{16}\.pem$/

/** The names of the responder files in a folder, which need not be there. */
export const responderFiles = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).filter((name) => responderName.test(name)) : [])

/** For the group of the folder, whoever writes: also where the folder does not hand its group on, and as root, who is not the one that reads. */
const sharedWith = (folder: string): FileRights => {
  const { uid, gid } = statSync(folder)
  const self = process.getuid?.() ?? uid
  return { mode: 0o640, owner: { uid: self === 0 ? uid : self, gid } }
}

/** The service keys. One that can't be opened is reported and passed over: a new one is made in its stead. */
export const openServiceKeys = ({ dataFolder, statusKeys }: ServicePlace, { passphrase, former }: ServiceSeal, log: Log): ServiceKeys => {
  const folder = statusKeys ?? dataFolder
  // Who can't rewrite looks only where they belong.
  const places = former === null ? [folder] : [...new Set([folder, dataFolder])]
  const serverFile = path.join(dataFolder, 'server.pem')
  const fileOf = (certificate: Uint8Array): string =>
    path.join(folder, `ocsp-responder-${createHash('sha256').update(certificate).digest('hex').slice(0, 16)}.pem`)

  /** Opening a key is slow on purpose; what is in a file of this name never changes. */
  const opened = new Map<string, { aki: Uint8Array | null; generation: ResponderKey }>()

  const openResponder = (name: string, from: string): void => {
    const found = load(path.join(from, name), path.join(folder, name))
    const certificate = found?.chain[0]
    if (found && certificate) opened.set(name, { aki: readCertificate(certificate).aki, generation: { key: found.key, certificate } })
  }

  const unseal = (text: string): { content: KeyWithChain; outdated: boolean } => {
    try {
      return { content: decode(text, passphrase), outdated: false }
    } catch (error) {
      if (former === null) throw error
      return { content: decode(text, former), outdated: true }
    }
  }
  /** Reads a file that should be at `place`, sealed with the passphrase of today, and makes it so. */
  const load = (file: string, place: string): KeyWithChain | null => {
    let found: ReturnType<typeof unseal>
    try {
      found = unseal(readFileSync(file, 'utf8'))
    } catch (error) {
      log.warn({ file, reason: (error as Error).message }, 'a service key can’t be opened; a new one is made instead')
      return null
    }
    if (found.outdated || file !== place) takeOver(found.content, file, place)
    return found.content
  }
  const takeOver = (content: KeyWithChain, file: string, place: string): void => {
    try {
      save(place, content)
      if (file !== place) rmSync(file, { force: true })
      log.info({ file: place }, 'a service key was taken over')
    } catch (err) {
      // It can be used here all the same; who has only the new passphrase waits for the next generation.
      log.error({ err, file: place }, 'a service key could not be taken over')
    }
  }
  const save = (file: string, content: KeyWithChain): void => {
    const parent = path.dirname(file)
    if (!existsSync(parent)) makePrivateFolder(parent)
    replaceFile(file, encode(content, passphrase), parent === statusKeys ? sharedWith(parent) : undefined)
  }

  return {
    respondersOf: ({ ski }) => ({
      load: async () => {
        const found = places.flatMap((from) => responderFiles(from).map((name) => ({ name, from })))
        for (const { name, from } of found) if (!opened.has(name)) openResponder(name, from)
        return [...new Set(found.map(({ name }) => name))].flatMap((name): ResponderKey[] => {
          const { aki = null, generation } = opened.get(name) ?? {}
          return generation && aki && Buffer.compare(aki, ski) === 0 ? [generation] : []
        })
      },
      save: async ({ key, certificate }) => save(fileOf(certificate), { key, chain: [certificate] }),
      remove: async ({ certificate }) => {
        const name = path.basename(fileOf(certificate))
        for (const place of places) rmSync(path.join(place, name), { force: true })
        opened.delete(name)
        syncFolder(folder)
      },
    }),
    loadServer: () => (existsSync(serverFile) ? load(serverFile, serverFile) : null),
    saveServer: (server) => save(serverFile, server),
  }
}
