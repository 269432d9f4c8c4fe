/** A process that only tells what others have done: it changes nothing, with a database user that could not either. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { openStore } from '../../src/store/store.js'
import { addIssuer, issuerId, now, silent, testDatabases } from './fixtures.js'
import { createReader } from './reader.js'

for (const database of testDatabases()) {
  it(`a read-only process leaves the tables to the one that writes, on ${database.engine}`, async () => {
    await database.create()
    await assert.rejects(openStore({ url: database.url, log: silent, readOnly: true }), (error: Error) => {
      // SQLite has no file yet; PostgreSQL a database without tables.
      assert.match(`${error.message} ${error.cause}`, /lacks \d+ migrations|unable to open/i)
      return true
    })

    const writer = await database.open()
    await addIssuer(writer)
    const role = database.engine === 'postgresql' ? await createReader(database.url) : null
    const reader = await openStore({ url: role?.url ?? database.url, log: silent, readOnly: true })
    assert.equal((await reader.issuers())[0]?.id, issuerId)
    assert.equal(await reader.lastRevocation(), 0)
    assert.deepEqual(await reader.crlFacts(), [])
    await assert.rejects(reader.nextCrlNumber(issuerId, null))
    await assert.rejects(reader.acquireLease('crl', 'reader', now, 1000))
    assert.equal(await writer.acquireLease('crl', 'writer', now, 1000), true, 'nobody has taken it')
    await reader.close()
    await writer.close()
    await database.drop()
    await role?.drop()
  })
}
