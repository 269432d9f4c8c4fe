/** Making a CA: root and intermediate at once, or an intermediate that somebody else's root signs. Nothing that exists is replaced. */
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { files } from './keystore/inventory.js'
import { KeystoreError, readPem } from './keystore-files.js'
import { installFiles } from './keystore-install.js'
import { explainInventory, inspectKeystore, openKey, openKeystore } from './keystore-open.js'
import { type Issuer, newSerial, type StatusUrls } from './pki/certificate.js'
import { type Clientele, intermediateRequest, makeIntermediate, makeRoot, type Subject } from './pki/hierarchy.js'
import { readIssuer } from './pki/issuer.js'
import { nodeSigner, type Signer } from './pki/keys.js'
import { pemEncode } from './pki/pem.js'
import { encryptPrivateKey } from './pki/private-keys.js'
import { type CertificateInfo, readCertificate } from './pki/read-certificate.js'

const day = 86_400_000
/** Long enough that nobody has to hand out a new root soon; the intermediate is to be replaced well before. */
const rootLifetime = 20 * 365 * day
export const intermediateLifetime = 10 * 365 * day
/** Leaves are back-dated by up to an hour, and must not begin before their issuers. */
export const backdate = day / 12

/** P-384 for what lives for decades and signs rarely, P-256 for what signs every leaf: small and fast everywhere. */
export const newCaKey = (namedCurve: 'P-384' | 'P-256'): KeyObject => generateKeyPairSync('ec', { namedCurve }).privateKey

export const pem = (der: Uint8Array): string => pemEncode('CERTIFICATE', der)

/** The names of a new CA's root and intermediate. At most 64 characters each, so `name` has at most 51. */
export const subjectsOf = (name: string): { root: Subject; intermediate: Subject } => {
  const trimmed = name.trim()
  if (trimmed === '' || [...trimmed].length > 51 || /\p{C}/u.test(trimmed))
    throw new KeystoreError('The name of the CA must have 1 to 51 printable characters.')
  return { root: { commonName: `${trimmed} Root` }, intermediate: { commonName: `${trimmed} Intermediate` } }
}

const mustBeEmpty = (folder: string): void => {
  const inventory = inspectKeystore(folder)
  if (inventory.state === 'empty') return
  throw new KeystoreError(
    explainInventory(folder, inventory) ?? `${folder} holds a CA already; it is left as it is. Set ICA_KEYS to another folder for a new one.`,
  )
}

/** What a new CA is to be. */
export type Plan = { subjects: ReturnType<typeof subjectsOf>; clientele: Clientele }

/**
 * Makes root and intermediate.
 * @param plan a name stands for a CA of servers that is called so
 * @param rootUrls where what the root signs points to, by the root's id
 * @returns false where another process made them at the same moment
 */
export const createCa = async (
  folder: string,
  passphrase: string,
  plan: string | Plan,
  now: number,
  rootUrls: (rootId: string) => StatusUrls,
): Promise<boolean> => {
  mustBeEmpty(folder)
  const { subjects, clientele }: Plan = typeof plan === 'string' ? { subjects: subjectsOf(plan), clientele: 'servers' } : plan
  const today = Math.floor(now / 1000) * 1000
  const notBefore = today - backdate
  const rootKey = newCaKey('P-384')
  const intermediateKey = newCaKey('P-256')
  const signer = nodeSigner(rootKey)
  const root = await makeRoot({ serial: newSerial(randomBytes), subject: subjects.root, signer, notBefore, notAfter: today + rootLifetime })
  const issuer: Issuer = readIssuer([root], signer, now)
  const intermediate = await makeIntermediate({
    serial: newSerial(randomBytes),
    subject: subjects.intermediate,
    publicKey: nodeSigner(intermediateKey).publicKey,
    issuer,
    urls: rootUrls(issuer.id),
    notBefore,
    notAfter: today + intermediateLifetime,
    clientele,
  })
  return installFiles(folder, {
    [files.rootKey]: encryptPrivateKey(rootKey, passphrase),
    [files.root]: pem(root),
    [files.intermediateKey]: encryptPrivateKey(intermediateKey, passphrase),
    [files.intermediate]: pem(intermediate),
  })
}

/**
 * Makes a key for an intermediate and the request (PEM) that a root elsewhere is to sign, somebody else's or our own where the intermediate was moved away; for a
 * key that waits already, a new request.
 */
export const requestIntermediate = async (folder: string, passphrase: string, name: string): Promise<string> => {
  const subject = subjectsOf(name).intermediate
  const inventory = inspectKeystore(folder)
  const waiting = inventory.state === 'requested'
  if (!waiting && !(inventory.state === 'incomplete' && inventory.rootOnly)) mustBeEmpty(folder)
  const key = waiting ? openKey(folder, files.intermediateKey, passphrase) : newCaKey('P-256')
  const request = pemEncode('CERTIFICATE REQUEST', await intermediateRequest(subject, nodeSigner(key)))
  if (!waiting) installFiles(folder, { [files.intermediateKey]: encryptPrivateKey(key, passphrase), [files.request]: request })
  return request
}

/** The chain in the order that verifying wants, whatever order the file has: ours by its key, then issuer after issuer. */
const sortChain = (
  certificates: Uint8Array[],
  first: (certificate: Uint8Array) => boolean,
  follows: (a: Uint8Array, b: Uint8Array) => boolean,
): Uint8Array[] => {
  const rest = [...certificates]
  const chain: Uint8Array[] = []
  let wanted = first
  for (;;) {
    const index = rest.findIndex(wanted)
    if (index < 0) return chain
    const [found] = rest.splice(index, 1) as [Uint8Array]
    chain.push(found)
    wanted = (candidate) => follows(found, candidate)
  }
}

/**
 * The chain in a PEM file, in any order there, for a key of ours: the intermediate's certificate first, whatever stands above it, and the root last, which must be the one in
 * `rootFile` where that exists. Judged twice: by this program and by the libraries of the field.
 * @throws KeystoreError in words: not for our key, root missing, wrong purposes, expired, …
 */
export const readChainFile = async (
  file: string,
  signer: Signer,
  keyFile: string,
  rootFile: string,
  now: number,
  clientele: Clientele = 'servers',
): Promise<Uint8Array[]> => {
  const certificates = readPem(file)
  const hasRoot = existsSync(rootFile)
  const read = (der: Uint8Array): CertificateInfo => {
    try {
      return readCertificate(der)
    } catch (error) {
      throw new KeystoreError(`${file}: ${(error as Error).message}`)
    }
  }
  const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
  // The root need not be said again where it is known.
  const known = hasRoot ? readPem(rootFile).filter((root) => !certificates.some((one) => same(one, root))) : []
  const chain = sortChain(
    [...certificates, ...known],
    (der) => read(der).publicKey.keyId === signer.publicKey.keyId,
    (a, b) => same(read(a).issuer, read(b).subject) && !same(a, b),
  )
  if (chain.length === 0) throw new KeystoreError(`${file}: none of its ${certificates.length} certificates is for the key in ${keyFile}.`)
  if (chain.length === 1) throw new KeystoreError(`${file}: the certificate of the root that signed the intermediate is missing. Add it to the file.`)
  if (hasRoot && !same(readPem(rootFile)[0] as Uint8Array, chain.at(-1) as Uint8Array)) {
    throw new KeystoreError(`${file}: ends with another root than ${rootFile}. A new root needs a new folder (ICA_KEYS).`)
  }
  try {
    readIssuer(chain, signer, now, clientele)
  } catch (error) {
    throw new KeystoreError(`${file}: ${(error as Error).message}`)
  }
  // Loaded when needed: the libraries take a while, and serve needs none of them.
  const { judgeChain } = await import('./pki/judge.js')
  const fault = await judgeChain(chain, now)
  if (fault) throw new KeystoreError(`${file}: ${fault}`)
  return chain
}

/** Checks and installs what a root made of our request; the file is as {@link readChainFile} wants it. */
export const importChain = async (folder: string, passphrase: string, file: string, now: number): Promise<void> => {
  const inventory = inspectKeystore(folder)
  const renewal = inventory.state === 'incomplete' && inventory.missing.join() === files.intermediate
  const rootFile = path.join(folder, files.root)
  if (inventory.state === 'complete') {
    throw new KeystoreError(
      `${folder} has its certificates already. For a renewed one move ${path.join(folder, files.intermediate)} away first, then import again; for a new key: xmpp-ica init --new-intermediate --csr next.csr`,
    )
  }
  if (inventory.state !== 'requested' && !renewal) throw new KeystoreError(explainInventory(folder, inventory) ?? '')
  const signer = nodeSigner(openKey(folder, files.intermediateKey, passphrase))
  const chain = await readChainFile(file, signer, files.intermediateKey, rootFile, now)
  const root = chain.at(-1) as Uint8Array
  installFiles(folder, {
    ...(!existsSync(rootFile) && { [files.root]: pem(root) }),
    [files.intermediate]: chain.slice(0, -1).map(pem).join(''),
  })
  openKeystore(folder, passphrase, now)
}
