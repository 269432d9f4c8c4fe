import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import * as pkijs from 'pkijs'
import type { Facts } from '../../src/api/facts.js'
import { oids } from '../../src/pki/oids.js'
import { freePort, newFolder, type Program, serve } from '../support/program.js'

/** The number of a list, and the URIs that its issuing distribution point names. */
const look = (der: ArrayBuffer): { number: string; uris: string[] } => {
  const extensions = pkijs.CertificateRevocationList.fromBER(der).crlExtensions?.extensions ?? []
  const contentOf = (oid: string) => extensions.find(({ extnID }) => extnID === oid)?.parsedValue
  const names = (contentOf(oids.issuingDistributionPoint) as pkijs.IssuingDistributionPoint | undefined)?.distributionPoint
  return {
    number: Buffer.from(contentOf(oids.cRLNumber).valueBlock.valueHexView).toString('hex'),
    uris: ((names ?? []) as pkijs.GeneralName[]).map(({ value }) => value),
  }
}

describe('ICA_STATUS_URL is changed', () => {
  const { folder, remove } = newFolder()
  let url = ''
  let status = ''
  let program: Program | undefined
  before(async () => {
    url = `http://localhost:${await freePort()}`
    status = `http://localhost:${await freePort()}`
  })
  after(async () => {
    program?.child.kill('SIGKILL')
    await program?.result
    remove()
  })

  /** Starts with this URL, and looks at a shard and at the complete list. */
  const startWith = async (statusUrl: string) => {
    program?.child.kill('SIGKILL')
    await program?.result
    program = await serve(folder, { ICA_URL: url, ICA_STATUS_URL: statusUrl, ICA_STATUS_LISTEN: new URL(status).host })
    const { crls } = (await (await fetch(`${url}/api/ca`)).json()) as Facts
    const path = new URL(crls[0] as string).pathname
    const [complete, shard] = await Promise.all(
      [path, path.replace(/\.crl$/, '/7.crl')].map(async (one) => look(await (await fetch(status + one)).arrayBuffer())),
    )
    assert.deepEqual(complete?.uris, [])
    const warned = program.stderr().includes('ICA_STATUS_URL was changed')
    const uris = (shard?.uris ?? []).map((uri) => new URL(uri))
    return { warned, number: shard?.number, hosts: uris.map(({ host }) => host), paths: new Set(uris.map(({ pathname }) => pathname)).size }
  }

  it('from then on lists name the one of now and those of before, which living certificates point to', async () => {
    const first = await startWith('http://first.test')
    assert.deepEqual([first.warned, first.hosts], [false, ['first.test']])
    const again = await startWith('http://first.test')
    assert.deepEqual([again.warned, again.number], [false, first.number], 'nothing is published where nothing was changed')
    const second = await startWith('http://second.test')
    assert.deepEqual([second.warned, second.hosts, second.paths], [true, ['second.test', 'first.test'], 1])
    const back = await startWith('http://first.test')
    assert.deepEqual([back.warned, back.hosts], [true, ['first.test', 'second.test']])
  })
})
