/** Service keys in files: what they are sealed with, where they lie, and who may read them. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { createResponders } from '../../src/issuance/responder.js'
import { readServicePassphrase } from '../../src/keystore-open.js'
import { openServiceKeys, type ServicePlace } from '../../src/keystore-service.js'
import { testClock, testHierarchy, testLog, testStore } from '../status/fixture.js'

const { root, intermediate } = await testHierarchy()
const ca = { passphrase: 'of the CA', former: null }
const both = { passphrase: 'of the services', former: 'of the CA' }
const statusSide = { passphrase: 'of the services', former: null }

const folders: string[] = []
const newFolder = (): string => {
  const folder = mkdtempSync(path.join(tmpdir(), 'ica-service-keys-'))
  folders.push(folder)
  return folder
}
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

const respondersIn = (place: ServicePlace, seal: typeof ca | typeof both) =>
  createResponders({
    clock: testClock(),
    log: testLog(),
    issuer: intermediate,
    issuing: { issuer: intermediate, store: testStore() },
    keys: openServiceKeys(place, seal, testLog()).respondersOf(intermediate),
  })
const certificatesIn = async (place: ServicePlace, seal: typeof ca | typeof both): Promise<string[]> =>
  (await openServiceKeys(place, seal, testLog()).respondersOf(intermediate).load()).map(({ certificate }) => Buffer.from(certificate).toString('hex'))

/** As root, a group that is not the one of the process. */
const gid = process.getuid?.() === 0 ? 65534 : (process.getgid?.() ?? 0)

describe('service keys', () => {
  it('are sealed anew with a passphrase of their own, once there is one', async () => {
    const place = { dataFolder: newFolder(), statusKeys: null }
    await respondersIn(place, ca).maintain()
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    openServiceKeys(place, ca, testLog()).saveServer({ key, chain: [root.certificate] })
    const before = await certificatesIn(place, ca)
    assert.deepEqual(await certificatesIn(place, statusSide), [])

    assert.deepEqual(await certificatesIn(place, both), before)
    assert.ok(openServiceKeys(place, both, testLog()).loadServer()?.key.equals(key))
    assert.deepEqual(await certificatesIn(place, statusSide), before)
    assert.ok(openServiceKeys(place, statusSide, testLog()).loadServer()?.key.equals(key))
    assert.deepEqual(await certificatesIn(place, ca), [])
    for (const name of readdirSync(place.dataFolder)) assert.equal(statSync(path.join(place.dataFolder, name)).mode & 0o777, 0o600)
  })

  for (const mode of [0o2750, 0o750]) {
    it(`move to a folder of mode ${mode.toString(8)} for its group, and so does every one that follows`, async () => {
      const dataFolder = newFolder()
      const statusKeys = path.join(newFolder(), 'status')
      mkdirSync(statusKeys)
      chownSync(statusKeys, process.getuid?.() ?? 0, gid)
      chmodSync(statusKeys, mode)
      await respondersIn({ dataFolder, statusKeys: null }, ca).maintain()
      const before = await certificatesIn({ dataFolder, statusKeys: null }, ca)

      const responders = respondersIn({ dataFolder, statusKeys }, both)
      await responders.maintain()
      assert.deepEqual(readdirSync(dataFolder), [])
      assert.deepEqual(await certificatesIn({ dataFolder: '/nonexistent', statusKeys }, statusSide), before)
      await responders.rotate()
      const names = readdirSync(statusKeys)
      assert.equal(names.length, 2)
      for (const name of names) {
        const file = statSync(path.join(statusKeys, name))
        assert.deepEqual([file.mode & 0o777, file.gid], [0o640, gid])
      }
    })
  }

  it('are used where they are while the folder that they should move to refuses them', async () => {
    const dataFolder = newFolder()
    await respondersIn({ dataFolder, statusKeys: null }, ca).maintain()
    const before = await certificatesIn({ dataFolder, statusKeys: null }, ca)
    const statusKeys = path.join(dataFolder, 'no-folder')
    writeFileSync(statusKeys, '')
    const log = testLog()
    const keys = openServiceKeys({ dataFolder, statusKeys: path.join(statusKeys, 'below') }, both, log)
    const found = await keys.respondersOf(intermediate).load()
    assert.deepEqual(
      found.map(({ certificate }) => Buffer.from(certificate).toString('hex')),
      before,
    )
    assert.deepEqual(log.errors, ['a service key could not be taken over'])
  })

  it('have a passphrase that is not the one of the CA, in a file that not everybody reads', () => {
    const file = path.join(newFolder(), 'passphrase')
    assert.throws(() => readServicePassphrase(file, null), /ICA_SERVICE_PASSPHRASE_FILE: .* does not exist/)
    writeFileSync(file, 'secret\n', { mode: 0o640 })
    assert.equal(readServicePassphrase(file, 'another'), 'secret')
    assert.equal(readServicePassphrase(null, 'another'), null)
    assert.throws(() => readServicePassphrase(file, 'secret'), /has the passphrase of the CA keys/)
    chmodSync(file, 0o644)
    assert.throws(() => readServicePassphrase(file, null), /is open to other users/)
  })
})
