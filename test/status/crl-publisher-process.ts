/** Publishes all lists of the CA in a database, again and again: argv has the database, a PKCS #8 key and the CA's certificate (base64 DER), and how often. */
import { createPrivateKey } from 'node:crypto'
import { createCrlPublisher } from '../../src/issuance/crls.js'
import { nodeSigner } from '../../src/pki/keys.js'
import { readCertificate } from '../../src/pki/read-certificate.js'
import { openStore } from '../../src/store/store.js'
import { testLog } from './fixture.js'

const [url = '', key = '', der = '', id = '', times = '1'] = process.argv.slice(2)
const log = testLog()
const signer = nodeSigner(createPrivateKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'pkcs8' }))
const { subject } = readCertificate(Buffer.from(der, 'base64'))
const store = await openStore({ url, log })
const issuer = { id, subject, ski: signer.publicKey.ski, signer }
const sources = [{ issuer, shards: [0, 1], shardUrls: (shard: number) => [`http://status.test/crl/${id}/${shard}.crl`] }]
const publisher = createCrlPublisher({ clock: { now: () => Date.now() }, log, store, sources })
for (let done = 0; done < Number(times); done++) await publisher.publishAll()
await store.close()
