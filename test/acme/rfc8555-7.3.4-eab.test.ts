/** RFC 8555 §7.3.4: external account binding, through the whole program. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { makeExternalAccountKey, revokeExternalAccountKey } from '../../src/issuance/external-accounts.js'
import { type AcmeClient, b64, createAcmeClient, isProblem, newKey, type Reply, request } from '../support/acme.js'
import { createTestApp, type TestApp } from '../support/app.js'

const DAY = 86_400_000
const who = { actor: 'operator:test' }
const agreed = { termsOfServiceAgreed: true }

let app: TestApp
const open = (externalAccounts: 'off' | 'optional' | 'required') => {
  before(async () => {
    app = await createTestApp({ settings: { externalAccounts } })
  })
  after(() => app.close())
}

const newClient = (): Promise<AcmeClient> => createAcmeClient(app.directory)
const makeKey = async (more: { uses?: number; expiresAt?: number | null } = {}) => {
  const { key, secret } = await makeExternalAccountKey(app.ica, { note: 'a test', uses: 1, expiresAt: null, ...more }, who)
  return { id: key.id, secret }
}

type Binding = { protected: string; payload: string; signature: string }

const hashes = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' } as const

/** A binding as it should be, but for what `wrong` says. */
const bind = (
  client: AcmeClient,
  { id, secret }: { id: string; secret: Buffer },
  wrong: { alg?: keyof typeof hashes; header?: Record<string, unknown>; payload?: unknown } = {},
): Binding => {
  const alg = wrong.alg ?? 'HS256'
  const protectedPart = b64({ alg, kid: id, url: client.directory.newAccount, ...wrong.header })
  const payload = b64(wrong.payload ?? client.key.jwk)
  return { protected: protectedPart, payload, signature: createHmac(hashes[alg], secret).update(`${protectedPart}.${payload}`).digest('base64url') }
}

const register = (client: AcmeClient, externalAccountBinding: unknown): Promise<Reply> => client.register({ ...agreed, externalAccountBinding })

describe('required', () => {
  open('required')

  test('RFC 8555 §7.3.4: the directory says so, and an account without a binding is refused', async () => {
    assert.equal((await request('GET', app.directory)).json.meta.externalAccountRequired, true)
    isProblem(await (await newClient()).register(), 403, 'externalAccountRequired', /EAB/)
  })

  test('RFC 8555 §7.3.4: every MAC algorithm; the account shows the binding as it was sent', async () => {
    for (const alg of Object.keys(hashes) as (keyof typeof hashes)[]) {
      const client = await newClient()
      const binding = bind(client, await makeKey(), { alg })
      const reply = await register(client, binding)
      assert.deepEqual([reply.status, reply.json.externalAccountBinding], [201, binding], reply.text)
      assert.deepEqual((await client.post(client.kid as string)).json.externalAccountBinding, binding)
    }
  })

  test('RFC 8555 §7.3.4: a key makes as many accounts as it was made for; the account that has it is found without it', async () => {
    const key = await makeKey()
    const client = await newClient()
    assert.equal((await register(client, bind(client, key))).status, 201)
    assert.equal((await register(client, bind(client, key))).status, 200)
    assert.equal((await client.register()).status, 200)
    const second = await newClient()
    isProblem(await register(second, bind(second, key)), 403, 'unauthorized', /used up/)
    const shared = await makeKey({ uses: 2 })
    for (const expected of [201, 201, 403]) {
      const another = await newClient()
      assert.equal((await register(another, bind(another, shared))).status, expected)
    }
  })

  test('RFC 8555 §7.3.4: of two accounts at once one gets the key', async () => {
    const key = await makeKey()
    const clients = await Promise.all(Array.from({ length: 4 }, newClient))
    const replies = await Promise.all(clients.map((client) => register(client, bind(client, key))))
    assert.deepEqual(replies.map(({ status }) => status).sort(), [201, 403, 403, 403])
  })

  test('RFC 8555 §7.3.4: a key that is revoked or has expired makes no account; those that it made stay', async () => {
    const key = await makeKey({ uses: 5 })
    const first = await newClient()
    assert.equal((await register(first, bind(first, key))).status, 201)
    await revokeExternalAccountKey(app.ica, key.id, who)
    const second = await newClient()
    isProblem(await register(second, bind(second, key)), 403, 'unauthorized', /revoked/)
    assert.equal((await first.newOrder(['a.example.com'])).status, 201)
    const short = await makeKey({ expiresAt: app.clock.now() - 1 })
    isProblem(await register(second, bind(second, short)), 403, 'unauthorized', /expired/)
    await assert.rejects(revokeExternalAccountKey(app.ica, key.id, who), /no external account key/)
  })

  test('RFC 8555 §7.3.4: unauthorized: a wrong MAC and an unknown key are told alike', async () => {
    const client = await newClient()
    const key = await makeKey()
    const binding = bind(client, key)
    const unknown = bind(client, { ...key, id: 'unknown' })
    const wrong = bind(client, { ...key, secret: Buffer.alloc(64) })
    const cut = { ...binding, signature: binding.signature.slice(0, 8) }
    const details = []
    for (const bad of [unknown, wrong, cut, { ...binding, signature: '' }]) {
      const reply = await register(client, bad)
      isProblem(reply, 403, 'unauthorized')
      details.push(reply.json.detail)
    }
    assert.equal(new Set(details).size, 1)
    assert.equal((await register(client, binding)).status, 201)
  })

  test('RFC 8555 §7.3.4: malformed: the fields that the RFC asks for', async () => {
    const client = await newClient()
    const key = await makeKey()
    const good = bind(client, key)
    const cases: [unknown, RegExp][] = [
      [null, /flattened JWS/],
      ['x', /flattened JWS/],
      [[], /flattened JWS/],
      [{}, /flattened JWS/],
      [{ ...good, header: {} }, /flattened JWS/],
      [{ ...good, payload: 7 }, /base64url/],
      [{ ...good, protected: `${good.protected}=` }, /base64url/],
      [{ ...good, protected: b64('{') }, /JSON/],
      [bind(client, key, { header: { url: client.directory.newOrder } }), /url/],
      [bind(client, key, { header: { url: undefined } }), /url/],
      [bind(client, key, { header: { kid: undefined } }), /kid/],
      [bind(client, key, { header: { kid: 7 } }), /kid/],
      [bind(client, key, { header: { nonce: 'AAAA' } }), /nonce/],
      [bind(client, key, { header: { crit: ['x'] } }), /crit/],
      [bind(client, key, { payload: newKey().jwk }), /account key/],
    ]
    for (const [binding, detail] of cases) isProblem(await register(client, binding), 400, 'malformed', detail)
    isProblem(await register(client, bind(client, key, { payload: { kty: 'EC' } })), 400, 'badPublicKey')
    assert.equal((await register(client, good)).status, 201)
  })

  test('RFC 8555 §7.3.4: the algorithm must be a MAC', async () => {
    const client = await newClient()
    const key = await makeKey()
    for (const alg of ['none', 'ES256', 'HS1', undefined]) {
      const reply = await register(client, bind(client, key, { header: { alg } }))
      isProblem(reply, 400, 'badSignatureAlgorithm')
      assert.deepEqual(reply.json.algorithms, ['HS256', 'HS384', 'HS512'])
    }
  })

  test('RFC 8555 §7.3.4: the binding can’t be changed later', async () => {
    const client = await newClient()
    const binding = bind(client, await makeKey())
    await register(client, binding)
    const reply = await client.post(client.kid as string, {
      externalAccountBinding: bind(client, await makeKey()),
      contact: ['mailto:a@example.com'],
    })
    assert.deepEqual([reply.status, reply.json.externalAccountBinding], [200, binding])
  })

  test('RFC 8555 §7.3.4: the MAC key lies sealed in the database and is in no log and no audit row', async () => {
    const key = await makeKey({ expiresAt: app.clock.now() + DAY })
    const client = await newClient()
    await register(client, bind(client, key))
    const { sealedKey } = (await app.store.externalAccountKey(key.id)) as { sealedKey: Uint8Array }
    const secrets = [key.secret.toString('base64url'), key.secret.toString('hex')]
    const told = JSON.stringify([await app.store.auditLog({ limit: 100 }), app.log, await app.store.externalAccountKeys()])
    for (const secret of secrets) assert.ok(!told.includes(secret))
    assert.ok(!Buffer.from(sealedKey).includes(key.secret))
    const [row] = await app.store.auditLog({ subject: `external-account-key:${key.id}`, limit: 1 })
    assert.equal(row?.action, 'externalAccountKey.created')
  })
})

describe('optional', () => {
  open('optional')

  test('RFC 8555 §7.3.4: an account with or without a binding; a wrong one is refused', async () => {
    assert.equal((await request('GET', app.directory)).json.meta.externalAccountRequired, undefined)
    assert.equal((await (await newClient()).register()).status, 201)
    const client = await newClient()
    const key = await makeKey()
    isProblem(await register(client, bind(client, { ...key, secret: Buffer.alloc(64) })), 403, 'unauthorized')
    assert.equal((await register(client, bind(client, key))).status, 201)
  })
})

describe('off', () => {
  open('off')

  test('RFC 8555 §7.3: a binding is a field that is not known, and ignored', async () => {
    const client = await newClient()
    const reply = await register(client, { whatever: true })
    assert.deepEqual([reply.status, reply.json.externalAccountBinding], [201, undefined])
  })
})
