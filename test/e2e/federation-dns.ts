/**
 * The DNS of the federation test, by rule instead of by list: what ends in `.p.test` is at Prosody, `.e.test` at ejabberd, `.q.test` at a second Prosody, `.x.test` at
 * the peer in federation-peer.ts. SRV records on ports that are not the default one, so that whoever gets there has asked for them. Everything else does not exist.
 *
 *   node --import tsx test/e2e/federation-dns.ts ADDRESS
 */
import { createSocket } from 'node:dgram'
import * as codec from 'dns-packet'

const sites: Record<string, { address: string; port: number }> = {
  p: { address: '127.0.1.1', port: 5266 },
  e: { address: '127.0.1.2', port: 5267 },
  q: { address: '127.0.1.3', port: 5268 },
  x: { address: '127.0.1.4', port: 5271 },
}

const answersTo = ({ name, type }: codec.Question): codec.Resource[] | null => {
  const [, prefix = '', letter = ''] = /^(.*?)([a-z])\.test$/.exec(name.toLowerCase()) ?? []
  const site = sites[letter]
  if (!site || (prefix !== '' && !prefix.endsWith('.'))) return null
  const record = { name, ttl: 60, class: 'IN' as const }
  if (!prefix.startsWith('_')) return type === 'A' ? [{ ...record, type: 'A', data: site.address }] : []
  if (!prefix.startsWith('_xmpp-server._tcp.')) return null
  return type === 'SRV' ? [{ ...record, type: 'SRV', data: { priority: 0, weight: 0, port: site.port, target: `host.${letter}.test` } }] : []
}

const socket = createSocket('udp4')
socket.on('message', (message, from) => {
  const query = codec.decode(message)
  const [question] = query.questions ?? []
  const found = question ? answersTo(question) : null
  const nameError = 3
  const flags = codec.RECURSION_DESIRED | codec.RECURSION_AVAILABLE | codec.AUTHORITATIVE_ANSWER | (found ? 0 : nameError)
  const reply = codec.encode({ id: query.id ?? 0, type: 'response', flags, questions: query.questions ?? [], answers: found ?? [] })
  socket.send(reply, from.port, from.address)
})
socket.bind(53, process.argv[2])
