/** Who may revoke what, what falls with it, and who is told. The whole pipeline on a real database; the ACME side of it is in test/acme. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { candidatesOf, revokeSelected, selectForRevocation } from '../../src/issuance/mass-revocation.js'
import { revokeByAccount, revokeByKey, revokeCompromisedKeys } from '../../src/issuance/revocation.js'
import type { Account, AuditEntry, Authorization, CertificateName, RevocationReason } from '../../src/model.js'
import { createTestApp, type TestApp } from '../support/app.js'
import { issueDirectly, newPublicKey, type Wish } from '../support/issuing.js'

const DAY = 86_400_000
const operator = { actor: 'operator:anna' }

describe('revocation', () => {
  let app: TestApp
  before(async () => {
    app = await createTestApp()
  })
  after(() => app.close())

  const newAccount = async (): Promise<Account> => {
    const id = randomBytes(8).toString('hex')
    const jwk = { kty: 'EC', crv: 'P-256', x: id, y: id }
    const account: Account = {
      id,
      jwk,
      thumbprint: id,
      status: 'valid',
      contact: [],
      termsAgreedAt: app.clock.now(),
      createdAt: app.clock.now(),
      paused: null,
      externalAccount: null,
    }
    await app.store.createAccount(account, audit('account.created', `account:${id}`))
    return account
  }
  const audit = (action: string, subject: string): AuditEntry => ({ at: app.clock.now(), actor: 'system', action, subject, detail: {} })
  const as = (account: Account) => ({ actor: `account:${account.id}` })

  /** Gives an account a valid authorization. */
  const prove = async (account: Account, type: 'dns' | 'srv', value: string, wildcard = false): Promise<void> => {
    const id = randomBytes(8).toString('hex')
    const now = app.clock.now()
    const challenge = {
      id: `${id}c`,
      authorizationId: id,
      type: 'dns-01' as const,
      token: id,
      status: 'valid' as const,
      validatedAt: now,
      error: null,
      attempts: 1,
      nextAttemptAt: null,
    }
    const authorization: Authorization = {
      id,
      accountId: account.id,
      identifier: { type, value },
      wildcard,
      createdAt: now,
      expiresAt: now + DAY,
      deactivatedAt: null,
      challenges: [challenge],
    }
    await app.store.createAuthorization(authorization, audit('authorization.created', `authorization:${id}`))
  }

  const issue = (domain: string, wish?: Wish) => issueDirectly(app.ica, domain, wish)
  const reasonOf = async (serial: string): Promise<RevocationReason | null> =>
    (await app.store.certificateBySerial(serial))?.revocation?.reason ?? null
  const actions = async (subject: string): Promise<string[]> => (await app.store.auditLog({ subject, limit: 50 })).map(({ action }) => action)
  const noticesFor = async (account: Account) =>
    (await app.store.auditLog({ subject: `account:${account.id}`, limit: 50 }))
      .filter(({ action }) => action === 'notice.due')
      .map(({ detail }) => detail)

  it('by its owner: nobody has to be told, the key stays usable', async () => {
    const owner = await newAccount()
    const { serial, der } = await issue('own.example.com', { accountId: owner.id })
    await revokeByAccount(app.ica, owner, { certificate: der, reason: 1 }, as(owner))
    assert.equal(await reasonOf(serial), 'keyCompromise')
    assert.deepEqual(await noticesFor(owner), [])
    const { keyId } = (await app.store.certificateBySerial(serial)) as { keyId: string }
    assert.equal(await app.store.isKeyBlocked(keyId), false)
    await assert.rejects(revokeByAccount(app.ica, owner, { certificate: der }, as(owner)), { code: 'alreadyRevoked' })
  })

  it('by another account that proves all names in whatever form they stand: the owner is told', async () => {
    const [owner, other] = [await newAccount(), await newAccount()]
    const { serial, der } = await issue('xn--bcher-kva.example', { accountId: owner.id, profile: 'xmpp-server-3920' })
    const attempt = () => revokeByAccount(app.ica, other, { certificate: der, reason: 4 }, as(other))
    await assert.rejects(attempt(), { code: 'unauthorized' })
    await prove(other, 'srv', '_xmpp-server.xn--bcher-kva.example')
    await assert.rejects(attempt(), { code: 'unauthorized' })
    await prove(other, 'dns', 'xn--bcher-kva.example')
    await attempt()
    assert.equal(await reasonOf(serial), 'superseded')
    const [notice] = await noticesFor(owner)
    assert.deepEqual([notice?.about, notice?.certificate, notice?.reason], ['certificate.revoked', serial, 'superseded'])
  })

  it('of a certificate for services alone: by who proves those, and by who proves the domain', async () => {
    const names: CertificateName[] = ['client', 'server'].map((service) => ({ form: 'SRVName', value: `_xmpp-${service}.hosted.example` }))
    const [host, other, domain] = [await newAccount(), await newAccount(), await newAccount()]
    const first = await issue('', { names, accountId: host.id })
    const by = (account: Account, certificate: Uint8Array) => revokeByAccount(app.ica, account, { certificate }, as(account))
    await assert.rejects(by(other, first.der), { code: 'unauthorized' })
    await prove(other, 'srv', '_xmpp-server.hosted.example')
    await assert.rejects(by(other, first.der), { code: 'unauthorized' })
    await prove(other, 'srv', '_xmpp-client.hosted.example')
    await by(other, first.der)
    const second = await issue('', { names, accountId: host.id })
    await prove(domain, 'dns', 'elsewhere.example')
    await assert.rejects(by(domain, second.der), { code: 'unauthorized' })
    await prove(domain, 'dns', 'hosted.example')
    await by(domain, second.der)
    assert.equal((await noticesFor(host)).length, 2)
  })

  it('of a wildcard: only by who has proven the wildcard', async () => {
    const [owner, other] = [await newAccount(), await newAccount()]
    const { der } = await issue('*.wild.example', { accountId: owner.id })
    await prove(other, 'dns', 'wild.example')
    await assert.rejects(revokeByAccount(app.ica, other, { certificate: der }, as(other)), { code: 'unauthorized' })
    await prove(other, 'dns', 'wild.example', true)
    await revokeByAccount(app.ica, other, { certificate: der }, as(other))
  })

  it('by the certificate’s key: all certificates with it fall in one go, and every owner is told', async () => {
    const [first, second] = [await newAccount(), await newAccount()]
    const publicKey = newPublicKey()
    const shown = await issue('shown.example', { publicKey, accountId: first.id })
    const others = [await issue('other.example', { publicKey, accountId: second.id }), await issue('nobody.example', { publicKey })]
    const expired = await issue('expired.example', { publicKey, notAfter: Math.floor(app.clock.now() / 1000) * 1000 - DAY })
    const before = await issue('before.example', { publicKey, accountId: second.id })
    await revokeByAccount(app.ica, second, { certificate: before.der, reason: 5 }, as(second))
    const unrelated = await issue('unrelated.example', { accountId: first.id })
    app.revoked.length = 0

    await assert.rejects(revokeByKey(app.ica, 'f'.repeat(64), { certificate: shown.der }, operator), { code: 'unauthorized' })
    await revokeByKey(app.ica, publicKey.keyId, { certificate: shown.der }, { actor: `key:${publicKey.keyId}` })
    for (const { serial } of [shown, ...others]) assert.equal(await reasonOf(serial), 'keyCompromise')
    assert.equal(await reasonOf(expired.serial), null)
    assert.equal(await reasonOf(before.serial), 'cessationOfOperation')
    assert.equal(await reasonOf(unrelated.serial), null)
    assert.deepEqual(app.revoked.toSorted(), [shown, ...others].map(({ serial }) => serial).toSorted())
    assert.equal(app.revoked[0], shown.serial)
    assert.ok(await app.store.isKeyBlocked(publicKey.keyId))
    assert.deepEqual(
      (await noticesFor(first)).map(({ certificate }) => certificate),
      [shown.serial],
    )
    const [notice] = await noticesFor(second)
    assert.deepEqual([notice?.certificate, notice?.shownBy, notice?.compromisedKey], [others[0]?.serial, shown.serial, publicKey.keyId])
    for (const { serial } of [shown, ...others])
      assert.deepEqual(await actions(`certificate:${serial}`), ['certificate.revoked', 'certificate.issued'])
    await assert.rejects(revokeByKey(app.ica, publicKey.keyId, { certificate: shown.der }, operator), { code: 'alreadyRevoked' })
  })

  it('by the key of a certificate that is revoked already: the answer says so, and the others fall all the same', async () => {
    const owner = await newAccount()
    const publicKey = newPublicKey()
    const [shown, other] = [
      await issue('a.example', { publicKey, accountId: owner.id }),
      await issue('b.example', { publicKey, accountId: owner.id }),
    ]
    await revokeByAccount(app.ica, owner, { certificate: shown.der, reason: 4 }, as(owner))
    await assert.rejects(revokeByKey(app.ica, publicKey.keyId, { certificate: shown.der }, operator), { code: 'alreadyRevoked' })
    assert.equal(await reasonOf(shown.serial), 'superseded')
    assert.equal(await reasonOf(other.serial), 'keyCompromise')
    assert.ok(await app.store.isKeyBlocked(publicKey.keyId))
  })

  it('what a crash left behind is revoked by the sweep, and nothing can be issued for the key any more', async () => {
    const publicKey = newPublicKey()
    const left = await issue('left.example', { publicKey })
    const blockedOtherwise = newPublicKey()
    const kept = await issue('kept.example', { publicKey: blockedOtherwise })
    for (const [{ keyId }, reason] of [
      [publicKey, 'keyCompromise'],
      [blockedOtherwise, 'weak'],
    ] as const)
      await app.store.blockKey(keyId, reason, app.clock.now(), audit('key.blocked', `key:${keyId}`))
    await assert.rejects(issue('late.example', { publicKey }), { code: 'badCSR' })
    assert.equal(await revokeCompromisedKeys(app.ica, app.clock.now() + 60_000), 0)
    assert.equal(await revokeCompromisedKeys(app.ica, 0), 1)
    assert.equal(await revokeCompromisedKeys(app.ica, 0), 0)
    assert.equal(await reasonOf(left.serial), 'keyCompromise')
    assert.equal(await reasonOf(kept.serial), null)
  })

  describe('of many', () => {
    const select = (selector: Parameters<typeof selectForRevocation>[1], reason: RevocationReason = 'superseded') =>
      selectForRevocation(app.ica, selector, reason)
    const serialsOf = (issued: { serial: string }[]) => issued.map(({ serial }) => serial).toSorted()

    it('selects by domain in every form of its names, and below it', async () => {
      const of = [
        await issue('many.example'),
        await issue('*.many.example'),
        await issue('', { names: [{ form: 'SRVName', value: '_xmpp-server.many.example' }] }),
        await issue('', { names: [{ form: 'SRVName', value: '_xmpp-client.*.many.example' }] }),
      ]
      const below = [await issue('chat.many.example'), await issue('', { names: [{ form: 'SRVName', value: '_xmpp-client.a.b.many.example' }] })]
      await issue('notmany.example')
      await issue('many.example.org')
      assert.deepEqual((await select({ domain: 'MANY.example.' })).toSorted(), serialsOf(of))
      assert.deepEqual((await select({ domain: 'many.example', subdomains: true })).toSorted(), serialsOf([...of, ...below]))
      assert.deepEqual((await select({ domain: '*.many.example' })).toSorted(), serialsOf(of))
      const idn = [await issue('xn--mnchen-3ya.example'), await issue('', { names: [{ form: 'XmppAddr', value: 'münchen.example' }] })]
      assert.deepEqual((await select({ domain: 'münchen.example' })).toSorted(), serialsOf(idn))
      await assert.rejects(select({ domain: 'a b' }), { code: 'malformed' })
    })

    it('selects by account, key, issuer and time, which narrow each other', async () => {
      const account = await newAccount()
      const publicKey = newPublicKey()
      const at = Date.UTC(2020, 0, 1)
      const early = await issue('early.example', { accountId: account.id, createdAt: at })
      const both = await issue('both.example', { accountId: account.id, publicKey, createdAt: at + DAY })
      const keyed = await issue('keyed.example', { publicKey })
      assert.deepEqual(await select({ accountId: account.id }), [early.serial, both.serial])
      assert.deepEqual((await select({ keyId: publicKey.keyId })).toSorted(), serialsOf([both, keyed]))
      assert.deepEqual(await select({ keyId: publicKey.keyId, accountId: account.id }), [both.serial])
      assert.deepEqual(await select({ issuedFrom: at, issuedUntil: at + DAY }), [early.serial])
      assert.deepEqual(await select({ issuedFrom: at + DAY, issuedUntil: at + 2 * DAY, issuerId: app.ica.issuer.id }), [both.serial])
      assert.deepEqual(await select({ issuerId: '0'.repeat(16) }), [])
      // With keyCompromise falls whatever has the same key.
      assert.deepEqual((await select({ serials: [both.serial] }, 'keyCompromise')).toSorted(), serialsOf([both, keyed]))
    })

    it('revokes what is valid, counts the rest, and can be run again', async () => {
      const account = await newAccount()
      const issued = []
      for (let i = 0; i < 130; i++)
        issued.push(await issue(`n${i}.example`, { accountId: account.id, publicKey: i < 2 ? newPublicKey() : sharedKey }))
      await issue('old.example', { accountId: account.id, notAfter: Math.floor(app.clock.now() / 1000) * 1000 - DAY })
      await revokeByAccount(app.ica, account, { certificate: (issued[0] as { der: Uint8Array }).der }, as(account))
      const serials = await select({ accountId: account.id })
      assert.equal(serials.length, 131)
      const shown: string[] = []
      for await (const batch of candidatesOf(app.ica, serials)) shown.push(...batch.map(({ serial }) => serial))
      assert.deepEqual(shown, serials)
      const steps: number[] = []
      const tally = await revokeSelected(app.ica, serials, 'privilegeWithdrawn', { accountId: account.id }, operator, ({ revoked }) =>
        steps.push(revoked),
      )
      assert.deepEqual(tally, { revoked: 129, already: 1, expired: 1 })
      assert.ok(steps.length > 1)
      assert.deepEqual(await revokeSelected(app.ica, serials, 'privilegeWithdrawn', {}, operator), { revoked: 0, already: 130, expired: 1 })
      assert.equal(await reasonOf((issued[129] as { serial: string }).serial), 'privilegeWithdrawn')
      const [row] = await app.store.auditLog({ subject: `certificate:${issued[129]?.serial}`, limit: 1 })
      assert.deepEqual([row?.action, row?.actor, row?.detail.account], ['certificate.revoked', 'operator:anna', account.id])
      assert.equal(await app.store.isKeyBlocked(sharedKey.keyId), false)
      const begun = (await app.store.auditLog({ subject: 'certificates', limit: 5 })).at(-1)
      assert.deepEqual([begun?.action, begun?.detail.certificates], ['revocation.begun', 131])
    })

    it('with keyCompromise blocks the keys', async () => {
      const { serial } = await issue('leaked.example')
      const { keyId } = (await app.store.certificateBySerial(serial)) as { keyId: string }
      const serials = await select({ serials: [serial] }, 'keyCompromise')
      assert.deepEqual(await revokeSelected(app.ica, serials, 'keyCompromise', {}, operator), { revoked: 1, already: 0, expired: 0 })
      assert.ok(await app.store.isKeyBlocked(keyId))
    })
    const sharedKey = newPublicKey()
  })
})
