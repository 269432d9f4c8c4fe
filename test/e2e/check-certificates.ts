/**
 * The certificates of the check's test. By ACME what can be had so, the rest behind the CA's back.
 *
 *   ICA_KEYS=… PASSPHRASE_FILE=… node --import tsx test/e2e/check-certificates.ts DIRECTORY TXT_URL FOLDER ROOT
 *
 * Files are called by the part of the domain before `.check.test`, in A-labels.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Issuer } from '../../src/pki/certificate.js'
import { domainOf, zone } from './check-setups.js'
import { day, hour, issueAll, makeOtherCa, named, now, type Odd, openIntermediate, signOdd, usual, type Wish } from './made-certificates.js'

const [directoryUrl, txtUrl, folder, root] = process.argv.slice(2) as [string, string, string, string]
const at = (name: string) => path.join(folder, name)
const of = (name: string): string => domainOf({ name })

const wishes: Wish[] = [
  ...['good', 'ejabberd', 'bücher', 'bücher.ejabberd', 'peer', 'ipv6', 'posh', 'tlsa', 'many'].map((name): Wish => ({ domain: of(name) })),
  { domain: of('a.wild'), dns: [`*.wild.${zone}`] },
  { domain: of('short'), profile: 'xmpp-server-short' },
  { domain: of('hosted'), profile: 'xmpp-hosted', srv: [`_xmpp-server.${of('hosted')}`, `_xmpp-client.${of('hosted')}`] },
  { domain: of('legacy'), profile: 'xmpp-server-3920' },
  { domain: of('staple'), mustStaple: true },
  { domain: of('stapled'), mustStaple: true },
  { domain: of('revoked'), dns: [of('revoked'), of('stapled-revoked')], revoke: true },
  { domain: of('alone') },
]

const odds = (other: Issuer): Odd[] => [
  { domain: of('expired'), notBefore: now - 2 * day, notAfter: now - hour },
  { domain: of('expired.ejabberd'), notBefore: now - 2 * day, notAfter: now - hour },
  { domain: of('future'), notBefore: now + day, notAfter: now + 30 * day },
  { domain: of('soon'), notBefore: now - 87 * day, notAfter: now + 3 * day },
  { domain: of('no-intermediate'), alone: true },
  { domain: of('wrong'), names: usual('right.test') },
  { domain: of('cn-only'), names: [], commonName: of('cn-only') },
  { domain: of('a.b.deep'), names: [named('dNSName', `*.deep.${zone}`)] },
  { domain: of('other-root'), issuer: other },
  { domain: of('server-auth'), purposes: ['serverAuth'] },
  { domain: of('client-auth'), purposes: ['clientAuth'] },
]
/** Where nothing but the server is at fault, one certificate is as good as the other. */
const plain = ['reversed', 'stranger', 'old-too', 'old-only', 'cbc', 'no-tls', 'optional', 'direct', 'direct-alpn', 'mixed-up', 'mixed-down'].concat([
  'tlsa-wrong',
  'posh-wrong',
  'no-tls.ejabberd',
  'optional.ejabberd',
  'direct.ejabberd',
  'half.ejabberd',
])

const intermediate = openIntermediate()
const other = await makeOtherCa()
for (const odd of odds(other)) await signOdd(folder, intermediate, odd)
for (const name of plain) await signOdd(folder, intermediate, { domain: of(name) })
await issueAll({ directoryUrl, txtUrl, folder }, wishes)
execFileSync('openssl', [
  ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=self'],
  ...['-addext', `subjectAltName=DNS:${of('self-signed')}`, '-keyout', at(`${of('self-signed')}.key`), '-out', at(`${of('self-signed')}.pem`)],
])

/** The certificates of a file, changed. */
const change = (name: string, alter: (chain: string[]) => string[]): void => {
  const file = at(`${of(name)}.pem`)
  writeFileSync(file, alter(readFileSync(file, 'utf8').match(/-----BEGIN[\s\S]*?-----END CERTIFICATE-----\n/g) ?? []).join(''))
}
change('alone', ([leaf = '']) => [leaf])
change('reversed', ([leaf = '', middle = '']) => [leaf, readFileSync(root, 'utf8'), middle])
change('stranger', (chain) => [...chain, readFileSync(at(`${of('expired')}.pem`), 'utf8')])

for (const name of [...wishes, ...odds(other), ...['self-signed', ...plain].map((name) => ({ domain: of(name) }))].map(({ domain }) =>
  domain.slice(0, -zone.length - 1),
)) {
  for (const end of ['pem', 'key']) renameSync(at(`${name}.${zone}.${end}`), at(`${name}.${end}`))
}
copyFileSync(at('good.pem'), at('unlisted.ejabberd.pem'))
copyFileSync(at('good.key'), at('unlisted.ejabberd.key'))
