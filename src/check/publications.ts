/** What a domain publishes about its certificates: TLSA records (RFC 6698, RFC 7712), a POSH document (RFC 7711), CAA (RFC 8659). */
import { hash } from 'node:crypto'
import type { PeerCertificate } from '../pki/peer-certificate.js'
import { checkCaa } from '../validation/caa.js'
import type { Chain } from './certificate.js'
import type { TlsaRecord } from './dns-query.js'
import type { CheckPorts } from './ports.js'
import { type Finding, finding } from './report.js'

const matches = ({ selector, matching, data }: TlsaRecord, certificate: PeerCertificate): boolean => {
  const subject = selector === 1 ? certificate.spki : certificate.der
  if (matching === 0) return Buffer.from(subject).toString('hex') === data
  return (matching === 1 || matching === 2) && hash(matching === 1 ? 'sha256' : 'sha512', subject) === data
}

/** Whether a record is for the chain: usages 1 and 3 mean the leaf, 0 and 2 a CA above it; 0 and 1 ask for a public root besides. */
const isFor = (record: TlsaRecord, { leaf, presented, path, trust }: Chain): boolean => {
  if (record.usage <= 1 && trust !== 'public') return false
  if (record.usage === 1 || record.usage === 3) return matches(record, leaf)
  const above = [...path.certificates.slice(1), ...presented.filter(({ isCa }) => isCa), ...(path.anchor ? [path.anchor] : [])]
  return above.some((certificate) => matches(record, certificate))
}

const shown = ({ usage, selector, matching, data }: TlsaRecord): string => `${usage} ${selector} ${matching} ${data.slice(0, 16)}…`

/** Looks the TLSA records of a target up and compares them with the chain that is served there. `secure`: whether the way to the target was authenticated. */
export const judgeTlsa = async (
  host: string,
  port: number,
  chain: Chain,
  secure: boolean,
  ports: CheckPorts,
  signal: AbortSignal,
): Promise<Finding[]> => {
  const name = `_${port}._tcp.${host}`
  const answer = await ports.dns.query(name, 'TLSA', signal)
  // Who relies on DANE connects to nobody whose records can't be looked up (RFC 7672 §2.1.2).
  if (answer.kind === 'failure') return [finding('dns-failed', name, `The look-up of ${name} failed: ${answer.reason}.`, 'warning')]
  if (answer.kind === 'none') return []
  const good = answer.records.find((record) => isFor(record, chain))
  const said = answer.records.slice(0, 4).map(shown).join('; ')
  const verdict = good ? finding('tlsa-matches', name, `The record is ${shown(good)}`) : finding('tlsa-mismatch', name, `The records are ${said}`)
  return [
    verdict,
    ...(answer.authentic && secure
      ? []
      : [finding('tlsa-insecure', name, 'The answers have no AD flag: the zone is not signed, or the resolver does not validate.')]),
  ]
}

const maxPosh = 16 * 1024

type Posh = { fingerprints: Record<string, string>[] } | { url: string } | { wrong: string }

/** The fingerprints of a POSH document by digest, or where they are instead (RFC 7711 §3). */
const readPosh = (text: string): Posh => {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    return { wrong: 'It is not JSON.' }
  }
  const { fingerprints, url } = document as { fingerprints?: unknown; url?: unknown }
  if (typeof url === 'string') {
    return /^https:\/\//i.test(url) && URL.canParse(url) ? { url } : { wrong: `It refers to ${url.slice(0, 200)}, which is no address with https.` }
  }
  if (!Array.isArray(fingerprints) || !fingerprints.every((one) => typeof one === 'object' && one !== null))
    return { wrong: 'It has no list "fingerprints".' }
  return { fingerprints: fingerprints as Record<string, string>[] }
}

/** Follows a document to the one that it refers to, which must not refer to a third. */
const followPosh = async (first: Posh, ports: CheckPorts, signal: AbortSignal): Promise<Exclude<Posh, { url: string }>> => {
  if (!('url' in first)) return first
  const at = first.url.slice(0, 200)
  const got = await ports.get(first.url, maxPosh, signal)
  if (!got.ok) return { wrong: `It refers to ${at}: ${got.detail}.` }
  if (got.status !== 200) return { wrong: `It refers to ${at}, which is answered with the HTTP status ${got.status}.` }
  const second = readPosh(got.body.toString('utf8'))
  if ('url' in second) return { wrong: `It refers to ${at}, which refers to another.` }
  return 'wrong' in second ? { wrong: `It refers to ${at}. ${second.wrong}` } : second
}

/** The findings about /.well-known/posh/xmpp-server.json, or for clients xmpp-client.json (RFC 7711 §3); none where there is no such document. */
export const judgePosh = async (
  domain: string,
  role: 'c2s' | 's2s',
  chains: readonly Chain[],
  ports: CheckPorts,
  signal: AbortSignal,
): Promise<Finding[]> => {
  const url = `https://${domain}/.well-known/posh/xmpp-${role === 's2s' ? 'server' : 'client'}.json`
  const got = await ports.get(url, maxPosh, signal)
  // Many a web server has a page for everything; a document begins with a brace.
  if (!got.ok || got.status !== 200 || !got.body.toString('latin1').trimStart().startsWith('{')) return []
  const read = await followPosh(readPosh(got.body.toString('utf8')), ports, signal)
  if ('wrong' in read) return [finding('posh-invalid', url, read.wrong)]
  const digests = { 'sha-256': 'sha256', 'sha-512': 'sha512', 'sha-1': 'sha1' } as const
  const listed = (der: Uint8Array) =>
    read.fingerprints.some((entry) =>
      Object.entries(digests).some(([name, digest]) => entry[name] !== undefined && entry[name] === hash(digest, der, 'base64')),
    )
  const lacking = chains.filter(({ leaf }) => !listed(leaf.der))
  if (lacking.length === 0) return [finding('posh-matches', url, 'It lists the certificate that is served.')]
  return [finding('posh-mismatch', url, `It does not list the certificate "${lacking[0]?.leaf.subject}" that is served.`)]
}

/** Whether CAA records let a CA of these identities issue; nothing where there are none. */
export const judgeCaa = async (domain: string, identities: readonly string[], ports: CheckPorts, signal: AbortSignal): Promise<Finding[]> => {
  if (identities.length === 0) return []
  const question = { name: domain, wildcard: false, identities, accountUri: '', validationMethod: '' }
  const result = await checkCaa(question, ports.resolver, signal)
  const at = String(result.evidence.at ?? domain)
  if (!result.allowed) return [finding('caa-forbids', at, result.detail)]
  const records = result.evidence.records
  return Array.isArray(records) ? [finding('caa-allows', at, `The records are ${records.join('; ')}.`)] : []
}
