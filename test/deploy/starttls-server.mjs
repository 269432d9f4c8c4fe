/**
 * The smallest server that has a certificate to reload: streams with STARTTLS, and SIGHUP to read its files again. Arguments: chain file, key file, and what it does
 * wrong: nothing, `deaf` (keeps what it read first), `plain` (offers no STARTTLS), `silent` (accepts and says nothing). Prints its port.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'

const [chain, key, fault] = process.argv.slice(2)
const read = () => createSecureContext({ cert: readFileSync(chain), key: readFileSync(key) })
let secureContext = read()
process.on('SIGHUP', () => {
  if (fault !== 'deaf') secureContext = read()
})

const features = fault === 'plain' ? '' : "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
createServer((socket) => {
  socket.on('error', () => {})
  if (fault === 'silent') return
  let text = ''
  socket.on('data', function hear(chunk) {
    text += chunk
    if (text.includes('<starttls')) {
      socket.off('data', hear)
      socket.write("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
      new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {})
    } else if (text.includes('<stream:stream')) {
      text = ''
      socket.write(
        `<?xml version='1.0'?><stream:stream id='1' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>${features}</stream:features>`,
      )
    }
  })
}).listen(0, '127.0.0.1', function () {
  process.stdout.write(`${this.address().port}\n`)
})
