/** Several processes on one database: who gets what, and what is left when one is killed. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { RevocationEvent } from '../../src/store/store.js'
import { addCertificate, addOrder, auditEntry, now, onEachEngine } from './fixtures.js'

const contender = fileURLToPath(new URL('contender.ts', import.meta.url))

const start = (url: string, ...words: string[]) => {
  const child = spawn(process.execPath, ['--import', 'tsx', contender, url, ...words], { stdio: ['ignore', 'pipe', 'inherit'] })
  return { child, lines: createInterface({ input: child.stdout }) }
}

/** The lines that a process says until it ends well. */
const output = async ({ child, lines }: { child: ChildProcess; lines: AsyncIterable<string> }) => {
  const ended = once(child, 'exit')
  const said: string[] = []
  for await (const line of lines) said.push(line)
  assert.deepEqual(await ended, [0, null])
  return said.filter((line) => line !== 'ready')
}

/** Sixty at a time: where more stand in line on a slow machine, the last ones are given up. */
const inLots = async <T, R>(things: T[], work: (thing: T, n: number) => R): Promise<Awaited<R>[]> => {
  const results: Awaited<R>[] = []
  for (let from = 0; from < things.length; from += 60)
    results.push(...(await Promise.all(things.slice(from, from + 60).map((thing, n) => work(thing, from + n)))))
  return results
}

onEachEngine('several processes', (database, store) => {
  test('everything goes to exactly one of three', async () => {
    const things = await Promise.all(Array.from({ length: 40 }, async () => ({ ...(await addOrder(store())), ...(await addCertificate(store())) })))
    await Promise.all(things.map(({ challenge }) => store().startChallenge(challenge.id, now, auditEntry())))
    const words = things.map(({ order, challenge, serial }) => [order.id, challenge.id, serial].join(','))
    const said = await Promise.all([words, [...words].reverse(), words].map((w) => output(start(database.url, 'contend', ...w))))
    const got = said.flat().sort()
    const expected = things.flatMap(({ order, challenge, serial }) => [
      `order ${order.id}`,
      `challenge ${challenge.id}`,
      `nonce ${order.id}`,
      `revocation ${serial}`,
    ])
    expected.push(...Array.from({ length: 120 }, (_unused, n) => `number ${n + 1}`))
    assert.deepEqual(got, expected.sort())
  })

  test('who follows the revocations misses none', async () => {
    const stores = await Promise.all([database.open(), database.open(), database.open()])
    try {
      const certificates = await inLots(Array.from({ length: 300 }), () => addCertificate(store()))
      const last = (await store().revokedSince(0, 10_000)).at(-1)?.seq ?? 0
      const seen: RevocationEvent[] = []
      let over = false
      const follow = async () => {
        for (let seq = last; !over || (await store().revokedSince(seq, 1)).length > 0; ) {
          const news = await store().revokedSince(seq, 7)
          seen.push(...news)
          seq = news.at(-1)?.seq ?? seq
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
      }
      const following = follow()
      await inLots(certificates, ({ serial }, n) =>
        stores[n % 3]?.recordRevocation(serial, { revokedAt: now, reason: 'superseded' }, n % 2 === 0, auditEntry()),
      )
      over = true
      await following
      assert.deepEqual(seen.map((e) => e.serial).sort(), certificates.map((c) => c.serial).sort())
      assert.deepEqual(
        seen.map((e) => e.seq),
        seen.map((e) => e.seq).sort((a, b) => a - b),
      )
    } finally {
      await Promise.all(stores.map((s) => s.close()))
    }
  })

  test('what was confirmed survives SIGKILL', async () => {
    for (const enough of [1, 50, 200]) {
      const { child, lines } = start(database.url, 'write')
      const ended = once(child, 'exit')
      const said: string[] = []
      for await (const line of lines) {
        said.push(line)
        if (said.length === enough + 1) child.kill('SIGKILL')
      }
      await ended
      const ids = said.slice(1).map((line) => line.replace('account ', ''))
      assert.ok(ids.length >= enough)
      const found = await Promise.all(ids.map((id) => store().accountById(id)))
      assert.ok(found.every((account) => account !== null))
    }
  })
})
