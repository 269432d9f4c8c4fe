/** What servers do with a connection, well-meaning or not. */
import { header, hostUnknown, mechanisms, optional, required } from './server.js'
import { type Fixture, instead, publish, run, serving } from './world.js'

const bomb = `<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY a "lol">${Array.from({ length: 9 }, (_, i) => `<!ENTITY ${'bcdefghij'[i]} "&${'abcdefghi'[i]};&${'abcdefghi'[i]};">`).join('')}]>`
const endless =
  (octets: string, head = header) =>
  (socket: import('node:net').Socket) => {
    socket.write(head)
    const more = (): void => void (socket.destroyed || socket.write(octets, () => setImmediate(more)))
    more()
  }

const fixtures: Fixture[] = [
  { name: 'a domain that is not served', expect: ['stream-error'], make: serving({}, { serves: 'other.test' }) },
  { name: 'TLS 1.1 still offered', expect: ['tls-old-offered'], make: serving({}, { tls: { minVersion: 'TLSv1.1' } }) },
  {
    name: 'a weak cipher',
    expect: ['cipher-weak'],
    make: serving({}, { tls: { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA@SECLEVEL=0' } }),
  },
  { name: 'direct TLS without ALPN', expect: ['alpn-missing'], make: serving({}, { direct: true }) },
  { name: 'direct TLS with ALPN', expect: [], make: serving({}, { direct: true, tls: { ALPNProtocols: ['xmpp-server'] } }) },
  {
    name: 'STARTTLS refused',
    expect: ['starttls-refused'],
    make: serving({}, { refuseTls: "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>" }),
  },
  { name: 'login in clear', expect: ['sasl-in-clear', 'starttls-optional'], make: serving({}, { before: optional + mechanisms('PLAIN') }) },
  {
    name: 'a peer that wants a certificate',
    expect: [],
    also: ['peer-refused'],
    make: serving(
      {},
      { insteadOfFeatures: "<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>" },
    ),
  },
  { name: 'silence', expect: ['server-hangs'], make: async () => ({ instead: () => {}, totalMs: 1_500 }) },
  {
    name: 'silence in the handshake',
    expect: ['server-hangs'],
    make: async () => ({
      totalMs: 1_500,
      instead: (socket) =>
        socket.on('data', (chunk) =>
          socket.write(
            chunk.includes('<starttls')
              ? "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
              : chunk.includes('<stream')
                ? `${header}<stream:features>${required}</stream:features>`
                : '',
          ),
        ),
    }),
  },
  { name: 'garbage', expect: ['not-xmpp'], make: instead((socket) => socket.write(Buffer.from([0, 1, 2, 3, 255, 254]))) },
  { name: 'another protocol', expect: ['not-xmpp'], make: instead((socket) => socket.write('220 mail.example.test ESMTP\r\n')) },
  { name: 'a web server', expect: ['not-xmpp'], make: instead((socket) => socket.write('<html><body>no</body></html>')) },
  { name: 'broken XML', expect: ['xml-invalid'], make: instead((socket) => socket.write(`${header}<a></b>`)) },
  {
    name: 'invalid UTF-8',
    expect: ['xml-utf8'],
    make: instead((socket) => socket.write(Buffer.concat([Buffer.from(`${header}<a>`), Buffer.from([0xc3, 0x28])]))),
  },
  { name: 'XML bomb', expect: ['xml-forbidden'], make: instead((socket) => socket.write(`${bomb}<a>&j;</a>`)) },
  { name: 'an entity of its own', expect: ['xml-invalid'], make: instead((socket) => socket.write(`${header}<a>&lol;</a>`)) },
  { name: 'deep XML', expect: ['xml-invalid'], make: instead((socket) => socket.write(header + '<a>'.repeat(5_000))) },
  { name: 'endless stream', expect: ['stream-endless'], make: instead(endless(' '.repeat(4_096))) },
  { name: 'endless elements', expect: ['stream-endless'], make: instead(endless('<a><b/><b/><b/><b/></a>'.repeat(100))) },
  { name: 'endless attribute', expect: ['stream-endless'], make: instead(endless('x'.repeat(100), `${header}<a b='`)) },
  {
    name: 'endless octets after TLS began',
    expect: ['tls-failed'],
    make: instead((socket) => {
      socket.on('data', (chunk) => {
        if (chunk.includes('<starttls')) socket.write("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        else if (chunk.includes('<stream')) socket.write(`${header}<stream:features>${required}</stream:features>`)
        else endless('x'.repeat(8_192), '')(socket)
      })
    }),
  },
  {
    name: 'stream error',
    expect: ['stream-error'],
    make: instead((socket) => socket.end(header + hostUnknown)),
  },
  {
    name: 'see-other-host',
    expect: ['see-other-host'],
    make: instead((socket) =>
      socket.end(
        `${header}<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>elsewhere.test</see-other-host></stream:error></stream:stream>`,
      ),
    ),
  },
  {
    name: 'direct TLS where STARTTLS is published, cut off without an alert',
    expect: ['not-xmpp'],
    make: serving({}, { direct: true, abrupt: true, dns: (port) => publish(port) }),
  },
  { name: 'direct TLS where STARTTLS is published', expect: ['not-xmpp'], make: serving({}, { direct: true, dns: (port) => publish(port) }) },
  { name: 'closes at once', expect: ['closed-early'], make: instead((socket) => socket.end()) },
  { name: 'resets at once', expect: ['closed-early'], make: instead((socket) => socket.resetAndDestroy()) },
]

run(fixtures)
