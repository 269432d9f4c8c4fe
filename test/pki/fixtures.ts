/** A small CA for the tests of pki/, all of it made by the code under test from fresh keys. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import type { CrlBody } from '../../src/model.js'
import { type Issuer, issueLeaf, type LeafFacts, newSerial, type StatusUrls } from '../../src/pki/certificate.js'
import { type CrlFacts, encodeCrl } from '../../src/pki/crl.js'
import { concat, implicitConstructed, integer, oid, sequence, setOf } from '../../src/pki/der.js'
import { extension, signedSequence } from '../../src/pki/extensions.js'
import { makeIntermediate, makeRoot } from '../../src/pki/hierarchy.js'
import { readIssuer } from '../../src/pki/issuer.js'
import { nodeSigner, type Signer } from '../../src/pki/keys.js'
import { oids } from '../../src/pki/oids.js'
import { builtinProfiles, namesFor, type Profile } from '../../src/pki/profile.js'

export const day = 86_400_000
export const now = Date.UTC(2026, 10, 21, 9, 0, 0)

export const ecKey = (curve = 'P-256'): KeyObject => generateKeyPairSync('ec', { namedCurve: curve }).privateKey
export const rsaKey = (bits = 2048, exponent = 65537): KeyObject =>
  generateKeyPairSync('rsa', { modulusLength: bits, publicExponent: exponent }).privateKey
export const edKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey

export const urls: StatusUrls = {
  ocsp: 'http://ca.example.net/ocsp',
  caIssuers: 'http://ca.example.net/ca/0123456789abcdef.crt',
  crl: 'http://ca.example.net/crl/0123456789abcdef/17.crl',
  cps: 'https://ca.example.net/cps',
}

/** Keeps the body of a list in memory. */
export const inMemory = (): CrlBody & { kept: Uint8Array[] } => {
  const kept: Uint8Array[] = []
  return { kept, put: async (piece) => void kept.push(piece.slice()), pieces: () => kept }
}

/** A CRL in its pieces: head, body and tail. */
export const piecesOfCrl = async (facts: CrlFacts): Promise<Uint8Array[]> => {
  const body = inMemory()
  const { head, tail, octets } = await encodeCrl(facts, body)
  const pieces = [head, ...body.kept, tail]
  assert.equal(concat(...pieces).length, octets)
  return pieces
}

/** A CRL in one piece. */
export const wholeCrl = async (facts: CrlFacts): Promise<Uint8Array> => concat(...(await piecesOfCrl(facts)))

export const serial = (): string => newSerial(randomBytes)

export const caValidity = { notBefore: now - day, notAfter: now + 3650 * day }

/** Root and intermediate with keys of the given makers. */
export const makeCa = async (rootKey = ecKey(), intermediateKey = ecKey()): Promise<{ root: Issuer; issuer: Issuer; chain: Uint8Array[] }> => {
  const rootSigner = nodeSigner(rootKey)
  const rootDer = await makeRoot({ ...caValidity, serial: serial(), subject: { commonName: 'Test Root', organization: 'Tést' }, signer: rootSigner })
  const root = readIssuer([rootDer], rootSigner, now)
  const signer = nodeSigner(intermediateKey)
  const facts = { ...caValidity, serial: serial(), subject: { commonName: 'Test ICA' }, publicKey: signer.publicKey, issuer: root, urls }
  const chain = [await makeIntermediate(facts), rootDer]
  return { root, issuer: readIssuer(chain, signer, now), chain }
}

export const profileNamed = (name: string): Profile => {
  const profile = builtinProfiles.find((p) => p.name === name)
  if (!profile) throw new Error(`no profile ${name}`)
  return profile
}

/** Facts of a leaf for the given domains; `change` overrides any of them. */
export const leafFacts = (issuer: Issuer, domains: string[], change: Partial<LeafFacts> & { key?: KeyObject } = {}): LeafFacts => {
  const { key = ecKey(), ...rest } = change
  const profile = change.profile ?? profileNamed('xmpp-server')
  return {
    profile,
    names: namesFor(
      profile,
      domains.map((value) => ({ type: 'dns', value })),
    ),
    publicKey: nodeSigner(key).publicKey,
    serial: serial(),
    issuer,
    urls,
    mustStaple: false,
    notBefore: now - day / 24,
    notAfter: now + 90 * day - 1000,
    ...rest,
  }
}

export const leaf = async (facts: LeafFacts): Promise<{ facts: LeafFacts; der: Uint8Array }> => ({ facts, der: await issueLeaf(facts) })

/** A PKCS #10 request put together by hand, so that it can have anything in it. `extensions` are [OID, value] pairs. */
export const makeRequest = async (
  signer: Signer,
  subject: Uint8Array = sequence(),
  extensions: [string, Uint8Array][] = [],
  moreAttributes: Uint8Array[] = [],
): Promise<Uint8Array> => {
  const requested = sequence(oid(oids.extensionRequest), setOf(sequence(...extensions.map(([id, value]) => extension(id, false, value)))))
  const attributes = implicitConstructed(0, ...(extensions.length > 0 ? [requested] : []), ...moreAttributes)
  const info = sequence(integer(0), subject, signer.publicKey.spki, attributes)
  return signedSequence(info, signer.algorithm, await signer.sign(info)).slice()
}

/** A copy of `bytes` with one of: a changed octet, a cut, an insertion. The numbers choose. */
export const mutate = (bytes: Uint8Array, kind: number, at: number, value: number): Uint8Array => {
  const position = at % bytes.length
  if (kind === 0) return bytes.map((octet, i) => (i === position ? octet ^ (value || 1) : octet))
  if (kind === 1) return bytes.slice(0, position)
  return Uint8Array.from([...bytes.slice(0, position), value, ...bytes.slice(position)])
}
