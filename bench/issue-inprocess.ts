/**
 * Certificates per second in one process, beside the raw signature rate: `node --import tsx bench/issue-inprocess.ts [rounds]`.
 *
 * Every step is measured in each of the rounds, one behind the other, so that whatever else the machine does meets them all; the table has the medians. `sync` steps
 * keep one core busy; `pool` steps go through libuv's pool with 16 in flight, as the server does.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { encodeTbsLeaf, type Issuer, issueLeaf, type LeafFacts, newSerial } from '../src/pki/certificate.js'
import { readCertificateRequest } from '../src/pki/csr.js'
import { ascii, implicit, implicitConstructed, integer, oid, sequence, setOf } from '../src/pki/der.js'
import { signedSequence, subjectAltName } from '../src/pki/extensions.js'
import { makeIntermediate, makeRoot, subjectName } from '../src/pki/hierarchy.js'
import { readIssuer } from '../src/pki/issuer.js'
import { nodeSigner, type Signer } from '../src/pki/keys.js'
import { lintLeaf } from '../src/pki/lint.js'
import { oids } from '../src/pki/oids.js'
import { builtinProfiles, namesFor, type Profile } from '../src/pki/profile.js'
import { checkSubscriberKey } from '../src/pki/weak-keys.js'

const rounds = Number(process.argv[2] ?? 9)
const perRound = 400
const now = Date.now()
const day = 86_400_000
const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })

const urls = {
  ocsp: 'http://ca.example.net/ocsp',
  caIssuers: 'http://ca.example.net/ca/0123456789abcdef.crt',
  crl: 'http://ca.example.net/crl/0123456789abcdef/17.crl',
  cps: 'https://ca.example.net/cps',
}

const makeIssuer = async (key: ReturnType<typeof newKey>): Promise<Issuer> => {
  const rootSigner = nodeSigner(newKey().privateKey)
  const validity = { notBefore: now - day, notAfter: now + 3650 * day }
  const subject = { commonName: 'Bench Root' }
  const root = await makeRoot({ ...validity, serial: newSerial(randomBytes), subject, signer: rootSigner })
  const rootIssuer = readIssuer([root], rootSigner, now)
  const signer = nodeSigner(key.privateKey)
  const own = { serial: newSerial(randomBytes), subject: { commonName: 'Bench ICA' }, publicKey: signer.publicKey, issuer: rootIssuer, urls }
  return readIssuer([await makeIntermediate({ ...validity, ...own }), root], signer, now)
}

const request = async (signer: Signer, domain: string): Promise<Uint8Array> => {
  const names = subjectAltName([implicit(2, ascii(domain))], false)
  const attributes = implicitConstructed(0, sequence(oid(oids.extensionRequest), setOf(sequence(names))))
  const info = sequence(integer(0), subjectName({ commonName: domain }), signer.publicKey.spki, attributes)
  return signedSequence(info, signer.algorithm, await signer.sign(info)).slice()
}

type Step = { name: string; run: () => Promise<unknown> }

const repeat = (work: (i: number) => unknown) => async () => {
  for (let i = 0; i < perRound; i++) work(i)
}

const inFlight = (work: (i: number) => Promise<unknown>) => async () => {
  let next = 0
  const worker = async () => {
    while (next < perRound) await work(next++)
  }
  await Promise.all(Array.from({ length: 16 }, worker))
}

const main = async () => {
  const key = newKey()
  const issuer = await makeIssuer(key)
  const [profile] = builtinProfiles as [Profile]
  const requests: Uint8Array[] = []
  for (let i = 0; i < perRound; i++) requests.push(await request(nodeSigner(newKey().privateKey), `host${i}.example.com`))
  const facts: LeafFacts[] = []
  for (const [i, der] of requests.entries()) {
    const { publicKey } = await readCertificateRequest(der)
    const names = namesFor(profile, [{ type: 'dns', value: `host${i}.example.com` }])
    facts.push({
      profile,
      names,
      publicKey,
      serial: newSerial(randomBytes),
      issuer,
      urls,
      mustStaple: false,
      notBefore: now,
      notAfter: now + 90 * day,
    })
  }
  const at = <T>(list: T[], i: number): T => list[i] as T
  const tbs = encodeTbsLeaf(at(facts, 0))
  const issued = await Promise.all(facts.map(issueLeaf))
  const whole = async (i: number) => {
    const { publicKey } = await readCertificateRequest(at(requests, i))
    checkSubscriberKey(publicKey, profile.keyKinds)
    const names = namesFor(profile, [{ type: 'dns', value: `host${i}.example.com` }])
    const leaf = { ...at(facts, i), publicKey, names, serial: newSerial(randomBytes) }
    const problems = lintLeaf(await issueLeaf(leaf), leaf, now)
    if (problems.length > 0) throw new Error(problems.join('; '))
  }
  const steps: Step[] = [
    { name: 'raw P-256 signature, sync', run: repeat(() => sign('sha256', tbs, key.privateKey)) },
    { name: 'encode', run: repeat((i) => encodeTbsLeaf(at(facts, i))) },
    {
      name: 'encode + sign, sync',
      run: repeat((i) => signedSequence(encodeTbsLeaf(at(facts, i)), issuer.signer.algorithm, sign('sha256', tbs, key.privateKey)).slice()),
    },
    { name: 'raw P-256 signature, pool', run: inFlight(() => issuer.signer.sign(tbs)) },
    { name: 'encode + sign, pool', run: inFlight((i) => issueLeaf(at(facts, i))) },
    { name: 'CSR parse + verify, pool', run: inFlight((i) => readCertificateRequest(at(requests, i))) },
    { name: 'lint', run: repeat((i) => lintLeaf(at(issued, i), at(facts, i), now)) },
    { name: 'CSR + encode + sign + lint, pool', run: inFlight(whole) },
  ]
  const rates = new Map<string, number[]>(steps.map(({ name }) => [name, []]))
  for (let round = -1; round < rounds; round++) {
    for (const { name, run } of steps) {
      const start = process.hrtime.bigint()
      await run()
      const rate = (perRound * 1e9) / Number(process.hrtime.bigint() - start)
      if (round >= 0) rates.get(name)?.push(rate)
    }
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? 0
  const raw = median(rates.get('raw P-256 signature, sync') ?? [])
  console.log(`Node ${process.version}, medians of ${rounds} interleaved rounds of ${perRound}\n`)
  console.log('| step | per second | µs | of the raw signature rate |\n| --- | ---: | ---: | ---: |')
  for (const { name } of steps) {
    const rate = median(rates.get(name) ?? [])
    console.log(`| ${name} | ${Math.round(rate)} | ${(1e6 / rate).toFixed(1)} | ${(rate / raw).toFixed(2)} |`)
  }
}

await main()
