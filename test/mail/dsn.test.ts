import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readBounce } from '../../src/mail/dsn.js'
import { bounceOf } from '../support/bounce.js'

const id = '01a20ab84c024dbd93080f8b9a46dcd9'
const other = 'ffffffffffffffffffffffffffffffff'

test('RFC 3464: which mail came back, and why', () => {
  const read = readBounce(bounceOf({ id }), null)
  assert.deepEqual(read, { bounce: { ids: [id], status: '5.1.1', diagnostic: '550 5.1.1 <nobody@example.org>: No such user'.replace(/[<>]/g, '') } })
})

test('the address that it came to is believed before what the message says of itself', () => {
  const read = readBounce(bounceOf({ id }), `bounce+${other}@ica.test`)
  assert.deepEqual('bounce' in read && read.bounce.ids, [other, id])
  const bare = readBounce(bounceOf({ id, to: 'bounce@ica.test', messageId: `<${other}@ica.test>` }), null)
  assert.deepEqual('bounce' in bare && bare.bounce.ids, [other])
})

test('line ends of Unix, an envelope id, and only the last of several recipients failed', () => {
  const text = bounceOf({
    id,
    to: 'bounce@ica.test',
    messageId: null,
    envelopeId: other,
    before: 'Final-Recipient: rfc822; a@b.test\r\nAction: relayed\r\nStatus: 2.0.0\r\n\r\n',
  })
  const read = readBounce(Buffer.from(text.toString().replaceAll('\r\n', '\n')), null)
  assert.deepEqual('bounce' in read && [read.bounce.ids, read.bounce.status], [[other], '5.1.1'])
})

test('what is no bounce is left alone', () => {
  const cases: [Buffer, RegExp][] = [
    [Buffer.from(''), /no delivery status notification/],
    [Buffer.from('Subject: I am on holiday\r\nAuto-Submitted: auto-replied\r\n\r\nBack on Monday.'), /no delivery status notification/],
    [bounceOf({ id, action: 'delayed' }), /No recipient failed/],
    [bounceOf({ id, to: 'bounce@ica.test', messageId: null }), /does not say which mail/],
    [Buffer.from(bounceOf({ id }).toString().replace('message/delivery-status', 'text/plain')), /no part message\/delivery-status/],
    [
      Buffer.from(
        bounceOf({ id })
          .toString()
          .replace(/boundary="[^"]+"/, ''),
      ),
      /no part/,
    ],
  ]
  for (const [octets, problem] of cases) {
    const read = readBounce(octets, null)
    assert.match('problem' in read ? read.problem : JSON.stringify(read), problem)
  }
})

test('whatever the octets, it ends soon, and what it says is one printable line', () => {
  const whole = bounceOf({ id }).toString('latin1')
  const broken = fc.tuple(fc.nat(whole.length), fc.nat(200), fc.string()).map(([at, cut, text]) => whole.slice(0, at) + text + whole.slice(at + cut))
  fc.assert(
    fc.property(broken, (text) => {
      const read = readBounce(Buffer.from(text, 'latin1'), null)
      if ('problem' in read) return
      assert.match(read.bounce.diagnostic, /^[\x20-\x7e]{0,200}$/)
      for (const one of read.bounce.ids) assert.match(one, /^[0-9a-f]{32}$/)
    }),
    { numRuns: 500 },
  )
  for (const evil of ['--b\r\n'.repeat(100_000), 'a: b\r\n '.repeat(100_000), '\r\n'.repeat(500_000)]) {
    readBounce(Buffer.from(`Content-Type: multipart/report; boundary=b\r\n\r\n${evil}`), null)
  }
})
