/**
 * Keys that the program makes for itself and replaces by itself: OCSP responders and its own HTTPS. They lie beside the database, encrypted with the passphrase
 * of the CA keys, each with its certificate in one PEM file, so that file and certificate can't get apart.
 */
import { createHash, type KeyObject } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { makePrivateFolder, replaceFile, syncFolder } from './files.js'
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

/** The service keys in a folder. One that can't be opened is reported and passed over: a new one is made in its stead. */
export const openServiceKeys = (folder: string, passphrase: string, log: Log): ServiceKeys => {
  const serverFile = path.join(folder, 'server.pem')
  const fileOf = (certificate: Uint8Array): string =>
    path.join(folder, `ocsp-responder-${createHash('sha256').update(certificate).digest('hex').slice(0, 16)}.pem`)

  /** Opening a key is slow on purpose; a file of this name never changes. */
  const opened = new Map<string, { aki: Uint8Array | null; generation: ResponderKey }>()

  const openResponder = (name: string): void => {
    const found = load(path.join(folder, name))
    const certificate = found?.chain[0]
    if (found && certificate) opened.set(name, { aki: readCertificate(certificate).aki, generation: { key: found.key, certificate } })
  }

  const load = (file: string): KeyWithChain | null => {
    try {
      return decode(readFileSync(file, 'utf8'), passphrase)
    } catch (error) {
      log.warn({ file, reason: (error as Error).message }, 'a service key can’t be opened; a new one is made instead')
      return null
    }
  }
  const save = (file: string, content: KeyWithChain): void => {
    if (!existsSync(folder)) makePrivateFolder(folder)
    replaceFile(file, encode(content, passphrase))
  }

  return {
    respondersOf: ({ ski }) => ({
      load: async () => {
        const names = existsSync(folder) ? readdirSync(folder).filter((name) => /^ocsp-responder-[0-9a-f]{16}\.pem$/.test(name)) : []
        for (const name of names) if (!opened.has(name)) openResponder(name)
        return names.flatMap((name): ResponderKey[] => {
          const { aki = null, generation } = opened.get(name) ?? {}
          return generation && aki && Buffer.compare(aki, ski) === 0 ? [generation] : []
        })
      },
      save: async ({ key, certificate }) => save(fileOf(certificate), { key, chain: [certificate] }),
      remove: async ({ certificate }) => {
        const file = fileOf(certificate)
        rmSync(file, { force: true })
        opened.delete(path.basename(file))
        syncFolder(folder)
      },
    }),
    loadServer: () => (existsSync(serverFile) ? load(serverFile) : null),
    saveServer: (server) => save(serverFile, server),
  }
}
