// A TLS server for clients that answer tls-alpn-01 by a certificate in a folder, NAME.crt.pem and NAME.key.pem: node alpn.mjs FOLDER HOST PORT
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { createSecureContext, createServer } from 'node:tls'

const [folder, host, port] = process.argv.slice(2)
const read = (file) => readFileSync(path.join(folder, path.basename(file)))
createServer({
  ALPNProtocols: ['acme-tls/1'],
  SNICallback(name, done) {
    try {
      done(null, createSecureContext({ cert: read(`${name}.crt.pem`), key: read(`${name}.key.pem`) }))
    } catch (error) {
      done(error)
    }
  },
})
  .on('tlsClientError', (error) => console.error(error.message))
  .listen(Number(port), host)
