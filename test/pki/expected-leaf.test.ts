/** What is said of a certificate before it is made agrees with what is made. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseIdentifier } from '../../src/identifier.js'
import { expectedLeaf } from '../../src/pki/expected-leaf.js'
import { builtinProfiles, namesFor, type Profile } from '../../src/pki/profile.js'
import { judge } from '../../src/pki/verifiers.js'

const now = Date.UTC(2026, 0, 1)
const domain = 'xn--bcher-kva.example'

describe('a certificate that is to be', () => {
  for (const profile of builtinProfiles) {
    const isHosted = !profile.identifierTypes.includes('dns')
    const domains = isHosted ? [] : [domain, `conference.${domain}`, `*.${domain}`]
    const services = isHosted ? [`_xmpp-server.${domain}`] : []

    it(`${profile.name}: has the names that one which is made has`, () => {
      const identifiers = [
        ...domains.map((name) => parseIdentifier('dns', name, { lab: true })),
        ...services.map((name) => parseIdentifier('srv', name, { lab: true })),
      ]
      const made = namesFor(profile, identifiers)
      const of = (form: string) => made.filter((name) => name.form === form).map(({ value }) => value)
      const { dnsNames, srvNames, xmppAddrs } = expectedLeaf(profile, { domains, services }, now)
      assert.deepEqual({ dnsNames, srvNames, xmppAddrs }, { dnsNames: of('dNSName'), srvNames: of('SRVName'), xmppAddrs: of('XmppAddr') })
    })
  }

  it('is judged as the kinds are described', () => {
    const refusals = (name: string, names: { domains: string[]; services: string[] }): string[] => {
      const profile = builtinProfiles.find((one) => one.name === name) as Profile
      return judge(expectedLeaf(profile, names, now), domain, now)
        .filter(({ accepted }) => !accepted)
        .map(({ verifier }) => verifier)
    }
    const own = { domains: [domain], services: [] }
    assert.deepEqual(refusals('xmpp-server', own), [])
    assert.deepEqual(refusals('xmpp-server-short', own), [])
    assert.deepEqual(refusals('xmpp-server-3920', own), ['ejabberd'])
    const both = { domains: [], services: [`_xmpp-client.${domain}`, `_xmpp-server.${domain}`] }
    assert.deepEqual(refusals('xmpp-hosted', both), ['ejabberd', 'dino', 'gajim'])
    assert.deepEqual(refusals('xmpp-hosted', { domains: [], services: [`_xmpp-client.${domain}`] }).includes('prosody'), true)
  })
})
