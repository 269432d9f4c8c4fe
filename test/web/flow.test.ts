/** The steps of the form on the real application: what a reload, a lost answer, an expired order and a changed key leave behind. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockKey } from '../../src/issuance/operator.js'
import { readCertificateRequest } from '../../src/pki/csr.js'
import type { AcmeClient } from '../../web/src/acme/client.js'
import { AcmeError, isAcmeError } from '../../web/src/acme/problem.js'
import { makeCsr } from '../../web/src/keys/csr.js'
import { newAccountKey } from '../../web/src/keys/private-keys.js'
import { readCertificate } from '../../web/src/keys/read.js'
import { type Draft, draftFor, identifiersOf, newDraft, startOver, withoutKey } from '../../web/src/request/draft.js'
import {
  chainOf,
  changeKey,
  compareNames,
  ensureAccount,
  keptCertificate,
  lookAt,
  placeOrder,
  solvable,
  takeFurther,
  wantsOtherKey,
  withKey,
} from '../../web/src/request/flow.js'
import type { KeptAccount } from '../../web/src/store.js'
import { startClient } from './issued.js'

const DAY = 86_400_000

/** Where the browser has its database. */
const createKeeper = () => {
  let kept: KeptAccount | null = null
  return {
    readAccount: async () => kept,
    saveAccount: async (account: KeptAccount) => {
      kept = account
    },
  }
}

const start = async () => {
  const { app, client } = await startClient()
  const keeper = createKeeper()
  return { app, client, keeper, account: () => ensureAccount(client, keeper, { termsOfServiceAgreed: true }) }
}

type Started = Awaited<ReturnType<typeof start>>

/** From a draft to its certificate; every look begins from what would have survived a reload. */
const finish = async ({ client, account }: Started, placed: Draft): Promise<Draft & { pem: string }> => {
  let draft = placed
  for (let looks = 0; looks < 200; looks++) {
    const { order, authorizations } = await lookAt(client, await account(), draft.order as string)
    for (const authorization of authorizations.filter(({ status }) => status === 'pending')) {
      const challenge = solvable(authorization)[0]
      if (challenge?.status === 'pending') await client.respond(await account(), challenge.url)
    }
    if (order.status !== 'pending') draft = await takeFurther(client, await account(), order, structuredClone(draft))
    if (draft.pem !== null) return { ...draft, pem: draft.pem }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('no certificate')
}

const place = async ({ client, account }: Started, draft: Draft): Promise<Draft> => placeOrder(client, await account(), await withKey(draft))

const keyOf = ({ key }: Draft): Uint8Array => {
  assert.ok(key.kind === 'new' && key.pkcs8)
  return key.pkcs8
}

/** The client with one call whose answer gets lost after the server has obeyed. */
const deaf = (client: AcmeClient, call: 'newAccount' | 'keyChange' | 'finalize'): AcmeClient => ({
  ...client,
  [call]: async (...of: never[]) => {
    await (client[call] as (...of: never[]) => Promise<unknown>)(...of)
    throw new AcmeError('network', 'lost')
  },
})

describe('the form’s way to a certificate', () => {
  it('goes from a domain to a certificate, and renews it without another proof', async (t) => {
    const started = await start()
    t.after(started.app.close)
    const draft = await finish(started, await place(started, { ...newDraft('example.org'), others: ['*.example.org'], profile: 'xmpp-server' }))
    const kept = keptCertificate(draft)
    assert.deepEqual(
      kept.identifiers.map(({ value }) => value),
      ['example.org', '*.example.org'],
    )
    assert.equal(JSON.stringify(kept).includes('pkcs8'), false)

    started.app.played.clear()
    const replaces = readCertificate(chainOf(kept.pem)[0] as Uint8Array).renewalId
    const renewed = await finish(started, await place(started, draftFor(kept.identifiers, kept.profile, replaces)))
    assert.notEqual(keptCertificate(renewed).serial, kept.serial)
  })

  it('gets a certificate for services alone', async (t) => {
    const started = await start()
    t.after(started.app.close)
    const draft = await finish(started, await place(started, { ...newDraft('example.org'), profile: 'xmpp-hosted' }))
    const names = readCertificate(chainOf(draft.pem)[0] as Uint8Array).names
    assert.deepEqual(names.map(({ value }) => value).sort(), ['_xmpp-client.example.org', '_xmpp-server.example.org'])
    assert.deepEqual(identifiersOf(draftFor(keptCertificate(draft).identifiers, 'xmpp-hosted', null)), identifiersOf(draft))
  })

  it('has one account, whatever gets lost', async (t) => {
    const { app, client, keeper, account } = await start()
    t.after(app.close)
    await assert.rejects(ensureAccount(deaf(client, 'newAccount'), keeper, { termsOfServiceAgreed: true }))
    const kept = await keeper.readAccount()
    assert.equal(kept?.url, null)
    const found = await account()
    assert.deepEqual(found.signer.jwk, kept?.signer.jwk)
    assert.equal((await account()).url, found.url)
  })

  it('knows its key after a change whose answer got lost, and after one that did not happen', async (t) => {
    const { app, client, keeper, account } = await start()
    t.after(app.close)
    const { url } = await account()
    const existing = async () => ({ ...((await keeper.readAccount()) as KeptAccount), url })
    const second = await newAccountKey()
    await assert.rejects(changeKey(deaf(client, 'keyChange'), keeper, await existing(), second))
    assert.deepEqual((await account()).signer.jwk, second.jwk)
    assert.equal((await client.account(await account())).status, 'valid')

    const unreachable: AcmeClient = {
      ...client,
      keyChange: async () => {
        throw new AcmeError('network', 'never sent')
      },
    }
    await assert.rejects(changeKey(unreachable, keeper, await existing(), await newAccountKey()))
    assert.deepEqual((await account()).signer.jwk, second.jwk)
    assert.equal((await client.account(await account())).status, 'valid')
  })

  it('comes to the certificate of an order whose finalizing got no answer', async (t) => {
    const started = await start()
    t.after(started.app.close)
    const { client, account } = started
    const draft = await place(started, newDraft('example.org'))
    const impatient = { ...started, client: deaf(client, 'finalize') }
    await assert.rejects(finish(impatient, draft), (error) => isAcmeError(error, 'network'))
    assert.match((await lookAt(client, await account(), draft.order as string)).order.status, /^(processing|valid)$/)
    assert.ok((await finish(started, draft)).pem)
  })

  it('starts again with the same inputs and key when the order has expired', async (t) => {
    const started = await start()
    t.after(started.app.close)
    const draft = await place(started, { ...newDraft('example.org'), others: ['chat.example.org'] })
    started.app.clock.skew = 8 * DAY
    const { order } = await lookAt(started.client, await started.account(), draft.order as string)
    assert.equal(order.status, 'invalid')
    const over = startOver(draft)
    assert.deepEqual([over.key, identifiersOf(over), over.order], [draft.key, identifiersOf(draft), null])
    assert.ok((await finish(started, await place(started, over))).pem)
  })

  it('says what the CA found where a proof was wrong', async (t) => {
    const started = await start()
    t.after(started.app.close)
    started.app.played.clear()
    const draft = await place(started, newDraft('example.org'))
    await assert.rejects(finish(started, draft))
    const { order, authorizations } = await lookAt(started.client, await started.account(), draft.order as string)
    assert.equal(order.status, 'invalid')
    assert.match(authorizations[0]?.challenges[0]?.error?.detail ?? '', /example\.org/)
  })

  it('goes on with another key where the CA refuses the one at the end, without another proof', async (t) => {
    const started = await start()
    t.after(started.app.close)
    const draft = await place(started, newDraft('example.org'))
    const csr = await makeCsr(keyOf(draft), identifiersOf(draft))
    await blockKey(started.app.ica, (await readCertificateRequest(csr)).publicKey.keyId, 'a test', { actor: 'operator:test' })
    await assert.rejects(finish(started, draft), (error) => isAcmeError(error) && wantsOtherKey(error.type) && /blocked/.test(error.message))
    const other = withoutKey(draft)
    assert.deepEqual([other.step, other.order, identifiersOf(other)], ['key', null, identifiersOf(draft)])
    started.app.played.clear()
    const done = await finish(started, await place(started, other))
    assert.notDeepEqual(keyOf(done), keyOf(draft))
    assert.deepEqual(withoutKey({ ...draft, key: { kind: 'csr', der: csr } }).key, { kind: 'csr', der: new Uint8Array() })
    assert.deepEqual(
      ['urn:ietf:params:acme:error:badPublicKey', 'rateLimited', undefined].map((type) => wantsOtherKey(type)),
      [true, false, false],
    )
  })

  it('takes an address for notices into an account that is there already, and asks the CA only where it is another', async (t) => {
    const { app, client, keeper } = await start()
    t.after(app.close)
    let updates = 0
    const counting: AcmeClient = {
      ...client,
      updateContact: (...of) => {
        updates++
        return client.updateContact(...of)
      },
    }
    const ensure = (contact?: string[]) => ensureAccount(counting, keeper, { termsOfServiceAgreed: true, ...(contact && { contact }) })
    const contacts = async () => [(await keeper.readAccount())?.contact, (await client.account(await ensure())).contact ?? []]
    await ensure()
    assert.deepEqual(await contacts(), [[], []])
    for (const wanted of [['mailto:admin@example.org'], ['mailto:admin@example.org'], []]) {
      await ensure(wanted)
      assert.deepEqual(await contacts(), [wanted, wanted])
    }
    assert.equal(updates, 2)
    await assert.rejects(ensure(['mailto:nobody']), (error) => isAcmeError(error, 'invalidContact', 'unsupportedContact'))
    assert.deepEqual(await contacts(), [[], []])
  })

  it('compares the names of a CSR', () => {
    assert.deepEqual(compareNames(['a.test', 'c.test'], ['a.test', 'b.test']), { missing: ['b.test'], extra: ['c.test'] })
    assert.deepEqual(compareNames(['a.test'], ['a.test']), { missing: [], extra: [] })
  })
})
