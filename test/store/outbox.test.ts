import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMaintenance } from '../../src/issuance/maintenance.js'
import type { Confirmation, NewMail } from '../../src/store/store.js'
import { LimitExceeded, newMailId } from '../../src/store/store.js'
import { addOrder, auditEntry, day, hex, now, onEachEngine, silent } from './fixtures.js'

const minute = 60_000
const charge = (key: string, count: number) => ({ key, count, windowMs: day, cost: 1 as const, keepMs: 0 })

onEachEngine('outbox', (database, store) => {
  /** A challenge that waits for the reader of a mail. */
  const ask = async (
    more: { challengeId?: string; instead?: string | null; at?: number; charges?: ReturnType<typeof charge>[]; urgent?: boolean } = {},
  ) => {
    const at = more.at ?? now
    const context = more.challengeId === undefined ? await addOrder(store()) : null
    const challengeId = more.challengeId ?? (context?.challenge.id as string)
    const id = newMailId(at)
    const confirmation: Confirmation = {
      id,
      challengeId,
      address: 'admin@example.com',
      requester: '192.0.2.1',
      createdAt: at,
      expiresAt: at + day,
      outcome: null,
      decidedAt: null,
    }
    const mail: NewMail = {
      id,
      kind: 'validation',
      recipient: 'admin@example.com',
      accountId: null,
      data: { name: 'example.com' },
      sealed: Buffer.from('secret'),
      urgent: more.urgent ?? true,
      once: null,
      createdAt: at,
      expiresAt: at + day,
    }
    const tokenHash = hex(32)
    const asked = await store().askForConfirmation({ ...confirmation, tokenHash, instead: more.instead ?? null }, mail, auditEntry(), more.charges)
    return { asked, id, tokenHash, challengeId, authorizationId: context?.authorization.id as string }
  }
  const statusOf = async (challengeId: string) => (await store().challengeById(challengeId))?.challenge.status
  const confirmed = { status: 'valid' as const, validatedAt: now, authorizationExpiresAt: now + 30 * day }

  test('the mail, the link and the state of the challenge are written together or not at all', async () => {
    const key = hex()
    const { challengeId, id } = await ask({ charges: [charge(key, 1)] })
    assert.equal(await statusOf(challengeId), 'processing')
    assert.equal((await store().challengeById(challengeId))?.challenge.nextAttemptAt, null)
    const other = await addOrder(store())
    await assert.rejects(ask({ challengeId: other.challenge.id, charges: [charge(key, 1)] }), LimitExceeded)
    assert.equal(await statusOf(other.challenge.id), 'pending')
    assert.equal(await store().confirmationOf(other.challenge.id), null)
    assert.equal((await store().confirmationOf(challengeId))?.confirmation.id, id)
    const mail = await store().mailById(id)
    assert.deepEqual([mail?.status, mail?.attempts, Buffer.from(mail?.sealed ?? []).toString()], ['queued', 0, 'secret'])
  })

  test('of many senders one has a mail; who dies loses it when the claim ends; who was thought dead can not undo what others did', async () => {
    const { id } = await ask()
    const other = await database.open()
    const claims = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? other : store()).leaseMail(id, now, now + minute)))
    await other.close()
    assert.equal(claims.filter((claim) => claim !== null).length, 1)
    assert.equal(await store().leaseMail(id, now + minute - 1, now + 2 * minute), null)
    assert.equal(await store().extendMailLease(id, 1, now + 2 * minute), true)
    assert.equal(await store().leaseMail(id, now + minute, now + 2 * minute), null)
    const second = await store().leaseMail(id, now + 2 * minute, now + 3 * minute)
    assert.equal(second?.attempts, 2)
    assert.equal(await store().extendMailLease(id, 1, now + 9 * minute), false)
    assert.equal(await store().mailDeferred(id, 1, now, now + 9 * minute, 'late', auditEntry()), false)
    assert.equal(await store().mailFailed(id, 1, 'failed', now, 'late', auditEntry()), false)
    assert.equal(await store().mailSent(id, now, 'It was sent.', auditEntry()), true)
    assert.equal(await store().mailSent(id, now, 'Again.', auditEntry()), false)
    const mail = await store().mailById(id)
    assert.deepEqual([mail?.status, mail?.sealed, mail?.detail], ['sent', null, 'It was sent.'])
    assert.deepEqual((await store().dueMails(now + 9 * day, 1000)).includes(id), false)
  })

  test('what somebody waits for goes first', async () => {
    const at = now - 10 * day
    const { id: patient } = await ask({ at: at - 5, urgent: false })
    const { id } = await ask({ at: at + 5 })
    const { id: older } = await ask({ at })
    assert.deepEqual(await store().dueMails(at + 5, 10), [older, id, patient])
    assert.deepEqual(await store().dueMails(at + 5, 1), [older])
    assert.deepEqual(await store().dueMails(at - 1, 10), [patient])
  })

  test('a newer link takes the place of the older one, whose mail is not sent any more; of two at once one wins', async () => {
    const first = await ask()
    assert.equal((await ask({ challengeId: first.challengeId })).asked, false)
    const results = await Promise.all([0, 1, 2].map(() => ask({ challengeId: first.challengeId, instead: first.id, at: now + 1 })))
    assert.deepEqual(results.map(({ asked }) => asked).sort(), [false, false, true])
    assert.equal((await store().mailById(first.id))?.status, 'canceled')
    assert.equal(await store().decideConfirmation(first.tokenHash, 'confirmed', now + 2, confirmed, auditEntry()), false)
    const winner = results.find(({ asked }) => asked) as (typeof results)[number]
    assert.equal(await store().decideConfirmation(winner.tokenHash, 'confirmed', now + 2, confirmed, auditEntry()), true)
    assert.equal(await statusOf(first.challengeId), 'valid')
  })

  test('a link is used once, in time, and not of an authorization that was given up', async () => {
    const one = await ask()
    assert.equal(await store().decideConfirmation(one.tokenHash, 'confirmed', now + day, confirmed, auditEntry()), false)
    assert.equal(await store().expireConfirmation(one.id, now + day - 1, confirmed, auditEntry()), false)
    const uses = await Promise.all([0, 1, 2, 3].map(() => store().decideConfirmation(one.tokenHash, 'confirmed', now + 1, confirmed, auditEntry())))
    assert.equal(uses.filter(Boolean).length, 1)
    const two = await ask()
    await store().deactivateAuthorization(two.authorizationId, now, auditEntry())
    assert.equal(await store().decideConfirmation(two.tokenHash, 'confirmed', now + 1, confirmed, auditEntry()), false)
    assert.equal((await store().confirmationByToken(two.tokenHash))?.confirmation.outcome, null)
    const three = await ask()
    const closed = (await store().challengeById(three.challengeId))?.account.id as string
    await store().deactivateAccount(closed, now, auditEntry())
    assert.equal(await store().decideConfirmation(three.tokenHash, 'confirmed', now + 1, confirmed, auditEntry()), false)
    assert.equal(await statusOf(three.challengeId), 'processing')
    const error = { type: 'x', detail: 'x', status: 403 }
    assert.ok((await store().overdueConfirmations(now + day, 1000)).some(({ id }) => id === two.id))
    assert.equal(await store().expireConfirmation(two.id, now + day, { status: 'invalid', error }, auditEntry()), true)
    assert.equal(await statusOf(two.challengeId), 'invalid')
  })

  test('a bounce is recorded of what was sent, once; the secret of a mail does not outlive it', async () => {
    const { id } = await ask()
    assert.equal(await store().mailBounced(id, now, 'It came back.', auditEntry()), true)
    assert.equal(await store().mailBounced(id, now, 'Again.', auditEntry()), false)
    assert.deepEqual([(await store().mailById(id))?.status, (await store().mailById(id))?.sealed], ['bounced', null])
    assert.equal(await store().mailBounced(newMailId(now), now, 'Unknown.', auditEntry()), false)
  })

  test('old mails are forgotten', async () => {
    const { id } = await ask({ at: now - 200 * day })
    const { id: recent } = await ask({ at: now - 80 * day })
    assert.ok((await createMaintenance(store(), silent)(now)).mails >= 1)
    assert.equal(await store().mailById(id), null)
    assert.ok(await store().mailById(recent))
  })
})
