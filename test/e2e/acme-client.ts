/**
 * Orders by npm's acme-client, through each challenge, with the profile that Debian's clients can't ask for; a renewal; a revocation.
 *
 *   node --import tsx test/e2e/acme-client.ts DIRECTORY TXT_URL WEBROOT ALPN_FOLDER FOLDER
 */
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import acme from 'acme-client'

type Authorization = Parameters<typeof acme.crypto.createAlpnCertificate>[0]
/** Puts the answer to a challenge in place, and gives what takes it away again. */
type Answer = (authorization: Authorization, token: string, keyAuthorization: string) => Promise<() => void | Promise<void>>

const [directoryUrl, txtUrl, webroot, alpnFolder, folder] = process.argv.slice(2) as [string, string, string, string, string]
const client = new acme.Client({
  directoryUrl,
  accountKey: await acme.crypto.createPrivateEcdsaKey('P-256'),
  backoffMin: 50,
  backoffMax: 1000,
  backoffAttempts: 40,
})
await client.createAccount({ termsOfServiceAgreed: true })

const txt = async (action: string, body: object) => {
  const reply = await fetch(`${txtUrl}/${action}`, { method: 'POST', body: JSON.stringify(body) })
  if (!reply.ok) throw new Error(`${action}: ${reply.status}`)
}

const answers: Record<string, Answer> = {
  'dns-01': async ({ identifier }, _, value) => {
    const host = `_acme-challenge.${identifier.value}.`
    await txt('set-txt', { host, value })
    return () => txt('clear-txt', { host })
  },
  'http-01': async (_, token, keyAuthorization) => {
    const file = path.join(webroot, '.well-known/acme-challenge', token)
    writeFileSync(file, keyAuthorization)
    return () => rmSync(file)
  },
  'tls-alpn-01': async (authorization, _, keyAuthorization) => {
    const [key, certificate] = await acme.crypto.createAlpnCertificate(authorization, keyAuthorization)
    const at = path.join(alpnFolder, authorization.identifier.value)
    writeFileSync(`${at}.key.pem`, key)
    writeFileSync(`${at}.crt.pem`, certificate)
    return () => {
      for (const end of ['key', 'crt']) rmSync(`${at}.${end}.pem`)
    }
  },
}

const issue = async (file: string, names: [string, ...string[]], type = 'dns-01', profile = 'xmpp-server'): Promise<string> => {
  const identifiers = names.map((value) => ({ type: 'dns', value }))
  const order = await client.createOrder({ identifiers, profile } as Parameters<typeof client.createOrder>[0])
  for (const authorization of await client.getAuthorizations(order)) {
    if (authorization.status === 'valid') continue
    const challenge = authorization.challenges.find((c) => c.type === type)
    if (!challenge) throw new Error(`no ${type}`)
    const takeAway = await (answers[type] as Answer)(authorization, challenge.token, await client.getChallengeKeyAuthorization(challenge))
    await client.completeChallenge(challenge)
    await client.waitForValidStatus(challenge)
    await takeAway()
  }
  const [, csr] = await acme.crypto.createCsr({ commonName: names[0], altNames: names }, await acme.crypto.createPrivateEcdsaKey('P-384'))
  const pem = await client.getCertificate(await client.finalizeOrder(order, csr))
  writeFileSync(path.join(folder, file), pem)
  return pem
}

await issue('idn.pem', ['xn--bcher-kva.npm.test'], 'dns-01', 'xmpp-server-3920')
await issue('http.pem', ['http.npm.test'], 'http-01')
await issue('alpn.pem', ['alpn.npm.test'], 'tls-alpn-01')
const second = await issue('revoked.pem', ['second.npm.test', 'third.npm.test'])
await issue('renewed.pem', ['second.npm.test', 'third.npm.test'])
await client.revokeCertificate(second, { reason: 4 })
