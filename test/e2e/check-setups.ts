/**
 * The set-ups of the check's test: each a domain of its own at Debian's Prosody or ejabberd, or at what stands in for a server that is none. What the check must say
 * against each is all that stands here, no less and no more.
 */
import { domainToASCII } from 'node:url'

export const places = { prosody: '127.0.6.1', ejabberd: '127.0.6.2', web: '127.0.6.4', silent: '127.0.6.5', front: '127.0.6.6' }
export const zone = 'check.test'

type Service = '_xmpp-client' | '_xmpp-server' | '_xmpps-client' | '_xmpps-server'

export type Setup = {
  /** The label of the domain below {@link zone}; U-labels. */
  name: string
  /** What is to be seen, for people. */
  what: string
  at: keyof typeof places
  /** The name of the certificate's files; without it that of the domain. */
  certificate?: string
  /** Of the virtual host in Prosody. */
  host?: string
  /** Ports at `xmpp.<domain>`; `.` declares a service as not offered. Without any, 5222 and 5269 behind STARTTLS. */
  srv?: Partial<Record<Service, number | '.'>>
  /** Of `xmpp.<domain>`, instead of that of the place. */
  address?: { A?: string; AAAA?: string }
  args?: string[]
  /** Which of what `xmpp-ica records` prints for the chain of which file is published. */
  publish?: { tlsa?: string; posh?: string }
  /** The ids of warnings and failures, all of them, and others that must be there. */
  expect: string[]
  also?: string[]
  exit: 0 | 1 | 2
}

const bare = { at: 'prosody' } as const
const peer = ['--only', 's2s', '--as', `peer.${zone}`, '--cert', 'peer.pem', '--key', 'peer.key']
const only = (service: Service, port: number): Setup['srv'] => ({ '_xmpp-client': '.', '_xmpp-server': '.', [service]: port })
const good = ['names-accepted', 'trust-own', 'ocsp-good', 'crl-good']
const old = 'ciphers = "DEFAULT:@SECLEVEL=0", options = { "no_sslv2", "no_sslv3" }'

export const setups: Setup[] = [
  // Good ones
  { ...bare, name: 'good', what: 'Prosody, in order', expect: [], also: [...good, 'peer-refused'], exit: 0 },
  { ...bare, name: 'ejabberd', at: 'ejabberd', what: 'ejabberd, in order', expect: [], also: good, exit: 0 },
  { ...bare, name: 'bücher', what: 'an IDN domain, Prosody', expect: [], also: good, exit: 0 },
  { ...bare, name: 'bücher.ejabberd', at: 'ejabberd', what: 'an IDN domain, ejabberd', expect: [], also: good, exit: 0 },
  { ...bare, name: 'a.wild', what: 'a wildcard for one label', expect: [], also: good, exit: 0 },
  { ...bare, name: 'ipv6', what: 'IPv6 alone', address: { AAAA: '::1' }, expect: [], also: good, exit: 0 },
  { ...bare, name: 'short', what: 'xmpp-server-short: without status', expect: [], also: ['status-none'], exit: 0 },
  { ...bare, name: 'good', what: 'Prosody, looked at as a peer', args: peer, expect: [], also: ['external-offered'], exit: 0 },
  { ...bare, name: 'ejabberd', at: 'ejabberd', what: 'ejabberd, looked at as a peer', args: peer, expect: [], also: ['external-offered'], exit: 0 },
  // Certificates
  { ...bare, name: 'expired', what: 'expired, Prosody', expect: ['expired'], exit: 2 },
  { ...bare, name: 'expired.ejabberd', at: 'ejabberd', what: 'expired, ejabberd', expect: ['expired'], exit: 2 },
  { ...bare, name: 'future', what: 'not yet valid', expect: ['not-yet-valid'], exit: 2 },
  { ...bare, name: 'soon', what: 'expires in three days', expect: ['expires-soon'], exit: 1 },
  {
    ...bare,
    name: 'alone',
    what: 'without the intermediate, which the certificate points to',
    expect: ['chain-incomplete'],
    also: ['ocsp-good'],
    exit: 2,
  },
  { ...bare, name: 'no-intermediate', what: 'without the intermediate, which nothing points to', expect: ['chain-incomplete'], exit: 2 },
  { ...bare, name: 'reversed', what: 'the root before the intermediate', expect: ['chain-order'], also: ['chain-root'], exit: 1 },
  { ...bare, name: 'stranger', what: 'a certificate of another CA in the chain', expect: ['chain-extra'], exit: 1 },
  { ...bare, name: 'wrong', what: 'of another domain', expect: ['names-refused'], exit: 2 },
  {
    ...bare,
    name: 'unlisted.ejabberd',
    at: 'ejabberd',
    what: 'ejabberd has none for the domain and shows one that it has',
    expect: ['names-refused'],
    exit: 2,
  },
  { ...bare, name: 'cn-only', what: 'common name alone', expect: ['names-partly', 'only-cn'], exit: 1 },
  { ...bare, name: 'hosted', what: 'SRVName alone (xmpp-hosted)', expect: ['names-partly', 'only-srvname'], exit: 1 },
  { ...bare, name: 'legacy', what: 'XmppAddr (xmpp-server-3920)', expect: ['names-partly', 'xmppaddr-present'], exit: 1 },
  { ...bare, name: 'a.b.deep', what: 'a wildcard for two labels', expect: ['names-partly', 'wildcard-depth'], exit: 1 },
  { ...bare, name: 'self-signed', what: 'self-signed', expect: ['self-signed'], exit: 2 },
  { ...bare, name: 'other-root', what: 'below another root', expect: ['root-unknown'], exit: 2 },
  { ...bare, name: 'server-auth', what: 'serverAuth alone', expect: ['no-client-auth'], exit: 1 },
  { ...bare, name: 'client-auth', what: 'clientAuth alone', expect: ['no-server-auth'], exit: 2 },
  { ...bare, name: 'revoked', what: 'revoked: OCSP and CRL say so', expect: ['revoked', 'revoked'], exit: 2 },
  { ...bare, name: 'staple', what: 'must-staple not kept', expect: ['staple-missing'], also: ['ocsp-good'], exit: 2 },
  { ...bare, name: 'stapled', at: 'front', what: 'must-staple kept', srv: only('_xmpps-client', 5223), expect: [], also: ['staple-good'], exit: 0 },
  {
    ...bare,
    name: 'stapled-revoked',
    at: 'front',
    certificate: 'revoked',
    what: 'the stapled answer says “revoked”',
    srv: only('_xmpps-client', 5223),
    expect: ['revoked', 'revoked', 'staple-revoked'],
    exit: 2,
  },
  // TLS and streams
  { ...bare, name: 'old-too', what: 'TLS 1.0 and 1.1 too', host: `ssl = { protocol = "tlsv1+", ${old} }`, expect: ['tls-old-offered'], exit: 1 },
  { ...bare, name: 'old-only', what: 'TLS 1.1 at most', host: `ssl = { protocol = "tlsv1_1", ${old} }`, expect: ['tls-old-only'], exit: 2 },
  {
    ...bare,
    name: 'cbc',
    what: 'TLS 1.2 with CBC suites alone',
    host: 'ssl = { protocol = "tlsv1_2", ciphers = "ECDHE-ECDSA-AES128-SHA256" }',
    expect: ['cipher-weak'],
    also: ['tls-1.3-missing'],
    exit: 1,
  },
  {
    ...bare,
    name: 'no-tls',
    what: 'Prosody without mod_tls',
    host: 'modules_disabled = { "tls", "dialback" }',
    expect: ['starttls-missing', 'starttls-missing'],
    exit: 2,
  },
  {
    ...bare,
    name: 'no-tls.ejabberd',
    at: 'ejabberd',
    what: 'ejabberd, a port without STARTTLS',
    srv: only('_xmpp-client', 5242),
    expect: ['sasl-in-clear', 'starttls-missing'],
    exit: 2,
  },
  {
    ...bare,
    name: 'broken-key',
    what: 'Prosody cannot read its key',
    certificate: 'nothing',
    expect: ['starttls-missing', 'starttls-missing'],
    exit: 2,
  },
  {
    ...bare,
    name: 'optional',
    what: 'Prosody does not require encryption',
    host: 'c2s_require_encryption = false\n  s2s_require_encryption = false\n  s2s_secure_auth = false\n  allow_unencrypted_plain_auth = true',
    expect: ['sasl-in-clear', 'starttls-optional'],
    exit: 2,
  },
  {
    ...bare,
    name: 'optional.ejabberd',
    at: 'ejabberd',
    what: 'ejabberd does not require encryption',
    srv: only('_xmpp-client', 5232),
    expect: ['sasl-in-clear', 'starttls-optional'],
    exit: 2,
  },
  { ...bare, name: 'direct', what: 'direct TLS, Prosody', srv: { '_xmpps-client': 5223, '_xmpps-server': 5270 }, expect: ['alpn-missing'], exit: 1 },
  { ...bare, name: 'direct-alpn', what: 'direct TLS with ALPN, Prosody', srv: { '_xmpps-client': 5243 }, expect: [], exit: 0 },
  {
    ...bare,
    name: 'direct.ejabberd',
    at: 'ejabberd',
    what: 'direct TLS, ejabberd',
    srv: { '_xmpps-client': 5223, '_xmpps-server': 5270 },
    expect: ['alpn-missing'],
    exit: 1,
  },
  { ...bare, name: 'mixed-up', what: 'direct TLS where STARTTLS is published', srv: only('_xmpp-client', 5223), expect: ['not-xmpp'], exit: 2 },
  { ...bare, name: 'mixed-down', what: 'STARTTLS where direct TLS is published', srv: only('_xmpps-client', 5222), expect: ['tls-failed'], exit: 2 },
  {
    ...bare,
    name: 'unknown-host',
    what: 'a server that does not serve the domain',
    certificate: '-',
    expect: ['stream-error', 'stream-error'],
    exit: 2,
  },
  {
    ...bare,
    name: 'unknown-host.ejabberd',
    at: 'ejabberd',
    certificate: '-',
    what: 'an ejabberd that does not serve the domain',
    expect: ['stream-error'],
    exit: 2,
  },
  {
    ...bare,
    name: 'bare-direct',
    what: 'direct TLS for which Prosody finds no certificate',
    certificate: 'good',
    srv: only('_xmpps-client', 5223),
    expect: ['tls-failed'],
    exit: 2,
  },
  // Connection and DNS
  { ...bare, name: 'web', at: 'web', certificate: '-', what: 'a web server', srv: only('_xmpp-server', 80), expect: ['not-xmpp'], exit: 2 },
  {
    ...bare,
    name: 'closed',
    at: 'silent',
    certificate: '-',
    what: 'a closed port',
    srv: only('_xmpp-server', 5299),
    expect: ['connection-refused'],
    exit: 2,
  },
  {
    ...bare,
    name: 'hanging',
    at: 'silent',
    certificate: '-',
    what: 'a port that says nothing',
    args: ['--timeout', '4'],
    expect: ['server-hangs'],
    exit: 2,
  },
  {
    ...bare,
    name: 'half.ejabberd',
    at: 'ejabberd',
    what: 'IPv6 closed, IPv4 open',
    address: { A: places.ejabberd, AAAA: '::1' },
    srv: { '_xmpp-client': 5221, '_xmpp-server': '.' },
    expect: ['connection-refused'],
    exit: 1,
  },
  {
    ...bare,
    name: 'declined',
    certificate: '-',
    what: 'the target "."',
    srv: { '_xmpp-client': '.', '_xmpp-server': '.' },
    expect: [],
    also: ['srv-not-offered'],
    exit: 0,
  },
  { ...bare, name: 'nothing', certificate: '-', what: 'neither SRV nor addresses', srv: {}, expect: ['no-service'], exit: 2 },
  // What is published
  {
    ...bare,
    name: 'tlsa',
    what: 'the TLSA records of the chain',
    publish: { tlsa: 'tlsa' },
    expect: [],
    also: ['tlsa-matches', 'tlsa-insecure'],
    exit: 0,
  },
  { ...bare, name: 'tlsa-wrong', what: 'the TLSA records of another chain', publish: { tlsa: 'other-root' }, expect: ['tlsa-mismatch'], exit: 2 },
  { ...bare, name: 'posh', what: 'the POSH document of the certificate', publish: { posh: 'posh' }, expect: [], also: ['posh-matches'], exit: 0 },
  {
    ...bare,
    name: 'posh-wrong',
    what: 'the POSH document of another certificate',
    publish: { posh: 'other-root' },
    expect: ['posh-mismatch'],
    exit: 1,
  },
]

export const domainOf = ({ name }: Pick<Setup, 'name'>): string => domainToASCII(`${name}.${zone}`)

/** Of a set-up that has a certificate: the name of its files. */
export const fileOf = ({ name, certificate }: Setup): string | null => (certificate === '-' ? null : (certificate ?? domainToASCII(name)))

/** One for each domain: some are looked at in several ways. */
export const hosts = (place: Setup['at']): Setup[] => [
  ...new Map(setups.filter(({ at, certificate }) => at === place && certificate !== '-').map((setup) => [setup.name, setup])).values(),
]
