import { Command } from 'commander'
import { version } from '../version.js'

type Group = { commands: readonly string[]; load(): Promise<(program: Command) => void> }

/** In the order of the help. Each is loaded only where it is wanted: most of the time that a command takes is the loading of code. */
const groups: readonly Group[] = [
  { commands: ['serve'], load: async () => (await import('./serve.js')).addServe },
  { commands: ['init'], load: async () => (await import('./init.js')).addInit },
  { commands: ['list', 'show'], load: async () => (await import('./certificates.js')).addCertificates },
  { commands: ['revoke'], load: async () => (await import('./revoke.js')).addRevoke },
  { commands: ['renewal'], load: async () => (await import('./renewal.js')).addRenewal },
  { commands: ['account'], load: async () => (await import('./account.js')).addAccount },
  { commands: ['eab'], load: async () => (await import('./eab.js')).addEab },
  { commands: ['user'], load: async () => (await import('./user.js')).addUser },
  { commands: ['policy'], load: async () => (await import('./policy.js')).addPolicy },
  { commands: ['limit'], load: async () => (await import('./limit.js')).addLimit },
  { commands: ['key'], load: async () => (await import('./key.js')).addKey },
  { commands: ['crl'], load: async () => (await import('./crl.js')).addCrl },
  { commands: ['responder'], load: async () => (await import('./responder.js')).addResponder },
  { commands: ['deploy', 'records'], load: async () => (await import('./deploy.js')).addDeploy },
  { commands: ['bounce'], load: async () => (await import('./bounce.js')).addBounce },
  { commands: ['doctor'], load: async () => (await import('./doctor.js')).addDoctor },
  { commands: ['check'], load: async () => (await import('./check.js')).addCheck },
  { commands: ['config'], load: async () => (await import('./config.js')).addConfig },
]

/**
 * The command line. Parsing throws CommanderError instead of ending the process.
 * @param wanted the first word: only its command is there then. All commands are, where there is no such one.
 */
export const createProgram = async (wanted?: string): Promise<Command> => {
  const named = groups.filter(({ commands }) => wanted !== undefined && commands.includes(wanted))
  const program = new Command('xmpp-ica')
    .description('The certification authority for the XMPP network: ACME, XMPP names, OCSP and CRLs.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(--help says more)')
    .configureHelp({ sortSubcommands: false, helpWidth: 110 })
  for (const { load } of named.length > 0 ? named : groups) (await load())(program)
  for (const command of program.commands) command.exitOverride().showHelpAfterError('(--help says more)').configureHelp({ helpWidth: 110 })
  program.addHelpText(
    'after',
    `
Examples:
  $ xmpp-ica serve                       run the CA; the first time, make it
  $ xmpp-ica list --valid                what is out there
  $ xmpp-ica show example.org            the certificates of a domain
  $ xmpp-ica revoke 5f0c8a… --reason keyCompromise
  $ xmpp-ica account pause 0193c2f4… --reason "…"
  $ xmpp-ica doctor                      what is wrong, and what to do
  $ xmpp-ica check example.org           how a domain's XMPP servers look from outside

Commands work on the folder they are run in: its .env, ./data and ./ca-keys.`,
  )
  return program
}
