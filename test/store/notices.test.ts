import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { CertificateReservation } from '../../src/model.js'
import { noticeTimes, openStore, type Store } from '../../src/store/store.js'
import { addCertificate, addIssuer, auditEntry, day, hex, makeAccount, now, silent, testDatabases } from './fixtures.js'

const options = { perRecipient: { count: 6, windowMs: day }, perStranger: null }

for (const database of testDatabases()) {
  describe(`notices, on ${database.engine}`, () => {
    let store: Store
    before(async () => {
      await database.create()
      store = await openStore({ url: database.url, log: silent, notices: options })
      await addIssuer(store)
    })
    after(async () => {
      await store.close()
      await database.drop()
    })

    const newAccount = async (...contact: string[]) => {
      const account = makeAccount({ contact: contact.length > 0 ? contact : [`mailto:${hex(6)}@example.org`] })
      await store.createAccount(account, auditEntry())
      return { ...account, address: account.contact[0]?.slice('mailto:'.length) as string }
    }
    /** `kind` of every mail to an address, oldest first. */
    const mailsTo = async (address: string): Promise<string[]> => {
      const found = await Promise.all((await store.dueMails(now + 1000 * day, 10_000)).map((id) => store.mailById(id)))
      return found.flatMap((mail) => (mail?.recipient === address ? [mail.kind] : []))
    }
    const certificateOf = (account: { id: string }, more: Partial<CertificateReservation> = {}) =>
      addCertificate(store, { accountId: account.id, names: [{ form: 'dNSName', value: `${hex(6)}.example.org` }], ...more })
    const due = async (serial: string, at: number) => (await store.expiringCertificates(at, 1000)).find((one) => one.serial === serial)

    test('a mailbox is one, however its address is spelt', async () => {
      const account = await newAccount(...Array.from({ length: 10 }, (_, i) => `mailto:Victim+${i}@mailbox.example`))
      await certificateOf(account)
      const all = await Promise.all(Array.from({ length: 10 }, (_, i) => mailsTo(`victim+${i}@mailbox.example`)))
      assert.equal(all.flat().length, 6)
    })

    test('issued: each address once, in the transaction of the certificate', async () => {
      const account = await newAccount('mailto:Juliet@example.net', 'mailto:juliet@example.net', 'mailto:nurse@example.net')
      const { serial } = await certificateOf(account)
      assert.deepEqual([await mailsTo('juliet@example.net'), await mailsTo('nurse@example.net')], [['certificate.issued'], ['certificate.issued']])
      assert.equal(await store.storeCertificate(serial, new Uint8Array(2), auditEntry()), false)
      assert.deepEqual(await mailsTo('juliet@example.net'), ['certificate.issued'])
      await addCertificate(store, { accountId: null })
    })

    test('obeys contacts as they are now, closed accounts, and who wants none', async () => {
      const account = await newAccount()
      await store.updateAccount(account.id, { contact: ['mailto:new@example.org'] }, auditEntry())
      await certificateOf(account)
      assert.deepEqual([await mailsTo(account.address), await mailsTo('new@example.org')], [[], ['certificate.issued']])
      assert.equal(await store.optOut('new@example.org', account.id, now, auditEntry()), true)
      assert.equal(await store.optOut('new@example.org', account.id, now, auditEntry()), false)
      await certificateOf(account)
      assert.equal((await mailsTo('new@example.org')).length, 1)
      const other = await newAccount('mailto:new@example.org')
      await certificateOf(other)
      assert.equal((await mailsTo('new@example.org')).length, 2)
      await store.optOut('new@example.org', '', now, auditEntry())
      await certificateOf(other)
      assert.equal((await mailsTo('new@example.org')).length, 2)
      await store.optIn('new@example.org', account.id, auditEntry())
      await certificateOf(account)
      assert.equal((await mailsTo('new@example.org')).length, 3)
      await store.deactivateAccount(account.id, now, auditEntry())
      await certificateOf(account)
      assert.equal((await mailsTo('new@example.org')).length, 3)
    })

    test('revoked and key blocked: who is not the owner did it', async () => {
      const account = await newAccount()
      const { serial, keyId } = await certificateOf(account)
      const entry = {
        ...auditEntry('notice.due', `account:${account.id}`),
        detail: { about: 'certificate.revoked', certificate: serial, reason: 'superseded' },
      }
      const revocation = { revokedAt: now, reason: 'superseded' as const }
      await store.recordRevocation(serial, revocation, false, auditEntry('certificate.revoked'), entry)
      assert.equal(await store.recordRevocation(serial, revocation, false, auditEntry(), entry), false)
      await store.blockKey(keyId, 'lost', now, auditEntry('key.blocked'))
      await store.blockKey(keyId, 'lost', now, auditEntry('key.blocked'))
      assert.deepEqual((await mailsTo(account.address)).sort(), ['certificate.issued', 'certificate.revoked', 'key.blocked'])
      assert.equal((await store.auditLog({ subject: `account:${account.id}`, limit: 50 })).filter(({ action }) => action === 'notice.due').length, 2)
    })

    test('expiring: at a quarter and at a tenth, each once, however many processes look', async () => {
      const account = await newAccount()
      const certificate = await certificateOf(account)
      const { quarter, tenth } = noticeTimes(certificate)
      assert.deepEqual([certificate.notAfter - quarter, certificate.notAfter - tenth], [22.5 * day, 9 * day])
      assert.equal(await due(certificate.serial, quarter - 1), undefined)
      const first = await due(certificate.serial, quarter)
      assert.ok(first)
      const other = await openStore({ url: database.url, log: silent, notices: options })
      const told = await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 2 ? other : store).tellOfExpiry(first, tenth, quarter, options)))
      await other.close()
      assert.equal(
        told.reduce((sum, n) => sum + n),
        1,
      )
      assert.equal(await due(certificate.serial, tenth - 1), undefined)
      const second = await due(certificate.serial, tenth)
      assert.ok(second)
      assert.equal(await store.tellOfExpiry(second, null, tenth, options), 1)
      assert.equal(await due(certificate.serial, now + 1000 * day), undefined)
      assert.deepEqual(await mailsTo(account.address), ['certificate.issued', 'certificate.expiring', 'certificate.expiring'])
    })

    test('expiring: not where it was renewed with all of its names, or revoked; a newer one that lacks a name is no renewal', async () => {
      const names = [
        { form: 'dNSName' as const, value: `${hex(6)}.example.org` },
        { form: 'dNSName' as const, value: `${hex(6)}.example.org` },
      ]
      const account = await newAccount()
      const old = await certificateOf(account, { names })
      const { quarter, tenth } = noticeTimes(old)
      const later = { notBefore: now + 50 * day, notAfter: now + 140 * day, createdAt: now + 50 * day }
      await certificateOf(account, { names: names.slice(0, 1), ...later })
      const first = await due(old.serial, quarter)
      assert.ok(first)
      assert.equal(await store.tellOfExpiry(first, tenth, quarter, options), 1)
      assert.equal(await store.isExpiryMissed(old.serial), true)
      const renewal = await certificateOf(account, { names: [...names, { form: 'dNSName', value: 'more.example.org' }], ...later })
      assert.equal(await store.isExpiryMissed(old.serial), false)
      const second = await due(old.serial, tenth)
      assert.ok(second)
      assert.equal(await store.tellOfExpiry(second, null, tenth, options), 0)
      await store.recordRevocation(renewal.serial, { revokedAt: now, reason: 'superseded' }, false, auditEntry())
      assert.equal(await store.isExpiryMissed(old.serial), true)
      await store.recordRevocation(old.serial, { revokedAt: now, reason: 'superseded' }, false, auditEntry())
      assert.equal(await store.isExpiryMissed(old.serial), false)
    })

    test('a mailbox is a stranger until somebody there has pressed a button, however its address is spelt, and again much later', async () => {
      const strict = { perRecipient: { count: 4, windowMs: day }, perStranger: { count: 2, windowMs: day } }
      const other = await openStore({ url: database.url, log: silent, notices: strict })
      const box = `stranger${hex(4)}@example.org`
      const account = await newAccount(`mailto:${box.replace('@', '+x@')}`)
      for (let i = 0; i < 4; i++) await addCertificate(other, { accountId: account.id })
      assert.equal((await mailsTo(account.address)).length, 2)
      assert.equal(await store.isKnownMailbox(box, now), false)
      const before = (await store.auditLog({ subject: `account:${account.id}`, limit: 50 })).length
      for (let i = 0; i < 3; i++) await store.optIn(account.address, account.id, auditEntry('notices.wanted', `account:${account.id}`))
      assert.equal((await store.auditLog({ subject: `account:${account.id}`, limit: 50 })).length, before + 1)
      assert.deepEqual([await store.isKnownMailbox(box, now), await store.isKnownMailbox(box, now + 401 * day)], [true, false])
      for (let i = 0; i < 6; i++) await addCertificate(other, { accountId: account.id })
      assert.equal((await mailsTo(account.address)).length, 2 + 4)
      await other.close()
    })

    test('one address is sent so many and no more, and what it is about happens all the same', async () => {
      const accounts = await Promise.all([0, 1].map(() => newAccount('mailto:flooded@example.org')))
      for (let i = 0; i < 10; i++) assert.ok(await store.certificateBySerial((await certificateOf(accounts[i % 2] as { id: string })).serial))
      assert.equal((await mailsTo('flooded@example.org')).length, 6)
    })
  })
}
