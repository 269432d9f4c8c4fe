/**
 * A second process on the database of a test: `node --import tsx contender.ts <url> <what> <words…>`.
 *   migrate              opens the store and says so
 *   contend <ids…>       tries to get each order claimed, each challenge leased, each nonce used and each revocation made, and a CRL number each time;
 *                        prints what it got
 *   write                records accounts with eight callers until it is killed, and prints each when it is durable
 */
import { writeSync } from 'node:fs'
import { openStore } from '../../src/store/store.js'
import { addAccount, auditEntry, issuerId, now, silent } from './fixtures.js'

const [url, what, ...words] = process.argv.slice(2)
const store = await openStore({ url: url as string, log: silent })
const say = (line: string) => writeSync(1, `${line}\n`)

const contend = async (word: string) => {
  const [order, challenge, serial] = word.split(',') as [string, string, string]
  if (await store.claimOrder(order, now, new Uint8Array(1), auditEntry())) say(`order ${order}`)
  if (await store.leaseChallenge(challenge, now, now + 1)) say(`challenge ${challenge}`)
  if (await store.useNonce(Buffer.from(order), now)) say(`nonce ${order}`)
  if (await store.recordRevocation(serial, { revokedAt: now, reason: 'superseded' }, false, auditEntry())) say(`revocation ${serial}`)
  say(`number ${await store.nextCrlNumber(issuerId, 9)}`)
}

const write = async () => {
  for (;;) say(`account ${(await addAccount(store)).id}`)
}

say('ready')
if (what === 'contend') await Promise.all(words.map(contend))
if (what === 'write') await Promise.all(Array.from({ length: 8 }, write))
await store.close()
