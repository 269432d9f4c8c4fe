/** Fifteen servers in broken set-ups, each of which the check must name, and say nothing else against. They were written before the check had met any; what it made of them at first stands in docs/check.md. */
import { commonNameOnly, day, identity, names, now, ocsp, revoked, selfSigned, silent, strange, urlsAt, with3920 } from './pki.js'
import { optional } from './server.js'
import { altered, domain, type Fixture, run, serving, world } from './world.js'

const first: Fixture[] = [
  { name: 'expired', expect: ['expired'], make: serving({ notBefore: now - 90 * day, notAfter: now - day }) },
  { name: 'not yet valid', expect: ['not-yet-valid'], make: serving({ notBefore: now + day }) },
  { name: 'missing intermediate', expect: ['chain-incomplete'], make: altered((chain) => chain.slice(0, 1)) },
  { name: 'wrong name', expect: ['names-refused'], make: serving({ names: names(['dNSName', 'other.test']) }) },
  { name: 'only CN', expect: ['only-cn'], make: async () => ({ identity: await commonNameOnly(domain) }) },
  {
    name: 'only SRVName',
    expect: ['names-partly', 'only-srvname'],
    make: serving({ names: names(['SRVName', `_xmpp-server.${domain}`], ['SRVName', `_xmpp-client.${domain}`]) }),
  },
  {
    name: 'XmppAddr',
    expect: ['names-partly', 'xmppaddr-present'],
    make: async () => {
      const made = await identity(domain, urlsAt(world.base), {
        ...with3920,
        names: names(['dNSName', domain], ['SRVName', `_xmpp-server.${domain}`], ['XmppAddr', domain]),
      })
      return { identity: made }
    },
  },
  { name: 'self-signed', expect: ['self-signed'], make: async () => ({ identity: await selfSigned(domain) }) },
  {
    name: 'unknown root',
    expect: ['root-unknown'],
    make: async () => {
      const made = await identity(domain, urlsAt(world.base), { signedBy: strange.issuer, ...silent })
      return { identity: { ...made, chain: [made.chain[0] as Uint8Array, ...strange.chain] } }
    },
  },
  { name: 'TLS 1.0 only', expect: ['tls-old-only'], make: serving({}, { tls: { minVersion: 'TLSv1', maxVersion: 'TLSv1' } }) },
  { name: 'no STARTTLS', expect: ['starttls-missing'], make: serving({}, { before: "<dialback xmlns='urn:xmpp:features:dialback'/>" }) },
  {
    name: 'TLS not required',
    expect: ['starttls-optional'],
    make: serving({}, { before: `${optional}<dialback xmlns='urn:xmpp:features:dialback'/>` }),
  },
  {
    name: 'stapled revoked',
    expect: ['staple-revoked'],
    make: async () => {
      const made = await identity(domain, urlsAt(world.base))
      return { identity: made, staple: await ocsp(made.chain[0] as Uint8Array, revoked) }
    },
  },
  { name: 'must-staple without staple', expect: ['staple-missing'], make: serving({ mustStaple: true }) },
  { name: 'no clientAuth', expect: ['no-client-auth'], make: serving({ purposes: ['serverAuth'] }) },
]

run(first)
