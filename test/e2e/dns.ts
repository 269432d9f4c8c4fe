/**
 * A DNS server for the browser's test that knows MX, SRV and NS, which pebble-challtestsrv does not; with the same management address for TXT records.
 *
 *   node --import tsx test/e2e/dns.ts MANAGEMENT_PORT [ADDRESS]
 *
 * Knows the hosts of the form's test below `web.test`, all of them at ADDRESS (127.0.0.1). Prints where it listens.
 */
import { createServer } from 'node:http'
import { startDnsServer } from '../support/dns-server.js'

const [port, address = '127.0.0.1'] = process.argv.slice(2)
const dns = await startDnsServer(['test'])
const values = new Map<string, string[]>()

const hosts = ['dns', 'conference.dns', 'http', 'csr', 'wrong', 'tabs', 'account', 'elsewhere', 'mail', 'lost'].map((label) => `${label}.web.test`)
for (const host of hosts) dns.set(host, 'A', address)
// Asked by the live look at a record, on this port.
dns.set('web.test', 'NS', 'ns.web.test')
dns.set('ns.web.test', 'A', '127.0.0.1')
dns.set('_xmpp-server._tcp.dns.web.test', 'SRV', { priority: 0, weight: 5, port: 5269, target: 'dns.web.test' })

createServer((request, response) => {
  let body = ''
  request.on('data', (part) => {
    body += part
  })
  request.on('end', () => {
    const { host, value } = JSON.parse(body) as { host: string; value?: string }
    const name = host.replace(/\.$/, '')
    const now = request.url === '/set-txt' && value !== undefined ? [...(values.get(name) ?? []), value] : []
    values.set(name, now)
    dns.set(name, 'TXT', ...now.map((one) => [one]))
    response.end()
  })
}).listen(Number(port), '127.0.0.1', () => console.log(dns.address))
