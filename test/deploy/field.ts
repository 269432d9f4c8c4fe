/** What deployments are tried with: a CA, certificates as ACME clients leave them, and servers that have an old one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LeafFacts } from '../../src/pki/certificate.js'
import { pemEncode } from '../../src/pki/pem.js'
import { leaf, leafFacts, makeCa } from '../pki/fixtures.js'
import { newFolder } from '../support/program.js'

export const day = 86_400_000
export const domain = 'example.org'

export type Pair = { chain: string; key: string; chainText: string; keyText: string }

export type Server = { dir: string; port: number; reload: string; crt: string; key: string }

type Issued = Partial<LeafFacts> & { domains?: string[]; key?: KeyObject; chain?: boolean }

/** How a server is started: what it does wrong, the domains that have a certificate of their own, those that it does not know, and its address. */
type Setup = { fault?: string; own?: string[]; unknown?: string[]; host?: string }

export const openField = async () => {
  const { folder, remove } = newFolder()
  const children: ChildProcess[] = []
  const ca = await makeCa()

  /** A certificate of the CA as an ACME client leaves it: two files. */
  const issue = async (name: string, { domains = [domain], chain = true, ...change }: Issued = {}): Promise<Pair> => {
    const at = path.join(folder, name)
    mkdirSync(at, { recursive: true })
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const validity = { notBefore: Date.now() - day, notAfter: Date.now() + 30 * day }
    const { der } = await leaf(leafFacts(ca.issuer, domains, { key: privateKey, ...validity, ...change }))
    const files = { chain: path.join(at, 'fullchain.pem'), key: path.join(at, 'privkey.pem') }
    const chainText = [der, ...(chain ? [ca.chain[0] as Uint8Array] : [])].map((one) => pemEncode('CERTIFICATE', one)).join('')
    const keyText = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    writeFileSync(files.chain, chainText)
    writeFileSync(files.key, keyText)
    return { ...files, chainText, keyText }
  }

  /** A server with an old certificate in the place where Prosody has it. */
  const startServer = async (name: string, { fault = '', own = [], unknown = [], host = '127.0.0.1' }: Setup = {}): Promise<Server> => {
    const dir = path.join(folder, `server-${name}`)
    mkdirSync(dir)
    const place = async (of: string): Promise<[string, string]> => {
      const old = await issue(`old-${name}-${of}`, { domains: [of] })
      const [crt, key] = [path.join(dir, `${of}.crt`), path.join(dir, `${of}.key`)] as [string, string]
      writeFileSync(crt, old.chainText)
      writeFileSync(key, old.keyText, { mode: 0o600 })
      return [crt, key]
    }
    const [crt, key] = await place(domain)
    const others = (await Promise.all(own.map(async (one) => [one, ...(await place(one))]))).flat()
    const args = [crt, key, fault, ...others, ...unknown.flatMap((one) => [one, '-', '-'])]
    const child = spawn(process.execPath, [fileURLToPath(new URL('starttls-server.mjs', import.meta.url)), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, HOST: host },
    })
    children.push(child)
    const port = await new Promise<number>((resolve) => child.stdout?.once('data', (line) => resolve(Number(line))))
    return { dir, port, reload: `kill -HUP ${child.pid}`, crt, key }
  }

  const stop = (): void => {
    for (const child of children) child.kill()
    remove()
  }
  return { folder, issue, startServer, stop }
}
