import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { stdout } from 'node:process'
import type { Command } from 'commander'
import { checkChain, checkDomain } from '../check/check.js'
import { createCheckPorts, systemServers } from '../check/ports.js'
import type { CertificateReport, EndpointReport, Finding, Report } from '../check/report.js'
import { type Level, verdictWords } from '../check/words.js'
import { toAscii } from '../idna.js'
import { OperatorError } from '../open.js'
import { pemDecode } from '../pki/pem.js'
import { harmless, print, printJson, say } from './output.js'

type Options = {
  json?: true
  file?: string
  domain?: string
  key?: string
  root?: string[]
  timeout: string
  only?: string
  dns?: string[]
  ca?: string[]
  as?: string
  cert?: string
  verbose?: true
}

const exitCodes: Record<Report['verdict'], number> = { good: 0, warnings: 1, failing: 2 }
/** For monitoring, a mistake in the command is no state of the server. */
const unasked = 3

const read = (file: string): Buffer => {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new OperatorError(`${file} cannot be read: ${(error as Error).message}`)
  }
}

/** The certificates in a PEM or DER file. */
const certificatesIn = (file: string): Uint8Array[] => {
  const content = read(file)
  if (content[0] === 0x30) return [new Uint8Array(content)]
  try {
    return pemDecode('CERTIFICATE', content.toString('latin1'))
  } catch (error) {
    throw new OperatorError(`${file}: ${(error as Error).message}`)
  }
}

const readDomain = (given: string | undefined): string => {
  const domain = given === undefined ? null : toAscii(given.trim().replace(/\.$/, ''))
  if (!domain) throw new OperatorError(given === undefined ? 'Say which domain: xmpp-ica check example.org' : `"${given}" is not a domain name.`)
  return domain
}

// How it looks -----------------------------------------------------------------------------------------------------------------------------------------

const colours: Record<Level, string> = { failing: '31;1', warning: '33;1', info: '36', good: '32' }
const marks: Record<Level, string> = { failing: 'FAIL', warning: 'WARN', info: 'info', good: 'ok  ' }

/** Colours for a terminal, unless NO_COLOR says otherwise (no-color.org). */
const paint = (code: string, text: string): string => (stdout.isTTY && !process.env.NO_COLOR ? `\x1b[${code}m${text}\x1b[0m` : text)

/** Words in lines of at most `width` characters. */
const wrap = (text: string, indent: string, width = Math.min(stdout.columns || 100, 110) - indent.length): string => {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.map((line) => indent + line).join('\n')
}

const showFinding = ({ id, level, where, title, detail, advice }: Finding): string => {
  const head = `${paint(colours[level], marks[level])}  ${paint('1', title)} ${paint('2', `[${id}]`)}`
  if (level === 'good') return `${head}\n${wrap(detail, '      ')}`
  return [head, wrap(where, '      '), wrap(detail, '      '), ...(advice ? [wrap(`→ ${advice}`, '      ')] : [])].join('\n')
}

const showEndpoint = ({ role, direct, host, address, port, reached, tls, mechanisms }: EndpointReport): string => {
  const secure = tls ? `${tls.protocol}, ${tls.cipher}${tls.stapled ? ', stapled' : ''}` : 'no TLS'
  const sasl = mechanisms.length > 0 ? `; ${mechanisms.join(' ')}` : ''
  const mark = reached ? paint(colours.good, 'ok  ') : paint(colours.info, '-   ')
  return `${mark}  ${role} ${direct ? 'direct TLS' : 'STARTTLS'}  ${host}:${port}  ${address}  ${secure}${sasl}`
}

const trustWords = { own: 'to the root of the CA', public: 'to a root that systems trust', none: 'to no root that is known here' }

const showCertificate = ({ chain, trust, judgements }: CertificateReport): string => {
  const [leaf] = chain
  const lines = [
    `"${leaf?.subject}" from "${leaf?.issuer}", until ${leaf?.notAfter.slice(0, 10)}, ${leaf?.key}; the chain of ${chain.length} leads ${trustWords[trust]}`,
    ...judgements.map(
      ({ accepted, label, why }) => `  ${accepted ? paint(colours.good, 'yes') : paint(colours.failing, 'no ')}  ${label.padEnd(13)}  ${why}`,
    ),
  ]
  return lines.join('\n')
}

const show = (report: Report, verbose: boolean): string => {
  const { domain, unicode, verdict, services, endpoints, certificates, findings } = report
  const worth = findings.filter(({ level }) => verbose || level !== 'info')
  const section = (title: string, lines: string[]): string[] => (lines.length > 0 ? [`${paint('1', title)}\n${lines.join('\n')}`] : [])
  const count = (level: Level): number => findings.filter((one) => one.level === level).length
  const hidden = findings.length - worth.length
  return [
    `${paint('1', unicode)}${unicode === domain ? '' : ` (${domain})`}`,
    ...section(
      'DNS',
      services.map(
        ({ service, state, records }) =>
          `  ${service.padEnd(18)}  ${records.length > 0 && state === 'offered' ? records.map(({ target, port, priority, weight }) => `${target}:${port} (${priority} ${weight})`).join(', ') : state}`,
      ),
    ),
    ...section('Endpoints', endpoints.map(showEndpoint)),
    ...section('Certificates', certificates.map(showCertificate)),
    ...section('Findings', worth.map(showFinding)),
    paint(colours[verdict === 'good' ? 'good' : verdict === 'warnings' ? 'warning' : 'failing'], verdictWords[verdict](unicode)) +
      ` ${count('failing')} failing, ${count('warning')} to mind${hidden > 0 ? `, ${hidden} for information (--verbose)` : ''}.`,
  ].join('\n\n')
}

// What it does -----------------------------------------------------------------------------------------------------------------------------------------

/** Whether a PEM private key belongs to the first certificate; null without one. */
const matchKey = (file: string | undefined, leaf: Uint8Array | undefined): boolean | null => {
  if (file === undefined || leaf === undefined) return null
  try {
    return new X509Certificate(leaf).checkPrivateKey(createPrivateKey(read(file)))
  } catch (error) {
    if (error instanceof OperatorError) throw error
    throw new OperatorError(`${file} is no private key that can be read without a passphrase.`)
  }
}

const readIdentity = ({ as, cert, key }: Options): { domain: string; key: string; cert: string } | undefined => {
  if (!as && !cert) return undefined
  if (!as || !cert || !key) throw new OperatorError('To look as a peer, say all three: --as DOMAIN --cert CHAIN --key KEY.')
  return { domain: readDomain(as), cert: read(cert).toString('latin1'), key: read(key).toString('latin1') }
}

const readOnly = (only: string | undefined): 'c2s' | 's2s' | undefined => {
  if (only === undefined || only === 'c2s' || only === 's2s') return only
  throw new OperatorError('--only is c2s or s2s.')
}

const lookAt = async (domain: string, options: Options): Promise<Report> => {
  const roots = (options.root ?? []).flatMap(certificatesIn)
  if (options.file !== undefined) {
    const chain = certificatesIn(options.file)
    return checkChain(chain, domain, roots, matchKey(options.key, chain[0]), options.file, Date.now())
  }
  const seconds = Number(options.timeout)
  if (!(seconds >= 1 && seconds <= 120)) throw new OperatorError('--timeout takes 1 to 120 seconds.')
  const ports = createCheckPorts({ servers: options.dns ?? systemServers(), lab: true, now: Date.now })
  const identity = readIdentity(options)
  return checkDomain(domain, ports, { only: readOnly(options.only), roots, caaIdentities: options.ca, identity, totalMs: seconds * 1000 })
}

const check = async (given: string | undefined, options: Options): Promise<void> => {
  try {
    await report(given, options)
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    say(`xmpp-ica: ${error.message}`)
    process.exitCode = unasked
  }
}

const report = async (given: string | undefined, options: Options): Promise<void> => {
  if (given !== undefined && options.domain !== undefined) throw new OperatorError('The domain is given twice.')
  const found = await lookAt(readDomain(given ?? options.domain), options)
  if (options.json) printJson(found)
  else print(show(harmless(found), options.verbose ?? false))
  process.exitCode = exitCodes[found.verdict]
}

export const addCheck = (program: Command): void => {
  program
    .command('check')
    .argument('[domain]', 'the XMPP domain, the part behind the @')
    .description("look at a domain's XMPP servers as clients and peers do; say what is wrong and what to do")
    .option('--json', 'print JSON')
    .option('--verbose', 'with what is merely for information')
    .option('--only <role>', 'c2s (what clients connect to) or s2s (what servers do)')
    .option('--root <file...>', 'root certificates that are trusted beside the public ones (PEM or DER)')
    .option('--ca <name...>', 'the names of a CA in CAA records, to see whether it may issue')
    .option('--as <domain>', 'look as this peer, with --cert and --key')
    .option('--cert <file>', 'the chain to present (PEM)')
    .option('--file <file>', 'judge the chain in this file (PEM; - for stdin) instead of what a server presents; no network')
    .option('--domain <domain>', 'the domain, with --file')
    .option('--key <file>', 'the private key of --file or --cert (PEM)')
    .option('--dns <server...>', 'resolvers to ask, address:port; those of the system')
    .option('--timeout <seconds>', 'for everything', '14')
    .addHelpText(
      'after',
      `
Needs nothing of a CA: neither its keys nor its database nor its settings. The exit code is 0 where all is good, 1 with warnings, 2 where something fails, 3 where
the command itself is wrong.

Examples:
  $ xmpp-ica check example.org --root ica-root.pem
  $ xmpp-ica check example.org --only s2s --json | jq -r '.findings[] | select(.level != "good").id'
  $ xmpp-ica check --file fullchain.pem --key privkey.pem --domain example.org`,
    )
    .action(check)
}
