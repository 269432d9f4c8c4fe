/**
 * The smallest server that has a certificate to reload: streams with STARTTLS, and SIGHUP to read its files again. Arguments: chain file, key file, and what it does
 * wrong: nothing, `deaf` (keeps what it read first), `plain` (offers no STARTTLS), `silent` (accepts and says nothing). More arguments, by three: a domain that has a certificate
 * of its own, chain file, key file (`-` for both: it knows no such domain). Prints its port.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'

const [chain, key, fault, ...more] = process.argv.slice(2)
const sources = new Map([['', [chain, key]]])
for (; more.length > 0; ) sources.set(more.shift(), [more.shift(), more.shift()])
const read = () =>
  new Map(
    [...sources].map(([domain, [cert, own]]) => [
      domain,
      cert === '-' ? null : createSecureContext({ cert: readFileSync(cert), key: readFileSync(own) }),
    ]),
  )
let contexts = read()
process.on('SIGHUP', () => {
  if (fault !== 'deaf') contexts = read()
})

const features = fault === 'plain' ? '' : "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
createServer((socket) => {
  socket.on('error', () => {})
  if (fault === 'silent') return
  let text = ''
  let secureContext
  socket.on('data', function hear(chunk) {
    text += chunk
    if (text.includes('<starttls')) {
      socket.off('data', hear)
      socket.write("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
      new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {})
    } else if (text.includes('<stream:stream')) {
      const domain = /\sto='([^']*)'/.exec(text)?.[1]
      secureContext = contexts.has(domain) ? contexts.get(domain) : contexts.get('')
      text = ''
      if (!secureContext)
        return socket.end(
          "<?xml version='1.0'?><stream:stream id='1' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
        )
      socket.write(
        `<?xml version='1.0'?><stream:stream id='1' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>${features}</stream:features>`,
      )
    }
  })
}).listen(0, process.env.HOST ?? '127.0.0.1', function () {
  process.stdout.write(`${this.address().port}\n`)
})
