/** The CA's keys on disk: opening them with every check, and making them without ever touching what is there. What the folder may hold: keystore/inventory.ts. */
import { type KeyObject, randomBytes } from 'node:crypto'
import { existsSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { makePrivateFolder, writeNewFile } from './files.js'
import { files, type Inventory, permissionFault, retiredFolder, takeInventory, usersFolder } from './keystore/inventory.js'
import { type CrossChain, openCross } from './keystore-cross.js'
import { about, KeystoreError, readPem, readText } from './keystore-files.js'
import { finishInstall } from './keystore-install.js'
import type { Issuer } from './pki/certificate.js'
import type { Clientele } from './pki/hierarchy.js'
import { readIssuer } from './pki/issuer.js'
import { nodeSigner, type PublicKeyInfo } from './pki/keys.js'
import { decryptPrivateKey } from './pki/private-keys.js'
import { issuerId, readCertificate } from './pki/read-certificate.js'

/** A CA of one clientele: a root and what it has signed. */
export type CaKeys = {
  folder: string
  /** The CA that signs. */
  intermediate: Issuer
  /** The root; `signer` is null where its key is not here. */
  root: { id: string; certificate: Uint8Array; publicKey: PublicKeyInfo; notAfter: number; commonName: string; issuer: Issuer | null }
  /** Intermediates that have been followed and whose certificates may still be valid; newest first. */
  retired: Issuer[]
  /** Ways to other roots. */
  cross: CrossChain[]
  /** What an operator should know although the start goes on. */
  notes: string[]
}

/** The CA, and the user CA beside it where there is one. */
export type Keystore = CaKeys & { users: CaKeys | null }

const year = 365 * 86_400_000

const checkMode = (file: string, kind: 'folder' | 'key' | 'passphrase'): void => {
  const fault = permissionFault(file, statSync(file).mode, kind)
  if (fault) throw new KeystoreError(fault)
}

/** What is in a folder of keys; an interrupted installation is finished first. A folder that does not exist is empty. */
export const inspectKeystore = (folder: string): Inventory => {
  if (!existsSync(folder)) return { state: 'empty' }
  try {
    finishInstall(folder)
    return takeInventory(readdirSync(folder))
  } catch (error) {
    throw new KeystoreError(`${folder} cannot be read: ${(error as Error).message}`)
  }
}

/** Where a passphrase is kept that nobody configured. */
export const generatedPassphraseFile = (dataFolder: string): string => path.join(dataFolder, 'ca-keys.passphrase')

const firstLine = (file: string, what: string): string => {
  checkMode(file, 'passphrase')
  const line = readText(file).split(/\r?\n/, 1)[0] ?? ''
  if (line === '') throw new KeystoreError(`${file} is empty: its first line must be ${what}.`)
  return line
}

/**
 * The passphrase of the keys: the first line of the configured file, or of the one that is generated beside the data.
 * @param make generate one where nothing is configured and none was generated before; never where keys exist
 */
export const readPassphrase = (
  { passphraseFile, dataFolder }: { passphraseFile: string | null; dataFolder: string },
  make: boolean,
): { passphrase: string; generated: boolean; file: string } => {
  const file = passphraseFile ?? generatedPassphraseFile(dataFolder)
  if (!existsSync(file)) {
    if (passphraseFile)
      throw new KeystoreError(`ICA_KEY_PASSPHRASE_FILE: ${file} does not exist. Write the passphrase of the CA keys into it, with mode 600.`)
    if (!make)
      throw new KeystoreError(
        `The passphrase of the keys is not in ${file}, beside the database, where it would have been generated. Check DATABASE_URL, restore that file, or set ICA_KEY_PASSPHRASE_FILE.`,
      )
    makePrivateFolder(dataFolder)
    try {
      writeNewFile(file, `${randomBytes(24).toString('base64url')}\n`)
    } catch (error) {
      // Another process that starts at the same moment was first: its passphrase counts.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new KeystoreError(`${file} cannot be written: ${(error as Error).message}`)
    }
  }
  return { passphrase: firstLine(file, 'the passphrase of the CA keys'), generated: passphraseFile === null, file }
}

/**
 * The passphrase of the service keys where they have one of their own; null where they have not.
 * @param passphrase that of the CA keys, where it is known: it must be another
 */
export const readServicePassphrase = (file: string | null, passphrase: string | null): string | null => {
  if (file === null) return null
  if (!existsSync(file)) {
    throw new KeystoreError(
      `ICA_SERVICE_PASSPHRASE_FILE: ${file} does not exist, or this user can’t reach it. Write a passphrase of its own into it, with mode 640.`,
    )
  }
  const own = firstLine(file, 'the passphrase of the service keys')
  if (own === passphrase)
    throw new KeystoreError(`${file} has the passphrase of the CA keys: who serves status alone must not know that. Write another one into it.`)
  return own
}

/** A private key of the folder. Throws KeystoreError that names the file. */
export const openKey = (folder: string, name: string, passphrase: string): KeyObject => {
  const file = path.join(folder, name)
  checkMode(file, 'key')
  return about(file, () => decryptPrivateKey(readText(file), passphrase))
}

/** Why a folder is not a usable CA, and what to do; null for one that is. */
export const explainInventory = (folder: string, inventory: Inventory): string | null => {
  if (inventory.state === 'complete') return null
  if (inventory.state === 'empty') return `There are no CA keys in ${folder}. "xmpp-ica init" makes them; if there should be some, check ICA_KEYS.`
  if (inventory.state === 'requested') {
    return `${folder} waits for the certificate of its intermediate. Let the root sign ${files.request}, then: xmpp-ica init --import chain.pem`
  }
  const { present, missing } = inventory
  return (
    `${folder} is incomplete: ${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing, while ${present.join(', ')} ${present.length > 1 ? 'are' : 'is'} there. ` +
    'Nothing was changed. Restore what is missing from a backup; only if this CA was never used, move the rest away and start again.'
  )
}

/** The root with its key, where it is: in a whole CA, or alone in a folder on the medium where it is kept. Throws KeystoreError. */
export const openRoot = (folder: string, passphrase: string, now: number): Issuer => {
  const inventory = inspectKeystore(folder)
  if (!existsSync(path.join(folder, files.rootKey)) || !existsSync(path.join(folder, files.root))) {
    throw new KeystoreError(
      `${files.rootKey} and ${files.root} are not both in ${folder} (${inventory.state}): only the root can do this. Run it where they are, or set ICA_KEYS.`,
    )
  }
  checkMode(folder, 'folder')
  const rootFile = path.join(folder, files.root)
  const signer = nodeSigner(openKey(folder, files.rootKey, passphrase))
  return about(rootFile, () => readIssuer(readPem(rootFile), signer, now))
}

/** The intermediates that were followed and have not expired. One whose key was destroyed is left out, and noted. */
const openRetired = (folder: string, root: Uint8Array, passphrase: string, now: number, clientele: Clientele, notes: string[]): Issuer[] => {
  const at = path.join(folder, retiredFolder)
  if (!existsSync(at)) return []
  const names = readdirSync(at).filter((name) => name.endsWith('.pem'))
  const issuers = names.flatMap((name): Issuer[] => {
    const file = path.join(at, name)
    const chain = readPem(file)
    const key = name.replace(/\.pem$/, '.key')
    if (about(file, () => readCertificate(chain[0] as Uint8Array)).notAfter <= now) return []
    if (!existsSync(path.join(at, key))) {
      notes.push(`${path.join(at, key)} is missing: OCSP answers and CRLs for what that intermediate has signed can't be made.`)
      return []
    }
    const signer = nodeSigner(openKey(at, key, passphrase))
    return [about(file, () => readIssuer([...chain, root], signer, now, clientele))]
  })
  return issuers.sort((a, b) => b.notBefore - a.notBefore)
}

/** Opens and checks the CA of one clientele, as {@link openKeystore} does. Throws KeystoreError. */
export const openCa = (folder: string, passphrase: string, now: number, clientele: Clientele): CaKeys => {
  const inventory = inspectKeystore(folder)
  if (inventory.state !== 'complete') throw new KeystoreError(explainInventory(folder, inventory) ?? '')
  checkMode(folder, 'folder')
  const rootFile = path.join(folder, files.root)
  const intermediateFile = path.join(folder, files.intermediate)
  const [root, ...more] = readPem(rootFile)
  if (!root || more.length > 0) throw new KeystoreError(`${rootFile} must hold one certificate, the root; it holds ${more.length + 1}.`)
  const rootInfo = about(rootFile, () => readCertificate(root))
  const signer = nodeSigner(openKey(folder, files.intermediateKey, passphrase))
  const intermediate = about(intermediateFile, () => readIssuer([...readPem(intermediateFile), root], signer, now, clientele))
  const rootSigner = inventory.rootKey ? nodeSigner(openKey(folder, files.rootKey, passphrase)) : null
  const rootIssuer = rootSigner && about(rootFile, () => readIssuer([root], rootSigner, now, clientele))
  const notes: string[] = []
  const retired = openRetired(folder, root, passphrase, now, clientele, notes).filter(({ id }) => id !== intermediate.id)
  if (!rootIssuer) notes.push(`${files.rootKey} is not here (offline root): its CRL comes from where it is, by "xmpp-ica crl --import root.crl".`)
  for (const [name, notAfter] of [['root', rootInfo.notAfter] as const, ['intermediate', intermediate.notAfter] as const]) {
    if (notAfter - now < year / 2)
      notes.push(`The ${name} certificate expires on ${new Date(notAfter).toISOString().slice(0, 10)}: certificates end with it.`)
  }
  return {
    folder,
    intermediate,
    root: {
      id: rootIssuer?.id ?? issuerId(rootInfo.ski ?? rootInfo.publicKey.ski),
      certificate: root,
      publicKey: rootInfo.publicKey,
      notAfter: rootInfo.notAfter,
      commonName: rootInfo.commonName ?? 'root',
      issuer: rootIssuer,
    },
    retired,
    cross: openCross(folder, { intermediate, retired, root: { certificate: root, publicKey: rootInfo.publicKey } }, now, notes),
    notes,
  }
}

/** The user CA in the folder of the CA; null where none was made. Throws KeystoreError where it is not one of its own. */
const openUsers = (ca: CaKeys, passphrase: string, now: number): CaKeys | null => {
  const folder = path.join(ca.folder, usersFolder)
  if (inspectKeystore(folder).state === 'empty') return null
  const users = openCa(folder, passphrase, now, 'users')
  const keys = [users.root, users.intermediate].map(({ publicKey }) => publicKey.keyId)
  if ([ca.root, ca.intermediate, ...ca.retired].some(({ publicKey }) => keys.includes(publicKey.keyId)))
    throw new KeystoreError(`${folder} has a key of the server CA: users need a root and an intermediate of their own.`)
  return { ...users, notes: users.notes.map((note) => `User CA: ${note}`) }
}

/**
 * Opens the CA, and the user CA in it, and checks all of it: permissions, passphrase, keys against certificates, signatures, times.
 * @param now milliseconds since the epoch
 * @throws KeystoreError that names the file and what to do
 */
export const openKeystore = (folder: string, passphrase: string, now: number): Keystore => {
  const ca = openCa(folder, passphrase, now, 'servers')
  const users = openUsers(ca, passphrase, now)
  return { ...ca, users, notes: [...ca.notes, ...(users?.notes ?? [])] }
}
