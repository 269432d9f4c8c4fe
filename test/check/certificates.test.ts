/** Chains, keys, names and status of certificates that servers present. */
import { day, good, identity, names, now, ocsp, revoked, rootDer, sha1, strange, urlsAt, weakRsa } from './pki.js'
import { altered, domain, type Fixture, run, serving, world } from './world.js'

const fixtures: Fixture[] = [
  { name: 'all is well', expect: [], also: ['trust-own', 'names-accepted', 'ocsp-good', 'crl-good', 'external-offered'], make: serving() },
  { name: 'all is well with TLS 1.2', expect: [], also: ['trust-own', 'tls-1.3-missing'], make: serving({}, { tls: { maxVersion: 'TLSv1.2' } }) },
  {
    name: 'a good staple',
    expect: [],
    also: ['staple-good'],
    make: async () => {
      const made = await identity(domain, urlsAt(world.base), { mustStaple: true })
      return { identity: made, staple: await ocsp(made.chain[0] as Uint8Array, good) }
    },
  },
  {
    name: 'an old staple',
    expect: ['staple-invalid'],
    make: async () => {
      const made = await identity(domain, urlsAt(world.base))
      return { identity: made, staple: await ocsp(made.chain[0] as Uint8Array, good, { nextUpdate: now - day / 2 }) }
    },
  },
  {
    name: 'a staple for another certificate',
    expect: ['staple-invalid'],
    make: async () => {
      const [made, other] = [await identity(domain, urlsAt(world.base)), await identity(domain, urlsAt(world.base))]
      return { identity: made, staple: await ocsp(other.chain[0] as Uint8Array, good) }
    },
  },
  { name: 'a staple of garbage', expect: ['staple-invalid'], make: serving({}, { staple: new Uint8Array([1, 2, 3]) }) },
  {
    name: 'revoked',
    expect: ['revoked'],
    make: async () => {
      const made = await identity(domain, urlsAt(world.base))
      return { identity: made, status: await ocsp(made.chain[0] as Uint8Array, revoked) }
    },
  },
  {
    name: 'a responder that sends garbage',
    expect: ['ocsp-failed'],
    make: async () => ({ ...(await serving()()), status: new Uint8Array([0x30, 0x80, 1]) }),
  },
  {
    name: 'wildcard depth',
    expect: ['names-partly', 'wildcard-depth'],
    domain: 'a.b.example.test',
    make: serving({ names: names(['dNSName', '*.example.test']) }),
  },
  { name: 'no serverAuth', expect: ['no-server-auth'], make: serving({ purposes: ['clientAuth'] }) },
  { name: 'superfluous root', expect: [], also: ['chain-root'], make: altered((chain) => [...chain, rootDer]) },
  { name: 'wrong order', expect: ['chain-order'], make: altered(([leaf, above]) => [leaf as Uint8Array, rootDer, above as Uint8Array]) },
  { name: 'a certificate that does not belong there', expect: ['chain-extra'], make: altered((chain) => [...chain, strange.chain[0] as Uint8Array]) },
  {
    name: 'huge chain',
    expect: ['chain-extra', 'chain-long'],
    make: altered((chain) => [...chain, ...Array.from({ length: 40 }, () => strange.chain[0] as Uint8Array)]),
  },
  {
    name: 'chain beyond what TLS takes',
    expect: ['tls-failed'],
    make: altered((chain) => [...chain, ...Array.from({ length: 400 }, () => strange.chain[0] as Uint8Array)]),
  },
  { name: 'RSA 1024', expect: ['key-weak'], make: serving({ keyObject: weakRsa() }) },
  {
    name: 'SHA-1',
    expect: ['signature-weak'],
    make: async () => {
      const made = await sha1(domain, urlsAt(world.base))
      return { identity: made, roots: [made.root] }
    },
  },
]

run(fixtures)
