/**
 * Whether a server takes the certificate of another by SASL EXTERNAL; the exit status is 1 where it does not.
 *
 *   node --import tsx test/e2e/guide-peer.ts HOST DOMAIN FROM CHAIN KEY
 */
import { readFileSync } from 'node:fs'
import { call } from './federation-peer.js'

const [host = '', domain = '', from = '', chain = '', key = ''] = process.argv.slice(2)
const report = await call(
  { host, port: 5269, domain, dialback: true },
  from,
  { cert: readFileSync(chain, 'utf8'), key: readFileSync(key, 'utf8') },
  '',
)
console.log(report.stage, report.detail)
process.exitCode = report.accepted ? 0 : 1
