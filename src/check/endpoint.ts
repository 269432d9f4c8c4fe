/** What is right and wrong with an endpoint: connection, stream, TLS. Its certificate is judged elsewhere. */
import type { Fault, FaultKind } from './conversation.js'
import type { Endpoint, Seen } from './probe.js'
import { type EndpointReport, type Finding, finding } from './report.js'
import type { FindingId } from './words.js'

/** An endpoint for people: `c2s xmpp.example.org:5222 (192.0.2.1)`. */
export const nameEndpoint = ({ role, direct, host, port, address }: Endpoint): string =>
  `${role}${direct ? ' (direct TLS)' : ''} ${host}:${port} (${address})`

const byFault: Record<FaultKind, FindingId> = {
  refused: 'connection-refused',
  timeout: 'connection-timeout',
  unreachable: 'connection-failed',
  'no-route': 'ipv6-untested',
  hangs: 'server-hangs',
  closed: 'closed-early',
  'starttls-refused': 'starttls-refused',
  'tls-failed': 'tls-failed',
  'stream-error': 'stream-error',
  'not-xmpp': 'not-xmpp',
  'xml-invalid': 'xml-invalid',
  'xml-forbidden': 'xml-forbidden',
  'xml-utf8': 'xml-utf8',
  'stream-endless': 'stream-endless',
}

/** What a peer without a certificate is told by servers that want one (Prosody, ejabberd). */
const unwelcome = new Set(['not-authorized', 'policy-violation', 'invalid-from', 'improper-addressing'])
/** Prosody without TLS (none configured, or no certificate that it can read) says so instead of sending features that are empty. */
const nothingToOffer = /^undefined-condition \(“No stream features to (proceed with|offer)\b/
const connecting = new Set<FaultKind>(['refused', 'timeout', 'unreachable'])

const faultId = ({ endpoint, stage, before, old }: Seen, fault: Fault): FindingId => {
  if (fault.kind === 'starttls-refused' && before && !before.starttls) return 'starttls-missing'
  if (stage === 'stream' && nothingToOffer.test(fault.message)) return 'starttls-missing'
  if (fault.kind === 'tls-failed' && old) return 'tls-old-only'
  if (fault.condition === 'see-other-host') return 'see-other-host'
  if (stage === 'features' && endpoint.role === 's2s' && fault.condition && unwelcome.has(fault.condition)) return 'peer-refused'
  return byFault[fault.kind]
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`

const faultDetail = ({ stage, old }: Seen, fault: Fault, id: FindingId): string => {
  if (id === 'tls-old-only') return `A handshake with TLS 1.2 or later fails (${fault.message}), one with ${old} succeeds.`
  if (id === 'starttls-missing')
    return fault.kind === 'stream-error' ? `The stream error is ${fault.message}.` : 'The stream features are without STARTTLS.'
  if (id === 'peer-refused') return `This check is refused, not your certificate: the stream error is ${fault.message}.`
  if (fault.kind === 'stream-error') return `The stream error is ${fault.message}${stage === 'features' ? ', after TLS' : ''}.`
  return sentence(`${fault.message}${stage === 'features' ? ' (after TLS)' : ''}`)
}

/** Suites without forward secrecy or authenticated encryption, and worse. */
const weakCipher = /^TLS_(RSA|PSK|ECDH|DH)_|_anon_|CBC|3DES|RC4|NULL|EXPORT/

/** The findings about what was seen at an endpoint. `served`: whether another endpoint of the same role works, so that this one is not the end. */
export const judgeEndpoint = (seen: Seen, served: boolean): Finding[] => {
  const { endpoint, fault, before, after, tls, old } = seen
  const where = nameEndpoint(endpoint)
  const findings: Finding[] = []
  const note = (id: FindingId, detail: string) => void findings.push(finding(id, where, detail))
  if (fault) {
    const id = faultId(seen, fault)
    findings.push(finding(id, where, faultDetail(seen, fault, id), served && connecting.has(fault.kind) ? 'warning' : undefined))
  }
  if (before?.starttls && !before.required && !before.alone)
    note('starttls-optional', 'STARTTLS is offered beside other things, without <required/>.')
  const plain = before?.mechanisms.filter((name) => name !== 'EXTERNAL') ?? []
  if (plain.length > 0) note('sasl-in-clear', `Before TLS the server offers ${plain.slice(0, 6).join(', ')}.`)
  if (tls) {
    if (old) note('tls-old-offered', `A handshake with ${old} succeeds.`)
    if (tls.protocol === 'TLSv1.2') note('tls-1.3-missing', `${tls.protocol} was negotiated.`)
    if (weakCipher.test(tls.cipher)) note('cipher-weak', `${tls.cipher} was negotiated.`)
    if (endpoint.direct && !tls.alpn) note('alpn-missing', 'The server chose no protocol.')
    if (tls.chain.length === 0) note('certificate-missing', 'The handshake has no certificate.')
  }
  if (endpoint.role === 's2s' && after) {
    if (after.mechanisms.includes('EXTERNAL')) note('external-offered', 'SASL EXTERNAL is offered.')
    else note('external-missing', `Offered: ${after.mechanisms.slice(0, 6).join(', ') || 'no mechanism'}.`)
  }
  return findings
}

/** Whether an endpoint serves: a stream came about, or would for a peer that the server knows. */
export const isServing = (seen: Seen): boolean => seen.stage === 'done' || (seen.fault !== null && faultId(seen, seen.fault) === 'peer-refused')

/** An endpoint for the report. */
export const describeEndpoint = (seen: Seen, fingerprint: string | null): EndpointReport => {
  const { endpoint, tls, before, after } = seen
  return {
    ...endpoint,
    reached: isServing(seen),
    tls: tls && { protocol: tls.protocol, cipher: tls.cipher, alpn: tls.alpn, stapled: tls.staple !== null },
    mechanisms: (after ?? before)?.mechanisms ?? [],
    certificate: fingerprint,
  }
}
