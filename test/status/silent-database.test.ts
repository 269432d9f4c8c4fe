/** A PostgreSQL that goes away without a word: its connections stay open, and nothing comes. Where ICA_TEST_POSTGRES_URL names a server. */
import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { it } from 'node:test'
import { createRevocationFeed } from '../../src/status/revocation-feed.js'
import { openStore } from '../../src/store/store.js'
import { silent, testDatabases } from '../store/fixtures.js'
import { testLog } from './fixture.js'

const newDatabase = () => testDatabases().find(({ engine }) => engine === 'postgresql')

for (const readOnly of [true, false]) {
  it(`revocations are known not to be followed within 5 s, ${readOnly ? 'in a status process' : 'in the main process'}`, {
    skip: !newDatabase() && 'no PostgreSQL',
    timeout: 60_000,
  }, async (context) => {
    const database = newDatabase()
    if (!database) return
    await database.create()
    const url = new URL(database.url)
    const [port, host] = [Number(url.port || 5432), url.hostname]
    const pipes: Socket[] = []
    let isSilent = false
    const proxy = createServer((client) => {
      const server = connect(port, host)
      pipes.push(client, server)
      const pass = (from: Socket, to: Socket): void =>
        void from
          .on('error', () => to.destroy())
          .on('data', (data) => !isSilent && to.write(data))
          .on('close', () => to.destroy())
      pass(client, server)
      pass(server, client)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    await (await database.open()).close()
    url.port = String((proxy.address() as AddressInfo).port)
    const store = await openStore({ url: url.href, log: silent, readOnly })
    context.after(async () => {
      for (const pipe of pipes) pipe.destroy()
      proxy.close()
      await store.close()
      await database.drop()
    })
    const feed = createRevocationFeed({ log: testLog(), store, onRevoked: () => undefined, onBegin: () => undefined })
    await feed.poll()
    assert.ok(feed.isFollowing())
    isSilent = true
    const began = performance.now()
    await feed.poll()
    assert.ok(!feed.isFollowing())
    const took = performance.now() - began
    assert.ok(took < 15_000, `${took}`)
    isSilent = false
    for (let tries = 0; !feed.isFollowing(); tries++) {
      assert.ok(tries < 3)
      await feed.poll()
    }
  })
}
