/**
 * What stands around the servers of the check's test: the DNS, a port that never says anything, and a front that staples (neither Prosody nor ejabberd does).
 *
 *   node --import tsx test/e2e/check-world.ts DNS_ADDRESS MANAGEMENT_PORT CA_ADDRESS CERTIFICATES
 *
 * The management address on 127.0.0.1 is that of pebble-challtestsrv for TXT records; `/set` takes any: `{"name":…,"type":…,"data":[…]}`.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import path from 'node:path'
import { createSecureContext, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspRequest } from '../../src/pki/ocsp-request.js'
import { readPeerCertificate } from '../../src/pki/peer-certificate.js'
import { pemDecode } from '../../src/pki/pem.js'
import { type RecordData, type RecordType, startDnsServer } from '../support/dns-server.js'
import { domainOf, places, setups, zone } from './check-setups.js'

const [host = '', port, ca = '', certificates = ''] = process.argv.slice(2)
const dns = await startDnsServer(['test'], { host, port: 53 })
for (const name of ['ica.test', 'status.ica.test']) dns.set(name, 'A', ca)

for (const setup of setups) {
  const domain = domainOf(setup)
  const target = `xmpp.${domain}`
  const { A, AAAA } = setup.address ?? { A: places[setup.at] }
  if (A) dns.set(target, 'A', A)
  if (AAAA) dns.set(target, 'AAAA', AAAA)
  if (setup.publish?.posh) dns.set(domain, 'A', places.web)
  for (const [service, where] of Object.entries(setup.srv ?? { '_xmpp-client': 5222, '_xmpp-server': 5269 })) {
    const record = where === '.' ? { port: 0, target: '.' } : { port: where, target }
    dns.set(`${service}._tcp.${domain}`, 'SRV', { priority: 0, weight: 5, ...record })
  }
}

// Management ---------------------------------------------------------------------------------------------------------------------------------------------

const values = new Map<string, string[]>()

const setTxt = (name: string, value: string | undefined): void => {
  const now = value === undefined ? [] : [...(values.get(name) ?? []), value]
  values.set(name, now)
  dns.set(name, 'TXT', ...now.map((one) => [one]))
}

/** Octets come as hex. */
const readData = (data: object[]): RecordData[RecordType][] =>
  data.map((one) => ('certificate' in one ? { ...one, certificate: Buffer.from(String(one.certificate), 'hex') } : one) as RecordData[RecordType])

createServer((request, response) => {
  let body = ''
  request.on('data', (part) => {
    body += part
  })
  request.on('end', () => {
    const asked = JSON.parse(body)
    if (request.url === '/set') dns.set(asked.name, asked.type as RecordType, ...readData(asked.data))
    else setTxt(asked.host.replace(/\.$/, ''), request.url === '/set-txt' ? asked.value : undefined)
    response.end()
  })
}).listen(Number(port), '127.0.0.1')

// Neither -------------------------------------------------------------------------------------------------------------------------------------------------

for (const silent of [5222, 5269]) createTcpServer((socket) => socket.on('error', () => {})).listen(silent, places.silent)

const read = (name: string, end: string): string => readFileSync(path.join(certificates, `${name}.${end}`), 'utf8')

/** What the responder says of the first certificate of a file. */
const askResponder = async (name: string): Promise<Buffer> => {
  const [leaf, issuer] = pemDecode('CERTIFICATE', read(name, 'pem')).map((der) => readPeerCertificate(der))
  if (!leaf?.ocspUrls[0] || !issuer) return Buffer.alloc(0)
  const id = encodeCertId({ subject: issuer.subjectName, publicKey: { spki: issuer.spki } }, 'sha1', leaf.serial)
  const url = leaf.ocspUrls[0].replace('status.ica.test', ca)
  const headers = { 'Content-Type': 'application/ocsp-request' }
  const reply = await fetch(url, { method: 'POST', headers, body: Buffer.from(encodeOcspRequest([id])) })
  return Buffer.from(await reply.arrayBuffer())
}

const nameOf = (servername: string): string => {
  const name = servername.slice(0, -zone.length - 1)
  return setups.find((setup) => setup.at === 'front' && setup.name === name)?.certificate ?? name
}

const front = createTlsServer({
  ALPNProtocols: ['xmpp-client'],
  SNICallback: (name, callback) => callback(null, createSecureContext({ cert: read(nameOf(name), 'pem'), key: read(nameOf(name), 'key') })),
})
front.on('OCSPRequest', function (this: unknown, certificate: Buffer | undefined, _issuer, callback) {
  // node:tls says which certificate it is, not which name: the file is found by it.
  const name = setups.filter(({ at }) => at === 'front').map((setup) => setup.certificate ?? setup.name)
  const found = name.find((one) => Buffer.from(pemDecode('CERTIFICATE', read(one, 'pem'))[0] as Uint8Array).equals(certificate ?? Buffer.alloc(0)))
  if (!found) return callback(null, null as unknown as Buffer)
  askResponder(found).then(
    (answer) => callback(null, answer),
    (error: Error) => callback(error, null as unknown as Buffer),
  )
})
front.on('secureConnection', (socket: TLSSocket) => {
  const behind = connect(5222, places.prosody)
  for (const one of [socket, behind]) one.on('error', () => [socket, behind].forEach((end) => void end.destroy()))
  socket.pipe(behind).pipe(socket)
})
front.on('tlsClientError', () => {})
front.listen(5223, places.front, () => console.log('up'))
