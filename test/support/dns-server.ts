/**
 * A DNS server for tests, UDP and TCP on 127.0.0.1 or another loopback address, that looks to a client like a resolver whose world consists of the given zones. A name outside of them is
 * REFUSED, so that a test that looks up what it did not set fails. Aliases are followed, as a resolver does; wildcards are not.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import * as codec from 'dns-packet'

export type RecordType = 'A' | 'AAAA' | 'TXT' | 'CAA' | 'CNAME' | 'MX' | 'SRV' | 'NS' | 'SOA' | 'TLSA'

/** The data of a record as dns-packet takes it: an address, a name or an array of strings (TXT), or an object for the other types. */
export type RecordData = { A: string; AAAA: string; CNAME: string; NS: string } & {
  TXT: string | Buffer | (string | Buffer)[]
  CAA: { flags?: number; tag: string; value: string }
  MX: { preference: number; exchange: string }
  SRV: { priority: number; weight: number; port: number; target: string }
  SOA: { mname: string; rname: string; serial: number; refresh: number; retry: number; expire: number; minimum: number }
  TLSA: { usage: number; selector: number; matchingType: number; certificate: Buffer }
}

/**
 * What a name can be told to do instead of answering: an error code, silence, an answer that is always cut off (`truncate`; `truncateUdp` answers by TCP),
 * octets that are no DNS message, an answer with another id or to another question.
 */
export type Misbehaviour =
  | 'SERVFAIL'
  | 'REFUSED'
  | 'FORMERR'
  | 'NOTIMP'
  | 'silence'
  | 'truncate'
  | 'truncateUdp'
  | 'garbage'
  | 'wrongId'
  | 'wrongQuestion'

export type DnsServer = {
  /** `<host>:<port>`, as ICA_DNS_SERVERS takes it. */
  address: string
  port: number
  /** Every question so far. */
  queries: { name: string; type: string; transport: 'udp' | 'tcp' }[]
  /** Sets all records of this type at a name; none removes them. */
  set<T extends RecordType>(name: string, type: T, ...data: RecordData[T][]): void
  /** Answers everything at and below a name, which is a zone of others, with a referral to servers; `address` is the glue. */
  delegate(zone: string, ...servers: { name: string; address?: string }[]): void
  /** Makes a name misbehave, for all types or one; null makes it answer again. */
  misbehave(name: string, how: Misbehaviour | null, type?: RecordType): void
  /** Removes every record and misbehaviour, and forgets the questions. */
  clear(): void
  close(): Promise<void>
}

const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 }
/** RFC 1035 §4.2.1, for a client without EDNS. */
const CLASSIC_UDP = 512
const MAX_ALIASES = 8

type Rcode = keyof typeof RCODE
/** With `additionals` it is a referral, not the answer of an authority. */
type Answer = { rcode: Rcode; answers: codec.Resource[]; authorities: codec.Resource[]; additionals?: codec.Resource[] }

/** The whole of a server but its sockets. `zones` are the names whose subtrees it knows. */
const createWorld = (zones: string[]) => {
  const records = new Map<string, codec.Resource[]>()
  const faults = new Map<string, Misbehaviour>()
  const delegations = new Map<string, { name: string; address?: string }[]>()
  const key = (name: string, type: string) => `${name.toLowerCase()} ${type}`
  const zoneOf = (name: string) => zones.find((zone) => name === zone || name.endsWith(`.${zone}`))
  /** Names with records, and those between them and their zone (empty non-terminals, RFC 8020). */
  const exists = (name: string) => zones.includes(name) || [...records.keys()].some((k) => k.startsWith(`${name} `) || k.includes(`.${name} `))
  const soa = (zone: string): codec.Resource => ({
    name: zone,
    type: 'SOA',
    ttl: 0,
    data: { mname: `ns.${zone}`, rname: `hostmaster.${zone}`, serial: 1, refresh: 60, retry: 60, expire: 60, minimum: 0 },
  })

  const refer = (zone: string, servers: { name: string; address?: string }[]): Answer => ({
    rcode: 'NOERROR',
    answers: [],
    authorities: servers.map(({ name }) => ({ name: zone, type: 'NS', ttl: 60, data: name })),
    additionals: servers.flatMap(({ name, address }) => (address === undefined ? [] : [{ name, type: 'A', ttl: 60, data: address }])),
  })

  const answer = (name: string, type: string): Answer => {
    const answers: codec.Resource[] = []
    let current = name.toLowerCase()
    for (let aliases = 0; aliases <= MAX_ALIASES; aliases++) {
      const zone = zoneOf(current)
      // An alias that leads out of the world ends there, as it does at an authoritative server.
      if (!zone) return { rcode: answers.length > 0 ? 'NOERROR' : 'REFUSED', answers, authorities: [] }
      const delegated = [...delegations].find(([at]) => current === at || current.endsWith(`.${at}`))
      if (delegated) return answers.length > 0 ? { rcode: 'NOERROR', answers, authorities: [] } : refer(...delegated)
      const found = records.get(key(current, type)) ?? []
      const [alias] = type === 'CNAME' ? [] : (records.get(key(current, 'CNAME')) ?? [])
      answers.push(...found)
      if (found.length > 0) return { rcode: 'NOERROR', answers, authorities: [] }
      if (!alias) return { rcode: exists(current) ? 'NOERROR' : 'NXDOMAIN', answers, authorities: [soa(zone)] }
      answers.push(alias)
      current = String(alias.data).toLowerCase()
    }
    return { rcode: 'SERVFAIL', answers: [], authorities: [] }
  }

  return {
    records,
    faults,
    delegations,
    key,
    answer,
    faultOf: (name: string, type: string) => faults.get(key(name, type)) ?? faults.get(key(name, '*')),
  }
}

const encode = (query: codec.Packet, { rcode, answers, authorities, additionals }: Answer, flags = 0): Buffer =>
  codec.encode({
    id: query.id,
    type: 'response',
    flags: codec.RECURSION_DESIRED | codec.RECURSION_AVAILABLE | (additionals ? 0 : codec.AUTHORITATIVE_ANSWER) | flags | RCODE[rcode],
    questions: query.questions,
    answers,
    authorities,
    ...(additionals && { additionals }),
  })

/** The octets that answer a query, or null for silence. */
const respond = (world: ReturnType<typeof createWorld>, query: codec.Packet, transport: 'udp' | 'tcp'): Buffer | null => {
  const { name, type } = query.questions[0] as codec.Question
  const fault = world.faultOf(name, type)
  const empty: Answer = { rcode: 'NOERROR', answers: [], authorities: [] }
  const truncated = () => encode(query, empty, codec.TRUNCATED_RESPONSE)
  switch (fault) {
    case 'silence':
      return null
    case 'garbage':
      return Buffer.concat([encode(query, empty).subarray(0, 4), Buffer.alloc(40, 0xff)])
    case 'wrongId':
      return encode({ ...query, id: query.id ^ 1 }, world.answer(name, type))
    case 'wrongQuestion':
      return encode({ ...query, questions: [{ name: `other.${name}`, type, class: 'IN' }] }, world.answer(name, type))
    case 'truncate':
      return truncated()
    case 'truncateUdp':
    case undefined: {
      const message = encode(query, world.answer(name, type))
      const limit = query.additionals?.find((a) => a.type === 'OPT')?.udpPayloadSize ?? CLASSIC_UDP
      return transport === 'udp' && (fault === 'truncateUdp' || message.length > limit) ? truncated() : message
    }
    default:
      return encode(query, { ...empty, rcode: fault })
  }
}

/** Messages on a TCP connection have a length of two octets in front (RFC 1035 §4.2.2). */
const serveTcp = (socket: Socket, onMessage: (message: Buffer) => Buffer | null): void => {
  let buffered = Buffer.alloc(0)
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    buffered = Buffer.concat([buffered, chunk])
    while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE()) {
      const length = buffered.readUInt16BE()
      const message = onMessage(buffered.subarray(2, 2 + length))
      buffered = buffered.subarray(2 + length)
      if (!message) continue
      const header = Buffer.alloc(2)
      header.writeUInt16BE(message.length)
      socket.write(Buffer.concat([header, message]))
    }
  })
}

const listenTcp = (server: Server, port: number, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => resolve((server.address() as { port: number }).port))
  })

const bindUdp = (socket: UdpSocket, port: number, host: string): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port, host, resolve)
  })

/** The same free port for TCP and UDP: the first that TCP gets may be taken by somebody's UDP. */
const bindBoth = async (makeServer: () => Server, wanted: number, host: string): Promise<{ server: Server; udp: UdpSocket; port: number }> => {
  for (let attempt = 1; ; attempt++) {
    const server = makeServer()
    const udp = createSocket('udp4')
    const port = await listenTcp(server, wanted, host)
    try {
      await bindUdp(udp, port, host)
      return { server, udp, port }
    } catch (error) {
      server.close()
      udp.close()
      if (attempt === 5) throw error
    }
  }
}

/**
 * Starts a server that knows the names below `zones` (`test` unless given) and has no records. Servers of one zone have one port and different addresses of the loopback
 * network.
 */
export const startDnsServer = async (zones: string[] = ['test'], { host = '127.0.0.1', port: wanted = 0 } = {}): Promise<DnsServer> => {
  const world = createWorld(zones)
  const queries: DnsServer['queries'] = []
  const connections = new Set<Socket>()
  const onMessage = (transport: 'udp' | 'tcp') => (message: Buffer) => {
    const query = codec.decode(message)
    const [question] = query.questions
    if (!question) return null
    queries.push({ name: question.name, type: question.type, transport })
    return respond(world, query, transport)
  }
  const { server, udp, port } = await bindBoth(
    () =>
      createServer((socket) => {
        connections.add(socket.on('close', () => connections.delete(socket)))
        serveTcp(socket, onMessage('tcp'))
      }),
    wanted,
    host,
  )
  udp.on('message', (message, from) => {
    const response = onMessage('udp')(message)
    if (response) udp.send(response, from.port, from.address)
  })
  const dns: DnsServer = {
    address: `${host}:${port}`,
    port,
    queries,
    set(name, type, ...data) {
      const list = data.map((d): codec.Resource => ({ name, type, ttl: 0, data: d }))
      if (list.length > 0) world.records.set(world.key(name, type), list)
      else world.records.delete(world.key(name, type))
    },
    delegate(zone, ...servers) {
      world.delegations.set(zone, servers)
    },
    misbehave(name, how, type) {
      if (how) world.faults.set(world.key(name, type ?? '*'), how)
      else world.faults.delete(world.key(name, type ?? '*'))
    },
    clear() {
      world.records.clear()
      world.faults.clear()
      world.delegations.clear()
      queries.length = 0
    },
    async close() {
      for (const socket of connections) socket.destroy()
      await Promise.all([new Promise((done) => server.close(done)), new Promise<void>((done) => udp.close(done))])
    },
  }
  return dns
}
