/**
 * Orders by npm's acme-client, with the profile that Debian's clients can't ask for.
 *
 *   node --import tsx test/e2e/acme-client.ts DIRECTORY TXT_URL FOLDER
 */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import acme from 'acme-client'

const [directoryUrl, txtUrl, folder] = process.argv.slice(2) as [string, string, string]
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

const issue = async (file: string, names: [string, ...string[]], profile: string): Promise<string> => {
  const identifiers = names.map((value) => ({ type: 'dns', value }))
  const order = await client.createOrder({ identifiers, profile } as Parameters<typeof client.createOrder>[0])
  for (const authorization of await client.getAuthorizations(order)) {
    const challenge = authorization.challenges.find((c) => c.type === 'dns-01')
    if (!challenge) throw new Error('no dns-01')
    const host = `_acme-challenge.${authorization.identifier.value}.`
    await txt('set-txt', { host, value: await client.getChallengeKeyAuthorization(challenge) })
    await client.completeChallenge(challenge)
    await client.waitForValidStatus(challenge)
    await txt('clear-txt', { host })
  }
  const [, csr] = await acme.crypto.createCsr({ commonName: names[0], altNames: names }, await acme.crypto.createPrivateEcdsaKey('P-384'))
  const pem = await client.getCertificate(await client.finalizeOrder(order, csr))
  writeFileSync(path.join(folder, file), pem)
  return pem
}

await issue('idn.pem', ['xn--bcher-kva.npm.test'], 'xmpp-server-3920')
const second = await issue('revoked.pem', ['second.npm.test', 'third.npm.test'], 'xmpp-server')
await client.revokeCertificate(second, { reason: 4 })
