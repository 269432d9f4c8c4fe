import { type Command, InvalidArgumentError } from 'commander'
import { parseRuleName } from '../issuance/name-rules.js'
import { addNameRule, removeNameRule } from '../issuance/operator.js'
import { type NameList, nameLists } from '../model.js'
import { wallClock } from '../wall-clock.js'
import { operator, withStore } from './context.js'
import { print, printJson, say, table, when } from './output.js'

const readName = (text: string): string => {
  try {
    return parseRuleName(text)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

const list = (only: NameList | null, options: { json?: true }): Promise<void> =>
  withStore(async (store) => {
    const rules = (await store.policies()).rules.filter((rule) => only === null || rule.list === only)
    if (options.json) return printJson(rules.map((rule) => ({ ...rule, createdAt: new Date(rule.createdAt).toISOString() })))
    if (rules.length === 0) return say(only === null ? 'The lists are empty.' : `The list ${only} is empty.`)
    print(
      table(
        ['list', 'name', 'since', 'reason'],
        rules.map((rule) => [rule.list, rule.name, when(rule.createdAt), rule.reason]),
      ),
    )
  })

const add = (to: NameList, name: string, { reason }: { reason: string }): Promise<void> =>
  withStore(async (store) => {
    await addNameRule({ store, clock: wallClock }, to, name, reason, { actor: operator() })
    say(`${name} is on the list ${to}, in every running process within a second. Certificates that are out there stay as they are.`)
  })

const remove = (from: NameList, name: string): Promise<void> =>
  withStore(async (store) => {
    await removeNameRule({ store, clock: wallClock }, from, name, { actor: operator() })
    say(`${name} is not on the list ${from} any more.`)
  })

const about: Record<NameList, string> = {
  deny: 'names that are not certified',
  allow: 'exceptions from the other two lists: names that the operator has approved',
  'high-risk': 'names that need an approval (an entry in "allow") before they are certified',
}

const addList = (policy: Command, name: NameList): void => {
  const command = policy.command(name).description(about[name])
  command
    .command('add')
    .description('adds a name, or gives it another reason')
    .argument('<name>', 'example.com: this name alone; .example.com: and everything below it; . : every name', readName)
    .option('--reason <text>', 'told to who orders such a name, and kept in the audit log', '')
    .addHelpText(
      'after',
      `\nExamples:\n  $ xmpp-ica policy ${name} add example.com --reason "by court order"\n  $ xmpp-ica policy ${name} add .example.com`,
    )
    .action((given: string, options: { reason: string }) => add(name, given, options))
  command
    .command('remove')
    .description('removes a name')
    .argument('<name>', 'as it was added', readName)
    .addHelpText('after', `\nExample:\n  $ xmpp-ica policy ${name} remove .example.com`)
    .action((given: string) => remove(name, given))
  command
    .command('list')
    .description('shows the list')
    .option('--json', 'print JSON')
    .addHelpText('after', `\nExample:\n  $ xmpp-ica policy ${name} list --json`)
    .action((options: { json?: true }) => list(name, options))
}

export const addPolicy = (program: Command): void => {
  const policy = program
    .command('policy')
    .description('which names are certified: lists that take effect at once')
    .addHelpText(
      'after',
      `
The rule that is closest to a name decides; of equally close ones deny comes before allow, and allow before high-risk. A wildcard needs every name below it to be free.

Examples:
  $ xmpp-ica policy high-risk add .bank.example --reason "a bank"
  $ xmpp-ica policy allow add chat.bank.example --reason "asked by phone, ticket 4711"
      The bank's chat domain and no other name of it.
  $ xmpp-ica policy deny add . ; xmpp-ica policy allow add .example.org
      A CA for one organisation.`,
    )
  policy
    .command('list')
    .description('shows all lists')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ xmpp-ica policy list')
    .action((options: { json?: true }) => list(null, options))
  for (const name of nameLists) addList(policy, name)
}
