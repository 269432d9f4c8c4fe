/** Who gets and revokes certificates in a soak: subscribers by ACME, and the operator at the command line. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { pemDecode } from '../src/pki/pem.js'
import { readCertificate } from '../src/pki/read-certificate.js'
import type { DnsServer } from '../test/support/dns-server.js'
import { createCsr, createLeanClient } from '../test/support/lean-acme.js'
import { bareEnvironment, program } from './ocsp-servers.js'
import { pick } from './soak-clients.js'
import type { Truth, Truths } from './soak-truth.js'

export const done = { issued: 0, 'revoked by ACME': 0, 'revoked by command': 0 }

const crlIn = (der: Uint8Array): string => /http:\/\/[\w.:/-]+\.crl/.exec(Buffer.from(der).toString('latin1'))?.[0] ?? ''

/** The reasons that a subscriber may give (RFC 5280 §5.3.1), but keyCompromise, which would look for the key among all certificates. */
const reasons = [0, 4, 5]

/** An account that orders a name after the other and revokes about half of them later. */
export const subscribe = async (origin: string, dns: DnsServer, truths: Truths, tag: string, running: () => boolean): Promise<void> => {
  const directory = `${origin}/acme/directory`
  const { revokeCert } = (await (await fetch(directory)).json()) as { revokeCert: string }
  const publish = async (name: string, value: string): Promise<void> => dns.set(name, 'TXT', value)
  const client = await createLeanClient({ origin, directory, publish })
  const own: { truth: Truth; certificate: string }[] = []

  const issue = async (name: string): Promise<void> => {
    const { url, order } = await client.newOrder([name])
    const [der] = pemDecode('CERTIFICATE', await client.complete(url, createCsr([name]), { known: order }))
    dns.set(`_acme-challenge.${name}`, 'TXT')
    const truth = truths.add(readCertificate(der as Uint8Array).serial, crlIn(der as Uint8Array))
    own.push({ truth, certificate: Buffer.from(der as Uint8Array).toString('base64url') })
    done.issued++
  }
  const revoke = async (): Promise<void> => {
    const { truth, certificate } = pick(own)
    // The operator may have been faster.
    if (truth.revokingAt !== null) return
    truth.revokingAt = performance.now()
    await client.post(revokeCert, { certificate, reason: pick(reasons) })
    truth.revokedAt = performance.now()
    done['revoked by ACME']++
  }
  for (let i = 0; running(); i++) {
    await issue(`${tag}${i}.test`)
    if (i % 2 === 1) await revoke()
    await sleep(50)
  }
  client.close()
}

/** The operator revokes a few at once, by a file of serials. */
export const operate = async (folder: string, environment: Record<string, string>, truths: Truths): Promise<void> => {
  const valid = truths.list.filter(({ revokingAt }) => revokingAt === null)
  const chosen = [...new Set(Array.from({ length: Math.min(3, valid.length) }, () => pick(valid)))]
  if (chosen.length === 0) return
  const file = path.join(folder, 'serials')
  writeFileSync(file, chosen.map(({ serial }) => `${serial}\n`).join(''))
  const now = performance.now()
  for (const truth of chosen) truth.revokingAt = now
  const args = [program, 'revoke', '--file', file, '--reason', 'cessationOfOperation', '--yes']
  await promisify(execFile)(process.execPath, args, { cwd: folder, env: { ...bareEnvironment(), ...environment } })
  const then = performance.now()
  for (const truth of chosen) truth.revokedAt = then
  done['revoked by command'] += chosen.length
}
