/**
 * `@peculiar/x509` with a crypto provider that belongs to it alone. What imports this file is loaded when it is needed, with `import()`: reading files of others and judging
 * chains is for commands, and `serve` must start fast.
 */
import 'reflect-metadata'
import type { webcrypto } from 'node:crypto'
import { Crypto } from '@peculiar/webcrypto'
import * as x509 from '@peculiar/x509'

/** WebCrypto of the libraries: an implementation that shares nothing with what this program signs and verifies by. */
export const crypto = new Crypto() as unknown as webcrypto.Crypto

export { x509 }
