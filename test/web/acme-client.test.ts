/** The form's ACME client against the real application. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { noLimits } from '../../src/issuance/limits.js'
import { builtinProfiles, type Profile } from '../../src/pki/profile.js'
import { createAcmeClient } from '../../web/src/acme/client.js'
import { type AcmeError, isAcmeError } from '../../web/src/acme/problem.js'
import type { Trouble } from '../../web/src/acme/transport.js'
import { newAccountKey, newCertificateKey, signerOf } from '../../web/src/keys/private-keys.js'
import { readCertificate } from '../../web/src/keys/read.js'
import { createTestApp } from '../support/app.js'
import { issue, quick, startClient } from './issued.js'
import { exposures } from './secrets.js'

const dns = (...values: string[]) => values.map((value) => ({ type: 'dns' as const, value }))

const refusal = async (promise: Promise<unknown>): Promise<AcmeError> => {
  try {
    await promise
  } catch (error) {
    if (isAcmeError(error, (error as AcmeError).type)) return error
    throw error
  }
  throw new assert.AssertionError({ message: 'nothing was refused' })
}

describe('the form’s ACME client', () => {
  it('gets a certificate, with the profile asked for, and its other chain', async (t) => {
    const started = await startClient()
    t.after(started.app.close)
    const { certificate, chain, alternates, order } = await issue(started, dns('example.org', '*.example.org'), { profile: 'xmpp-server-3920' })
    assert.equal(order.profile, 'xmpp-server-3920')
    assert.ok(readCertificate(certificate).names.some(({ form, value }) => form === 'XmppAddr' && value === 'example.org'))
    assert.equal(chain.length, 2)
    const other = await started.client.certificate(started.account, alternates[0] as string)
    assert.match(other.pem, /^-----BEGIN CERTIFICATE-----/)
    assert.deepEqual(await started.client.orders(started.account, 10), [order.url])
  })

  it('finds its account again by the key, changes contacts, and changes the key', async (t) => {
    const { app, client, account } = await startClient()
    t.after(app.close)
    assert.equal((await client.newAccount(account.signer, { onlyReturnExisting: true })).url, account.url)
    assert.deepEqual((await client.updateContact(account, ['mailto:admin@example.org'])).contact, ['mailto:admin@example.org'])
    assert.deepEqual((await client.updateContact(account, [])).contact, [])
    const next = await newAccountKey()
    const changed = await client.keyChange(account, next)
    assert.equal((await client.account(changed)).status, 'valid')
    assert.equal((await refusal(client.account(account))).status, 403)
    assert.equal((await refusal(client.newAccount(account.signer, { onlyReturnExisting: true }))).type, 'accountDoesNotExist')
  })

  it('renews with proof that still holds, and names what it replaces', async (t) => {
    const started = await startClient()
    t.after(started.app.close)
    const first = await issue(started, dns('example.org'))
    started.app.played.clear()
    const replaces = readCertificate(first.certificate).renewalId as string
    const window = await started.client.renewalInfo(replaces)
    assert.ok(window && window.start < window.end)
    const second = await issue(started, dns('example.org'), { replaces })
    assert.notDeepEqual(second.certificate, first.certificate)
    // A second replacement is an order like any other.
    await issue(started, dns('example.org'), { replaces })
    await issue(started, dns('example.org'), { replaces: 'AAAA.AAAA' }).catch((error) => assert.ok(isAcmeError(error, 'notFound')))
  })

  it('revokes by the account, by an account that proved the names, and by the key', async (t) => {
    const started = await startClient()
    t.after(started.app.close)
    const { client, app } = started
    const [first, second, third] = [
      await issue(started, dns('example.org')),
      await issue(started, dns('a.example.org')),
      await issue(started, dns('b.example.org')),
    ]
    await client.revoke(started.account, first.certificate, 'superseded')
    assert.equal((await refusal(client.revoke(started.account, first.certificate, 'superseded'))).type, 'alreadyRevoked')

    const stranger = { ...started, account: await client.newAccount(await newAccountKey(), { termsOfServiceAgreed: true }) }
    assert.equal((await refusal(client.revoke(stranger.account, second.certificate, 'unspecified'))).type, 'unauthorized')
    await issue(stranger, dns('a.example.org'))
    await client.revoke(stranger.account, second.certificate, 'unspecified')

    await client.revokeByKey(await signerOf(third.key), third.certificate)
    assert.equal(app.revoked.length, 3)
    assert.equal((await refusal(issue(started, dns('c.example.org'), { key: third.key }))).type, 'badCSR')
  })

  it('revokes by an RSA and a P-384 key', async (t) => {
    const started = await startClient()
    t.after(started.app.close)
    for (const algorithm of ['P-384', 'RSA-3072'] as const) {
      const { key, certificate } = await issue(started, dns('example.org'), { key: await newCertificateKey(algorithm) })
      await started.client.revokeByKey(await signerOf(key), certificate)
    }
    assert.equal(started.app.revoked.length, 2)
  })

  it('revokes by a P-521 key, which a profile of the operator may take', async (t) => {
    const profiles = builtinProfiles.map((profile): Profile => ({ ...profile, keyKinds: [...profile.keyKinds, 'P-521'] }))
    const started = await startClient({ profiles })
    t.after(started.app.close)
    const key = new Uint8Array(generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey.export({ type: 'pkcs8', format: 'der' }))
    const { certificate } = await issue(started, dns('example.org'), { key })
    assert.equal(readCertificate(certificate).key.kind, 'P-521')
    await started.client.revokeByKey(await signerOf(key), certificate)
    assert.equal(started.app.revoked.length, 1)
  })

  it('makes typed errors of problem documents', async (t) => {
    const { app, client, account } = await startClient({ settings: { limits: { ...noLimits, ordersPerAccount: { count: 1, windowMs: 3_600_000 } } } })
    t.after(app.close)
    const names = await refusal(client.newOrder(account, { identifiers: dns('good.example.org', 'bad_name.example.org', '127.0.0.1') }))
    assert.equal(names.type, 'malformed')
    assert.deepEqual(
      names.subproblems.map(({ identifier }) => identifier?.value),
      ['bad_name.example.org', '127.0.0.1'],
    )
    assert.equal((await refusal(client.newOrder(account, { identifiers: dns('example.org'), profile: 'none' }))).type, 'invalidProfile')
    assert.equal((await refusal(client.newAccount(await newAccountKey(), {}))).type, 'userActionRequired')
    await client.newOrder(account, { identifiers: dns('example.org') })
    const limited = await refusal(client.newOrder(account, { identifiers: dns('example.com') }))
    assert.equal(limited.type, 'rateLimited')
    assert.ok(limited.retryAt !== null && limited.retryAt > Date.now())
  })

  it('outlives nonces that are no longer known', async (t) => {
    let spoil = false
    const stale: typeof fetch = async (...of) => {
      const response = await fetch(...of)
      if (!spoil) return response
      spoil = false
      const headers = new Headers(response.headers)
      headers.set('Replay-Nonce', 'AAAAAAAAAAAAAAAAAAAAAA')
      return new Response(await response.text(), { status: response.status, headers })
    }
    const { app, client, account } = await startClient({}, { fetch: stale })
    t.after(app.close)
    spoil = true
    await client.account(account)
    assert.equal((await client.account(account)).status, 'valid')
  })

  it('waits for a server that is away, says so, and gives up in the end', async (t) => {
    const troubles: (Trouble | null)[] = []
    let away = 0
    let lost = 0
    const flaky: typeof fetch = async (...of) => {
      if (away > 0) {
        away--
        if (away % 2 === 0) throw new TypeError('fetch failed')
        return new Response('starting', { status: 503 })
      }
      const response = await fetch(...of)
      // The server obeyed, and nobody heard of it.
      if (lost > 0 && of[1]?.method === 'POST') {
        lost--
        throw new TypeError('connection reset')
      }
      return response
    }
    const started = await startClient({}, { fetch: flaky, onTrouble: (trouble) => troubles.push(trouble) })
    t.after(started.app.close)
    const { client, account } = started
    away = 3
    await client.account(account)
    assert.equal(troubles.length, 4)
    assert.equal(troubles.at(-1), null)
    assert.match(troubles[0]?.detail ?? '', /./)

    away = 100
    assert.match((await refusal(client.account(account))).type, /^(http|network)$/)
    away = 0

    // An order that is finalized while the answer gets lost comes to its certificate.
    const order = await client.newOrder(account, { identifiers: dns('example.org') })
    assert.equal(order.status, 'pending')
    lost = 1
    const { certificate } = await issue(started, dns('example.org'))
    assert.ok(certificate.length > 0)
  })

  it('signs the server’s own URLs where the page was reached by another name', async (t) => {
    const base = 'https://ca.example'
    const app = await createTestApp({ baseUrl: base })
    t.after(app.close)
    const client = createAcmeClient(`${base}/acme/directory`, { ...quick, origin: app.local })
    const account = await client.newAccount(await newAccountKey(), { termsOfServiceAgreed: true })
    assert.ok(account.url.startsWith(`${base}/acme/account/`))
    assert.equal((await client.newOrder(account, { identifiers: dns('example.org') })).status, 'pending')
  })

  it('never sends a private key', async (t) => {
    const sent: string[] = []
    const listening: typeof fetch = async (url, init) => {
      sent.push(`${url} ${JSON.stringify(init?.headers ?? {})} ${init?.body ?? ''}`)
      return fetch(url, init)
    }
    const started = await startClient({}, { fetch: listening })
    t.after(started.app.close)
    const { client } = started
    const keys: Uint8Array[] = []
    for (const algorithm of ['P-256', 'P-384', 'RSA-3072'] as const) {
      const { key, certificate } = await issue(started, dns('example.org'), { key: await newCertificateKey(algorithm) })
      await client.revoke(started.account, certificate, 'unspecified')
      await client.revokeByKey(await signerOf(key), certificate).catch(() => {})
      keys.push(key)
    }
    assert.ok(sent.length > 20)
    for (const key of keys) {
      assert.deepEqual(exposures(key, sent), [])
      // The search finds what there is to find.
      for (const form of ['base64url', 'base64', 'hex'] as const)
        assert.equal(exposures(key, [`{"x":"${Buffer.from(key).toString(form)}"}`]).length, 1)
    }
  })
})
