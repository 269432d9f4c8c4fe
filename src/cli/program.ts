import { Command } from 'commander'
import { version } from '../open.js'
import { addAccount } from './account.js'
import { addBounce } from './bounce.js'
import { addCertificates } from './certificates.js'
import { addCheck } from './check.js'
import { addConfig } from './config.js'
import { addCrl } from './crl.js'
import { addDeploy } from './deploy.js'
import { addDoctor } from './doctor.js'
import { addEab } from './eab.js'
import { addInit } from './init.js'
import { addKey } from './key.js'
import { addLimit } from './limit.js'
import { addPolicy } from './policy.js'
import { addRenewal } from './renewal.js'
import { addResponder } from './responder.js'
import { addRevoke } from './revoke.js'
import { addServe } from './serve.js'
import { addUser } from './user.js'

/** The command line. Parsing throws CommanderError instead of ending the process. */
export const createProgram = (): Command => {
  const program = new Command('xmpp-ica')
    .description('The certification authority for the XMPP network: ACME, XMPP names, OCSP and CRLs.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(--help says more)')
    .configureHelp({ sortSubcommands: false, helpWidth: 110 })
  const groups = [
    addServe,
    addInit,
    addCertificates,
    addRevoke,
    addRenewal,
    addAccount,
    addEab,
    addUser,
    addPolicy,
    addLimit,
    addKey,
    addCrl,
    addResponder,
    addDeploy,
    addBounce,
    addDoctor,
    addCheck,
    addConfig,
  ]
  for (const add of groups) add(program)
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
