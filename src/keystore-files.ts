/** Reading the files of a key folder: whatever is wrong with one is told with its name. */
import { readFileSync } from 'node:fs'
import { pemDecode } from './pki/pem.js'

/** Something about the keys that an operator must put right; one sentence or several, with the file's name. */
export class KeystoreError extends Error {}

/** A file as text. Throws KeystoreError. */
export const readText = (file: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new KeystoreError(`${file} cannot be read: ${(error as Error).message}`)
  }
}

/** Does `work` and puts the file's name before what it complains of. */
export const about = <T>(file: string, work: () => T): T => {
  try {
    return work()
  } catch (error) {
    if (error instanceof KeystoreError) throw error
    throw new KeystoreError(`${file}: ${(error as Error).message}`)
  }
}

/** The certificates in a PEM file of the folder. */
export const readPem = (file: string): Uint8Array[] => about(file, () => pemDecode('CERTIFICATE', readText(file)))
