/** `xmpp-ica deploy` and `xmpp-ica records`: the last step on the machine of an XMPP server. Neither touches the CA. */
import { type Command, InvalidArgumentError } from 'commander'
import { deploy, type Outcome, readOwner } from '../deploy/deploy.js'
import { domainOf, domainsOf } from '../deploy/domains.js'
import { lookAround, lookAt, readPlace } from '../deploy/look.js'
import { readChain, readMaterial } from '../deploy/material.js'
import { type ServerKit, serverKits } from '../deploy/servers.js'
import { findSource } from '../deploy/source.js'
import { OperatorError } from '../open.js'
import { poshDocument, poshFiles, tlsaRecords } from '../pki/publishing.js'
import { wallClock } from '../wall-clock.js'
import { harmless, print, printJson, say } from './output.js'

type Options = {
  chain?: string
  key?: string
  domain?: string[]
  root?: string
  dir?: string
  owner?: string
  reload: string | boolean
  look: boolean
  at?: string[]
  patience: number
  force?: true
  json?: true
}

const kitOf = (name: string): ServerKit => {
  const kit = serverKits.get(name)
  if (!kit) throw new OperatorError(`There is no kit for "${name}"; there are ${[...serverKits.keys()].join(', ')}.`)
  return kit
}

const tell = (kit: ServerKit, domain: string, outcome: Outcome): void => {
  for (const warning of outcome.warnings) say(`Note: ${warning}`)
  if (outcome.result === 'refused') {
    say(`The certificate was not given to ${kit.label}: for ${domain} it is not good.`)
    for (const fault of outcome.faults) say(`  ${fault}`)
    say('Nothing was changed. --force installs it all the same.')
  } else if (outcome.result === 'failed') {
    say(`${kit.label} does not serve the new certificate: ${outcome.reason}.`)
    for (const file of outcome.lost) say(`Not put back: ${file}.`)
    if (outcome.restored) say('The old certificate is in place again.')
    else if (outcome.lost.length === 0) say('The files are in place; nothing was put back.')
  } else {
    const where = [...new Set(outcome.seen.flatMap((one) => ('sha256' in one ? [one.place] : [])))]
    const done = outcome.result === 'deployed' ? 'has the new certificate' : 'had this certificate already'
    print(`${kit.label} ${done} for ${domain}: ${outcome.files.join(', ')}${where.length > 0 ? `; seen at ${where.join(' and ')}` : ''}.`)
  }
}

/** The words of `--reload`; what to run is not left to chance. */
const reloadOf = (given: string | boolean, kit: ServerKit): readonly string[] | null => {
  if (given === false) return null
  if (typeof given !== 'string') return kit.reload
  const words = given.trim().split(/\s+/)
  if (words[0] === '') throw new OperatorError('--reload is empty. Without a command, say --no-reload.')
  return words
}

const run = async (server: string, hookArguments: string[], options: Options): Promise<void> => {
  const kit = kitOf(server)
  const source = findSource(options, hookArguments, process.env)
  if (source === 'nothing to do') return
  const material = await readMaterial(source)
  const domains = domainsOf(options.domain, source.domain, material.leaf)
  const { owner, group } = options.owner ? readOwner(options.owner) : kit
  const places = options.at?.map(readPlace)
  const outcome = await deploy(
    {
      kit,
      material,
      domains,
      roots: options.root ? readChain(options.root) : [],
      folder: options.dir ?? kit.folder,
      owner,
      group,
      reload: reloadOf(options.reload, kit),
      look: options.look ? (domain) => (places ? lookAt(places, domain) : lookAround(domain)) : null,
      everywhere: places !== undefined,
      patienceMs: options.patience * 1000,
      force: options.force === true,
    },
    wallClock.now(),
  )
  if (options.json) printJson({ server: kit.name, domains, from: source.from, ...outcome })
  else tell(kit, domains.join(' and '), harmless(outcome))
  if (outcome.result === 'refused' || outcome.result === 'failed') process.exitCode = 1
}

const seconds = (value: string): number => {
  if (!/^\d{1,3}$/.test(value)) throw new InvalidArgumentError('A number of seconds, at most 999.')
  return Number(value)
}

const collect = (value: string, before: string[] = []): string[] => [...before, value]

/** RFC 7711 §3.2 has no upper bound; a year is more than any certificate lives. */
const expiry = (value: string): number => {
  const parsed = Number(value)
  if (!/^\d{1,8}$/.test(value) || parsed < 1 || parsed > 31_536_000)
    throw new InvalidArgumentError('A number of seconds, from 1 to 31536000 (a year).')
  return parsed
}

type RecordOptions = { chain: string; domain: string; target: string[]; posh?: true; tlsa?: true; expires: number }

const records = ({ chain: file, domain: named, target, posh, tlsa, expires }: RecordOptions): void => {
  const chain = readChain(file)
  const domain = domainOf(named)
  const places = target.length > 0 ? target.map(readPlace) : [5222, 5223, 5269, 5270].map((port) => ({ host: domain, port }))
  const both = !posh && !tlsa
  if (both || tlsa) {
    if (both) print('; DANE (RFC 7712): records for the targets of the SRV records. They count only in zones that DNSSEC signs.')
    print(tlsaRecords(chain, places).join('\n'))
  }
  if (both) print(`\n; POSH (RFC 7711): https://${domain}/.well-known/posh/${poshFiles[0]} and ${poshFiles[1]}, both with this:`)
  if (both || posh) print(poshDocument([chain[0] as Uint8Array], expires).trimEnd())
}

export const addDeploy = (program: Command): void => {
  program
    .command('deploy')
    .description('give a new certificate to an XMPP server, see that it is served, and put the old one back if not')
    .argument('<server>', [...serverKits.keys()].join(', '))
    .argument('[hook...]', 'what dehydrated passes to its hook')
    .option('--chain <file>', 'the certificate with its intermediate, PEM; else what the ACME client says')
    .option('--key <file>', 'its key, PEM')
    .option('--domain <name>', 'the domain that it is for, several times if need be; else its first name', collect)
    .option('--root <file>', 'the root that the chain must lead to, PEM')
    .option('--dir <folder>', 'where the server looks for it')
    .option('--owner <user:group>', 'whose new files are (as root)')
    .option('--reload <command>', 'how the server is told; run without a shell')
    .option('--no-reload', 'tell nobody')
    .option(
      '--at <host:port>',
      'where it must be seen, several times if need be; else ports 5222 and 5269 of this machine, or of the domain',
      collect,
    )
    .option('--no-look', 'do not look whether it is served')
    .option('--patience <seconds>', 'how long the server may take to serve it', seconds, 15)
    .option('--force', 'install what would be refused')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
As a hook it knows the certificate from certbot, lego, acme.sh and dehydrated. Ends with 0 where the new certificate is served, else with 1.
Files that are there keep owner and mode; new keys get 0640.

Examples:
  $ certbot certonly --server … -d example.org --deploy-hook "xmpp-ica deploy prosody"
  $ lego --server … --domains example.org run --run-hook "xmpp-ica deploy ejabberd"
  $ acme.sh --install-cert -d example.org --key-file k.pem --fullchain-file c.pem --reloadcmd "xmpp-ica deploy prosody"
  $ xmpp-ica deploy prosody --chain fullchain.pem --key privkey.pem --at xmpp.example.org:5222`,
    )
    .action(run)
  program
    .command('records')
    .description('TLSA records (DANE) and POSH documents for a certificate, ready to publish')
    .requiredOption('--chain <file>', 'the certificate with its intermediate, PEM')
    .requiredOption('--domain <name>', 'the XMPP domain')
    .option('--target <host:port>', 'a target of its SRV records, several times if need be', collect, [])
    .option('--tlsa', 'only the TLSA records')
    .option('--posh', 'only the POSH document')
    .option('--expires <seconds>', 'how long peers may keep the POSH document', expiry, 86_400)
    .addHelpText(
      'after',
      '\nExamples:\n  $ xmpp-ica records --chain fullchain.pem --domain example.org --target xmpp.example.org:5269\n  $ xmpp-ica records --chain fullchain.pem --domain example.org --posh > xmpp-server.json',
    )
    .action(records)
}
