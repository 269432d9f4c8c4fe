/** The command lines that the start of the program, the front page and the end of the form show. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Automation, clientSteps, type Facts } from '../../src/api/facts.js'

const facts = { directory: 'https://ica.test/acme/directory', needsRoot: false } as Facts
const linesOf = (automation?: Automation, given = facts): Record<string, string[]> =>
  Object.fromEntries(clientSteps(given, automation).map(({ title, lines }) => [title, lines]))

describe('lines for ACME clients', () => {
  it('are for example.org where nobody said for what', () => {
    assert.deepEqual(linesOf(), {
      certbot: ['certbot certonly --standalone --server https://ica.test/acme/directory -d example.org'],
      lego: ['lego --server https://ica.test/acme/directory --accept-tos --email you@example.org --domains example.org --http run'],
      'acme.sh': ['acme.sh --issue --standalone --server https://ica.test/acme/directory -d example.org'],
    })
  })

  it('go on with every name, the kind and the server’s software, each client by its own options', () => {
    const lego = 'lego --server https://ica.test/acme/directory --accept-tos --email you@example.org --domains a.test --domains chat.a.test --http'
    assert.deepEqual(linesOf({ names: ['a.test', 'chat.a.test'], profile: 'xmpp-server-3920', server: 'prosody' }), {
      certbot: [
        'certbot certonly --standalone --server https://ica.test/acme/directory -d a.test -d chat.a.test --preferred-profile xmpp-server-3920 --deploy-hook "xmpp-ica deploy prosody"',
      ],
      lego: [
        `${lego} run --profile xmpp-server-3920 --run-hook "xmpp-ica deploy prosody"`,
        '# and every day by a timer:',
        `${lego} renew --profile xmpp-server-3920 --renew-hook "xmpp-ica deploy prosody"`,
      ],
      'acme.sh': [
        'acme.sh --issue --standalone --server https://ica.test/acme/directory -d a.test -d chat.a.test --cert-profile xmpp-server-3920 --reloadcmd "xmpp-ica deploy prosody"',
      ],
    })
  })

  it('tell the client of the root where the web side shows a certificate of this CA', () => {
    const lines = Object.values(linesOf({ names: ['a.test'], profile: null, server: null }, { ...facts, needsRoot: true })).flat()
    assert.equal(lines.length, 3)
    for (const line of lines) assert.match(line, /^(REQUESTS_CA_BUNDLE|LEGO_CA_CERTIFICATES)=ica-root\.pem | --ca-bundle ica-root\.pem$/)
  })
})
