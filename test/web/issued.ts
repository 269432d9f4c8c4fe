/** A real CA and a certificate that the form's own client got from it. */
import { type Account, type AcmeClient, createAcmeClient, dnsValue } from '../../web/src/acme/client.js'
import type { AcmeIdentifier } from '../../web/src/acme/resources.js'
import type { TransportOptions } from '../../web/src/acme/transport.js'
import { pemBlocks } from '../../web/src/keys/base64.js'
import { makeCsr } from '../../web/src/keys/csr.js'
import { newAccountKey, newCertificateKey } from '../../web/src/keys/private-keys.js'
import { createTestApp, proven, type TestApp, type TestAppOptions } from '../support/app.js'

/** Waits as short as the validation queue of the tests is quick. */
export const quick: TransportOptions = { wait: () => new Promise((resolve) => setTimeout(resolve, 5)) }

export const startClient = async (options: TestAppOptions = {}, transport: TransportOptions = {}) => {
  const app = await createTestApp(options)
  app.played.set('*', proven)
  const client = createAcmeClient(app.directory, { ...quick, ...transport })
  const account = await client.newAccount(await newAccountKey(), { termsOfServiceAgreed: true })
  return { app, client, account }
}

type With = { app: TestApp; client: AcmeClient; account: Account }

/** From newOrder to the chain, proving every name by DNS. */
export const issue = async (
  { client, account }: With,
  identifiers: AcmeIdentifier[],
  more: { profile?: string; replaces?: string; key?: Uint8Array } = {},
) => {
  const key = more.key ?? (await newCertificateKey('P-256'))
  const order = await client.newOrder(account, { identifiers, profile: more.profile ?? null, replaces: more.replaces ?? null })
  for (const url of order.authorizations) {
    const { authorization } = await client.authorization(account, url)
    const challenge = authorization.challenges.find(({ type }) => type === 'dns-01')
    if (authorization.status === 'valid' || !challenge) continue
    await dnsValue(challenge.token as string, account.signer.jwk)
    await client.respond(account, challenge.url)
    while ((await client.authorization(account, url)).authorization.status === 'pending') await new Promise((resolve) => setTimeout(resolve, 10))
  }
  let now = await client.order(account, order.url)
  if (now.status === 'ready') now = await client.finalize(account, now, await makeCsr(key, identifiers))
  while (now.status === 'processing') now = await client.order(account, order.url)
  if (now.certificate === undefined) throw new Error(`the order is ${now.status}`)
  const { pem, alternates } = await client.certificate(account, now.certificate)
  const chain = pemBlocks(pem).map(({ der }) => der)
  return { order: now, key, pem, alternates, chain, certificate: chain[0] as Uint8Array }
}

/** One certificate of a CA of its own. */
export const startIssuing = async (profile: string, names: string[]) => {
  const started = await startClient()
  const issued = await issue(
    started,
    names.map((value) => ({ type: 'dns', value })),
    { profile },
  )
  return { ...issued, close: started.app.close }
}
