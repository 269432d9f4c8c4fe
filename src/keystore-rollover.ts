/**
 * A new intermediate beside the one that works: made by a root that is here, or requested here, signed where the root is, and imported. The old one is kept (`retired/`), because
 * what it has signed still has to be answered for; nothing is ever deleted. The same for the CA of servers and, in its folder, for the one of users.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { makePrivateFolder, syncFolder, writeNewFile } from './files.js'
import { files, next, retiredFolder } from './keystore/inventory.js'
import { KeystoreError, readPem } from './keystore-files.js'
import { installFiles, replaceFiles } from './keystore-install.js'
import { backdate, intermediateLifetime, newCaKey, pem, readChainFile } from './keystore-make.js'
import { inspectKeystore, openCa, openKey, openRoot } from './keystore-open.js'
import { type Issuer, newSerial, type StatusUrls } from './pki/certificate.js'
import { type Clientele, intermediateRequest, makeIntermediate, type Subject } from './pki/hierarchy.js'
import { nodeSigner, type PublicKeyInfo } from './pki/keys.js'
import { pemEncode } from './pki/pem.js'
import { encryptPrivateKey } from './pki/private-keys.js'
import { issuerId, readCertificate } from './pki/read-certificate.js'

/** RFC 5280 appendix A. */
const maxCommonName = 64

/** Each intermediate has a name of its own, because many programs look for issuers by name: "… Intermediate 2" after "… Intermediate". */
export const nextName = (commonName: string): string => {
  const [, base = commonName, number] = /^(.*?)(?: ([1-9]\d*))?$/.exec(commonName) ?? []
  const suffix = ` ${Number(number ?? 1) + 1}`
  return base.slice(0, maxCommonName - suffix.length) + suffix
}

const currentName = (folder: string): string => {
  const file = path.join(folder, files.intermediate)
  return readCertificate(readPem(file)[0] as Uint8Array).commonName ?? 'Intermediate'
}

const mustBeComplete = (folder: string): void => {
  if (inspectKeystore(folder).state !== 'complete') {
    throw new KeystoreError(
      `There is no complete CA in ${folder}, whose intermediate could be followed by another. Without the options: xmpp-ica init`,
    )
  }
}

/** Keeps the intermediate that is to be followed, then puts the new one in its place. Works the same where it was interrupted and is done again. */
const follow = (folder: string, key: string, chain: readonly Uint8Array[]): void => {
  const at = path.join(folder, retiredFolder)
  const [old] = readPem(path.join(folder, files.intermediate))
  const { ski, publicKey } = readCertificate(old as Uint8Array)
  const id = issuerId(ski ?? publicKey.ski)
  if (!existsSync(at)) mkdirSync(at, { mode: 0o700 })
  makePrivateFolder(at)
  for (const [from, to] of [
    [files.intermediateKey, `${id}.key`],
    [files.intermediate, `${id}.pem`],
  ] as const) {
    const kept = path.join(at, to)
    const content = readFileSync(path.join(folder, from), 'utf8')
    if (!existsSync(kept)) writeNewFile(kept, content)
    else if (readFileSync(kept, 'utf8') !== content)
      throw new KeystoreError(`${kept} is there already and is something else. Move it away first. Nothing was changed.`)
  }
  replaceFiles(folder, { [files.intermediateKey]: key, [files.intermediate]: chain.map(pem).join('') })
  for (const name of Object.values(next)) rmSync(path.join(folder, name), { force: true })
  syncFolder(folder)
}

/** An intermediate signed by the root; its certificate (DER). */
const signIntermediate = (
  root: Issuer,
  subject: Subject,
  publicKey: PublicKeyInfo,
  urls: StatusUrls,
  now: number,
  clientele: Clientele,
): Promise<Uint8Array> => {
  const today = Math.floor(now / 1000) * 1000
  return makeIntermediate({
    serial: newSerial(randomBytes),
    subject,
    publicKey,
    issuer: root,
    urls,
    notBefore: Math.max(today - backdate, root.notBefore),
    notAfter: Math.min(today + intermediateLifetime, root.notAfter),
    clientele,
  })
}

/** Makes a new intermediate with the root that is here. The running CA takes it when it is started again. */
export const renewIntermediate = async (
  folder: string,
  passphrase: string,
  now: number,
  rootUrls: (rootId: string) => StatusUrls,
  clientele: Clientele = 'servers',
): Promise<Uint8Array> => {
  mustBeComplete(folder)
  if (existsSync(path.join(folder, next.key)))
    throw new KeystoreError(
      `${path.join(folder, next.key)} waits for its certificate. Import that, or move ${next.key} and ${next.request} away first.`,
    )
  const root = openRoot(folder, passphrase, now)
  const key = newCaKey('P-256')
  const subject = { commonName: nextName(currentName(folder)) }
  const der = await signIntermediate(root, subject, nodeSigner(key).publicKey, rootUrls(root.id), now, clientele)
  follow(folder, encryptPrivateKey(key, passphrase), [der])
  openCa(folder, passphrase, now, clientele)
  return der
}

/** Makes the key of the next intermediate and the request (PEM) that the root is to sign; for a key that waits already, a new request. The CA goes on as it is. */
export const requestNext = async (folder: string, passphrase: string): Promise<string> => {
  mustBeComplete(folder)
  const waiting = existsSync(path.join(folder, next.key))
  const key = waiting ? openKey(folder, next.key, passphrase) : newCaKey('P-256')
  const request = pemEncode('CERTIFICATE REQUEST', await intermediateRequest({ commonName: nextName(currentName(folder)) }, nodeSigner(key)))
  if (!waiting) installFiles(folder, { [next.key]: encryptPrivateKey(key, passphrase), [next.request]: request })
  return request
}

/** Whether the key of a next intermediate waits for its certificate. */
export const awaitsNext = (folder: string): boolean => {
  if (inspectKeystore(folder).state !== 'complete' || !existsSync(path.join(folder, next.key))) return false
  const text = (name: string): string => readFileSync(path.join(folder, name), 'utf8')
  if (text(next.key) !== text(files.intermediateKey)) return true
  // It is in place; only the cleaning up was interrupted.
  for (const name of Object.values(next)) rmSync(path.join(folder, name), { force: true })
  return false
}

/** Checks what the root made of the request of {@link requestNext} and puts it in place of the old one. */
export const importNext = async (folder: string, passphrase: string, file: string, now: number, clientele: Clientele = 'servers'): Promise<void> => {
  mustBeComplete(folder)
  const signer = nodeSigner(openKey(folder, next.key, passphrase))
  const chain = await readChainFile(file, signer, next.key, path.join(folder, files.root), now, clientele)
  follow(folder, readFileSync(path.join(folder, next.key), 'utf8'), chain.slice(0, -1))
  openCa(folder, passphrase, now, clientele)
}

/**
 * Signs the request of an intermediate with the root. Of the request are taken the key and the name, nothing else.
 * @returns the certificate (DER)
 */
export const signRequest = async (
  root: Issuer,
  file: string,
  rootUrls: StatusUrls,
  now: number,
  clientele: Clientele = 'servers',
): Promise<Uint8Array> => {
  const { readIntermediateRequest } = await import('./pki/intermediate-request.js')
  let pemText: string
  try {
    pemText = readFileSync(file, 'utf8')
  } catch (error) {
    throw new KeystoreError(`${file} cannot be read: ${(error as Error).message}`)
  }
  const { subject, publicKey } = await readIntermediateRequest(pemText).catch((error: Error) => {
    throw new KeystoreError(`${file}: ${error.message}`)
  })
  return signIntermediate(root, subject, publicKey, rootUrls, now, clientele)
}

/** The certificates (DER) of every intermediate that has been followed, also of those that have expired. */
export const retiredCertificates = (folder: string): Uint8Array[] => {
  const at = path.join(folder, retiredFolder)
  if (!existsSync(at)) return []
  return readdirSync(at)
    .filter((name) => name.endsWith('.pem'))
    .flatMap((name) => readPem(path.join(at, name)).slice(0, 1))
}
