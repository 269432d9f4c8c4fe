/** What a client does between an order and its certificate, in steps that a test can go one by one; and CSRs with every name that this CA knows. */
import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import type { CertificateName } from '../../src/model.js'
import { encodeName } from '../../src/pki/certificate.js'
import { integer, sequence } from '../../src/pki/der.js'
import { generalName } from '../../src/pki/extensions.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { oids } from '../../src/pki/oids.js'
import { pemDecode } from '../../src/pki/pem.js'
import { type CertificateInfo, readCertificate } from '../../src/pki/read-certificate.js'
import { makeRequest } from '../pki/fixtures.js'
import { type AcmeClient, newKey, type Reply, type SigningKey, signJws } from './acme.js'

/** A new order for identifiers of any type. */
export const orderFor = (client: AcmeClient, identifiers: { type: string; value: string }[], more: object = {}): Promise<Reply> =>
  client.post(client.directory.newOrder, { identifiers, ...more })

export const dnsId = (value: string) => ({ type: 'dns', value })
export const srvId = (value: string) => ({ type: 'srv', value })

/** Asks until `done`, for at most five seconds. */
export const poll = async (client: AcmeClient, url: string, done: (json: Reply['json']) => boolean): Promise<Reply> => {
  for (let tries = 0; ; tries++) {
    const reply = await client.post(url)
    if (done(reply.json)) return reply
    assert.ok(tries < 250, reply.text)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export const challengeOf = (authorization: Reply, type: string): Reply['json'] => {
  const found = authorization.json.challenges.find((c: { type: string }) => c.type === type)
  assert.ok(found, `no ${type} in ${authorization.text}`)
  return found
}

/** Answers the challenge of this type of one authorization, and waits for what comes of it. */
export const prove = async (client: AcmeClient, url: string, type: string): Promise<Reply> => {
  const authorization = await client.post(url)
  if (authorization.json.status === 'pending') await client.post(challengeOf(authorization, type).url, {})
  return poll(client, url, (json) => json.status !== 'pending')
}

/** The same for all authorizations of an order. */
export const proveAll = async (client: AcmeClient, order: Reply, type = 'dns-01'): Promise<void> => {
  for (const url of order.json.authorizations) assert.equal((await prove(client, url, type)).json.status, 'valid')
}

export type CsrWish = { dns?: string[]; srv?: string[]; xmpp?: string[]; commonName?: string; mustStaple?: boolean; key?: KeyObject }

/** A CSR as newOrder's finalize takes it. */
export const csrFor = async ({ dns = [], srv = [], xmpp = [], commonName, mustStaple, key = newKey().privateKey }: CsrWish): Promise<string> => {
  const of = (form: CertificateName['form'], values: string[]) => values.map((value) => generalName({ form, value }))
  const names = [...of('dNSName', dns), ...of('SRVName', srv), ...of('XmppAddr', xmpp)]
  const extensions: [string, Uint8Array][] = [[oids.subjectAltName, sequence(...names)]]
  if (mustStaple) extensions.push([oids.tlsFeature, sequence(integer(5))])
  const subject = encodeName(commonName === undefined ? [] : [[oids.commonName, commonName]])
  return Buffer.from(await makeRequest(nodeSigner(key), subject, extensions)).toString('base64url')
}

export const finalize = async (client: AcmeClient, order: Reply, wish: CsrWish): Promise<Reply> =>
  client.post(order.json.finalize, { csr: await csrFor(wish) })

/** The leaf that a finalized order gives. */
export const leafOf = async (client: AcmeClient, order: Reply): Promise<CertificateInfo> => {
  assert.equal(order.json.status, 'valid', order.text)
  const { text } = await client.post(order.json.certificate)
  return readCertificate(pemDecode('CERTIFICATE', text)[0] as Uint8Array)
}

/** `form value` of each name, in the order of the certificate. */
export const namesOf = ({ names }: CertificateInfo): string[] => names.map(({ form, value }) => `${form} ${value}`)

/** A keyChange that is right unless told otherwise. */
export const rollOver = (
  client: AcmeClient,
  next: SigningKey,
  change: { header?: object; payload?: object; signer?: SigningKey } = {},
): Promise<Reply> => {
  const url = client.directory.keyChange
  const header = { alg: next.alg, jwk: next.jwk, url, ...change.header }
  return client.post(url, signJws(change.signer ?? next, header, { account: client.kid, oldKey: client.key.jwk, ...change.payload }))
}
