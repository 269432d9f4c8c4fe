/**
 * The certificates of the federation test besides the two that Debian's clients get: those of every profile by ACME, and those that no CA should sign, made with the
 * key of the intermediate behind its back, so that they differ from good ones in nothing but their fault. CA and keys are those of this run and end with it.
 *
 *   ICA_KEYS=… PASSPHRASE_FILE=… node --import tsx test/e2e/federation-certificates.ts DIRECTORY TXT_URL FOLDER
 *
 * Writes `<domain>.pem` (chain) and `<domain>.key` each.
 */

import type { Issuer } from '../../src/pki/certificate.js'
import {
  day,
  ecKey,
  hour,
  issueAll,
  makeOtherCa,
  named,
  now,
  type Odd,
  openIntermediate,
  rsaKey,
  signOdd,
  usual,
  type Wish,
} from './made-certificates.js'

const [directoryUrl, txtUrl, folder] = process.argv.slice(2) as [string, string, string]

const idn = 'xn--bcher-kva'
const wishes: Wish[] = [
  // Of the servers, for each of the three.
  ...['p', 'e'].flatMap((site): Wish[] => [
    { domain: `${idn}.${site}.test` },
    { domain: `a.wild.${site}.test`, dns: [`*.wild.${site}.test`] },
    { domain: `legacy.${site}.test`, profile: 'xmpp-server-3920' },
    { domain: `login.${site}.test` },
  ]),
  { domain: 'hosted.q.test', profile: 'xmpp-hosted', srv: ['_xmpp-server.hosted.q.test', '_xmpp-client.hosted.q.test'] },
  // Of the peer.
  { domain: 'server.x.test' },
  { domain: 'legacy.x.test', profile: 'xmpp-server-3920' },
  { domain: 'short.x.test', profile: 'xmpp-server-short' },
  { domain: 'hosted.x.test', profile: 'xmpp-hosted', srv: ['_xmpp-server.hosted.x.test'] },
  { domain: 'client-only.x.test', profile: 'xmpp-hosted', srv: ['_xmpp-client.client-only.x.test'] },
  { domain: 'a.wild.x.test', dns: ['*.wild.x.test'] },
  { domain: `${idn}.x.test` },
  { domain: 'p384.x.test', key: ecKey('P-384') },
  { domain: 'rsa.x.test', key: rsaKey() },
  { domain: 'staple.x.test', mustStaple: true },
  { domain: 'revoked.x.test', revoke: true },
]

const odds = (other: Issuer): Odd[] => [
  { domain: 'dns-only.x.test', names: [named('dNSName', 'dns-only.x.test')] },
  { domain: 'upper-case.x.test', names: [named('dNSName', 'Upper-Case.X.test')] },
  { domain: 'cn-only.x.test', names: [], commonName: 'cn-only.x.test' },
  { domain: 'xmppaddr-only.x.test', names: [named('XmppAddr', 'xmppaddr-only.x.test')] },
  { domain: 'a.b.wild.x.test', names: [named('dNSName', '*.wild.x.test')] },
  { domain: 'server-auth.x.test', purposes: ['serverAuth'] },
  { domain: 'client-auth.x.test', purposes: ['clientAuth'] },
  { domain: 'no-purpose.x.test', purposes: null },
  { domain: 'expired.x.test', notBefore: now - 2 * day, notAfter: now - hour },
  { domain: 'future.x.test', notBefore: now + day, notAfter: now + 2 * day },
  { domain: 'wrong.x.test', names: usual('right.x.test') },
  { domain: 'other-root.x.test', issuer: other },
  { domain: 'no-intermediate.x.test', alone: true },
]

const intermediate = openIntermediate()
// Backdated beyond the birth of the CA of this run, which no verifier minds.
const other = await makeOtherCa()
for (const odd of odds(other)) await signOdd(folder, intermediate, odd)
await issueAll({ directoryUrl, txtUrl, folder }, wishes)
