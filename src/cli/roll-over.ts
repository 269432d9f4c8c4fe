/** An intermediate that follows another, step by step, for the CA of servers (`init`) and the one of users (`user init`). */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Config } from '../config.js'
import { retiredFolder } from '../keystore/inventory.js'
import { readPassphrase } from '../keystore-open.js'
import { importNext, renewIntermediate, requestNext, signRequest } from '../keystore-rollover.js'
import { registerIntermediate } from '../open.js'
import type { Clientele } from '../pki/hierarchy.js'
import { pemEncode } from '../pki/pem.js'
import { readCertificate } from '../pki/read-certificate.js'
import { statusUrls } from '../status-urls.js'
import { operator, withRoot } from './context.js'
import { say, when } from './output.js'

/** Whose intermediate: its folder, whom it is for, and the command that is told of in what to do next. */
export type Succession = { folder: string; clientele: Clientele; command: 'init' | 'user init' }

const restart =
  'Start the CA again, so that it signs with the new one. What the old one has signed stays valid, and its status goes on being published.'
const restartForUsers =
  'Start the CA again, so that it answers for what the new one signs, which "xmpp-ica user issue" does from now on. What the old one has signed stays valid, and its status goes on being published.'
const whatNow = ({ clientele }: Succession): string => (clientele === 'users' ? restartForUsers : restart)

/** Makes the new intermediate where the root's key is, or (`csr`: to stdout, or the name of a file) its key and the request for the root. */
export const followUp = async (config: Config, succession: Succession, csr: true | string | undefined): Promise<void> => {
  const { folder, clientele, command } = succession
  const { passphrase } = readPassphrase(config, false)
  if (!csr) {
    const der = await renewIntermediate(folder, passphrase, Date.now(), (id) => statusUrls(config, id, null), clientele)
    const { commonName, serial } = readCertificate(der)
    return say(`Made "${commonName}" (${serial}); the one before is kept in ${path.join(folder, retiredFolder)}. ${whatNow(succession)}`)
  }
  const pem = await requestNext(folder, passphrase)
  if (typeof csr === 'string') writeFileSync(csr, pem)
  else process.stdout.write(pem)
  say(
    `Let the root sign this request, where it is: xmpp-ica ${command} --sign next.csr --out next.pem. Then here: xmpp-ica ${command} --import next.pem. The CA goes on meanwhile.`,
  )
}

/** Puts what the root made of the request in place of the old one. */
export const takeNext = async (config: Config, succession: Succession, chain: string): Promise<void> => {
  const { folder, clientele } = succession
  const { passphrase } = readPassphrase(config, false)
  await importNext(folder, passphrase, path.resolve(chain), Date.now(), clientele)
  say(`Installed in ${folder}; the one before is kept in ${path.join(folder, retiredFolder)}. ${whatNow(succession)}`)
}

/** The root signs an intermediate that was requested elsewhere. `out`: a file instead of stdout. */
export const signNext = (file: string, out: string | undefined, { clientele, command }: Omit<Succession, 'folder'>): Promise<void> =>
  withRoot('sign', async (core) => {
    const { config, clock, store, root } = core
    const der = await signRequest(root, file, statusUrls(config, root.id, null), clock.now(), clientele)
    await registerIntermediate(store, { id: root.id, issuer: root }, der, { at: clock.now(), actor: operator() })
    const pem = pemEncode('CERTIFICATE', der) + pemEncode('CERTIFICATE', root.certificate)
    if (out === undefined) process.stdout.write(pem)
    else writeFileSync(out, pem)
    const { commonName, serial, notAfter } = readCertificate(der)
    say(
      `Signed "${commonName}" (${serial}), until ${when(notAfter)}. Its status will be looked for at ${statusUrls(config, root.id, null).crl}: ICA_URL or ICA_STATUS_URL must be the same here as on the CA.`,
    )
    say(`Where it was requested: xmpp-ica ${command} --import ${out === undefined ? 'FILE' : path.basename(out)}`)
  })
