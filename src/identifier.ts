/**
 * What a certificate can be ordered for (RFC 8555 §7.1.4): parsing, normalising and comparing. One entry of `parsers` per type of identifier.
 *
 * Free of Node, so that the web form refuses the same names with the same sentences before it sends them.
 */
import { parse } from 'tldts'
import { type ErrorCode, IcaError, type Subproblem } from './errors.js'
import { invalidALabel, toAscii, toUnicode } from './idna.js'

export { toAscii, toUnicode }

/**
 * An ACME identifier, normalised. `dns` is a lower-case A-label name without trailing dot, perhaps with one leading `*.`; `srv` (draft-lebihan-srv-identifier-validation-extension)
 * is the XMPP service of such a domain as an SRVName has it, `_xmpp-server.example.com`.
 */
export type Identifier = { type: 'dns' | 'srv'; value: string }

export const identifierTypes: readonly Identifier['type'][] = ['dns', 'srv']

/** `lab`: names that the public DNS does not have (`.test`, `.localhost`, `.internal`, a TLD of one's own) may be certified too. */
export type IdentifierOptions = { lab: boolean }

/** RFC 1035 §2.3.4, counted as text without the trailing dot. */
const MAX_NAME = 253
const MAX_LABEL = 63
/** Each label of a name costs look-ups (CAA climbs the tree), so a name with 120 would be a way to make this CA ask others 120 times. Boulder has the same. */
const MAX_LABELS = 10

/** Text from outside as it may stand in a sentence: quoted, escaped, bounded. */
const show = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)

const refuse = (code: ErrorCode, sentence: string): never => {
  throw new IcaError(code, sentence)
}

/** A name and whether it stands for every label below it. `*.example.com` → `example.com`, true. */
export const splitWildcard = (value: string): { base: string; wildcard: boolean } =>
  value.startsWith('*.') ? { base: value.slice(2), wildcard: true } : { base: value, wildcard: false }

/** The domain that an identifier is about: without the wildcard label, without the service. */
export const domainOf = ({ type, value }: Identifier): string => (type === 'srv' ? value.slice(value.indexOf('.') + 1) : splitWildcard(value).base)

/**
 * The domain that one registers to own this name (`a.b.example.co.uk` → `example.co.uk`), private suffixes counted (`me.duckdns.org` stays itself): names with
 * the same registrable domain are in one hand. A name that is itself a suffix is its own. Accepts wildcards.
 */
export const registrableDomain = (value: string): string => {
  const { base } = splitWildcard(value)
  return suffixOf(base, true).domain ?? suffixOf(base, false).domain ?? base
}

const suffixOf = (name: string, allowPrivateDomains: boolean) =>
  parse(name, { allowPrivateDomains, extractHostname: false, validateHostname: false, detectIp: false, detectSpecialUse: true })

/** Things that people paste in place of a name, each with what to do. Runs before everything that assumes a name. */
const checkIsName = (value: string): void => {
  if (value === '') refuse('malformed', 'A name is empty.')
  if (/^\[?[0-9a-f.]*:[0-9a-f:.]*(%.*)?\]?$/i.test(value) && value.split(':').length > 2) {
    refuse('malformed', `${show(value)} is an IPv6 address; this CA certifies domain names.`)
  }
  if (/[/:\\]/.test(value)) refuse('malformed', `${show(value)} is not a bare name; leave out scheme, port and path.`)
  if (value.includes('@')) refuse('malformed', `${show(value)} is an address; give the domain after the "@".`)
  if (value.length > MAX_NAME + 1) refuse('malformed', `${show(value)} is longer than the ${MAX_NAME} characters that a name can have.`)
  // RFC 8555 §7.1.4 wants A-labels. Converting here would certify a name that the client never wrote, so it is told what to write.
  if (/[^\0-\x7f]/.test(value)) {
    const { base, wildcard } = splitWildcard(value)
    const ascii = toAscii(base)
    if (ascii === null) refuse('malformed', `${show(value)} is not a valid internationalised domain name.`)
    refuse('malformed', `${show(value)} is not in ASCII form; order "${wildcard ? '*.' : ''}${ascii}" instead.`)
  }
}

/** The form of one label, lower case (RFC 1123 §2.1, RFC 5890 §2.3.1). `name` is for the sentence. */
const checkLabel = (label: string, name: string): void => {
  if (label === '') refuse('malformed', `${name} has an empty label.`)
  if (label.includes('*')) refuse('malformed', `${name} has a "*" that is not the whole left-most label; a wildcard looks like "*.example.com".`)
  if (label.length > MAX_LABEL) refuse('malformed', `${name} has a label of more than ${MAX_LABEL} characters.`)
  if (label.includes('_')) refuse('malformed', `${name} has an underscore, which names of hosts and XMPP domains never have.`)
  const strange = /[^a-z0-9-]/.exec(label)
  if (strange) refuse('malformed', `${name} has the character ${JSON.stringify(strange[0])}; only letters, digits and hyphens are possible.`)
  if (label.startsWith('-') || label.endsWith('-')) refuse('malformed', `${name} has a label that begins or ends with a hyphen.`)
  if (label.slice(2, 4) === '--' && !label.startsWith('xn--')) {
    refuse('malformed', `${name} has "--" at the third place of a label, which is reserved (RFC 5890).`)
  }
}

/** The form of a name without its wildcard, lower case. `name` is the whole as it was given, for the sentences. */
const checkForm = (base: string, name: string): void => {
  if (base.endsWith('.')) refuse('malformed', `${name} ends with a dot; leave it out.`)
  const labels = base.split('.')
  // WHATWG URL, "ends in a number": what a browser or a C library would read as an IPv4 address, such as 127.1 or 0x7f.1.
  if (/^(\d+|0x[\da-f]*)$/.test(labels.at(-1) ?? '')) refuse('malformed', `${name} is an IP address; this CA certifies domain names.`)
  for (const label of labels) checkLabel(label, name)
  const broken = invalidALabel(base)
  if (broken !== null) refuse('malformed', `${name} has the label "${broken}", which is not a valid internationalised label (RFC 5891).`)
  // What browsers and XMPP clients make of the name, rules that span labels (RFC 5893 §2) included, must be the name.
  if (base.includes('xn--') && toAscii(toUnicode(base)) !== base) refuse('malformed', `${name} is not a valid internationalised domain name.`)
}

/** Top-level domains that no DNS may have, not even a private one: RFC 7686, 9476, 6761; `arpa` (RFC 3172) but for RFC 8375's home network. */
const neverInDns = /(^|\.)(onion|alt|invalid|(?<!(^|\.)home\.)arpa)$/

/** Refuses names that nobody can own, or that are not one owner's. `name` is the whole as it was given. */
const checkPolicy = (base: string, wildcard: boolean, name: string, lab: boolean): void => {
  const no = (why: string) => refuse('rejectedIdentifier', `${name} ${why}`)
  if (!base.includes('.')) {
    no(wildcard ? 'would cover a whole top-level domain.' : 'has a single label; certificates are for names below a top-level domain.')
  }
  if (base.split('.').length > MAX_LABELS) no(`has more than ${MAX_LABELS} labels.`)
  const suffix = suffixOf(base, false)
  if (neverInDns.test(base) || (suffix.isSpecialUse && !lab))
    no('is in a domain reserved for special use; nobody can prove control of it in the DNS.')
  if (!suffix.isIcann && !lab) no(`does not end in a public top-level domain ("${suffix.publicSuffix}" is none).`)
  if (suffix.publicSuffix === base)
    no(`${wildcard ? 'would cover every name under' : 'is'} the public suffix "${base}", which belongs to a registry.`)
  // A private suffix (duckdns.org) has an owner who may well run XMPP on it, but the names below it have others.
  if (wildcard && suffixOf(base, true).publicSuffix === base) no(`would cover the names of everybody who registers under "${base}".`)
}

const parseDns = (value: string, { lab }: IdentifierOptions): string => {
  checkIsName(value)
  const name = show(value)
  const lower = value.toLowerCase()
  const { base, wildcard } = splitWildcard(lower)
  checkForm(base, name)
  if (lower.length > MAX_NAME) refuse('malformed', `${name} is longer than the ${MAX_NAME} characters that a name can have.`)
  checkPolicy(base, wildcard, name, lab)
  return lower
}

/** The services of XMPP (RFC 6120 §13.7.1.2.1) in the form of RFC 4985 §2. */
const services = ['_xmpp-client', '_xmpp-server']

const parseSrv = (value: string, options: IdentifierOptions): string => {
  const name = show(value)
  const dot = value.indexOf('.')
  const service = (dot < 0 ? value : value.slice(0, dot)).toLowerCase()
  const domain = dot < 0 ? '' : value.slice(dot + 1)
  if (service === '*' || domain.startsWith('*'))
    refuse('rejectedIdentifier', `${name} is a wildcard; a service is certified for one domain at a time.`)
  if (!services.includes(service)) {
    refuse('rejectedIdentifier', `${name} does not begin with a service that this CA certifies: "${services.join('." or "')}.".`)
  }
  if (/^_(tcp|udp)\./i.test(domain)) {
    refuse('malformed', `${name} has the protocol of a DNS record; an SRVName leaves it out (RFC 4985 §2): "${service}.${domain.slice(5)}".`)
  }
  const srv = `${service}.${parseDns(domain, options)}`
  if (srv.length > MAX_NAME) refuse('malformed', `${name} is longer than the ${MAX_NAME} characters that a name can have.`)
  return srv
}

const parsers: { [T in Identifier['type']]: (value: string, options: IdentifierOptions) => string } = { dns: parseDns, srv: parseSrv }

const isSupported = (type: unknown): type is Identifier['type'] => typeof type === 'string' && Object.hasOwn(parsers, type)

/**
 * One identifier of a newOrder, checked and normalised. Takes anything that JSON can hold.
 *
 * Throws IcaError: `unsupportedIdentifier` for another type, `malformed` for what is no such identifier, `rejectedIdentifier` for one that is never certified.
 */
export const parseIdentifier = (type: unknown, value: unknown, options: IdentifierOptions): Identifier => {
  if (!isSupported(type)) {
    const given = typeof type === 'string' ? show(type) : 'without a type'
    throw new IcaError('unsupportedIdentifier', `Identifiers ${given} are not supported; this CA knows "${Object.keys(parsers).join('", "')}".`)
  }
  if (typeof value !== 'string') throw new IcaError('malformed', `The value of an identifier of type "${type}" is not a string.`)
  return { type, value: parsers[type](value, options) }
}

/** How many sentences go into the error's own text: most clients show nothing else, and some names share a fate by the hundred. */
const SENTENCES = 3

/**
 * All identifiers of a newOrder, in their order, duplicates (after normalising) once.
 *
 * Throws one IcaError with a subproblem for each bad identifier (RFC 8555 §6.7.1); its code is theirs where they agree, otherwise `malformed`.
 */
export const parseIdentifiers = (list: unknown, { max, lab }: IdentifierOptions & { max: number }): Identifier[] => {
  if (!Array.isArray(list) || list.length === 0) throw new IcaError('malformed', 'The order has no list "identifiers" with at least one identifier.')
  if (list.length > max)
    throw new IcaError('malformed', `The order has ${list.length} identifiers; ${max} are possible. Split it into several orders.`)
  const good = new Map<string, Identifier>()
  const bad: Subproblem[] = []
  for (const item of list as unknown[]) {
    const { type, value } = (item ?? {}) as { type?: unknown; value?: unknown }
    try {
      const identifier = parseIdentifier(type, value, { lab })
      good.set(`${identifier.type}:${identifier.value}`, identifier)
    } catch (error) {
      if (!(error instanceof IcaError)) throw error
      bad.push({ code: error.code, detail: error.message, identifier: { type: echo(type), value: echo(value) } })
    }
  }
  const first = bad[0]
  if (!first) return [...good.values()]
  const code = bad.every((b) => b.code === first.code) ? first.code : 'malformed'
  const sentences = bad.slice(0, SENTENCES).map((b) => b.detail)
  const more = bad.length > SENTENCES ? ` (${bad.length - SENTENCES} more names have problems.)` : ''
  throw new IcaError(code, sentences.join(' ') + more, { subproblems: bad })
}

/** A member of a bad identifier as the subproblem repeats it, so that the client finds it again. */
const echo = (given: unknown): string => (typeof given === 'string' ? given.slice(0, MAX_NAME + 3) : '')

/** Orders identifiers by type and value, in code units: the same on every machine. */
export const compareIdentifiers = (a: Identifier, b: Identifier): number => {
  const [x, y] = a.type === b.type ? [a.value, b.value] : [a.type, b.type]
  return x < y ? -1 : x > y ? 1 : 0
}

/** Whether two lists name the same identifiers, whatever their order and repetitions: a renewal is such a pair. */
export const sameIdentifierSet = (a: readonly Identifier[], b: readonly Identifier[]): boolean => {
  const keys = (list: readonly Identifier[]) => new Set(list.map((i) => `${i.type}:${i.value}`))
  const [left, right] = [keys(a), keys(b)]
  return left.size === right.size && [...left].every((key) => right.has(key))
}
