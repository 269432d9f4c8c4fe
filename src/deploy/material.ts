/** Reading the new certificate and its key, and judging them before anything is touched. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { checkChain } from '../check/check.js'
import type { FindingId, Level } from '../check/words.js'
import { OperatorError } from '../open.js'
import { type Description, describeCertificate } from '../pki/describe.js'
import { pemDecode, pemEncode } from '../pki/pem.js'
import type { Source } from './source.js'

const maxFile = 256 * 1024

/** `chain`: DER, leaf first. The texts are PEM of exactly that, whatever else stood in the files. */
export type Material = { chain: Uint8Array[]; chainText: string; keyText: string; key: KeyObject; leaf: Description }

const readText = (file: string): string => {
  try {
    if (statSync(file).size > maxFile) throw new OperatorError(`${file} has more than ${maxFile / 1024} KiB; that is no certificate.`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof OperatorError) throw error
    throw new OperatorError(`${file} cannot be read: ${(error as Error).message}`)
  }
}

/** The certificates of a PEM file as DER. @throws OperatorError where there are none */
export const readChain = (file: string): Uint8Array[] => {
  const text = readText(file)
  try {
    return pemDecode('CERTIFICATE', text)
  } catch (error) {
    throw new OperatorError(`${file} holds no certificate chain: ${(error as Error).message}`)
  }
}

/** @throws OperatorError where a file is not what it should be */
export const readMaterial = async ({ chain: chainFile, key: keyFile }: Pick<Source, 'chain' | 'key'>): Promise<Material> => {
  const chain = readChain(chainFile)
  const keySource = readText(keyFile)
  let key: KeyObject
  try {
    key = createPrivateKey(keySource)
  } catch {
    throw new OperatorError(`${keyFile} holds no private key in PEM without a passphrase.`)
  }
  try {
    return {
      chain,
      chainText: chain.map((der) => pemEncode('CERTIFICATE', der)).join(''),
      keyText: key.export({ type: 'pkcs8', format: 'pem' }) as string,
      key,
      leaf: await describeCertificate(chain[0] as Uint8Array),
    }
  } catch (error) {
    throw new OperatorError(`The first certificate of ${chainFile} cannot be read: ${(error as Error).message}`)
  }
}

/** `faults` keep a certificate from being installed; `warnings` are said. */
export type Verdict = { faults: string[]; warnings: string[] }

/** Findings that a certificate of a CA whose root was not given has, however good it is. */
const ofUnknownRoots = new Set<FindingId>(['root-unknown'])

/**
 * What `check --file` says of this for `domain`: what it calls failing is a fault.
 * @param roots DER of the roots that are trusted beside the public ones; without any, nothing is asked of the root
 * @param now milliseconds since the epoch
 */
export const judgeMaterial = ({ chain, key }: Material, domain: string, roots: readonly Uint8Array[], now: number): Verdict => {
  const keyMatches = new X509Certificate(chain[0] as Uint8Array).checkPrivateKey(key)
  const { findings } = checkChain(chain, domain, roots, keyMatches, 'the chain', now)
  const told = findings.filter(({ id }) => roots.length > 0 || !ofUnknownRoots.has(id))
  const of = (level: Level): string[] => told.filter((one) => one.level === level).map(({ title, detail }) => `${title}. ${detail}`)
  return { faults: of('failing'), warnings: of('warning') }
}
