import { type Command, InvalidArgumentError } from 'commander'
import { IcaError } from '../errors.js'
import { type LimitName, limitNames, parseRate, type Rate, showRate } from '../issuance/limits.js'
import { limitSubject, setLimit, unsetLimit } from '../issuance/operator.js'
import { wallClock } from '../wall-clock.js'
import { operator, withStore } from './context.js'
import { print, printJson, say, table } from './output.js'

const readLimit = (text: string): LimitName => {
  const limit = limitNames.find((name) => name === text)
  if (!limit) throw new InvalidArgumentError(`One of ${limitNames.join(', ')} is expected.`)
  return limit
}

const readRate = (text: string): Rate => {
  try {
    return parseRate(text)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

const list = (options: { json?: true }): Promise<void> =>
  withStore(async (store, { limits }) => {
    const { overrides } = await store.policies()
    const own = overrides.map(({ limit, subject, count, windowMs }) => ({
      limit,
      subject,
      rate: showRate(count === null ? null : { count, windowMs }),
    }))
    if (options.json) return printJson({ limits: Object.fromEntries(limitNames.map((name) => [name, showRate(limits[name])])), overrides: own })
    print(
      table(
        ['limit', 'for', 'rate'],
        [...limitNames.map((name) => [name, 'everybody', showRate(limits[name])]), ...own.map(({ limit, subject, rate }) => [limit, subject, rate])],
      ),
    )
  })

/** An id of an account that does not exist is a slip of the pen. */
const checkAccount = async (known: Promise<unknown>, limit: LimitName, subject: string): Promise<void> => {
  if (limit !== 'newAccountsPerAddress' && !subject.includes('.') && !(await known)) throw new IcaError('notFound', `There is no account ${subject}.`)
}

const set = (limit: LimitName, text: string, rate: Rate): Promise<void> =>
  withStore(async (store) => {
    const subject = limitSubject(limit, text)
    await checkAccount(store.accountById(subject), limit, subject)
    await setLimit({ store, clock: wallClock }, limit, subject, rate, { actor: operator() })
    say(`${limit} of ${subject} is ${showRate(rate)} now, in every running process within a second.`)
  })

const unset = (limit: LimitName, text: string): Promise<void> =>
  withStore(async (store) => {
    const subject = limitSubject(limit, text)
    await unsetLimit({ store, clock: wallClock }, limit, subject, { actor: operator() })
    say(`${limit} of ${subject} is that of everybody again.`)
  })

export const addLimit = (program: Command): void => {
  const limit = program
    .command('limit')
    .description('rate limits: show them, and set some for one account, domain or address')
    .addHelpText('after', '\nExamples:\n  $ xmpp-ica limit list\n  $ xmpp-ica limit set certificatesPerDomain example.org 500/7d')
  limit
    .command('list')
    .description('the limits in force')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  $ xmpp-ica limit list\n  $ xmpp-ica limit list --json | jq .overrides')
    .action(list)
  limit
    .command('set')
    .description('gives an account, a registered domain or an address a limit of its own')
    .argument('<limit>', limitNames.join(', '), readLimit)
    .argument('<subject>', 'the id of an account; a registered domain; for newAccountsPerAddress an address')
    .argument('<rate>', 'so many in such a time, e.g. 500/7d; or off', readRate)
    .addHelpText(
      'after',
      `
Examples:
  $ xmpp-ica limit set certificatesPerDomain example.org 500/7d
      A university with many departments.
  $ xmpp-ica limit set ordersPerAccount 0193c2f4… 5000/3h
      A hosting provider that moves in.
  $ xmpp-ica limit set newAccountsPerAddress 2001:db8:1:2::1 off
      A test laboratory; of an IPv6 address the /64 counts.`,
    )
    .action(set)
  limit
    .command('unset')
    .description('back to the limit of everybody')
    .argument('<limit>', limitNames.join(', '), readLimit)
    .argument('<subject>', 'as it was set')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica limit unset certificatesPerDomain example.org')
    .action(unset)
}
