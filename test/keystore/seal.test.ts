import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSealer } from '../../src/keystore/seal.js'

const salt = async () => Buffer.from('salt')

test('what is sealed opens with the same passphrase, salt and context, and with nothing else', async () => {
  const sealer = createSealer('passphrase', salt)
  const sealed = await sealer.seal(Buffer.from('a secret'), 'for a test')
  assert.ok(!Buffer.from(sealed).includes('a secret'))
  assert.equal((await createSealer('passphrase', salt).open(sealed, 'for a test')).toString(), 'a secret')
  assert.notDeepEqual(await sealer.seal(Buffer.from('a secret'), 'for a test'), sealed)
  for (const open of [
    () => createSealer('another', salt).open(sealed, 'for a test'),
    () => createSealer('passphrase', async () => Buffer.from('pepper')).open(sealed, 'for a test'),
    () => sealer.open(sealed, 'for another'),
    () => sealer.open(sealed.slice(0, -1), 'for a test'),
    () => sealer.open(new Uint8Array(), 'for a test'),
    () =>
      sealer.open(
        Buffer.from(sealed).map((octet, i) => (i === 20 ? octet ^ 1 : octet)),
        'for a test',
      ),
  ]) {
    await assert.rejects(open(), { code: 'serverInternal' })
  }
})

test('the salt is asked for once, and again where it could not be had', async () => {
  let asked = 0
  const sealer = createSealer('passphrase', async () => {
    if (asked++ === 0) throw new Error('away')
    return Buffer.from('salt')
  })
  await assert.rejects(sealer.seal(Buffer.from('x'), 'c'), /away/)
  await Promise.all([1, 2, 3].map(() => sealer.seal(Buffer.from('x'), 'c')))
  assert.equal(asked, 2)
})
