/** The judge of names (pki/verifiers.ts) against what was observed of Prosody 0.12.3 and ejabberd 23.01, and read in the source of the others. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judge, type LeafFacts, type VerifierName } from '../../src/pki/verifiers.js'

const now = Date.UTC(2026, 10, 23)
const day = 86_400_000
const d = 'example.org'

const none: LeafFacts = {
  dnsNames: [],
  srvNames: [],
  xmppAddrs: [],
  commonName: null,
  serverAuth: true,
  clientAuth: true,
  notBefore: now - day,
  notAfter: now + day,
  keyKind: 'P-256',
}

const marks: Record<string, VerifierName> = { p: 'prosody', e: 'ejabberd', o: 'openfire', c: 'conversations', d: 'dino', g: 'gajim' }
const srv = [`_xmpp-server.${d}`, `_xmpp-client.${d}`]

/** Which verifiers accept a leaf, by the letters of {@link marks}. */
const table: [what: string, leaf: Partial<LeafFacts>, accepted: string, domain?: string][] = [
  ['dNSName and SRVName', { dnsNames: [d], srvNames: srv, commonName: d }, 'peocdg'],
  ['dNSName only', { dnsNames: [d] }, 'peocdg'],
  ['dNSName, SRVName and XmppAddr', { dnsNames: [d], srvNames: srv, xmppAddrs: [d] }, 'pocdg'],
  ['dNSName and the XmppAddr of a user', { dnsNames: [d], xmppAddrs: [`juliet@${d}`] }, 'peocdg'],
  ['SRVName only', { srvNames: srv }, 'poc'],
  ['SRVName and CN', { srvNames: srv, commonName: d }, 'peoc'],
  ['SRVName of clients only', { srvNames: [`_xmpp-client.${d}`] }, 'oc'],
  ['SRVName of servers only', { srvNames: [`_xmpp-server.${d}`] }, 'po'],
  ['SRVName with a service in capitals', { srvNames: [`_XMPP-Server.${d}`] }, ''],
  ['a wildcard in the SRVName', { srvNames: [`_xmpp-server.*.${d}`] }, 'p', `a.${d}`],
  ['XmppAddr only', { xmppAddrs: [d] }, 'oc'],
  ['CN only', { commonName: d }, 'peo'],
  ['CN beside a dNSName of another domain', { dnsNames: ['example.com'], commonName: d }, 'e'],
  ['dNSName in capitals', { dnsNames: ['Example.ORG'] }, 'pcdg'],
  ['domain in capitals', { dnsNames: [d] }, 'peocdg', 'EXAMPLE.org'],
  ['wildcard', { dnsNames: [`*.${d}`] }, 'peocdg', `chat.${d}`],
  ['wildcard, two labels', { dnsNames: [`*.${d}`] }, 'oc', `a.chat.${d}`],
  ['wildcard for its own base', { dnsNames: [`*.${d}`] }, '', d],
  ['wildcard of another domain that ends alike', { dnsNames: [`*.${d}`] }, '', `bad${d}`],
  ['IDN', { dnsNames: ['xn--bcher-kva.example'] }, 'peocdg', 'bücher.example'],
  ['IDN in XmppAddr', { xmppAddrs: ['bücher.example'] }, 'oc', 'xn--bcher-kva.example'],
  ['without clientAuth', { dnsNames: [d], clientAuth: false }, 'pocdg'],
  ['without serverAuth', { dnsNames: [d], serverAuth: false }, 'o'],
  ['expired', { dnsNames: [d], notAfter: now - 1 }, ''],
  ['not yet valid', { dnsNames: [d], notBefore: now + 1 }, ''],
  ['another name', { dnsNames: ['example.com'], srvNames: ['_xmpp-server.example.com'], commonName: 'example.com' }, ''],
  ['nothing', {}, ''],
]

for (const [what, leaf, expected, domain = d] of table) {
  test(`${what}: ${expected || 'nobody'}`, () => {
    const judged = judge({ ...none, ...leaf }, domain, now)
    const accepted = judged.filter((j) => j.accepted).map((j) => j.verifier)
    assert.deepEqual(
      accepted,
      [...expected].map((letter) => marks[letter]),
    )
    for (const { label, why, accepted, by } of judged) {
      assert.ok(why.startsWith(label) && why.endsWith('.'), why)
      if (accepted) assert.ok(by !== null && why.includes(by), why)
    }
  })
}

const why = (verifier: VerifierName, leaf: Partial<LeafFacts>, domain = d): string =>
  judge({ ...none, ...leaf }, domain, now).find((j) => j.verifier === verifier)?.why ?? ''

test('the sentence names the cause', () => {
  assert.match(why('ejabberd', { dnsNames: [d], xmppAddrs: [d] }), /crashes.*XmppAddr "example\.org"/)
  assert.match(why('ejabberd', { dnsNames: [d], clientAuth: false }), /25\.08.*clientAuth/)
  assert.match(why('ejabberd', { srvNames: srv }), /does not read SRVName/)
  assert.match(why('ejabberd', { dnsNames: ['Example.org'] }), /compares case.*Example\.org/)
  assert.match(why('prosody', { srvNames: [`_xmpp-client.${d}`] }), /another service/)
  assert.match(why('prosody', { dnsNames: [`*.${d}`] }, `a.b.${d}`), /one label only/)
  assert.match(why('prosody', { xmppAddrs: [d] }), /does not read XmppAddr/)
  assert.match(why('prosody', { dnsNames: [d], notAfter: now - day }), /expired on 2026-11-22/)
  assert.match(why('dino', { commonName: d }), /does not read the CN/)
  assert.match(why('prosody', { dnsNames: ['example.com'], commonName: d }), /only where there are no other names/)
})
