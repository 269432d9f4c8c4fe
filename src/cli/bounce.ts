/** Where the mail server pipes bounces to. */
import type { Command } from 'commander'
import { maxBounce, readBounce } from '../mail/dsn.js'
import type { Store } from '../store/store.js'
import { wallClock } from '../wall-clock.js'
import { withStore } from './context.js'
import { say } from './output.js'

/** At most what is read of a bounce; the rest is drained, so that the mail server's pipe does not break. */
const readAll = async (input: AsyncIterable<Buffer>): Promise<Buffer> => {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of input) {
    if (length < maxBounce) chunks.push(chunk)
    length += chunk.length
  }
  return Buffer.concat(chunks).subarray(0, maxBounce)
}

/** Marks the mail that a bounce is about. Gives what to say. */
export const takeBounce = async (store: Store, octets: Buffer, recipient: string | null, now: number): Promise<string> => {
  const read = readBounce(octets, recipient)
  if ('problem' in read) return `Nothing was done: ${read.problem}`
  const { ids, status, diagnostic } = read.bounce
  const detail = `The message came back: ${status}${diagnostic === '' ? '' : ` ${diagnostic}`}`.slice(0, 300)
  for (const id of ids) {
    const mail = await store.mailById(id)
    if (!mail) continue
    const subject = `mail:${id}`
    const audit = {
      at: now,
      actor: 'system',
      action: 'mail.bounced',
      subject,
      detail: { kind: mail.kind, recipient: mail.recipient, status, diagnostic },
    }
    return (await store.mailBounced(id, now, detail, audit)) ? `${id} to ${mail.recipient}: ${detail}` : `Nothing was done: ${id} is ${mail.status}.`
  }
  return 'Nothing was done: no mail in the outbox is meant.'
}

const bounce = (options: { to?: string }): Promise<void> =>
  withStore(async (store) => say(await takeBounce(store, await readAll(process.stdin), options.to ?? null, wallClock.now())))

export const addBounce = (program: Command): void => {
  program
    .command('bounce')
    .description('read a bounce (RFC 3464) from standard input and mark its mail')
    .option('--to <address>', 'the address that it came to, with its "+<id>"')
    .addHelpText(
      'after',
      `
For the mail server, as the recipient of ICA_MAIL_BOUNCE. What is no bounce is left alone; the exit code is 0 unless the database is away.

Examples:
  | "cd /srv/xmpp-ica && npx xmpp-ica bounce --to $ORIGINAL_RECIPIENT"      in an alias or a pipe transport of Postfix
  $ xmpp-ica bounce < bounce.eml`,
    )
    .action(bounce)
}
