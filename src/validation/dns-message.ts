/** DNS messages (RFC 1035 §4), as much of them as it takes to ask one server one question. What comes back is from a stranger: every length is checked. Pure. */

export const recordTypes = { A: 1, NS: 2, CNAME: 5, TXT: 16, AAAA: 28, SRV: 33, TLSA: 52, CAA: 257 } as const
export type RecordType = keyof typeof recordTypes

/** `data`: an address, a name in lower case, the strings of a TXT record put together as Latin-1, or the fields of SRV, TLSA and CAA records with
 * blanks between them (the data of TLSA in hex, the tag of CAA in lower case and its value, which may have blanks or be empty, as Latin-1); null for records of other types. TTL in seconds. */
export type DnsRecord = { name: string; type: number; ttl: number; data: string | null }

export type DnsAnswer = {
  rcode: number
  authoritative: boolean
  /** What a resolver says of DNSSEC (AD, RFC 6840 §5.7 and §5.8). */
  authentic: boolean
  truncated: boolean
  answers: DnsRecord[]
  authorities: DnsRecord[]
  additionals: DnsRecord[]
}

const IN = 1
const OPT = 41
/** What fits everywhere without fragments (DNS flag day 2020). */
const UDP_PAYLOAD = 1232
/** Records of one message: far more than anybody has at one name. */
const MAX_RECORDS = 300
const MAX_NAME = 255
/** Octets of all names of one message, pointers followed: a small message can say the longest name a thousand times. */
const MAX_NAMES = 48 * 1024
const MAX_TTL = 0x7fffffff

/** How often an alias is followed in one answer. */
const MAX_ALIASES = 16

const rcodes: Record<number, string> = { 1: 'FORMERR', 2: 'SERVFAIL', 4: 'NOTIMP', 5: 'REFUSED' }

/** What a server says that could not answer (§4.1.1). */
export const rcodeName = (rcode: number): string => rcodes[rcode] ?? `error ${rcode}`

/** The aliases that an answer has from a name on, in their order; the last leads to where the records are. */
export const aliasesFrom = (answers: readonly DnsRecord[], name: string): DnsRecord[] => {
  const aliases: DnsRecord[] = []
  for (let at = name; aliases.length < MAX_ALIASES; ) {
    const alias = answers.find((record) => record.type === recordTypes.CNAME && record.name === at)
    if (!alias) break
    aliases.push(alias)
    at = alias.data ?? ''
  }
  return aliases
}

const encodeName = (name: string): Buffer =>
  Buffer.concat([
    ...name.split('.').map((label) => {
      const octets = Buffer.from(label, 'latin1')
      if (octets.length === 0 || octets.length > 63) throw new RangeError(`"${name}" is no name for the DNS`)
      return Buffer.concat([Buffer.of(octets.length), octets])
    }),
    Buffer.of(0),
  ])

/** A question with EDNS (RFC 6891); with `recursive` one for a resolver (RD and AD set). `name` without a final dot; throws RangeError for one that has no place in the DNS. */
export const encodeQuestion = (id: number, name: string, type: RecordType, recursive = false): Buffer => {
  const head = Buffer.from([id >> 8, id & 0xff, recursive ? 0x01 : 0, recursive ? 0x20 : 0, 0, 1, 0, 0, 0, 0, 0, 1])
  const opt = Buffer.from([0, 0, OPT, UDP_PAYLOAD >> 8, UDP_PAYLOAD & 0xff, 0, 0, 0, 0, 0, 0])
  return Buffer.concat([head, encodeName(name), Buffer.from([recordTypes[type] >> 8, recordTypes[type] & 0xff, 0, IN]), opt])
}

const broken = (): never => {
  throw new RangeError('malformed answer')
}

/** A label as text: what would not be one label again, or is no printable ASCII, is escaped (RFC 1035 §5.1). */
const labelText = (octets: Buffer): string => {
  const text = octets.toString('latin1').toLowerCase()
  if (/^[!-,/-[\]-~]*$/.test(text)) return text
  let escaped = ''
  for (const octet of octets) {
    const character = String.fromCharCode(octet).toLowerCase()
    if (octet === 0x2e || octet === 0x5c) escaped += `\\${character}`
    else escaped += octet > 0x20 && octet < 0x7f ? character : `\\${String(octet).padStart(3, '0')}`
  }
  return escaped
}

/** A message with what may still be read of its names. */
type Message = { octets: Buffer; left: number }

/** A name that may be compressed (§4.1.4): each pointer leads before all that was read of the name so far, so that they end. */
const readName = (message: Message, start: number): { name: string; end: number } => {
  const labels: string[] = []
  let [at, first, octets] = [start, start, 0]
  let end: number | null = null
  for (;;) {
    const length = message.octets[at] ?? broken()
    if (length === 0) return { name: labels.join('.'), end: end ?? at + 1 }
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (message.octets[at + 1] ?? broken())
      end ??= at + 2
      if (target >= first) return broken()
      first = at = target
      continue
    }
    octets += length + 1
    message.left -= length + 1
    if (length > 63 || at + 1 + length > message.octets.length || octets >= MAX_NAME || message.left < 0) return broken()
    labels.push(labelText(message.octets.subarray(at + 1, at + 1 + length)))
    at += length + 1
  }
}

const readTxt = (data: Buffer): string => {
  const strings: Buffer[] = []
  for (let at = 0; at < data.length; at += (data[at] as number) + 1) {
    if (at + 1 + (data[at] as number) > data.length) return broken()
    strings.push(data.subarray(at + 1, at + 1 + (data[at] as number)))
  }
  return Buffer.concat(strings).toString('latin1')
}

const readAddress6 = (data: Buffer): string => Array.from({ length: 8 }, (_, i) => data.readUInt16BE(2 * i).toString(16)).join(':')

/** RFC 2782; the target of nothing is the root. */
const readSrv = (message: Message, start: number, end: number): string => {
  if (start + 7 > end) return broken()
  const target = readName(message, start + 6)
  return target.end === end ? [...[0, 2, 4].map((at) => message.octets.readUInt16BE(start + at)), target.name || '.'].join(' ') : broken()
}

/** RFC 6698 §2.1. */
const readTlsa = (data: Buffer): string => (data.length > 3 ? `${data.subarray(0, 3).join(' ')} ${data.toString('hex', 3)}` : broken())

/** RFC 8659 §4.1: flags, a tag of at least one octet after its length, and what is left is the value. */
const readCaa = (data: Buffer): string => {
  const [flags = broken(), length = broken()] = data
  if (length === 0 || 2 + length > data.length) return broken()
  return `${flags} ${labelText(data.subarray(2, 2 + length))} ${data.toString('latin1', 2 + length)}`
}

const readData = (message: Message, type: number, start: number, end: number): string | null => {
  const data = message.octets.subarray(start, end)
  if (type === recordTypes.TXT) return readTxt(data)
  if (type === recordTypes.A) return data.length === 4 ? data.join('.') : broken()
  if (type === recordTypes.AAAA) return data.length === 16 ? readAddress6(data) : broken()
  if (type === recordTypes.SRV) return readSrv(message, start, end)
  if (type === recordTypes.TLSA) return readTlsa(data)
  if (type === recordTypes.CAA) return readCaa(data)
  if (type !== recordTypes.NS && type !== recordTypes.CNAME) return null
  const { name, end: nameEnd } = readName(message, start)
  return nameEnd === end ? name : broken()
}

/** `before`: records that were read of the message so far. */
const readRecords = (message: Message, count: number, from: number, before: number): { records: DnsRecord[]; end: number } => {
  const { octets } = message
  const records: DnsRecord[] = []
  let at = from
  if (before + count > MAX_RECORDS) return broken()
  for (let i = 0; i < count; i++) {
    const { name, end } = readName(message, at)
    if (end + 10 > octets.length) return broken()
    const type = octets.readUInt16BE(end)
    const start = end + 10
    at = start + octets.readUInt16BE(end + 8)
    if (at > octets.length) return broken()
    const ttl = octets.readUInt32BE(end + 4)
    // RFC 2181 §8: the most significant bit set is zero.
    if (octets.readUInt16BE(end + 2) === IN) records.push({ name, type, ttl: ttl > MAX_TTL ? 0 : ttl, data: readData(message, type, start, at) })
  }
  return { records, end: at }
}

/** Reads the answer to the question {@link encodeQuestion} asked; null for a message that is not it (§7.3). Throws RangeError for one that can't be read. */
export const readAnswer = (octets: Buffer, id: number, name: string, type: RecordType): DnsAnswer | null => {
  if (octets.length < 12 || octets.readUInt16BE(0) !== id) return null
  const message: Message = { octets, left: MAX_NAMES }
  const flags = octets.readUInt16BE(2)
  if ((flags & 0x8000) === 0) return null
  const head = { rcode: flags & 0xf, authoritative: (flags & 0x400) !== 0, authentic: (flags & 0x20) !== 0, truncated: (flags & 0x200) !== 0 }
  const [questions = 0, inAnswer = 0, inAuthority = 0, inAdditional = 0] = [4, 6, 8, 10].map((at) => octets.readUInt16BE(at))
  // A server that could not read the question may leave it out.
  if (questions === 0 && head.rcode !== 0) return { ...head, answers: [], authorities: [], additionals: [] }
  if (questions !== 1) return null
  const question = readName(message, 12)
  if (question.name !== name.toLowerCase() || question.end + 4 > octets.length) return null
  if (octets.readUInt16BE(question.end) !== recordTypes[type] || octets.readUInt16BE(question.end + 2) !== IN) return null
  // The rest is asked for again by TCP.
  if (head.truncated) return { ...head, answers: [], authorities: [], additionals: [] }
  const answers = readRecords(message, inAnswer, question.end + 4, 0)
  const authorities = readRecords(message, inAuthority, answers.end, inAnswer)
  const additionals = readRecords(message, inAdditional, authorities.end, inAnswer + inAuthority)
  return { ...head, answers: answers.records, authorities: authorities.records, additionals: additionals.records }
}
